"""How fast gradients vanish or explode against how fast mean-field theory says they do."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, networks, started
from analysis.figures.slope import AXES
from analysis.figures.slope import table as measured_slopes
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.predictions import by_layer, predictions
from analysis.words import signed

TITLE = "Does theory say how fast the gradient vanishes or explodes?"

LINEAR = 0.1
"""Decades per layer within which both axes are linear."""

NAMED = 4
"""How many of the conditions that stray furthest are named."""


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return measured and predicted slopes of log10 of the signal gradient, in decades per layer.

    Columns: ``activation, init, depth``; ``mean, low, high, networks, undefined`` of the measured slope as in
    the figure of slopes; ``predicted``, by least squares through the same layers; ``error``, measured less
    predicted. Both NaN where the theory does not speak of a condition.
    """
    measured = measured_slopes(study, variant)
    told = by_layer([one for one in predictions(study, variant) if one.depth >= 4], spread=False)
    fitted = [
        {**dict(zip(AXES, key, strict=True)), "predicted": _slope(part)}
        for key, part in told.groupby(AXES)
    ]
    both = measured.merge(pd.DataFrame(fitted, columns=[*AXES, "predicted"]), on=AXES, how="left")
    return both.assign(error=both["mean"] - both["predicted"])


def _slope(part: pd.DataFrame) -> float:
    """Return decades per layer towards the input, NaN where nothing arrives."""
    if not np.isfinite(part["predicted"]).all():
        return float("nan")
    return -float(np.polyfit(part["layer"], part["predicted"], 1)[0])


@FigureFunction
def theory_slope(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw measured against predicted slopes, a point a condition.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no measured network has three hidden layers, or the theory speaks of none.
    """
    variant = started(study, variant)
    drawn = table(study, variant)
    known = drawn[drawn["predicted"].notna() & drawn["mean"].notna()]
    if known.empty:
        raise NotApplicable("the theory speaks of no condition with three hidden layers (depth 4)")
    activations = in_order(known["activation"], style.ACTIVATIONS)
    colours, markers = style.colours(activations), style.markers(activations)
    with style.house_style():
        figure, axes = layout.panel_grid([""], [""], (4.6, 4.2), left=0.8)
        axis: Axes = axes[0, 0]
        limit = 1.6 * float(known[["mean", "predicted"]].abs().to_numpy().max())
        for scale in (axis.set_xscale, axis.set_yscale):
            scale("symlog", linthresh=LINEAR, linscale=0.7)
        axis.set_xlim(-limit, limit)
        axis.set_ylim(-limit, limit)
        axis.plot([-limit, limit], [-limit, limit], color="black", linewidth=0.8, zorder=1)
        for activation in activations:
            part = known[known["activation"] == activation]
            axis.vlines(part["predicted"], part["low"], part["high"], color=colours[activation])
            axis.plot(
                part["predicted"], part["mean"], markers[activation], color=colours[activation],
                markersize=5, markeredgecolor="white", markeredgewidth=0.4, alpha=0.9,
            )  # fmt: skip
        _name(axis, known, limit)
        ticks = _ticks(limit)
        for ticked in (axis.xaxis, axis.yaxis):
            ticked.set_ticks(ticks, labels=[f"{tick:g}".replace("-", "−") for tick in ticks])
            ticked.set_minor_locator(style.matplotlib.ticker.NullLocator())
        axis.set_xlabel("predicted decades per layer towards the input")
        axis.set_ylabel("measured decades per layer")
        handles = [
            Line2D([], [], color=colours[a], marker=markers[a], linestyle="none", label=a)
            for a in activations
        ]
        layout.legend_above(figure, handles, "on the line, theory and measurement agree")
    worst = known.loc[known["error"].abs().idxmax()]
    close = float((known["error"].abs() <= 0.01).mean())
    count = int(known["networks"].sum())
    return Drawing(
        TITLE,
        "Slope of log10 of the signal gradient over the hidden layers at the start, measured (mean over "
        f"seeds, 95 % Student interval; {networks(count)}) against the mean-field prediction, which fits "
        f"nothing; a point for each activation, initializer and depth. Axes are linear within ±{LINEAR:g} "
        f"and logarithmic beyond. {close:.0%} of the {len(known)} conditions are within 0.01 decades per "
        f"layer; furthest off is {worst['activation']} with {worst['init']} at depth {worst['depth']}, by "
        f"{signed(worst['error'], '+', 3)}. The theory is that of infinitely wide layers: where a layer's "
        "signal does not settle at one size, as GELU's under he_normal, a layer of finite width follows it "
        "for some layers only.",
        "Scatter plot of measured against predicted decades per layer, near the diagonal for nearly all "
        "conditions.",
        figure,
        drawn,
    )


def _name(axis: Axes, known: pd.DataFrame, limit: float) -> None:
    """Name the conditions furthest from the line, where they are far from it to the eye."""
    order = known["error"].abs().sort_values(ascending=False).index
    for place, row in enumerate(known.loc[index] for index in order[:NAMED]):
        if abs(row["error"]) < 0.02:
            continue
        left = row["predicted"] > 0
        axis.annotate(
            f"{row['activation']}, {row['init']}, depth {row['depth']}",
            (row["predicted"], row["mean"]), xytext=(-6 if left else 6, 5 if place % 2 else -11),
            textcoords="offset points", ha="right" if left else "left", fontsize=7, color="#444444",
        )  # fmt: skip


def _ticks(limit: float) -> list[float]:
    ticks = [tick for tick in (0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0) if tick <= limit]
    return [*(-tick for tick in reversed(ticks)), 0.0, *ticks]
