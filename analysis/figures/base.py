"""What a figure is, and what several of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import style


@dataclass(frozen=True)
class Drawing:
    """A figure with everything that is needed to read and check it.

    Attributes:
        title: the question it answers.
        caption: what is drawn, how many networks, what a band is, and what to look for.
        alt: what it shows, for those who cannot see it.
        figure: the figure itself.
        table: the numbers drawn.
    """

    title: str
    caption: str
    alt: str
    figure: Figure
    table: pd.DataFrame


class NotApplicable(Exception):  # noqa: N818 - it is an answer, not an error
    """A figure has nothing to show for this study; the message says why."""


def networks(count: int) -> str:
    """Return ``"1 network"`` or ``"1,200 networks"``."""
    return f"{count:,} network{'' if count == 1 else 's'}"


def depth_lines(
    axis: Axes, table: pd.DataFrame, colours: dict[int, tuple[float, float, float]]
) -> None:
    """Draw a line and band per depth against the layer.

    Args:
        axis: the panel.
        table: rows of one panel with ``depth``, ``layer``, ``mean``, ``low``, ``high``.
        colours: colour of each depth.
    """
    for depth, part in table.groupby("depth"):
        colour = colours[depth]
        single = len(part) == 1
        axis.plot(
            part["layer"], part["mean"], color=colour, marker="o" if single else None, markersize=3
        )
        axis.fill_between(
            part["layer"], part["low"], part["high"], color=colour, alpha=0.25, linewidth=0
        )


def fault_marks(axis: Axes, table: pd.DataFrame, zeros: bool = True) -> None:
    """Mark at the panel's edges the layers where networks have exactly 0 or no finite number.

    Args:
        axis: the panel.
        table: rows of one panel with ``layer``, ``zeros`` and ``nonfinite``.
        zeros: whether zero cannot be drawn on this axis.
    """
    place = axis.get_xaxis_transform()
    for column, height, marker in (("zeros", 0.04, "v"), ("nonfinite", 0.96, "x")):
        if column == "zeros" and not zeros:
            continue
        layers = table.loc[table[column] > 0, "layer"].unique()
        axis.plot(
            layers, [height] * len(layers), marker, transform=place, color=style.FAULT, markersize=4,
            clip_on=False, linestyle="none",
        )  # fmt: skip


def depth_legend(
    figure: Figure,
    colours: dict[int, tuple[float, float, float]],
    table: pd.DataFrame | None = None,
) -> None:
    """Put a legend of the depths above the panels, with the fault marks that occur."""
    handles: list[Artist] = [
        Line2D([], [], color=colour, linewidth=2, label=f"depth {depth}")
        for depth, colour in colours.items()
    ]
    marks = {"zeros": ("v", "exactly 0"), "nonfinite": ("x", "infinite or NaN")}
    for column, (marker, label) in marks.items():
        if table is not None and column in table and table[column].any():
            handles.append(
                Line2D([], [], color=style.FAULT, marker=marker, linestyle="none", label=label)
            )
    legend_above(figure, handles)


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend in one row at the top left of a figure."""
    figure.legend(
        handles=list(handles),
        loc="upper left",
        ncols=max(1, min(len(handles), int(figure.get_figwidth() // 1.25))),
        frameon=False,
        borderaxespad=0.1,
        columnspacing=1.2,
        handlelength=1.4,
    )
