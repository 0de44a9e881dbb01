"""A study as tidy frames: which networks were asked for, what varies among them, how they began and ended.

Everything is taken from the settings that the records and plans hold, so that the figures work for any
sweep: the axes that vary are found, not assumed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from analysis.labels import flatten, labels
from analysis.score import best_rates, finished_first
from analysis.tables import connect, verify
from study.errors import encodable
from study.packing import command_of, packs_of_plan
from study.settings import NEUTRAL
from study.store import Commit, Store

GROUPS = ("activation", "init", "data", "optim")

START_SETTINGS = (
    *("depth", "width", "bias", "norm", "dropout", "batch_size", "dtype", "seed", "probe.samples"),
)
"""Settings outside the groups that decide a network's numbers at step 0."""

USUAL = {
    "data": "mnist1d", "width": 64, "bias": True, "batch_size": 128, "dtype": "float32",
    "probe.samples": 512, "norm": "none", "dropout": 0.0, "optim": "sgd", "steps": 300,
}  # fmt: skip
"""The settings that divide a study, with the values they have unless one asks for others."""

NETWORK_SETTINGS = ("depth", "width", "bias", "lr", "batch_size", "steps", "dtype", "seed")

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
        where: an SQL condition that finds them in ``networks``.
    """

    label: str
    cells: pd.DataFrame
    where: str = "true"


@dataclass(frozen=True)
class Plan:
    """What one command asked for.

    Attributes:
        command: as it would be typed.
        cells: settings of its networks by id.
    """

    command: str
    cells: dict[str, dict[str, Any]]


def among(cells: pd.DataFrame) -> str:
    """Return an SQL condition that is true for the networks of a frame alone, by their ids."""
    ids = ", ".join(f"'{cell}'" for cell in sorted(cells["cell"]))
    # of networks, not of their rows: to look up every row of `layers` in a long list takes seconds
    return f"networks.cell IN ({ids})" if ids else "false"


class Study:
    """The records of one study, verified, with the networks that are planned but not there.

    SQL sees the views of `study.schema.EVERY_TABLE` and ``networks``, see `networks`.

    Args:
        folder: ``outputs/<study name>``.
        against: another study with some of the same networks; SQL sees their batch losses as
            ``other_curves``.

    Raises:
        StoreError: there is no study, or it is of a schema version that is not read.

    Example:
        >>> study = open_study("outputs/mine")
        >>> study.sql("SELECT activation, count(*) FROM networks GROUP BY ALL").df()
        >>> figures.atlas(study)
    """

    def __init__(self, folder: str | Path, against: str | Path | None = None) -> None:
        self.folder = Path(folder)
        self.against = None if against is None else Study(against)
        self._verified = verify(folder)
        self.asked: list[str] = []
        """The queries for rows that were asked, for those who want to ask them again."""

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to go on with this study, without verifying it once more."""
        here = {"_records", "connection", "plans"}
        return {name: value for name, value in vars(self).items() if name not in here} | {
            "asked": []
        }

    @cached_property
    def _records(self) -> duckdb.DuckDBPyConnection:
        return connect(self._verified)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, with ``networks`` beside the views of the records."""
        self._records.register("networks", self.networks)
        if self.against is not None:
            other = self.against._records.execute(
                "SELECT cell, step, batch_loss AS other_batch_loss FROM curves"
            ).df()
            self._records.register("other_curves", other)
        return self._records

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """Return what a query finds; ``.df()`` of it is a data frame."""
        return self.connection.sql(query)

    def execute(self, query: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        """Run a query with parameters, as DuckDB's own method does."""
        return self.connection.execute(query, parameters)

    def __repr__(self) -> str:
        return f"<study {self.folder.as_posix()}: {len(self.networks):,} networks>"

    @property
    def name(self) -> str:
        """The folder's name."""
        return encodable(self.folder.resolve().name)

    @property
    def damages(self) -> list[str]:
        """A sentence for each file that is damaged and therefore left out."""
        studies = [self] if self.against is None else [self, self.against]
        return [
            f"cannot read {one}; what it held is left out until the command that made it is run again."
            for study in studies
            for one in study._verified.damages
        ]

    @property
    def commits(self) -> list[Commit]:
        """What was committed and is whole, in order of packs."""
        return self._verified.commits

    @cached_property
    def plans(self) -> list[Plan]:
        """The commands that were run, ordered as typed."""
        found = [
            Plan(
                command_of(plan),
                {cell.id: cell.settings for pack in packs_of_plan(plan) for cell in pack.cells},
            )
            for plan in Store(self.folder).read_plans()
        ]
        return sorted(found, key=lambda plan: plan.command)

    @cached_property
    def pack_sizes(self) -> dict[str, int]:
        """With how many networks each was planned to be trained, itself included, by cell."""
        return {
            cell.id: len(pack.cells)
            for plan in Store(self.folder).read_plans()
            for pack in packs_of_plan(plan)
            for cell in pack.cells
        }

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a network, in a fixed order; those that are planned and not committed are ``missing``.

        Columns: every setting under its dotted name (``norm`` and ``dropout`` of networks without them,
        too), ``task`` (None where missing), ``status``, ``error``, `OUTCOMES`, and the labels
        ``activation``, ``init``, ``data`` and ``optim``: the name with those parameters that vary under
        that name.
        """
        # as DOUBLE an absent number is NaN; what is missing has none
        numbers = ", ".join(f"CAST({name} AS DOUBLE) AS {name}" for name in OUTCOMES)
        known = self._records.execute(
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
        if settings.empty:  # measurements alone: no network tells what settings there are
            names = [f"{group}.name" for group in GROUPS]
            settings = settings.reindex(columns=[*START_SETTINGS, "steps", "optim.lr", *names])
        # in one order, whichever network is the first to have a setting that others leave out
        settings = settings.sort_index(axis=1)
        for key in ("norm", "dropout"):
            # left out of the settings of a network without it
            neutral = NEUTRAL[key]
            settings[key] = settings[key].fillna(neutral) if key in settings else neutral
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
        varying: list[str] = []
        for key in USUAL:
            # a setting that another one decides, as data its largest probe set, divides nothing
            divided = cells.groupby(varying, dropna=False)[key] if varying else cells[key]
            if key not in apart and np.max(divided.nunique(dropna=False)) > 1:
                varying.append(key)
        kind = "training" if optimizer else "start"
        if not varying:
            return [Variant("", cells, f"{kind} = 1")]
        found = []
        for place, (values, part) in enumerate(cells.groupby(varying, dropna=False, sort=True)):
            settings = dict(zip(varying, values, strict=True))
            unusual = sum(str(value) != str(USUAL[key]) for key, value in settings.items())
            label = ", ".join(f"{key}={value}" for key, value in settings.items())
            found.append((-len(part), unusual, place, label, part))
        return [
            Variant(label, part, f"{kind} = {number}")
            for number, (*_, label, part) in enumerate(sorted(found, key=lambda one: one[:3]), 1)
        ]

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

    @cached_property
    def networks(self) -> pd.DataFrame:
        """What the figures know of every network; SQL sees it as the table ``networks``.

        Columns: ``cell``; ``start``: number of the part of the study (`starts`) in whose figures of
        fresh weights it counts, NULL where it does not, since another network begins as it does;
        ``training``: number of the part (`trained`) in whose figures of training it counts; ``best``:
        whether its learning rate is its condition's best, chosen on the validation split;
        `NETWORK_SETTINGS`, ``activation``, ``init``, ``data`` and ``optim`` as labels; ``status``;
        ``task``; `OUTCOMES`.
        """
        columns = ["cell", *GROUPS, *NETWORK_SETTINGS, "status", "task", *OUTCOMES]
        found = self.cells[columns].copy()
        for name, variants in (("start", self.starts), ("training", self.trained)):
            number = {
                cell: index for index, one in enumerate(variants, 1) for cell in one.cells["cell"]
            }
            found.insert(1, name, found["cell"].map(number).astype("Int64"))
        best = {cell for one in self.trained for cell in best_rates(one.cells)["cell"]}
        found.insert(3, "best", found["cell"].isin(best))
        return found

    def count(self, where: str) -> int:
        """Return how many networks there are under an SQL condition on ``networks``."""
        # to the end: what is left unread keeps the connection from its next query
        [(count,)] = self.execute(f"SELECT count(*) FROM networks WHERE {where}").fetchall()
        return int(count)

    def rows(self, where: str, columns: Sequence[str], rows: str = "step = 0") -> str:
        """Return a query for measured quantities, a row a network, step and layer, with the axes.

        Args:
            where: an SQL condition on ``networks``; a variant's own, ``"training = 1 AND best"`` …
            columns: columns of ``layers``.
            rows: an SQL condition on ``layers``.

        Returns:
            The query, in no order; what was `asked` has one.
        """
        query = (
            "SELECT cell, activation, init, depth, lr, seed, step, layer, units, "
            f"{', '.join(columns)}\nFROM layers JOIN networks USING (cell)\n"
            f"WHERE {where} AND {rows}"
        )
        self.asked.append(f"{query}\nORDER BY cell, step, layer")
        return query

    def layers(self, where: str, columns: Sequence[str], rows: str = "step = 0") -> pd.DataFrame:
        """Return what `rows` finds, in order of network, step and layer; NULL becomes NaN.

        Of a large study that is millions of rows: `analysis.aggregates` takes its statistics instead.
        """
        self.rows(where, columns, rows)
        return self.connection.execute(self.asked[-1]).df()
