"""Update ratio: how much one update changes the weights of a layer, relative to their size."""

from __future__ import annotations

import math

import pandas as pd

from analysis import style
from analysis.aggregates import log_intervals
from analysis.figures import by_step
from analysis.figures.base import Drawing, FigureFunction, networks
from analysis.frames import Study, Variant, among

TITLE = "How much does one update change each layer?"

GUIDE = 1e-3
"""A rule of thumb for a healthy ratio. Source: Karpathy, Stanford CS231n notes, Learning."""


def table(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """Return log10 of ‖ΔW‖/‖W‖ of the layers drawn, by condition, position and step.

    Columns: `analysis.figures.by_step.AXES` and what `analysis.statistics.log_statistics` returns.
    """
    measured = cells[cells["status"].isin(["ok", "diverged"])]
    columns = ["update_norm", "weight_norm"]
    rows = study.rows(among(measured), columns, "update_norm IS NOT NULL")
    drawn = by_step.positions(rows, cells["depth"])
    found = log_intervals(study, drawn, by_step.AXES, "update_norm / weight_norm")
    by_step.nothing_measured(found, "a measured update")
    return found


@FigureFunction
def update_ratio(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the ratio of update to weight against the step, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with a hidden layer was trained, or none is finished.
    """
    cells = by_step.best_deepest(study, variant, learning=True)
    drawn = table(study, cells)

    with style.house_style():
        figure = by_step.draw(
            drawn,
            cells,
            f"upwards: log10 of ‖ΔW‖/‖W‖; dotted: {GUIDE:g}",
            zeros=True,
            limits=_limits(drawn),
            guide=math.log10(GUIDE),
        )
    return Drawing(
        TITLE,
        "Norm of the realised update of a layer's weights by the norm of the weights, against the step "
        "(0, and logarithmic from 1 on), of layers that lie first, a quarter, half, three quarters of "
        "the way and last among the hidden ones, and of the output layer: mean of log10 over seeds, "
        f"band: its 95 % Student interval ({networks(cells['cell'].nunique())}). Each condition at its "
        "best learning rate by validation and at the deepest depth at which that is above chance, or "
        "where none is at the deepest trained; both stand above the panel. Dotted: one in a thousand, "
        f"a rule of thumb for healthy training. ▼: in some network the weights do not move at all, ×: in "
        "some the ratio is no number; the mean is that of the others. Lines far apart are layers that "
        "learn at different speeds: look for first layers that stand still while the output moves.",
        "Small multiples of the relative size of updates against the step, a line for each of up to "
        "six layers.",
        figure,
        drawn,
    )


def _limits(drawn: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold the lines and the guide; a wide band may leave them by half a decade."""
    means = [math.log10(GUIDE), *drawn["mean"].dropna()]
    return min(means) - 0.5, max(means) + 0.5
