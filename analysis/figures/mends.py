"""What mended each label in the study itself: test scores before and after one setting was changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import layout
from analysis import style as house
from analysis.diagnosis import LABELS
from analysis.diagnosis.mends import mends as table
from analysis.diagnosis.mends import written
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, trained
from analysis.figures.pathology_map import COLOURS
from analysis.frames import Study, Variant
from analysis.score import linear_score, score_of

TITLE = "What mended what was wrong?"


@FigureFunction
def mends(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw for every label that occurs which change of one setting took it away and what it gained.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network was trained, or no change of one setting mends a label.
    """
    variant = trained(study, variant)
    drawn = table(study, variant)
    if drawn.empty:
        raise NotApplicable("no condition with a label has a healthy one beside it")
    study.rows(
        variant.where, ["signal_grad_rms", "dead_units", "saturated_share", "twin_units"], "true"
    )
    score, linear = score_of(variant.cells), linear_score(variant.cells)
    labels = [label for label in LABELS if (drawn["label"] == label).any()]
    with house.house_style():
        figure, axes = layout.panel_grid(
            [""], [""], (5.2, 0.19 * len(drawn) + 0.28 * len(labels)), left=2.1, bottom=0.5
        )
        axis: Axes = axes[0, 0]
        heights = _rows(axis, drawn, labels)
        axis.axvline(score.chance, color="#777777", linewidth=0.9, linestyle=":")
        if np.isfinite(linear):
            axis.axvline(linear, color="#777777", linewidth=0.9, linestyle="--")
        axis.set_ylim(max(heights) + 0.7, -0.9)
        axis.set_yticks(heights, labels=[written(row) for _, row in drawn.iterrows()])
        axis.grid(False, axis="y")
        axis.margins(x=0.14)
        axis.xaxis.set_major_formatter(score.ticks)
        axis.set_xlabel(f"test {score.name}")
        look: dict[str, Any] = {"color": "black", "linestyle": "none", "marker": "o"}
        handles = [
            Line2D([], [], markerfacecolor="white", label="with the label", **look),
            Line2D([], [], label="with this one setting changed", **look),
            Line2D([], [], color="#777777", linestyle=":", label="chance"),
        ]
        if np.isfinite(linear):
            handles.append(Line2D([], [], color="#777777", linestyle="--", label="linear model"))
        layout.legend_above(
            figure, handles, "beside a row: in how many of the conditions that could be changed so no "
            "label was left",
        )  # fmt: skip
    return Drawing(
        TITLE,
        _caption(drawn, labels),
        "Dumbbell chart of test scores before and after one setting was changed, by label.",
        figure,
        drawn,
    )


def _caption(drawn: pd.DataFrame, labels: list[str]) -> str:
    said = []
    for label in labels:
        row = drawn[drawn["label"] == label].iloc[0]
        start = ", ".join(
            [
                row["from_activation"],
                row["from_init"],
                f"depth {row['from_depth']}",
                f"rate {row['from_lr']:g}",
            ]
        )
        said.append(
            f"{label}: {LABELS[label].meaning}; usually mended by {LABELS[label].mend}; here most often by "
            f"{written(row)}, as of {start}"
        )
    return (
        "Conditions in which at least half of the networks have a label, beside those that differ from them "
        "in one setting alone (depth only lowered). A row is the change of its kind that leaves most of them "
        "without any label in any seed; its marks are the mean test scores of the mended conditions before "
        "and after. A label can go and little be gained: that a network is well does not say that it suits "
        f"its task. {'. '.join(said)}."
    )


def _rows(axis: Axes, drawn: pd.DataFrame, labels: list[str]) -> list[float]:
    """Draw the dumbbells under the names of their labels and return their heights."""
    heights: list[float] = []
    height = -1.0
    for label in labels:
        part = drawn[drawn["label"] == label]
        height += 1.5
        axis.annotate(
            label, (0, height - 0.75), xycoords=axis.get_yaxis_transform(), xytext=(-2.0 * 72, 0),
            textcoords="offset points", ha="left", va="center", color=COLOURS[label],
            fontweight="bold", annotation_clip=False,
        )  # fmt: skip
        for _, row in part.iterrows():
            ends = [row["before"], row["after"]]
            axis.plot(ends, [height, height], color=COLOURS[label], linewidth=1.6)
            axis.plot(
                ends[0], height, "o", color=COLOURS[label], markerfacecolor="white", markersize=5
            )
            axis.plot(ends[1], height, "o", color=COLOURS[label], markersize=5)
            axis.annotate(
                f"{row['mended']} of {row['conditions']}", (max(ends), height), xytext=(7, 0),
                textcoords="offset points", ha="left", va="center", fontsize=7.5,
            )  # fmt: skip
            heights.append(height)
            height += 1.0
        height -= 0.8
    return heights
