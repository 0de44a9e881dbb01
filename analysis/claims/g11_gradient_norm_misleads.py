"""G11: the size of a gradient alone misleads."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import measurements
from analysis.words import signed

SAME = 1e-9
"""Relative difference of outputs that rounding in float64 may leave."""

DECADE = 1.0

SIDES = ("plain", "rescaled")


def judge(study: Study, data: str) -> Evidence:
    """Look whether networks that are one function have gradient ratios that differ by decades."""
    del data
    pairs = both(measurements(study, "rescaling"))
    same, differs = [], []
    for depth, part in pairs.groupby("depth"):
        name, known = f"depth {depth}", bool(np.isfinite(part[["outputs", *SIDES]]).all(axis=None))
        apart = float(part["difference"].abs().max()) if known else np.nan
        worst = float(part["outputs"].max()) if known else np.nan
        equal = outcomes.exactly(name, part["outputs"] <= SAME if known else [], worst)
        same.append(replace(equal, each="pair"))
        decade = outcomes.exactly(name, [apart >= DECADE] if known else [], apart)
        differs.append(replace(decade, seeds=len(part), each="pair"))
    parts = (
        Part("the two are one function", tuple(same), decision.for_every(same),
             "largest relative difference of outputs"),
        Part("and their gradient ratios differ by a decade or more", tuple(differs),
             decision.for_every(differs), "largest difference in decades"),
    )  # fmt: skip
    typical = pairs["difference"].abs().median()
    said = (
        f"{len(pairs)} pairs of ReLU networks compute the same up to {pairs['outputs'].max():.0e} of their "
        f"output; their gradient ratios differ by {signed(typical)} decades (median) and up to "
        f"{signed(pairs['difference'].abs().max())}."
    )
    return Evidence(
        parts,
        pairs,
        2 * len(pairs),
        said,
        functools.partial(draw, pairs),
        "log10 of the signal gradient in the first over the last hidden layer of pairs of ReLU networks that "
        "compute the same: as drawn, and with hidden layers multiplied by c and what they feed by 1/c. A line "
        "joins the two of a pair; were the ratio a property of the function, every line would be level.",
    )  # fmt: skip


def both(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a pair: the two ratios, their difference and that of the outputs.

    Raises:
        NoEvidence: the ratio of one of the two was not measured.
    """
    ratios = rows[rows["quantity"] == "gradient ratio"]
    if not set(SIDES) <= set(ratios.get("network", ())):
        raise NoEvidence("the task measured no pairs")
    table = ratios.set_index(["depth", "repeat", "network"])["value"].unstack()
    outputs = rows[rows["quantity"] == "relative difference of outputs"]
    table["outputs"] = outputs.set_index(["depth", "repeat"])["value"]
    return table.assign(difference=table["rescaled"] - table["plain"]).reset_index()


def draw(pairs: pd.DataFrame) -> Figure:
    """Draw the two ratios of each pair, joined, a panel a depth."""
    depths = sorted(pairs["depth"].unique())
    colour = style.colours(["relu"])["relu"]
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], [f"depth {one}" for one in depths], (1.7, 2.3), left=0.8
        )
        for depth, axis in zip(depths, axes[0], strict=True):
            for _, row in pairs[pairs["depth"] == depth].iterrows():
                axis.plot([0, 1], [row[one] for one in SIDES], color=colour, marker="o", markersize=4,
                          linewidth=1.0)  # fmt: skip
            axis.axhline(0, color="black", linestyle="--", linewidth=0.9, zorder=1)
            axis.set_xticks([0, 1], labels=SIDES)
            axis.set_xlim(-0.35, 1.35)
        axes[0, 0].set_ylabel("log10, first over last\nhidden layer")
        handles = [
            Line2D([], [], color=colour, marker="o", label="two ReLU networks, one function"),
            Line2D([], [], color="black", linestyle="--", linewidth=0.9, label="unchanged"),
        ]
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="G11",
    sentence="The size of a gradient alone misleads: one function can have small and large ones.",
    notes=(),
    says=(
        "No note says it; it is ours, against reading gradient sizes as trainability. ReLU passes positive "
        "factors through, so that layers can be scaled against each other without any effect on the output."
    ),
    experiments=(),
    tasks=("rescaling",),
    quantity=(
        "Of pairs of ReLU networks at depth 4, 8, 16 and 32, one of which has hidden layers multiplied by c and "
        "what they feed by 1/c, log10 c uniform in ±2: largest difference of outputs over the largest output, "
        "and log10 of the signal gradient in the first over the last hidden layer."
    ),
    rule=(
        "Exact, ten pairs a depth, float64, two parts: at every depth the outputs of every pair agree to 1e-9; "
        "and at every depth the ratios of some pair differ by a decade or more. Each is supported if it holds "
        "at every depth, refuted if it holds at none, conditional if at some; inconclusive where a number is "
        "missing. The claim is supported or refuted if both parts are, else conditional or inconclusive."
    ),
    judge=judge,
    lessons={
        "supported": "A gradient ratio is no property of the function: read it beside scale-free numbers.",
        "conditional": "Where one function has such different gradients their size alone misleads.",
        "refuted": "Rescaled networks were not one function with different gradients.",
    },
    limits=(
        "One function is not one course of training: plain SGD, whose steps follow the gradient's size, trains "
        "the two differently. What is shown is that the size says nothing of the function."
    ),
)
