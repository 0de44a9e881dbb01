"""G9: layers near the input are said to be hardly updated."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, layers, tuned, where, whole
from analysis.ledger.series import WIDENED
from analysis.words import joined, share, signed

CLAIMED = ("sigmoid", "tanh")

ACTIVATIONS = (*CLAIMED, "relu")

DEPTHS = (8, 32)

LAST_STEP = 100

TENTH = -1.0
"""log10 of a tenth."""

LEARNT = 0.01
"""Accuracy above chance that counts as having learnt."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh how far the first hidden layer moves in the first updates, beside the last one."""
    chosen = where(
        activation=ACTIVATIONS, init=ORDINARY, depth=DEPTHS, steps=200, probe__steps=8,
        probe__samples=256, data=data,
    )  # fmt: skip
    found = whole(tuned(study, chosen), activation=CLAIMED, init=ORDINARY, depth=DEPTHS)
    moves = moved(study, found)
    by_cell = moves.set_index("cell")
    ends = pd.DataFrame(
        {
            "first": by_cell.loc[by_cell["layer"] == 1, "moved"],
            "last": by_cell.loc[by_cell["layer"] == by_cell["depth"] - 1, "moved"],
        }
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log10(ends["first"]) - np.log10(ends["last"])
    # a network of which an update is no number did not stand still
    ratios = ratios.mask(~np.isfinite(ends).all(axis=1), np.inf)
    found = found.assign(ratio=found["cell"].map(ratios))
    parts = []
    for activation in CLAIMED:
        tests = tuple(
            outcomes.below_ranked(f"{init}, depth {depth}", part["ratio"], TENTH)
            for (init, depth), part in found[found["activation"] == activation].groupby(
                ["init", "depth"]
            )
        )
        parts.append(
            Part(activation, tests, decision.for_every(tests), "log10 of the relative update, first over last hidden layer")
        )  # fmt: skip
    still = found["cell"].map(ends["first"] == 0)
    medians = found.groupby(["activation", "init", "depth"])["ratio"].median().groupby("activation")
    said = (
        "In the first updates the first hidden layer moves, relative to its weights, by "
        + ", ".join(
            f"{_factor(medians.min()[name])} to {_factor(medians.max()[name])} ({name})"
            for name in ACTIVATIONS
            if name in medians.groups
        )
        + f" of what the last does (medians by start and depth); in {int(still.sum())} of {len(found)} "
        f"networks it does not move at all.{_stuck(found)}"
    )
    return Evidence(
        tuple(parts),
        found,
        len(found),
        said,
        functools.partial(draw, found, moves),
        f"Relative update ‖ΔW‖/‖W‖ by hidden layer, summed over the probe steps up to {LAST_STEP}, each "
        "condition at the rate that tuning seeds choose: median over "
        f"{found['seed'].nunique()} seeds. A line that falls to the left is a network whose first layers stay "
        "behind; crosses at the lower edge stand for layers of which in half of the seeds or more no "
        "weight changed (rounding in float32 swallowed the update). ReLU is for comparison. "
        f"{int((found['status'] == 'diverged').sum())} networks diverged.",
    )


def _stuck(found: pd.DataFrame) -> str:
    """Return sentences on the conditions that learn nothing at their best rate."""
    means = (
        found.assign(above=found["score"] - found["chance"])
        .groupby(["activation", "init", "depth"])["above"]
        .mean()
        .groupby("activation")
    )
    told = [
        f"{share(int((one <= LEARNT).sum()), len(one), 'condition')} with {name}"
        for name, one in means
        if (one <= LEARNT).any()
    ]
    if not told:
        return ""
    return (
        f" At their best rates {joined(told)} stay at chance: there it is said how networks stand still, not "
        "how they train."
    )


def _factor(decades: float) -> str:
    return "0" if decades == -np.inf else f"10^{signed(decades, '+')}"


def moved(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network and hidden layer: relative updates, summed over the first probe steps."""
    rows = layers(study, found["cell"], "update_norm, weight_norm", f"step <= {LAST_STEP}")
    rows = rows.merge(found[["cell", "activation", "init", "depth"]], on="cell")
    rows = rows[rows["layer"] < rows["depth"]]
    rows = rows.assign(moved=rows["update_norm"].astype(float) / rows["weight_norm"].astype(float))
    keys = ["cell", "activation", "init", "depth", "layer"]
    return rows.groupby(keys)["moved"].agg(lambda one: one.sum(skipna=False)).reset_index()


def draw(found: pd.DataFrame, moves: pd.DataFrame) -> Figure:
    """Draw relative updates by layer, a row a depth, a column an activation, a line an initializer."""
    names = [one for one in ACTIVATIONS if (found["activation"] == one).any()]
    colours, markers = style.colours(ORDINARY), style.markers(ORDINARY)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [f"depth {depth}" for depth in DEPTHS], names, (2.3, 1.7), sharex=False, gap=0.38
        )
        for depth, row in zip(DEPTHS, axes, strict=True):
            for name, axis in zip(names, row, strict=True):
                here = moves[(moves["activation"] == name) & (moves["depth"] == depth)]
                for place, init in enumerate(ORDINARY):
                    part = here[here["init"] == init].groupby("layer")["moved"].median()
                    seen = part[np.isfinite(part) & (part > 0)]
                    axis.plot(
                        seen.index, seen, color=colours[init], marker=markers[init], markersize=3.5,
                        markevery=max(1, depth // 8),
                    )  # fmt: skip
                    gone = part[part == 0]
                    axis.plot(
                        gone.index, [0.02 + 0.03 * place] * len(gone), "x", color=colours[init],
                        markersize=3.5, transform=axis.get_xaxis_transform(), clip_on=False,
                    )  # fmt: skip
                axis.set_yscale("log")
                layout.layer_ticks(axis, depth - 1)
                if depth == DEPTHS[-1]:
                    axis.set_xlabel("hidden layer")
            row[0].set_ylabel("‖ΔW‖ / ‖W‖")
        handles = [
            Line2D([], [], color=colours[one], marker=markers[one], label=one) for one in ORDINARY
        ]
        handles.append(
            Line2D([], [], color="black", marker="x", linestyle="none", label="none changed")
        )
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="G9",
    sentence="With sigmoid and tanh the layers near the input are hardly updated.",
    notes=("003",),
    says=(
        "Note 003: as the derivatives of sigmoid and tanh are at most 1, the gradient nears 0 towards the input "
        "and there is hardly any update."
    ),
    experiments=("ledger_training",),
    quantity=(
        "log10 of the relative update ‖ΔW‖/‖W‖, as realised in float32 and summed over the probe steps up to "
        "100, of the first over that of the last hidden layer; plain SGD at the rate that tuning seeds choose on "
        "the validation split of 0.01, 0.03, 0.1, 0.3, 1 and 3; one number a seed."
    ),
    rule=(
        "Two parts, sigmoid and tanh, each over torch_default, xavier_normal, he_normal and orthogonal at depth "
        "8 and 32, ten seeds: supported if the mean is below −1, a tenth, in every one (one-sided t-tests at "
        "5 %, intersection-union); refuted if it is above −1 in some (Holm) and below in none (Holm); "
        "conditional if both occur. Where a number is not finite a sign test of the median against −1 replaces "
        "the t-test: −∞ where the first layer does not move, +∞ where an update is not finite, neither side "
        "where neither layer moves. The claim is supported or refuted if both parts are, else conditional, or "
        "inconclusive if a part is and nothing contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "With sigmoid and tanh the first layer moves by less than a tenth of what the last does.",
        "conditional": "Whether the first layers stay behind depends on activation, start and depth.",
        "refuted": "The first layers of sigmoid and tanh networks are not ten times slower than the last.",
    },
    limits=(
        'A tenth is our reading of "hardly". A network that learns nothing at any rate of the list has a best '
        "rate by chance: then this says how it stood still."
    ),
    amendments=(
        Amendment(
            "57286e853d37",
            "b2d7410b7a29",
            WIDENED,
        ),
    ),
)
