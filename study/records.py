"""Turns what was measured of a pack into the rows of the three tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from study.activations import ACTIVATIONS
from study.cell import Cell, canonical_json
from study.datasets import DATASETS, Task
from study.errors import encodable
from study.network import Shape
from study.probe import INDEX, QUANTITIES
from study.schema import LAYERS, Z_PERCENTILES
from study.settings import setting
from study.store import ARROW_SCHEMAS
from study.training import PackResult

COUNTS = {column.name for column in LAYERS if column.kind == "int64"}

HIDDEN_ONLY = (
    "h_mean",
    "h_second_moment",
    "slope_second_moment",
    "active_share",
    "dead_units",
    "born_dead_units",
    "revived_units",
    "twin_units",
    "saturated_share",
    "act_slope",
)
"""Quantities of an activation, which the output layer does not have."""


def statuses(result: PackResult) -> list[str]:
    """Return the status of every cell, in pack order."""
    return [
        "failed" if position in result.errors else "diverged" if bad >= 0 else "ok"
        for position, bad in enumerate(result.first_bad_step)
    ]


def tables(result: PackResult) -> dict[str, pa.Table]:
    """Return the tables ``cells``, ``curves`` and ``layers`` of a pack, in the schema's types.

    A failed cell has one row in ``cells`` and none elsewhere.
    """
    kept = [p for p in range(len(result.cells)) if p not in result.errors]
    return {
        "cells": pa.Table.from_pylist(
            [_cell_row(result, position) for position in range(len(result.cells))],
            schema=ARROW_SCHEMAS["cells"],
        ),
        "curves": _curves(result, kept),
        "layers": _layers(result, kept),
    }


def _cell_row(result: PackResult, position: int) -> dict[str, Any]:
    cell = result.cells[position]
    settings = cell.settings
    bad = int(result.first_bad_step[position])
    failed = position in result.errors
    task = task_of(cell)
    row: dict[str, Any] = {
        "cell": cell.id,
        "activation": settings["activation"]["name"],
        "init": settings["init"]["name"],
        "init_gain": settings["init"].get("gain"),
        "init_std": settings["init"].get("std"),
        "data": settings["data"]["name"],
        "inputs": result.shape.inputs,
        "task": task,
        "classes": result.shape.outputs if task == "classification" else None,
        "label_noise": settings["data"]["label_noise"],
        "train_size": settings["data"]["train_size"],
        "optim": settings["optim"]["name"],
        "lr": settings["optim"]["lr"],
        "weight_decay": settings["optim"]["weight_decay"],
        "clip_norm": settings["optim"]["clip_norm"],
        "clip_value": setting(settings, "optim.clip_value"),
        "clip_to_one": setting(settings, "optim.clip_to_one"),
        "norm": setting(settings, "norm"),
        "dropout": setting(settings, "dropout"),
        "probe_steps": settings["probe"]["steps"],
        "probe_samples": settings["probe"]["samples"],
        "settings": canonical_json(settings),
        "status": statuses(result)[position],
        "error": encodable(result.errors[position]) if failed else None,
    }
    row |= {
        key: settings[key]
        for key in ("depth", "width", "bias", "seed", "batch_size", "steps", "dtype")
    }
    if failed:
        return row
    row["parameters"] = int(result.parameters[position])
    if bad >= 0:
        row["first_bad_step"] = bad
        row["first_bad_layer"] = _first_bad_layer(result, position, bad)
    if result.final is not None:
        for index, split in enumerate(("train", "validation", "test")):
            loss, score = result.final[2 * index : 2 * index + 2, position]
            row[f"final_{split}_loss"] = float(loss)
            if task == "classification":
                row[f"final_{split}_accuracy"] = float(score)
            elif not _meaningless(loss, score):
                row[f"final_{split}_r2"] = float(score)
    return row


def task_of(cell: Cell) -> Task:
    """Return what a cell's network learns."""
    return DATASETS[cell.settings["data"]["name"]].extra.task


def _meaningless(loss: Any, r2: Any) -> Any:
    """Return where R² is not defined: it has no number though the loss has, as all targets are equal."""
    return np.isnan(r2) & np.isfinite(loss)


def _first_bad_layer(result: PackResult, position: int, bad: int) -> int | None:
    """Return the lowest layer with a non-finite z at the first probe step from ``bad`` on."""
    probe = next(i for i, step in enumerate(result.probe_steps) if step >= bad)
    layers = np.flatnonzero(~result.z_finite[probe, :, position])
    return int(layers[0]) + 1 if len(layers) else None


def _text(result: PackResult, kept: list[int], rows_each: int) -> pa.Array:
    ids = [result.cells[position].id for position in kept]
    return pa.array(np.repeat(np.array(ids, dtype=object), rows_each), pa.string())


def _curves(result: PackResult, kept: list[int]) -> pa.Table:
    steps = result.batch_loss.shape[0]
    # [cell, step]
    columns: dict[str, pa.Array] = {
        "cell": _text(result, kept, steps),
        "step": pa.array(np.tile(np.arange(steps), len(kept))),
        "batch_loss": pa.array(result.batch_loss[:, kept].T.ravel()),
    }
    # a pack has one data set
    task = task_of(result.cells[0])
    for index, split in enumerate(("train", "test")):
        # [probe step, cell]
        loss, score = (result.probed[:, 2 * index + place, :][:, kept] for place in (0, 1))
        columns[f"{split}_loss"] = _between(result, loss, np.zeros_like(loss, dtype=bool))
        classified = task == "classification"
        absent = np.full(score.shape, not classified)
        columns[f"{split}_accuracy"] = _between(result, score, absent)
        absent = np.full(score.shape, True) if classified else _meaningless(loss, score)
        columns[f"{split}_r2"] = _between(result, score, absent)
    return pa.table(columns, schema=ARROW_SCHEMAS["curves"])


def _between(
    result: PackResult, values: NDArray[np.float64], absent: NDArray[np.bool_]
) -> pa.Array:
    """Return a column of ``curves`` from values ``[probe step, cell]``, NULL where absent and between."""
    spread = np.zeros((values.shape[1], result.batch_loss.shape[0]))
    unknown = np.ones(spread.shape, dtype=bool)
    spread[:, result.probe_steps] = values.T
    unknown[:, result.probe_steps] = absent.T
    return pa.array(spread.ravel(), mask=unknown.ravel())


def _layers(result: PackResult, kept: list[int]) -> pa.Table:
    steps, depth = len(result.probe_steps), result.shape.depth
    units = [fan_out for _, fan_out in result.shape.fans()]
    rows = len(kept) * steps * depth
    columns: dict[str, pa.Array] = {
        "cell": _text(result, kept, steps * depth),
        "step": pa.array(np.tile(np.repeat(result.probe_steps, depth), len(kept))),
        "layer": pa.array(np.tile(np.arange(1, depth + 1), len(kept) * steps)),
        "units": pa.array(np.tile(units, len(kept) * steps)),
    }
    undefined = _undefined(result, kept)
    for name in QUANTITIES:
        # [probe step, layer, cell] to [cell, probe step, layer]
        values = result.layers[:, :, INDEX[name], :][:, :, kept].transpose(2, 0, 1)
        absent = undefined[name]
        if name in COUNTS:
            absent = absent | np.isnan(values)
            values = np.where(absent, 0, values).astype(np.int64)
        columns[name] = pa.array(values.reshape(rows), mask=absent.reshape(rows))
    return pa.table(columns, schema=ARROW_SCHEMAS["layers"])


def _undefined(result: PackResult, kept: list[int]) -> dict[str, NDArray[np.bool_]]:
    """Return where each quantity is NULL: not defined there, whatever was measured.

    Returns:
        ``[cell, probe step, layer]`` by quantity.
    """
    shape = (len(kept), len(result.probe_steps), result.shape.depth)
    absent = {name: np.zeros(shape, dtype=bool) for name in QUANTITIES}
    for name in HIDDEN_ONLY:
        absent[name][:, :, -1] = True
    absent["update_norm"][:, -1, :] = True
    absent["update_cosine"] = _without_direction(result, kept)
    for percent in Z_PERCENTILES:
        absent[f"z_p{percent:02d}"][:, 1:-1, :] = True
    if not result.shape.bias:
        absent["bias_grad_norm"][:] = True
    for row, position in enumerate(kept):
        traits = ACTIVATIONS[result.cells[position].settings["activation"]["name"]].extra
        if traits.largest_slope is None:
            absent["saturated_share"][row] = True
        if len(traits.learnable) != 1:
            absent["act_slope"][row] = True
    return absent


def _without_direction(result: PackResult, kept: list[int]) -> NDArray[np.bool_]:
    """Return where two updates have no angle, ``[cell, probe step, layer]``: one is 0 or not there."""
    cosine, update = (
        result.layers[:, :, INDEX[name], :][:, :, kept].transpose(2, 0, 1)
        for name in ("update_cosine", "update_norm")
    )
    absent = np.isnan(cosine) & np.isfinite(update)
    absent[:, [0, -1]] = True
    return absent


def failed_tables(
    cells: Sequence[Cell], shape: Shape, why: str | Mapping[int, str]
) -> dict[str, pa.Table]:
    """Return the tables of a pack that left nothing behind: its cells as failed, with the reason.

    Args:
        cells: in pack order.
        shape: their common shape.
        why: the reason of all, or of each by position.
    """
    errors = dict.fromkeys(range(len(cells)), why) if isinstance(why, str) else dict(why)
    nothing = np.full(len(cells), -1)
    return tables(
        PackResult(
            cells=cells,
            shape=shape,
            probe_steps=[0],
            layers=np.zeros((1, shape.depth, len(QUANTITIES), len(cells))),
            batch_loss=np.zeros((1, len(cells))),
            probed=np.zeros((1, 4, len(cells))),
            final=None,
            first_bad_step=nothing,
            z_finite=np.ones((1, shape.depth, len(cells)), dtype=bool),
            parameters=nothing,
            errors=errors,
        )
    )
