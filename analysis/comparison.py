"""Two activations, or two initializers, against each other: networks paired by seed, condition by condition.

A pair is two networks of the same seed and condition, and so of the same split, batches and underlying
normal draws. Differences are always the one less the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import score, style
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.statistics import Interval, holm, paired_tests, student_interval
from analysis.words import joined
from study.errors import SettingError, nearest

KINDS = {"activation": "activation", "init": "initializer"}
"""What can be compared: the column of `Study.cells` and its name."""

ORDERS = {"activation": style.ACTIVATIONS, "init": style.INITIALIZERS}

RISK = 0.05
"""The chance of even one false claim among the conditions of a part."""

AHEAD, BEHIND, UNDECIDED, UNJUDGED = "ahead", "behind", "undecided", "not judged"

SIDES = ("one", "other")


@dataclass(frozen=True)
class Pair:
    """What is compared.

    Attributes:
        kind: ``"activation"`` or ``"init"``.
        one: label of the one, as in `Study.cells`.
        other: label of the other.
    """

    kind: str
    one: str
    other: str

    @property
    def across(self) -> str:
        """The column of what both are compared with: the initializer of activations, and vice versa."""
        return "init" if self.kind == "activation" else "activation"

    @property
    def condition(self) -> list[str]:
        """The columns that make a condition."""
        return [self.across, "depth"]

    def side(self, cells: pd.DataFrame, side: str) -> pd.DataFrame:
        """Return the rows of the ``"one"`` or the ``"other"``."""
        return cells[cells[self.kind] == getattr(self, side)]

    def matched(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Return the networks of both side by side: a row for each condition and seed that both have.

        Args:
            cells: rows with `condition`, ``seed`` and `kind`, one for each of these.

        Returns:
            ``condition, seed``; the other columns twice, with ``_one`` and ``_other`` behind them.
        """
        keys = [*self.condition, "seed"]
        one, other = (self.side(cells, side).drop(columns=self.kind) for side in SIDES)
        found = one.merge(other, on=keys, suffixes=("_one", "_other"))
        return found.sort_values(keys).reset_index(drop=True)

    def shared(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of either, with hidden layers, in conditions and with seeds that both have."""
        both = cells[cells[self.kind].isin([self.one, self.other]) & (cells["depth"] >= 2)]
        keys = [*self.condition, "seed"]
        sides = both.groupby(keys)[self.kind].transform("nunique")
        return both[sides == 2]


def find_pair(study: Study, one: str, other: str) -> Pair:
    """Return what two names stand for.

    Args:
        study: an opened study.
        one: a label of `Study.cells`, or a name that stands for only one.
        other: another of the same kind.

    Raises:
        SettingError: a name is unknown or stands for several, both are the same, or one is an
            activation and the other an initializer.
    """
    known = {kind: in_order(study.cells[kind], ORDERS[kind]) for kind in KINDS}
    found = {
        kind: (_matching(one, labels), _matching(other, labels)) for kind, labels in known.items()
    }
    for place, name in enumerate((one, other)):
        matching = {kind: matches[place] for kind, matches in found.items()}
        if not any(matching.values()):
            raise SettingError(_unknown(name, study, known))
    for kind, (first, second) in found.items():
        if first and second:
            for name, labels in ((one, first), (other, second)):
                if len(labels) > 1:
                    raise SettingError(
                        f"cannot compare '{name}': it stands for {joined(_quoted(labels))}; write "
                        "one of them, in quotes."
                    )
            if first == second:
                raise SettingError(
                    f"cannot compare {first[0]} with itself: name two different {KINDS[kind]}s."
                )
            return Pair(kind, first[0], second[0])
    kinds = ["an activation" if found["activation"][i] else "an initializer" for i in (0, 1)]
    raise SettingError(
        f"cannot compare {one} with {other}: the one is {kinds[0]}, the other {kinds[1]}."
    )


def _matching(name: str, labels: Sequence[str]) -> list[str]:
    """Return the labels that a name may stand for; parameters may be written with ``=``."""

    def plain(text: str) -> str:
        return " ".join(text.replace("=", " ").split())

    exact = [label for label in labels if plain(label) == plain(name)]
    return exact or [label for label in labels if label.split(" ")[0] == name]


def _quoted(labels: Sequence[str]) -> list[str]:
    return [f"'{label}'" for label in labels]


def _unknown(name: str, study: Study, known: dict[str, list[str]]) -> str:
    labels = [label for some in known.values() for label in some]
    near = nearest(name, [*labels, *(label.split(" ")[0] for label in labels)])
    held = " and ".join(
        f"the {KINDS[kind]}{'s' * (len(some) > 1)} {', '.join(some)}"
        for kind, some in known.items()
    )
    return f"cannot compare '{name}'{near}: {study.folder} holds {held}."


def best_pairs(cells: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """Return the networks of both at their own best rates, side by side.

    Args:
        cells: rows of `Study.cells` of one trained variant.
        pair: what is compared.

    Returns:
        As `Pair.matched`, with ``lost``, whether either of the two is diverged, failed or missing, and
        ``difference`` of the test scores, NaN where lost.
    """
    test = score.score_of(cells).test
    best = score.best_rates(pair.shared(cells))
    columns = [*pair.condition, "seed", pair.kind, "cell", "lr", "status", test]
    found = pair.matched(best[columns])
    ok = (found["status_one"] == "ok") & (found["status_other"] == "ok")
    difference = found[f"{test}_one"] - found[f"{test}_other"]
    return found.assign(lost=~ok, difference=difference.where(ok))


def best_scores(cells: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """Return the rows of `analysis.score.table` of both at their best rates, in what both have.

    Args:
        cells: rows of `Study.cells` of one trained variant.
        pair: what is compared.
    """
    table = score.table(pd.concat([pair.shared(cells), cells[cells["depth"] == 1]]))
    return table[table["best"]].reset_index(drop=True)


def judged(pairs: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """Return the mean difference of every condition and what can be said of its sign.

    Args:
        pairs: a row a pair with the columns of ``pair.condition``, ``difference`` and ``lost``.
        pair: what is compared.

    Returns:
        ``condition``; ``mean, low, high``: of the differences, 95 % Student interval over seeds;
        ``pairs``: how many; ``lost``: pairs without a difference; ``p``: of the paired t-test, NaN
        where a pair is lost or there are fewer than two; ``p_holm``: corrected for the conditions
        tested; ``verdict``: `AHEAD`, `BEHIND` or `UNDECIDED` at `RISK`, `UNJUDGED` where a pair is
        lost, since what is left is no fair sample.
    """
    found = paired_tests(pairs, pair.condition, "difference").rename(columns={"networks": "pairs"})
    lost = pairs.groupby(pair.condition)["lost"].sum().astype(int).reset_index()
    found = found.merge(lost, on=pair.condition)
    found["p"] = found["p"].where(found["lost"] == 0)
    found["p_holm"] = holm(found["p"])
    sure = found["p_holm"] < RISK
    found["verdict"] = np.select(
        [found["lost"] > 0, sure & (found["mean"] > 0), sure & (found["mean"] < 0)],
        [UNJUDGED, AHEAD, BEHIND],
        UNDECIDED,
    )
    columns = ["mean", "low", "high", "pairs", "lost", "p", "p_holm", "verdict"]
    return found[[*pair.condition, *columns]]


def differences(cells: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """Return the difference of the test score at the best rates, by condition.

    Args:
        cells: rows of `Study.cells` of one trained variant.
        pair: what is compared.

    Returns:
        What `judged` returns, and for each side ``score``, ``lr``, ``place`` and ``above_chance``
        of `analysis.score.table` with ``_one`` and ``_other`` behind them.
    """
    found = judged(best_pairs(cells, pair), pair)
    best = best_scores(cells, pair).rename(columns={"mean": "score"})
    for side in SIDES:
        columns = ["score", "lr", "place", "above_chance"]
        of_side = pair.side(best, side)[[*pair.condition, *columns]]
        named = of_side.rename(columns={name: f"{name}_{side}" for name in columns})
        found = found.merge(named, on=pair.condition)
    return found


@dataclass(frozen=True)
class Overall:
    """The difference on average over conditions.

    Attributes:
        interval: mean and 95 % interval over seeds, each seed's mean over the conditions one number.
        conditions: how many conditions it is over: those in which no pair is lost.
        seeds: the seeds that all of them have.
    """

    interval: Interval
    conditions: int
    seeds: tuple[int, ...]


def overall(pairs: pd.DataFrame, pair: Pair) -> Overall:
    """Return the difference on average over the conditions in which no pair is lost.

    The networks of one seed share their data and draws, so that conditions are no sample to take an
    interval over: seeds are.

    Args:
        pairs: a row a pair with the columns of ``pair.condition``, ``seed``, ``difference``, ``lost``.
        pair: what is compared.
    """
    whole = pairs[~pairs.groupby(pair.condition)["lost"].transform("any")]
    of_seeds = whole.pivot(index="seed", columns=pair.condition, values="difference").dropna()
    seeds = tuple(int(seed) for seed in of_seeds.index)
    means = of_seeds.mean(axis=1).to_numpy()
    return Overall(student_interval(means), of_seeds.shape[1], seeds)


def comparable(variants: Sequence[Variant], pair: Pair) -> list[Variant]:
    """Return the parts of a study in which both have networks of one condition and seed.

    A part keeps its networks without hidden layers: they are the linear model of both.

    Args:
        variants: ``study.trained`` or ``study.starts``.
        pair: what is compared.
    """
    return [variant for variant in variants if not pair.shared(variant.cells).empty]
