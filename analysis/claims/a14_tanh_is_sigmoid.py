"""A14: tanh(x) = 2σ(2x) − 1."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import measurements

DIFFERENCE, BOUND = "largest difference", "rounding bound"


def judge(study: Study, data: str) -> Evidence:
    """Weigh the largest difference against what rounding allows."""
    del data
    measured = measurements(study, "tanh_identity")
    # NaN is shown, not skipped
    largest = measured.groupby(["dtype", "grid", "points", "quantity"])["value"].agg(
        lambda values: values.max(skipna=False)
    )
    wide = largest.unstack().reset_index()
    if not {DIFFERENCE, BOUND} <= set(wide.columns):
        raise NoEvidence("the task tanh_identity measured no difference or no bound")
    tests = tuple(
        replace(outcomes.all_zero(f"{row['dtype']}, {row['grid']}", [_excess(row)]), each="grid")
        for row in wide.to_dict("records")
    )
    held = int((wide[DIFFERENCE] <= wide[BOUND]).sum())
    said = (
        f"On {held} of {len(wide)} grids of numbers both sides differ by no more than rounding allows; the "
        f"largest difference is {wide[DIFFERENCE].max():.2g} eps, {wide[BOUND].min():g} eps are allowed."
    )
    return Evidence(
        (Part("", tests, decision.for_every(tests), "eps beyond what rounding allows"),),
        wide,
        0,
        said,
        functools.partial(_draw, wide),
        f"Largest difference between tanh(x) and 2σ(2x) − 1 on each of {len(wide)} grids of up to "
        f"{int(wide['points'].max()):,} numbers, in eps (2⁻²³ in float32, 2⁻⁵² in float64), and what rounding "
        "allows.",
    )


def _excess(row: dict[str, float]) -> float:
    return float(np.maximum(row[DIFFERENCE] - row[BOUND], 0.0))


def _draw(wide: pd.DataFrame) -> Figure:
    colour = style.colours(["tanh"])["tanh"]
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""],
            sorted(wide["dtype"].unique()),
            (2.8, 1.7),
            sharey=False,
            gap=1.3,
            left=1.2,
            bottom=0.5,
        )
        for dtype, axis in zip(sorted(wide["dtype"].unique()), axes[0], strict=True):
            part = wide[wide["dtype"] == dtype].reset_index(drop=True)
            axis.hlines(part.index, 0, part[DIFFERENCE], color=colour, linewidth=2.5)
            axis.plot(part[DIFFERENCE], part.index, "s", color=colour, markersize=6)
            axis.axvline(part[BOUND].min(), color="black", linestyle="--", linewidth=0.9)
            axis.set_yticks(part.index, labels=part["grid"])
            axis.set_ylim(len(part) - 0.5, -0.5)
            axis.set_xlim(0, 1.1 * max(wide[BOUND].max(), wide[DIFFERENCE].max()))
            axis.grid(False, axis="y")
            axis.set_xlabel("difference in eps")
        handles = [
            panels.handle("|tanh(x) − (2σ(2x) − 1)|", colour, "s", linewidth=2.5),
            panels.handle("rounding allows", "black", "", linestyle="--"),
        ]
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="A14",
    sentence="tanh(x) = 2σ(2x) − 1.",
    notes=("004",),
    says="Note 004 defines tanh so.",
    experiments=(),
    tasks=("tanh_identity",),
    quantity=(
        "Largest difference of both sides on a grid of numbers (even to ±8, even to where exp(2x) leaves the "
        "format, logarithmic to ±1) in float32 and float64, less what rounding allows, 3.5 eps."
    ),
    rule=(
        "Supported if on every grid in both formats the difference is at most what rounding allows; refuted if "
        "it is on none; conditional if on some and not on others; inconclusive where a number is missing."
    ),
    judge=judge,
    lessons={
        "supported": "tanh is a sigmoid, stretched and centred: equal up to rounding.",
        "conditional": "tanh equals the stretched sigmoid on some numbers only.",
        "refuted": "tanh is not the stretched sigmoid.",
    },
    limits="Close to 0 the right side has far fewer correct digits than tanh, though the same absolute error.",
)  # fmt: skip
