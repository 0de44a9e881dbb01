"""Gradients by layer: that of the signal, what theory predicts of it, and that of the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import layout, style
from analysis.aggregates import log_intervals, relative
from analysis.figures.base import (
    THEORY,
    Drawing,
    FigureFunction,
    NotApplicable,
    banded_lines,
    condition_grid,
    fault_handles,
    fault_marks,
    networks,
    started,
)
from analysis.frames import Study, Variant
from analysis.predictions import USUAL_SEEDS, by_layer, predictions
from analysis.words import signed

TITLE = "Why does the weight gradient not show what the signal gradient shows?"

LOOKS: dict[str, Any] = {"signal_grad_rms": "-", "weight_grad_norm": (0, (3, 1.5))}
"""How the line of each gradient is dashed."""

INK = "#777777"

SEEDS_FACE = "#BBBBBB"

AXES = ["activation", "init", "depth", "quantity", "layer"]


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return log10 of both gradients relative to the last hidden layer, in the deepest networks.

    Columns: ``activation, init, depth``, ``quantity`` (``signal_grad_rms`` or ``weight_grad_norm``),
    ``layer``, what `analysis.statistics.log_statistics` returns, and of the signal gradient ``predicted`` and
    ``spread``, the standard deviation over seeds, as `analysis.predictions.by_layer` returns them; NaN where
    the theory does not speak of a condition.
    """
    deepest = int(variant.cells["depth"].max())
    rows = study.rows(
        f"{variant.where} AND depth = {deepest}", list(LOOKS), "step = 0 AND layer < depth"
    )
    parts = [
        f"SELECT *, '{quantity}' AS quantity FROM ({relative(rows, quantity)})"
        for quantity in LOOKS
    ]
    measured = log_intervals(study, " UNION ALL ".join(parts), AXES, "relative")
    known = [one for one in predictions(study, variant) if one.depth == deepest]
    told = by_layer(known, spread=True).assign(quantity="signal_grad_rms")
    return measured.merge(told, how="left", on=AXES)


@FigureFunction
def gradients_by_layer(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw signal and weight gradient against the layer at the greatest depth, relative to its end.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no measured network has two hidden layers.
    """
    variant = started(study, variant)
    deepest = int(variant.cells["depth"].max())
    if deepest < 3:
        raise NotApplicable("a way through layers needs at least two hidden ones, depth 3")
    drawn = table(study, variant)
    with style.house_style():
        grid = condition_grid(variant.cells, (1.75, 0.95), gap=0.18)
        figure, axes = grid.figure, grid.axes
        for activation, axis, panel in grid.panels(drawn):
            _panel(axis, panel, grid.colours[activation])
        _scale(axes[0, 0], drawn, deepest)
        for axis in axes[-1]:
            axis.set_xlabel("layer")
        names = ("signal gradient (in the activation's colour)", "weight gradient")
        handles: list[Artist] = [
            Line2D([], [], color=INK, linestyle=look, label=name)
            for look, name in zip(LOOKS.values(), names, strict=True)
        ]
        if drawn["predicted"].notna().any():
            handles += [
                Line2D([], [], **THEORY, label="mean-field prediction of the signal gradient"),
                Patch(
                    facecolor=SEEDS_FACE, alpha=0.5, label="two standard deviations of its seeds"
                ),
            ]
        layout.legend_above(
            figure,
            [*handles, *fault_handles(drawn)],
            f"upwards: decades since the last hidden layer, depth {deepest} (linear within ±1)",
        )
    count = int((variant.cells["depth"] == deepest).sum())
    return Drawing(
        TITLE,
        f"Both gradients at the start by layer, counted from the input, relative to the last hidden "
        f"layer, in the deepest networks (depth {deepest}, {networks(count)}): mean of log10 over seeds, "
        "and of the signal's, as a band, its 95 % Student interval; the axis is linear within ±1 decade and "
        "logarithmic beyond. Solid: the gradient of the pre-activations; "
        "dashed: that of the weights. The weight gradient of a layer is the signal that enters it times "
        "the gradient that comes back to it. For ReLU and its leaky kin with biases of zero, from "
        "one layer to the next the one grows by the factor by which the other falls: dashed stays flat "
        "while solid vanishes or explodes (⟨W, ∂L/∂W⟩ is the same in every layer). Where the signal keeps "
        "its size, as in a sigmoid that is never far from ½, the two fall together."
        + (_told(drawn) if drawn["predicted"].notna().any() else ""),
        f"Small multiples, {len(grid.activations)} activations by {len(grid.inits)} initializers: relative "
        "signal and weight gradient against the layer.",
        figure,
        drawn,
    )


def _told(drawn: pd.DataFrame) -> str:
    """Say what the theory's line and the number in a corner are, and how far it is off."""
    first = errors(drawn)
    worst = first.loc[first["error"].abs().idxmax()] if first["error"].notna().any() else None
    text = (
        " Dotted: the mean-field prediction for wide layers (Poole et al. 2016, Schoenholz et al. 2017), "
        "nothing of it fitted; grey: two standard deviations of seeds of this width, to leading order "
        "(after Hanin & Nica 2018; deep narrow networks stray up to half as far again). It takes all "
        "inputs to be of one length; those that are not shift layer 1 by some hundredths. The number in a "
        "corner is the error at layer 1, measured less predicted, in decades"
    )
    if worst is None:
        return f"{text}."
    return (
        f"{text}: half of the panels are within {first['error'].abs().median():.2f}, and the theory is "
        f"furthest off for {worst['activation']} with {worst['init']}, by {signed(worst['error'], '+', 2)}."
    )


def errors(drawn: pd.DataFrame) -> pd.DataFrame:
    """Return ``activation, init, error``: decades in layer 1, measured less predicted."""
    first = drawn[(drawn["layer"] == 1) & (drawn["quantity"] == "signal_grad_rms")]
    return first.assign(error=first["mean"] - first["predicted"])[["activation", "init", "error"]]


def _panel(axis: Axes, panel: pd.DataFrame, colour: str) -> None:
    if panel.empty:
        layout.not_run(axis)
        return
    # the limits are set once for all panels
    axis.set_autoscale_on(False)
    axis.axhline(0, color="#999999", linewidth=0.7)
    lines = []
    for quantity in LOOKS:
        part = panel[panel["quantity"] == quantity]
        ends = {key: _place(part[key]) for key in ("mean", "low", "high")}
        if quantity == "weight_grad_norm":  # a second band would be taken for that of the theory
            ends |= {"low": np.nan, "high": np.nan}
        lines.append((part["layer"].to_numpy(), part.assign(**ends)))
    banded_lines(axis, lines, [colour, INK], linestyles=list(LOOKS.values()), linewidths=[2.0, 1.3])
    _theory(axis, panel[panel["quantity"] == "signal_grad_rms"])
    fault_marks(axis, panel)


def _theory(axis: Axes, panel: pd.DataFrame) -> None:
    """Draw the prediction, the seeds' band around it and the error at layer 1."""
    if panel["predicted"].isna().all():
        return
    away = USUAL_SEEDS * panel["spread"].fillna(0.0)
    low, high = _place(panel["predicted"] - away), _place(panel["predicted"] + away)
    axis.fill_between(panel["layer"], low, high, color=SEEDS_FACE, alpha=0.5, linewidth=0, zorder=1)
    axis.plot(panel["layer"], _place(panel["predicted"]), **THEORY)
    error = float(errors(panel)["error"].iloc[0])
    if np.isfinite(error):
        axis.text(
            0.97, 0.04, signed(error, "+", 2), transform=axis.transAxes, ha="right",
            va="bottom", fontsize=7, color="#444444",
        )  # fmt: skip


def _place(decades: pd.Series) -> pd.Series:
    """Return heights: decades within ±1, and a unit for every factor of 10 in decades beyond."""
    beyond = np.log10(decades.abs().clip(lower=1.0))
    return decades.clip(-1.0, 1.0) + np.sign(decades) * beyond


def _scale(axis: Axes, drawn: pd.DataFrame, deepest: int) -> None:
    layout.layer_ticks(axis, deepest - 1)
    axis.set_xlim(1, deepest - 1)
    ends = drawn[["mean", "low", "high"]].stack()
    limit = max(3.0, float(ends.abs().max()) if len(ends) else 0.0)
    ticks = [tick for tick in (-100, -10, -1, 0, 1, 10, 100) if abs(tick) <= limit]
    axis.set_yticks(
        _place(pd.Series(ticks, dtype=float)).tolist(),
        labels=[f"{tick:+d}".replace("-", "−") if tick else "0" for tick in ticks],
    )
    top = float(_place(pd.Series([limit])).iloc[0]) + 0.4
    axis.set_ylim(-top, top)
