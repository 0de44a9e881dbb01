"""The parts of a study side by side: the best condition of each."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import accuracy
from analysis.findings.finding import Finding
from analysis.findings.training import best_condition, finished
from analysis.frames import Variant

COLUMNS = ["part", *accuracy.AXES, "validation", "mean", "low", "high", "networks", *accuracy.LOST,
           "linear"]  # fmt: skip


def part_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Return the best condition of every trained part of a study that is above chance.

    Columns: ``part`` and those of `analysis.accuracy.table`, with ``linear``, the accuracy of a
    linear model; NaN where no condition is above chance.
    """
    rows = []
    for variant in variants:
        deep = bool((variant.cells["depth"] >= 2).any())
        table = accuracy.table(variant.cells) if deep else None
        top = None if table is None else best_condition(table[table["best"]])
        row = {} if top is None else top.to_dict()
        linear = accuracy.linear_accuracy(variant.cells)
        rows.append(row | {"part": variant.label, "linear": linear})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def parts_finding(table: pd.DataFrame) -> list[Finding]:
    """Return one sentence on what is best in each part.

    Args:
        table: as `part_table` returns it.
    """
    if len(table) < 2:
        return []
    words = [
        f"{row['part']}: "
        + (
            "none above chance beyond doubt"
            if pd.isna(row["mean"])
            else f"{row['activation']} with {row['init']} at depth {int(row['depth'])}, rate "
            f"{row['lr']:g}, {row['mean']:.1%}{finished(row)}"
        )
        for _, row in table.iterrows()
    ]
    text = f"Best condition by validation accuracy, with its test accuracy: {'; '.join(words)}."
    return [Finding(text, "variants")]
