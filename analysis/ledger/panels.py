"""Parts of figures that claims put together themselves: lines with bands, and seeds with their interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from analysis.ledger.drawing import LINE_STYLES
from analysis.statistics import student_interval

GREY = "#555555"


def line(
    axis: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    colour: str,
    marker: str = "o",
    geometric: bool = False,
    **look: Any,
) -> None:
    """Draw mean and 95 % Student interval over seeds against a column.

    Args:
        axis: where.
        table: one row a seed.
        x: column of the places.
        y: column that is averaged.
        colour: of line and band.
        marker: of the means.
        geometric: whether means are taken of logarithms.
        look: of the line.
    """
    if table.empty:
        return
    values = table[y].astype(float)
    if geometric:
        values = np.log(values)
    rows = [(place, student_interval(part)) for place, part in values.groupby(table[x])]
    places = np.array([place for place, _ in rows], dtype=float)
    means = np.array([one.mean for _, one in rows])
    low, high = (np.array([getattr(one, end) for _, one in rows]) for end in ("low", "high"))
    if geometric:
        means, low, high = np.exp(means), np.exp(low), np.exp(high)
    usual = {"markersize": 4.5, "markeredgecolor": "white", "markeredgewidth": 0.4}
    axis.plot(places, means, color=colour, marker=marker, **{**usual, **look})
    axis.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)


def seeds(
    axis: Axes, place: float, values: ArrayLike, colour: str, marker: str = "o", **look: Any
) -> None:
    """Draw every seed faintly at one place, and beside them their mean with its 95 % Student interval.

    Args:
        axis: where; the numbers are on its y axis.
        place: on the x axis.
        values: one a seed; those that are not finite are the caller's to show.
        colour: of all marks.
        marker: of the mean.
        look: of the mean's mark.
    """
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return
    axis.plot(
        np.full(len(numbers), place - 0.1), numbers, "o", color=colour, markersize=3, alpha=0.3,
        markeredgewidth=0,
    )  # fmt: skip
    found = student_interval(numbers)
    axis.plot([place + 0.08] * 2, [found.low, found.high], color=colour, linewidth=1.8)
    axis.plot(place + 0.08, found.mean, marker, color=colour, **{"markersize": 5.5, **look})


def levels(axis: Axes, heights: Mapping[str, float]) -> None:
    """Draw horizontal lines to compare with, in the order of `level_handles`."""
    for height, dashes in zip(heights.values(), LINE_STYLES, strict=False):
        axis.axhline(height, color=GREY, linewidth=0.9, linestyle=dashes, zorder=1)


def level_handles(heights: Mapping[str, float]) -> list[Line2D]:
    """Return the legend's entries of `levels`."""
    return [
        Line2D([], [], color=GREY, linewidth=0.9, linestyle=dashes, label=name)
        for name, dashes in zip(heights, LINE_STYLES, strict=False)
    ]


def handle(label: str, colour: str, marker: str = "o", **look: Any) -> Line2D:
    """Return a legend's entry."""
    return Line2D([], [], color=colour, marker=marker, label=label, **look)
