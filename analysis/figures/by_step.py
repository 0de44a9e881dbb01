"""What figures of training by step share: which networks, which of their layers, and the panels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.figures.base import (
    NotApplicable,
    banded_lines,
    condition_grid,
    fault_handles,
    fault_marks,
    trained,
)
from analysis.frames import Study, Variant
from analysis.score import CONDITION, best_rates
from analysis.score import table as score_table

PLACES = {
    "first": 0.0, "a quarter": 0.25, "the middle": 0.5, "three quarters": 0.75, "last hidden": 1.0,
}  # fmt: skip
"""The hidden layers drawn, by how far from the first they are on the way to the last."""

OUTPUT = "output"

AXES = [*CONDITION, "lr", "position", "layer", "step"]


def best_deepest(study: Study, variant: Variant | None, learning: bool) -> pd.DataFrame:
    """Return the networks of each activation and initializer at one depth, at its best rate.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.
        learning: whether the depth is the deepest that is above chance beyond doubt, where one is;
            otherwise, and where none is, it is the deepest that was trained.

    Raises:
        NotApplicable: no network with a hidden layer was trained, or none is finished.
    """
    variant = trained(study, variant)
    cells = best_rates(variant.cells)
    cells = cells[cells["depth"] >= 2]
    chosen = cells.groupby(["activation", "init"])["depth"].max()
    if learning:
        scores = score_table(variant.cells)
        learnt = scores[scores["best"] & scores["above_chance"]]
        chosen = learnt.groupby(["activation", "init"])["depth"].max().combine_first(chosen)
    return cells.merge(chosen.astype(cells["depth"].dtype).reset_index())


def layers_at(depth: int) -> dict[int, str]:
    """Return the layers drawn of a network of some depth, each with its position.

    In a network too shallow for all of `PLACES` a layer has the first position that falls on it.
    """
    found: dict[int, str] = {}
    for name, place in PLACES.items():
        # half a layer is rounded up, whatever its number
        found.setdefault(int(1 + place * (depth - 2) + 0.5), name)
    return found | {depth: OUTPUT}


def positions(rows: str, depths: Iterable[int]) -> str:
    """Return a query for those rows of another whose layers are drawn, with their ``position``.

    Args:
        rows: a query for rows of ``layers`` with their ``depth``.
        depths: those that occur.
    """
    drawn = ", ".join(
        f"({depth}, {layer}, '{position}')"
        for depth in sorted({int(depth) for depth in depths})
        for layer, position in layers_at(depth).items()
    )
    places = f"(VALUES {drawn}) AS places(depth, layer, position)"
    return f"SELECT * FROM ({rows}) JOIN {places} USING (depth, layer)"


def colours() -> dict[str, Any]:
    """Return the colour of each position, darker towards the output."""
    names = [*PLACES, OUTPUT]
    return dict(
        zip(names, sns.color_palette("viridis_r", n_colors=len(names) + 1)[1:], strict=True)
    )


def draw(
    drawn: pd.DataFrame,
    cells: pd.DataFrame,
    note: str,
    zeros: bool,
    limits: tuple[float, float],
    guide: float | None = None,
    shares: bool = False,
) -> Figure:
    """Draw means and bands against the step, a line a position, small multiples of conditions.

    Args:
        drawn: `AXES`, ``mean``, ``low``, ``high``, ``zeros`` and ``nonfinite``.
        cells: the networks; its conditions have a panel each.
        note: what the axes show.
        zeros: whether zero cannot be drawn.
        limits: of the y axis that all panels share.
        guide: height of a dotted line.
        shares: whether heights are shares, to be written as percentages.
    """
    of = colours()
    grid = condition_grid(cells, (2.2, 1.1), gap=0.26, pad=16)
    figure, axes = grid.figure, grid.axes
    for _, axis, panel in grid.panels(drawn):
        if panel.empty:
            layout.not_run(axis)
            continue
        axis.set_autoscale_on(False)
        if guide is not None:
            axis.axhline(guide, color="#777777", linewidth=0.9, linestyle=":")
        _panel(axis, panel, of, zeros)
    layout.step_ticks(axes[0, 0], int(drawn["step"].max()))
    axes[0, 0].set_ylim(*limits)
    if shares:
        axes[0, 0].yaxis.set_major_formatter(style.percent())
    for axis in axes[-1]:
        axis.set_xlabel("step")
    handles: list[Artist] = [
        Line2D([], [], color=colour, linewidth=2, label=name)
        for name, colour in of.items()
        if (drawn["position"] == name).any()
    ]
    marks = fault_handles(drawn if zeros else drawn.drop(columns="zeros", errors="ignore"))
    layout.legend_above(figure, [*handles, *marks], note)
    return figure


def _panel(axis: Axes, panel: pd.DataFrame, of: dict[str, Any], zeros: bool) -> None:
    names = [name for name in of if (panel["position"] == name).any()]
    lines = []
    for name in names:
        part = panel[panel["position"] == name]
        lines.append((layout.step_places(part["step"]), part))
    banded_lines(axis, lines, [of[name] for name in names])
    fault_marks(axis, panel.assign(place=layout.step_places(panel["step"])), zeros, x="place")
    one = panel.iloc[0]
    annotate(axis, f"depth {one['depth']} · rate {one['lr']:g}")


def annotate(axis: Axes, text: str) -> None:
    """Write what a panel shows at its upper right."""
    axis.annotate(
        text, (1, 1), xycoords="axes fraction", xytext=(0, 1.5), textcoords="offset points",
        ha="right", va="bottom", fontsize=7, color="#333333",
    )  # fmt: skip


def nothing_measured(drawn: pd.DataFrame, quantity: str) -> None:
    """Refuse a figure of what no network has.

    Raises:
        NotApplicable: there is no row.
    """
    if drawn.empty:
        raise NotApplicable(f"no network of the drawn conditions has {quantity}")
