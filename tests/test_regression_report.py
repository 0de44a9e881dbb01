"""A study of both tasks: each part in its own score, never both in one figure."""

from __future__ import annotations

import itertools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis import figures
from analysis.compare import write_comparison
from analysis.frames import Study
from analysis.report import write_report
from analysis.score import linear_score, score_of
from tests import sample

RATES = [{"name": "sgd", "lr": lr} for lr in (0.01, 0.03)]
DATA = ({"name": "digits", "train_size": 200}, {"name": "diabetes", "train_size": 200})


def both_tasks() -> list[dict]:
    """Return deep networks and linear models of both tasks, one start without any number among them."""
    inits = ({"name": "he_normal"}, {"name": "normal", "std": 1e80}, {"name": "normal", "std": 1.0})
    deep = [
        sample.condition(
            depth=depth, activation="tanh", init=init, optim=optim, data=data, steps=30
        )
        for depth, init, optim, data in itertools.product((2, 4), inits, RATES, DATA)
    ]
    linear = [
        sample.condition(
            depth=1, activation="identity", init="he_normal", optim=RATES[0], data=data, steps=30
        )
        for data in DATA
    ]
    return [*deep, *linear]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(sample.make(tmp_path_factory.mktemp("both"), both_tasks()))


@pytest.fixture(scope="module")
def diabetes(study):
    (variant,) = [one for one in study.trained if "diabetes" in one.label]
    return variant


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_every_part_has_one_task(study):
    for variant in (*study.trained, *study.starts):
        assert variant.cells["task"].nunique() == 1
    # probe.samples, which diabetes is too small for, goes with the data and is not told besides
    names = {one.label: score_of(one.cells).name for one in study.trained}
    assert names == {"data=digits": "accuracy", "data=diabetes": "R²"}


def test_trainability_of_a_regression_is_drawn_in_r2(study, diabetes):
    drawing = figures.trainability.drawing(study, diabetes)
    axis = drawing.figure.axes[0]
    drawing.figure.draw_without_rendering()
    assert axis.get_ylabel() == "test R² at the best rate"
    assert not any("%" in tick.get_text() for tick in axis.get_yticklabels())
    ok = diabetes.cells[diabetes.cells["status"] == "ok"]
    linear = ok.loc[ok["depth"] == 1, "final_test_r2"].mean()
    assert linear_score(diabetes.cells) == pytest.approx(linear, rel=1e-15)
    level = [line for line in axis.lines if line.get_linestyle() in (":", "--")]
    assert [line.get_ydata()[0] for line in level] == pytest.approx([0.0, linear])
    one = ok[(ok["init"] == "he_normal") & (ok["depth"] == 2)]
    row = drawing.table.set_index(["init", "depth"]).loc[("he_normal", 2)]
    assert row["mean"] == pytest.approx(one.loc[one["lr"] == row["lr"], "final_test_r2"].mean())
    assert "Dotted: R² 0, which guessing the mean gets" in drawing.caption
    assert "accuracy" not in drawing.caption + drawing.alt


def test_a_condition_below_the_axis_is_marked_at_its_edge_and_not_left_out(study, diabetes):
    bad = diabetes.cells.copy()
    chosen = bad["init"] == "normal (std 1)"
    bad.loc[chosen, "status"] = "ok"
    bad.loc[chosen, "final_test_r2"] = -40.0
    drawing = figures.trainability.drawing(study, replace(diabetes, cells=bad))
    below = []
    for axis in drawing.figure.axes[:3]:
        marks = [line for line in axis.lines if line.get_marker() == "v"]
        below.append(sum(len(line.get_xdata()) for line in marks))
        low, high = axis.get_ylim()
        assert -0.6 < low < 0 < high
    assert sorted(below) == [0, 0, 2]  # one panel, both depths
    assert "Triangle at the lower edge: the mean lies below it." in drawing.caption
    kept = diabetes.cells[diabetes.cells["init"] == "he_normal"]
    assert (
        "Triangle" not in figures.trainability.drawing(study, replace(diabetes, cells=kept)).caption
    )


def test_the_rate_map_of_a_regression_begins_at_r2_0(study, diabetes):
    drawing = figures.rate_map.drawing(study, diabetes)
    bar = drawing.figure.axes[-1]
    low, high = bar.get_xlim()
    assert low == 0
    assert high == pytest.approx(np.nanmax([0.01, *drawing.table["mean"]]))
    assert "the darkest colour is chance, R² 0, or less" in drawing.caption


@pytest.mark.usefixtures("unpainted")
def test_the_report_tells_each_part_in_its_own_score(study):
    written = write_report(study)
    for finding in written.findings:
        if finding.startswith("[data=diabetes"):
            assert "accuracy" not in finding
        if finding.startswith("[data=digits"):
            assert "R²" not in finding
    assert any("the two do not compare" in finding for finding in written.findings)
    table = (study.folder / "report" / "tables" / "variants.csv").read_text(encoding="utf-8")
    header, *rows = (line.split(",") for line in table.splitlines())
    assert "score" in header
    assert len(rows) == 2


def test_two_activations_are_compared_in_a_regression(tmp_path):
    many = [
        sample.condition(
            depth=2, activation=activation, init="he_normal", optim=optim, data=DATA[1], steps=20
        )
        for activation in ("relu", "tanh")
        for optim in RATES
    ]
    study = Study(sample.make(tmp_path, many))
    made = write_comparison(study, "relu", "tanh")
    assert any("points of test R²" in finding for finding in made.findings)
    assert not any("accuracy" in finding for finding in made.findings)
    pairs = pd.read_csv(made.page.parent / "tables" / "pairs.csv")
    ok = pairs[~pairs["lost"]]
    assert len(ok)
    np.testing.assert_allclose(
        ok["difference"], ok["final_test_r2_one"] - ok["final_test_r2_other"], rtol=1e-6, atol=1e-9
    )
