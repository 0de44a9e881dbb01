"""Statistics over seeds: the unit is always the network, never the layer or the sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit


@dataclass(frozen=True)
class Interval:
    """A mean over networks with its 95 % interval.

    Attributes:
        mean: the mean; NaN of nothing.
        low: lower end; NaN below two networks.
        high: upper end.
        networks: how many finite values stand behind it.
    """

    mean: float
    low: float
    high: float
    networks: int


def student_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return mean and Student t interval of the finite values.

    A percentile bootstrap covers 84 % at five seeds where 95 % is said; Student's t covers what it
    says there and is as good with many.

    Args:
        values: one number a network; non-finite ones are left out, to be counted by the caller.
        level: the interval's coverage.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    count = len(finite)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(finite.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(stats.t.ppf(0.5 + level / 2, count - 1) * finite.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


def wilson(counts: ArrayLike, totals: ArrayLike, level: float = 0.95) -> np.ndarray:
    """Return the Wilson interval of shares, ``[2, share]``: lower and upper ends.

    Args:
        counts: how many have what is counted.
        totals: of how many, each at least 1.
        level: the interval's coverage.
    """
    pairs = zip(np.asarray(counts, int).tolist(), np.asarray(totals, int).tolist(), strict=True)
    ends = [
        stats.binomtest(count, total).proportion_ci(level, method="wilson")
        for count, total in pairs
    ]
    return np.array([[end.low for end in ends], [end.high for end in ends]])


def student_intervals(
    frame: pd.DataFrame, by: list[str], value: str, level: float = 0.95
) -> pd.DataFrame:
    """Return `student_interval` of a column for every group of a frame.

    Args:
        frame: one row a network and group.
        by: columns that make a group.
        value: the column; its non-finite values are left out of ``mean``, ``low`` and ``high``.
        level: the interval's coverage.

    Returns:
        A row a group: ``by``, ``mean``, ``low``, ``high`` (NaN below two networks) and ``networks``.
    """
    finite = frame[value].where(np.isfinite(frame[value].astype(float)))
    groups = finite.groupby([frame[key] for key in by], observed=True)
    table = groups.agg(mean="mean", std="std", networks="count").reset_index()
    return with_interval(table, level)[[*by, "mean", "low", "high", "networks"]]


def with_interval(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return a table with ``low`` and ``high``, the ends of Student's t interval of each mean.

    Args:
        table: ``mean``, ``std`` (with one degree of freedom less) and ``networks``.
        level: the intervals' coverage.
    """
    count = table["networks"].to_numpy()
    half = np.full(len(table), math.nan)
    many = count > 1
    half[many] = (
        stats.t.ppf(0.5 + level / 2, count[many] - 1)
        * table["std"].to_numpy(dtype=float)[many]
        / np.sqrt(count[many])
    )
    return table.assign(low=table["mean"] - half, high=table["mean"] + half)


def log_statistics(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Return mean and interval of log10 of a non-negative column, zeros and non-numbers counted apart.

    Args:
        frame: one row a network and group.
        by: columns that make a group.
        value: the column, not negative.

    Returns:
        What `student_intervals` returns, of log10, with ``smallest`` and ``largest`` of the same
        networks and the counts ``zeros`` (exactly 0) and ``nonfinite`` (infinite or NaN) of those
        left out.
    """
    values = frame[value].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)
    work = frame[by].assign(_log=logs, zeros=values == 0, nonfinite=~np.isfinite(values))
    table = student_intervals(work, by, "_log")
    work["_finite"] = work["_log"].where(np.isfinite(work["_log"]))
    others = work.groupby(by, observed=True).agg(
        smallest=("_finite", "min"),
        largest=("_finite", "max"),
        zeros=("zeros", "sum"),
        nonfinite=("nonfinite", "sum"),
    )
    return table.merge(others.reset_index(), on=by)


def paired_tests(
    frame: pd.DataFrame, by: list[str], value: str, level: float = 0.95
) -> pd.DataFrame:
    """Return `student_intervals` of paired differences with the p-value of Student's paired t-test.

    Where all differences of a group are the same number there is no spread to test against: p is 1
    if that number is 0, else that of the sign test, 2^(1−n). Accuracies are counts over a split, so
    that two or three seeds may well agree by chance, and an infinite t would call it certain.

    Args:
        frame: one row a pair, that is a seed, and group.
        by: columns that make a group.
        value: the differences; non-finite ones are left out.
        level: the interval's coverage.

    Returns:
        What `student_intervals` returns, and ``p``, two-sided; NaN below two pairs.
    """
    found = student_intervals(frame, by, value, level)
    ps = []
    for key in found[by].itertuples(index=False, name=None):
        values = frame.loc[(frame[by] == list(key)).all(axis=1), value].to_numpy(dtype=float)
        ps.append(_paired_p(values[np.isfinite(values)]))
    return found.assign(p=np.array(ps, dtype=float))


def _paired_p(differences: np.ndarray) -> float:
    count = len(differences)
    if count < 2:
        return math.nan
    # a difference of two numbers, each of them rounded to half a unit in its last place
    rounding = 4 * np.finfo(float).eps * max(1.0, float(np.abs(differences).max()))
    if np.ptp(differences) > rounding:
        return float(stats.ttest_1samp(differences, 0.0).pvalue)
    return 1.0 if abs(differences[0]) <= rounding else 2.0 ** (1 - count)


def holm(p: ArrayLike) -> np.ndarray:
    """Return p-values corrected for their number by Holm's method.

    Whoever believes those below 5 % makes even one false claim with a chance of at most 5 %.
    Source: Holm 1979, Scandinavian Journal of Statistics 6.

    Args:
        p: p-values ``[test]``; NaN where nothing was tested, which does not count.

    Returns:
        ``[test]``, NaN where ``p`` is.
    """
    values = np.asarray(p, dtype=float)
    found = np.full(len(values), math.nan)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    found[order] = np.minimum(1.0, np.maximum.accumulate(factors * values[order]))
    return found


@dataclass(frozen=True)
class RocAreas:
    """Areas under the ROC curves of several scores of the same networks.

    Attributes:
        areas: ``[score]``: chance that a positive network scores above a negative one, ties half.
        covariance: ``[score, score]``: of the areas; NaN where networks of either kind come from
            fewer than two clusters.
        clusters: of those with positive and of those with negative networks the smaller number.
    """

    areas: np.ndarray
    covariance: np.ndarray
    clusters: int


def roc_areas(scores: ArrayLike, positive: ArrayLike, clusters: ArrayLike) -> RocAreas:
    """Return areas under ROC curves whose variance allows for networks that resemble each other.

    With clusters of one network the covariance is that of DeLong et al. 1988. Source: Obuchowski
    1997, Biometrics 53:567, section 3: variance of one area and covariance of two.

    Args:
        scores: ``[network, score]``, high where a network is said to be positive; ±∞ have their
            place, NaN has none.
        positive: ``[network]``: which networks are positive; some are, and some are not.
        clusters: ``[network]``: within a cluster networks may depend on each other.

    Raises:
        ValueError: a score is NaN, or the networks are of one kind.
    """
    values, chosen = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    if np.isnan(values).any() or chosen.all() or not chosen.any():
        raise ValueError("an ROC curve needs networks of both kinds with scores that are numbers")
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    ranks = stats.rankdata(values, axis=0)
    parts, many = [], []
    for kind in (chosen, ~chosen):
        # how many of the other kind a network is above: its rank among all less that among its own
        above = (ranks[kind] - stats.rankdata(values[kind], axis=0)) / (~kind).sum()
        components = above if kind is chosen else 1 - above
        areas = components.mean(axis=0)
        sums = np.zeros((len(names), values.shape[1]))
        np.add.at(sums, members[kind], (components - areas) / kind.sum())
        parts.append(sums)
        many.append(len(np.unique(members[kind])))
    if min(many) < 2:
        return RocAreas(areas, np.full((values.shape[1],) * 2, math.nan), min(many))
    ours, theirs = parts
    across = ours.T @ theirs * len(names) / (len(names) - 1)
    covariance = (
        ours.T @ ours * many[0] / (many[0] - 1)
        + theirs.T @ theirs * many[1] / (many[1] - 1)
        + across
        + across.T
    )
    return RocAreas(areas, covariance, min(many))


def area_interval(
    area: float, variance: float, clusters: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of an area under an ROC curve, made on the logit scale to stay in [0, 1].

    Args:
        area: the area.
        variance: its variance.
        clusters: independent ones behind it; Student's t has one degree of freedom less.
        level: the interval's coverage.

    Returns:
        Lower and upper end; NaN where the area is 0 or 1, or its variance is not known: networks
        that are told apart without exception do not say how much that is due to luck.
    """
    if not 0 < area < 1 or not variance >= 0:
        return math.nan, math.nan
    logit = math.log(area / (1 - area))
    half = float(stats.t.ppf(0.5 + level / 2, clusters - 1))
    half *= math.sqrt(variance) / (area * (1 - area))
    return float(expit(logit - half)), float(expit(logit + half))
