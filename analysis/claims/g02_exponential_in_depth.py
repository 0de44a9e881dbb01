"""G2: a product of many factors is said to end near 0 or at infinity."""

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
from analysis.words import joined, share, signed

ACTIVATIONS = ("sigmoid", "tanh", "relu")

DEPTHS = (4, 8, 16, 32)

RATE = 0.03
"""Decades per layer, either way: a factor of ten in 33 layers."""

LEAST = 1e-12
"""Squared decades added to both sums of squares: below it is rounding."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh the slope of the gradient ratio over depth, and a line in depth against one in its logarithm."""
    chosen = where(
        activation=[*ACTIVATIONS, "identity"], init=ORDINARY, depth=DEPTHS, steps=0, data=data
    )
    found = whole(networks(study, chosen), activation=ACTIVATIONS, init=ORDINARY, depth=DEPTHS)
    found = ways(study, found)
    fits = fitted(found[found["activation"] != "identity"])
    runs, straight = [], []
    for activation in ACTIVATIONS:
        for init in ORDINARY:
            part = fits[(fits["activation"] == activation) & (fits["init"] == init)]
            name = f"{activation}, {init}"
            runs.append(outcomes.outside(name, part["per_layer"], -RATE, RATE))
            straight.append(outcomes.above_ranked(name, part["better"], 0.0))
    parts = (
        Part("runs to 0 or to infinity", tuple(runs), decision.for_every(runs),
             "decades per layer of depth"),
        Part("by the same factor in every layer", tuple(straight), decision.for_every(straight),
             "log10 of the squares that a line in log depth leaves over those of a line in depth"),
    )  # fmt: skip
    bounded = [one.label for one in runs if one.verdict == "refuted"]
    bent = [one.label for one in straight if one.verdict == "refuted"]
    said = (
        f"The gradient runs off in {share(sum(one.verdict == 'supported' for one in runs), len(runs), 'start')}"
        f", by 10^{signed(min(one.estimate for one in runs), '+', 2)} to "
        f"10^{signed(max(one.estimate for one in runs), '+', 2)} per layer; it stays within a factor of ten "
        f"over 33 layers with {joined(bounded) or 'none'}. A power law of depth fits better with "
        f"{joined(bent) or 'none'}."
    )
    return Evidence(
        parts,
        fits,
        len(found),
        said,
        functools.partial(draw, found),
        f"log10 of the signal gradient in the first over the last hidden layer at the start: mean and 95 % "
        f"Student interval over {found['seed'].nunique()} seeds. What is straight in the upper row, against "
        "depth, changes by the same factor in every layer; what is straight in the lower row, against the "
        "logarithm of depth, is a power law; what stays at the dashed line is neither. Identity, the same "
        f"weights without an activation, is the control. {int((~np.isfinite(found['ratio'])).sum())} networks "
        "have no such number.",
    )  # fmt: skip


def fitted(found: pd.DataFrame) -> pd.DataFrame:
    """Return a row an activation, initializer and seed: what a line in depth and one in its logarithm leave.

    ``per_layer``: slope of the ratio over hidden layers, ±∞ where nothing arrives; ``better``: log10 of the
    sum of squares of the line in log depth over that of the line in depth, NaN likewise.
    """
    rows = []
    for (activation, init, seed), part in found.groupby(["activation", "init", "seed"]):
        hidden, decades = part["depth"].to_numpy() - 1.0, part["ratio"].to_numpy()
        row = {"activation": activation, "init": init, "seed": seed}
        if len(decades) < len(DEPTHS) or not np.isfinite(decades).all():
            extreme = decades[~np.isfinite(decades)]
            rows.append(
                row | {"per_layer": extreme[0] if len(extreme) else np.nan, "better": np.nan}
            )
            continue
        lines = [np.polyfit(x, decades, 1) for x in (hidden, np.log10(hidden))]
        left = [
            float(np.sum((np.polyval(line, x) - decades) ** 2)) + LEAST
            for line, x in zip(lines, (hidden, np.log10(hidden)), strict=True)
        ]
        better = float(np.log10(left[1] / left[0]))
        rows.append(row | {"per_layer": float(lines[0][0]), "better": better})
    return pd.DataFrame(rows)


def draw(found: pd.DataFrame) -> Figure:
    """Draw the ratio against depth, above, and against its logarithm, below."""
    names = [one for one in (*ACTIVATIONS, "identity") if (found["activation"] == one).any()]
    looks = panels.looks_of(names)
    with style.house_style():
        figure, axes = layout.panel_grid(
            ["depth", "log depth"], ORDINARY, (2.1, 1.9), sharex=False, left=0.75, gap=0.42
        )
        for row, axis_row in enumerate(axes):
            for init, axis in zip(ORDINARY, axis_row, strict=True):
                axis.axhline(0.0, color="black", linestyle="--", linewidth=0.9, zorder=1)
                for name in names:
                    part = found[(found["init"] == init) & (found["activation"] == name)]
                    panels.line(axis, part, "depth", "ratio", *looks[name])
                panels.ticks(axis, DEPTHS, base=10 if row else None)
                if row:
                    axis.set_xlabel("depth")
            axis_row[0].set_ylabel("decades")
        handles = panels.handles(looks)
        handles.append(panels.handle("unchanged", "black", "", linestyle="--", linewidth=0.9))
        layout.legend_above(
            figure, handles, "log10 of the signal gradient, first over last hidden layer"
        )
    return figure


CLAIM = Claim(
    id="G2",
    sentence="A product of many factors ends near 0 or at infinity, exponentially in depth.",
    notes=("000",),
    says=(
        "Note 000: in a deep network so many numbers are multiplied that, whatever they are, the gradient "
        "becomes 0 or infinite. That it does so exponentially in depth is ours to add."
    ),
    experiments=("ledger_start",),
    quantity=(
        "log10 of the signal gradient in the first over the last hidden layer at step 0, at depth 4, 8, 16 and "
        "32; per seed the slope of its least-squares line over the number of hidden layers, and log10 of the "
        "sum of squares that a line in the logarithm of that number leaves over what the line in the number "
        "itself leaves (1e-12 added to both)."
    ),
    rule=(
        "Sigmoid, tanh and ReLU with torch_default, xavier_normal, he_normal and orthogonal, ten seeds. "
        "Two parts, each supported if it holds in all twelve conditions (intersection-union at 5 %), "
        "refuted if it fails in some (Holm) and holds in none (Holm), conditional if both occur. First, "
        "the mean slope lies beyond ±0.03 decades per layer (one-sided t-tests, twice the p of the nearer "
        "side); against it stands one within (two one-sided t-tests). Second, the line in depth leaves "
        "less than the line in log depth: mean of the logarithm above 0 (t-test; below 0 stands against "
        "it). Where a seed's ratio is not finite sign tests of the median replace the t-tests; nothing "
        "arriving (−∞) counts as beyond in the first part, and for neither side in the second. The claim "
        "is supported or refuted if both parts are, else conditional, or inconclusive if a part is and "
        "nothing contradicts. Expected: tanh with xavier_normal is a power law."
    ),
    judge=judge,
    lessons={
        "supported": "Whatever the ordinary start, depth multiplies the gradient by a constant factor a layer.",
        "conditional": "Depth drives some starts to 0 or infinity by a constant factor a layer, not all of "
        "them.",
        "refuted": "Depth need not drive the gradient to 0 or infinity by a constant factor a layer.",
    },
    limits="Dense networks of width 64; four depths, so that only coarse bends are seen.",
)
