"""Small studies and the ways to run them that several tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from study.cell import Cell, cells_of
from study.execution import exact_arithmetic
from study.records import tables
from study.settings import canonical_condition
from study.training import PackResult, train_pack

CPU = torch.device("cpu")

MEANT_FOR = {"rbm": "sigmoid", "killed": "relu"}
"""Starts that are refused with another activation."""

# as the workers do; two threads stall each other for seconds where test processes share the cores
torch.set_num_threads(1)


def _group(value: Any) -> dict[str, Any]:
    return {"name": value} if isinstance(value, str) else dict(value)


def condition(activation: Any = "tanh", init: Any = "xavier_normal", **more: Any) -> dict[str, Any]:
    """Return a condition's settings, groups by name or as dictionaries."""
    settings = {
        "depth": 4, "width": 16, "steps": 6, "batch_size": 16, "seeds": 1,
        "probe": {"steps": 20, "samples": 32}, "data": "digits",
        "optim": {"name": "sgd", "lr": 0.1},
    } | {"activation": activation, "init": init} | more  # fmt: skip
    for group in ("activation", "init", "data", "optim"):
        settings[group] = _group(settings[group])
    return settings


def cells(activation: Any = "tanh", init: Any = "xavier_normal", **more: Any) -> list[Cell]:
    """Return the cells of a condition."""
    return cells_of([canonical_condition(condition(activation, init, **more))])


def train(pack: Sequence[Cell]) -> PackResult:
    """Train a pack as a worker does."""
    with exact_arithmetic("cpu"):
        return train_pack(pack, CPU)


def stored_rows(result: PackResult, chosen: Sequence[Cell]) -> dict[str, list[str]]:
    """Return the rows of some cells by table, as text: exact for numbers, and NaN equals NaN."""
    ids = {cell.id for cell in chosen}
    return {
        name: [repr(row) for row in table.to_pylist() if row["cell"] in ids]
        for name, table in tables(result).items()
    }


def files_under(folder: Path) -> dict[str, bytes | None]:
    """Return everything under a folder by relative path: bytes of files, None for folders."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
