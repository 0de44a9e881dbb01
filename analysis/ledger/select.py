"""The networks that a claim looks at, by their settings, and what is taken of each: one number a seed."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import Study
from analysis.ledger.claim import NoEvidence
from study.schema import FIRST_TUNING_SEED

USUAL: dict[str, Any] = {
    "width": 64,
    "bias": True,
    "batch_size": 128,
    "dtype": "float32",
    "norm": "none",
    "dropout": 0.0,
    "data.label_noise": 0.0,
    "optim.name": "sgd",
    "optim.weight_decay": 0.0,
    "optim.clip_norm": None,
    "optim.clip_value": None,
    "optim.clip_to_one": None,
}
"""Settings that a claim's networks have unless it asks for others; one that is absent is neutral."""

ABSENT = {"norm": "none", "dropout": 0.0}
"""What a setting that a network's settings do not name stands for; of all others, null."""

ORDINARY = ("torch_default", "xavier_normal", "he_normal", "orthogonal")
"""Initializers that a claim means where it speaks of networks as such."""


def where(**settings: Any) -> str:
    """Return an SQL condition on ``cells`` for these settings.

    Args:
        settings: by path, with ``__`` for the dot of a group's parameter (``optim__lr=0.1``); ``activation``,
            ``init``, ``data`` and ``optim`` stand for their names. A list allows several; None asks for null.
            What is not named is as in `USUAL`.
    """
    named = {}
    for key, value in settings.items():
        path = key.replace("__", ".")
        named[f"{path}.name" if path in ("activation", "init", "data", "optim") else path] = value
    return " AND ".join(_equals(path, value) for path, value in ({**USUAL, **named}).items())


def _equals(path: str, value: Any) -> str:
    text = f"settings->>'$.{path}'"
    if path in ABSENT:
        text = f"coalesce({text}, '{_written(ABSENT[path])}')"
    if value is None:
        return f"{text} IS NULL"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f"({' OR '.join(_equals(path, one) for one in value)})"
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return f"CAST({text} AS DOUBLE) = {value!r}"
    return f"{text} = '{_written(value)}'"


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def networks(
    study: Study, condition: str, more: Mapping[str, str] | None = None, tuning: bool = False
) -> pd.DataFrame:
    """Return the finished networks of a condition, one row each, in a fixed order.

    Args:
        study: an opened study.
        condition: on ``cells``, as `where` makes it.
        more: further columns: SQL by name; ``settings->>'$.optim.momentum'`` …
        tuning: whether the networks of tuning seeds are meant, or those of all others.

    Returns:
        ``cell, activation, init, depth, seed, lr, steps, status, task, classes``, ``score`` and
        ``validation`` (accuracy or R² on the test and validation split; a network that diverged has chance or
        0), ``gap`` (training less test score) and ``more``.

    Raises:
        NoEvidence: there is none.
    """
    extra = "".join(f", {sql} AS {name}" for name, sql in (more or {}).items())
    side = ">=" if tuning else "<"
    query = (
        "SELECT cell, activation, init, depth, seed, lr, steps, status, task, classes, "
        "coalesce(final_test_accuracy, final_test_r2) AS score, "
        "coalesce(final_validation_accuracy, final_validation_r2) AS validation, "
        "coalesce(final_train_accuracy, final_train_r2) AS training, final_train_loss, final_test_loss, "
        f"first_bad_step{extra}\nFROM cells\n"
        f"WHERE status IN ('ok', 'diverged') AND seed {side} {FIRST_TUNING_SEED} AND {condition}\n"
        "ORDER BY activation, init, depth, lr, seed, cell"
    )
    study.asked.append(query)
    found = study.execute(query).df()
    if found.empty:
        raise NoEvidence("the study holds none of its networks")
    lost = found["status"] == "diverged"
    guess = (1 / found["classes"]).where(found["task"] == "classification", 0.0)
    for column in ("score", "validation", "training"):
        found[column] = found[column].astype(float).mask(lost, guess)
    return found.assign(chance=guess, gap=found["training"] - found["score"])


CONDITION = ("activation", "init", "depth")


def whole(found: pd.DataFrame, **axes: Sequence[Any]) -> pd.DataFrame:
    """Return networks if there are some of every combination of these values of their columns.

    A rule speaks of all of them: what an interrupted run left out must not pass as not contradicting it.

    Raises:
        NoEvidence: a combination has no network.
    """
    known = set(found[list(axes)].itertuples(index=False, name=None))
    lacking = [values for values in itertools.product(*axes.values()) if values not in known]
    if lacking:
        first = ", ".join(f"{key}={one}" for key, one in zip(axes, lacking[0], strict=True))
        raise NoEvidence(f"the study lacks {len(lacking)} of its conditions, such as {first}")
    return found


def linear_level(study: Study, data: str, steps: int) -> float:
    """Return the mean test score of a linear model trained as long, at its best rate; NaN without one."""
    chosen = where(activation="identity", init="xavier_normal", depth=1, steps=steps, data=data)
    try:
        return float(tuned(study, chosen)["score"].mean())
    except NoEvidence:
        return math.nan


def tuned(
    study: Study,
    condition: str,
    more: Mapping[str, str] | None = None,
    by: Sequence[str] = CONDITION,
) -> pd.DataFrame:
    """Return the networks of a condition at each one's best rate, chosen by networks of tuning seeds.

    The rate with the best mean score on the validation split of the tuning seeds; of equal ones the smaller.

    Args:
        study: an opened study.
        condition: as for `networks`.
        more: likewise.
        by: columns that make a condition with a rate of its own.

    Returns:
        What `networks` does, ``rated`` (the condition that the rate was chosen for) and ``place`` (whether
        that rate is the ``largest`` or ``smallest`` of those tried for it, or ``between``).

    Raises:
        NoEvidence: there are none, or no tuning ones.
    """
    trials = networks(study, condition, more, tuning=True)
    means = trials.groupby([*by, "lr"], dropna=False)["validation"].mean().reset_index()
    best = means.sort_values(["validation", "lr"], ascending=[False, True]).drop_duplicates(
        list(by)
    )
    ends = means.groupby(list(by), dropna=False)["lr"].agg(smallest="min", largest="max")
    best = best.merge(ends.reset_index(), on=list(by))
    best["place"] = np.select(
        [best["lr"] == best["largest"], best["lr"] == best["smallest"]],
        ["largest", "smallest"],
        "between",
    )
    best["rated"] = best[list(by)].astype(str).agg(", ".join, axis=1)
    every = networks(study, condition, more)
    kept = every.merge(best[[*by, "lr", "place", "rated"]], on=[*by, "lr"])
    if kept.empty:
        raise NoEvidence("no network has a rate that was chosen by the tuning seeds")
    return kept.sort_values([*by, "seed"], kind="stable").reset_index(drop=True)


def layers(
    study: Study, cells: Iterable[str], columns: str, rows: str = "step = 0"
) -> pd.DataFrame:
    """Return rows of ``layers`` of some networks, in order of network, step and layer.

    Args:
        study: an opened study.
        cells: their ids.
        columns: of ``layers``, in SQL.
        rows: a condition in SQL.
    """
    query = (
        f"SELECT cell, step, layer, units, {columns}\nFROM layers\n"
        f"WHERE {rows} AND cell IN (SELECT unnest(?))\nORDER BY cell, step, layer"
    )
    study.asked.append(query.replace("(SELECT unnest(?))", "(… the networks above …)"))
    return study.execute(query, [list(cells)]).df()


def ways(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return the networks with what becomes of their signal gradient at the start.

    Returns:
        ``found`` with ``ratio`` (log10 of the signal gradient in the first over the last hidden layer; −inf
        where nothing arrives) and ``slope`` (least squares over the hidden layers, decades per layer from
        output towards input; −inf where nothing arrives, NaN below three layers or where one has none).
    """
    hidden = layers(study, found["cell"], "signal_grad_rms", "step = 0")
    depth = hidden["cell"].map(found.set_index("cell")["depth"])
    hidden = hidden[hidden["layer"] < depth]
    with np.errstate(divide="ignore"):
        hidden = hidden.assign(decades=np.log10(hidden["signal_grad_rms"].astype(float)))
    rows = {}
    for cell, part in hidden.groupby("cell"):
        values, places = part["decades"].to_numpy(), part["layer"].to_numpy()
        slope = math.nan
        if len(values) >= 3 and np.isfinite(values).all():
            slope = -float(np.polyfit(places, values, 1)[0])
        elif len(values) >= 3 and values[0] == -math.inf and np.isfinite(values[-1]):
            slope = -math.inf
        with np.errstate(invalid="ignore"):
            rows[cell] = (values[0] - values[-1], slope)
    return found.assign(
        ratio=[rows[cell][0] for cell in found["cell"]],
        slope=[rows[cell][1] for cell in found["cell"]],
    )


def paired(
    one: pd.DataFrame, other: pd.DataFrame, value: str, on: Sequence[str] = ("seed",)
) -> pd.DataFrame:
    """Return the rows that two sides have in common, with the value of each and their difference.

    Args:
        one: networks.
        other: likewise.
        value: the column that is compared.
        on: what makes two networks a pair.

    Returns:
        ``on``, ``cell_one, cell_other``, ``one``, ``other`` and ``difference``, one less other.

    Raises:
        NoEvidence: they have no pair.
    """
    keys = list(on)
    left = one[[*keys, "cell", value]].rename(columns={value: "one", "cell": "cell_one"})
    right = other[[*keys, "cell", value]].rename(columns={value: "other", "cell": "cell_other"})
    both = left.merge(right, on=keys, validate="one_to_one")
    if both.empty:
        raise NoEvidence("no two of its networks have the same seed")
    return both.assign(difference=both["one"] - both["other"]).sort_values(keys, kind="stable")


def measurements(study: Study, task: str) -> pd.DataFrame:
    """Return what a task measured, its subject's keys as columns.

    Raises:
        NoEvidence: it was not run.
    """
    query = (
        "SELECT subject, quantity, repeat, value, unit\nFROM measurements\n"
        f"WHERE task = '{task}'\nORDER BY subject, quantity, repeat"
    )
    study.asked.append(query)
    found = study.execute(query).df()
    if found.empty:
        raise NoEvidence(f"the task was not run: python -m study measure {task}")
    subjects = pd.DataFrame([json.loads(text) for text in found["subject"]])
    return pd.concat([subjects, found.drop(columns="subject")], axis=1)
