"""Coverage: which networks of the study there are, and what became of them."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from analysis import style
from analysis.figures.base import Drawing, legend_above, networks
from analysis.frames import Study, in_order

TITLE = "What was run, and what became of it?"

STATUSES = ("ok", "diverged", "failed", "missing")

AXES = ["activation", "init", "part", "depth"]


def table(study: Study) -> pd.DataFrame:
    """Return how many networks are ok, diverged, failed and missing, by condition.

    Columns: ``activation, init``, ``part`` (``start``: steps = 0; ``training``), ``depth`` and a
    count for each status.
    """
    cells = study.cells.assign(
        part=study.cells["steps"].gt(0).map({True: "training", False: "start"})
    )
    for status in STATUSES:
        cells[status] = (cells["status"] == status).astype(int)
    return cells.groupby(AXES)[list(STATUSES)].sum().reset_index()


def coverage(study: Study) -> Drawing:
    """Draw the number of networks by condition and status.

    Args:
        study: an opened study.
    """
    drawn = table(study)
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    columns = list(drawn.groupby(["part", "depth"]).groups)
    with style.house_style():
        figure, axes = style.panel_grid(
            activations, inits, (max(1.2, 0.3 * len(columns)), 0.62),
            row_colours=style.colours(activations), bottom=0.75,
        )  # fmt: skip
        for activation, row in zip(activations, axes, strict=True):
            for init, axis in zip(inits, row, strict=True):
                part = drawn[(drawn["activation"] == activation) & (drawn["init"] == init)]
                _panel(axis, part, columns)
        for axis in axes[-1]:
            axis.set_xticks(
                range(len(columns)), labels=[f"{depth}" for _, depth in columns], fontsize=7
            )
            starts = [place for place, (part, _) in enumerate(columns) if part == "start"]
            for part, places in (
                ("start", starts),
                ("training", [p for p in range(len(columns)) if p not in starts]),
            ):
                if places:
                    axis.annotate(
                        f"depth, {part}", (sum(places) / len(places), 0),
                        xycoords=("data", "axes fraction"), xytext=(0, -24),
                        textcoords="offset points", ha="center", fontsize=8,
                    )  # fmt: skip
        legend_above(
            figure,
            [
                Patch(
                    facecolor=style.STATUS_COLOURS[status],
                    edgecolor="#999999",
                    label=status,
                    hatch=style.MISSING_HATCH if status == "missing" else None,
                )
                for status in STATUSES
            ],
        )
    counts = {status: int(drawn[status].sum()) for status in STATUSES}
    return Drawing(
        TITLE,
        f"Networks of each condition by what became of them, over seeds and, in training, learning "
        f"rates ({networks(sum(counts.values()))}: "
        + ", ".join(f"{count:,} {status}" for status, count in counts.items())
        + "). The number counts all of the condition's networks; a box is filled from below by status.",
        "Grid of boxes, a box a condition, filled by the share of networks with each status.",
        figure,
        drawn,
    )


def _panel(axis: Axes, part: pd.DataFrame, columns: list[tuple[str, int]]) -> None:
    axis.grid(False)
    axis.set_xlim(-0.5, len(columns) - 0.5)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    for row in part.to_dict("records"):
        place = columns.index((row["part"], row["depth"]))
        total = sum(row[status] for status in STATUSES)
        bottom = 0.0
        for status in reversed(STATUSES):
            share = row[status] / total
            if not share:
                continue
            axis.add_patch(
                Rectangle(
                    (place - 0.46, bottom),
                    0.92,
                    share,
                    facecolor=style.STATUS_COLOURS[status],
                    hatch=style.MISSING_HATCH if status == "missing" else None,
                    edgecolor="#999999",
                    linewidth=0.4,
                )
            )
            bottom += share
        axis.text(
            place, 0.5, str(total), ha="center", va="center", fontsize=7,
            color="white" if row["failed"] > total / 2 else "black",
        )  # fmt: skip
