"""Unit fates: which units were born dead, which died, and which came back to life."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from analysis import layout, style
from analysis.aggregates import grouped
from analysis.figures.base import (
    Drawing,
    FigureFunction,
    NotApplicable,
    condition_grid,
    needs,
    networks,
    trained,
)
from analysis.figures.by_step import annotate
from analysis.frames import Study, Variant
from analysis.score import best_rates

TITLE = "Are units born dead, do they die, do they come back?"

FATES = {
    "born_dead": "dead since the start",
    "died": "alive once, now dead",
    "revived": "dead once, now alive",
    "alive": "never seen dead",
}
"""What a unit has been at the probe steps so far, from the bottom of a panel upwards."""

# of the map of dead units: dark is dead
_COLOURS = dict(zip(FATES, ("#1B1044", "#B5367A", "#FEC98D", "#F1F1EE"), strict=True))

COLUMNS = ["dead_units", "born_dead_units", "revived_units"]

AXES = ["activation", "init", "depth", "lr", "step"]


def table(study: Study, where: str) -> pd.DataFrame:
    """Return the share of hidden units of each fate, by condition and step.

    Args:
        study: an opened study.
        where: an SQL condition on ``networks``.

    Returns:
        `AXES`, the shares `FATES` (means over networks in which z is a number, of all hidden units
        of a network), ``networks`` and ``undefined`` (networks in which z is not, in some layer).
    """
    rows = study.rows(where, COLUMNS, "layer < depth")
    keys = ", ".join([*AXES, "cell"])
    # where one layer is no number, neither is the sum
    sums = ", ".join(
        f"CASE WHEN count({name}) = count(*) THEN sum({name}) END AS {short}"
        for name, short in zip(COLUMNS, ("dead", "born", "revived"), strict=True)
    )
    networks = f"SELECT {keys}, sum(units) AS units, {sums} FROM ({rows}) GROUP BY {keys}"
    found = {
        "born_dead": "avg(born / units)",
        "died": "avg((dead - born) / units)",
        "revived": "avg(revived / units)",
        "alive": "avg((units - dead - revived) / units)",
        "networks": "count(dead + born + revived)",
        "undefined": "count(*) - count(dead + born + revived)",
    }
    return grouped(study, networks, AXES, found)


@FigureFunction
def unit_fates(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the fates of units as stacked shares against the step, each condition at its best rate.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with a hidden layer was trained, none is finished, or no unit is
            dead.
    """
    variant = trained(study, variant)
    needs(study, COLUMNS, "which units were born dead")
    cells = best_rates(variant.cells)
    cells = cells[cells["depth"] >= 2]
    everything = table(study, f"{variant.where} AND best")
    touched = everything[everything["alive"] < 1]
    if touched.empty:
        raise NotApplicable("no unit of any network is dead at any probe step")
    depth = int(touched["depth"].max())
    drawn = everything[everything["depth"] == depth]
    touched = touched[touched["depth"] == depth]
    with style.house_style():
        grid = condition_grid(touched, (2.4, 1.2), gap=0.3, pad=16)
        figure, axes = grid.figure, grid.axes
        for _, axis, part in grid.panels(drawn):
            _panel(axis, part)
        layout.step_ticks(axes[0, 0], int(drawn["step"].max()), margin=0.0)
        axes[0, 0].set_ylim(0, 1)
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        for axis in axes[-1]:
            axis.set_xlabel("step")
        layout.legend_above(
            figure,
            [
                Patch(facecolor=_COLOURS[fate], edgecolor="#999999", linewidth=0.5, label=name)
                for fate, name in FATES.items()
            ],
            f"upwards: share of the hidden units, depth {depth}",
        )
    count = cells.loc[
        (cells["depth"] == depth)
        & cells["activation"].isin(grid.activations)
        & cells["init"].isin(grid.inits),
        "cell",
    ].nunique()
    return Drawing(
        TITLE,
        f"What became of the hidden units, all layers together, by step (0, and logarithmic from 1 on), "
        f"at the greatest depth at which units are dead ({depth}), each condition at its best learning "
        f"rate by validation: mean share over seeds ({networks(count)}). A unit is dead where its slope is "
        "exactly 0 on every sample of the probe set; only probe steps are seen, not what is between "
        "them. "
        + ("Grey: z is not a number. " if drawn["networks"].eq(0).any() else "")
        + "The dark part falls where units that were born dead come to life, and the part above it "
        "grows where training itself kills them. Other depths stand in the table.",
        "Stacked areas of the share of units born dead, died, revived and alive against the step.",
        figure,
        everything,
    )


def _panel(axis: Axes, part: pd.DataFrame) -> None:
    if part.empty:
        layout.not_run(axis)
        return
    axis.set_autoscale_on(False)
    axis.grid(False)
    axis.set_facecolor("#C8C8C8")
    known = part[part["networks"] > 0]
    places = layout.step_places(known["step"])
    shares = [known[fate].to_numpy(dtype=float) for fate in FATES]
    if len(known) == 1:  # an area has no width there
        places = places + np.array([-0.1, 0.1])
        shares = [share.repeat(2) for share in shares]
    axis.stackplot(places, *shares, colors=list(_COLOURS.values()), linewidth=0)
    annotate(axis, f"rate {part['lr'].iloc[0]:g}")
