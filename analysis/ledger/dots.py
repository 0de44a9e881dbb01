"""Single panels of which claims put several into one figure: means with intervals, and levels to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import style
from analysis.ledger.drawing import LINE_STYLES
from analysis.statistics import student_interval

ROOM = 0.7
"""Of the distance between two places on the x axis, for the groups of one place."""

GREY = "#555555"


def means(
    axis: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    group: str,
    looks: Mapping[Any, tuple[str, str]],
) -> None:
    """Draw mean and 95 % Student interval over seeds, and every seed behind it, groups side by side.

    Args:
        axis: the panel.
        table: one row a seed; what is not finite is left out and counted by a cross at the bottom.
        x: column of the places, in order of their values.
        y: column that is averaged.
        group: column of the groups.
        looks: colour and marker of each group, in order.
    """
    places = sorted(table[x].unique())
    step = ROOM / len(looks)
    for number, (name, (colour, marker)) in enumerate(looks.items()):
        shift = (number - (len(looks) - 1) / 2) * step
        for place, value in enumerate(places):
            part = table[(table[group] == name) & (table[x] == value)][y].to_numpy(dtype=float)
            finite, at = part[np.isfinite(part)], place + shift
            axis.plot(
                np.full(len(finite), at), finite, ".", color=colour, alpha=0.3, markersize=3.5,
                markeredgewidth=0, zorder=2,
            )  # fmt: skip
            found = student_interval(finite)
            axis.plot([at, at], [found.low, found.high], color=colour, linewidth=1.8, zorder=3)
            axis.plot(
                at, found.mean, marker, color=colour, markersize=6, markeredgecolor="white",
                markeredgewidth=0.5, zorder=4,
            )  # fmt: skip
            if len(finite) < len(part):
                axis.annotate(
                    f"× {len(part) - len(finite)}", (at, 0.01), xycoords=("data", "axes fraction"),
                    color=style.FAULT, fontsize=8, ha="center",
                )  # fmt: skip
    axis.set_xticks(range(len(places)), labels=[f"{value}" for value in places])
    axis.set_xlim(-0.5, len(places) - 0.5)
    axis.grid(False, axis="x")


def levels(axis: Axes, named: Mapping[str, float]) -> list[Line2D]:
    """Draw levels to compare with across a panel and return the entries of its legend.

    Args:
        axis: the panel.
        named: height by what it is; one that is NaN is left out.
    """
    handles = []
    for (name, level), dashes in zip(named.items(), LINE_STYLES, strict=False):
        if np.isfinite(level):
            axis.axhline(level, color=GREY, linewidth=0.9, linestyle=dashes, zorder=1)
            handles.append(Line2D([], [], color=GREY, linewidth=0.9, linestyle=dashes, label=name))
    return handles


def entries(looks: Mapping[Any, tuple[str, str]]) -> list[Line2D]:
    """Return the entries of a legend of groups."""
    return [
        Line2D(
            [], [], color=colour, marker=marker, markeredgecolor="white", markersize=6, label=name
        )
        for name, (colour, marker) in looks.items()
    ]


def looks_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of activations or initializers, the same as everywhere."""
    colours, markers = style.colours(names), style.markers(names)
    return {name: (colours[name], markers[name]) for name in names}
