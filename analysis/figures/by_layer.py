"""Quantities at the start against the layer, a line per depth: signal gradient, weight gradient, collapse."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.aggregates import FAULTS, intervals, log_intervals
from analysis.figures.base import (
    THEORY,
    Drawing,
    FigureFunction,
    condition_grid,
    depth_legend,
    depth_lines,
    fault_marks,
    networks,
    started,
)
from analysis.frames import Study, Variant
from analysis.predictions import DIGITS, Prediction, predictions
from study.schema import column

AXES = ["activation", "init", "depth", "layer"]


def _signals(one: Prediction) -> list[float]:
    return [one.relative(layer) for layer in range(1, one.depth)]


def _weights(one: Prediction) -> list[float]:
    return [one.weights(layer) for layer in range(1, one.depth)]


def _moments(one: Prediction) -> list[float]:
    return [float(log_q) / math.log(10) for log_q in one.field.log_q]


FORETOLD: dict[str, Callable[[Prediction], list[float]]] = {
    "signal_grad_rms": _signals,
    "weight_grad_norm": _weights,
    "z_collapse": Prediction.collapse,
    "z_second_moment": _moments,
}
"""By quantity, what the theory says of layers 1, 2, …"""

FROM_LAST = {"signal_grad_rms", "weight_grad_norm"}
"""Quantities that are predicted relative to the last hidden layer: log10 of their ratio."""

SAID = {
    "signal_grad_rms": "starts from the last hidden layer as measured: what the loss sends back depends on "
    "the outputs, and the theory takes it from there",
    "weight_grad_norm": "starts from the last hidden layer as measured and is that of one sample's gradient: "
    "where the line leaves it, the gradients of a batch's samples cancel each other more or less than in "
    "the last hidden layer",
    "z_collapse": "starts from layer 1 as measured and takes all pairs of samples to be as alike there as "
    "they are on average",
    "z_second_moment": "starts from inputs of mean square 1",
}
"""What there is to know of each prediction."""


def table(study: Study, variant: Variant, quantity: str, log: bool) -> pd.DataFrame:
    """Return a quantity at step 0 by condition and layer: mean, 95 % interval, counts and theory.

    Columns: ``activation, init, depth, layer, mean, low, high, networks, zeros, nonfinite``, and
    ``predicted``, NaN where the theory says nothing; of log10 of the quantity where ``log``.
    """
    rows = study.rows(variant.where, [quantity])
    if log:
        drawn = log_intervals(study, rows, AXES, quantity)
    else:
        drawn = intervals(study, rows, AXES, quantity, FAULTS)
    return _with_theory(study, variant, drawn, quantity)


@FigureFunction
def signal_by_layer(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the signal gradient against the layer, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no network has hidden layers.
    """
    return draw(
        study,
        variant,
        "signal_grad_rms",
        "Where does the gradient of the signal go?",
        "A line that falls towards layer 1 is a gradient that vanishes on its way to the input; one "
        "that rises explodes. All panels share one axis, so that they can be compared: where it spans "
        "many decades a line that looks flat may still lose one or two; the atlas tells them apart.",
    )


@FigureFunction
def weight_by_layer(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the weight gradient against the layer, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no network has hidden layers.
    """
    return draw(
        study,
        variant,
        "weight_grad_norm",
        "Where does the gradient of the weights go?",
        "For ReLU and its leaky kin the lines are nearly flat wherever biases start at zero (all but "
        "torch_default): without biases ⟨W, ∂L/∂W⟩ is the same in every layer, since the size of the "
        "signal and of its gradient cancel. Whether a gradient vanishes on its way to the input is "
        "seen in the signal gradient.",
    )


@FigureFunction
def collapse(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw how alike all samples look, layer by layer, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no network has hidden layers.
    """
    return draw(
        study,
        variant,
        "z_collapse",
        "Where do all inputs begin to look the same?",
        "The share of the mean pre-activation in its mean square: 0 where samples differ in every "
        "way, 1 where every sample gives the same values. A network with a healthy gradient and a "
        "collapse near 1 hardly tells its inputs apart. A layer does not know how many follow it, so "
        "the lines of all depths coincide as far as they go.",
        log=False,
    )


def draw(
    study: Study, variant: Variant | None, quantity: str, title: str, see: str, log: bool = True
) -> Drawing:
    variant = started(study, variant)
    drawn = table(study, variant, quantity, log)
    told = drawn["predicted"].notna().any()
    depths = style.depth_colours([int(depth) for depth in drawn["depth"].unique()])
    meaning = column("layers", quantity)
    with style.house_style():
        grid = condition_grid(drawn, (1.95, 1.2), gap=0.22)
        figure, axes = grid.figure, grid.axes
        for _, axis, panel in grid.panels(drawn):
            if panel.empty:
                layout.not_run(axis)
                continue
            # the limits are set once below; finding them anew for every band takes seconds
            axis.set_autoscale_on(False)
            depth_lines(axis, panel, depths)
            if told:
                _theory(axis, panel, thinned=log)
            fault_marks(axis, panel, zeros=log)
        _scale(axes, drawn, log)
        for axis in axes[-1]:
            axis.set_xlabel("layer")
        depth_legend(
            figure,
            depths,
            drawn if log else drawn.drop(columns="zeros"),
            f"upwards: {'log10 of ' if log else ''}{meaning.label}",
            [Line2D([], [], **THEORY, label="mean-field prediction")] if told else [],
        )
    band = "95 % Student interval of the mean" + (" log" if log else "")
    return Drawing(
        title,
        f"{meaning.label[0].upper()}{meaning.label[1:]} at the start against the layer, counted from "
        f"the input; a line per depth, band: {band} over seeds "
        f"({networks(len(variant.cells))}). {see}"
        + (f" Dotted: the mean-field prediction, which {SAID[quantity]}." if told else ""),
        f"Small multiples, {len(grid.activations)} activations by {len(grid.inits)} initializers, of "
        f"{meaning.label} against layer with a line for each depth.",
        figure,
        drawn,
    )


def _with_theory(
    study: Study, variant: Variant, drawn: pd.DataFrame, quantity: str
) -> pd.DataFrame:
    """Add ``predicted``, from the measured mean of the last hidden layer where the theory gives a ratio."""
    told = pd.DataFrame(
        [
            (one.activation, one.init, one.depth, layer, value)
            for one in predictions(study, variant)
            for layer, value in enumerate(FORETOLD[quantity](one), start=1)
        ],
        columns=[*AXES, "predicted"],
    ).astype({"depth": int, "layer": int, "predicted": float})
    if quantity in FROM_LAST:
        last = drawn.loc[drawn["layer"] == drawn["depth"] - 1, [*AXES[:3], "mean"]]
        told = told.merge(last, on=AXES[:3])
        told["predicted"] += told.pop("mean")
    return drawn.merge(told.assign(predicted=told["predicted"].round(DIGITS)), how="left", on=AXES)


def _theory(axis: Axes, panel: pd.DataFrame, thinned: bool) -> None:
    # logarithms go nearly straight
    paths = [
        part[["layer", "predicted"]]
        .dropna()
        .to_numpy()[:: max(1, len(part) // 8) if thinned else 1]
        for _, part in panel.groupby("depth")
    ]
    look = {"linewidths": THEORY["linewidth"], "linestyles": [THEORY["linestyle"]]}
    axis.add_collection(LineCollection(paths, colors=THEORY["color"], **look), False)


def _scale(axes: np.ndarray, drawn: pd.DataFrame, log: bool) -> None:
    """Give every panel the same axes, with room at the edges for the marks."""
    first: Axes = axes[0, 0]
    layers = int(drawn["layer"].max())
    layout.layer_ticks(first, layers)
    first.set_xlim(1, layers)
    if not log:
        first.set_ylim(-0.05, 1.05)
        return
    finite = drawn[["mean", "low", "high"]].to_numpy().ravel()
    finite = finite[np.isfinite(finite)]
    low, high = (finite.min(), finite.max()) if len(finite) else (-1.0, 1.0)
    room = max(1.0, 0.08 * (high - low))
    first.set_ylim(low - room, high + room)
