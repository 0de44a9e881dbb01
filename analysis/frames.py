"""A study as tidy frames: which networks were asked for, what varies among them, how they began and ended.

Everything is taken from the settings that the records and plans hold, so that the figures work for any
sweep: the axes that vary are found, not assumed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from analysis.tables import open_study
from study.packing import packs_of_plan
from study.store import Store

GROUPS = ("activation", "init", "data", "optim")

START_SETTINGS = ("depth", "width", "bias", "batch_size", "dtype", "seed", "probe.samples")
"""Settings outside the groups that decide a network's numbers at step 0."""

OUTCOMES = (
    "classes",
    "final_validation_accuracy",
    "final_test_accuracy",
)


@dataclass(frozen=True)
class Variant:
    """The part of a study in which nothing varies but depth, activation, initializer, rate and seed.

    Attributes:
        label: the settings that set it apart, ``"data=digits, width=32"``; empty if it is the only one.
        cells: its rows of `Study.cells`.
    """

    label: str
    cells: pd.DataFrame


class Study:
    """The records of one study, verified, with the networks that are planned but not there.

    Args:
        folder: ``outputs/<study name>``.

    Raises:
        StoreError: there is no study, or it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.connection: duckdb.DuckDBPyConnection = open_study(folder)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a network, in a fixed order; those that are planned and not committed are ``missing``.

        Columns: every setting under its dotted name, ``status``, `OUTCOMES`, and the labels ``activation``,
        ``init``, ``data`` and ``optim``: the name with those parameters that vary under that name.
        """
        # as DOUBLE an absent number is NaN; what is missing has none
        numbers = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in OUTCOMES)
        known = self.connection.execute(
            f"SELECT cell, settings, status, {numbers} FROM cells ORDER BY cell"
        ).df()
        committed = set(known["cell"])
        missing = [
            {"cell": cell.id, "settings": json.dumps(cell.settings), "status": "missing"}
            for plan in Store(self.folder).read_plans()
            for pack in packs_of_plan(plan)
            for cell in pack.cells
            if cell.id not in committed
        ]
        if missing:
            absent = pd.DataFrame(missing).drop_duplicates("cell").sort_values("cell")
            known = pd.concat(
                [known, absent.reindex(columns=known.columns).astype(known.dtypes)],
                ignore_index=True,
            )
        settings = pd.DataFrame(
            [flatten(json.loads(text)) for text in known["settings"]], index=known.index
        )
        labels = {group: _labels(settings, group) for group in GROUPS}
        return pd.concat([known.drop(columns="settings"), settings], axis=1).assign(
            **labels, lr=settings.get("optim.lr")
        )

    def variants(self, cells: pd.DataFrame, optimizer: bool) -> list[Variant]:
        """Divide cells by the settings that vary besides the axes of the figures.

        Args:
            cells: rows of `cells`.
            optimizer: whether optimizer and steps count; at the start they decide nothing.

        Returns:
            The variants, those with most networks first.
        """
        keys = ["data", "width", "bias", "batch_size", "dtype", "probe.samples"]
        if optimizer:
            keys += ["optim", "steps"]
        varying = [key for key in keys if cells[key].nunique(dropna=False) > 1]
        if not varying:
            return [Variant("", cells)]
        found = [
            Variant(
                ", ".join(f"{k}={v}" for k, v in zip(varying, _tuple(values), strict=True)), part
            )
            for values, part in cells.groupby(varying, dropna=False, sort=True)
        ]
        return sorted(found, key=lambda variant: (-len(variant.cells), variant.label))

    @cached_property
    def starts(self) -> list[Variant]:
        """Measured networks with hidden layers, one row for each different start.

        Networks that differ in optimizer, rate or steps alone begin as one: it counts once.
        """
        measured = self.cells[self.cells["status"].isin(["ok", "diverged"])]
        deep = measured[measured["depth"] >= 2]
        if deep.empty:
            return []
        return self.variants(deep.drop_duplicates(self.start_keys()), optimizer=False)

    def start_keys(self) -> list[str]:
        """Return the settings that decide a network's numbers at step 0."""
        groups = tuple(f"{group}." for group in ("activation", "init", "data"))
        return [key for key in self.cells if key.startswith(groups) or key in START_SETTINGS]

    @cached_property
    def trained(self) -> list[Variant]:
        """Networks that were to be trained, missing and failed ones included."""
        trained = self.cells[self.cells["steps"] > 0]
        return [] if trained.empty else self.variants(trained, optimizer=True)

    def layers(
        self, cells: pd.DataFrame, columns: Sequence[str], where: str = "step = 0"
    ) -> pd.DataFrame:
        """Return measured quantities of these cells, a row a cell, step and layer, with the axes.

        Args:
            cells: rows of `cells`.
            columns: columns of ``layers``; NULL becomes NaN.
            where: an SQL condition on ``layers``.
        """
        wanted = cells[["cell", "activation", "init", "depth", "lr", "seed"]]
        self.connection.register("wanted", wanted)
        try:
            return self.connection.execute(
                f"SELECT wanted.*, step, layer, units, {', '.join(columns)} "
                f"FROM layers JOIN wanted USING (cell) WHERE {where} ORDER BY cell, step, layer"
            ).df()
        finally:
            self.connection.unregister("wanted")


def best_rates(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each condition's best learning rate, chosen on the validation split.

    A network that diverged, failed or is missing counts as one with accuracy 0, so that a rate at
    which some networks are lost is not chosen for the luck of the others. Of equal rates the
    smallest is taken.

    Args:
        cells: rows of `Study.cells` of one variant.
    """
    condition = ["activation", "init", "depth"]
    score = cells["final_validation_accuracy"].where(cells["status"] == "ok", 0.0).fillna(0.0)
    means = (
        cells.assign(score=score)
        .groupby([*condition, "lr"], as_index=False)["score"]
        .mean()
        .sort_values([*condition, "score", "lr"], ascending=[True, True, True, False, True])
    )
    return cells.merge(means.drop_duplicates(condition)[[*condition, "lr"]])


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _labels(settings: pd.DataFrame, group: str) -> pd.Series:
    """Return the name of a group's choice, with the parameters that vary among those of that name."""
    labels = settings[f"{group}.name"].astype(str)
    # the learning rate is an axis of its own
    parameters = [
        key
        for key in settings
        if key.startswith(f"{group}.") and key not in (f"{group}.name", "optim.lr")
    ]
    for name, part in settings.groupby(f"{group}.name"):
        varying = [key for key in parameters if part[key].nunique(dropna=False) > 1]
        if varying:
            labels.loc[part.index] = [
                f"{name} ({', '.join(_parameter(k, v) for k, v in row.items())})"
                for row in part[varying].to_dict("records")
            ]
    return labels


def _parameter(key: str, value: Any) -> str:
    shown = "none" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{key.split('.', 1)[1]} {shown}"


def _tuple(values: Any) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else (values,)


def in_order(labels: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return labels once each, by the place of their first word in ``known``, then by their numbers."""
    place = {name: index for index, name in enumerate(known)}

    def key(label: str) -> tuple[int, list[float], str]:
        numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", label)]
        return place.get(label.split(" ")[0], len(place)), numbers, label

    return sorted(set(labels), key=key)
