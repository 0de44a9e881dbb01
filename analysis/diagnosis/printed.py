"""The labels of a study as text: a line a condition that has any."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.diagnosis.conditions import AXES
from analysis.diagnosis.labels import HEALTHY, LABELS
from analysis.diagnosis.mends import written
from analysis.words import several, verb


def printed(table: pd.DataFrame, mended: pd.DataFrame) -> Iterator[str]:
    """Yield the lines that `analysis.commands.diagnose` prints.

    Args:
        table: what `analysis.diagnosis.conditions.by_condition` returns.
        mended: what `analysis.diagnosis.mends.mends` returns of the study's largest part.
    """
    if table.empty:
        yield "No network is finished yet."
        return
    ill = table[table["label"] != HEALTHY]
    lines = [_line(key, part) for key, part in ill.groupby(AXES, dropna=False, sort=False)]
    heads = ("activation", "init", "depth", "rate", "label", "evidence of the first")
    widths = [max(len(line[place]) for line in [heads, *lines]) for place in range(len(heads) - 1)]
    variant = ""
    if lines:
        yield _joined(heads, widths)
    for (name, *_), line in zip(
        (key for key, _ in ill.groupby(AXES, dropna=False, sort=False)), lines, strict=True
    ):
        if name != variant:
            yield f"[{name}]"
            variant = name
        yield _joined(line, widths)
    conditions = table.drop_duplicates(AXES)
    well = len(conditions) - len(ill.drop_duplicates(AXES))
    whole = f"{several(well, 'condition')} of {len(conditions):,}"
    yield f"{whole} {verb(well, 'is', 'are')} healthy in every network."
    for label in LABELS.values():
        if (ill["label"] == label.name).any():
            here = mended[mended["label"] == label.name]
            seen = "; ".join(
                f"{written(row)} in {row['mended']} of {row['conditions']}"
                for _, row in here.iterrows()
            )
            seen = (
                f" What left no label here, of the conditions it could be tried on: {seen}."
                if seen
                else ""
            )
            yield f"{label.name}: {label.meaning}. Mend: {label.mend}.{seen}"


def _line(key: tuple, part: pd.DataFrame) -> tuple[str, ...]:  # type: ignore[type-arg]
    _, activation, init, depth, rate = key
    first = part.iloc[0]
    labels = ", ".join(
        f"{row.label} {row.seeds}/{row.networks}" for row in part.itertuples(index=False)
    )
    place = "" if pd.isna(first["layer"]) else f", layer {first['layer']:.0f}"
    evidence = f"{first['evidence']} ({time(first)}{place})"
    shown = "-" if pd.isna(rate) else f"{rate:g}"
    return activation, init, str(depth), shown, labels, evidence


def time(row: pd.Series) -> str:
    """Say when a label holds, from its row of `analysis.diagnosis.diagnose`."""
    since, step = f"{row['since']:,.0f}", f"{row['step']:,.0f}"
    if row["label"] == "diverged":  # and stays so: its ``step`` is not the end
        return f"from step {since} on"
    if row["when"] == "end" and since != step:
        return f"first at step {since}, and at the end, step {step}"
    if row["when"] == "between":
        return f"at step {since}" if since == step else f"first at step {since}, last at {step}"
    return {
        "start": "at the start",
        "both": "at the start and at the end",
        "end": f"at the end, step {step}",
    }[row["when"]]


def _joined(line: tuple[str, ...], widths: list[int]) -> str:
    columns = [text.ljust(width) for text, width in zip(line, widths, strict=False)]
    return "  ".join([*columns, line[-1]])
