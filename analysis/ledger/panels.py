"""Parts of figures: lines with bands, means beside their seeds, levels to compare with, and their legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from analysis import style
from analysis.statistics import student_interval

GREY = "#555555"

LINE_STYLES: tuple[Any, ...] = (":", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))

ROOM = 0.7
"""Of the distance between two places on the x axis, for the groups of one place."""

Looks = Mapping[Any, tuple[str, str]]
"""Colour and marker of each group, in order."""


def looks_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of activations or initializers, the same as everywhere."""
    colours, markers = style.colours(names), style.markers(names)
    return {name: (colours[name], markers[name]) for name in names}


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
    axis: Axes,
    place: float,
    values: ArrayLike,
    colour: str,
    marker: str = "o",
    apart: float = 0.18,
    **look: Any,
) -> None:
    """Draw every seed faintly at one place, and beside them their mean with its 95 % Student interval.

    Args:
        axis: where; the numbers are on its y axis.
        place: on the x axis.
        values: one a seed; those that are not finite are the caller's to show.
        colour: of all marks.
        marker: of the mean.
        apart: how far the mean stands from the seeds.
        look: of the mean's mark.
    """
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return
    axis.plot(
        np.full(len(numbers), place - apart / 2), numbers, "o", color=colour, markersize=3, alpha=0.3,
        markeredgewidth=0, zorder=2,
    )  # fmt: skip
    found, at = student_interval(numbers), place + apart / 2
    axis.plot([at, at], [found.low, found.high], color=colour, linewidth=1.8, zorder=3)
    axis.plot(at, found.mean, marker, color=colour, zorder=4, **{"markersize": 5.5, **look})


def means(axis: Axes, table: pd.DataFrame, x: str, y: str, group: str, looks: Looks) -> None:
    """Draw mean and 95 % Student interval over seeds, and every seed behind it, groups side by side.

    Args:
        axis: the panel.
        table: one row a seed; what is not finite is left out and counted by a cross at the bottom.
        x: column of the places, in order of their values.
        y: column that is averaged.
        group: column of the groups.
        looks: of the groups.
    """
    places = sorted(table[x].unique())
    step = ROOM / len(looks)
    for number, (name, (colour, marker)) in enumerate(looks.items()):
        shift = (number - (len(looks) - 1) / 2) * step
        for place, value in enumerate(places):
            part = table[(table[group] == name) & (table[x] == value)][y].to_numpy(dtype=float)
            edge = {"markersize": 6, "markeredgecolor": "white", "markeredgewidth": 0.5}
            seeds(axis, place + shift, part, colour, marker, apart=0.0, **edge)
            lost = int((~np.isfinite(part)).sum())
            if lost:
                axis.annotate(
                    f"× {lost}", (place + shift, 0.01), xycoords=("data", "axes fraction"),
                    color=style.FAULT, fontsize=8, ha="center",
                )  # fmt: skip
    axis.set_xticks(range(len(places)), labels=[f"{value}" for value in places])
    axis.set_xlim(-0.5, len(places) - 0.5)
    axis.grid(False, axis="x")


def scores(
    axis: Axes, found: pd.DataFrame, group: str, looks: Looks, linear: float
) -> list[Line2D]:
    """Draw test accuracy by depth, groups side by side, with chance and a linear model's as levels.

    Args:
        axis: the panel.
        found: networks, with ``depth``, ``score`` and ``chance``.
        group: column of the groups.
        looks: of the groups.
        linear: the linear model's; NaN without one.

    Returns:
        The legend's entries of the levels.
    """
    means(axis, found, "depth", "score", group, looks)
    axis.set_xlabel("depth")
    axis.set_ylabel("test accuracy")
    axis.yaxis.set_major_formatter(style.percent())
    return levels(axis, {"chance": float(found["chance"].iloc[0]), "linear model": linear})


def levels(axis: Axes, heights: Mapping[str, float]) -> list[Line2D]:
    """Draw horizontal lines to compare with and return their entries in the legend.

    Args:
        axis: the panel.
        heights: by what they are; one that is NaN is left out.
    """
    for height, dashes in zip(heights.values(), LINE_STYLES, strict=False):
        if np.isfinite(height):
            axis.axhline(height, color=GREY, linewidth=0.9, linestyle=dashes, zorder=1)
    return level_handles(heights)


def level_handles(heights: Mapping[str, float]) -> list[Line2D]:
    """Return the legend's entries of `levels`."""
    return [
        Line2D([], [], color=GREY, linewidth=0.9, linestyle=dashes, label=name)
        for (name, height), dashes in zip(heights.items(), LINE_STYLES, strict=False)
        if np.isfinite(height)
    ]


def handle(label: str, colour: str, marker: str = "o", **look: Any) -> Line2D:
    """Return a legend's entry."""
    return Line2D([], [], color=colour, marker=marker, label=label, **look)


def handles(looks: Looks) -> list[Line2D]:
    """Return a legend's entries of groups."""
    return [handle(str(name), colour, marker) for name, (colour, marker) in looks.items()]


def ticks(axis: Axes, places: Sequence[float], base: float | None = 2) -> None:
    """Mark just these places on the x axis.

    Args:
        axis: the panel.
        places: numbers.
        base: of the logarithmic axis; None for a linear one.
    """
    if base is not None:
        axis.set_xscale("log", base=base)
        axis.minorticks_off()
    axis.set_xticks(places, labels=[f"{one:g}" for one in places])
