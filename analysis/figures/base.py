"""What a figure is, and what several of them share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.layout import legend_above
from analysis.words import several

THEORY: dict[str, Any] = {"color": "#000000", "linestyle": (0, (1, 1.2)), "linewidth": 1.2}
"""How a prediction is drawn, wherever it is."""


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


class FigureFunction:
    """A figure of the report as a function of a study: ``figures.atlas(study)``.

    Called, it returns the matplotlib figure alone; `drawing` returns all that belongs to it.
    """

    def __init__(self, draw: Callable[[Study, Variant | None], Drawing]) -> None:
        functools.update_wrapper(self, draw)
        example = f'>>> figures.{draw.__name__}(open_study("outputs/mine"))'
        self.__doc__ = f"{inspect.cleandoc(draw.__doc__ or '')}\n\nExample:\n    {example}\n"
        self.__name__: str = draw.__name__
        self._draw = draw

    def __call__(self, study: Study, variant: Variant | None = None) -> Figure:
        """Draw the figure.

        Args:
            study: what `analysis.open_study` returns.
            variant: a part of it, one of ``study.starts`` or ``study.trained``; default the first.

        Raises:
            NotApplicable: the study has nothing that this figure could show; the message says why.
        """
        return self.drawing(study, variant).figure

    def __repr__(self) -> str:
        return f"<figure {self.__name__}: call it with a study>"

    def drawing(self, study: Study, variant: Variant | None = None) -> Drawing:
        """Draw the figure and return it with title, caption, alternative text and table."""
        if not isinstance(study, Study):
            raise TypeError(
                f"cannot draw {study!r}: {self.__name__} needs a study, as open_study(folder) returns."
            )
        drawn = self._draw(study, variant)
        # a notebook shows what a cell returns, and would show an open figure once more
        plt.close(drawn.figure)
        return drawn


class NotApplicable(Exception):  # noqa: N818 - it is an answer, not an error
    """A figure has nothing to show for this study; the message says why."""


def networks(count: int) -> str:
    """Return ``"1 network"`` or ``"1,200 networks"``."""
    return several(count, "network")


def started(study: Study, variant: Variant | None) -> Variant:
    """Return the variant to draw, by default the first that was measured at the start.

    Raises:
        NotApplicable: no measured network has a hidden layer.
    """
    variant = variant or next(iter(study.starts), None)
    if variant is None:
        raise NotApplicable("no measured network has a hidden layer")
    return variant


def trained(study: Study, variant: Variant | None) -> Variant:
    """Return the variant to draw, by default the first that was trained.

    Raises:
        NotApplicable: no network with a hidden layer was trained, or none is finished.
    """
    variant = variant or next(iter(study.trained), None)
    if variant is None:
        raise NotApplicable("no network was trained (steps = 0)")
    if (variant.cells["depth"] < 2).all():
        raise NotApplicable("none of the trained networks has a hidden layer")
    if variant.cells["task"].isna().all():
        raise NotApplicable("no trained network is finished yet")
    return variant


def needs(study: Study, columns: Iterable[str], what: str) -> None:
    """Refuse a figure of quantities that were not measured when the records were made.

    Args:
        study: an opened study.
        columns: those of ``layers`` that it draws.
        what: what they hold.

    Raises:
        NotApplicable: one of them is not there.
    """
    if not set(columns) <= set(study.connection.table("layers").columns):
        raise NotApplicable(f"the records do not hold {what}")


def highest(drawn: pd.DataFrame) -> float:
    """Return the upper end of the highest mean or interval, 0 of none."""
    values = drawn[["mean", "high"]].to_numpy(dtype=float)
    return float(np.nanmax(values)) if np.isfinite(values).any() else 0.0


def lowest(drawn: pd.DataFrame) -> float:
    """Return the lowest mean, 0 of none."""
    values = drawn["mean"].to_numpy(dtype=float)
    return float(np.nanmin(values)) if np.isfinite(values).any() else 0.0


@dataclass(frozen=True)
class ConditionGrid:
    """Small multiples, a row an activation and a column an initializer.

    Attributes:
        figure: the figure.
        axes: its panels ``[row, column]``.
        activations: of the rows, in the order in which they are always shown.
        inits: of the columns, likewise.
        colours: of the activations.
    """

    figure: Figure
    axes: np.ndarray
    activations: list[str]
    inits: list[str]
    colours: dict[str, str]

    def panels(self, drawn: pd.DataFrame) -> Iterator[tuple[str, Axes, pd.DataFrame]]:
        """Yield of every panel its activation, its axes and the rows of a table that belong to it."""
        for activation, row in zip(self.activations, self.axes, strict=True):
            of_row = drawn[drawn["activation"] == activation]
            for init, axis in zip(self.inits, row, strict=True):
                yield activation, axis, of_row[of_row["init"] == init]


def condition_grid(
    cells: pd.DataFrame, size: tuple[float, float], **settings: Any
) -> ConditionGrid:
    """Return small multiples of the activations and initializers of a table.

    Args:
        cells: has columns ``activation`` and ``init``.
        size: least width and height of a panel in inches.
        settings: more for `analysis.layout.panel_grid`.
    """
    activations = in_order(cells["activation"], style.ACTIVATIONS)
    inits = in_order(cells["init"], style.INITIALIZERS)
    colours = style.colours(activations)
    figure, axes = layout.panel_grid(activations, inits, size, row_colours=colours, **settings)
    return ConditionGrid(figure, axes, activations, inits, colours)


def decades_bar(figure: Figure, norm: Normalize) -> None:
    """Put the colour bar of relative gradients above the panels.

    Args:
        figure: a figure of `analysis.layout.panel_grid`.
        norm: as `analysis.style.decades_norm` returns it.
    """
    bar = layout.bar_above(
        figure,
        style.matplotlib.cm.ScalarMappable(norm, style.diverging()),
        "decades gained (+) or lost (−) since the last hidden layer",
    )
    limit = float(norm.vmax or 0.0)
    ticks = [t for t in (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100) if abs(t) <= limit]
    bar.set_xticks(ticks, labels=[f"{t:+d}".replace("-", "−") if t else "0" for t in ticks])
    bar.xaxis.set_minor_locator(style.matplotlib.ticker.NullLocator())


def depth_lines(
    axis: Axes, table: pd.DataFrame, colours: dict[int, tuple[float, float, float]]
) -> None:
    """Draw a line and band per depth against the layer.

    Args:
        axis: the panel.
        table: rows of one panel with ``depth``, ``layer``, ``mean``, ``low``, ``high``.
        colours: colour of each depth.
    """
    shapes: list[tuple[np.ndarray, Any]] = []
    # the deepest first and widest: where depths coincide the shorter lines are seen on the longer
    for place, depth in enumerate(sorted(table["depth"].unique(), reverse=True)):
        part, colour = table[table["depth"] == depth], colours[depth]
        axis.plot(
            part["layer"], part["mean"], color=colour, linewidth=max(1.2, 2.4 - 0.4 * place),
            solid_capstyle="butt",
        )  # fmt: skip
        shapes += [(shape, colour) for shape in _bands(part["layer"].to_numpy(), part)]
    _add_bands(axis, shapes)


def banded_lines(
    axis: Axes,
    lines: Sequence[tuple[np.ndarray, pd.DataFrame]],
    colours: Sequence[Any],
    **look: Any,
) -> None:
    """Draw lines with bands as two artists, however many lines there are.

    Args:
        axis: the panel; its limits are not touched.
        lines: of each line the places ``[point]`` and the rows ``mean``, ``low``, ``high``; it breaks
            where its mean is not finite, and so does its band.
        colours: colour of each line.
        look: for the lines' ``LineCollection``.
    """
    paths, shapes = [], []
    for (places, rows), colour in zip(lines, colours, strict=True):
        mean = rows["mean"].to_numpy(dtype=float)
        paths.append(np.column_stack([places, mean]))
        shapes += [(shape, colour) for shape in _bands(places, rows)]
        # a point between two that are no number would not be seen
        alone = np.isfinite(mean)
        alone[1:] &= ~np.isfinite(mean[:-1])
        alone[:-1] &= ~np.isfinite(mean[1:])
        if alone.any():
            axis.plot(places[alone], mean[alone], ".", color=colour, markersize=4)
    _add_bands(axis, shapes)
    settings = {"linewidths": 1.4} | look
    axis.add_collection(LineCollection(paths, colors=colours, **settings), False)


def _bands(places: np.ndarray, rows: pd.DataFrame) -> list[np.ndarray]:
    """Return the outlines ``[vertex, 2]`` of a band, one for each stretch without a gap."""
    low, high = rows["low"].to_numpy(dtype=float), rows["high"].to_numpy(dtype=float)
    known = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    return [
        np.concatenate(
            [
                np.column_stack([places[run], low[run]]),
                np.column_stack([places[run], high[run]])[::-1],
            ]
        )
        for run in runs
        if len(run) > 1
    ]


def _add_bands(axis: Axes, shapes: Sequence[tuple[np.ndarray, Any]]) -> None:
    """Draw bands, each in its colour, as one artist."""
    outlines, colours = [shape for shape, _ in shapes], [colour for _, colour in shapes]
    axis.add_collection(
        PolyCollection(outlines, facecolors=colours, alpha=0.25, linewidth=0), False
    )


def fault_marks(axis: Axes, table: pd.DataFrame, zeros: bool = True, x: str = "layer") -> None:
    """Mark at the panel's edges the layers where networks have exactly 0 or no finite number.

    Args:
        axis: the panel.
        table: rows of one panel with ``layer``, ``zeros`` and ``nonfinite``.
        zeros: whether zero cannot be drawn on this axis.
        x: the column that stands on the x axis, if it is not the layer.
    """
    place = axis.get_xaxis_transform()
    for column, height, marker in (("zeros", 0.04, "v"), ("nonfinite", 0.96, "x")):
        if column == "zeros" and not zeros:
            continue
        layers = table.loc[table[column] > 0, x].unique()
        if not len(layers):
            continue
        axis.plot(
            layers, [height] * len(layers), marker, transform=place, color=style.FAULT, markersize=4,
            clip_on=False, linestyle="none",
        )  # fmt: skip


def depth_legend(
    figure: Figure,
    colours: dict[int, tuple[float, float, float]],
    table: pd.DataFrame,
    note: str,
    more: Sequence[Artist] = (),
) -> None:
    """Put a legend of the depths above the panels, with further entries, fault marks that occur, a note."""
    handles: list[Artist] = [
        Line2D([], [], color=colour, linewidth=2, label=f"depth {depth}")
        for depth, colour in colours.items()
    ]
    legend_above(figure, [*handles, *more, *fault_handles(table)], note)


def fault_handles(table: pd.DataFrame) -> list[Artist]:
    """Return legend entries of the fault marks that occur in a table."""
    handles: list[Artist] = []
    marks = {"zeros": ("v", "exactly 0"), "nonfinite": ("x", "infinite or NaN")}
    for column, (marker, label) in marks.items():
        if column in table and table[column].any():
            handles.append(
                Line2D([], [], color=style.FAULT, marker=marker, linestyle="none", label=label)
            )
    return handles
