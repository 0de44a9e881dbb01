"""Trainability: accuracy or R² against depth, every condition at its best rate."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.figures.base import Drawing, highest, lowest, networks, trained
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.score import LOST, Score, linear_score, score_of, table

LOWEST_DRAWN = -0.5
"""R² has no lower bound; what lies below this is marked at the edge."""

APART = 0.055
"""Least distance between the marks of two activations, as a share of that between two depths."""


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
    depths = sorted(drawn["depth"].unique())
    score, linear = score_of(variant.cells), linear_score(variant.cells)
    chance = score.chance
    top = max(highest(drawn), chance, linear if np.isfinite(linear) else 0.0)
    top = min(1.04, max(1.15 * top, 0.1))
    bottom = 0.0
    if score.regression:
        bottom = min(max(lowest(drawn), LOWEST_DRAWN), 0.0) - 0.05 * top
    with style.house_style():
        figure, axes = layout.panel_grid([""], inits, (3.3, 2.9), left=0.75)
        for init, axis in zip(inits, axes[0], strict=True):
            _panel(axis, drawn[drawn["init"] == init], activations, depths, bottom)
            axis.axhline(chance, color="#777777", linewidth=0.9, linestyle=":")
            if np.isfinite(linear):
                axis.axhline(linear, color="#777777", linewidth=0.9, linestyle="--")
        axes[0, 0].set_ylim(bottom, top)
        axes[0, 0].yaxis.set_major_formatter(score.ticks)
        axes[0, 0].set_ylabel(f"test {score.name} at the best rate")
        layout.legend_above(figure, _legend(activations, drawn, linear))
    return Drawing(
        "What trains, and how deep?",
        _caption(drawn, score, linear, bottom),
        f"Line charts of test {score.name} against depth, one line an activation, one panel an initializer.",
        figure,
        drawn,
    )


def _caption(drawn: pd.DataFrame, score: Score, linear: float, bottom: float) -> str:
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
    return text + "Depths stand at even distances whatever their numbers, activations side by side."


def at_edge(drawn: pd.DataFrame) -> pd.Series:
    """Return which conditions learn best at the largest or smallest rate that was tried."""
    return drawn["place"].isin(["largest", "smallest"]) & drawn["above_chance"]


def _panel(
    axis: Axes, drawn: pd.DataFrame, activations: list[str], depths: list[int], bottom: float
) -> None:
    colours, markers = style.colours(activations), style.markers(activations)
    middle = (len(activations) - 1) / 2
    for place, activation in enumerate(activations):
        part = drawn[drawn["activation"] == activation]
        shift = (place - middle) * min(APART, 0.4 / len(activations))
        _line(axis, part, depths, shift, colours[activation], markers[activation])
        _faults(axis, part, depths, shift, colours[activation], place)
        _below(axis, part[part["mean"] < bottom], depths, shift, colours[activation])
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
    axis.plot(
        places,
        part["mean"],
        color=colour,
        label=str(part["activation"].iloc[0]) if len(part) else "_",
    )
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


def _legend(activations: list[str], drawn: pd.DataFrame, linear: float) -> list[Line2D]:
    colours, markers = style.colours(activations), style.markers(activations)
    handles = [Line2D([], [], color=colours[a], marker=markers[a], label=a) for a in activations]
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
