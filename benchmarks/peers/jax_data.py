"""Start and data of a pack for JAX: the product's draws, every sample ready to be gathered by a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import torch
from jax import Array

from benchmarks.peers.jax_quantities import Layer, Samples
from study.cell import Cell
from study.datasets import pool
from study.network import start
from study.pack_data import PackData
from study.training import shape_of

Layers = list[Layer]

SPLITS = ("train", "validation", "test")


class Data(NamedTuple):
    """The samples of every cell.

    Attributes:
        samples: the whole pool as the cell sees it, ``[cell, sample, in]`` and ``[cell, sample]``.
        batches: places in it, ``[cell, step, batch]``.
        rows: places of each split, ``[cell, sample of the split]``.
    """

    samples: Samples
    batches: Array
    rows: dict[str, Array]


def prepared(cells: Sequence[Cell]) -> tuple[Layers, Data]:
    """Return every cell's start ``[cell, …]`` and data, on JAX's device."""
    layers = _start(cells)
    return jax.device_put(layers), jax.device_put(_data(cells))


def _start(cells: Sequence[Cell]) -> Any:
    settings = cells[0].settings
    shape = shape_of(settings)
    by_layer = zip(*(start(cell.settings, shape) for cell in cells), strict=True)
    layers = [
        {"weight": np.stack([w for w, _ in one]), "bias": np.stack([b for _, b in one])}
        for one in by_layer
    ]
    if "slope" in settings["activation"]:
        for layer in layers[:-1]:
            layer["slope"] = np.full(len(cells), settings["activation"]["slope"])
    return jax.tree.map(lambda array: array.astype(settings["dtype"]), layers)


def _data(cells: Sequence[Cell]) -> Any:
    settings = cells[0].settings
    seeds = [cell.settings["seed"] for cell in cells]
    drawn = PackData(settings, seeds, torch.float64, torch.device("cpu"))
    of_cell = [drawn.splits[seed] for seed in drawn.seed_of_cell]
    whole = pool(settings["data"]).inputs
    inputs = np.empty((len(cells), *whole.shape), settings["dtype"])
    labels = np.zeros((len(cells), len(whole)), np.int32)
    for cell, one in enumerate(of_cell):
        inputs[cell] = (whole - one.train.centre) / one.train.scale
        for part in SPLITS:
            labels[cell, getattr(one, part).rows] = getattr(one, part).labels
    rows = {
        part: np.stack([getattr(one, part).rows for one in of_cell]).astype(np.int32)
        for part in (*SPLITS, "probe", "test_part")
    }
    order = drawn.order.transpose(0, 1)[drawn.seed_of_cell].numpy()
    batches = np.take_along_axis(rows["train"], order.reshape(len(cells), -1), axis=1)
    return Data((inputs, labels), batches.reshape(order.shape), rows)
