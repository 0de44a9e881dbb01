"""Rate map: accuracy or R² by depth and learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis import layout, style
from analysis.figures.base import (
    Drawing,
    FigureFunction,
    NotApplicable,
    condition_grid,
    networks,
    trained,
)
from analysis.frames import Study, Variant
from analysis.score import LEARNT, LOST, score_of, table
from analysis.words import joined


@FigureFunction
def rate_map(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the map depth × learning rate of test accuracy, or R² in regression, for each activation and init.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: fewer than two rates were trained.
    """
    variant = trained(study, variant)
    drawn = table(variant.cells)
    if drawn["lr"].nunique() < 2:
        raise NotApplicable("a map over rates needs at least two learning rates")
    depths, rates = sorted(drawn["depth"].unique()), sorted(drawn["lr"].unique())
    score = score_of(variant.cells)
    chance = score.chance
    norm = style.matplotlib.colors.Normalize(chance, np.nanmax([chance + 0.01, *drawn["mean"]]))
    with style.house_style():
        grid = condition_grid(drawn, (0.5 + 0.45 * len(depths), 0.1 + 0.3 * len(rates)))
        figure, axes = grid.figure, grid.axes
        for _, axis, part in grid.panels(drawn):
            _panel(axis, part, depths, rates, norm, chance)
        for axis in axes[-1]:
            axis.set_xlabel("depth")
        for axis in axes[:, 0]:
            axis.set_ylabel("rate", labelpad=4)
        layout.bar_above(
            figure,
            style.matplotlib.cm.ScalarMappable(norm, style.matplotlib.colormaps["viridis"]),
            f"test {score.name}, from {'0' if score.regression else 'chance'} upwards",
            format=score.ticks,
        )
    total = int(drawn[["networks", *LOST]].to_numpy().sum())
    return Drawing(
        "Which learning rates train which depth?",
        f"{score.name.capitalize()} on the whole test split by depth and learning rate, "
        f"mean over the seeds that did not diverge ({networks(total)}{_lost(drawn)}). Framed: the rate "
        f"chosen on the validation split, where a rate gets more than {score.margin} above chance; the "
        f"darkest colour is chance, {score.written_chance}, or less. Look for the rate that a deeper "
        "network needs.",
        f"Heat maps of test {score.name} by depth and learning rate, activations by initializers.",
        figure,
        drawn,
    )


def _panel(
    axis: Axes,
    part: pd.DataFrame,
    depths: list[int],
    rates: list[float],
    norm: Callable[[float], Any],
    chance: float,
) -> None:
    if part.empty:
        layout.not_run(axis)
        return
    axis.grid(False)
    axis.set_facecolor(style.MISSING_FACE)
    axis.patch.set_hatch(style.MISSING_HATCH)
    axis.patch.set_edgecolor("#BBBBBB")
    axis.set_xticks(range(len(depths)), labels=[str(depth) for depth in depths])
    axis.set_yticks(range(len(rates)), labels=[f"{rate:g}" for rate in rates])
    axis.set_xlim(-0.5, len(depths) - 0.5)
    axis.set_ylim(-0.5, len(rates) - 0.5)
    viridis = style.matplotlib.colormaps["viridis"]
    reached = part.groupby("depth")["mean"].max()
    for _, row in part.iterrows():
        x, y = depths.index(row["depth"]), rates.index(row["lr"])
        if np.isfinite(row["mean"]):
            face = tuple(viridis(float(norm(row["mean"]))))
        elif row["diverged"] or row["failed"]:
            face = (0.0, 0.0, 0.0, 1.0)
        else:
            continue
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=face, linewidth=0))
        if row["best"] and reached[row["depth"]] > chance + LEARNT:
            _frame(axis, x, y)
        if row["diverged"]:
            bright = np.dot(face[:3], (0.3, 0.59, 0.11)) > 0.5
            axis.text(
                x, y, f"×{row['diverged']:.0f}", ha="center", va="center", fontsize=8,
                color="black" if bright else "white",
            )  # fmt: skip


def _frame(axis: Axes, x: int, y: int) -> None:
    # white on black, to be seen on every colour of the map
    for edge, thickness in (("black", 2.4), ("white", 1.2)):
        axis.add_patch(
            Rectangle(
                (x - 0.45, y - 0.42), 0.9, 0.84, fill=False, edgecolor=edge, linewidth=thickness
            )
        )


def _lost(drawn: pd.DataFrame) -> str:
    """Say how many networks have no score and how that is drawn, as far as it occurs."""
    counts = drawn[LOST].sum()
    if not counts.any():
        return ""
    listed = joined([f"{count:,} {status}" for status, count in counts.items() if count])
    empty = drawn["networks"] == 0
    black = empty & drawn[["diverged", "failed"]].any(axis=1)
    return (
        f", {listed}"
        + ("; ×n: n networks diverged" if counts["diverged"] else "")
        + ("; black: none of the condition is left" if black.any() else "")
        + ("; hatched: not run yet" if (empty & ~black).any() else "")
    )
