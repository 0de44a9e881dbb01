"""What training came to: accuracy by condition and rate, the best rate, and the linear model beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics import student_intervals

STATUSES = ("ok", "diverged", "failed", "missing")
"""What became of a network, the most telling first."""

CONDITION = ["activation", "init", "depth"]

AXES = [*CONDITION, "lr"]

LOST = ["diverged", "failed", "missing"]

LEARNT = 0.01
"""A guess of one class hits its share of the test split, which is chance give or take less than this."""


def finished_first(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells ordered by `STATUSES`, so that dropping duplicates keeps what is known."""
    place = {status: index for index, status in enumerate(STATUSES)}
    return cells.sort_values("status", key=lambda column: column.map(place), kind="stable")


def chance_of(cells: pd.DataFrame) -> float:
    """Return the accuracy of a guess, NaN while no network is finished."""
    classes = cells["classes"].dropna()
    return 1 / float(classes.iloc[0]) if len(classes) else float("nan")


def rate_scores(cells: pd.DataFrame, condition: list[str]) -> pd.DataFrame:
    """Return the mean validation accuracy of every condition and rate.

    A network that diverged, failed or is missing counts as one with accuracy 0, so that a rate at
    which some networks are lost is not chosen for the luck of the others.

    Args:
        cells: rows of `Study.cells` of one variant.
        condition: columns that make a condition.

    Returns:
        ``condition, lr, validation``, within a condition the best first; of equal rates the smallest.
    """
    score = cells["final_validation_accuracy"].where(cells["status"] == "ok", 0.0).fillna(0.0)
    means = (
        cells.assign(validation=score)
        .groupby([*condition, "lr"], as_index=False)["validation"]
        .mean()
    )
    return means.sort_values(
        [*condition, "validation", "lr"], ascending=[True] * len(condition) + [False, True]
    )


def best_rates(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each condition's best learning rate, chosen on the validation split."""
    best = rate_scores(cells, CONDITION).drop_duplicates(CONDITION)
    return cells.merge(best[AXES])


def linear_model(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the networks of the best linear model, none if none was run.

    Without a hidden layer there is no activation: networks of depth 1 that differ in it are one.

    Args:
        cells: rows of `Study.cells` of one variant.
    """
    linear = finished_first(cells[cells["depth"] == 1]).drop_duplicates(["init", "lr", "seed"])
    scores = rate_scores(linear, ["init"]).sort_values(
        ["validation", "lr", "init"], ascending=[False, True, True]
    )
    return linear.merge(scores[["init", "lr"]].head(1)).sort_values("seed")


def linear_accuracy(cells: pd.DataFrame) -> float:
    """Return the mean test accuracy of the best linear model, NaN if none was run."""
    linear = linear_model(cells)
    return float(linear.loc[linear["status"] == "ok", "final_test_accuracy"].mean())


def table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy of every condition with hidden layers, at every rate.

    Args:
        cells: rows of `Study.cells` of one trained variant.

    Returns:
        `AXES`; ``mean, low, high``: test accuracy with its 95 % interval over the networks that are
        ok; ``networks``: how many; the counts ``diverged``, ``failed`` and ``missing``;
        ``validation``: mean validation accuracy, lost networks as 0; ``best``: whether the rate is
        the condition's best by it; ``place``: whether the rate is the ``only``, ``largest`` or
        ``smallest`` of those tried or ``between``; ``above_chance``: beyond doubt, by more than
        `LEARNT`; ``gain, gain_low, gain_high``: test accuracy less that of the linear model of the
        same seed; ``above_linear``: beyond doubt.
    """
    linear, chance = linear_model(cells), chance_of(cells)
    cells = cells[cells["depth"] >= 2]
    ok = cells["status"] == "ok"
    accuracy = cells["final_test_accuracy"].where(ok)
    of_seed = linear[linear["status"] == "ok"].set_index("seed")["final_test_accuracy"]
    work = cells.assign(accuracy=accuracy, gain=accuracy - cells["seed"].map(of_seed))
    found = student_intervals(work, AXES, "accuracy")
    for status in LOST:
        counts = (cells["status"] == status).groupby([cells[key] for key in AXES]).sum()
        found[status] = counts.to_numpy()
    found = found.merge(rate_scores(cells, CONDITION), on=AXES)
    best = found.sort_values(["validation", "lr"], ascending=[False, True])
    found["best"] = found.index.isin(best.drop_duplicates(CONDITION).index)
    found["place"] = _places(found)
    gains = student_intervals(work, AXES, "gain")[[*AXES, "mean", "low", "high"]]
    names = {"mean": "gain", "low": "gain_low", "high": "gain_high"}
    found = found.merge(gains.rename(columns=names), on=AXES)
    found["above_chance"] = _surely(found, "mean", "low") > chance + LEARNT
    found["above_linear"] = _surely(found, "gain", "gain_low") > 0
    return found


def _places(found: pd.DataFrame) -> np.ndarray:
    """Return where each rate stands among those tried for its condition."""
    rates = found.groupby(CONDITION)["lr"]
    return np.select(
        [
            rates.transform("nunique") < 2,
            found["lr"] == rates.transform("max"),
            found["lr"] == rates.transform("min"),
        ],
        ["only", "largest", "smallest"],
        "between",
    )


def _surely(found: pd.DataFrame, mean: str, low: str) -> pd.Series:
    """Return what a mean is not below: its interval's lower end.

    A single network has no interval. Its own number must do where one was run, but not where it is
    what is left of several.
    """
    alone = (found["networks"] == 1) & (found[LOST].sum(axis=1) == 0)
    return found[low].where(~alone, found[mean])
