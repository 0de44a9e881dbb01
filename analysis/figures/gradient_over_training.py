"""Gradient over training: how much of the gradient reaches each layer, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, SymLogNorm

from analysis import layout, style
from analysis.aggregates import log_intervals, relative
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, decades_bar, networks
from analysis.figures.by_step import annotate, best_deepest
from analysis.figures.dead_units import named_steps
from analysis.frames import Study, Variant, among
from analysis.labels import in_order

TITLE = "Does training mend the gradient?"

AXES = ["activation", "init", "depth", "lr", "step", "layer"]

NO_NUMBER = "#C8C8C8"
ZERO = "#000000"


def table(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """Return log10 of the signal gradient relative to the last hidden layer, by step and layer.

    Columns: ``activation, init, depth, lr, step, layer`` and what
    `analysis.statistics.log_statistics` returns.
    """
    measured = cells[cells["status"].isin(["ok", "diverged"])]
    rows = study.rows(among(measured), ["signal_grad_rms"], "layer < depth")
    return log_intervals(study, relative(rows, "signal_grad_rms"), AXES, "relative")


@FigureFunction
def gradient_over_training(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the relative signal gradient over layer and step, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with two hidden layers was trained, or none is finished.
    """
    cells = best_deepest(study, variant, learning=False)
    cells = cells[cells["depth"] >= 3]
    if cells.empty:
        raise NotApplicable("a way through layers needs at least two hidden ones, depth 3")
    drawn = table(study, cells)
    if drawn.empty:
        raise NotApplicable("no network of the deepest conditions is measured yet")
    activations = in_order(cells["activation"], style.ACTIVATIONS)
    inits = in_order(cells["init"], style.INITIALIZERS)
    with style.house_style():
        figure, axes = layout.panel_grid(
            activations, inits, (2.2, 1.1), row_colours=style.colours(activations),
            sharex=False, sharey=False, gap=0.3, pad=16,
        )  # fmt: skip
        norm = style.decades_norm(drawn["mean"].to_numpy())
        for index, (activation, row) in enumerate(zip(activations, axes, strict=True)):
            for init, axis in zip(inits, row, strict=True):
                panel = drawn[(drawn["activation"] == activation) & (drawn["init"] == init)]
                _panel(axis, panel, norm, last=index == len(activations) - 1)
        for axis in axes[-1]:
            axis.set_xlabel("step")
        for axis in axes[:, 0]:
            axis.set_ylabel("layer", labelpad=4)
        decades_bar(figure, norm)
    without = drawn[drawn["networks"] == 0]
    depths = sorted(int(depth) for depth in drawn["depth"].unique())
    return Drawing(
        TITLE,
        "Signal gradient relative to the last hidden layer by layer (upwards from the input) and step, "
        f"mean of log10 over seeds, each condition at the deepest depth trained ({depths[-1]}"
        + ("; some at less, as written" if len(depths) > 1 else "")
        + f") and its best learning rate by validation ({networks(cells['cell'].nunique())}; depth and "
        "rate above each panel). Blue: the gradient has vanished on its way to the layer, red: it has "
        "exploded, pale: it arrives as it left; the mean is that of the networks in which it is a "
        "number above 0. "
        + (
            "Black: it is exactly 0, and a number above 0 in no network. "
            if without["zeros"].any()
            else ""
        )
        + ("Grey: it is infinite or NaN in every network. " if without["zeros"].eq(0).any() else "")
        + "Columns that turn pale are networks that training has mended; those that "
        "keep their colour never were.",
        f"Grid of heat maps, {len(activations)} activations by {len(inits)} initializers, of the "
        "relative gradient by layer and step.",
        figure,
        drawn,
    )


def _panel(axis: Axes, panel: pd.DataFrame, norm: SymLogNorm, last: bool) -> None:
    if panel.empty:
        layout.not_run(axis)
        axis.set_xticks([])
        axis.set_yticks([])
        return
    means = panel.pivot(index="layer", columns="step", values="mean")
    zeros = panel.pivot(index="layer", columns="step", values="zeros").to_numpy() > 0
    values = means.to_numpy(dtype=float)
    steps, layers = list(means.columns), list(means.index)
    axis.set_autoscale_on(False)
    axis.set_facecolor(NO_NUMBER)
    axis.grid(False)
    # as an image, since thousands of quadrilaterals would make the page megabytes larger
    look: dict[str, Any] = {
        "origin": "lower", "aspect": "auto", "interpolation": "nearest",
        "extent": (-0.5, len(steps) - 0.5, 0.5, len(layers) + 0.5),
    }  # fmt: skip
    axis.imshow(np.ma.masked_invalid(values), cmap=style.diverging(), norm=norm, **look)
    vanished = np.isnan(values) & zeros
    if vanished.any():
        black = np.ma.masked_where(~vanished, np.zeros(values.shape))
        axis.imshow(black, cmap=ListedColormap([ZERO]), **look)
    named = named_steps(steps, axis.get_window_extent().width / axis.figure.dpi)
    axis.set_xticks(named, labels=[f"{steps[index]:g}" for index in named] if last else [])
    axis.set_yticks(sorted({1, (len(layers) + 1) // 2, len(layers)}))
    axis.set_xlim(-0.5, len(steps) - 0.5)
    axis.set_ylim(0.5, len(layers) + 0.5)
    annotate(axis, f"depth {panel['depth'].iloc[0]} · rate {panel['lr'].iloc[0]:g}")
