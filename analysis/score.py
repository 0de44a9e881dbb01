"""What training came to: the score by condition and rate, the best rate, and the linear model beside it.

The score is the accuracy, or R² in regression: `Score` says which, and how it is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import matplotlib.ticker
import numpy as np
import pandas as pd

from analysis import style
from analysis.statistics import student_intervals

STATUSES = ("ok", "diverged", "failed", "missing")
"""What became of a network, the most telling first."""

MEASURED = ("ok", "diverged")
"""Networks that have records."""

CONDITION = ["activation", "init", "depth"]

AXES = [*CONDITION, "lr"]

LOST = ["diverged", "failed", "missing"]

LEARNT = 0.01
"""A guess of one class hits its share of the test split, which is chance give or take less than this; a
guess of the training split's mean has an R² of at most 0."""


def finished_first(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells ordered by `STATUSES`, so that dropping duplicates keeps what is known."""
    place = {status: index for index, status in enumerate(STATUSES)}
    return cells.sort_values("status", key=lambda column: column.map(place), kind="stable")


@dataclass(frozen=True)
class Score:
    """How the networks of a variant are judged: by accuracy, or by R² in regression.

    Attributes:
        name: ``"accuracy"`` or ``"R²"``.
        column: what the columns of the records end in.
        chance: the score of a guess; NaN for accuracy while no network is finished.
    """

    name: str
    column: str
    chance: float

    @property
    def regression(self) -> bool:
        """Whether the score is R²."""
        return self.column == "r2"

    @property
    def validation(self) -> str:
        """The column of the validation split."""
        return f"final_validation_{self.column}"

    @property
    def test(self) -> str:
        """The column of the test split."""
        return f"final_test_{self.column}"

    def written(self, value: float) -> str:
        """Return a score as text: ``"84.2%"`` or ``"R² 0.47"``."""
        if not self.regression:
            return f"{value:.1%}"
        shown = f"{value:.2f}" if abs(value) < 1000 else f"{value:.1e}"
        return f"R² {shown.replace('-', '−')}"

    def on_test(self, value: float) -> str:
        """Return what a score on the test split says, for a sentence."""
        where = "on" if self.regression else "of"
        return f"{self.written(value)} {where} the test split"

    @property
    def written_chance(self) -> str:
        """What a guess scores, for a sentence."""
        return "R² 0" if self.regression else f"{self.chance:.0%}"

    @property
    def margin(self) -> str:
        """`LEARNT` as text."""
        return f"{LEARNT:g}" if self.regression else f"{LEARNT:.0%}"

    @property
    def ticks(self) -> matplotlib.ticker.Formatter:
        """How an axis of scores is labelled."""
        return matplotlib.ticker.StrMethodFormatter("{x:g}") if self.regression else style.percent()


ACCURACY = Score("accuracy", "accuracy", float("nan"))
R2 = Score("R²", "r2", 0.0)


def score_named(name: str) -> Score:
    """Return the score of this name, of an accuracy without its chance."""
    return R2 if name == R2.name else ACCURACY


def score_of(cells: pd.DataFrame) -> Score:
    """Return how networks are judged.

    Args:
        cells: rows of `Study.cells` of one variant, which has one data set and so one task.
    """
    if (cells["task"] == "regression").any():
        return R2
    classes = cells["classes"].dropna()
    return replace(ACCURACY, chance=1 / float(classes.iloc[0])) if len(classes) else ACCURACY


def rate_scores(cells: pd.DataFrame, condition: list[str], score: Score) -> pd.DataFrame:
    """Return the mean validation score of every condition and rate.

    A network that diverged, failed or is missing counts as one with accuracy 0, or with the lowest R²
    of any network if that is below 0, so that a rate at which some networks are lost is not chosen for
    the luck of the others; and so does every network by which a rate has fewer than another one of the
    same condition.

    Args:
        cells: rows of `Study.cells` of one variant.
        condition: columns that make a condition.
        score: how the variant's networks are judged.

    Returns:
        ``condition, lr, validation``, within a condition the best first; of equal rates the smallest.
    """
    known = cells[score.validation].where(cells["status"] == "ok")
    lowest = min(0.0, known.min()) if known.notna().any() else 0.0
    means = (
        cells.assign(validation=known.fillna(lowest))
        .groupby([*condition, "lr"])["validation"]
        .agg(["sum", "count", "mean"])
        .reset_index()
    )
    most = means.groupby(condition)["count"].transform("max")
    filled = (means["sum"] + lowest * (most - means["count"])) / most
    # where nothing is filled in, the mean as it is: equal rates must stay equal to the last bit
    means["validation"] = means["mean"].where(means["count"] == most, filled)
    return means[[*condition, "lr", "validation"]].sort_values(
        [*condition, "validation", "lr"], ascending=[True] * len(condition) + [False, True]
    )


def best_rates(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each condition's best learning rate, chosen on the validation split."""
    best = rate_scores(cells, CONDITION, score_of(cells)).drop_duplicates(CONDITION)
    return cells.merge(best[AXES])


def linear_model(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the networks of the best linear model, none if none was run.

    Without a hidden layer there is no activation: networks of depth 1 that differ in it are one.

    Args:
        cells: rows of `Study.cells` of one variant.
    """
    linear = finished_first(cells[cells["depth"] == 1]).drop_duplicates(["init", "lr", "seed"])
    scores = rate_scores(linear, ["init"], score_of(cells)).sort_values(
        ["validation", "lr", "init"], ascending=[False, True, True]
    )
    return linear.merge(scores[["init", "lr"]].head(1)).sort_values("seed")


def linear_score(cells: pd.DataFrame) -> float:
    """Return the mean test score of the best linear model, NaN if none was run."""
    linear = linear_model(cells)
    return float(linear.loc[linear["status"] == "ok", score_of(cells).test].mean())


def table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the test score of every condition with hidden layers, at every rate.

    Args:
        cells: rows of `Study.cells` of one trained variant.

    Returns:
        `AXES`; ``mean, low, high``: test score with its 95 % interval over the networks that are
        ok; ``networks``: how many; the counts ``diverged``, ``failed`` and ``missing``;
        ``validation``: mean validation score as `rate_scores` has it; ``best``: whether the rate is
        the condition's best by it; ``place``: whether the rate is the ``only``, ``largest`` or
        ``smallest`` of those tried or ``between``; ``above_chance``: beyond doubt, by more than
        `LEARNT`, networks that diverged or failed taken for a guess; ``gain, gain_low, gain_high``:
        test score less that of the linear model of the same seed, these networks again taken for a
        guess; ``above_linear``: beyond doubt.
    """
    linear, score = linear_model(cells), score_of(cells)
    cells = cells[cells["depth"] >= 2]
    ok = cells["status"] == "ok"
    reached = cells[score.test].where(ok)
    of_seed = linear[linear["status"] == "ok"].set_index("seed")[score.test]
    # without those that are lost, the luck of the others would be judged
    judged = reached.mask(cells["status"].isin(["diverged", "failed"]), score.chance)
    work = cells.assign(score=reached, judged=judged, gain=judged - cells["seed"].map(of_seed))
    found = student_intervals(work, AXES, "score")
    for status in LOST:
        counts = (cells["status"] == status).groupby([cells[key] for key in AXES]).sum()
        found[status] = counts.to_numpy()
    found = found.merge(rate_scores(cells, CONDITION, score), on=AXES)
    best = found.sort_values(["validation", "lr"], ascending=[False, True])
    found["best"] = found.index.isin(best.drop_duplicates(CONDITION).index)
    found["place"] = _places(found)
    gains = student_intervals(work, AXES, "gain")[[*AXES, "mean", "low", "high"]]
    names = {"mean": "gain", "low": "gain_low", "high": "gain_high"}
    found = found.merge(gains.rename(columns=names), on=AXES)
    chances = student_intervals(work, AXES, "judged")[[*AXES, "low"]]
    found = found.merge(chances.rename(columns={"low": "judged_low"}), on=AXES)
    found["above_chance"] = _surely(found, "mean", "judged_low") > score.chance + LEARNT
    found["above_linear"] = _surely(found, "gain", "gain_low") > 0
    return found.drop(columns="judged_low")


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
