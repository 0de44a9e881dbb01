"""Studies of invented networks, written by the store's own protocol: a claim is true in them or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.frames import Study
from study.cell import Cell, canonical_json
from study.datasets import DATASETS
from study.packing import Pack, plan_document
from study.schema import CELLS, LAYERS
from study.settings import canonical_condition
from study.store import ARROW_SCHEMAS, Store

NAMED = ("activation", "init", "data", "optim")


@dataclass
class Invented:
    """A network that was never trained, with the records it is to have.

    Attributes:
        settings: of its condition; groups by name, or with parameters.
        seed: its seed.
        layers: gives the quantities of a layer at a step: called with layer and step.
        scores: ``final_…`` columns and others of ``cells``.
        curves: gives the columns of ``curves`` at a step.
        steps: probe steps; default the start, and the end where it is trained.
        curve_steps: steps that ``curves`` has; default the probe steps.
        status: as in the records.
    """

    settings: dict[str, Any]
    seed: int = 0
    layers: Callable[[int, int], dict[str, float]] = lambda _layer, _step: {}
    scores: dict[str, Any] = field(default_factory=dict)
    curves: Callable[[int], dict[str, float]] = lambda _step: {}
    steps: Sequence[int] = ()
    curve_steps: Sequence[int] = ()
    status: str = "ok"


def seeds(count: int = 10, first: int = 0) -> range:
    """Return the seeds of a condition."""
    return range(first, first + count)


def noise(name: str, scale: float, count: int = 10) -> np.ndarray:
    """Return numbers of mean 0 exactly and standard deviation ``scale`` exactly, the same for one name."""
    drawn = np.random.default_rng([ord(letter) for letter in name]).standard_normal(count)
    drawn -= drawn.mean()
    return scale * drawn / drawn.std(ddof=1)


def study(
    folder: Path, networks: Iterable[Invented] = (), measured: Iterable[dict[str, Any]] = ()
) -> Study:
    """Write the records of invented networks, and of measurements, and open them.

    Args:
        folder: a new folder.
        networks: no two of the same settings and seed.
        measured: rows of ``measurements``: ``task``, ``subject`` (a dictionary), ``quantity``, ``value``,
            and maybe ``repeat`` and ``unit``.
    """
    store = Store(folder)
    store.create()
    cells, tables = [], {"cells": [], "curves": [], "layers": []}
    for one in networks:
        cell = _cell(one)
        cells.append(cell)
        tables["cells"].append(_cell_row(cell, one))
        steps = one.steps or sorted({0, cell.settings["steps"]})
        for step in one.curve_steps or steps:
            tables["curves"].append({"cell": cell.id, "step": step, **one.curves(step)})
        for step in steps:
            for layer in range(1, cell.settings["depth"] + 1):
                tables["layers"].append(_layer_row(cell, one, layer, step))
    if cells:
        pack = Pack.of(cells)
        store.write_plan(
            plan_document([pack], "cpu", ["python", "-m", "study", "+experiment=invented"])
        )
        made = {
            name: pa.Table.from_pylist(rows, schema=ARROW_SCHEMAS[name])
            for name, rows in tables.items()
        }
        statuses = {row["cell"]: row["status"] for row in tables["cells"]}
        environment = {"program": "0", "numerics": 0, "device": "cpu"}
        store.commit(pack.id, 0, made, statuses, environment, 0.0)
    rows = [
        {"repeat": 0, "unit": "1", **one, "subject": canonical_json(one["subject"])}
        for one in measured
    ]
    for task in sorted({row["task"] for row in rows}):
        of_task = [row for row in rows if row["task"] == task]
        table = pa.Table.from_pylist(of_task, schema=ARROW_SCHEMAS["measurements"])
        store.commit(f"invented-{task}", 0, {"measurements": table}, {}, {"program": "0"}, 0.0)
    return Study(folder)


def _cell(one: Invented) -> Cell:
    given = {
        key: {"name": value} if key in NAMED and isinstance(value, str) else value
        for key, value in one.settings.items()
    }
    usual = {"data": {"name": "mnist1d"}, "optim": {"name": "sgd"}, "seed": one.seed, "seeds": 1}
    settings, [seed] = canonical_condition({**usual, **given})
    return Cell.of(settings, seed)


def _cell_row(cell: Cell, one: Invented) -> dict[str, Any]:
    settings = cell.settings
    extra = DATASETS[settings["data"]["name"]].extra
    row: dict[str, Any] = dict.fromkeys(column.name for column in CELLS)
    row |= {
        key: settings[key] for key in row if key in settings and not isinstance(settings[key], dict)
    }
    row |= {group: settings[group]["name"] for group in NAMED}
    row |= {
        "cell": cell.id, "task": extra.task, "inputs": extra.inputs, "lr": settings["optim"]["lr"],
        "classes": 10 if extra.task == "classification" else None, "init_std": settings["init"].get("std"),
        "init_gain": settings["init"].get("gain"), "weight_decay": settings["optim"]["weight_decay"],
        "clip_norm": settings["optim"]["clip_norm"], "label_noise": settings["data"]["label_noise"],
        "probe_steps": settings["probe"]["steps"], "probe_samples": 512, "train_size": 4000,
        "settings": canonical_json(settings), "status": one.status,
    }  # fmt: skip
    return row | one.scores


def _layer_row(cell: Cell, one: Invented, layer: int, step: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(column.name for column in LAYERS)
    output = layer == cell.settings["depth"]
    units = 10 if output else cell.settings["width"]
    return row | {
        "cell": cell.id,
        "step": step,
        "layer": layer,
        "units": units,
        **one.layers(layer, step),
    }


def starting(
    ratio: Callable[[dict[str, Any], int], float],
    conditions: Iterable[dict[str, Any]],
    count: int = 10,
) -> list[Invented]:
    """Return networks whose signal gradient changes by ``ratio`` decades from the last hidden layer on.

    In a straight line of its logarithm.

    Args:
        ratio: called with the condition and the seed.
        conditions: with ``depth``.
        count: seeds of each.
    """
    found = []
    for condition in conditions:
        last = condition["depth"] - 1
        for seed in seeds(count):
            decades = ratio(condition, seed)

            def quantities(
                layer: int, _step: int, last: int = last, decades: float = decades
            ) -> dict[str, float]:
                share = (last - layer) / (last - 1) if last > 1 else 0.0
                return {"signal_grad_rms": 10.0 ** (decades * share)}

            found.append(Invented({"steps": 0, **condition}, seed, quantities))
    return found


def learning(
    score: Callable[[dict[str, Any], int], float],
    conditions: Iterable[dict[str, Any]],
    rates: Sequence[float],
    best: float,
    count: int = 10,
    **more: Any,
) -> list[Invented]:
    """Return trained networks, of seeds for evidence and for tuning, that score best at one rate.

    Args:
        score: test accuracy at the best rate: called with the condition and the seed; at all others chance.
        conditions: without a rate.
        rates: those tried.
        best: that at which they learn; validation scores say so.
        count: seeds for evidence.
        more: for `Invented`.
    """
    found = []
    for condition in conditions:
        for rate in rates:
            for seed in [*seeds(count), *seeds(3, 1000)]:
                reached = score(condition, seed) if rate == best else 0.1
                scores = {
                    f"final_{split}_accuracy": reached for split in ("train", "validation", "test")
                }
                settings = {
                    **condition,
                    "optim": {"name": "sgd", **condition.get("optim", {}), "lr": rate},
                }
                found.append(Invented(settings, seed, scores=scores, **more))
    return found
