"""A study as tidy frames: which networks were asked for, what varies among them, how they began and ended.

Everything is taken from the settings that the records and plans hold, so that the figures work for any
sweep: the axes that vary are found, not assumed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from analysis.labels import flatten, labels
from analysis.tables import open_study
from study.packing import packs_of_plan
from study.store import Store

GROUPS = ("activation", "init", "data", "optim")

START_SETTINGS = ("depth", "width", "bias", "batch_size", "dtype", "seed", "probe.samples")
"""Settings outside the groups that decide a network's numbers at step 0."""

USUAL = {
    "data": "mnist1d", "width": 64, "bias": True, "batch_size": 128, "dtype": "float32",
    "probe.samples": 512, "optim": "sgd", "steps": 300,
}  # fmt: skip
"""The settings that divide a study, with the values they have unless one asks for others."""

STATUSES = ("ok", "diverged", "failed", "missing")
"""What became of a network, the most telling first."""

OUTCOMES = (
    "classes",
    *(f"final_{split}_{what}" for split in ("validation", "test") for what in ("accuracy", "r2")),
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


@dataclass(frozen=True)
class Plan:
    """What one command asked for.

    Attributes:
        command: as it would be typed.
        cells: settings of its networks by id.
    """

    command: str
    cells: dict[str, dict[str, Any]]


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
    def plans(self) -> list[Plan]:
        """The commands that were run, ordered as typed."""
        found = [
            Plan(
                shlex.join(plan["command"]),
                {cell.id: cell.settings for pack in packs_of_plan(plan) for cell in pack.cells},
            )
            for plan in Store(self.folder).read_plans()
        ]
        return sorted(found, key=lambda plan: plan.command)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a network, in a fixed order; those that are planned and not committed are ``missing``.

        Columns: every setting under its dotted name, ``task`` (None where missing), ``status``,
        ``error``, `OUTCOMES`, and the labels ``activation``, ``init``, ``data`` and ``optim``: the
        name with those parameters that vary under that name.
        """
        # as DOUBLE an absent number is NaN; what is missing has none
        numbers = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in OUTCOMES)
        known = self.connection.execute(
            f"SELECT cell, settings, task, status, error, {numbers} FROM cells ORDER BY cell"
        ).df()
        committed = set(known["cell"])
        missing = [
            {"cell": cell, "settings": json.dumps(settings), "status": "missing"}
            for plan in self.plans
            for cell, settings in plan.cells.items()
            if cell not in committed
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
        named = {group: labels(settings, group) for group in GROUPS}
        return pd.concat([known.drop(columns="settings"), settings], axis=1).assign(
            **named, lr=settings.get("optim.lr")
        )

    def variants(self, cells: pd.DataFrame, optimizer: bool) -> list[Variant]:
        """Divide cells by the settings that vary besides the axes of the figures.

        Args:
            cells: rows of `cells`.
            optimizer: whether optimizer and steps count; at the start they decide nothing.

        Returns:
            The variants, those with most networks first, of these those with the usual settings.
        """
        apart = set() if optimizer else {"optim", "steps"}
        varying = [
            key for key in USUAL if key not in apart and cells[key].nunique(dropna=False) > 1
        ]
        if not varying:
            return [Variant("", cells)]
        found = []
        for place, (values, part) in enumerate(cells.groupby(varying, dropna=False, sort=True)):
            settings = dict(zip(varying, values, strict=True))
            unusual = sum(str(value) != str(USUAL[key]) for key, value in settings.items())
            label = ", ".join(f"{key}={value}" for key, value in settings.items())
            found.append((-len(part), unusual, place, Variant(label, part)))
        return [variant for *_, variant in sorted(found, key=lambda one: one[:3])]

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
        """Networks that were to be trained, missing and failed ones included.

        Networks that differ only in when they were measured are one: it counts once.
        """
        trained = self.cells[self.cells["steps"] > 0]
        if trained.empty:
            return []
        apart = {"cell", "task", "status", "error", "probe.steps", *OUTCOMES}
        keys = [key for key in trained if key not in apart]
        return self.variants(finished_first(trained).drop_duplicates(keys).sort_index(), True)

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


def finished_first(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells ordered by `STATUSES`, so that dropping duplicates keeps what is known."""
    place = {status: index for index, status in enumerate(STATUSES)}
    return cells.sort_values("status", key=lambda column: column.map(place), kind="stable")
