"""What a study found, in sentences whose every number is computed from the tables of its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import style
from analysis.frames import in_order

HEALTHY_DECADES = 1.0
"""A gradient that arrives within a factor of ten has neither vanished nor exploded."""

COLLAPSED = 0.5
"""Above this share most of what a layer computes is the same for every sample."""


LEARNT = 0.01
"""A guess of one class hits its share of the test split, which is chance give or take less than this."""

DEAD = 0.01
"""A smaller share of dead units is no finding."""


@dataclass(frozen=True)
class Finding:
    """One sentence, and the figure that shows it."""

    text: str
    figure: str


def start_findings(tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """Return what the networks are like before training.

    Args:
        tables: by figure, those of ``atlas`` and ``collapse``.
    """
    if "atlas" not in tables:
        return []
    atlas = tables["atlas"]
    depth = int(atlas["depth"].max())
    if depth < 3:
        return []
    first = atlas[(atlas["depth"] == depth) & (atlas["layer"] == 1)]
    found = [*_blame(first, depth), *_sorted_out(first, depth)]
    if "collapse" in tables:
        found += _collapsed(first, tables["collapse"], depth)
    return found


def _blame(first: pd.DataFrame, depth: int) -> list[Finding]:
    """Say what an activation does to the gradient that the same weights without one do not."""
    control = first[first["activation"] == "identity"].set_index("init")["mean"]
    # of starts that the weights alone leave as they are, if there are any
    innocent = control[control.abs() <= HEALTHY_DECADES]
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
        f"{_power(worst['mean'])} of the signal's gradient to the first layer"
    )
    if worst["init"] in control.index:
        text += f"; the same weights without an activation pass {_power(control[worst['init']])}"
    return [Finding(text + ".", "atlas")]


def _sorted_out(first: pd.DataFrame, depth: int) -> list[Finding]:
    """Say which conditions keep the gradient, which lose it and which make it explode."""
    conditions = first[first["activation"] != "identity"]
    conditions = conditions if not conditions.empty else first
    kinds = {
        "keep the gradient within a factor of ten from the last hidden layer to the first": (
            conditions["mean"].abs() <= HEALTHY_DECADES
        ),
        "lose more than that on the way": conditions["mean"] < -HEALTHY_DECADES,
        "make it explode": conditions["mean"] > HEALTHY_DECADES,
    }
    found = []
    for kind, chosen in kinds.items():
        count = f"At depth {depth}, {int(chosen.sum())} of {len(conditions)} conditions {kind}"
        found.append(count + (f": {_list(conditions[chosen])}" if chosen.any() else ""))
    lost = conditions[conditions["mean"].isna()]
    if not lost.empty:
        found.append(f"Exactly zero or not a number in every network: {_list(lost)}")
    return [Finding(f"{text}.", "atlas") for text in found]


def _collapsed(first: pd.DataFrame, collapse: pd.DataFrame, depth: int) -> list[Finding]:
    """Say where a healthy gradient hides that all samples look the same."""
    healthy = first[(first["mean"].abs() <= HEALTHY_DECADES) & (first["activation"] != "identity")]
    last = collapse[(collapse["depth"] == depth) & (collapse["layer"] == depth - 1)]
    both = healthy.merge(last, on=["activation", "init"], suffixes=("", "_collapse"))
    both = both[both["mean_collapse"] > COLLAPSED]
    if both.empty:
        return []
    worst = both.loc[both["mean_collapse"].idxmax()]
    return [
        Finding(
            f"A healthy gradient is not enough: {worst['activation']} with {worst['init']} keeps it "
            f"({_power(worst['mean'])} at depth {depth}), yet {worst['mean_collapse']:.0%} of what "
            f"its last hidden layer computes is the same for every sample.",
            "collapse",
        )
    ]


def training_findings(
    tables: Mapping[str, pd.DataFrame], chance: float, linear: float
) -> list[Finding]:
    """Return what became of the networks in training.

    Args:
        tables: by figure, those of ``trainability``, ``rate_map`` and ``dead_units``.
        chance: accuracy of a guess.
        linear: accuracy of a linear model; NaN if none was run.
    """
    if "trainability" not in tables:
        return []
    best = tables["trainability"]
    found = []
    finite = best.dropna(subset=["mean"])
    if finite.empty:
        return [
            Finding("No network finished its training: all diverged or failed.", "trainability")
        ]
    top = finite.loc[finite["mean"].idxmax()]
    beside = f"chance {chance:.0%}" + (f", a linear model {linear:.1%}" if linear == linear else "")
    found.append(
        Finding(
            f"The best condition is {top['activation']} with {top['init']} at depth "
            f"{int(top['depth'])} and rate {top['lr']:g}: {top['mean']:.1%} of the test split "
            f"({beside}).",
            "trainability",
        )
    )
    found += _deepest(best, chance, linear)
    if "rate_map" in tables:
        found += _too_fast(tables["rate_map"])
    if "dead_units" in tables:
        found += _dying(tables["dead_units"])
    return found


def _deepest(best: pd.DataFrame, chance: float, linear: float) -> list[Finding]:
    """Say what still learns at the greatest depth."""
    depth = int(best["depth"].max())
    deep = best[best["depth"] == depth]
    # a single network has no interval: its own accuracy must do
    low = deep["low"].fillna(deep["mean"])
    learns = deep[low > chance + LEARNT]
    if learns.empty:
        text = f"At depth {depth} no condition learns at any of the rates: all stay at chance"
    else:
        text = (
            f"At depth {depth}, {len(learns)} of {len(deep)} conditions are above chance at their "
            f"best rate (the 95 % interval by more than {LEARNT:.0%}): {_list(learns)}"
        )
        if np.isfinite(linear):
            better = deep[low > linear]
            text += (
                "; none is above a linear model"
                if better.empty
                else f"; above a linear model: {_list(better)}"
            )
    return [Finding(f"{text}.", "trainability")]


def _too_fast(rates: pd.DataFrame) -> list[Finding]:
    """Say where a larger rate makes networks diverge that a smaller one trains."""
    by_rate = rates.groupby(["depth", "init", "lr"])["diverged"].sum()
    spoilt = by_rate.groupby(["depth", "init"]).agg(["max", "min"])
    # where every rate diverges it is not the rate that does it
    spoilt = spoilt[(spoilt["max"] > 0) & (spoilt["min"] == 0)]
    if spoilt.empty:
        return []
    depth, init = spoilt["max"].idxmax()
    worst = by_rate[depth, init].idxmax()
    safe = by_rate[depth, init].loc[lambda counts: counts == 0].index.max()
    lost = rates[(rates["depth"] == depth) & (rates["init"] == init) & (rates["lr"] == worst)]
    listed = ", ".join(
        f"{row['diverged']:.0f} of {row['networks'] + row['diverged']:.0f} {row['activation']}"
        for row in _ordered(lost[lost["diverged"] > 0]).to_dict("records")
    )
    text = (
        f"At depth {depth} with {init}, rate {worst:g} makes networks diverge ({listed}); "
        f"at rate {safe:g} none does."
    )
    return [Finding(text, "rate_map")]


def _dying(dead: pd.DataFrame) -> list[Finding]:
    """Say where most units are dead at the end, and how many were born dead."""
    condition = ["activation", "init", "depth", "lr"]
    by_step = dead.groupby([*condition, "step"])["dead_share"].mean().reset_index()
    ends = by_step.loc[by_step.groupby(condition)["step"].idxmax()].dropna()
    if ends.empty or ends["dead_share"].max() < DEAD:
        return []
    worst = ends.loc[ends["dead_share"].idxmax()]
    born = by_step[(by_step[condition] == worst[condition]).all(axis=1)].iloc[0]
    text = (
        f"Most dead units: {worst['activation']} with {worst['init']} at depth "
        f"{int(worst['depth'])}, {born['dead_share']:.0%} of the hidden units at the start"
    )
    if worst["step"] > 0:
        text += f" and {worst['dead_share']:.0%} after {int(worst['step'])} steps"
    return [Finding(f"{text}.", "dead_units")]


def _power(decades: float) -> str:
    """Return ``"10^−18.9"``, or that there is no such number."""
    if not np.isfinite(decades):
        return "nothing that is a number"
    shown = f"{decades:.1f}".replace("-", "−")
    return "10^0.0" if shown in ("0.0", "−0.0") else f"10^{shown}"


def _ordered(conditions: pd.DataFrame) -> pd.DataFrame:
    order = {a: i for i, a in enumerate(in_order(conditions["activation"], style.ACTIVATIONS))}
    return conditions.sort_values("activation", key=lambda column: column.map(order), kind="stable")


def _list(conditions: pd.DataFrame) -> str:
    """Return conditions as text, activations that share their initializers together."""
    inits_of: dict[str, tuple[str, ...]] = {}
    for activation in in_order(conditions["activation"], style.ACTIVATIONS):
        inits = conditions.loc[conditions["activation"] == activation, "init"]
        inits_of[activation] = tuple(in_order(inits, style.INITIALIZERS))
    groups: dict[tuple[str, ...], list[str]] = {}
    for activation, inits in inits_of.items():
        groups.setdefault(inits, []).append(activation)
    return "; ".join(
        f"{_and(activations)} with {_and(list(inits))}" for inits, activations in groups.items()
    )


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
