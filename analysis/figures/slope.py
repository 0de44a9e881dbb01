"""Slope: decades the signal gradient gains or loses per layer, with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import style
from analysis.figures.base import Drawing, NotApplicable, legend_above, networks
from analysis.frames import Study, Variant, in_order
from analysis.statistics import gradient_slope, student_intervals

TITLE = "How fast does the gradient vanish or explode?"

AXES = ["activation", "init", "depth"]


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return the slope of log10 of the signal gradient towards the input, in decades per layer.

    Columns: ``activation, init, depth``, mean and 95 % interval over networks, ``networks``, and
    ``undefined``: networks with fewer than three finite positive hidden layers.
    """
    layers = study.layers(
        variant.cells, ["signal_grad_rms"], "step = 0 AND layer < depth AND depth >= 4"
    )
    if layers.empty:
        return pd.DataFrame(columns=[*AXES, "mean", "low", "high", "networks", "undefined"])
    slopes = [
        (*key, gradient_slope(part["signal_grad_rms"]))
        for key, part in layers.groupby([*AXES, "cell"], sort=True)
    ]
    frame = pd.DataFrame(slopes, columns=[*AXES, "cell", "slope"])
    frame["slope"] = frame["slope"].astype(float)
    frame["undefined"] = frame["slope"].isna()
    counts = frame.groupby(AXES)["undefined"].sum().reset_index()
    return student_intervals(frame, AXES, "slope").merge(counts, on=AXES)


def slope(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the slope by activation and initializer, a panel per depth.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no network has three hidden layers.
    """
    variant = variant or next(iter(study.starts), None)
    drawn = pd.DataFrame() if variant is None else table(study, variant)
    if variant is None or drawn.empty:
        raise NotApplicable("a slope needs at least three hidden layers, depth 4")
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    depths = sorted(drawn["depth"].unique())
    colours, markers = style.colours(activations), style.markers(activations)
    with style.house_style():
        figure, axes = style.panel_grid(
            [""],
            [f"depth {depth}" for depth in depths],
            (2.6, max(2.0, len(inits) * (0.35 + 0.1 * len(activations)))),
            top=0.85,
        )
        for depth, axis in zip(depths, axes[0], strict=True):
            _panel(axis, drawn[drawn["depth"] == depth], activations, inits)
            axis.set_xlabel("decades per layer towards the input")
        axes[0, 0].set_yticks(range(len(inits)), labels=inits)
        axes[0, 0].set_ylim(len(inits) - 0.5, -0.5)
        handles = [
            Line2D([], [], color=colours[a], marker=markers[a], linestyle="none", label=a)
            for a in activations
        ]
        if drawn["undefined"].any():
            handles.append(
                Line2D([], [], color=style.FAULT, marker="$0$", linestyle="none", label="undefined")
            )
        legend_above(figure, handles)
    count = int(drawn["networks"].sum() + drawn["undefined"].sum())
    return Drawing(
        TITLE,
        f"Least-squares slope of log10 of the signal gradient over the hidden layers, from the output "
        f"towards the input, at the start: mean and 95 % Student interval over seeds "
        f"({networks(count)}; where no bar is seen it is narrower than the mark). Left of 0 the "
        f"gradient vanishes, right of it it explodes; −0.3 means that every layer halves it. The axis "
        f"is linear within ±0.1 (shaded) and logarithmic beyond.",
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
                axis.plot(
                    0.02, place, marker="$0$", linestyle="none", color=style.FAULT, markersize=4,
                    transform=axis.get_yaxis_transform(),
                )  # fmt: skip
    axis.set_xticks(
        [-1, -0.3, -0.1, 0, 0.1, 0.3, 1], labels=["−1", "−.3", "−.1", "0", ".1", ".3", "1"]
    )
    axis.xaxis.set_minor_locator(style.matplotlib.ticker.NullLocator())
