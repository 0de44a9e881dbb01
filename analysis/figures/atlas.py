"""Atlas: how much of the gradient reaches each layer, for every condition at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize

from analysis import layout, style
from analysis.aggregates import log_intervals, relative
from analysis.figures.base import (
    Drawing,
    FigureFunction,
    condition_grid,
    decades_bar,
    networks,
    started,
)
from analysis.frames import Study, Variant
from analysis.words import signed

TITLE = "How much of the gradient reaches each layer?"


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return log10 of the signal gradient relative to the last hidden layer, by condition and layer.

    Columns: ``activation, init, depth, layer``, mean and 95 % interval over networks (decades),
    ``networks``, the ``smallest`` and ``largest`` of a single network, and how many have a relative
    gradient that is exactly 0 or not finite.
    """
    rows = study.rows(variant.where, ["signal_grad_rms"], "step = 0 AND layer < depth")
    by = ["activation", "init", "depth", "layer"]
    return log_intervals(study, relative(rows, "signal_grad_rms"), by, "relative")


@FigureFunction
def atlas(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw small multiples activation × initializer: x layer, y depth, colour decades.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no network has hidden layers.
    """
    variant = started(study, variant)
    drawn = table(study, variant)
    depths = sorted(drawn["depth"].unique())
    with style.house_style():
        grid = condition_grid(drawn, (1.95, 0.32 + 0.17 * len(depths)), gap=0.25, pad=16)
        figure, axes = grid.figure, grid.axes
        norm = style.decades_norm(drawn["mean"].to_numpy())
        for _, axis, panel in grid.panels(drawn):
            _panel(axis, panel, depths, norm)
        layout.layer_ticks(axes[0, 0], max(depths) - 1)
        for axis in axes[-1]:
            axis.set_xlabel("layer")
        for axis in axes[:, 0]:
            axis.set_ylabel("depth", labelpad=4)
        decades_bar(figure, norm)
    deepest = depths[-1]
    return Drawing(
        TITLE,
        f"Signal gradient at the start relative to the last hidden layer, mean of log10 over seeds "
        f"({networks(len(variant.cells))}). Each row of a panel is a network of that depth, from its "
        f"first layer at the left; blue: the gradient has vanished on its way to the layer, red: it has "
        f"exploded, pale: it arrives as it left, "
        f"▼: in some network it is exactly 0, ×: in some it is no number; the mean is that of the others. "
        f"Above a panel: the factor by which the gradient of its deepest network changes from the last "
        f"hidden layer to layer 1. Look along a row of panels to see what the initializer does, and at "
        f"identity (where it is in the sweep) for what the same weights do without an activation.",
        f"Grid of heat maps, {len(grid.activations)} activations by {len(grid.inits)} initializers, of the "
        f"relative gradient by layer and depth up to {deepest}.",
        figure,
        drawn,
    )


def _panel(axis: Axes, panel: pd.DataFrame, depths: list[int], norm: Normalize) -> None:
    if panel.empty:
        layout.not_run(axis)
        return
    axis.grid(False)
    axis.set_yticks(range(len(depths)), labels=[str(depth) for depth in depths])
    axis.set_ylim(len(depths) - 0.5, -0.5)
    widest = max(depths) - 1
    axis.set_xlim(0.5, widest + 0.5)
    # the limits stand; finding them anew for every row takes time
    axis.set_autoscale_on(False)
    frames: list[list[tuple[float, float]]] = []
    for place, depth in enumerate(depths):
        row = panel[panel["depth"] == depth].set_index("layer")
        if row.empty:
            axis.barh(
                place, depth - 1, left=0.5, height=0.9, facecolor=style.MISSING_FACE,
                hatch=style.MISSING_HATCH, edgecolor="#BBBBBB", linewidth=0,
            )  # fmt: skip
            continue
        values = row["mean"].reindex(range(1, depth)).to_numpy(dtype=float)
        edges = np.arange(depth) + 0.5
        axis.pcolormesh(
            edges, [place - 0.45, place + 0.45], values[None, :], cmap=style.diverging(), norm=norm
        )
        right, low, high = depth - 0.5, place - 0.45, place + 0.45
        frames.append([(0.5, low), (right, low), (right, high), (0.5, high), (0.5, low)])
        for column, marker in (("zeros", "v"), ("nonfinite", "x")):
            faulty = row.index[row[column] > 0]
            if len(faulty):
                axis.plot(faulty, [place] * len(faulty), marker, color="black", markersize=3)
    axis.add_collection(LineCollection(frames, colors="#999999", linewidths=0.4), False)
    first = panel[(panel["layer"] == 1) & (panel["depth"] == panel["depth"].max())].iloc[0]
    if np.isfinite(first["mean"]) and first["depth"] > 2:
        axis.annotate(
            f"layer 1 of {first['depth']}: $10^{{{signed(first['mean'], '+')}}}$", (1, 1),
            xycoords="axes fraction", xytext=(0, 1.5), textcoords="offset points",
            ha="right", va="bottom", fontsize=7.5,
        )  # fmt: skip
