"""Slope: decades the signal gradient gains or loses per layer, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.aggregates import intervals
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, networks, started
from analysis.frames import Study, Variant
from analysis.labels import in_order

TITLE = "How fast does the gradient vanish or explode?"

AXES = ["activation", "init", "depth"]


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return the slope of log10 of the signal gradient towards the input, in decades per layer.

    Columns: ``activation, init, depth``, mean and 95 % interval over networks, ``networks``, and
    ``undefined``: networks with fewer than three finite positive hidden layers.
    """
    rows = study.rows(
        variant.where, ["signal_grad_rms"], "step = 0 AND layer < depth AND depth >= 4"
    )
    undefined = {"undefined": "count(*) FILTER (value IS NULL)"}
    return intervals(study, slopes(rows), AXES, "slope", undefined)


def slopes(rows: str) -> str:
    """Return a query for the slope of every network: least squares over its hidden layers.

    Args:
        rows: a query for all hidden layers of its networks at one step.

    Returns:
        ``activation, init, depth, cell, slope``, in decades per layer from the output towards the input
        (negative: vanishing); NULL where fewer than three layers are finite and positive.
    """
    usable = "signal_grad_rms > 0 AND isfinite(signal_grad_rms)"
    logs = f"SELECT *, CASE WHEN {usable} THEN log10(signal_grad_rms) END AS decades FROM ({rows})"
    keys = ", ".join([*AXES, "cell"])
    return (
        f"SELECT {keys}, CASE WHEN count(decades) >= 3 THEN -regr_slope(decades, layer) END AS slope "
        f"FROM ({logs}) GROUP BY {keys}"
    )


@FigureFunction
def slope(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the slope by activation and initializer, a panel per depth.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no measured network has three hidden layers.
    """
    variant = started(study, variant)
    drawn = table(study, variant)
    if drawn.empty:
        raise NotApplicable("a slope needs at least three hidden layers, depth 4")
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    depths = sorted(drawn["depth"].unique())
    colours, markers = style.colours(activations), style.markers(activations)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""],
            [f"depth {depth}" for depth in depths],
            (2.6, max(2.0, len(inits) * (0.35 + 0.1 * len(activations)))),
            left=0.35 + max(0.075 * len(init) for init in inits),
            gap=0.3,
        )
        for depth, axis in zip(depths, axes[0], strict=True):
            _panel(axis, drawn[drawn["depth"] == depth], activations, inits)
            axis.set_xlabel("decades per layer towards the input")
        _ticks(axes[0, 0], drawn)
        axes[0, 0].set_yticks(range(len(inits)), labels=inits)
        axes[0, 0].tick_params(axis="y", pad=12)  # what is written beside the axis stands between
        axes[0, 0].set_ylim(len(inits) - 0.5, -0.5)
        handles = [
            Line2D([], [], color=colours[a], marker=markers[a], linestyle="none", label=a)
            for a in activations
        ]
        if drawn["undefined"].any():
            handles.append(
                Line2D(
                    [], [], color="black", marker="$n$", linestyle="none", label="n without a slope"
                )
            )
        layout.legend_above(figure, handles)
    count = int(drawn["networks"].sum() + drawn["undefined"].sum())
    return Drawing(
        TITLE,
        f"Least-squares slope of log10 of the signal gradient over the hidden layers, from the output "
        f"towards the input, at the start: mean and 95 % Student interval over seeds "
        f"({networks(count)}; where no bar is seen it is narrower than the mark). Left of 0 the "
        f"gradient vanishes, right of it it explodes; −0.3 means that every layer halves it. The axis "
        f"is linear within ±0.1 (shaded) and logarithmic beyond."
        + (
            " A number left of an axis counts networks without a slope: fewer than three of their "
            "hidden layers have a gradient that is a number above 0."
            if drawn["undefined"].any()
            else ""
        ),
        "Dot plot of decades per layer by initializer, coloured by activation, a panel for each depth.",
        figure,
        drawn,
    )


def _panel(axis: Axes, part: pd.DataFrame, activations: list[str], inits: list[str]) -> None:
    colours, markers = style.colours(activations), style.markers(activations)
    offsets = np.linspace(-0.36, 0.36, len(activations)) if len(activations) > 1 else [0.0]
    axis.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    axis.axvspan(-0.1, 0.1, color="#F3F3F3", zorder=0)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.grid(False, axis="y")
    for place in range(1, len(inits)):
        axis.axhline(place - 0.5, color="#E4E4E4", linewidth=0.6)
    for activation, offset in zip(activations, offsets, strict=True):
        for _, row in part[part["activation"] == activation].iterrows():
            place = inits.index(row["init"]) + offset
            if np.isfinite(row["mean"]):
                axis.plot([row["low"], row["high"]], [place, place], color=colours[activation])
                axis.plot(
                    row["mean"], place, markers[activation], color=colours[activation], markersize=5,
                    markeredgecolor="white", markeredgewidth=0.4,
                )  # fmt: skip
            if row["undefined"]:
                axis.annotate(
                    f"{row['undefined']:.0f}", (0, place), xycoords=axis.get_yaxis_transform(),
                    xytext=(-4, 0), textcoords="offset points", ha="right", va="center",
                    color=colours[activation], fontsize=7, fontweight="bold",
                )  # fmt: skip


def _ticks(axis: Axes, part: pd.DataFrame) -> None:
    """Give the axis ticks as far as its marks go, to ±1 at least."""
    ends = part[["mean", "low", "high"]].abs().to_numpy(dtype=float)
    limit = max(1.0, float(np.nanmax(ends)) if np.isfinite(ends).any() else 0.0)
    decades = [0.1, 0.3, 1, *(t for t in (3, 10, 30, 100) if t <= limit)]
    if limit > 3:
        decades = [t for t in decades if str(t)[-1] != "3"]
    ticks = [-t for t in reversed(decades)] + [0.0] + decades
    axis.set_xticks(ticks, labels=[f"{t:g}".replace("0.", ".").replace("-", "−") for t in ticks])
    axis.set_xlim(-1.7 * limit, 1.7 * limit)
    axis.xaxis.set_minor_locator(style.matplotlib.ticker.NullLocator())
