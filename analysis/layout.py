"""Grids of small panels with a head above them that is as high and as wide as what stands in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from numpy.typing import ArrayLike

from analysis import style

LEAST_WIDTH = 5.6
"""Inches: what a legend of a few entries and a colour bar with its label need."""

LONGEST_BAR = 4.5
"""Inches of a colour bar."""

MARGIN = 0.06
RIGHT = 0.25


def panel_grid(
    rows: Sequence[str],
    columns: Sequence[str],
    size: tuple[float, float] = (2.0, 1.45),
    *,
    row_colours: dict[str, str] | None = None,
    sharex: bool = True,
    sharey: bool = True,
    bottom: float = 0.5,
    left: float = 0.68,
    gap: float = 0.16,
    pad: float = 5.0,
) -> tuple[Figure, np.ndarray]:
    """Return a grid of small panels, its columns named above and its rows at the left.

    Args:
        rows: names of the rows.
        columns: names of the columns.
        size: least width and height of a panel in inches.
        row_colours: colours of the row names.
        sharex: whether panels share the x axis.
        sharey: whether panels share the y axis.
        bottom: inches below the panels.
        left: inches between the row names and the panels, for ticks.
        gap: inches between panels.
        pad: points between a column's name and its first panel.

    Returns:
        The figure and its axes ``[row, column]``.
    """
    left += max(_inches(name) for name in rows)
    count = len(columns)
    outside = left + RIGHT + (count - 1) * gap
    wide = max(
        size[0], (LEAST_WIDTH - outside) / count, *(_inches(name) - gap + 0.1 for name in columns)
    )
    width, panels = outside + count * wide, len(rows) * size[1] + (len(rows) - 1) * gap
    figure, axes = plt.subplots(
        len(rows),
        count,
        figsize=(width, bottom + panels),
        sharex=sharex,
        sharey=sharey,
        squeeze=False,
    )
    figure.subplots_adjust(
        left=left / width,
        right=1 - RIGHT / width,
        top=1.0,
        bottom=bottom / (bottom + panels),
        wspace=gap / wide,
        hspace=gap / size[1],
    )
    # labels stand outside; panels inside need not look for a free place at each drawing
    for axis in axes[:-1].flat if sharex else ():
        axis.xaxis.set_label_coords(0.5, -0.25)
    for axis in axes[:, 1:].flat if sharey else ():
        axis.yaxis.set_label_coords(-0.25, 0.5)
    lines = max(_wrapped(name).count("\n") + 1 for name in columns)
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(_wrapped(name), fontweight="bold", pad=pad)
    _name_rows(axes[:, 0], rows, row_colours or {})
    _grow_head(figure, MARGIN + (pad + 11.5 * lines) / 72)
    return figure, axes


def _name_rows(axes: Iterable[Axes], rows: Sequence[str], colours: dict[str, str]) -> None:
    for axis, name in zip(axes, rows, strict=True):
        axis.annotate(
            _wrapped(name),
            xy=(0, 0.5),
            xycoords=("figure fraction", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            fontweight="bold",
            color=colours.get(name, "black"),
        )


def _wrapped(name: str) -> str:
    """Return a label with its parameters below it."""
    return name.replace(" (", "\n(").replace(", ", ",\n")


def _inches(name: str) -> float:
    """Return how wide a label in bold is."""
    bold = FontProperties(weight="bold")
    points = style.matplotlib.rcParams["font.size"]
    return max(
        float(TextPath((0, 0), line, size=points, prop=bold).get_extents().width) / 72
        if line
        else 0.0
        for line in _wrapped(name).split("\n")
    )


def _grow_head(figure: Figure, inches: float) -> None:
    """Add room above the panels; they and what is below keep their size."""
    old, parts = figure.get_figheight(), figure.subplotpars
    new = old + inches
    figure.set_figheight(new)
    figure.subplots_adjust(bottom=parts.bottom * old / new, top=parts.top * old / new)


def legend_above(figure: Figure, handles: Sequence[Artist], note: str = "") -> None:
    """Put a legend at the top left, in as many lines as it needs, and a line of text below it.

    Args:
        figure: a figure of `panel_grid`.
        handles: entries of the legend.
        note: what the axes show.
    """
    width, dpi = figure.get_figwidth(), figure.dpi
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=list(handles), loc="upper left", ncols=columns, frameon=False,
            borderaxespad=0.1, columnspacing=1.2, handlelength=1.6,
        )  # fmt: skip
        extent = legend.get_window_extent()
        if extent.width / dpi <= width - MARGIN or columns == 1:
            break
        legend.remove()
    room = extent.height / dpi
    _grow_head(figure, room + (0.2 if note else 0.0))
    if note:
        place = 1 - (room + 0.02) / figure.get_figheight()
        figure.text(MARGIN / width, place, note, ha="left", va="top", fontsize=8.5)


def bar_above(figure: Figure, mappable: ScalarMappable, label: str, **settings: Any) -> Axes:
    """Put a colour bar above the panels with its label over it, and return its axes.

    Args:
        figure: a figure of `panel_grid`.
        mappable: colours and scale.
        label: what the colours are.
        settings: for ``Figure.colorbar``.
    """
    _grow_head(figure, 0.72)
    width, height = figure.get_figwidth(), figure.get_figheight()
    parts = figure.subplotpars
    left, long = parts.left, min(LONGEST_BAR / width, parts.right - parts.left)
    bar = figure.add_axes((left, 1 - 0.42 / height, long, 0.12 / height))
    figure.colorbar(mappable, cax=bar, orientation="horizontal", **settings)
    bar.grid(False)
    figure.text(left, 1 - MARGIN / height, label, ha="left", va="top", fontsize=8.5)
    return bar


def not_run(axis: Axes, why: str = "not in the sweep") -> None:
    """Mark a panel that has nothing to show, by default since its condition is not part of the study."""
    axis.set_facecolor(style.MISSING_FACE)
    axis.grid(False)
    axis.text(
        0.5, 0.5, why, transform=axis.transAxes, ha="center", va="center",
        color="#777777", fontsize=8,
    )  # fmt: skip


def layer_ticks(axis: Axes, layers: int) -> None:
    """Give an x axis of layers 1 … ``layers`` a few whole ticks."""
    ticks = style.matplotlib.ticker.MaxNLocator(5, integer=True, steps=[1, 2, 5, 10])
    chosen = {int(tick) for tick in ticks.tick_values(1, layers) if 1 <= tick <= layers}
    # a round number beside the last one would run into it
    near = max(1, layers // 8)
    kept = {tick for tick in chosen if 1 + near <= tick <= layers - near}
    axis.set_xticks(sorted({1, *kept, layers}))


def step_places(steps: ArrayLike) -> np.ndarray:
    """Return places on an axis of steps: 0 at 0, and from 1 on a unit for every factor of ten.

    A logarithmic axis has no place for step 0.
    """
    values = np.asarray(steps, dtype=float)
    return np.minimum(values, 1.0) + np.log10(np.maximum(values, 1.0))


def step_ticks(axis: Axes, last: int, margin: float = 0.1) -> None:
    """Give an x axis of `step_places` up to step ``last`` its limits and the ticks 0, 1, 10, 100 …"""
    powers = [10**power for power in range(len(str(last))) if 10**power <= last]
    # a power beside the last step would run into it
    ticks = [0, *(power for power in powers if last / power >= 3), *([last] if last else [])]
    axis.set_xticks(step_places(ticks), labels=[f"{tick:g}" for tick in ticks])
    axis.set_xlim(-margin, float(step_places(last)) + margin if last else 0.1)
