"""Labels condition by condition: how many seeds have which, and the evidence of the gravest."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.diagnosis.labels import LABELS
from analysis.diagnosis.rules import THRESHOLDS, Thresholds, diagnose
from analysis.frames import Study
from analysis.labels import in_order
from analysis.style import ACTIVATIONS, INITIALIZERS

AXES = ["variant", "activation", "init", "depth", "rate"]

WORST = ["when", "since", "step", "layer", "evidence"]
"""What is told of the network in which a label is worst."""

COLUMNS = [*AXES, "networks", "label", "seeds", *WORST]


def by_condition(study: Study, thresholds: Thresholds = THRESHOLDS) -> pd.DataFrame:
    """Return the labels of every condition, networks that were only measured at the start by themselves.

    Returns:
        A row a condition and label, and one of label ``"healthy"`` where some networks have none: ``variant``
        (the settings that set a part of the study apart), ``activation, init, depth, rate`` (NaN where
        nothing was trained), ``networks`` (finished ones of the condition), ``label``, ``seeds`` (networks
        that have it) and `WORST`, of the network in which it is worst by what was measured; ordered as the
        report orders them.
    """
    finished = study.cells[study.cells["status"].isin(["ok", "diverged"])]
    parts = []
    for trained in (False, True):
        cells = finished[(finished["steps"] > 0) == trained]
        # a network counts once, however often it was measured
        if trained:
            once = {cell for variant in study.trained for cell in variant.cells["cell"]}
            cells = cells[cells["cell"].isin(once)]
        else:
            cells = cells.drop_duplicates(study.start_keys())
        cells = cells.assign(rate=cells["lr"] if trained else np.nan)
        compared = ">" if trained else "="
        found = diagnose(study, f"networks.steps {compared} 0", thresholds)
        for variant in study.variants(cells, optimizer=trained) if len(cells) else []:
            parts.append(_counted(variant.cells, found, variant.label))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    places = {
        "activation": {a: p for p, a in enumerate(in_order(table["activation"], ACTIVATIONS))},
        "init": {i: p for p, i in enumerate(in_order(table["init"], INITIALIZERS))},
        "label": {label: p for p, label in enumerate([*LABELS, "healthy"])},
    }
    keys = [
        table[key].map(places[key]) if key in places else table[key] for key in (*AXES, "label")
    ]
    order = pd.concat(keys, axis=1).sort_values([*AXES, "label"], na_position="first").index
    return table.loc[order].reset_index(drop=True)


def _counted(cells: pd.DataFrame, found: pd.DataFrame, variant: str) -> pd.DataFrame:
    cells = cells.assign(variant=variant)[["cell", *AXES]]
    totals = cells.groupby(AXES, dropna=False)["cell"].agg(networks="nunique").reset_index()
    both = cells.merge(found, on="cell", how="left")
    both["label"] = both["label"].fillna("healthy")
    both["far"] = (both["value"] - both["bound"]).abs()
    # of those that diverged the first
    worst = both.sort_values(["far", "since"], ascending=[False, True], kind="stable")
    keys = [*AXES, "label"]
    seeds = both.groupby(keys, dropna=False)["cell"].agg(seeds="nunique").reset_index()
    # a row as it is: pandas' "first" would fill a gap from another network
    rows = seeds.merge(worst.drop_duplicates(keys)[[*keys, *WORST]], on=keys)
    return totals.merge(rows, on=AXES)
