"""Predictors of training against loops over the records, and the places of zeros and non-numbers."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import figures
from analysis.figures.predictors import BINS, measured, table
from analysis.findings.training import _telling
from analysis.frames import Study, Variant
from analysis.score import LEARNT
from analysis.statistics import roc_areas
from tests import sample


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(sample.make(tmp_path_factory.mktemp("sample")))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def found(study):
    (variant,) = study.trained
    return measured(study, variant.cells[variant.cells["depth"] >= 2])


def by_hand(study, cell, lr):
    """Return a network's predictors from its rows of ``layers``, one number after the other."""
    rows = study.connection.execute(
        "SELECT signal_grad_rms, z_collapse, dead_units, units, weight_grad_norm, weight_norm "
        "FROM layers WHERE cell = ? AND step = 0 ORDER BY layer",
        [cell],
    ).fetchall()
    first, last = rows[0][0], rows[-2][0]
    if first == 0:
        ratio = math.inf
    elif math.isfinite(first) and math.isfinite(last):
        ratio = abs(math.log10(first / last))
    else:
        ratio = math.nan
    gradient, weight = sum(row[4] ** 2 for row in rows), sum(row[5] ** 2 for row in rows)
    update = lr * gradient / weight if weight else math.nan
    dead = [row[2] for row in rows[:-1]]
    share = math.nan if None in dead else sum(dead) / sum(row[3] for row in rows[:-1])
    return {
        "gradient change": ratio,
        "collapse": rows[-2][1],
        "dead share": share,
        "relative update": math.log10(update) if update > 0 and math.isfinite(update) else math.nan,
    }


def test_every_predictor_is_that_of_the_networks_own_rows(study, found):
    assert len(found) == 96
    for row in found[found["init"] != "normal (std 1e+80)"].to_dict("records"):
        expected = by_hand(study, row["cell"], row["lr"])
        if row["activation"] == "sigmoid":  # no unit of which is ever dead
            expected["dead share"] = math.nan
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value, rtol=1e-12, atol=1e-12, err_msg=name)
    broken = found[found["init"] == "normal (std 1e+80)"]
    assert broken[["gradient change", "collapse", "relative update"]].isna().all(axis=None)


def test_a_network_has_trained_where_it_is_above_chance_by_more_than_a_guess(study, found):
    statuses = study.cells.set_index("cell")
    for row in found.to_dict("records"):
        of = statuses.loc[row["cell"]]
        expected = of["status"] == "ok" and of["final_test_accuracy"] > 0.1 + LEARNT
        assert row["trained"] == expected


def made(**columns: list) -> pd.DataFrame:
    """Return a frame as `measured` does, a condition a network where none is said."""
    count = len(columns["trained"])
    base = {
        "activation": "relu", "init": "he_normal", "depth": list(range(2, 2 + count)),
        "gradient change": 1.0, "collapse": 1.0, "dead share": math.nan, "relative update": 1.0,
        "learning rate": 0.1, "mortal": False, "status": "ok",
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def area(frame: pd.DataFrame, name: str) -> float:
    """Return the area of one predictor."""
    drawn = table(frame).set_index(["predictor", "bin"])
    return float(drawn.loc[(name, "all"), "area"])


def test_zeros_rank_as_the_most_vanished_and_what_is_no_number_below_them():
    frame = made(
        trained=[True, True, False, False], **{"gradient change": [0.5, 9.0, math.inf, math.nan]}
    )
    assert area(frame, "gradient change") == 1.0
    swapped = made(
        trained=[True, True, False, True], **{"gradient change": [0.5, 9.0, math.inf, math.nan]}
    )
    assert area(swapped, "gradient change") == pytest.approx(2 / 3)
    update = made(
        trained=[False, False, True, True],
        **{"relative update": [math.nan, -math.inf, -9.0, math.nan]},
    )
    # −9 is above both, NaN ties with NaN and is below −∞
    assert area(update, "relative update") == pytest.approx((2 + 0.5) / 4)
    rows = table(update).set_index(["predictor", "bin"]).loc["relative update"]
    assert rows.loc[["zero", "nonfinite"], "networks"].tolist() == [1, 2]
    assert rows.loc["nonfinite", "share"] == 0.5


def test_the_order_of_the_networks_changes_nothing_and_a_turned_predictor_turns_its_area(found):
    drawn = table(found)
    mixed = table(found.sample(frac=1, random_state=5))
    pd.testing.assert_frame_equal(drawn, mixed, rtol=1e-12)
    turned = table(found.assign(depth=-found["depth"])).set_index(["predictor", "bin"])
    straight = drawn.set_index(["predictor", "bin"])
    for frame, back in ((straight, turned), (turned, straight)):
        row, other = frame.loc[("depth", "all")], back.loc[("depth", "all")]
        assert row["area"] == pytest.approx(1 - other["area"])
        assert row["low"] == pytest.approx(1 - other["high"])


def test_bins_hold_every_network_once_and_the_share_that_trained(found):
    drawn = table(found)
    of_bins = drawn[drawn["bin"] != "all"]
    total = drawn[drawn["bin"] == "all"].set_index("predictor")
    sums = of_bins.groupby("predictor")[["networks", "trained"]].sum()
    pd.testing.assert_frame_equal(sums, total.loc[sums.index, ["networks", "trained"]])
    np.testing.assert_allclose(of_bins["share"], of_bins["trained"] / of_bins["networks"])
    known = of_bins[~of_bins["bin"].isin(["zero", "nonfinite"])]
    assert known["bin"].astype(int).between(1, BINS).all()
    for _, part in known.groupby("predictor"):
        assert (part["smallest"].to_numpy()[1:] > part["largest"].to_numpy()[:-1]).all()


def test_the_best_is_compared_on_the_same_networks_alone(found):
    areas = table(found).query("bin == 'all'").set_index("predictor")
    whole = areas[areas["networks"] == len(found)]
    assert list(whole["area"]) == sorted(whole["area"], reverse=True)
    np.testing.assert_allclose(
        whole["behind"].iloc[1:], whole["area"].iloc[0] - whole["area"].iloc[1:]
    )
    assert math.isnan(whole["behind"].iloc[0])
    assert areas.index[-1] == "dead share"
    assert math.isnan(areas.at["dead share", "behind"])
    assert areas.at["dead share", "networks"] == (found["activation"] == "relu").sum()
    (finding,) = _telling(table(found))
    best, second = whole.iloc[0], whole.iloc[1]
    assert (
        f"{whole.index[0]} ({best['says']}) tells best which of 96 networks train" in finding.text
    )
    assert f"{best['area']:.2f} [{best['low']:.2f}, {best['high']:.2f}]" in finding.text
    assert f"behind by {second['behind']:.2f}" in finding.text
    beyond = second["behind_low"] > 0
    assert ("is not beyond doubt" in finding.text) != beyond


def test_a_difference_that_is_beyond_doubt_is_told_as_such():
    random = np.random.default_rng(0)
    trained = np.arange(200) % 2 == 0
    good, bad = trained + 0.5 * random.normal(size=200), random.normal(size=200)
    frame = made(trained=trained, collapse=-good, **{"relative update": bad})
    frame["depth"] = np.arange(200)
    (finding,) = _telling(table(frame))
    assert "collapse (smaller trains) tells best which of 200 networks train" in finding.text
    assert "which is beyond doubt" in finding.text


def test_guesses_are_not_told_to_predict_anything():
    random = np.random.default_rng(0)
    frame = made(
        trained=np.arange(60) % 2 == 0,
        collapse=random.normal(size=60),
        **{"relative update": random.normal(size=60)},
    )
    frame["depth"] = random.permutation(60)
    (finding,) = _telling(table(frame))
    assert finding.text.startswith("None of ")
    assert "tells beyond doubt which of 60 networks train" in finding.text


def test_dots_and_lines_stand_where_the_table_says(study):
    drawing = figures.predictors.drawing(study)
    areas = drawing.table[drawing.table["bin"] == "all"]
    for place, row in enumerate(areas.to_dict("records")):
        left, right = drawing.figure.axes[2 * place : 2 * place + 2]
        assert left.lines[-1].get_xdata()[0] == row["area"]
        assert list(left.lines[-2].get_xdata()) == [row["low"], row["high"]]
        part = drawing.table[drawing.table["predictor"] == row["predictor"]]
        shares = part.loc[part["bin"].isin(list(map(str, range(1, BINS + 1)))), "share"]
        assert list(right.lines[1].get_ydata()) == list(shares)
    assert "24 diverged and did not" in drawing.caption
    assert "judged among networks with relu alone" in drawing.caption


@pytest.mark.parametrize("which", ["all", "none"])
def test_where_all_or_none_trained_nothing_tells_them_apart(study, which):
    (variant,) = study.trained
    cells = variant.cells.copy()
    good = cells["final_test_accuracy"] > 0.1 + LEARNT
    ok = cells["status"] == "ok"
    cells = cells[good & ok] if which == "all" else cells[~(good & ok)]
    cells = cells[cells["depth"] >= 2]
    with pytest.raises(figures.NotApplicable, match=f"^{which} of the "):
        figures.predictors.drawing(study, Variant("", cells))


def test_missing_networks_are_left_out_and_counted(study):
    (variant,) = study.trained
    cells = variant.cells.copy()
    gone = cells.index[cells["depth"] == 5][:7]
    cells.loc[gone, "status"] = "missing"
    drawing = figures.predictors.drawing(study, Variant("", cells))
    assert "7 failed or missing ones are left out" in drawing.caption
    assert "Of 89 networks" in drawing.caption


def test_a_network_that_diverged_has_not_trained_whatever_its_last_accuracy(study):
    (variant,) = study.trained
    cells = variant.cells[variant.cells["depth"] >= 2]
    lost = cells["status"] == "diverged"
    assert lost.any()
    changed = cells.assign(final_test_accuracy=cells["final_test_accuracy"].mask(lost, 0.9))
    again = measured(study, changed)
    assert not again.loc[again["status"] == "diverged", "trained"].any()


def test_the_difference_has_the_variance_of_the_contrast_of_both_areas():
    random = np.random.default_rng(6)
    trained = np.arange(60) % 2 == 0
    one = trained + random.normal(size=60)
    frame = made(
        trained=trained, collapse=-one, **{"relative update": one + random.normal(size=60)}
    )
    frame["depth"] = np.arange(60) // 4  # the clusters
    areas = table(frame).query("bin == 'all'").set_index("predictor")
    both = np.column_stack([one, frame["relative update"]])
    found = roc_areas(both, trained, frame["depth"])
    contrast = np.array([1, -1])
    half = stats.t.ppf(0.975, found.clusters - 1) * math.sqrt(
        contrast @ found.covariance @ contrast
    )
    row = areas.loc["relative update"]
    assert row["behind"] == pytest.approx(found.areas[0] - found.areas[1])
    assert row["behind_high"] - row["behind"] == pytest.approx(half)
    assert row["behind"] - row["behind_low"] == pytest.approx(half)
