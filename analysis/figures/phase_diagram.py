"""Where over weight and bias scales gradients vanish and explode, and where starts lie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, started
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.predictions import predictions
from study.theory.phase import log_chi_plane

TITLE = "Which starts lie at the edge between vanishing and exploding?"

ACROSS, UP = 61, 17
"""Points of the plane that are drawn."""

LEVELS = sorted(
    sign * level for level in (0.0125, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0) for sign in (-1, 1)
)
"""Decades between which the colour is one: beside 0 the palest, within 0.4 decades over 32 layers."""

CLOSER = 65
"""Points between two of the plane, where it is asked whether a crossing is a jump."""

LEAST_BIAS = 0.5
"""The plane goes up to this σ_b at least."""


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return where every activation and initializer lies, in the deepest networks.

    Columns: ``activation, init, sigma_w`` (√(fan_in·Var W) of the hidden layers), ``sigma_b``, ``chi`` (χ at
    the fixed point) and ``decades`` (that the gradient gains per layer towards the input there).
    """
    rows = []
    deepest = int(variant.cells["depth"].max())
    for one in predictions(study, variant):
        if one.depth != deepest or deepest < 3:
            continue
        place = deepest - 2
        chi = one.field.chi_star
        rows.append(
            {
                "activation": one.activation,
                "init": one.init,
                "sigma_w": math.sqrt(one.field.weight_variance[place]),
                "sigma_b": math.sqrt(one.field.bias_variance[place]),
                "chi": chi,
                "decades": math.log10(chi) / 2 if chi > 0 else -math.inf,
            }
        )
    columns = ["activation", "init", "sigma_w", "sigma_b", "chi", "decades"]
    return pd.DataFrame(rows, columns=columns)


@FigureFunction
def phase_diagram(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw χ over weight and bias scales with the initializers marked, a panel an activation.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: the theory speaks of no condition with two hidden layers.
    """
    variant = started(study, variant)
    drawn = table(study, variant)
    placed = drawn[drawn["sigma_w"] > 0]
    if placed.empty:
        raise NotApplicable("the theory speaks of no condition with two hidden layers")
    activations = in_order(placed["activation"], style.ACTIVATIONS)
    inits = in_order(placed["init"], style.INITIALIZERS)
    settings = _settings(study, variant)
    least, most = placed["sigma_w"].min(), placed["sigma_w"].max()
    scales = np.geomspace(min(0.1, least / 1.3), max(16.0, most * 1.3), ACROSS)
    biases = np.linspace(0.0, max(LEAST_BIAS, placed["sigma_b"].max() * 1.3), UP)
    columns = min(4, len(activations))
    colours, markers = style.colours(inits), style.markers(inits)
    norm = SymLogNorm(linthresh=0.1, linscale=0.8, vmin=-1.0, vmax=1.0, base=10)
    with style.house_style():
        rows = -(-len(activations) // columns)
        figure, axes = layout.panel_grid(
            [""] * rows, [""] * columns, (2.3, 1.7), left=0.75, gap=0.32, pad=2.0, bottom=0.85
        )
        for axis in axes.ravel()[len(activations) :]:
            axis.remove()
        for activation, axis in zip(activations, axes.ravel(), strict=False):
            decades = log_chi_plane(settings[activation], scales**2, biases**2) / (2 * math.log(10))
            axis.set_title(activation, color=style.colours(activations)[activation])
            axis.contourf(
                scales, biases, np.clip(decades, -1, 1), levels=LEVELS, cmap=style.diverging(),
                norm=norm,
            )  # fmt: skip
            line = critical_line(settings[activation], scales, biases, decades)
            axis.plot(line, biases, color="black", linewidth=1.6)
            _marks(axis, placed[placed["activation"] == activation], colours, markers)
            axis.grid(False)
        first: Axes = axes[0, 0]
        first.set_xscale("log")
        first.set_xlim(scales[0], scales[-1])
        first.set_ylim(-0.04 * biases[-1], biases[-1])
        ticks = [tick for tick in (0.01, 0.1, 1.0, 10.0, 100.0) if scales[0] <= tick <= scales[-1]]
        first.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        for axis in axes.ravel()[: len(activations)][-columns:]:
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("weight scale σ_w")
        for axis in axes[:, 0]:
            axis.set_ylabel("bias scale σ_b")
        bar = layout.bar_above(
            figure,
            style.matplotlib.cm.ScalarMappable(norm, style.diverging()),
            "decades gained (+) or lost (−) per layer; black: none",
        )
        at = [-1.0, -0.3, -0.1, 0.0, 0.1, 0.3, 1.0]
        bar.set_xticks(at, labels=[f"{tick:+g}".replace("-", "−") if tick else "0" for tick in at])
        bar.xaxis.set_minor_locator(style.matplotlib.ticker.NullLocator())
        handles = [
            Line2D(
                [], [], color=colours[i], marker=markers[i], linestyle="none", label=i,
                markeredgecolor="white",
            )
            for i in inits
        ]  # fmt: skip
        figure.legend(
            handles=handles, loc="lower left", ncols=len(handles), frameon=False,
            borderaxespad=0.1, columnspacing=1.2,
        )  # fmt: skip
    return Drawing(
        TITLE,
        "Mean-field theory at the fixed point of the signal: how many decades the signal gradient gains "
        "per layer towards the input, over the scales of weights, σ_w = √(fan_in·Var W), and biases, σ_b. "
        "Blue: it vanishes; red: it explodes; on the black line it keeps its size. Marks: where the "
        "study's initializers put the hidden layers of its deepest networks. An activation without a black "
        "line at the lower edge has no critical start without biases: its gradients go from vanishing to "
        "exploding at once. Where a start's signal has not "
        "reached its fixed point, the first layers behave differently. Sources: Poole et al. 2016, "
        "Schoenholz et al. 2017.",
        "Colour maps of decades per layer over weight and bias scale, one for each activation, with the "
        "initializers marked.",
        figure,
        drawn,
    )


def critical_line(
    activation: dict[str, Any], scales: np.ndarray, biases: np.ndarray, decades: np.ndarray
) -> np.ndarray:
    """Return the weight scale at which nothing is gained, for each bias scale; NaN where there is none.

    Args:
        activation: its settings.
        scales: of weights, ``[column]``, evenly spaced as logarithms.
        biases: of biases, ``[row]``.
        decades: gained per layer, ``[row, column]``.
    """
    found = np.full(len(decades), np.nan)
    step = float(np.log10(scales[1] / scales[0]))
    for row, gained in enumerate(decades):
        [crossings] = np.nonzero((gained[:-1] < 0) & (gained[1:] >= 0))
        for column in crossings:
            jump = gained[column + 1] - gained[column]
            if jump <= 1.5 * step:
                place = np.log10(scales[column]) - step * gained[column] / jump
                found[row] = 10**place
                continue
            # the fixed point moves with the weights, and may be another one all at once
            near = np.geomspace(scales[column], scales[column + 1], CLOSER)
            closer = log_chi_plane(activation, near**2, biases[row : row + 1] ** 2)[0]
            place = int(np.argmax(closer >= 0))
            if closer[place] - closer[place - 1] < jump * math.log(10):
                found[row] = near[place]
    return found


def _settings(study: Study, variant: Variant) -> dict[str, Any]:
    """Return the settings of every activation that the theory speaks of, by label."""
    return {one.activation: one.field.settings for one in predictions(study, variant)}


def _marks(
    axis: Axes, part: pd.DataFrame, colours: dict[str, str], markers: dict[str, str]
) -> None:
    for _, row in part.iterrows():
        axis.plot(
            row["sigma_w"], row["sigma_b"], markers[row["init"]], color=colours[row["init"]],
            markersize=7, markeredgecolor="white", markeredgewidth=0.8, clip_on=False, zorder=5,
        )  # fmt: skip
