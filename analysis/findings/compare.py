"""What a comparison found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.comparison import (
    AHEAD,
    BEHIND,
    KINDS,
    ORDERS,
    RISK,
    SIDES,
    UNDECIDED,
    UNJUDGED,
    Pair,
    best_pairs,
    overall,
)
from analysis.findings.finding import Finding
from analysis.frames import Variant
from analysis.labels import in_order
from analysis.score import LOST, Score, score_of
from analysis.words import joined, points, power, several, share, verb


def comparison_findings(
    tables: Mapping[str, pd.DataFrame], pair: Pair, variant: Variant
) -> list[Finding]:
    """Return what a part of a study says of two activations or initializers.

    Args:
        tables: of the figures of `analysis.figures.compare`, by their names.
        pair: what is compared.
        variant: the networks.
    """
    found: list[Finding] = []
    if "paired_difference" in tables:
        score = score_of(variant.cells)
        drawn, pairs = tables["paired_difference"], best_pairs(variant.cells, pair)
        texts = [
            *_average(pairs, drawn, pair, score),
            *_verdicts(drawn, pair, score),
            *_unlearnt(drawn),
            *_lost(drawn, pairs, pair),
            *_rates(pair.shared(variant.cells), pair),
            *_edges(drawn, pair),
        ]
        found += [Finding(text, "paired_difference") for text in texts]
    if "signal_ratio" in tables:
        found += [
            Finding(text, "signal_ratio") for text in _gradients(tables["signal_ratio"], pair)
        ]
    for figure, when in (
        ("units_after_training", "After training"),
        ("units_at_start", "At the start"),
    ):
        if figure in tables:
            found += [Finding(text, figure) for text in _units(tables[figure], pair, when)]
    return found


def _average(pairs: pd.DataFrame, drawn: pd.DataFrame, pair: Pair, score: Score) -> list[str]:
    """Say which of the two is ahead on average."""
    mean = overall(pairs, pair)
    if not mean.seeds:
        return []
    over = f"on average over {share(mean.conditions, len(drawn), 'condition')}"
    value, interval = mean.interval.mean, mean.interval
    if len(mean.seeds) == 1:
        return [
            f"Each at its own best rate, {pair.one} less {pair.other} is {points(value)} points of test "
            f"{score.name} {over}; with one seed there is no interval, and nothing can be told from chance."
        ]
    ends = f"[{points(interval.low)}, {points(interval.high)}]"
    basis = f"(95 % interval over {len(mean.seeds)} seeds)"
    if interval.low <= 0 <= interval.high:
        return [
            f"Each at its own best rate, {pair.one} and {pair.other} cannot be told apart {over}: "
            f"{points(value)} points of test {score.name} {ends} {basis}."
        ]
    side = "ahead of" if value > 0 else "behind"
    return [
        f"Each at its own best rate, {pair.one} is {side} {pair.other} {over}: {points(value)} points of "
        f"test {score.name} {ends} {basis}."
    ]


def _verdicts(drawn: pd.DataFrame, pair: Pair, score: Score) -> list[str]:
    """Say in how many conditions either is ahead beyond doubt, and where by most."""
    tests = int(drawn["p"].notna().sum())
    if not tests:
        return []
    counts = {
        verdict: int((drawn["verdict"] == verdict).sum())
        for verdict in (AHEAD, BEHIND, UNDECIDED, UNJUDGED)
    }
    tested = drawn[drawn["p"].notna()]
    alone = int((tested["p"] < RISK).sum())
    seeds = sorted(tested["pairs"].unique())
    over = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    text = (
        f"Beyond doubt {pair.one} is ahead in {counts[AHEAD]} and behind in {counts[BEHIND]} of "
        f"{several(len(drawn), 'condition')}; {counts[UNDECIDED]} "
        f"{verb(counts[UNDECIDED], 'is', 'are')} undecided"
        + (f", {counts[UNJUDGED]} not judged" if counts[UNJUDGED] else "")
        + f" (paired t-tests over {over} seeds, corrected for {several(tests, 'test')} by Holm's method "
        f"at {RISK:.0%}; uncorrected, {alone} would count, where chance alone gives {RISK * tests:.1f})."
    )
    found = [text]
    for verdict, side in ((AHEAD, "ahead"), (BEHIND, "behind")):
        sure = drawn[drawn["verdict"] == verdict]
        if not sure.empty:
            worst = sure.loc[sure["mean"].abs().idxmax()]
            found.append(
                f"Beyond doubt {pair.one} is furthest {side} {_place(worst, pair, score)}."
            )
    if len(found) == 1:
        widest = tested.loc[tested["mean"].abs().idxmax()]
        found.append(f"The largest difference, not beyond doubt, is {_place(widest, pair, score)}.")
    return found


def _place(row: pd.Series, pair: Pair, score: Score) -> str:
    return (
        f"at depth {int(row['depth'])} with {row[pair.across]}: {points(row['mean'])} points "
        f"[{points(row['low'])}, {points(row['high'])}], {score.written(row['score_one'])} at rate "
        f"{row['lr_one']:g} against {score.written(row['score_other'])} at rate {row['lr_other']:g}"
    )


def _unlearnt(drawn: pd.DataFrame) -> list[str]:
    """Say in how many conditions there is nothing to tell apart."""
    neither = drawn[~drawn["above_chance_one"] & ~drawn["above_chance_other"]]
    if neither.empty:
        return []
    total = share(len(neither), len(drawn), "condition")
    return [
        f"In {total} neither is above chance beyond doubt, so that there is nothing to compare."
    ]


def _lost(drawn: pd.DataFrame, pairs: pd.DataFrame, pair: Pair) -> list[str]:
    """Say how many networks of either are lost, and where."""
    lost = drawn[drawn["lost"] > 0]
    if lost.empty:
        return []
    words = []
    for side, label in (("one", pair.one), ("other", pair.other)):
        counts = pairs[f"status_{side}"].value_counts()
        named = joined([f"{counts[status]} {status}" for status in LOST if status in counts])
        if named:
            words.append(f"{label}: {named}")
    worst = lost.loc[lost["lost"].idxmax()]
    return [
        f"{share(len(lost), len(drawn), 'condition').capitalize()} "
        f"{verb(len(lost), 'is', 'are')} not judged, since networks are lost at the best rates "
        f"({'; '.join(words)}); most at depth {int(worst['depth'])} with {worst[pair.across]}, "
        f"{worst['lost']} of {several(int(worst['lost'] + worst['pairs']), 'pair')}."
    ]


def _rates(cells: pd.DataFrame, pair: Pair) -> list[str]:
    """Say where the rates tried leave no choice, or not the same."""
    tried = [sorted(pair.side(cells, side)["lr"].unique()) for side in SIDES]
    one, other = (joined([f"{rate:g}" for rate in rates]) for rates in tried)
    if one != other:
        return [
            f"The rates tried are not the same: {one} for {pair.one}, {other} for {pair.other}."
        ]
    if len(tried[0]) == 1:
        return [f"Only rate {one} was tried: neither need be at its best."]
    return []


def _edges(drawn: pd.DataFrame, pair: Pair) -> list[str]:
    """Say for how many conditions a better rate may lie beyond those tried."""
    words = []
    for side, label in (("one", pair.one), ("other", pair.other)):
        learnt = drawn[drawn[f"above_chance_{side}"] & (drawn[f"place_{side}"] != "only")]
        edge = learnt[learnt[f"place_{side}"] != "between"]
        if not edge.empty:
            words.append(
                f"for {label} in {share(len(edge), len(learnt), 'condition')} above chance"
            )
    if not words:
        return []
    return [
        f"The best rate is the largest or smallest tried {joined(words)}: further rates may change the "
        "comparison."
    ]


def _gradients(drawn: pd.DataFrame, pair: Pair) -> list[str]:
    """Say which of the two passes more of the gradient at the start."""
    first = drawn[drawn["layer"] == 1]
    depth = int(first["depth"].iloc[0])
    ratios = first.drop_duplicates(pair.across).set_index(pair.across)
    noun = KINDS[pair.across]
    labels = {
        verdict: in_order(ratios.index[ratios["ratio_verdict"] == verdict], ORDERS[pair.across])
        for verdict in (AHEAD, BEHIND, UNDECIDED, UNJUDGED)
    }
    tests = int(ratios["ratio_p"].notna().sum())
    basis = (
        f" (paired t-tests of log10, corrected for {several(tests, noun)} by Holm's method at {RISK:.0%})"
        if tests
        else ""
    )
    text = (
        f"At the start, at depth {depth}, {pair.one} beyond doubt passes more of the signal's gradient on "
        f"to layer 1 than {pair.other} with {_named(labels[AHEAD], len(ratios), noun)} and less with "
        f"{_named(labels[BEHIND], len(ratios), noun)}"
    )
    if labels[UNDECIDED]:
        text += f"; undecided with {joined(labels[UNDECIDED])}"
    if labels[UNJUDGED]:
        text += f"; not judged, since in some network it is 0 or no number, with {joined(labels[UNJUDGED])}"
    found = [f"{text}{basis}."]
    if not tests:
        found = []
    known = ratios.dropna(subset=["ratio_mean"])
    if known.empty:
        return found
    label = known["ratio_mean"].abs().idxmax()
    means = first[first[pair.across] == label].set_index(pair.kind)["mean"]
    row = known.loc[label]
    ends = (
        f" [{power(row['ratio_low'])}, {power(row['ratio_high'])}]"
        if np.isfinite(row["ratio_low"])
        else ", one pair without an interval"
    )
    text = (
        f"The signal's gradient at layer 1 of depth {depth} differs most at the start with {label}: "
        f"{power(means[pair.one])} of that at the last hidden layer with {pair.one}, "
        f"{power(means[pair.other])} with {pair.other}, a ratio of {power(row['ratio_mean'])}{ends}"
    )
    return [*found, f"{text}."]


def _named(labels: list[str], total: int, noun: str) -> str:
    if len(labels) == total > 1:
        return f"every {noun}"
    return joined(labels) if labels else "none"


def _units(drawn: pd.DataFrame, pair: Pair, when: str) -> list[str]:
    """Say where dead units, saturation and collapse differ most."""
    names = {
        "dead_share": "dead units",
        "saturated_share": "saturation",
        "z_collapse": "collapse of z",
    }
    by = ["quantity", pair.across, pair.kind]
    means = drawn.groupby(by)["mean"].mean().unstack(pair.kind)
    words = []
    for quantity, name in names.items():
        if quantity not in means.index:
            continue
        part = means.loc[quantity]
        label = (part[pair.one] - part[pair.other]).abs().idxmax()
        words.append(
            f"{name} {part.at[label, pair.one]:.0%} with {pair.one} and {part.at[label, pair.other]:.0%} "
            f"with {pair.other} ({label})"
        )
    return [
        f"{when}, at depth {int(drawn['depth'].iloc[0])}, on average over the hidden layers and where they "
        f"differ most: {'; '.join(words)}."
    ]
