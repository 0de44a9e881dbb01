"""Findings and the tables behind them, against records made by hand for each trap."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from analysis import score
from analysis.figures.trainability import at_edge
from analysis.findings import (
    Finding,
    merged,
    outcome_findings,
    part_table,
    parts_finding,
    start_findings,
    training_findings,
)
from analysis.findings.start import EXPLODED, KEPT, LOST, MIXED, UNDEFINED, ZERO, kinds
from analysis.frames import Variant
from analysis.statistics import log_statistics, student_interval
from analysis.words import listed, power, share, signed


def cells(*conditions: dict, seeds: int = 3) -> pd.DataFrame:
    """Return rows as `Study.cells` has them; ``test`` and ``validation`` are a number or one a seed."""
    rows = []
    for condition, seed in itertools.product(conditions, range(seeds)):
        row = {"activation": "relu", "init": "he_normal", "depth": 4, "lr": 0.1, "steps": 10,
               "status": "ok", "error": None, "task": "classification",
               "classes": 10.0} | condition | {"seed": seed}  # fmt: skip
        row = {key: value[seed] if isinstance(value, list) else value for key, value in row.items()}
        test = row.pop("test", math.nan)
        lost = row["status"] != "ok"
        what = "r2" if row["task"] == "regression" else "accuracy"
        row[f"final_validation_{what}"] = math.nan if lost else row.pop("validation", test)
        row[f"final_test_{what}"] = math.nan if lost else test
        rows.append(row)
    return pd.DataFrame(rows)


def found(frame: pd.DataFrame) -> str:
    """Return the findings on training, a line each."""
    table = score.table(frame)
    tables = {"trainability": table[table["best"]], "rate_map": table}
    return "\n".join(one.text for one in training_findings(tables, Variant("", frame)))


def spread(mean: float, half: float = 0.01) -> list[float]:
    """Return three values around a mean."""
    return [mean - half, mean, mean + half]


def test_the_linear_model_is_one_condition_whatever_activation_it_was_run_with():
    frame = cells(
        {"depth": 1, "activation": "relu", "init": "zeros", "test": spread(0.5)},
        {"depth": 1, "activation": "tanh", "init": "zeros", "test": spread(0.5)},
        {"depth": 1, "init": "he_normal", "test": spread(0.9), "validation": spread(0.3)},
        {"depth": 1, "init": "zeros", "lr": 0.3, "test": spread(0.2)},
    )
    chosen = score.linear_model(frame)
    assert (chosen["init"] == "zeros").all()
    assert chosen["seed"].tolist() == [0, 1, 2]
    assert score.linear_score(frame) == pytest.approx(0.5)
    assert math.isnan(score.linear_score(frame[frame["depth"] > 1]))


def test_the_gain_over_the_linear_model_is_paired_by_seed():
    linear, deep = [0.4, 0.5, 0.6], [0.43, 0.52, 0.64]
    frame = cells({"depth": 1, "test": linear}, {"test": deep})
    (row,) = score.table(frame).to_dict("records")
    expected = student_interval([b - a for a, b in zip(linear, deep, strict=True)])
    assert (row["gain"], row["gain_low"]) == pytest.approx((expected.mean, expected.low))
    assert row["above_linear"]
    assert "above the linear model of the same seed" in found(frame)
    assert "it is not clearly above" in found(cells({"depth": 1, "test": linear}, {"test": linear}))


def test_a_best_rate_at_the_edge_is_told_of_conditions_above_chance_alone():
    frame = cells(
        {"lr": 0.1, "test": spread(0.5)},
        {"lr": 0.3, "test": spread(0.6)},
        {"lr": 0.1, "init": "zeros", "test": spread(0.1, 0.001)},
        {"lr": 0.3, "init": "zeros", "test": spread(0.101, 0.001)},
        {"lr": 0.1, "activation": "tanh", "test": spread(0.6)},
    )
    table = score.table(frame)
    assert at_edge(table[table["best"]]).sum() == 1
    assert dict(zip(table["activation"], table["place"], strict=True))["tanh"] == "only"
    expected = "For the one condition above chance the largest rate tried, 0.3, is the best"
    assert expected in found(frame)


def test_the_best_condition_is_chosen_on_validation_and_never_at_chance():
    luck = cells(
        {"init": "zeros", "test": spread(0.9), "validation": spread(0.5)},
        {"init": "orthogonal", "test": spread(0.8), "validation": spread(0.6)},
    )
    assert "The best condition by validation accuracy is relu with orthogonal" in found(luck)
    wide = found(cells({"test": [0.1, 0.1, 0.9]}))
    assert wide.startswith("No condition with a hidden layer is above chance beyond doubt")
    assert "3 networks each" in wide
    assert "best condition" not in wide
    assert "stay at chance" not in wide


def test_a_lone_survivor_is_no_evidence_but_a_single_network_is():
    alone = cells({"test": 0.8}, seeds=1)
    assert score.table(alone)["above_chance"].all()
    survivor = cells({"test": 0.8, "status": ["ok", "diverged", "diverged"]})
    assert not score.table(survivor)["above_chance"].any()
    two = cells({"test": spread(0.8), "status": ["ok", "ok", "failed"]})
    assert not score.table(two)["above_chance"].any()


def test_networks_that_diverged_count_as_a_guess_where_something_is_called_sure():
    reached = [0.8, 0.81, 0.79, 0.8, 0.82, 0.78, 0.8, 0.8, 0.81, 0.79]
    status = ["ok"] * 9 + ["diverged"]
    deep = {"test": reached, "status": status}
    frame = cells({"depth": 1, "test": 0.6}, deep, seeds=10)
    (row,) = score.table(frame).to_dict("records")
    guessed = student_interval([*reached[:9], 0.1])
    assert row["mean"] == pytest.approx(
        np.mean(reached[:9])
    )  # what is shown is of those that finished
    assert row["above_chance"] == (guessed.low > 0.1 + score.LEARNT)
    gain = student_interval([*(one - 0.6 for one in reached[:9]), 0.1 - 0.6])
    assert (row["gain"], row["gain_low"]) == pytest.approx((gain.mean, gain.low))
    assert not row["above_linear"]  # of the nine alone it would be
    said = found(frame)
    assert "(9 of 10 networks finished)" in said
    assert "networks that diverged or failed count as a guess" in said


def test_a_rate_that_few_seeds_tried_is_not_chosen_for_their_luck():
    frame = pd.concat(
        [
            cells({"lr": 0.1, "test": 0.5}, seeds=6),
            cells({"lr": 0.3, "test": 0.6}, seeds=1),
        ]
    )
    rates = score.rate_scores(frame, score.CONDITION, score.score_of(frame)).set_index("lr")
    assert rates.at[0.1, "validation"] == pytest.approx(0.5)
    assert rates.at[0.3, "validation"] == pytest.approx(0.6 / 6)
    assert set(score.best_rates(frame)["lr"]) == {0.1}


def test_the_greatest_depth_that_learns_is_told_of_every_condition():
    frame = cells(
        {"depth": 2, "test": spread(0.6)},
        {"depth": 8, "test": spread(0.5)},
        {"depth": 2, "activation": "tanh", "test": spread(0.4)},
        {"depth": 8, "activation": "tanh", "test": spread(0.1, 0.001)},
        {"depth": 2, "activation": "sigmoid", "test": spread(0.1, 0.001)},
        {"depth": 8, "activation": "sigmoid", "test": spread(0.1, 0.001)},
    )
    assert (
        "The greatest depth (of 2, 8) above chance at its best rate: 8 for relu with he_normal. "
        "2 for tanh with he_normal; none for sigmoid with he_normal."
    ) in found(frame)


def test_a_condition_whose_networks_are_not_there_is_not_said_to_fail() -> None:
    both = [
        {"activation": one, "depth": depth, "test": 0.9, "status": "ok"}
        for one in ("relu", "sigmoid")
        for depth in (2, 4)
    ]
    both[-1] |= {"status": "missing"}
    said = found(cells(*both))
    assert "At depth 4, the one condition" in said or "At depth 4, 1 of 1 condition" in said
    assert "sigmoid" not in next(line for line in said.splitlines() if "At depth 4" in line)


def test_a_rate_is_too_fast_only_where_a_smaller_one_is_safe():
    slow = {"lr": 0.03, "test": spread(0.5)}
    fast = {"lr": 0.3, "test": 0.5, "status": ["ok", "diverged", "diverged"]}
    text = found(cells(slow, fast))
    assert "rate 0.3 makes networks diverge (2 of 3 relu); at rate 0.03 none does." in text
    assert "diverge" not in found(cells({**slow, "lr": 1.0}, fast))


def test_divergence_and_every_reason_of_failure_are_told():
    frame = cells(
        {"status": ["ok", "failed", "failed"], "error": "ValueError: no"},
        {"depth": 8, "status": ["ok", "ok", "diverged"]},
    )
    told = [one.text for one in outcome_findings(frame)]
    assert told == [
        "2 of 6 networks failed: ValueError: no.",
        "1 of 6 trained networks diverged: relu with he_normal (depth 8, rate 0.1).",
    ]


REGRESSION = {"task": "regression", "classes": math.nan}


def test_a_regression_is_told_in_r2_and_never_in_percent():
    frame = cells(
        REGRESSION | {"depth": 1, "test": spread(0.49)},
        REGRESSION | {"test": spread(0.47)},
        REGRESSION | {"init": "zeros", "test": spread(-0.2)},
    )
    told = found(frame)
    assert (
        "The best condition by validation R² is relu with he_normal at depth 4 and rate 0.1: R² 0.47 on "
        "the test split [R² 0.45, R² 0.49] (chance R² 0, a linear model R² 0.49)."
    ) in told
    assert (
        "1 of 2 conditions is above chance at the best rate (the 95 % interval by more than 0.01)"
        in told
    )
    assert "%" not in told.replace("95 %", "")
    assert "accuracy" not in told
    nothing = found(cells(REGRESSION | {"test": spread(0.0, 0.005)}))
    assert nothing.startswith("No condition with a hidden layer is above chance beyond doubt")
    assert "(3 networks each; the 95 % interval by more than 0.01; chance R² 0)" in nothing


def test_r2_is_written_with_a_true_minus_sign_and_no_digits_without_end():
    written = score.R2.written
    assert [written(0.4651), written(-0.2), written(-1.234e20)] == [
        "R² 0.47", "R² −0.20", "R² −1.2e+20",
    ]  # fmt: skip


def test_a_lost_network_counts_as_the_worst_regression_that_finished():
    lucky = {"lr": 0.3, "status": ["ok", "diverged", "diverged"], "test": 0.6}
    poor = {"lr": 0.1, "test": spread(-0.4)}
    awful = {"lr": 0.01, "test": -7.0}
    frame = cells(*(REGRESSION | one for one in (lucky, poor, awful)))
    rates = score.rate_scores(frame, score.CONDITION, score.R2).set_index("lr")["validation"]
    assert rates[0.1] == pytest.approx(-0.4)
    # a network with 0.6 and two that count as -7
    assert rates[0.3] == pytest.approx((0.6 - 14.0) / 3)
    assert score.best_rates(frame)["lr"].unique().tolist() == [0.1]


def test_parts_of_both_tasks_say_which_number_is_which():
    digits = Variant("data=digits", cells({"test": spread(0.85)}))
    diabetes = Variant("data=diabetes", cells(REGRESSION | {"test": spread(0.45)}))
    lost = Variant("data=other", cells(REGRESSION | {"test": spread(-0.1)}))
    table = part_table([digits, diabetes, lost])
    assert table["score"].tolist() == ["accuracy", "R²", "R²"]
    [one] = parts_finding(table)
    assert one.text == (
        "Best condition by the validation split, with its score on the test split (accuracy in %, R² in "
        "regression; the two do not compare): data=digits: relu with he_normal at depth 4, rate 0.1, "
        "85.0%; data=diabetes: relu with he_normal at depth 4, rate 0.1, R² 0.45; data=other: none above "
        "chance beyond doubt."
    )
    [alike] = parts_finding(part_table([diabetes, lost]))
    assert alike.text.startswith(
        "Best condition by validation R², with its test R²: data=diabetes: "
    )


def gradients(**relative: list[float]) -> pd.DataFrame:
    """Return rows of an atlas of depth 4, layer 1, an initializer each."""
    rows = [
        {"activation": "relu", "init": init, "depth": 4, "layer": 1, "relative": value}
        for init, values in relative.items()
        for value in values
    ]
    return log_statistics(pd.DataFrame(rows), ["activation", "init", "depth", "layer"], "relative")


def test_what_becomes_of_the_gradient_is_judged_network_by_network():
    atlas = gradients(
        keep=[0.5, 2.0], lose=[1e-3, 0.0], grow=[1e3, 1e4], mixed=[1e-3, 1e3], zero=[0.0, 0.0],
        none=[math.inf, math.nan],
    )  # fmt: skip
    kind = dict(zip(atlas["init"], kinds(atlas), strict=True))
    assert kind == {
        "keep": KEPT, "lose": LOST, "grow": EXPLODED, "mixed": MIXED, "zero": ZERO,
        "none": UNDEFINED,
    }  # fmt: skip
    row = atlas.set_index("init").loc["mixed"]
    assert (row["smallest"], row["largest"]) == pytest.approx((-3.0, 3.0))
    text = "\n".join(one.text for one in start_findings({"atlas": atlas}))
    assert "1 of 6 conditions loses" in text
    assert "relu with lose (exactly 0 in 1 of 2 networks)" in text
    assert "1 of 6 conditions keeps it in some networks and not in others: relu with mixed" in text
    assert "\nAt depth 4, 0 of" not in text


def test_a_sentence_that_parts_share_is_told_once():
    same, other = Finding("a.", "atlas-1"), Finding("b.", "atlas-2")
    shared = [("x=1", same), ("x=2", Finding("a.", "atlas-2")), ("x=2", other)]
    assert [one.text for one in merged(shared, 2)] == ["[every part drawn] a.", "[x=2] b."]
    assert merged([("", same)], 1) == [same]


def test_numbers_and_lists_read_as_english():
    assert (power(-0.04), power(0.04), power(-18.93)) == ("10^0.0", "10^0.0", "10^−18.9")
    assert signed(4.5, "+") == "+4.5"
    assert [share(1, 1, "condition"), share(3, 3, "network"), share(1, 3, "network")] == [
        "the one condition", "all 3 networks", "1 of 3 networks",
    ]  # fmt: skip
    rows = pd.DataFrame({"activation": ["tanh", "relu"], "init": ["zeros", "zeros"]})
    assert listed(rows) == "tanh and relu with zeros"
