"""What mended each label in a study: conditions that have it beside those one setting away."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnosis.labels import LABELS
from analysis.diagnosis.rules import diagnose
from analysis.frames import Study, Variant
from analysis.score import MEASURED, score_of

AXES = ["activation", "init", "depth", "lr"]

NAMES = {"activation": "activation", "init": "init", "depth": "depth", "lr": "optim.lr"}
"""How each axis is written in a command."""

COLUMNS = [
    "label", "change", "to", "conditions", "mended", "before", "after",
    *(f"from_{axis}" for axis in AXES),
]  # fmt: skip


Outcome = tuple[bool, float, float, tuple[Any, ...]]
"""Of a changed condition: whether no label is left, the scores before and after, and the condition."""


def mends(study: Study, variant: Variant | None) -> pd.DataFrame:
    """Return for every label which change of one setting takes all labels away.

    A condition has a label if at least half of its networks do; it is mended by a change if no network of the
    condition that differs from it in that setting alone has any label, and all of them are finished. Depth is
    only lowered.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; None for a study without one.

    Returns:
        A row a label and change, of each kind of change the one that mends the largest share: ``label,
        change`` (one of the axes), ``to`` (its value as typed), ``conditions`` (with the label and such a
        neighbour), ``mended``, the mean test scores ``before`` and ``after`` over the mended ones, and
        ``from_activation, from_init, from_depth, from_lr``: the mended condition that gained most. Changes
        that mend nothing are left out.
    """
    if variant is None:
        return pd.DataFrame(columns=COLUMNS)
    cells = variant.cells[variant.cells["depth"] >= 2]
    whole = cells.groupby(AXES)["status"].agg(lambda given: given.isin(MEASURED).all())
    cells = cells[cells["status"].isin(MEASURED)]
    found = diagnose(study, variant.where)
    labels = found.groupby("cell")["label"].agg(set)
    score = score_of(variant.cells)
    conditions = {}
    for key, part in cells.groupby(AXES, sort=True):
        given = [labels.get(cell, set()) for cell in part["cell"]]
        counts = {label: sum(label in one for one in given) for label in LABELS}
        # a network whose loss is no number guesses
        reached = part[score.test].where(part["status"] == "ok", score.chance).mean()
        conditions[key] = (
            {label for label, count in counts.items() if 2 * count >= len(part)},
            not any(given) and bool(whole[key]),
            float(reached),
        )
    tried: dict[tuple[str, str, object], list[Outcome]] = defaultdict(list)
    values = {axis: sorted({key[place] for key in conditions}) for place, axis in enumerate(AXES)}
    for key, (ill, _, before) in conditions.items():
        for place, axis in enumerate(AXES) if ill else ():
            for value in values[axis]:
                lower = axis != "depth" or value < key[place]
                other = conditions.get((*key[:place], value, *key[place + 1 :]))
                if value == key[place] or other is None or not lower:
                    continue
                for label in ill:
                    tried[label, axis, value].append((other[1], before, other[2], key))
    rows = [_row(*change, outcomes) for change, outcomes in tried.items()]
    table = pd.DataFrame([row for row in rows if row], columns=COLUMNS)
    table["share"] = table["mended"] / table["conditions"]
    order = {label: place for place, label in enumerate(LABELS)}
    table["place"] = table["label"].map(order)
    best = table.sort_values(
        ["place", "share", "mended", "change", "to"],
        ascending=[True, False, False, True, True],
        kind="stable",
    ).drop_duplicates(["label", "change"])
    return best[COLUMNS].reset_index(drop=True)


def _row(label: str, axis: str, value: object, outcomes: list[Outcome]) -> tuple[Any, ...] | None:
    mended = [one for one in outcomes if one[0]]
    if not mended:
        return None
    before, after = (float(np.mean([one[place] for one in mended])) for place in (1, 2))
    most = max(mended, key=lambda one: one[2] - one[1])
    shown = f"{value:g}" if isinstance(value, int | float | np.number) else str(value)
    return label, axis, shown, len(outcomes), len(mended), before, after, *most[3]


def written(row: pd.Series) -> str:
    """Return a change as it is typed: ``"init=he_normal"``."""
    return f"{NAMES[row['change']]}={row['to']}"
