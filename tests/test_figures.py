"""What the figures draw is what the records hold: read off the axes, not off the pixels."""

from __future__ import annotations

import contextlib
import json
import shutil

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from analysis import figures, style
from analysis.__main__ import main
from analysis.frames import Study
from analysis.predictions import predictions
from analysis.score import best_rates, linear_score
from analysis.statistics import student_interval
from tests import sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sample.make(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def study(folder):
    return Study(folder)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def panel(figure, row_names, column_names, row, column):
    """Return the axes of one panel of a grid drawn row by row."""
    return figure.axes[row_names.index(row) * len(column_names) + column_names.index(column)]


def marks(axis):
    """Return the markers drawn on an axis, in order."""
    drawn = [line for line in axis.lines if len(line.get_xdata())]
    return [line.get_marker() for line in drawn if line.get_marker() != "None"]


BY_CHANCE = (figures.dead_units, figures.unit_fates)
"""Figures of dead units: whether there is one is up to chance."""

ROWS = ["sigmoid", "relu", "identity"]
COLUMNS = ["zeros", "normal (std 0.05)", "normal (std 1e+80)", "he_normal"]


def by_hand(folder, activation, std_or_init, depth, seeds):
    """Return step-0 signal gradients ``[seed, layer]`` read without any code of `analysis.frames`."""
    con = Study(folder).connection
    rows = con.execute(
        "SELECT cell, settings, activation, depth, seed, status FROM cells ORDER BY steps DESC, lr"
    ).fetchall()
    found = []
    for seed in seeds:
        for cell, settings, name, cell_depth, cell_seed, _ in rows:
            init = json.loads(settings)["init"]
            wanted = init["name"] == std_or_init or init.get("std") == std_or_init
            if wanted and (name, cell_depth, cell_seed) == (activation, depth, seed):
                layers = con.execute(
                    "SELECT signal_grad_rms FROM layers WHERE cell = ? AND step = 0 ORDER BY layer",
                    [cell],
                ).fetchall()
                found.append([value for (value,) in layers])
                break
    return np.array(found)


def test_atlas_draws_the_mean_decades_relative_to_the_last_hidden_layer(study, folder):
    drawing = figures.atlas.drawing(study)
    axis = panel(drawing.figure, ROWS, COLUMNS, "sigmoid", "he_normal")
    mesh = [m for m in axis.collections if isinstance(m, QuadMesh)][-1]
    gradients = by_hand(folder, "sigmoid", "he_normal", 5, range(3))
    expected = np.log10(gradients[:, :4] / gradients[:, 3:4]).mean(axis=0)
    # sums of three logs of order 10: a few roundings of float64
    np.testing.assert_allclose(mesh.get_array().ravel(), expected, rtol=0, atol=1e-13)
    power = f"{expected[0]:.1f}".replace("-", "−")
    assert axis.texts[-1].get_text() == f"layer 1 of 5: $10^{{{power}}}$"


def test_atlas_marks_gradients_that_are_zero_or_no_number_and_names_what_is_not_in_the_sweep(study):
    drawing = figures.atlas.drawing(study)
    zero = panel(drawing.figure, ROWS, COLUMNS, "relu", "zeros")
    assert marks(zero) == ["v", "v"]  # depth 2 and depth 5
    broken = panel(drawing.figure, ROWS, COLUMNS, "relu", "normal (std 1e+80)")
    assert marks(broken) == ["x", "x"]
    absent = panel(drawing.figure, ROWS, COLUMNS, "identity", "zeros")
    assert absent.texts[-1].get_text() == "not in the sweep"
    rows = drawing.table[drawing.table["init"] == "zeros"]
    assert (rows["zeros"] == 3).all()
    assert rows["mean"].isna().all()


def test_networks_that_begin_as_one_count_once(study):
    # two learning rates begin alike: three seeds are three networks, not six
    assert (figures.atlas.drawing(study).table["networks"] <= 3).all()
    (variant,) = study.starts
    assert len(variant.cells) == 3 * (2 * 2 * 4 + 2)


def test_lines_by_layer_and_their_bands_are_mean_and_student_interval_of_the_log(study, folder):
    drawing = figures.signal_by_layer.drawing(study)
    axis = panel(drawing.figure, ROWS, COLUMNS, "relu", "he_normal")
    logs = np.log10(by_hand(folder, "relu", "he_normal", 5, range(3)))
    line = next(line for line in axis.lines if len(line.get_xdata()) == 5)
    np.testing.assert_allclose(line.get_ydata(), logs.mean(axis=0), rtol=0, atol=1e-13)
    band = axis.collections[0].get_paths()[0].vertices
    interval = student_interval(logs[:, 0])
    at_first = band[band[:, 0] == 1][:, 1]
    np.testing.assert_allclose(
        [at_first.min(), at_first.max()], [interval.low, interval.high], rtol=0, atol=1e-12
    )


def test_weight_gradient_and_signal_gradient_are_told_apart(study):
    signal, weight = figures.signal_by_layer.drawing(study), figures.weight_by_layer.drawing(study)
    assert signal.caption.startswith("Signal gradient")
    assert weight.caption.startswith("Weight gradient")
    assert not signal.table["mean"].equals(weight.table["mean"])


def test_collapse_is_drawn_from_0_to_1(study):
    drawing = figures.collapse.drawing(study)
    assert drawing.figure.axes[0].get_ylim() == (-0.05, 1.05)
    assert drawing.table["mean"].dropna().between(0, 1 + 1e-12).all()


def test_slope_is_the_mean_of_each_networks_own_slope(study, folder):
    table = figures.slope.drawing(study).table
    row = table[(table["activation"] == "sigmoid") & (table["init"] == "he_normal")].iloc[0]
    gradients = by_hand(folder, "sigmoid", "he_normal", 5, range(3))
    slopes = [-np.polyfit(range(4), np.log10(one[:4]), 1)[0] for one in gradients]
    expected = student_interval(slopes)
    np.testing.assert_allclose(
        [row["mean"], row["low"], row["high"]],
        [expected.mean, expected.low, expected.high],
        rtol=1e-9,
    )
    undefined = table.set_index(["activation", "init"])["undefined"]
    assert undefined["relu", "zeros"] == 3
    assert undefined["sigmoid", "he_normal"] == 0


def test_the_rate_is_chosen_on_validation_and_a_lost_network_counts_as_none(study):
    (variant,) = study.trained
    best = best_rates(variant.cells)
    for condition, part in variant.cells.groupby(["activation", "init", "depth"]):
        scores = {
            lr: np.mean([
                row["final_validation_accuracy"] if row["status"] == "ok" else 0.0
                for row in rows.to_dict("records")
            ])
            for lr, rows in part.groupby("lr")
        }  # fmt: skip
        chosen = best[(best[["activation", "init", "depth"]] == list(condition)).all(axis=1)]
        assert set(chosen["lr"]) == {min(lr for lr in scores if scores[lr] == max(scores.values()))}


def test_trainability_counts_networks_that_are_lost_and_shows_chance_and_linear_model(study):
    drawing = figures.trainability.drawing(study)
    (variant,) = study.trained
    axis = panel(drawing.figure, [""], COLUMNS, "", "normal (std 1e+80)")
    assert "×3" in [text.get_text() for text in axis.texts]
    linear = variant.cells[variant.cells["depth"] == 1]["final_test_accuracy"]
    assert linear_score(variant.cells) == pytest.approx(linear.mean(), rel=1e-15)
    heights = {round(float(line.get_ydata()[0]), 12) for line in axis.lines[-2:]}
    assert heights == {0.1, round(linear.mean(), 12)}


def test_rate_map_holds_every_rate_and_paints_black_where_all_diverged(study):
    drawing = figures.rate_map.drawing(study)
    counts = drawing.table.set_index(["activation", "init", "depth", "lr"])
    assert len(counts) == 2 * 4 * 2 * 2
    assert counts.loc[("relu", "normal (std 1e+80)", 5, 0.03), "diverged"] == 3
    axis = panel(drawing.figure, ["sigmoid", "relu"], COLUMNS, "relu", "normal (std 1e+80)")
    assert to_hex(axis.patches[-1].get_facecolor()) == "#000000"


def test_dead_units_are_the_mean_share_over_the_networks_in_which_z_is_a_number(study):
    table = figures.dead_units.drawing(study).table
    con = study.connection
    one = table[(table["activation"] == "relu") & (table["init"] == "he_normal")]
    one = one[(one["depth"] == 5) & (one["step"] == one["step"].max()) & (one["layer"] == 4)]
    (row,) = one.to_dict("records")
    ((expected,),) = con.execute(
        "SELECT avg(dead_units / units) FROM layers JOIN cells USING (cell) WHERE activation = 'relu' "
        "AND init = 'he_normal' AND depth = 5 AND step = 6 AND layer = 4 AND lr = ?",
        [row["lr"]],
    ).fetchall()
    assert row["dead_share"] == pytest.approx(expected, rel=1e-12, abs=1e-15)
    broken = table[table["init"] == "normal (std 1e+80)"]
    assert (broken["undefined"] > 0).any()


def test_coverage_counts_what_is_missing_from_the_plans(folder, tmp_path):
    copy = tmp_path / "sample"
    shutil.copytree(folder, copy)
    commit = next((copy / "commits").iterdir())
    lost = len(json.loads(commit.read_text())["statuses"])
    commit.unlink()
    table = figures.coverage.drawing(Study(copy)).table
    whole = figures.coverage.drawing(Study(folder)).table
    statuses = ["ok", "diverged", "failed", "missing"]
    assert table["missing"].sum() == lost
    assert table[statuses].sum().sum() == whole[statuses].sum().sum()
    assert whole["diverged"].sum() > 0


def test_every_figure_is_documented_with_an_example():
    functions = [getattr(figures, name) for name in figures.__all__]
    functions = [one for one in functions if isinstance(one, figures.FigureFunction)]
    assert len(functions) == 28
    for one in functions:
        assert one.__doc__.startswith("Draw ")
        assert f'figures.{one.__name__}(open_study("outputs/mine"))' in one.__doc__
        assert "Raises:" in one.__doc__ or one is figures.coverage


def test_sql_goes_on_after_every_figure(folder):
    own = Study(folder)
    for name in figures.__all__:
        draw = getattr(figures, name)
        if isinstance(draw, figures.FigureFunction):
            with contextlib.suppress(figures.NotApplicable):
                draw(own)
            assert len(own.sql("SELECT * FROM networks").df()), name
    assert repr(own).endswith(f"{len(own.networks)} networks>")
    with pytest.raises(TypeError, match="atlas needs a study, as open_study"):
        figures.atlas(str(folder))


def test_a_notebooks_own_figures_stay_as_they_were(study):
    before = dict(plt.rcParams)
    figure = figures.atlas(study)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []  # what stayed open would be shown a second time
    assert dict(plt.rcParams) == before
    try:
        with style.house_style():
            matplotlib.interactive(True)  # as a notebook's backend does once it is woken
        assert matplotlib.is_interactive()
    finally:
        matplotlib.interactive(False)


def test_an_activation_has_one_colour_in_every_figure(study):
    colours = style.colours(ROWS)
    drawing = figures.trainability.drawing(study)
    axis = drawing.figure.axes[0]
    assert to_hex(colours["relu"]) in {to_hex(line.get_color()) for line in axis.lines}
    for labels in (["relu"], ["gelu", "relu"], ROWS):
        assert style.colours(labels)["relu"] == colours["relu"]
    many = [*style.ACTIVATIONS, "mine", "relu (slope 2)", "relu (slope 3)"]
    assert len(set(style.colours(many).values())) == len(many)


def test_other_settings_that_vary_divide_the_study(tmp_path):
    shared = {"depth": 4, "activation": "relu", "init": "he_normal", "steps": 2, "seeds": 1}
    sgd = {"name": "sgd", "lr": 0.1}
    folder = sample.make(
        tmp_path,
        [
            sample.condition(**shared, optim=sgd),
            sample.condition(**{**shared, "seeds": 2}, optim=sgd, data={"name": "moons"}),
            sample.condition(**shared, optim={"name": "adam", "lr": 0.1}),
        ],
    )
    study = Study(folder)
    assert [variant.label for variant in study.starts] == ["data=moons", "data=digits"]
    assert [variant.label for variant in study.trained] == [
        "data=moons, optim=sgd", "data=digits, optim=sgd", "data=digits, optim=adam",
    ]  # fmt: skip


@pytest.mark.usefixtures("unpainted")
def test_norm_dropout_and_clipping_divide_the_study_and_networks_without_are_named_so(tmp_path):
    shared = {"depth": 5, "width": 6, "activation": "relu", "init": "he_normal", "steps": 2}
    sgd = {"name": "sgd", "lr": 0.1}
    folder = sample.make(
        tmp_path,
        [
            sample.condition(**shared, optim=sgd),
            sample.condition(**shared, optim=sgd, norm="batch"),
            sample.condition(**shared, optim=sgd, norm="layer"),
            sample.condition(**shared, optim=sgd, norm="layer", dropout=0.25),
            sample.condition(**shared, optim={**sgd, "clip_value": 0.5}),
            sample.condition(**shared, optim={**sgd, "clip_to_one": 0.5}),
        ],
    )
    study = Study(folder)
    assert {(v.cells["norm"].iloc[0], v.cells["dropout"].iloc[0]) for v in study.starts} == {
        ("none", 0.0), ("batch", 0.0), ("layer", 0.0), ("layer", 0.25),
    }  # fmt: skip
    assert study.starts[0].label == "norm=none, dropout=0.0"  # the usual one first
    labels = sorted(variant.label for variant in study.trained)
    plain = "clip_to_one none, clip_value none"
    assert labels == [
        f"norm=batch, dropout=0.0, optim=sgd ({plain})",
        f"norm=layer, dropout=0.0, optim=sgd ({plain})",
        f"norm=layer, dropout=0.25, optim=sgd ({plain})",
        "norm=none, dropout=0.0, optim=sgd (clip_to_one 0.5, clip_value none)",
        "norm=none, dropout=0.0, optim=sgd (clip_to_one none, clip_value 0.5)",
        f"norm=none, dropout=0.0, optim=sgd ({plain})",
    ]
    for variant in study.starts:
        told = predictions(study, variant)
        assert bool(told) == (variant.label == "norm=none, dropout=0.0")
    # half of a normalized unit's z lies above its mean: not a network that the theory of dead ones is of
    drawn = figures.born_dead.drawing(study).table
    assert drawn["networks"].sum() == len(study.starts[0].cells)
    assert main([str(folder)]) == 0


@pytest.mark.usefixtures("unpainted")
def test_a_study_of_networks_that_no_theory_is_of_has_a_report(tmp_path):
    shared = {"width": 6, "activation": "relu", "steps": 2, "norm": "batch"}
    optim = {"name": "sgd", "lr": 0.1}
    folder = sample.make(
        tmp_path,
        [
            sample.condition(**shared, depth=depth, init=init, optim=optim)
            for depth in (4, 8)
            for init in ("he_normal", "xavier_normal")
        ],
    )
    assert main([str(folder)]) == 0


@pytest.mark.parametrize(
    ("settings", "absent"),
    [
        (
            {"depth": 1},
            [
                "atlas",
                "slope",
                "gradients_by_layer",
                "trainability",
                "trainable_depth",
                "mends",
                "labels_in_training",
                "rate_map",
                "dead_units",
                "unit_fates",
                "saturated",
                "update_ratio",
                "predictors",
            ],
        ),
        (
            {"depth": 3, "steps": 0},
            [
                "slope",
                "theory_slope",
                "trainability",
                "trainable_depth",
                "mends",
                "labels_in_training",
                "rate_map",
                "update_ratio",
                "unit_fates",
                "saturated",
                "predictors",
            ],
        ),
        ({"depth": 8}, ["rate_map", "saturated", "predictors", "trainable_depth", "mends"]),
    ],
)
def test_a_figure_that_does_not_apply_says_why_and_the_others_are_drawn(tmp_path, settings, absent):
    one = sample.condition(
        activation="relu", init="he_normal", optim={"name": "sgd", "lr": 0.1}, **settings
    )
    study = Study(sample.make(tmp_path, [one | {"seeds": 1}]))
    for drawer in (*figures.START, *figures.TRAINING):
        if drawer.__name__ in absent:
            with pytest.raises(figures.NotApplicable, match=r"\w+ \w+ \w+"):
                drawer(study)
        elif drawer not in BY_CHANCE:
            drawer(study) if settings["depth"] > 1 else None
    figures.coverage.drawing(study)


def test_dead_units_speak_of_networks_with_hidden_layers_alone(study):
    caption = figures.dead_units.drawing(study).caption
    (variant,) = study.trained
    best = best_rates(variant.cells)
    counted = int((best["depth"] >= 2).sum())
    assert f"({counted} networks; rate in each panel)" in caption
    assert "identity" not in caption


def test_networks_without_a_slope_are_counted_beside_the_axis(study):
    drawing = figures.slope.drawing(study)
    counts = drawing.table["undefined"]
    beside = [text.get_text() for text in drawing.figure.axes[0].texts if text.get_text().isdigit()]
    assert sorted(beside) == sorted(str(count) for count in counts[counts > 0])
    assert "A number left of an axis counts networks without a slope" in drawing.caption
