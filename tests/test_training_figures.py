"""Figures of gradients, updates, saturation and units by layer and step, against loops over records."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from analysis import figures, layout
from analysis.figures import by_step
from analysis.figures.activation_shapes import shapes
from analysis.figures.distribution_of_z import QUANTILES
from analysis.frames import Study, Variant
from analysis.score import best_rates
from analysis.statistics import student_interval
from tests import columns, sample

ROWS = ["sigmoid", "relu"]
COLUMNS = ["zeros", "normal (std 0.05)", "normal (std 1e+80)", "he_normal"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sample.make(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def study(folder):
    made = Study(folder)
    columns.with_quantiles(made)
    columns.with_fates(made)
    return made


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def panel(figure, row, column, rows=ROWS, names=COLUMNS):
    """Return the axes of one panel of a grid drawn row by row."""
    return figure.axes[rows.index(row) * len(names) + names.index(column)]


def best_cells(study, activation, init, depth):
    """Return ids of the networks of a condition at its best rate."""
    (variant,) = study.trained
    best = best_rates(variant.cells)
    keys = best[["activation", "init", "depth"]] == [activation, init, depth]
    return best.loc[keys.all(axis=1), "cell"].tolist()


def numbers(study, cell, step, names):
    """Return rows of one network's layers at a step, in order."""
    return study.connection.execute(
        f"SELECT {names} FROM layers WHERE cell = ? AND step = ? ORDER BY layer", [cell, step]
    ).fetchall()


def interval(row):
    return row["mean"], row["low"], row["high"]


def expected(values):
    found = student_interval(values)
    return found.mean, found.low, found.high


def test_update_ratio_is_the_log_of_the_realised_update_by_the_weights(study):
    drawn = figures.update_ratio.drawing(study).table
    part = drawn[(drawn["activation"] == "relu") & (drawn["init"] == "he_normal")]
    depth = int(part["depth"].iloc[0])
    step = int(part["step"].max())
    cells = best_cells(study, "relu", "he_normal", depth)
    assert len(cells) == 3
    for row in part[part["step"] == step].to_dict("records"):
        ratios = []
        for cell in cells:
            update, weight = numbers(study, cell, step, "update_norm, weight_norm")[
                row["layer"] - 1
            ]
            ratios.append(math.log10(update / weight))
        assert interval(row) == pytest.approx(expected(ratios), rel=1e-12)
    # after the last update there is none to come
    assert part["step"].max() < 6


def test_depth_is_the_deepest_that_is_above_chance_or_else_the_deepest(study):
    (variant,) = study.trained
    cells = variant.cells.copy()
    deep, shallow = cells["depth"] == 5, cells["depth"] == 2
    relu = (cells["activation"] == "relu") & (cells["init"] == "he_normal")
    for which, value in ((relu & deep, 0.1), (relu & shallow, 0.6)):
        cells.loc[which, ["final_test_accuracy", "final_validation_accuracy"]] = value
    changed = Variant("", cells)
    for learning, depth in ((True, 2), (False, 5)):
        chosen = by_step.best_deepest(study, changed, learning)
        of = chosen[(chosen["activation"] == "relu") & (chosen["init"] == "he_normal")]
        assert set(of["depth"]) == {depth}
        assert len(of) == 3
    none = cells.assign(final_test_accuracy=0.1, final_validation_accuracy=0.1)
    assert set(by_step.best_deepest(study, Variant("", none), True)["depth"]) == {5}


def test_positions_are_layers_of_their_own_from_the_first_to_the_output():
    for depth in range(2, 70):
        found = by_step.layers_at(depth)
        assert list(found) == sorted(set(found))
        assert (found[1], found[depth]) == ("first", "output")
        assert max(found) == depth
        assert depth == 2 or depth - 1 in found
        assert len(found) == min(depth, 6)
    assert list(by_step.layers_at(33)) == [1, 9, 17, 24, 32, 33]


def test_weights_that_do_not_move_and_ratios_that_are_no_number_are_marked(study):
    drawing = figures.update_ratio.drawing(study)
    broken = panel(drawing.figure, "relu", "normal (std 1e+80)")
    assert [line.get_marker() for line in broken.lines] == ["None", "x"]
    still = columns_copy(study, update_norm="CASE WHEN layer = 1 THEN 0 ELSE update_norm END")
    axis = panel(figures.update_ratio.drawing(still).figure, "relu", "he_normal")
    assert [line.get_marker() for line in axis.lines] == ["None", "v"]


def columns_copy(study, **expressions):
    """Return another opening of a study, with columns of its own."""
    copy = Study(study.folder)
    columns.replace(copy, **expressions)
    return copy


def test_saturation_is_the_mean_share_and_only_of_bounded_activations(study):
    drawing = figures.saturated.drawing(study)
    assert set(drawing.table["activation"]) == {"sigmoid"}
    shares = columns_copy(
        study, saturated_share="CASE WHEN layer < 5 THEN units / 100.0 * step END"
    )
    drawn = figures.saturated.drawing(shares).table
    row = drawn[(drawn["layer"] == 2) & (drawn["step"] == 6)].iloc[0]
    assert row["mean"] == pytest.approx(16 / 100 * 6)
    with pytest.raises(figures.NotApplicable, match="no activation of the trained networks"):
        figures.saturated.drawing(columns_copy(study, saturated_share="CAST(NULL AS DOUBLE)"))


def test_fates_are_shares_of_all_hidden_units_and_add_up_to_one(study):
    drawn = figures.unit_fates.drawing(study).table
    for row in drawn[drawn["init"] == "he_normal"].to_dict("records"):
        shares = []
        cells = best_cells(study, row["activation"], "he_normal", row["depth"])
        for cell in cells:
            found = numbers(
                study, cell, row["step"], "units, dead_units, born_dead_units, revived_units"
            )[:-1]
            units, dead, born, revived = (sum(part) for part in zip(*found, strict=True))
            shares.append([born, dead - born, revived, units - dead - revived])
            shares[-1] = [share / units for share in shares[-1]]
        means = np.mean(shares, axis=0)
        fates = [row[fate] for fate in ("born_dead", "died", "revived", "alive")]
        np.testing.assert_allclose(fates, means, rtol=1e-12, atol=1e-15)
        assert sum(fates) == pytest.approx(1)
    broken = drawn[drawn["init"] == "normal (std 1e+80)"]
    assert (broken["undefined"] == 3).all()
    assert broken["alive"].isna().all()


def test_fates_stand_on_each_other_from_the_born_dead_upwards(study):
    made = columns_copy(
        study, dead_units="units // 2", born_dead_units="units // 4", revived_units="units // 8"
    )
    axis = figures.unit_fates.drawing(made).figure.axes[0]
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in axis.collections]
    assert tops == pytest.approx([0.25, 0.5, 0.625, 1.0])


def test_no_dead_unit_and_no_record_of_fates_have_no_figure(folder, study):
    none = columns_copy(study, dead_units="0", born_dead_units="0", revived_units="0")
    with pytest.raises(figures.NotApplicable, match="no unit of any network is dead"):
        figures.unit_fates.drawing(none)


def test_the_gradient_over_training_is_relative_to_the_last_hidden_layer_of_the_same_step(study):
    drawn = figures.gradient_over_training.drawing(study).table
    part = drawn[(drawn["activation"] == "sigmoid") & (drawn["init"] == "he_normal")]
    cells = best_cells(study, "sigmoid", "he_normal", 5)
    for row in part.to_dict("records"):
        logs = []
        for cell in cells:
            found = [value for (value,) in numbers(study, cell, row["step"], "signal_grad_rms")]
            logs.append(math.log10(found[row["layer"] - 1] / found[3]))
        np.testing.assert_allclose(interval(row), expected(logs), rtol=1e-9, atol=1e-12)
    assert set(part["layer"]) == {1, 2, 3, 4}
    zero = drawn[(drawn["init"] == "zeros") & (drawn["step"] == 0)]
    assert (zero["zeros"] == 3).all()


def test_gradients_of_zero_are_black_and_those_that_are_no_number_grey(study):
    drawing = figures.gradient_over_training.drawing(study)
    zero = panel(drawing.figure, "relu", "zeros").images
    assert len(zero) == 2
    assert not np.ma.getmaskarray(zero[1].get_array())[0, 0]
    broken = panel(drawing.figure, "relu", "normal (std 1e+80)")
    assert np.ma.getmaskarray(broken.images[0].get_array()).all()
    assert "Black: it is exactly 0" in drawing.caption
    assert "Grey: it is infinite or NaN" in drawing.caption


def test_both_gradients_are_relative_to_the_last_hidden_layer(study):
    drawing = figures.gradients_by_layer.drawing(study)
    drawn = drawing.table
    assert set(drawn["depth"]) == {5}
    for quantity in ("signal_grad_rms", "weight_grad_norm"):
        part = drawn[
            (drawn["activation"] == "relu")
            & (drawn["init"] == "he_normal")
            & (drawn["quantity"] == quantity)
        ]
        (variant,) = study.starts
        cells = variant.cells
        keys = cells[["activation", "init", "depth"]] == ["relu", "he_normal", 5]
        for row in part.to_dict("records"):
            logs = []
            for cell in cells.loc[keys.all(axis=1), "cell"]:
                found = [value for (value,) in numbers(study, cell, 0, quantity)]
                logs.append(math.log10(found[row["layer"] - 1] / found[3]))
            np.testing.assert_allclose(interval(row), expected(logs), rtol=1e-9, atol=1e-12)
    axis = panel(drawing.figure, "relu", "he_normal", rows=["sigmoid", "relu", "identity"])
    lines = next(one for one in axis.collections if isinstance(one, LineCollection))
    # within one decade the axis is linear
    np.testing.assert_allclose(
        lines.get_segments()[1][:, 1], part["mean"].clip(-1, 1), rtol=0, atol=1e-12
    )


def test_quantiles_are_means_over_networks_and_bands_stand_where_they_say(study):
    drawing = figures.distribution_of_z.drawing(study)
    drawn = drawing.table
    row = drawn[(drawn["activation"] == "relu") & (drawn["init"] == "he_normal")].iloc[1]
    (variant,) = study.starts
    keys = variant.cells[["activation", "init", "depth"]] == ["relu", "he_normal", 5]
    cells = variant.cells.loc[keys.all(axis=1), "cell"]
    found = [numbers(study, cell, 0, ", ".join(QUANTILES))[1] for cell in cells]
    np.testing.assert_allclose(row[QUANTILES].astype(float), np.mean(found, axis=0), rtol=1e-12)
    axis = panel(drawing.figure, "relu", "he_normal", rows=["sigmoid", "relu", "identity"])
    (bands,) = (one for one in axis.collections if isinstance(one, PolyCollection))
    at_two = bands.get_paths()[2].vertices
    heights = sorted(set(at_two[at_two[:, 0] == 2][:, 1]))
    np.testing.assert_allclose(heights, [row["z_p25"], row["z_p75"]], rtol=1e-12)
    broken = panel(
        drawing.figure, "relu", "normal (std 1e+80)", rows=["sigmoid", "relu", "identity"]
    )
    assert [line.get_marker() for line in broken.lines[1:]] == ["x"]


def test_records_without_a_quantity_have_no_figure_of_it(folder):
    old = Study(folder)
    kept = [name for name in old.connection.table("layers").columns
            if name not in (*QUANTILES, "born_dead_units", "revived_units")]  # fmt: skip
    old.connection.execute(f"CREATE TEMP TABLE old AS SELECT {', '.join(kept)} FROM layers")
    old.connection.execute("DROP VIEW layers")
    old.connection.execute("CREATE TEMP VIEW layers AS SELECT * FROM old")
    for drawer in (figures.distribution_of_z, figures.unit_fates):
        with pytest.raises(figures.NotApplicable, match="the records do not hold"):
            drawer(old)


def test_second_moment_is_drawn_for_every_depth(study):
    drawn = figures.second_moment.drawing(study).table
    assert set(drawn["depth"]) == {2, 5}
    assert (drawn.loc[drawn["init"] == "zeros", "zeros"] == 3).all()


CLOSED = {
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "centred_sigmoid": (
        lambda z: 1 / (1 + np.exp(-z)) - 0.5,
        lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
    ),
    "bipolar_sigmoid": (
        lambda z: 2 / (1 + np.exp(-z)) - 1,
        lambda z: 2 * np.exp(-z) / (1 + np.exp(-z)) ** 2,
    ),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.2 * z), lambda z: np.where(z > 0, 1, 0.2)),
    "prelu": (lambda z: np.where(z > 0, z, 0.5 * z), lambda z: np.where(z > 0, 1, 0.5)),
    "sine": (np.sin, np.cos),
    "sign": (np.sign, np.zeros_like),
}


def shown(*settings: dict) -> pd.DataFrame:
    """Return cells with activations by their settings, as `Study.cells` has them."""
    return pd.DataFrame(
        [
            {"activation": one["name"]} | {f"activation.{key}": value for key, value in one.items()}
            for one in settings
        ]
    )


def test_shapes_are_those_of_the_closed_forms_with_the_studys_arguments():
    arguments = {"leaky_relu": {"negative_slope": 0.2}, "prelu": {"slope": 0.5}}
    cells = shown(*({"name": name} | arguments.get(name, {}) for name in CLOSED))
    found, left_out = shapes(cells)
    assert not left_out
    for name, (value, slope) in CLOSED.items():
        part = found[found["activation"] == name]
        z = part["z"].to_numpy()
        away = z != 0  # a kink has no slope of its own
        np.testing.assert_allclose(part["value"], value(z), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(part["slope"][away], slope(z)[away], rtol=1e-9, atol=1e-12)
    flat = {name: part["flat"].mean() for name, part in found.groupby("activation")}
    assert (flat["sign"], flat["leaky_relu"], flat["prelu"]) == (1.0, 0.0, 0.0)
    tanh = found[found["activation"] == "tanh"]
    assert (tanh["flat"] == (1 / np.cosh(tanh["z"]) ** 2 < 0.01)).all()


def test_an_activation_that_is_not_registered_is_left_out_with_the_reason(study, monkeypatch):
    cells = shown({"name": "relu"}, {"name": "somebodys_own"})
    drawing = figures.activation_shapes.drawing(study, Variant("", cells))
    assert "Not drawn: somebodys_own, since it is not registered here." in drawing.caption
    assert set(drawing.table["activation"]) == {"relu"}
    with pytest.raises(figures.NotApplicable, match="somebodys_own, since it is not registered"):
        figures.activation_shapes.drawing(study, Variant("", shown({"name": "somebodys_own"})))


def test_steps_have_even_decades_and_a_place_for_zero():
    np.testing.assert_allclose(layout.step_places([0, 1, 10, 1000]), [0, 1, 2, 4], atol=1e-15)
    _, axis = plt.subplots()
    for last in (0, 1, 2, 30, 219, 300):
        layout.step_ticks(axis, last)
        labels = [text.get_text() for text in axis.get_xticklabels()]
        assert labels[0] == "0"
        assert labels[-1] == str(last)
        assert len(set(labels)) == len(labels)
    assert labels == ["0", "1", "10", "100", "300"]


def test_one_network_alone_has_every_figure_of_its_layers(tmp_path):
    one = sample.condition(
        depth=4, activation="tanh", init="he_normal", optim={"name": "sgd", "lr": 0.1}, seeds=1
    )
    alone = Study(sample.make(tmp_path, [one]))
    columns.with_quantiles(alone)
    for drawer in (
        figures.gradients_by_layer, figures.update_ratio, figures.saturated,
        figures.gradient_over_training, figures.second_moment, figures.distribution_of_z,
        figures.activation_shapes,
    ):  # fmt: skip
        drawing = drawer.drawing(alone)
        assert len(drawing.table)
        if "networks" in drawing.table:
            assert (drawing.table["networks"] <= 1).all()


def test_the_figures_are_the_same_whatever_the_order_of_the_networks(study):
    (trained,), (start,) = study.trained, study.starts
    for variant, drawers in (
        (trained, (figures.update_ratio, figures.saturated, figures.gradient_over_training,
                   figures.unit_fates)),
        (start, (figures.gradients_by_layer, figures.distribution_of_z)),
    ):  # fmt: skip
        mixed = Variant("", variant.cells.sample(frac=1, random_state=3), variant.where)
        for drawer in drawers:
            pd.testing.assert_frame_equal(
                drawer.drawing(study, variant).table, drawer.drawing(study, mixed).table, rtol=1e-12
            )
