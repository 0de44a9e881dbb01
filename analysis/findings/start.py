"""What the networks are like before training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.findings.finding import Finding
from analysis.words import joined, listed, power, several, share, signed, verb

HEALTHY_DECADES = 1.0
"""A gradient that arrives within a factor of ten has neither vanished nor exploded."""

FORETOLD = 0.01
"""Decades per layer within which a prediction counts as met: a third of a decade over 32 layers."""

COLLAPSED = 0.5
"""Above this share most of what a layer computes is the same for every sample."""

KEPT, LOST, EXPLODED, MIXED, ZERO, UNDEFINED = range(6)
"""What becomes of the gradient in all networks of a condition."""


def start_findings(tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """Return what the networks are like before training.

    Args:
        tables: by figure, those of ``atlas``, ``collapse`` and ``theory_slope``.
    """
    if "atlas" not in tables:
        return []
    atlas = tables["atlas"]
    depth = int(atlas["depth"].max())
    if depth < 3:
        return []
    first = atlas[(atlas["depth"] == depth) & (atlas["layer"] == 1)]
    first = first.assign(kind=kinds(first))
    found = [*_blame(first, depth), *_sorted_out(first, depth)]
    if "collapse" in tables:
        found += _collapsed(first, tables["collapse"], depth)
    if "theory_slope" in tables:
        found += _foretold(tables["theory_slope"])
    return found


def _foretold(slopes: pd.DataFrame) -> list[Finding]:
    """Say how well theory knew how fast gradients vanish and explode."""
    known = slopes.dropna(subset=["error"])
    if known.empty:
        return []
    close = int((known["error"].abs() <= FORETOLD).sum())
    silent = len(slopes) - len(known)
    text = (
        f"Mean-field theory, which fits nothing, foretells how fast the gradient vanishes or explodes to "
        f"{FORETOLD:g} decades per layer in {close} of {several(len(known), 'condition')}"
    )
    worst = known.loc[known["error"].abs().idxmax()]
    if abs(worst["error"]) > FORETOLD:
        text += (
            f"; it is furthest off for {worst['activation']} with {worst['init']} at depth "
            f"{worst['depth']}: {signed(worst['mean'], '+', 3)} measured, "
            f"{signed(worst['predicted'], '+', 3)} predicted"
        )
    if silent:
        text += f"; of {several(silent, 'condition')} more it does not speak"
    return [Finding(text + ".", "theory_slope")]


def kinds(first: pd.DataFrame) -> np.ndarray:
    """Return what becomes of the gradient on the way to layer 1, judged network by network.

    Args:
        first: rows of the atlas.
    """
    some, zeros, broken = first["networks"] > 0, first["zeros"] > 0, first["nonfinite"] > 0
    whole = ~zeros & ~broken
    below = first["largest"] < -HEALTHY_DECADES
    above = first["smallest"] > HEALTHY_DECADES
    inside = (first["smallest"] >= -HEALTHY_DECADES) & (first["largest"] <= HEALTHY_DECADES)
    return np.select(
        [
            whole & inside,
            some & ~broken & below,  # exactly 0 is lost, too
            whole & above,
            ~some & ~broken,
            ~some & ~zeros,
        ],
        [KEPT, LOST, EXPLODED, ZERO, UNDEFINED],
        MIXED,
    )


def _total(row: pd.Series) -> int:
    return int(row["networks"] + row["zeros"] + row["nonfinite"])


def _also(row: pd.Series) -> str:
    """Say in how many networks of a condition there is no decade to average."""
    counts = {"exactly 0": int(row["zeros"]), "no number": int(row["nonfinite"])}
    words = [
        f"{what} in {n} of {several(_total(row), 'network')}" for what, n in counts.items() if n
    ]
    return f", and {joined(words)}" if words else ""


def _interval(row: pd.Series) -> str:
    """Return the 95 % interval of the decades, where there is one: ``" [10^−19.0, 10^−18.8]"``."""
    if not np.isfinite(row["low"]):
        return ""
    return f" [{power(row['low'])}, {power(row['high'])}]"


def _blame(first: pd.DataFrame, depth: int) -> list[Finding]:
    """Say what an activation does to the gradient that the same weights without one do not."""
    control = first[first["activation"] == "identity"].set_index("init")
    # of starts that the weights alone leave as they are, if there are any
    innocent = control[control["kind"] == KEPT]
    others = first[first["activation"] != "identity"].dropna(subset=["mean"])
    if not innocent.empty:
        others = others[others["init"].isin(innocent.index)]
    if others.empty:
        return []
    worst = others.loc[others["mean"].idxmin()]
    if worst["mean"] > -HEALTHY_DECADES:
        return []
    text = (
        f"At depth {depth} with {worst['init']}, {worst['activation']} passes "
        f"{power(worst['mean'])}{_interval(worst)} of the signal's gradient from the last hidden layer "
        f"to the first{_also(worst)}"
    )
    if worst["init"] in control.index:
        without = control.loc[worst["init"]]
        text += f"; the same weights without an activation pass {power(without['mean'])}{_also(without)}"
    return [Finding(text + ".", "atlas")]


def _sorted_out(first: pd.DataFrame, depth: int) -> list[Finding]:
    """Say which conditions keep the gradient, which lose it and which make it explode."""
    conditions = first[first["activation"] != "identity"]
    aside = not conditions.empty and len(conditions) < len(first)
    conditions = conditions if not conditions.empty else first
    noun = "condition"
    beside = " (identity left aside)" if aside else ""
    found = []
    for kind, one, many in (
        (KEPT, "keeps the gradient within a factor of ten from the last hidden layer to the first in "
         "every network", "keep the gradient within a factor of ten from the last hidden layer to the "
         "first in every network"),
        (LOST, "loses more than a factor of ten on the way in every network",
         "lose more than a factor of ten on the way in every network"),
        (EXPLODED, "makes it explode by more than a factor of ten in every network",
         "make it explode by more than a factor of ten in every network"),
        (MIXED, "keeps it in some networks and not in others",
         "keep it in some networks and not in others"),
        (ZERO, "passes exactly 0 in every network", "pass exactly 0 in every network"),
        (UNDEFINED, "has no gradient that is a number in any network",
         "have no gradient that is a number in any network"),
    ):  # fmt: skip
        chosen = conditions[conditions["kind"] == kind]
        if chosen.empty:
            continue
        text = f"At depth {depth}, {share(len(chosen), len(conditions), noun)}{beside} "
        text += f"{verb(len(chosen), one, many)}: {listed(chosen)}"
        found.append(text + (_exceptions(chosen) if kind in (LOST, MIXED) else ""))
        beside = ""
    return [Finding(f"{text}.", "atlas") for text in found]


def _exceptions(chosen: pd.DataFrame) -> str:
    """Name the conditions in which some networks have a gradient of exactly 0 or none."""
    words = [
        f"{row['activation']} with {row['init']} ({_also(row).removeprefix(', and ')})"
        for _, row in chosen[(chosen["zeros"] > 0) | (chosen["nonfinite"] > 0)].iterrows()
    ]
    return f"; among them {joined(words)}" if words else ""


def _collapsed(first: pd.DataFrame, collapse: pd.DataFrame, depth: int) -> list[Finding]:
    """Say where a healthy gradient hides that all samples look the same."""
    healthy = first[(first["kind"] == KEPT) & (first["activation"] != "identity")]
    last = collapse[(collapse["depth"] == depth) & (collapse["layer"] == depth - 1)]
    both = healthy.merge(last, on=["activation", "init"], suffixes=("", "_collapse"))
    both = both[both["mean_collapse"] > COLLAPSED]
    if both.empty:
        return []
    worst = both.loc[both["mean_collapse"].idxmax()]
    return [
        Finding(
            f"A healthy gradient does not mean that inputs stay apart: {worst['activation']} with "
            f"{worst['init']} keeps it ({power(worst['mean'])} at depth {depth}), yet "
            f"{worst['mean_collapse']:.0%} of the mean square of the pre-activations in its last hidden "
            "layer is the same for every sample.",
            "collapse",
        )
    ]
