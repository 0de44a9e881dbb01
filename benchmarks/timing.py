"""The four candidates, timed in turn on the same networks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import sequential, usual
from study.cell import Cell, cells_of
from study.packing import plan_packs
from study.settings import PROBE_DEFAULTS, canonical_condition
from study.training import PackData, shape_of, train_pack

CELLS = {8: 24, 32: 12}
"""Networks of a pack by depth. Studies have packs of up to 24 of these shapes, which at depth 32 cost
per network within some 5 % of 12; twice as many would take twice the time."""

FEW = 2
"""Networks that the sequential loop trains in a round: each costs it the same."""

SHARE = 5
"""Of the bare products and the usual loop a fifth of the steps is timed: their steps are all alike."""

NAMES = ("product", "sequential", "floor", "usual")


def networks(
    depth: int, activation: str, steps: int, count: int, dtype: str = "float32"
) -> list[Cell]:
    """Return the first pack of ``count`` He-started networks, width 64, batch 128, on mnist1d.

    Fewer steps than the default 300 get fewer probe steps, so that their share stays.
    """
    probes = max(2, round(PROBE_DEFAULTS["steps"] * min(1.0, steps / 300)))
    given = {
        "depth": depth,
        "width": 64,
        "batch_size": 128,
        "steps": steps,
        "seeds": count,
        "dtype": dtype,
        "probe": {"steps": probes},
        "activation": {"name": activation},
        "init": {"name": "he_normal"},
        "data": {"name": "mnist1d"},
        "optim": {"name": "sgd", "lr": 0.01},
    }
    return list(plan_packs(cells_of([canonical_condition(given)]), "cpu")[0].cells)


def bare_products(cells: list[Cell]) -> Callable[[int], None]:
    """Return what does the matrix products of training alone, for a number of steps.

    One forward and two backward products a layer, of the pack's shapes, into tensors made before.
    """
    batch, count = cells[0].settings["batch_size"], len(cells)
    layers = []
    for i, o in shape_of(cells[0].settings).fans():
        x, w, b = torch.randn(count, batch, i), torch.randn(count, o, i), torch.randn(count, 1, o)
        g = torch.randn(count, batch, o)
        layers.append((x, w, b, g, torch.empty_like(g), torch.empty_like(w), torch.empty_like(x)))

    def run(steps: int) -> None:
        for _ in range(steps):
            for x, w, b, _, z, _, _ in layers:
                torch.baddbmm(b, x, w.transpose(1, 2), out=z)
            for index, (x, w, _, g, _, of_w, of_x) in reversed(list(enumerate(layers))):
                torch.bmm(g.transpose(1, 2), x, out=of_w)
                if index:  # nothing asks for the gradient of the inputs
                    torch.bmm(g, w, out=of_x)

    return run


def clock(function: Callable[[], Any]) -> float:
    """Return the processor time of a call in seconds: a busy neighbour does not add to it."""
    began = time.process_time()
    function()
    return time.process_time() - began


def timed_round(cells: list[Cell], products: Callable[[int], None]) -> dict[str, float]:
    """Time every candidate once and return ms a network and step."""
    steps = cells[0].settings["steps"]
    fewer = max(1, steps // SHARE)
    few = cells[:FEW]
    spent = {
        "product": clock(lambda: train_pack(cells, sequential.CPU)) / len(cells) / steps,
        "sequential": clock(lambda: [sequential.train(c) for c in few]) / len(few) / steps,
        "floor": clock(lambda: products(fewer)) / len(cells) / fewer,
        "usual": clock(lambda: usual.train(cells[0], fewer)) / fewer,
    }
    return {name: 1e3 * seconds for name, seconds in spent.items()}


def spread(values: list[float]) -> dict[str, float]:
    """Return median, smallest and largest."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def compare(depth: int, activation: str, steps: int, count: int, rounds: int) -> dict[str, Any]:
    """Return medians over rounds in ms a network and step, and ratios taken within a round."""
    cells = networks(depth, activation, steps, count)
    # splits are cached in a process, as they are in a worker: made here once for all candidates
    PackData(cells[0].settings, [c.settings["seed"] for c in cells], torch.float32, sequential.CPU)
    products = bare_products(cells)
    products(1)
    usual.train(cells[0], 1)
    found = [timed_round(cells, products) for _ in range(rounds)]

    def ratio(above: str, below: str) -> dict[str, float]:
        return spread([one[above] / one[below] for one in found])

    return {
        "depth": depth,
        "activation": activation,
        "cells": len(cells),
        "ms": {name: spread([one[name] for one in found]) for name in NAMES},
        "sequential_over_product": ratio("sequential", "product"),
        "product_over_floor": ratio("product", "floor"),
        "usual_over_product": ratio("usual", "product"),
    }
