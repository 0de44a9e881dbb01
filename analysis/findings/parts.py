"""The parts of a study side by side: the best condition of each."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.findings.finding import Finding
from analysis.findings.training import best_condition, finished
from analysis.frames import Variant
from analysis.score import AXES, LOST, linear_score, score_named, score_of, table

COLUMNS = ["part", *AXES, "score", "validation", "mean", "low", "high", "networks", *LOST,
           "linear"]  # fmt: skip


def part_table(variants: Sequence[Variant]) -> pd.DataFrame:
    """Return the best condition of every trained part of a study that is above chance.

    Columns: ``part`` and those of `analysis.score.table`, with ``score``, what its numbers are
    (``accuracy`` or ``R²``), and ``linear``, the score of a linear model; NaN where no condition is
    above chance.
    """
    rows = []
    for variant in variants:
        deep = bool((variant.cells["depth"] >= 2).any())
        scores = table(variant.cells) if deep else None
        top = None if scores is None else best_condition(scores[scores["best"]])
        row = {} if top is None else top.to_dict()
        row |= {"part": variant.label, "score": score_of(variant.cells).name}
        rows.append(row | {"linear": linear_score(variant.cells)})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def parts_finding(parts: pd.DataFrame) -> list[Finding]:
    """Return one sentence on what is best in each part.

    Args:
        parts: as `part_table` returns it.
    """
    if len(parts) < 2:
        return []
    names = list(dict.fromkeys(parts["score"]))
    words = [f"{row['part']}: {_best_of(row)}" for _, row in parts.iterrows()]
    if len(names) == 1:
        opening = f"Best condition by validation {names[0]}, with its test {names[0]}"
    else:
        opening = (
            "Best condition by the validation split, with its score on the test split (accuracy in %, "
            "R² in regression; the two do not compare)"
        )
    return [Finding(f"{opening}: {'; '.join(words)}.", "variants")]


def _best_of(row: pd.Series) -> str:
    """Return the best condition of a part in words."""
    if pd.isna(row["mean"]):
        return "none above chance beyond doubt"
    score = score_named(row["score"])
    return (
        f"{row['activation']} with {row['init']} at depth {int(row['depth'])}, rate {row['lr']:g}, "
        f"{score.written(row['mean'])}{finished(row)}"
    )
