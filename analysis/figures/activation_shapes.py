"""Activation shapes: the activations of the study with their slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import layout, style
from analysis.figures.base import Drawing, FigureFunction, NotApplicable
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.words import joined

TITLE = "What do the activations do to z, and to its gradient?"

REACH = 4.0
"""z is drawn from −4 to 4."""

POINTS = 161

FLAT = 0.01
"""Where the slope is below this share of its largest, next to nothing is sent back."""

MOST_COLUMNS = 5


def shapes(cells: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return every activation and its derivative, computed from the functions that are registered.

    Args:
        cells: rows of `Study.cells`.

    Returns:
        ``activation, z, value, slope`` (by autograd, in float64) and ``flat`` (the slope is 0,
        or below `FLAT` of its largest within the range), and of the
        activations that cannot be computed the reason.
    """
    # what draws needs what trains for this figure alone
    import torch

    from study.activations import ACTIVATIONS
    from study.errors import SettingError

    frames, left_out = [], {}
    for activation in in_order(cells["activation"], style.ACTIVATIONS):
        settings = _settings(cells[cells["activation"] == activation].iloc[0])
        try:
            entry = ACTIVATIONS[settings.pop("name")]
        except SettingError:
            left_out[activation] = "it is not registered here"
            continue
        arguments = {
            # trained numbers come as they do in a network, [cell, 1, 1]
            key: torch.full((1, 1, 1), float(value), dtype=torch.float64)
            if key in entry.extra.learnable
            else value
            for key, value in settings.items()
            if key in entry.parameters
        }
        z = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64).reshape(1, -1, 1)
        z.requires_grad_()
        try:
            value = entry.function(z, **arguments)
            (slope,) = torch.autograd.grad(value.sum(), z)
        except Exception as error:  # what users registered may raise anything
            left_out[activation] = f"it raises {type(error).__name__}"
            continue
        frame = pd.DataFrame(
            {
                "activation": activation,
                "z": z.detach().numpy().ravel(),
                "value": value.detach().numpy().ravel(),
                "slope": slope.numpy().ravel(),
            }
        )
        sizes = frame["slope"].abs()
        frames.append(frame.assign(flat=(sizes < FLAT * sizes.max()) | (sizes == 0)))
    return (pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()), left_out


def _settings(row: pd.Series) -> dict[str, Any]:
    """Return name and arguments of a network's activation."""
    found = {
        str(key).split(".", 1)[1]: value
        for key, value in row.items()
        if str(key).startswith("activation.")
    }
    # other activations' arguments are columns here, too
    return {key: value for key, value in found.items() if not pd.isna(value)}


@FigureFunction
def activation_shapes(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw φ and φ′ of the study's activations for z from −4 to 4, a panel each.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default all networks of the study.

    Raises:
        NotApplicable: no activation of the study is registered here.
    """
    cells = study.cells if variant is None else variant.cells
    drawn, left_out = shapes(cells)
    reasons = joined([f"{name}, since {why}" for name, why in left_out.items()])
    if drawn.empty:
        raise NotApplicable(f"none can be computed here: {reasons}")
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    colours = style.colours(in_order(cells["activation"], style.ACTIVATIONS))
    columns = min(MOST_COLUMNS, len(activations))
    rows = -(-len(activations) // columns)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""] * rows, [""] * columns, (1.9, 1.3), left=0.45, gap=0.35, pad=14
        )
        flat = axes.ravel()
        for activation, axis in zip(activations, flat, strict=False):
            _panel(axis, drawn[drawn["activation"] == activation], colours[activation])
        for axis in flat[len(activations) :]:
            axis.set_axis_off()
        ends = drawn.loc[np.isfinite(drawn["value"]), "value"]
        flat[0].set_xlim(-REACH, REACH)
        flat[0].set_ylim(max(-1.3, ends.min() - 0.1), min(2.3, ends.max() + 0.1))
        for axis in flat[max(0, len(activations) - columns) : len(activations)]:
            axis.set_xlabel("z")
            axis.tick_params(labelbottom=True)
        layout.legend_above(
            figure,
            [
                Line2D([], [], color="#333333", label="φ(z)"),
                Line2D([], [], color="#333333", linestyle="--", label="φ′(z)"),
                Patch(facecolor="#E8E8E8", label=f"|φ′| below {FLAT:.0%} of its largest"),
            ],
        )
    return Drawing(
        TITLE,
        "Each activation of the study (solid) and its derivative by autograd (dashed), computed from "
        "the registered functions, not from records; learned numbers at their first value. Shaded: the "
        "derivative is 0 or below 1 % of its largest within the range, so that a unit with z there sends "
        "next to nothing back; above each panel the largest slope. A slope below 1 in every place makes "
        "gradients shrink with each layer unless weights make up for it."
        + (f" Not drawn: {reasons}." if left_out else ""),
        f"Line charts of {joined(activations)} and their derivatives for z from −4 to 4.",
        figure,
        drawn,
    )


def _panel(axis: Axes, part: pd.DataFrame, colour: str) -> None:
    axis.set_autoscale_on(False)
    z = part["z"].to_numpy()
    axis.fill_between(
        z, 0, 1, where=part["flat"].to_numpy(), transform=axis.get_xaxis_transform(),
        color="#E8E8E8", linewidth=0,
    )  # fmt: skip
    axis.plot(z, part["slope"], color=colour, linestyle="--")
    axis.plot(z, part["value"], color=colour)
    axis.set_title(
        f"{part['activation'].iloc[0]}, slope ≤ {part['slope'].abs().max():.2g}",
        color=colour, fontweight="bold", pad=3, fontsize=8.5,
    )  # fmt: skip
