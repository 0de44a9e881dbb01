"""Distribution of z: where the pre-activations of each layer lie in fresh networks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import layout, style
from analysis.aggregates import grouped
from analysis.figures.base import (
    Drawing,
    FigureFunction,
    condition_grid,
    fault_handles,
    fault_marks,
    needs,
    networks,
    started,
)
from analysis.frames import Study, Variant

TITLE = "Where do the pre-activations lie?"

BANDS = (("z_p01", "z_p99", 0.18), ("z_p05", "z_p95", 0.35), ("z_p25", "z_p75", 0.6))
"""Quantiles at the ends of each band, the widest first, and its opacity."""

MEDIAN = "z_p50"

QUANTILES = ["z_p01", "z_p05", "z_p25", "z_p50", "z_p75", "z_p95", "z_p99"]

FARTHEST = 1000.0
"""Where the axis ends at the latest: what lies beyond is read off the second moment."""

AXES = ["activation", "init", "depth", "layer"]


def table(study: Study, where: str) -> pd.DataFrame:
    """Return the quantiles of z at the start by condition and layer, means over networks.

    Columns: ``activation, init, depth, layer``, `QUANTILES` (means over the networks in which all of
    them are finite), ``networks`` and ``nonfinite`` (networks in which one is not).
    """
    finite = " AND ".join(f"coalesce(isfinite({name}), false)" for name in QUANTILES)
    found = {name: f"avg({name}) FILTER (finite)" for name in QUANTILES}
    found |= {"networks": "count(*) FILTER (finite)", "nonfinite": "count(*) FILTER (NOT finite)"}
    rows = f"SELECT *, {finite} AS finite FROM ({study.rows(where, QUANTILES)})"
    return grouped(study, rows, AXES, found)


@FigureFunction
def distribution_of_z(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw quantile bands of z against the layer at the greatest depth, activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no network has hidden layers, or its records hold no quantiles.
    """
    variant = started(study, variant)
    needs(study, QUANTILES, "quantiles of z")
    deepest = int(variant.cells["depth"].max())
    cells = variant.cells[variant.cells["depth"] == deepest]
    drawn = table(study, f"{variant.where} AND depth = {deepest}")
    with style.house_style():
        grid = condition_grid(variant.cells, (1.75, 0.95), gap=0.18)
        figure, axes = grid.figure, grid.axes
        for activation, axis, panel in grid.panels(drawn):
            _panel(axis, panel, grid.colours[activation])
        _scale(axes[0, 0], drawn, deepest)
        for axis in axes[-1]:
            axis.set_xlabel("layer")
        names = ("1–99 %", "5–95 %", "25–75 %")
        layout.legend_above(
            figure,
            [
                Line2D([], [], color="black", linewidth=1.2, label="median"),
                *(
                    Patch(facecolor="#555555", alpha=opacity, label=name)
                    for (*_, opacity), name in zip(BANDS, names, strict=True)
                ),
                *fault_handles(drawn),
            ],
            f"upwards: z at the start, depth {deepest} (linear within ±1)",
        )
    farther = drawn[QUANTILES].abs().max().max() > FARTHEST
    return Drawing(
        TITLE,
        "Quantiles of the pre-activations z of each layer over its units and at most 128 samples of the "
        f"probe set at the start, counted from the input, in the deepest networks (depth {deepest}, "
        f"{networks(len(cells))}): means over seeds of each network's own quantiles; bands from light to "
        "dark hold 98, 90 and 50 % of the entries, the line is the median. The axis is linear within ±1 "
        "and logarithmic beyond"
        + (f"; what lies beyond ±{FARTHEST:,.0f} leaves it. " if farther else ". ")
        + "A band that narrows to a line is a signal that dies out, one that widens explodes; a median "
        "away from 0 is a signal that has come to lie on one side of its activation.",
        f"Small multiples, {len(grid.activations)} activations by {len(grid.inits)} initializers: bands of "
        "quantiles of z against the layer.",
        figure,
        drawn,
    )


def _panel(axis: Axes, panel: pd.DataFrame, colour: str) -> None:
    if panel.empty:
        layout.not_run(axis)
        return
    axis.set_autoscale_on(False)
    axis.axhline(0, color="#999999", linewidth=0.7)
    known = panel[panel["networks"] > 0]
    layers = known["layer"].to_numpy()
    if len(known):
        shapes = []
        for low, high, _ in BANDS:
            there, back = _place(known[low]), _place(known[high])
            shapes.append(
                np.concatenate(
                    [np.column_stack([layers, there]), np.column_stack([layers, back])[::-1]]
                )
            )
        shades = [style.matplotlib.colors.to_rgba(colour, opacity) for *_, opacity in BANDS]
        axis.add_collection(PolyCollection(shapes, facecolors=shades, linewidth=0), False)
        # beyond the axis it would only cross the panel up and down
        within = known[MEDIAN].where(known[MEDIAN].abs() <= FARTHEST)
        median = np.column_stack([layers, _place(within)])
        axis.add_collection(LineCollection([median], colors="black", linewidths=1.2), False)
    fault_marks(axis, panel, zeros=False)


def _place(z: pd.Series) -> np.ndarray:
    """Return heights: z within ±1, and a unit for every factor of ten beyond."""
    values = z.to_numpy(dtype=float)
    beyond = np.log10(np.maximum(np.abs(values), 1.0))
    return np.clip(values, -1.0, 1.0) + np.sign(values) * beyond


def _scale(axis: Axes, drawn: pd.DataFrame, deepest: int) -> None:
    layout.layer_ticks(axis, deepest)
    axis.set_xlim(1, deepest)
    ends = drawn[QUANTILES].abs().max().max()
    limit = min(FARTHEST, max(1.0, ends if np.isfinite(ends) else 1.0))
    ticks = [tick for tick in (-1000, -100, -10, -1, 0, 1, 10, 100, 1000) if abs(tick) <= limit]
    if len(ticks) > 5:
        ticks = [tick for tick in ticks if abs(tick) not in (1, 100)]
    places = _place(pd.Series(ticks, dtype=float))
    axis.set_yticks(places.tolist(), labels=[f"{tick:g}".replace("-", "−") for tick in ticks])
    top = float(_place(pd.Series([limit]))[0])
    axis.set_ylim(-1.06 * top, 1.06 * top)
