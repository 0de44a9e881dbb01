"""Dead units: where and when units stop answering to every sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import layout, style
from analysis.aggregates import grouped
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, networks
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.words import joined, several, verb

TITLE = "Where and when do units die?"

MOST_ROWS = 12
"""Conditions drawn; those with fewer dead units stand in the table alone."""

AXES = ["activation", "init", "depth", "lr", "step", "layer"]


def table(study: Study, where: str) -> pd.DataFrame:
    """Return the share of dead units by condition, step and layer.

    Args:
        study: an opened study.
        where: an SQL condition on ``networks``.

    Returns:
        `AXES`, ``dead_share`` (mean over networks in which z is a number), ``networks`` and
        ``undefined`` (networks in which it is not).
    """
    found = {
        "dead_share": "avg(dead_units / units)",
        "networks": "count(dead_units)",
        "undefined": "count(*) - count(dead_units)",
    }
    return grouped(study, study.rows(where, ["dead_units"], "layer < depth"), AXES, found)


@FigureFunction
def dead_units(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the share of dead units over layer and step, each condition at its best rate.

    Args:
        study: an opened study.
        variant: one of ``study.trained`` (or of ``study.starts`` where nothing was trained);
            default the first.

    Raises:
        NotApplicable: no network has hidden layers, or no unit is dead.
    """
    variant = variant or next(iter(study.trained or study.starts), None)
    if variant is None:
        raise NotApplicable("no measured network has a hidden layer")
    where = f"{variant.where} AND best" if study.trained else variant.where
    everything = table(study, where)
    if not everything["dead_share"].gt(0).any():
        raise NotApplicable("no unit of any network is dead at any probe step")
    worst = everything.groupby(["activation", "init"])["dead_share"].max()
    worst = worst[worst > 0].sort_values(ascending=False, kind="stable")
    shown = set(worst.index[:MOST_ROWS])
    rows = [
        (activation, init)
        for activation in in_order(everything["activation"], style.ACTIVATIONS)
        for init in in_order(everything["init"], style.INITIALIZERS)
        if (activation, init) in shown
    ]
    keys = zip(everything["activation"], everything["init"], strict=True)
    drawn = everything[[key in shown for key in keys]]
    highest = drawn.groupby("depth")["dead_share"].max()
    depths = sorted(highest.index[highest > 0])
    with style.house_style():
        figure, axes = layout.panel_grid(
            [f"{activation} ({init})" for activation, init in rows],
            [f"depth {depth}" for depth in depths],
            (2.2, 1.25),
            sharex=False,
            sharey=False,
            gap=0.32,
            pad=16,
        )
        for index, ((activation, init), line) in enumerate(zip(rows, axes, strict=True)):
            of_row = drawn[(drawn["activation"] == activation) & (drawn["init"] == init)]
            for depth, axis in zip(depths, line, strict=True):
                _panel(axis, of_row[of_row["depth"] == depth], last=index == len(rows) - 1)
        for axis in axes[:, 0]:
            axis.set_ylabel("layer", labelpad=4)
        for axis in axes[-1]:
            axis.set_xlabel("step")
        layout.bar_above(
            figure,
            style.matplotlib.cm.ScalarMappable(style.matplotlib.colors.Normalize(0, 1), _map()),
            "dead units of the layer",
            format=style.percent(),
        )
    left_out = len(worst) - len(rows)
    healthy = in_order(
        set(everything["activation"]) - {activation for activation, _ in worst.index},
        style.ACTIVATIONS,
    )
    alive = [str(depth) for depth in sorted(highest.index) if depth not in depths]
    return Drawing(
        TITLE,
        "Share of units whose slope is exactly 0 on every sample of the probe set, by layer (upwards "
        "from the input) and step, mean over seeds, each condition at its best learning rate by "
        f"validation ({networks(study.count(f'{where} AND depth >= 2'))}; rate in each panel). "
        + (
            f"Of these networks, no unit of {joined(healthy)} is dead at any probe step. "
            if healthy
            else ""
        )
        + (f"Not drawn, since no unit dies there: depth {joined(alive)}. " if alive else "")
        + (
            f"{several(left_out, 'more condition')} with fewer dead units "
            f"{verb(left_out, 'stands', 'stand')} in the table. "
            if left_out
            else ""
        )
        + "Grey: z is not a number. Units that are dead at step 0 were born dead; look for columns "
        "that darken as training goes on.",
        "Heat maps of the share of dead units, layer against step, for conditions in which units die.",
        figure,
        everything,
    )


def _map() -> style.Colormap:
    return style.matplotlib.colormaps["magma_r"]


def _panel(axis: Axes, part: pd.DataFrame, last: bool) -> None:
    if part.empty:
        layout.not_run(axis)
        axis.set_xticks([])
        axis.set_yticks([])
        return
    grid = part.pivot(index="layer", columns="step", values="dead_share")
    steps, layers = list(grid.columns), list(grid.index)
    axis.set_facecolor("#C8C8C8")
    axis.grid(False)
    # as an image, since thousands of quadrilaterals would make a drawing of megabytes
    axis.imshow(
        np.ma.masked_invalid(grid.to_numpy(dtype=float)),
        cmap=_map(), vmin=0, vmax=1, origin="lower", aspect="auto", interpolation="nearest",
        extent=(-0.5, len(steps) - 0.5, 0.5, len(layers) + 0.5),
    )  # fmt: skip
    named = named_steps(steps, axis.get_window_extent().width / axis.figure.dpi)
    axis.set_xticks(named, labels=[f"{steps[index]:g}" for index in named] if last else [])
    axis.set_yticks(sorted({1, (len(layers) + 1) // 2, len(layers)}))
    axis.set_ylim(0.5, len(layers) + 0.5)
    if len(steps) > 1:
        peak = part.groupby("step")["dead_share"].mean()
        text = f"rate {part['lr'].iloc[0]:g} · {_percent(peak.iloc[0])} → {_percent(peak.iloc[-1])}"
        axis.annotate(
            text, (1, 1), xycoords="axes fraction", xytext=(0, 1.5), textcoords="offset points",
            ha="right", va="bottom", fontsize=7, color="#333333",
        )  # fmt: skip


def _percent(share: float) -> str:
    return f"{share:.0%}" if np.isfinite(share) else "no number"


def named_steps(steps: list[int], width: float) -> list[int]:
    """Return the places of the steps that get a label: 0, the last, and what is nearest to 1, 10, 100 …

    Args:
        steps: probe steps in order.
        width: of the axis in inches.
    """
    last = len(steps) - 1
    chosen = [0, last] if last else [0]
    powers = [10**power for power in range(len(str(steps[-1])))]
    for wanted in powers:
        place = min(range(len(steps)), key=lambda index: abs(steps[index] - wanted))
        # digits of 8 points side by side, and a space
        room = {
            other: 0.035 * (len(str(steps[other])) + len(str(steps[place]))) + 0.03
            for other in chosen
        }
        if all(abs(place - other) * width / len(steps) >= room[other] for other in chosen):
            chosen.append(place)
    return sorted(chosen)
