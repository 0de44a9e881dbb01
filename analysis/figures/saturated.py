"""Saturation: the share of a bounded activation that no longer answers, layer by layer, over training."""

from __future__ import annotations

import pandas as pd

from analysis import style
from analysis.aggregates import FAULTS, intervals
from analysis.figures import by_step
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, highest, networks
from analysis.frames import Study, Variant, among

TITLE = "Where and when do activations saturate?"


def table(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the share of saturated entries of the layers drawn, by condition, position and step.

    Columns: `analysis.figures.by_step.AXES`, mean and 95 % interval over networks, ``networks``, and
    ``nonfinite``: networks in which the slope is no number.

    Raises:
        NotApplicable: no activation of these networks is bounded.
    """
    measured = cells[cells["status"].isin(["ok", "diverged"])]
    rows = study.rows(among(measured), ["saturated_share"], "saturated_share IS NOT NULL")
    drawn = by_step.positions(rows, cells["depth"])
    broken = {"nonfinite": FAULTS["nonfinite"]}
    found = intervals(study, drawn, by_step.AXES, "saturated_share", broken)
    if found.empty:
        raise NotApplicable("no activation of the trained networks is bounded")
    found[["low", "high"]] = found[["low", "high"]].clip(0.0, 1.0)  # it is a share
    return found


@FigureFunction
def saturated(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the share of saturated entries against the step, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with a hidden layer was trained, none is finished, or none has a
            bounded activation.
    """
    cells = by_step.best_deepest(study, variant, learning=False)
    drawn = table(study, cells)
    top = max(0.02, highest(drawn))
    bounded = cells[cells["activation"].isin(drawn["activation"])]
    with style.house_style():
        figure = by_step.draw(
            drawn,
            bounded,
            "upwards: share of saturated entries",
            zeros=False,
            limits=(-0.05 * top, 1.1 * top),
            shares=True,
        )
    return Drawing(
        TITLE,
        "Share of the entries φ′(z) of a layer, over units and probe set, that are below 1 % of the "
        "activation's largest slope, against the step (0, and logarithmic from 1 on), at the deepest "
        "depth and the best learning rate by validation: mean over seeds, band: its 95 % Student "
        f"interval ({networks(bounded['cell'].nunique())}). Bounded activations alone: the term has no "
        "meaning for others. Next to nothing is sent back through a saturated entry; look "
        "for layers that fill up early and stay full.",
        "Small multiples of the share of saturated entries against the step, a line for each of up to "
        "five layers.",
        figure,
        drawn,
    )
