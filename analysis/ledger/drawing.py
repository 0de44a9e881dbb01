"""The two figures that most claims need: estimates in rows with their margins, and lines with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.labels import in_order
from analysis.ledger import panels
from analysis.ledger.claim import Part

VERDICT_COLOURS = {
    "supported": "#1B7837",
    "conditional": "#B8860B",
    "refuted": "#B2182B",
    "inconclusive": "#777777",
}

ROW = 0.24


def forest(parts: Sequence[Part], value: str, log: bool = False) -> Figure:
    """Draw every test as a row: estimate, 95 % interval, margins, coloured by what it says by itself.

    Args:
        parts: of the claim, one panel each, one below the other.
        value: what the axis shows, with its unit.
        log: whether the axis is logarithmic.
    """
    widest = max(len(test.label) for part in parts for test in part.tests)
    with style.house_style():
        import matplotlib.pyplot as plt

        counts = [len(part.tests) for part in parts]
        left, width = 0.3 + 0.075 * widest, 4.2
        whole = left + width + 0.3
        heights = [ROW * count + 0.2 for count in counts]
        head, gap, foot = 0.62, 0.72, 0.25
        total = head + sum(heights) + gap * len(parts) + foot
        figure = plt.figure(figsize=(whole, total))
        top = total - head
        for part, height in zip(parts, heights, strict=True):
            axis = figure.add_axes(
                (
                    left / (left + width + 0.3),
                    (top - height) / total,
                    width / (left + width + 0.3),
                    height / total,
                )
            )
            _rows(axis, part, log)
            axis.set_title(part.name, loc="left", fontweight="bold", pad=4)
            axis.set_xlabel(part.unit or value)
            top -= height + gap
        handles = [
            Line2D([], [], color=colour, marker="o", linestyle="none", label=word)
            for word, colour in VERDICT_COLOURS.items()
            if any(test.verdict == word for part in parts for test in part.tests)
        ]
        handles.append(Line2D([], [], color="black", linestyle="--", linewidth=0.9, label="margin"))
        figure.legend(
            handles=handles, loc="upper left", ncols=len(handles), frameon=False, borderaxespad=0.1
        )
    return figure


def _rows(axis: Axes, part: Part, log: bool) -> None:
    for place, test in enumerate(part.tests):
        colour = VERDICT_COLOURS[test.verdict]
        ends = np.array([test.low, test.high])
        if np.isfinite(ends).all():
            axis.plot(ends, [place, place], color=colour, linewidth=1.8)
        if np.isfinite(test.estimate):
            axis.plot(test.estimate, place, "o", color=colour, markersize=4.5)
        else:
            axis.text(
                0.02, place, f"{test.estimate:g}".replace("inf", "∞"), va="center", fontsize=7.5,
                color=colour, transform=axis.get_yaxis_transform(),
            )  # fmt: skip
    margins = sorted({margin for test in part.tests for margin in test.margins})
    for margin in margins if len(margins) <= 3 else ():
        axis.axvline(margin, color="black", linestyle="--", linewidth=0.9, zorder=1)
    axis.set_yticks(range(len(part.tests)), labels=[test.label for test in part.tests])
    axis.set_ylim(len(part.tests) - 0.4, -0.6)
    axis.grid(False, axis="y")
    axis.margins(x=0.08)
    if log:
        axis.set_xscale("log")


def lines(
    table: pd.DataFrame,
    x: str,
    y: str,
    label: str,
    colour: str = "activation",
    across: str | None = None,
    marks: Mapping[str, float] | None = None,
    **look: Any,
) -> Figure:
    """Draw a quantity against another: mean and 95 % Student interval over seeds, a line a group.

    Args:
        table: one row a seed.
        x: column on the x axis.
        y: column that is averaged.
        label: of the y axis.
        colour: column of the lines.
        across: column of the panels, side by side; None for one panel.
        marks: levels to compare with, by what they are: chance, a margin, a linear model.
        look: ``logx``, ``logy``: logarithmic axes; ``xlabel``.
    """
    names = [""] if across is None else [str(one) for one in _ordered(table[across], across)]
    groups = _ordered(table[colour], colour)
    looks = panels.looks_of([str(one) for one in groups])
    marks = marks or {}
    with style.house_style():
        figure, axes = layout.panel_grid([""], names, (2.9, 2.5), left=0.75)
        for name, axis in zip(names, axes[0], strict=True):
            part = table if across is None else table[table[across].astype(str) == name]
            for group in groups:
                panels.line(axis, part[part[colour] == group], x, y, *looks[str(group)])
            panels.levels(axis, marks)
            axis.set_xlabel(look.get("xlabel", x))
            if look.get("logx"):
                axis.set_xscale("log")
        if look.get("logy"):
            axes[0, 0].set_yscale("log")
        axes[0, 0].set_ylabel(label)
        places = sorted(table[x].unique())
        if not look.get("logx") and len(places) <= 8:
            for axis in axes[0]:
                panels.ticks(axis, places, base=None)
        layout.legend_above(figure, [*panels.handles(looks), *panels.level_handles(marks)])
    return figure


def _ordered(values: pd.Series, column: str) -> list[Any]:
    known = {"activation": style.ACTIVATIONS, "init": style.INITIALIZERS}.get(column)
    return sorted(values.unique()) if known is None else in_order(values, known)
