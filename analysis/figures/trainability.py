"""Trainability: accuracy against depth, every condition at its best rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import accuracy, layout, style
from analysis.figures.base import Drawing, FigureFunction, highest, networks, trained
from analysis.frames import Study, Variant
from analysis.labels import in_order

APART = 0.055
"""Least distance between the marks of two activations, as a share of that between two depths."""


@FigureFunction
def trainability(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw best-rate test accuracy against depth, a panel per initializer, a line per activation.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with a hidden layer was trained, or none is finished.
    """
    variant = trained(study, variant)
    drawn = accuracy.table(variant.cells)
    drawn = drawn[drawn["best"]]
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    chance, linear = accuracy.chance_of(variant.cells), accuracy.linear_accuracy(variant.cells)
    looks = Looks("activation", style.colours(activations), style.markers(activations))
    return Drawing(
        "What trains, and how deep?",
        caption(drawn, chance, linear, "activations"),
        "Line charts of test accuracy against depth, one line an activation, one panel an initializer.",
        accuracy_lines(drawn, looks, "init", inits, chance, linear),
        drawn,
    )


@dataclass(frozen=True)
class Looks:
    """The lines of a panel and how they look.

    Attributes:
        column: whose labels the lines stand for, ``"activation"`` or ``"init"``.
        colours: colour by label, in the order of the legend.
        markers: marker by label.
    """

    column: str
    colours: dict[str, str]
    markers: dict[str, str]


def accuracy_lines(
    drawn: pd.DataFrame,
    looks: Looks,
    across: str,
    panels: Sequence[str],
    chance: float,
    linear: float,
) -> Figure:
    """Draw best-rate test accuracy against depth, lines side by side in panels side by side.

    Args:
        drawn: rows of `analysis.accuracy.table`, the best rate of each condition.
        looks: the lines.
        across: the column whose labels are the panels.
        panels: these labels in order.
        chance: accuracy of a guess.
        linear: accuracy of the best linear model, NaN for none.
    """
    depths = sorted(drawn["depth"].unique())
    with style.house_style():
        figure, axes = layout.panel_grid([""], panels, (3.3, 2.9), left=0.75)
        for label, axis in zip(panels, axes[0], strict=True):
            _panel(axis, drawn[drawn[across] == label], looks, depths)
            axis.axhline(chance, color="#777777", linewidth=0.9, linestyle=":")
            if np.isfinite(linear):
                axis.axhline(linear, color="#777777", linewidth=0.9, linestyle="--")
        top = max(highest(drawn), chance, linear if np.isfinite(linear) else 0.0)
        axes[0, 0].set_ylim(0, min(1.04, 1.15 * top))
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        axes[0, 0].set_ylabel("test accuracy at the best rate")
        layout.legend_above(figure, _legend(looks, drawn, linear))
    return figure


def caption(drawn: pd.DataFrame, chance: float, linear: float, lines: str) -> str:
    """Say what `accuracy_lines` draws; ``lines`` is what its lines stand for, in the plural."""
    lost = int(drawn[accuracy.LOST].to_numpy().sum())
    total = int(drawn["networks"].sum()) + lost
    text = (
        "Accuracy on the whole test split after the last update, each condition at the learning rate "
        "with the best accuracy on the validation split: mean and 95 % Student interval over seeds "
        f"({networks(total)}"
        + (
            f", of which {lost:,} diverged, failed or are missing: ×n beside the mark"
            if lost
            else ""
        )
        + "). "
    )
    if at_edge(drawn).any():
        text += (
            "Hollow: above chance, and the best rate is the largest or smallest that was tried, so "
            "that a better one may lie beyond. "
        )
    text += f"Dotted: chance, {chance:.0%}; a network on this line has learnt nothing. "
    if np.isfinite(linear):
        text += (
            f"Dashed: the best linear model, {linear:.1%}; a network below this line has gained "
            "nothing from its depth. "
        )
    return text + f"Depths stand at even distances whatever their numbers, {lines} side by side."


def at_edge(drawn: pd.DataFrame) -> pd.Series:
    """Return which conditions learn best at the largest or smallest rate that was tried."""
    return drawn["place"].isin(["largest", "smallest"]) & drawn["above_chance"]


def _panel(axis: Axes, drawn: pd.DataFrame, looks: Looks, depths: list[int]) -> None:
    middle = (len(looks.colours) - 1) / 2
    for place, (label, colour) in enumerate(looks.colours.items()):
        part = drawn[drawn[looks.column] == label]
        shift = (place - middle) * min(APART, 0.4 / len(looks.colours))
        _line(axis, part, depths, shift, colour, looks.markers[label])
        _faults(axis, part, depths, shift, colour, place)
    axis.set_xticks(range(len(depths)), labels=[str(depth) for depth in depths])
    axis.set_xlim(-0.4, len(depths) - 0.6)
    axis.set_xlabel("depth")


def _line(
    axis: Axes, part: pd.DataFrame, depths: list[int], shift: float, colour: str, marker: str
) -> None:
    """Draw mean and interval against depth, hollow where the best rate is at the edge."""
    places = np.array([depths.index(depth) for depth in part["depth"]]) + shift
    bars = [part["mean"] - part["low"], part["high"] - part["mean"]]
    axis.errorbar(
        places, part["mean"], yerr=np.nan_to_num(np.array(bars)), fmt="none", ecolor=colour,
        elinewidth=1.0, alpha=0.7,
    )  # fmt: skip
    axis.plot(places, part["mean"], color=colour)
    edge = at_edge(part).to_numpy()
    for chosen, face in ((~edge, colour), (edge, "white")):
        axis.plot(
            places[chosen], part["mean"].to_numpy()[chosen], marker, color=colour, markersize=5.0,
            markerfacecolor=face, markeredgecolor="white" if face == colour else colour,
            markeredgewidth=0.4 if face == colour else 1.0,
        )  # fmt: skip


def _faults(
    axis: Axes, part: pd.DataFrame, depths: list[int], shift: float, colour: str, place: int
) -> None:
    """Write beside the conditions how many of their networks are lost even at the best rate."""
    for _, row in part.iterrows():
        lost = int(row[accuracy.LOST].sum())
        if lost:
            left = bool(np.isfinite(row["mean"]))
            # without a mark the counts of all activations would stand on each other
            height, above = (row["mean"], 3.0) if left else (0.0, 3.0 + 9 * place)
            axis.annotate(
                f"×{lost}", (depths.index(row["depth"]) + shift, height), xytext=(4, above),
                textcoords="offset points", color=colour, fontsize=8, fontweight="bold",
            )  # fmt: skip


def _legend(looks: Looks, drawn: pd.DataFrame, linear: float) -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker=looks.markers[label], label=label)
        for label, colour in looks.colours.items()
    ]
    if at_edge(drawn).any():
        hollow = Line2D(
            [], [], color="black", marker="o", linestyle="none", markerfacecolor="white"
        )
        hollow.set_label("best rate at the edge of those tried")
        handles.append(hollow)
    handles.append(Line2D([], [], color="#777777", linestyle=":", label="chance"))
    if np.isfinite(linear):
        handles.append(Line2D([], [], color="#777777", linestyle="--", label="linear model"))
    if drawn[accuracy.LOST].to_numpy().any():
        mark = Line2D([], [], color="black", marker="$×n$", linestyle="none", markersize=11)
        mark.set_label("n lost")
        handles.append(mark)
    return handles
