"""Coverage: which networks of the study there are, and what became of them."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from analysis import layout, style
from analysis.figures.base import Drawing, FigureFunction, condition_grid, networks
from analysis.frames import Study, Variant
from analysis.score import STATUSES

TITLE = "What was run, and what became of it?"

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


@FigureFunction
def coverage(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the number of networks by condition and status.

    Args:
        study: an opened study.
    """
    drawn = table(study)
    places = _places(drawn)
    with style.house_style():
        grid = condition_grid(
            drawn, (max(1.2, 0.3 * (len(places) + 0.5)), 0.62), left=0.2, gap=0.32
        )
        figure, axes = grid.figure, grid.axes
        for _, axis, part in grid.panels(drawn):
            _panel(axis, part, places)
        for init, axis in zip(grid.inits, axes[-1], strict=True):
            _name_columns(axis, drawn[drawn["init"] == init], places)
        layout.legend_above(
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
            "in a box: networks; below the boxes: depth",
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


def _places(drawn: pd.DataFrame) -> dict[tuple[str, int], float]:
    """Return where each part and depth stands, with a gap between the parts."""
    columns = list(drawn.groupby(["part", "depth"]).groups)
    first = columns[0][0]
    return {key: place + 0.5 * (key[0] != first) for place, key in enumerate(columns)}


def _name_columns(axis: Axes, drawn: pd.DataFrame, places: dict[tuple[str, int], float]) -> None:
    """Write depth and part below the columns of an initializer that hold networks."""

    def write(text: str, place: float, below: int) -> None:
        axis.annotate(
            text, (place, 0), xycoords=("data", "axes fraction"), xytext=(0, -below),
            textcoords="offset points", ha="center", va="top", fontsize=7,
        )  # fmt: skip

    for part, rows in drawn.groupby("part"):
        used = {depth: places[part, depth] for depth in rows["depth"].unique()}
        for depth, place in used.items():
            write(str(depth), place, 3)
        write(str(part), sum(used.values()) / len(used), 14)


def _panel(axis: Axes, part: pd.DataFrame, places: dict[tuple[str, int], float]) -> None:
    axis.grid(False)
    axis.set_xlim(-0.55, max(places.values()) + 0.55)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
    for row in part.to_dict("records"):
        place = places[row["part"], row["depth"]]
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
