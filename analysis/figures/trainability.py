"""Trainability: accuracy or R² against depth, every condition at its best rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.figures.base import Drawing, FigureFunction, highest, lowest, networks, trained
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.score import LOST, Score, linear_score, score_of, table

LOWEST_DRAWN = -0.5
"""R² has no lower bound; what lies below this is marked at the edge."""

APART = 0.055
"""Least distance between the marks of two activations, as a share of that between two depths."""


@FigureFunction
def trainability(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw best-rate test accuracy, or R² in regression, against depth.

    A panel for each initializer, a line for each activation.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with a hidden layer was trained, or none is finished.
    """
    variant = trained(study, variant)
    drawn = table(variant.cells)
    drawn = drawn[drawn["best"]]
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    score, linear = score_of(variant.cells), linear_score(variant.cells)
    looks = Looks("activation", style.colours(activations), style.markers(activations))
    return Drawing(
        "What trains, and how deep?",
        caption(drawn, score, linear, "activations"),
        f"Line charts of test {score.name} against depth, one line an activation, one panel an initializer.",
        score_lines(drawn, looks, "init", inits, score, linear),
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


def limits(drawn: pd.DataFrame, score: Score, linear: float) -> tuple[float, float]:
    """Return the ends of the axis of scores."""
    top = max(highest(drawn), score.chance, linear if np.isfinite(linear) else 0.0)
    top = min(1.04, max(1.15 * top, 0.1))
    if not score.regression:
        return 0.0, top
    return min(max(lowest(drawn), LOWEST_DRAWN), 0.0) - 0.05 * top, top


def score_lines(
    drawn: pd.DataFrame,
    looks: Looks,
    across: str,
    panels: Sequence[str],
    score: Score,
    linear: float,
) -> Figure:
    """Draw the best-rate test score against depth, lines side by side in panels side by side.

    Args:
        drawn: rows of `analysis.score.table`, the best rate of each condition.
        looks: the lines.
        across: the column whose labels are the panels.
        panels: these labels in order.
        score: what the networks are judged by.
        linear: score of the best linear model, NaN for none.
    """
    depths = sorted(drawn["depth"].unique())
    bottom, top = limits(drawn, score, linear)
    with style.house_style():
        figure, axes = layout.panel_grid([""], panels, (3.3, 2.9), left=0.75)
        for label, axis in zip(panels, axes[0], strict=True):
            _panel(axis, drawn[drawn[across] == label], looks, depths, bottom)
            axis.axhline(score.chance, color="#777777", linewidth=0.9, linestyle=":")
            if np.isfinite(linear):
                axis.axhline(linear, color="#777777", linewidth=0.9, linestyle="--")
        axes[0, 0].set_ylim(bottom, top)
        axes[0, 0].yaxis.set_major_formatter(score.ticks)
        axes[0, 0].set_ylabel(f"test {score.name} at the best rate")
        layout.legend_above(figure, _legend(looks, drawn, linear))
    return figure


def caption(drawn: pd.DataFrame, score: Score, linear: float, lines: str) -> str:
    """Say what `score_lines` draws; ``lines`` is what its lines stand for, in the plural."""
    bottom, _ = limits(drawn, score, linear)
    lost = int(drawn[LOST].to_numpy().sum())
    total = int(drawn["networks"].sum()) + lost
    text = (
        f"{score.name.capitalize()} on the whole test split after the last update, each "
        f"condition at the learning rate with the best {score.name} on the validation split: mean and "
        "95 % Student interval over seeds "
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
    if (drawn["mean"] < bottom).any():
        text += "Triangle at the lower edge: the mean lies below it. "
    if score.regression:
        text += (
            "R² is 1 less the squared error in variances of the targets. Dotted: R² 0, which guessing "
            "the mean gets; a network on this line or below has learnt nothing. "
        )
    else:
        text += (
            f"Dotted: chance, {score.written_chance}; a network on this line has learnt nothing. "
        )
    if np.isfinite(linear):
        text += (
            f"Dashed: the best linear model, {score.written(linear)}; a network below this line has gained "
            "nothing from its depth. "
        )
    return text + f"Depths stand at even distances whatever their numbers, {lines} side by side."


def at_edge(drawn: pd.DataFrame) -> pd.Series:
    """Return which conditions learn best at the largest or smallest rate that was tried."""
    return drawn["place"].isin(["largest", "smallest"]) & drawn["above_chance"]


def _panel(axis: Axes, drawn: pd.DataFrame, looks: Looks, depths: list[int], bottom: float) -> None:
    middle = (len(looks.colours) - 1) / 2
    for place, (label, colour) in enumerate(looks.colours.items()):
        part = drawn[drawn[looks.column] == label]
        shift = (place - middle) * min(APART, 0.4 / len(looks.colours))
        _line(axis, part, depths, shift, colour, looks.markers[label])
        _faults(axis, part, depths, shift, colour, place)
        _below(axis, part[part["mean"] < bottom], depths, shift, colour)
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


def _below(axis: Axes, part: pd.DataFrame, depths: list[int], shift: float, colour: str) -> None:
    """Mark at the lower edge the conditions whose mean lies below it."""
    places = np.array([depths.index(depth) for depth in part["depth"]]) + shift
    axis.plot(
        places, [0.02] * len(places), "v", transform=axis.get_xaxis_transform(), color=colour,
        markersize=5.0, clip_on=False,
    )  # fmt: skip


def _faults(
    axis: Axes, part: pd.DataFrame, depths: list[int], shift: float, colour: str, place: int
) -> None:
    """Write beside the conditions how many of their networks are lost even at the best rate."""
    for _, row in part.iterrows():
        lost = int(row[LOST].sum())
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
    if drawn[LOST].to_numpy().any():
        mark = Line2D([], [], color="black", marker="$×n$", linestyle="none", markersize=11)
        mark.set_label("n lost")
        handles.append(mark)
    return handles
