"""Where theory and measurement part: signal gradient, weight gradient, collapse and spread over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from scipy import stats

from analysis import layout, style
from analysis.aggregates import log_intervals, relative
from analysis.figures import by_layer
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, networks, started
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.predictions import predictions
from analysis.words import signed

TITLE = "Where do theory and measurement part?"

AXES = ["activation", "init", "depth"]


@dataclass(frozen=True)
class Quantity:
    """What is held against the theory.

    Attributes:
        name: its column, or ``spread``.
        title: of its panel.
        limit: error at which the colour is full.
    """

    name: str
    title: str
    limit: float


QUANTITIES = (
    Quantity("signal_grad_rms", "signal gradient, decades", 0.5),
    Quantity("weight_grad_norm", "weight gradient of a batch, decades", 0.5),
    Quantity("z_collapse", "collapse of z", 0.5),
    Quantity("spread", "spread over seeds, decades", 0.5),
)

COLUMNS = 2


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return by how much the theory misses each quantity, in the deepest networks.

    Columns: ``activation, init, depth, quantity``; ``layer``, the hidden one in which it is furthest off (of
    ``spread``, layer 1); ``measured`` and ``predicted`` there, of gradients log10, of ``spread`` log10 of the
    standard deviation over seeds of layer 1's log10 signal gradient by the last hidden layer's; ``error``,
    measured less predicted; ``networks``. Conditions of which the theory does not speak are left out.
    """
    deepest = int(variant.cells["depth"].max())
    part = Variant(variant.label, variant.cells, f"{variant.where} AND networks.depth = {deepest}")
    rows = []
    for quantity in QUANTITIES[:3]:
        drawn = by_layer.table(study, part, quantity.name, quantity.name in by_layer.FROM_LAST)
        drawn = drawn[drawn["layer"] < deepest]
        drawn = drawn.assign(error=drawn["mean"] - drawn["predicted"], quantity=quantity.name)
        known = drawn[np.isfinite(drawn["error"])]
        if known.empty:
            continue
        worst = known.loc[known.groupby(AXES)["error"].apply(lambda one: one.abs().idxmax())]
        rows.append(worst.rename(columns={"mean": "measured"}))
    rows.append(_spreads(study, part))
    columns = [*AXES, "quantity", "layer", "measured", "predicted", "error", "networks"]
    return pd.concat(rows, ignore_index=True)[columns]


def _spreads(study: Study, variant: Variant) -> pd.DataFrame:
    """Return the standard deviation over seeds of the signal gradient's way to layer 1, and its theory."""
    rows = study.rows(variant.where, ["signal_grad_rms"], "step = 0 AND layer < depth")
    found = log_intervals(study, relative(rows, "signal_grad_rms"), [*AXES, "layer"], "relative")
    found = found[(found["layer"] == 1) & (found["networks"] > 1)]
    half = (found["high"] - found["low"]) / 2
    student = stats.t.ppf(0.975, found["networks"] - 1)
    with np.errstate(divide="ignore"):
        measured = np.log10(half / student * np.sqrt(found["networks"]))
    told = pd.DataFrame(
        [
            (one.activation, one.init, one.depth, math.log10(spread))
            for one in predictions(study, variant)
            if (spread := one.spread(1)) > 0
        ],
        columns=[*AXES, "predicted"],
    ).astype({"depth": int, "predicted": float})
    both = found.assign(measured=measured).merge(told, on=AXES)
    both = both.assign(error=both["measured"] - both["predicted"], quantity="spread")
    return both[np.isfinite(both["error"])]


@FigureFunction
def theory_errors(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw measured less predicted for four quantities, activation × initializer, at the greatest depth.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no measured network has two hidden layers, or the theory speaks of none.
    """
    variant = started(study, variant)
    deepest = int(variant.cells["depth"].max())
    if deepest < 3:
        raise NotApplicable("the theory speaks of ways through layers: two hidden ones, depth 3")
    drawn = table(study, variant)
    if drawn.empty:
        raise NotApplicable("the theory speaks of no condition of this study")
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    colours = style.colours(activations)
    norm = Normalize(-1, 1)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""] * (len(QUANTITIES) // COLUMNS),
            [""] * COLUMNS,
            (max(2.2, 0.62 * len(inits)), 0.24 * len(activations)),
            left=0.3 + 0.08 * max(len(one) for one in activations), gap=0.55, pad=4.0, bottom=0.9,
        )  # fmt: skip
        for quantity, axis in zip(QUANTITIES, axes.flat, strict=True):
            axis.set_title(quantity.title, fontweight="bold")
            _panel(axis, drawn[drawn["quantity"] == quantity.name], quantity, activations, inits)
        for axis in axes[-1]:
            axis.set_xticks(range(len(inits)), labels=inits, rotation=25, ha="right")
        for axis in axes[:, 0]:
            axis.set_yticks(range(len(activations)), labels=activations)
            for label, activation in zip(axis.get_yticklabels(), activations, strict=True):
                label.set_color(colours[activation])
        bar = layout.bar_above(
            figure,
            ScalarMappable(norm, style.diverging()),
            "measured less predicted, in the layer where it is furthest off",
        )
        bar.set_xticks([-1, 0, 1], labels=["−0.5 or less", "0", "0.5 or more"])
    count = int((variant.cells["depth"] == deepest).sum())
    return Drawing(
        TITLE,
        f"Measured less predicted at the start, at depth {deepest} ({networks(count)}): mean over seeds of "
        "log10 of the signal gradient and of the weight gradient, both relative to the last hidden layer, "
        "and of the collapse of z, each in the hidden layer where the error is largest; and log10 of the "
        "standard deviation over seeds of the signal gradient's way to layer 1. Pale: they agree. The theory "
        "is that of infinitely wide layers with independent weights. It knows the gradient of one sample's "
        "weights, not of a batch's, whose samples cancel each other; samples of layers of finite width "
        "become alike more slowly than it says; and weights that are orthogonal are not independent: their "
        f"seeds stray less.{_worst(drawn)}",
        "Heat maps of the error of the mean-field prediction by activation and initializer, one for each of "
        "four quantities.",
        figure,
        drawn,
    )


def _worst(drawn: pd.DataFrame) -> str:
    """Say of each quantity how large the errors are."""
    words = []
    for quantity in QUANTITIES:
        part = drawn[drawn["quantity"] == quantity.name]
        if part.empty:
            continue
        worst = part.loc[part["error"].abs().idxmax()]
        words.append(
            f"{quantity.title}: half of the conditions within {part['error'].abs().median():.2f}, furthest "
            f"off {worst['activation']} with {worst['init']}, {signed(worst['error'], '+', 2)}"
        )
    return f" {'; '.join(words)}." if words else ""


def _panel(
    axis: Axes, part: pd.DataFrame, quantity: Quantity, activations: list[str], inits: list[str]
) -> None:
    axis.grid(False)
    axis.set_facecolor(style.MISSING_FACE)
    axis.patch.set_hatch(style.MISSING_HATCH)
    axis.patch.set_edgecolor("#BBBBBB")
    errors = part.pivot(index="activation", columns="init", values="error")
    errors = errors.reindex(index=activations, columns=inits)
    edges = (np.arange(len(inits) + 1) - 0.5, np.arange(len(activations) + 1) - 0.5)
    values = np.ma.masked_invalid(errors.to_numpy(dtype=float) / quantity.limit)
    axis.pcolormesh(
        *edges, values, cmap=style.diverging(), norm=Normalize(-1, 1), edgecolor="white", linewidth=0.8
    )  # fmt: skip
    axis.set_xticks(range(len(inits)))
    axis.set_ylim(len(activations) - 0.5, -0.5)
    for y, activation in enumerate(activations):
        for x, init in enumerate(inits):
            value = errors.at[activation, init]
            if np.isfinite(value):
                axis.text(
                    x, y, signed(value, "+", 2), ha="center", va="center", fontsize=7,
                    color="white" if abs(value) > 0.7 * quantity.limit else "black",
                )  # fmt: skip
