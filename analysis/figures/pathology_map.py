"""What is wrong with every condition: its gravest label by depth and initializer, a panel an activation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch, Rectangle

from analysis import layout, style
from analysis.diagnosis import LABELS, diagnose
from analysis.diagnosis.labels import HEALTHY
from analysis.figures.base import (
    Drawing,
    FigureFunction,
    NotApplicable,
    networks,
    started,
    trained,
)
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.score import best_rates

AXES = ["activation", "init", "depth"]

COLOURS = {
    "diverged": "#333333",
    "exploding": "#B2182B",
    "vanishing": "#2166AC",
    "underflow": "#35978F",
    "symmetric": "#762A83",
    "dead": "#8C510A",
    "saturated": "#E08214",
    "stalled": "#B8A500",
    HEALTHY: "#CFE8CC",
}

PALEST = 0.25
"""Of a label's colour where one seed of many has it."""

COLUMNS = 4


def table(study: Study, cells: pd.DataFrame, where: str, start: bool) -> pd.DataFrame:
    """Return the labels of every condition.

    Args:
        study: an opened study.
        cells: the networks that are judged, rows of `Study.cells`.
        where: an SQL condition that these fulfil, and maybe others.
        start: whether only what is wrong at the start counts.

    Returns:
        A row a condition and label, ``healthy`` among them: ``activation, init, depth, label, seeds``
        (networks that have it), ``networks`` (finished ones) and ``shown`` (whether it is the condition's
        colour: the label that most seeds have, of several the gravest).
    """
    finished = cells[cells["status"].isin(["ok", "diverged"])]
    found = diagnose(study, where)
    if start:
        found = found[found["since"] == 0]
    both = finished[["cell", *AXES]].merge(found[["cell", "label"]], on="cell", how="left")
    both["label"] = both["label"].fillna(HEALTHY)
    counts = both.groupby([*AXES, "label"], as_index=False).agg(seeds=("cell", "nunique"))
    totals = finished.groupby(AXES, as_index=False).agg(networks=("cell", "nunique"))
    counts = counts.merge(totals, on=AXES)
    places = {label: place for place, label in enumerate([*LABELS, HEALTHY])}
    counts = counts.assign(place=counts["label"].map(places)).sort_values([*AXES, "place"])
    most = counts.sort_values(["seeds", "place"], ascending=[False, True], kind="stable")
    shown = most.drop_duplicates(AXES).index
    return (
        counts.drop(columns="place").assign(shown=counts.index.isin(shown)).reset_index(drop=True)
    )


@FigureFunction
def labels_at_start(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the gravest label of every condition before training, depth × initializer per activation.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no measured network has a hidden layer.
    """
    variant = started(study, variant)
    drawn = table(study, variant.cells, variant.where, start=True)
    return _drawing(drawn, "What is wrong with each start?", "before training")


@FigureFunction
def labels_in_training(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the gravest label of every condition at its best rate, depth × initializer per activation.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network was trained.
    """
    variant = trained(study, variant)
    cells = best_rates(variant.cells)
    cells = cells[cells["depth"] >= 2]
    if cells.empty:
        raise NotApplicable("none of the trained networks has a hidden layer")
    drawn = table(study, cells, f"{variant.where} AND best", start=False)
    return _drawing(
        drawn,
        "What is wrong with each condition, trained at its best rate?",
        "at any probe step from the start to the end of training, each condition at its best rate",
    )


def _drawing(drawn: pd.DataFrame, title: str, when: str) -> Drawing:
    if drawn.empty:
        raise NotApplicable("no network is finished yet")
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    depths = sorted(int(depth) for depth in drawn["depth"].unique())
    columns = min(COLUMNS, len(activations))
    rows = -(-len(activations) // columns)
    colours = style.colours(activations)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""] * rows,
            [""] * columns,
            (max(1.5, 0.4 * len(depths)), max(0.8, 0.3 * len(inits))),
            left=0.3 + 0.08 * max(len(init) for init in inits), gap=0.3, pad=2.0,
        )  # fmt: skip
        for axis in axes.ravel()[len(activations) :]:
            axis.remove()
        for activation, axis in zip(activations, axes.ravel(), strict=False):
            axis.set_title(activation, color=colours[activation])
            _panel(axis, drawn[drawn["activation"] == activation], inits, depths)
        for axis in axes.ravel()[: len(activations)][-columns:]:
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("depth")
        occurring = [label for label in COLOURS if (drawn["label"] == label)[drawn["shown"]].any()]
        handles = [Patch(facecolor=COLOURS[label], label=label) for label in occurring]
        layout.legend_above(
            figure, handles, "paler: fewer of the seeds; a number: how many of them"
        )
    worst = [
        f"{label}: {LABELS[label].meaning}; what usually mends it: {LABELS[label].mend}"
        for label in occurring
        if label != HEALTHY
    ]
    total = drawn.drop_duplicates(AXES)["networks"].sum()
    return Drawing(
        title,
        f"The label that most seeds of a condition have, of several the gravest, {when} "
        f"({networks(int(total))}). Where not all seeds have it, a number says how many do. Thresholds "
        "follow depth and width; how often the labels are right is printed in the README. "
        + ". ".join(worst)
        + ("." if worst else ""),
        "Maps of the gravest label by depth and initializer, one for each activation.",
        figure,
        drawn,
    )


def _panel(axis: Axes, part: pd.DataFrame, inits: list[str], depths: list[int]) -> None:
    axis.grid(False)
    axis.set_facecolor(style.MISSING_FACE)
    axis.patch.set_hatch(style.MISSING_HATCH)
    axis.patch.set_edgecolor("#BBBBBB")
    axis.set_xticks(range(len(depths)), labels=[str(depth) for depth in depths])
    axis.set_yticks(range(len(inits)), labels=inits)
    axis.set_xlim(-0.5, len(depths) - 0.5)
    axis.set_ylim(len(inits) - 0.5, -0.5)
    for _, row in part[part["shown"]].iterrows():
        x, y = depths.index(row["depth"]), inits.index(row["init"])
        share = row["seeds"] / row["networks"]
        strength = PALEST + (1 - PALEST) * share
        face = 1 - strength * (1 - np.array(to_rgb(COLOURS[row["label"]])))
        axis.add_patch(
            Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor="white", linewidth=0.8)
        )
        if share < 1:
            bright = np.dot(face, (0.3, 0.59, 0.11)) > 0.5
            axis.text(
                x, y, f"{row['seeds']}/{row['networks']}", ha="center", va="center", fontsize=7,
                color="black" if bright else "white",
            )  # fmt: skip
