"""What a claim takes of a network's layers and of its way through training."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import Study
from analysis.ledger.claim import NoEvidence
from analysis.ledger.select import layers, tuned, where

SPAN = 20
"""Updates over which a batch loss is averaged: of one batch alone it is noise."""

TARGETS = (2.2, 2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4)
"""Losses in nats that networks are timed to; ten classes at random cost 2.3."""

ENOUGH = 0.75
"""Share of the networks compared that must reach a target: of two sides at least half of the slower one."""

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Those of the experiments about training: others try further ones for some of the same conditions."""

TRAINED: dict[str, Any] = {
    "steps": 200, "probe__steps": 8, "probe__samples": 256, "optim__lr": RATES,
}  # fmt: skip
"""Settings of the experiments about training: others with as many updates are probed otherwise, and the same
network must not be counted twice."""

WIDENED = (
    "The list of rates ended at 1, and 26 of the 48 conditions of ledger_training chose that, so that it was "
    "not known whether they were at their best; 3 was added for every side of a comparison alike, after the "
    "results of the shorter list had been seen and before any at 3 was."
)
"""Why rules that name the rates of the experiments about training were amended."""

LISTED = (
    "The list of rates was 0.01, 0.03, 0.1, 0.3 and 1 when the rule was fixed; 3 was added for all sides "
    "alike, after the results of these had been seen, as more than half of the conditions chose 1."
)
"""The same for rules that do not name them."""

ON_ALL_SAMPLES = "settings->>'$.probe.samples' = settings->>'$.data.train_size'"
"""In SQL: the probe set is the whole training set."""


def hidden(study: Study, found: pd.DataFrame, columns: str, rows: str = "step = 0") -> pd.DataFrame:
    """Return rows of the hidden layers of networks, as `layers` does, with ``depth`` and ``seed``.

    Args:
        study: an opened study.
        found: networks.
        columns: of ``layers``, in SQL.
        rows: a condition in SQL.
    """
    every = layers(study, found["cell"], columns, rows)
    every = every.merge(found[["cell", "depth", "seed"]], on="cell")
    return every[every["layer"] < every["depth"]]


def average(found: pd.DataFrame, rows: pd.DataFrame, column: str) -> list[float]:
    """Return the mean of a column of layers for every network, in their order; NaN where there is none."""
    means = rows.assign(value=rows[column].astype(float)).groupby("cell")["value"].mean()
    return [float(means.get(cell, math.nan)) for cell in found["cell"]]


def losses(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return the batch losses of networks, each the mean over `SPAN` successive updates.

    Returns:
        ``cell``, ``step`` (the middle of the updates) and ``loss``.
    """
    query = (
        "SELECT cell, step, batch_loss\nFROM curves\n"
        "WHERE batch_loss IS NOT NULL AND cell IN (SELECT unnest(?))\nORDER BY cell, step"
    )
    study.asked.append(query.replace("(SELECT unnest(?))", "(… the networks above …)"))
    curves = study.execute(query, [list(found["cell"])]).df()
    rolling = curves.groupby("cell")[["step", "batch_loss"]].rolling(SPAN).mean()
    smooth = rolling.reset_index(level=0).rename(columns={"batch_loss": "loss"})
    return smooth.dropna(subset=["step"]).reset_index(drop=True)


def arrivals(found: pd.DataFrame, smooth: pd.DataFrame) -> pd.DataFrame:
    """Return networks with the updates that each took to `TARGETS`, one column a target.

    Infinite where a network never got there, and wherever it diverged in the end.

    Args:
        found: networks.
        smooth: their `losses`.
    """
    lost = set(found.loc[found["status"] == "diverged", "cell"])
    times = {}
    for target in TARGETS:
        there = smooth[smooth["loss"] <= target].groupby("cell")["step"].min()
        times[target] = [
            math.inf if cell in lost else float(there.get(cell, math.inf)) for cell in found["cell"]
        ]
    return found.assign(**{f"to_{target}": values for target, values in times.items()})


def common_target(timed: pd.DataFrame) -> float:
    """Return the lowest target that `ENOUGH` of some networks reach; the highest where they reach none."""
    reached = [target for target in TARGETS if np.isfinite(timed[f"to_{target}"]).mean() >= ENOUGH]
    return min(reached, default=TARGETS[0])


def span(low: str, high: str) -> str:
    """Return ``"2 to 3"``, or one of both where they are the same."""
    return low if low == high else f"{low} to {high}"


def only(found: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """Return the networks with these values of columns.

    Raises:
        NoEvidence: there is none.
    """
    chosen = found
    for column, value in values.items():
        chosen = chosen[chosen[column] == value]
    if chosen.empty:
        words = ", ".join(f"{column}={value}" for column, value in values.items())
        raise NoEvidence(f"the study holds no network with {words}")
    return chosen


def reference(study: Study, data: str, found: pd.DataFrame) -> dict[str, float]:
    """Return levels that accuracies are compared with: chance, and a linear model where it was trained.

    Args:
        study: an opened study.
        data: name of the data set.
        found: the networks whose accuracy it is, all of one data set.
    """
    levels = {"chance": float(found["chance"].iloc[0])}
    with contextlib.suppress(NoEvidence):
        linear = tuned(
            study,
            where(activation="identity", depth=1, init="xavier_normal", data=data, **TRAINED),
        )
        levels["linear model"] = float(linear["score"].mean())
    return levels
