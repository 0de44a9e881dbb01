"""Tests of one condition each, on numbers that are one a seed.

A test can come out for a claim or against it, each with a p of its own, or neither. "No difference" is never
a test that fails to find one: it is two one-sided tests against a margin that the rule names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.05
"""Of every test."""

POWER = 0.9
"""With which a new sample should settle what this one did not."""

MOST_SEEDS = 10_000
"""More are not worth a number: what would need them makes no difference that matters."""

Word = Literal["supported", "refuted", "conditional", "inconclusive"]

WORDS: tuple[Word, ...] = ("supported", "conditional", "refuted", "inconclusive")


@dataclass(frozen=True)
class Outcome:
    """What the seeds of one condition say.

    Attributes:
        label: the condition.
        estimate: what was measured: a mean, a share or a ratio.
        low: lower end of its 95 % interval.
        high: upper end.
        seeds: how many numbers stand behind it: the unit is the seed, or what ``each`` names.
        p_for: of the test whose passing is evidence for the claim.
        p_against: of the one whose passing is evidence against it.
        distance: of the estimate from the margin on its side, in standard deviations over seeds; 0 where
            there is none to see, NaN where more seeds would tell no more.
        margins: bounds that the estimate was compared with, for the figure.
        far: distance from a second margin that must be excluded, too, infinite where there is none.
        each: what every number is of, where that is no seed: a round, a depth.
    """

    label: str
    estimate: float
    low: float
    high: float
    seeds: int
    p_for: float
    p_against: float
    distance: float = math.nan
    margins: tuple[float, ...] = ()
    far: float = math.inf
    each: str = "seed"

    @property
    def verdict(self) -> Word:
        """What this test says by itself, uncorrected."""
        if self.p_for <= LEVEL:
            return "supported"
        return "refuted" if self.p_against <= LEVEL else "inconclusive"


def above(
    label: str, values: ArrayLike, margin: float, against: float | None = None, level: float = 0.95
) -> Outcome:
    """Test that a mean over seeds exceeds a margin.

    Args:
        label: the condition.
        values: one number a seed; of positive quantities their logarithms. Numbers that are not finite are
            the caller's to rank: here they are an error.
        margin: what the mean must exceed; Student's one-sided test.
        against: what it must stay below to stand against the claim; default the same margin.
        level: coverage of the interval.

    Raises:
        ValueError: a value is not finite.
    """
    numbers = _finite(label, values)
    lower = margin if against is None else against
    estimate, low, high = _interval(numbers, level)
    p_for, p_against = _one_sided(numbers - margin), _one_sided(lower - numbers)
    distance = estimate - margin if estimate > margin else lower - estimate
    apart = _apart(distance, _std(numbers))
    margins = (margin,) if lower == margin else (lower, margin)
    return Outcome(label, estimate, low, high, len(numbers), p_for, p_against, apart, margins)


def below(label: str, values: ArrayLike, margin: float, against: float | None = None) -> Outcome:
    """Test that a mean over seeds stays below a margin; `above`, mirrored."""
    lower = None if against is None else -against
    found = above(label, -_finite(label, values), -margin, lower)
    return replace(
        found,
        estimate=0.0 - found.estimate,
        low=-found.high,
        high=-found.low,
        margins=tuple(sorted(-one for one in found.margins)),
    )


def within(label: str, values: ArrayLike, low: float, high: float) -> Outcome:
    """Test that a mean over seeds lies between two margins: two one-sided tests (Schuirmann 1987).

    Against it stands a mean beyond one of them, at twice the p of its side.
    """
    numbers = _finite(label, values)
    estimate, left, right = _interval(numbers, 0.95)
    p_for = max(_one_sided(numbers - low), _one_sided(high - numbers))
    p_against = min(1.0, 2 * min(_one_sided(low - numbers), _one_sided(numbers - high)))
    near, far = sorted((estimate - low, high - estimate))
    apart = _apart(abs(near), _std(numbers))
    beyond = _apart(far, _std(numbers)) if near > 0 else math.inf
    return Outcome(
        label, estimate, left, right, len(numbers), p_for, p_against, apart, (low, high), beyond
    )


def outside(label: str, values: ArrayLike, low: float, high: float) -> Outcome:
    """Test that a mean over seeds lies beyond one of two margins; `within_ranked`, turned round."""
    found = within_ranked(label, values, low, high)
    return replace(found, p_for=found.p_against, p_against=found.p_for)


def above_ranked(label: str, values: ArrayLike, margin: float) -> Outcome:
    """Test as `above` where all numbers are finite, else that their median exceeds the margin.

    By the sign test, for which an infinite number is above or below as any other; NaN counts for neither
    side. The interval of the median is that of order statistics.
    """
    numbers = np.asarray(values, dtype=float)
    if np.isfinite(numbers).all():
        return above(label, numbers, margin)
    found = more_often(label, np.nan_to_num(numbers - margin, nan=0.0))
    ranked = np.sort(numbers[~np.isnan(numbers)])
    if not len(ranked):
        return replace(found, estimate=math.nan, low=-math.inf, high=math.inf, margins=(margin,))
    # the k-th number from either end: a number below the median so often is rarer than 2.5 %
    cut = int(stats.binom.ppf(0.025, len(ranked), 0.5)) - 1
    low, high = (ranked[cut], ranked[-1 - cut]) if cut >= 0 else (-math.inf, math.inf)
    return replace(
        found, estimate=_middle(ranked), low=float(low), high=float(high), margins=(margin,)
    )


def below_ranked(label: str, values: ArrayLike, margin: float) -> Outcome:
    """Test as `below` where all numbers are finite, else their median; `above_ranked`, mirrored."""
    found = above_ranked(label, -np.asarray(values, dtype=float), -margin)
    return replace(
        found, estimate=0.0 - found.estimate, low=-found.high, high=-found.low, margins=(margin,)
    )


def within_ranked(label: str, values: ArrayLike, low: float, high: float) -> Outcome:
    """Test as `within` where all numbers are finite, else that their median lies between the margins.

    By two one-sided sign tests, as in `above_ranked`.
    """
    numbers = np.asarray(values, dtype=float)
    if np.isfinite(numbers).all():
        return within(label, numbers, low, high)
    over, under = above_ranked(label, numbers, low), below_ranked(label, numbers, high)
    return replace(
        over,
        p_for=max(over.p_for, under.p_for),
        p_against=min(1.0, 2 * min(over.p_against, under.p_against)),
        distance=min(over.distance, under.distance),
        margins=(low, high),
    )


def share_above(label: str, hits: Sequence[bool] | np.ndarray, margin: float) -> Outcome:
    """Test that the share of seeds that have something exceeds a margin, by the exact binomial test."""
    count, total = int(np.sum(hits)), len(hits)
    found = stats.binomtest(count, total, margin, alternative="greater")
    other = stats.binomtest(count, total, margin, alternative="less")
    interval = stats.binomtest(count, total).proportion_ci(method="wilson")
    share = count / total
    spread = math.sqrt(max(share * (1 - share), 0.25 / total))
    return Outcome(
        label,
        share,
        float(interval.low),
        float(interval.high),
        total,
        float(found.pvalue),
        float(other.pvalue),
        _apart(abs(share - margin), spread),
        (margin,),
    )


def share_below(label: str, hits: Sequence[bool] | np.ndarray, margin: float) -> Outcome:
    """Test that the share of seeds that have something stays below a margin."""
    found = share_above(label, hits, margin)
    return replace(found, p_for=found.p_against, p_against=found.p_for)


def more_often(label: str, wins: Sequence[float] | np.ndarray) -> Outcome:
    """Test that of paired seeds one side is ahead more often than the other: the sign test.

    For times and ranks, of which some are censored: all that is needed is who is ahead. A pair in which
    neither is, such as two networks that never arrive, counts for neither side.

    Args:
        label: the condition.
        wins: one number a pair, above 0 where the claim's side is ahead, below 0 where the other is.
    """
    signs = np.sign(np.asarray(wins, dtype=float))
    decided = signs[signs != 0]
    if not len(decided):
        return Outcome(label, 0.5, 0.0, 1.0, len(signs), 1.0, 1.0, 0.0, (0.5,))
    found = share_above(label, decided > 0, 0.5)
    return replace(found, seeds=len(signs))


def exactly(label: str, holds: Sequence[bool] | np.ndarray, estimate: float = math.nan) -> Outcome:
    """Return the test of what is exact: it holds in every case looked at, or it does not.

    Args:
        label: the condition.
        holds: of every case whether it does.
        estimate: what to show; default the share of cases in which it holds.
    """
    share = float(np.mean(holds)) if len(holds) else math.nan
    value = share if math.isnan(estimate) else estimate
    every = bool(len(holds)) and bool(np.all(holds))
    none = not len(holds)
    return Outcome(
        label, value, value, value, len(holds),
        0.0 if every else 1.0, 1.0 if every or none else 0.0,
    )  # fmt: skip


def settled(label: str, holds: ArrayLike, estimate: float = math.nan) -> Outcome:
    """Return the test of what is exact where some cases may be unknown, as NaN.

    One counterexample is enough against it; what is not known in every case is not supported.

    Args:
        label: the condition.
        holds: 1 where it holds, 0 where it does not, NaN where that is not known.
        estimate: what to show; default the share of cases in which it is known to hold.
    """
    numbers = np.asarray(holds, dtype=float)
    share = float(np.mean(numbers == 1)) if len(numbers) else 0.0
    value = share if math.isnan(estimate) else estimate
    known = numbers[~np.isnan(numbers)]
    decisive = known == 1 if len(known) == len(numbers) or not known.all() else known[:0] == 1
    return replace(exactly(label, decisive, value), seeds=len(numbers))


def both(label: str, tests: Sequence[Outcome]) -> Outcome:
    """Return the test that several things hold at once in a condition.

    For it the largest p, since each must pass; against it the smallest, times their number. Estimate and
    interval are those of the test that decides.
    """
    p_for = max(one.p_for for one in tests)
    p_against = min(1.0, len(tests) * min(one.p_against for one in tests))
    if p_against <= LEVEL:
        deciding = min(tests, key=lambda one: one.p_against)
    else:
        deciding = max(tests, key=lambda one: one.p_for)
    distance = min((one.distance for one in tests if one.p_for > LEVEL), default=deciding.distance)
    return replace(deciding, label=label, p_for=p_for, p_against=p_against, distance=distance)


def pseudo_values(statistic: Callable[[np.ndarray], float], values: ArrayLike) -> np.ndarray:
    """Return the jackknife's pseudo-values of a statistic that is one number of all seeds, one a seed.

    n times the statistic of all less n − 1 times that of all but one. Student's t on them tests what is no
    mean, such as the logarithm of a ratio of spreads. Sources: Tukey 1958; Miller 1968, Annals of
    Mathematical Statistics 39, for spreads.

    Args:
        statistic: called with ``values`` and with these less a seed.
        values: ``[seed, …]``.
    """
    numbers = np.asarray(values, dtype=float)
    count, every = len(numbers), statistic(numbers)
    rest = [statistic(np.delete(numbers, place, axis=0)) for place in range(count)]
    return count * every - (count - 1) * np.array(rest)


def median_above(label: str, values: ArrayLike, margin: float) -> Outcome:
    """Test that a median over seeds exceeds a margin: the sign test, with its interval.

    For ratios of times, of which some are censored: infinite numbers have their place in the order. NaN, such
    as the ratio of two networks that never arrive, and what equals the margin count for neither side.

    Args:
        label: the condition.
        values: one number a seed.
        margin: what the median must exceed, or stay below to stand against the claim.
    """
    numbers = np.asarray(values, dtype=float)
    found = more_often(label, np.nan_to_num(np.sign(numbers - margin), nan=0.0))
    known = np.sort(numbers[~np.isnan(numbers)])
    if not len(known):
        return replace(found, estimate=math.nan, low=-math.inf, high=math.inf, margins=(margin,))
    # as many as may lie beyond either end with a probability of 2.5 %
    beyond = int(stats.binom.ppf(0.025, len(known), 0.5))
    low, high = -math.inf, math.inf
    if beyond > 0:
        low, high = float(known[beyond - 1]), float(known[len(known) - beyond])
    return replace(found, estimate=float(np.median(known)), low=low, high=high, margins=(margin,))


def ratio_above(
    label: str, ratios: ArrayLike, margin: float, against: float | None = None
) -> Outcome:
    """Test that a geometric mean of ratios exceeds a margin: `above` on logarithms, told as ratios.

    Raises:
        ValueError: a ratio is not positive and finite.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(ratios, dtype=float))
    found = above(label, logs, math.log(margin), None if against is None else math.log(against))
    return replace(
        found,
        estimate=math.exp(found.estimate),
        low=math.exp(found.low),
        high=math.exp(found.high) if found.high < math.inf else math.inf,
        margins=tuple(math.exp(one) for one in found.margins),
    )


def all_zero(label: str, sizes: ArrayLike) -> Outcome:
    """Return the test that sizes are 0, each of them exactly; NaN is no 0 and no other number either.

    The estimate is the largest of them, infinite where none is known.
    """
    numbers = np.asarray(sizes, dtype=float)
    known = numbers[~np.isnan(numbers)]
    found = exactly(label, known == 0, float(known.max()) if len(known) else math.inf)
    if len(known) < len(numbers) and found.p_for <= LEVEL:
        found = replace(found, p_for=1.0)
    return replace(found, seeds=len(numbers))


def seeds_needed(distance: float, level: float = LEVEL, far: float = math.inf) -> float:
    """Return how many seeds a one-sided t-test needs to see a distance with `POWER`.

    Args:
        distance: from the margin, in standard deviations over seeds.
        level: of the test: what corrections leave of `LEVEL`.
        far: distance from a second margin, on the other side: two tests must then pass.

    Returns:
        Infinity beyond `MOST_SEEDS` or without a distance, NaN where that is not known.
    """
    if math.isnan(distance):
        return math.nan
    if distance <= 0:
        return math.inf
    if math.isinf(distance):
        return 2.0
    low, high = 1, 2
    while _power(high, distance, far, level) < POWER:
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if _power(middle, distance, far, level) >= POWER else (middle, high)
        )
    return float(high)


def _power(seeds: int, near: float, far: float, level: float) -> float:
    """Return with which probability a test passes, or both of two (at least: by Bonferroni's inequality)."""
    quantile = stats.t.ppf(1 - level, seeds - 1)
    missed = [
        float(stats.nct.cdf(quantile, seeds - 1, effect * math.sqrt(seeds)))
        for effect in (near, far)
        if math.isfinite(effect)
    ]
    return 1 - sum(missed)


def _apart(distance: float, std: float) -> float:
    """Return a distance in standard deviations; 0 where there is none to see."""
    if not distance > 0 or not math.isfinite(std):
        return 0.0
    return distance / std if std else math.inf


def _one_sided(numbers: np.ndarray) -> float:
    """Return the p of Student's test that a mean is above 0."""
    if len(numbers) < 2:
        return 1.0
    if _std(numbers) == 0:
        return 0.0 if numbers[0] > 0 else 1.0
    return float(stats.ttest_1samp(numbers, 0.0, alternative="greater").pvalue)


def _interval(numbers: np.ndarray, level: float) -> tuple[float, float, float]:
    mean = float(numbers.mean()) if len(numbers) else math.nan
    if len(numbers) < 2:
        return mean, -math.inf, math.inf
    half = stats.t.ppf(0.5 + level / 2, len(numbers) - 1) * _std(numbers) / math.sqrt(len(numbers))
    return mean, mean - float(half), mean + float(half)


def _middle(ranked: np.ndarray) -> float:
    """Return the median of sorted numbers; between infinities of both signs there is none."""
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    with np.errstate(invalid="ignore"):
        return float(low if low == high else (low + high) / 2)


def _std(numbers: np.ndarray) -> float:
    if len(numbers) < 2:
        return math.nan
    # of equal numbers rounding leaves something
    spread = float(numbers.std(ddof=1))
    return 0.0 if spread <= 1e-12 * float(np.abs(numbers).max()) else spread


def _finite(label: str, values: ArrayLike) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{label}: {int((~np.isfinite(numbers)).sum())} values are not finite")
    return numbers
