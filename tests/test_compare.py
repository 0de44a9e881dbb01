"""The comparison: paired by seed, judged honestly, whole or not at all."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy import stats

from analysis import style
from analysis.__main__ import main
from analysis.compare import folder_name, write_comparison
from analysis.comparison import (
    AHEAD,
    BEHIND,
    UNDECIDED,
    UNJUDGED,
    Pair,
    best_pairs,
    comparable,
    differences,
    find_pair,
    overall,
)
from analysis.figures import compare as drawn
from analysis.findings.compare import comparison_findings
from analysis.frames import Study, Variant
from analysis.statistics import holm, paired_tests
from study.errors import StoreError
from tests import sample
from tests.test_findings import cells as rows_of
from tests.test_layout import check
from tests.test_report import _Page

ROOT = Path(__file__).parent.parent

TANH = Pair("activation", "tanh", "relu")

RATES = [{"name": "sgd", "lr": lr} for lr in (0.03, 0.3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sample.make(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def study(folder):
    return Study(folder)


@pytest.fixture(scope="module")
def relu(study):
    return find_pair(study, "relu", "sigmoid")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def cells(*conditions: dict, seeds: int = 3) -> pd.DataFrame:
    """Return rows as `tests.test_findings.cells` does, each with an id."""
    frame = rows_of(*conditions, seeds=seeds)
    return frame.assign(cell=[f"{place:04}" for place in frame.index])


def noise(mean: float, seed: int, seeds: int = 5, size: float = 0.01) -> list[float]:
    """Return values around a mean, others for every seed."""
    return [mean + size * float(x) for x in np.random.default_rng(seed).normal(size=seeds)]


def told(frame: pd.DataFrame, pair: Pair = TANH) -> str:
    """Return the findings on the difference in training, a line each."""
    tables = {"paired_difference": differences(frame, pair)}
    return "\n".join(one.text for one in comparison_findings(tables, pair, Variant("", frame)))


# ------------------------------------------------------------------------------------ the numbers


def by_hand(study: Study, kind: str, one: str, other: str) -> dict[tuple, list[float]]:
    """Return the paired differences by condition, in plain loops over what SQL returns."""
    rows = study.connection.execute(
        "SELECT activation, concat(init, coalesce(printf(' (std %g)', init_std), '')), depth, lr, seed, "
        "status, final_validation_accuracy, final_test_accuracy FROM cells WHERE steps > 0 AND depth > 1"
    ).fetchall()
    place, across = (0, 1) if kind == "activation" else (1, 0)
    scores: dict[tuple, dict[float, list[float]]] = {}
    tests: dict[tuple, float] = {}
    for row in rows:
        lr, seed, status, validation, test = row[3:]
        key = (row[place], row[across], row[2])
        ok = status == "ok"
        scores.setdefault(key, {}).setdefault(lr, []).append(validation if ok else 0.0)
        tests[(*key, lr, seed)] = test if ok else math.nan
    found: dict[tuple, list[float]] = {}
    for name, label, depth in scores:
        if name == one and (other, label, depth) in scores:
            best = []
            for side in (one, other):
                means = {lr: sum(v) / len(v) for lr, v in scores[side, label, depth].items()}
                best.append(min(lr for lr in means if means[lr] == max(means.values())))
            found[label, depth] = [
                tests[one, label, depth, best[0], seed] - tests[other, label, depth, best[1], seed]
                for seed in range(3)
            ]
    return found


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [("activation", "relu", "sigmoid"), ("init", "he_normal", "normal (std 0.05)")],
)
def test_differences_intervals_and_tests_are_those_of_a_plain_loop(study, kind, one, other):
    pair = Pair(kind, one, other)
    (variant,) = comparable(study.trained, pair)
    table = differences(variant.cells, pair)
    expected = by_hand(study, kind, one, other)
    assert set(zip(table[pair.across], table["depth"], strict=True)) == set(expected)
    assert len(table) == len(expected) == (8 if kind == "activation" else 4)
    for row in table.to_dict("records"):
        values = expected[row[pair.across], row["depth"]]
        known = [value for value in values if not math.isnan(value)]
        assert (row["pairs"], row["lost"]) == (len(known), 3 - len(known))
        if not known:
            assert row["verdict"] == UNJUDGED
            continue
        mean = sum(known) / 3
        spread = math.sqrt(sum((value - mean) ** 2 for value in known) / 2)
        # the quantile of Student's t with 2 degrees of freedom, in closed form
        half = 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025)) * spread / math.sqrt(3)
        # sums of three numbers below 1: a few roundings of float64; scipy's quantile has ten digits
        assert row["mean"] == pytest.approx(mean, rel=1e-12, abs=1e-14)
        assert [row["low"], row["high"]] == pytest.approx([mean - half, mean + half], abs=1e-10)
        if spread > 0:
            t = mean / (spread / math.sqrt(3))
            # two-sided for 2 degrees of freedom, in closed form
            p = 1 - abs(t) / math.sqrt(2 + t * t)
            assert row["p"] == pytest.approx(p, rel=1e-9, abs=1e-12)


def test_the_order_of_rows_changes_nothing(study, relu):
    (variant,) = comparable(study.trained, relu)
    shuffled = variant.cells.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(
        differences(shuffled, relu), differences(variant.cells, relu), check_exact=True
    )
    assert overall(best_pairs(shuffled, relu), relu) == overall(
        best_pairs(variant.cells, relu), relu
    )


def test_swapping_the_names_flips_every_sign_and_nothing_else(study, relu):
    swapped = Pair("activation", "sigmoid", "relu")
    (variant,) = comparable(study.trained, relu)
    there, back = (differences(variant.cells, pair) for pair in (relu, swapped))
    for ours, theirs in (("mean", "mean"), ("low", "high"), ("high", "low")):
        # the mean of negated numbers is the negated mean; the ends are sums of both
        np.testing.assert_allclose(there[ours], -back[theirs], rtol=0, atol=1e-15)
    opposite = {AHEAD: BEHIND, BEHIND: AHEAD}
    assert there["verdict"].map(lambda one: opposite.get(one, one)).equals(back["verdict"])
    assert there["score_one"].equals(back["score_other"])
    np.testing.assert_allclose(there["p_holm"], back["p_holm"], rtol=1e-12)
    ratios = [drawn.signal_ratio(study, pair, study.starts[0]).table for pair in (relu, swapped)]
    first = [
        table[table["layer"] == 1].drop_duplicates("init").set_index("init") for table in ratios
    ]
    np.testing.assert_allclose(first[0]["ratio_mean"], -first[1]["ratio_mean"], rtol=1e-12)


def test_a_planted_difference_comes_out_with_its_sign_and_size():
    shared = np.array(noise(0.5, 0, size=0.05))  # what a seed does to both is no difference
    frame = cells(
        {"activation": "relu", "test": list(shared)},
        {"activation": "tanh", "test": list(shared + noise(0.03, 1, size=0.002))},
        {"activation": "relu", "depth": 8, "test": list(shared)},
        {"activation": "tanh", "depth": 8, "test": list(shared - noise(0.07, 2, size=0.002))},
        {"activation": "relu", "depth": 16, "test": noise(0.5, 3)},
        {"activation": "tanh", "depth": 16, "test": noise(0.5, 4)},
        seeds=5,
    )
    table = differences(frame, TANH).set_index("depth")
    assert table["verdict"].to_dict() == {4: AHEAD, 8: BEHIND, 16: UNDECIDED}
    # five draws of spread 0.002: their mean is within four standard errors
    assert table.at[4, "mean"] == pytest.approx(0.03, abs=4 * 0.002 / math.sqrt(5))
    assert table.at[8, "mean"] == pytest.approx(-0.07, abs=4 * 0.002 / math.sqrt(5))
    mean = overall(best_pairs(frame, TANH), TANH)
    assert (mean.conditions, mean.seeds) == (3, (0, 1, 2, 3, 4))
    assert mean.interval.mean == pytest.approx(table["mean"].mean(), rel=1e-12)
    text = told(frame)
    assert "Beyond doubt tanh is ahead in 1 and behind in 1 of 3 conditions; 1 is undecided" in text
    assert re.search(r"furthest ahead at depth 4 with he_normal: \+[23]\.\d points", text)
    assert re.search(r"furthest behind at depth 8 with he_normal: −[67]\.\d points", text)


def test_the_average_is_over_seeds_and_not_over_conditions():
    # one seed is 0.1 better in every condition: an interval over conditions would have no width
    frame = cells(
        *({"activation": "relu", "depth": depth, "test": [0.5, 0.5]} for depth in (2, 4, 8)),
        *({"activation": "tanh", "depth": depth, "test": [0.5, 0.6]} for depth in (2, 4, 8)),
        seeds=2,
    )
    interval = overall(best_pairs(frame, TANH), TANH).interval
    assert interval.mean == pytest.approx(0.05)
    assert interval.low == pytest.approx(0.05 - stats.t.ppf(0.975, 1) * 0.05)
    assert "cannot be told apart on average over all 3 conditions: +5.0 points" in told(frame)


def test_each_is_taken_at_its_own_best_rate_chosen_on_validation():
    frame = cells(
        {"activation": "relu", "lr": 0.1, "test": 0.9, "validation": 0.4},
        {"activation": "relu", "lr": 0.3, "test": 0.5, "validation": 0.5},
        {"activation": "tanh", "lr": 0.1, "test": 0.6, "validation": 0.7},
        {"activation": "tanh", "lr": 0.3, "test": 0.9, "validation": 0.6},
    )
    (row,) = differences(frame, TANH).to_dict("records")
    assert (row["lr_one"], row["lr_other"]) == (0.1, 0.3)
    assert row["mean"] == pytest.approx(0.1)
    assert "The rates tried are not the same" not in told(frame)
    assert "The rates tried are not the same: 0.1 and 0.3 for tanh, 0.3 for relu." in told(
        frame[(frame["activation"] == "tanh") | (frame["lr"] == 0.3)]
    )


def test_ties_are_undecided_and_differences_without_spread_are_no_certainty():
    tie = cells({"activation": "relu", "test": 0.4}, {"activation": "tanh", "test": 0.4})
    (row,) = differences(tie, TANH).to_dict("records")
    assert (row["mean"], row["p"], row["verdict"]) == (0.0, 1.0, UNDECIDED)
    assert "cannot be told apart on average over the one condition: 0.0 points" in told(tie)
    # 0.9 − 0.8 and 0.4 − 0.3 differ in their last bits: still the same difference
    same = cells(
        {"activation": "relu", "test": [0.8, 0.3]}, {"activation": "tanh", "test": [0.9, 0.4]}, seeds=2
    )  # fmt: skip
    (row,) = differences(same, TANH).to_dict("records")
    assert (row["p"], row["verdict"]) == (0.5, UNDECIDED)
    many = pd.DataFrame({"group": 0, "value": [0.1] * 8})
    assert paired_tests(many, ["group"], "value")["p"].tolist() == [2.0**-7]


def test_holms_correction_is_the_stepwise_one_and_counts_only_what_was_tested():
    # factors 4, 3, 2, 1 from the smallest on, never below the one before
    expected = [0.04, 0.06, 0.06, 0.5]
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.5]), expected, rtol=1e-12)
    shuffled = holm([0.5, math.nan, 0.03, 0.01, 0.02])
    np.testing.assert_allclose(shuffled, [0.5, math.nan, 0.06, 0.04, 0.06], rtol=1e-12)
    assert holm([]).tolist() == []


def test_a_condition_with_lost_networks_is_counted_and_not_judged():
    frame = cells(
        {"activation": "relu", "test": noise(0.5, 1)},
        {"activation": "tanh", "test": noise(0.8, 2)},
        {"activation": "relu", "depth": 8, "test": 0.5, "status": ["ok", "ok", "ok", "diverged", "failed"]},
        {"activation": "tanh", "depth": 8, "test": 0.8, "status": ["missing", "ok", "ok", "ok", "ok"]},
        seeds=5,
    )  # fmt: skip
    table = differences(frame, TANH).set_index("depth")
    assert (table.at[8, "pairs"], table.at[8, "lost"]) == (2, 3)
    assert table["verdict"].to_dict() == {4: AHEAD, 8: UNJUDGED}
    assert math.isnan(table.at[8, "p_holm"])
    text = told(frame)
    assert "on average over 1 of 2 conditions" in text
    assert (
        "1 of 2 conditions is not judged, since networks are lost at the best rates (tanh: 1 missing; "
        "relu: 1 diverged and 1 failed); most at depth 8 with he_normal, 3 of 5 pairs." in text
    )


def test_all_diverged_is_said_and_drawn():
    frame = cells({"activation": "relu", "status": "diverged"}, {"activation": "tanh", "test": 0.5})
    text = told(frame)
    assert text.startswith("The one condition is not judged")
    assert "Beyond doubt" not in text


def test_one_seed_has_a_difference_and_no_interval():
    frame = cells(
        {"activation": "relu", "test": 0.5}, {"activation": "tanh", "test": 0.53}, seeds=1
    )
    (row,) = differences(frame, TANH).to_dict("records")
    assert row["mean"] == pytest.approx(0.03)
    assert math.isnan(row["low"])
    assert row["verdict"] == UNDECIDED
    text = told(frame)
    assert "+3.0 points" in text
    assert "with one seed there is no interval, and nothing can be told from chance." in text
    assert "Only rate 0.1 was tried" in text


def test_networks_without_a_partner_are_left_out():
    frame = cells(
        {"activation": "relu", "test": noise(0.5, 1)}, {"activation": "tanh", "test": noise(0.5, 2)},
        {"activation": "tanh", "depth": 8, "test": 0.9}, {"activation": "relu", "init": "zeros", "test": 0.1},
        seeds=5,
    )  # fmt: skip
    more = frame[(frame["activation"] == "relu") | (frame["seed"] < 3)]
    table = differences(more, TANH)
    assert table[["init", "depth", "pairs"]].to_numpy().tolist() == [["he_normal", 4, 3]]


# -------------------------------------------------------------------------------------- the figures


def test_the_difference_is_drawn_in_points_and_lost_pairs_are_counted(study, relu):
    (variant,) = comparable(study.trained, relu)
    drawing = drawn.paired_difference(study, relu, variant)
    labels = ["zeros", "normal (std 0.05)", "normal (std 1e+80)", "he_normal"]
    axis = drawing.figure.axes[labels.index("he_normal")]
    rows = drawing.table[drawing.table["init"] == "he_normal"].set_index("depth")
    heights = {
        float(line.get_xdata()[0]): float(line.get_ydata()[0])
        for line in axis.lines
        if line.get_marker() in "^vo" and line.get_marker()
    }
    assert heights == pytest.approx({0.0: 100 * rows.at[2, "mean"], 1.0: 100 * rows.at[5, "mean"]})
    lost = drawing.figure.axes[labels.index("normal (std 1e+80)")]
    assert [text.get_text() for text in lost.texts] == ["×3", "×3"]
    check(drawing.figure)


def test_the_ratio_of_gradients_is_paired_by_seed(study, relu):
    drawing = drawn.signal_ratio(study, relu, study.starts[0])
    logs = {
        (activation, seed): math.log10(first / last)
        for activation, seed, first, last in study.connection.execute(
            "SELECT activation, seed, a.signal_grad_rms, b.signal_grad_rms FROM layers a JOIN layers b "
            "USING (cell, step) JOIN cells USING (cell) WHERE step = 0 AND a.layer = 1 AND b.layer = 4 "
            "AND depth = 5 AND init = 'he_normal' AND lr = 0.03"
        ).fetchall()
    }
    ratios = [logs["relu", seed] - logs["sigmoid", seed] for seed in range(3)]
    row = drawing.table[(drawing.table["init"] == "he_normal") & (drawing.table["layer"] == 1)]
    expected = stats.ttest_1samp(ratios, 0.0)
    interval = expected.confidence_interval(0.95)
    for name, value in (
        ("mean", np.mean(ratios)), ("low", interval.low), ("high", interval.high),
        ("p", expected.pvalue), ("pairs", 3),
    ):  # fmt: skip
        assert row[f"ratio_{name}"].tolist() == pytest.approx([value] * 2, rel=1e-9), name
    zeros = drawing.table[drawing.table["init"] == "zeros"]
    assert (zeros["zeros"] == 3).all()
    check(drawing.figure)


def test_every_figure_has_the_colours_of_the_study(study, relu):
    every = style.colours(["sigmoid", "relu", "identity"])
    (variant,) = comparable(study.trained, relu)
    for drawer in drawn.TRAINING:
        figure = drawer(study, relu, variant).figure
        lines = {to_hex(line.get_color()) for axis in figure.axes for line in axis.lines}
        lines |= {to_hex(handle.get_color()) for handle in figure.legends[0].legend_handles}
        assert {to_hex(every["relu"]), to_hex(every["sigmoid"])} <= lines
        check(figure)
    inits = [style.colours(style.INITIALIZERS)[init] for init in style.INITIALIZERS]
    assert len(set(inits)) == len(inits)
    assert (
        style.colours(["mine", "he_normal"])["he_normal"]
        == style.colours(["he_normal"])["he_normal"]
    )


def test_what_does_not_differ_is_left_out_with_a_reason(study, relu):
    drawing = drawn.units_at_start(study, relu, study.starts[0])
    assert "saturated, which relu does not have" in drawing.caption
    assert set(drawing.table["quantity"]) == {"dead_share", "z_collapse"}
    ((dead,),) = study.connection.execute(
        "SELECT avg(dead_units / units) FROM layers JOIN cells USING (cell) WHERE step = 0 AND layer = 4 "
        "AND depth = 5 AND init = 'he_normal' AND activation = 'relu' AND lr = 0.03"
    ).fetchall()
    rows = drawing.table.set_index(["quantity", "activation", "init", "layer"])
    assert rows.loc[("dead_share", "relu", "he_normal", 4), "mean"] == pytest.approx(
        dead, rel=1e-12
    )


# --------------------------------------------------------------------------------------- the page


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_page_is_offline_described_and_the_same_bytes_in_a_fresh_process(folder, tmp_path):
    made = write_comparison(Study(folder), "relu", "sigmoid")
    assert made.page == folder / "compare" / "relu-sigmoid" / "index.html"
    parsed = _Page()
    parsed.feed(made.page.read_text(encoding="utf-8"))
    for reference in parsed.references:
        if reference.startswith("#"):
            assert reference[1:] in parsed.ids
        elif not reference.startswith("data:image/svg+xml;base64,"):
            assert (made.page.parent / reference).is_file(), reference
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert len(parsed.images) == made.figures == 5
    assert all(image["alt"] for image in parsed.images)
    assert "default-src 'none'" in made.page.read_text(encoding="utf-8")
    copy = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("compare"))
    done = subprocess.run(
        [sys.executable, "-m", "analysis", "compare", str(copy), "relu", "sigmoid"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "TZ": "Asia/Seoul"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert digests(copy / "compare") == digests(folder / "compare")
    lines = done.stdout.splitlines()
    assert lines[0] == "Found:"
    assert lines[1].startswith("  - Each at its own best rate, relu is ")
    assert lines[-1] == (
        f"Comparison: {copy.as_posix()}/compare/relu-sigmoid/index.html (5 figures, each with its table)"
    )


def test_every_table_holds_what_its_figure_draws(folder, study, relu):
    made = write_comparison(study, "relu", "sigmoid")
    for drawers, (variant,) in (
        (drawn.TRAINING, comparable(study.trained, relu)),
        (drawn.START, comparable(study.starts, relu)),
    ):
        for drawer in drawers:
            written = pd.read_csv(made.page.parent / "tables" / f"{drawer.__name__}.csv")
            expected = drawer(study, relu, variant).table.reset_index(drop=True)
            pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-8, atol=0)


def test_the_average_can_be_had_from_the_table_of_pairs(study, relu):
    made = write_comparison(study, "relu", "sigmoid")
    pairs = pd.read_csv(made.page.parent / "tables" / "pairs.csv")
    whole = pairs[pairs["init"] != "normal (std 1e+80)"]
    assert not whole["lost"].any()
    per_seed = whole.groupby("seed")["difference"].mean()
    assert f": {100 * per_seed.mean():+.1f} points of test accuracy" in made.findings[0]
    assert len(pairs) == 8 * 3


def test_a_comparison_that_cannot_be_finished_leaves_everything_as_it_was(
    folder, tmp_path, monkeypatch
):
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("compare"))
    before = sorted(copy.rglob("*"))

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(style, "save", broken)
    with pytest.raises(
        StoreError, match=r"^cannot write the comparison to .*: No space left on device\.$"
    ):
        write_comparison(Study(copy), "relu", "sigmoid")
    assert sorted(copy.rglob("*")) == before


def test_folders_have_safe_names_of_their_own(study):
    def name(*labels: str) -> str:
        some = Study.__new__(Study)
        some.__dict__["cells"] = pd.DataFrame({"activation": labels})
        return folder_name(some, Pair("activation", labels[0], labels[1]))

    assert name("leaky_relu (negative_slope 0.2)", "relu") == "leaky_relu_negative_slope_0.2-relu"
    assert name("../x", "a/b\\c:d") == "x-a_b_c_d"
    assert len({name(*labels) for labels in itertools.permutations(("f (a b)", "f (a, b)"))}) == 2
    assert name("Relu", "relu") != name("relu", "Relu")
    assert len(name("f" * 300, "g" * 300)) < 255
    assert (
        folder_name(study, Pair("init", "normal (std 1e+80)", "zeros")) == "normal_std_1e+80-zeros"
    )


def test_an_untrained_study_has_the_figures_of_the_start_alone(tmp_path, capsys):
    many = [
        sample.condition(depth=5, activation=activation, init="he_normal", optim=RATES[0], steps=0, seeds=1)
        for activation in ("tanh", "relu")
    ]  # fmt: skip
    folder = sample.make(tmp_path, many)
    assert main(["compare", str(folder), "tanh", "relu"]) == 0
    said = capsys.readouterr().out
    assert "one pair without an interval" in said
    assert "Beyond doubt" not in said
    page = folder / "compare" / "tanh-relu" / "index.html"
    assert "no network was trained (steps = 0)" in page.read_text(encoding="utf-8")
    assert (page.parent / "figures" / "signal_ratio.svg").is_file()
    assert not (page.parent / "figures" / "paired_difference.svg").exists()


def test_what_no_figure_applies_to_has_a_page_that_says_why(tmp_path, capsys):
    many = [
        sample.condition(depth=2, activation=activation, init="he_normal", optim=RATES[0], steps=0, seeds=1)
        for activation in ("leaky_relu", "prelu")
    ]  # fmt: skip
    folder = sample.make(tmp_path, many)
    assert main(["compare", str(folder), "leaky_relu", "prelu"]) == 0
    assert "nothing: no figure applies; the page says why." in capsys.readouterr().out
    page = (folder / "compare" / "leaky_relu-prelu" / "index.html").read_text(encoding="utf-8")
    assert "a gradient changes on its way through at least two hidden layers" in page
    assert "dead units, of which there are none" in page


def test_parts_are_compared_each_by_itself_and_at_most_four(tmp_path):
    many = [
        sample.condition(
            depth=3, activation=activation, init="he_normal", optim=RATES[1], steps=1, seeds=1, width=width
        )
        for width in (4, 5, 6, 7, 8, 9) for activation in ("relu", "tanh")[: 1 if width == 9 else 2]
    ]  # fmt: skip
    made = write_comparison(Study(sample.make(tmp_path, many)), "tanh", "relu")
    assert any("left out: width=8." in note for note in made.notes)
    assert any(note.endswith("in common there: width=9.") for note in made.notes)
    assert (made.page.parent / "figures" / "paired_difference-4.svg").is_file()
    assert any(one.startswith("[width=4]") for one in made.findings)


def test_networks_that_are_only_planned_cannot_be_compared(tmp_path, capsys):
    many = [
        sample.condition(
            depth=depth, activation=activation, init="he_normal", optim=RATES[0], steps=1, seeds=1
        )
        for depth, activation in ((3, "relu"), (3, "tanh"), (4, "gelu"))
    ]
    folder = sample.make(tmp_path, many)
    known = Study(folder).cells
    wanted = set(known.loc[known["activation"] != "gelu", "cell"])
    for commit in (folder / "commits").iterdir():
        if set(json.loads(commit.read_text())["statuses"]) & wanted:
            commit.unlink()
    assert main(["compare", str(folder), "relu", "tanh"]) == 2
    assert "holds no two finished networks" in capsys.readouterr().err
    assert not (folder / "compare").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "rellu sigmoid",
            r"cannot compare 'rellu' \(did you mean 'relu'\?\): .* holds the activations sigmoid, relu, "
            r"identity and the initializers zeros, normal \(std 0\.05\), .*he_normal\.",
        ),
        ("relu normla", r"cannot compare 'normla' \(did you mean 'normal'\?\): .*"),
        ("relu relu", r"cannot compare relu with itself: name two different activations\."),
        (
            "normal zeros",
            r"cannot compare 'normal': it stands for 'normal \(std 0\.05\)' and 'normal \(std 1e\+80\)'; "
            r"write one of them, in quotes\.",
        ),
        (
            "relu he_normal",
            r"cannot compare relu with he_normal: the one is an activation, the other an initializer\.",
        ),
        (
            "he_normal relu",
            r"cannot compare he_normal with relu: the one is an initializer, the other an activation\.",
        ),
        ("relu", r"cannot read the command line: .* required: other; see --help\."),
        (
            "relu tanh more",
            r"cannot read the command line: unrecognized arguments: more; see --help\.",
        ),
    ],
)
def test_what_cannot_be_compared_gets_one_sentence(folder, tmp_path, capsys, words, sentence):
    before = sorted(folder.rglob("*"))
    assert main(["compare", str(folder), *words.split()]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(sentence + "\n", said.err), said.err
    assert sorted(folder.rglob("*")) == before


def test_parameters_may_be_written_as_settings_are(study):
    pair = find_pair(study, "normal (std=0.05)", "he_normal")
    assert (pair.kind, pair.one, pair.other) == ("init", "normal (std 0.05)", "he_normal")


def test_networks_with_nothing_in_common_are_named(tmp_path, capsys):
    many = [
        sample.condition(depth=3, activation="relu", init="he_normal", optim=RATES[0], steps=1, seeds=1),
        sample.condition(depth=3, activation="tanh", init="zeros", optim=RATES[0], steps=1, seeds=1),
    ]  # fmt: skip
    folder = sample.make(tmp_path, many)
    assert main(["compare", str(folder), "relu", "tanh"]) == 2
    assert (
        "that differ in the activation alone, same initializer, depth and seed "
        "(relu was run with he_normal; tanh with zeros)." in capsys.readouterr().err
    )


# ------------------------------------------------------------------------------------ the commands


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"], ["-h"]])
def test_help_is_a_page_for_people_that_needs_no_package(words):
    done = subprocess.run(
        [sys.executable, "-S", "-m", "analysis", *words],  # without site-packages
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for said in (
        "python -m analysis compare",
        "index.html",
        "never trains",
        "Exit codes: 0 done; 2 ",
    ):
        assert said in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert done.stderr == ""


def test_what_the_help_pages_type_is_understood(folder):
    from analysis.commands import compare, report

    lines = [line.strip() for page in (report.HELP, compare.HELP) for line in page.splitlines()]
    typed = [line for line in lines if line.startswith("python -m analysis") and "outputs/" in line]
    assert len(typed) >= 6
    for line in typed:
        assert re.fullmatch(
            r"python -m analysis (compare outputs/\w+ ('.*'|\w+) \w+|outputs/\w+( --against outputs/\w+)?)",
            line,
        )


@pytest.mark.parametrize("words", [["outputs/mine"], ["compare", "outputs/mine", "relu", "tanh"]])
def test_a_python_without_the_packages_gets_one_sentence(tmp_path, words):
    (tmp_path / "outputs" / "mine").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "analysis", *words],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(
        rf"cannot run: {re.escape(sys.executable)} has no package '\w+'; run `make install` and use "
        r"\.venv/bin/python\.\n",
        done.stderr,
    ), done.stderr


@pytest.mark.long
def test_a_study_called_like_a_command_is_reported_by_its_path(
    folder, tmp_path, monkeypatch, capsys
):
    shutil.copytree(folder, tmp_path / "compare")
    monkeypatch.chdir(tmp_path)
    assert main(["./compare"]) == 0
    assert "Report: compare/report/index.html" in capsys.readouterr().out


def test_the_comparison_never_loads_what_trains():
    code = (
        "import sys\nimport analysis.compare\n"
        "print([m for m in ('torch', 'study.training', 'study.network') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
