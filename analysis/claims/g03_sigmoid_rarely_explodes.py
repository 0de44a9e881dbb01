"""G3: sigmoid networks are said to explode rarely, since their values lie between 0 and 1."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, networks, ways, where, whole
from analysis.words import joined, signed

DEPTHS = (8, 16, 32)

SCALES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""σ_w of hidden layers: √(fan_in · Var W)."""

WIDTH = 64

RARE = 0.1
"""Share of ordinary conditions that may explode."""

ORDINARY_SCALES = {
    "torch_default": 3**-0.5,
    "xavier_normal": 1.0,
    "he_normal": 2**0.5,
    "orthogonal": 1.0,
}
"""σ_w of hidden layers of width 64, for the figure."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh how many ordinary sigmoid starts explode, and whether any scale of the weights makes them."""
    usual = where(activation="sigmoid", init=ORDINARY, depth=DEPTHS, steps=0, data=data)
    ordinary = whole(networks(study, usual), init=ORDINARY, depth=DEPTHS)
    ordinary = ways(study, ordinary)
    wide = [scale / WIDTH**0.5 for scale in SCALES]
    mapped = networks(
        study,
        where(
            activation=["sigmoid", "tanh"], init="normal", init__std=wide, depth=DEPTHS, steps=0, data=data
        ),
        {"std": "init_std"},
    )  # fmt: skip
    mapped = mapped.assign(scale=mapped["std"] * WIDTH**0.5)
    mapped = ways(study, whole(mapped, activation=["sigmoid"], depth=DEPTHS, scale=SCALES))
    exploding = ordinary.assign(explodes=ordinary["ratio"] > 0)
    shares = exploding.groupby("seed")["explodes"].mean()
    rarely = (outcomes.below("ordinary starts", shares, RARE),)
    sigmoid = mapped[mapped["activation"] == "sigmoid"]
    never = tuple(
        outcomes.below_ranked(f"σ_w {scale:g}, depth {depth}", part["ratio"], 0.0)
        for (depth, scale), part in sigmoid.groupby(["depth", "scale"])
    )
    parts = (
        Part("rarely with ordinary starts", rarely, decision.for_every(rarely),
             "share of ordinary starts whose gradient grows, by seed"),
        Part("and at no scale of the weights, although values lie in 0–1", never,
             decision.for_every(never), "log10 of the gradient, first over last hidden layer"),
    )  # fmt: skip
    least = {
        depth: min(
            (scale for scale, test in zip(SCALES, tests, strict=True) if test.label in parts[1].verdict.refuted),
            default=None,
        )
        for depth, tests in zip(DEPTHS, np.split(np.array(never, dtype=object), len(DEPTHS)), strict=True)
    }  # fmt: skip
    where_from = [f"{scale:g} at depth {depth}" for depth, scale in least.items() if scale]
    said = (
        f"Of ordinary sigmoid starts {100 * shares.mean():.0f} % have a gradient that grows towards the input; "
        f"the ratios are {signed(ordinary['ratio'].min(), '+')} to {signed(ordinary['ratio'].max(), '+')} "
        "decades. "
        + (
            f"With large weights it does explode, from σ_w = {joined(where_from)} on the map."
            if where_from
            else "No scale of the weights up to 64 is shown to make it explode."
        )
    )
    lost = int((~np.isfinite(pd.concat([ordinary, mapped])["ratio"])).sum())
    return Evidence(
        parts,
        pd.concat([ordinary, mapped], ignore_index=True),
        len(ordinary) + len(mapped),
        said,
        functools.partial(draw, mapped, ordinary),
        "log10 of the signal gradient in the first over the last hidden layer at the start, against the scale "
        f"of the weights: mean and 95 % Student interval over {mapped['seed'].nunique()} seeds; above the "
        "dashed line it explodes. Ordinary starts of sigmoid networks stand at their own scale; tanh, whose "
        f"values lie in −1 … 1, is for comparison. {lost} networks have no finite ratio.",
    )


def draw(mapped: pd.DataFrame, ordinary: pd.DataFrame) -> Figure:
    """Draw the ratio against the scale of the weights, a panel a depth, with the ordinary starts."""
    names = [one for one in ("sigmoid", "tanh") if (mapped["activation"] == one).any()]
    looks = panels.looks_of(names)
    stands = style.markers(ORDINARY)
    with style.house_style():
        figure, axes = layout.panel_grid([""], [f"depth {one}" for one in DEPTHS], (2.4, 2.4))
        for depth, axis in zip(DEPTHS, axes[0], strict=True):
            axis.axhline(0.0, color="black", linestyle="--", linewidth=0.9, zorder=1)
            for name in names:
                part = mapped[(mapped["activation"] == name) & (mapped["depth"] == depth)]
                panels.line(axis, part, "scale", "ratio", *looks[name])
            for init, scale in ORDINARY_SCALES.items():
                part = ordinary[(ordinary["init"] == init) & (ordinary["depth"] == depth)]
                axis.plot(
                    scale, part["ratio"].mean(), stands[init], color="white", markersize=6.5,
                    markeredgecolor="black", markeredgewidth=1.0, zorder=5,
                )  # fmt: skip
            panels.ticks(axis, SCALES)
            axis.set_xlabel("σ_w = √(fan_in · Var W)")
        axes[0, 0].set_ylabel("log10, first over last\nhidden layer")
        handles = panels.handles(looks)
        handles += [
            panels.handle(init, "white", stands[init], markeredgecolor="black") for init in ORDINARY
        ]
        handles.append(panels.handle("explodes above", "black", "", linestyle="--", linewidth=0.9))
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="G3",
    sentence="Sigmoid networks rarely explode, because their values lie between 0 and 1.",
    notes=("000",),
    says="Note 000: with sigmoid exploding does not occur easily, since it has values between 0 and 1.",
    experiments=("ledger_start", "ledger_scale"),
    quantity=(
        "log10 of the signal gradient in the first over the last hidden layer at step 0, sigmoid, depth 8, 16 "
        "and 32: with ordinary initializers, per seed the share of the twelve conditions (initializer × "
        "depth) in which it is above 0; and with N(0, σ_w²/64) weights, σ_w = 0.5, 1, 2, 4, 8, 16, 32, 64."
    ),
    rule=(
        "Ten seeds. Two parts. Rarely: over torch_default, xavier_normal, he_normal and orthogonal the mean "
        "share of conditions that explode is below 0.1 (one-sided t-test; refuted: above 0.1). The reason "
        "given: as values lie in 0–1 at every scale of the weights, the mean ratio is below 0 in each of the 24 "
        "cells of the map (one-sided t-tests at 5 %, intersection-union); refuted if it is above 0 in some "
        "(Holm over the map) and below 0 in none (Holm); conditional if both occur. Where a ratio is not "
        "finite, a sign test of the median replaces the t-test and −∞ counts as below 0. The claim is "
        "supported or refuted if both parts are, else conditional, or inconclusive if a part is and nothing "
        "contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "A sigmoid's gradient does not explode, at any scale of the weights up to 64.",
        "conditional": "Values between 0 and 1 do not decide whether a sigmoid's gradient explodes: its "
        "weights do.",
        "refuted": "Sigmoid networks do explode, with ordinary starts too.",
    },
    limits=(
        "Dense networks of width 64 with normal weights and biases of 0 on the map. A ratio above 1 is called "
        "exploding however little it is above."
    ),
)
