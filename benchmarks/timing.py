"""The product and its peers, timed in turn on the same networks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.floor import bare_products
from benchmarks.peers import careful, vmapped
from benchmarks.workload import networks
from study.cell import Cell
from study.probe import probe_steps
from study.training import train_pack

CPU = torch.device("cpu")

FEW = 2
"""Networks that the careful loop trains in a round: each costs it the same."""

SHARE = 5
"""Of the bare products a fifth of the steps is timed: they are all alike."""

PROBED_STEPS = 40
"""Steps of the two runs whose difference is what probing costs."""

FASTER_THAN_WALL = 1.02
"""Processor time above this multiple of wall time means that more than one thread ran."""

ALWAYS = ("careful", "jax")
ONCE_A_DEPTH = ("vmapped", "jax_map")
"""Peers that are timed at every shape, and those that are timed at one width, with ReLU."""

JAX_FORMS = {"jax": "vmap", "jax_map": "map"}


@dataclass(frozen=True)
class Shape:
    """What a row of the table is about."""

    depth: int
    width: int
    activation: str


class Clock:
    """Measures processor time: a busy neighbour does not add to it.

    Attributes:
        most_threads: the largest ratio of processor to wall time so far.
    """

    def __init__(self) -> None:
        self.most_threads = 0.0

    def __call__(self, function: Callable[[], Any]) -> float:
        """Return the processor time of a call in seconds."""
        began, wall = time.process_time(), time.perf_counter()
        function()
        spent = time.process_time() - began
        self.most_threads = max(self.most_threads, spent / (time.perf_counter() - wall))
        return spent


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, smallest and largest."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


class Row:
    """One shape's networks, ready to be timed.

    Args:
        shape: of the networks.
        steps: training steps.
        count: networks of the pack.
        peers: which to time.
        clock: measures each run.

    Attributes:
        compile_s: processor time by JAX peer, in seconds.
    """

    def __init__(
        self, shape: Shape, steps: int, count: int, peers: Iterable[str], clock: Clock
    ) -> None:
        self.shape, self.steps, self.count, self.clock = shape, steps, count, clock
        self.cells = self._networks(steps)
        self.compile_s: dict[str, float] = {}
        # the first run draws the splits, which are kept in the process, as they are in a worker
        train_pack(self._networks(1), CPU)
        self.products = bare_products(self.cells)
        self.products(1)
        self.runs = {name: self._peer(name) for name in peers}

    def _networks(self, steps: int, **more: Any) -> list[Cell]:
        shape = self.shape
        return networks(shape.depth, shape.width, shape.activation, steps, self.count, **more)

    def _peer(self, name: str) -> Callable[[], Any]:
        """Return what runs a peer on the whole pack, for the careful loop on the first few."""
        if name == "careful":
            return partial(careful.train, self.cells[:FEW])
        if name == "vmapped":
            return partial(vmapped.train, self.cells)
        from benchmarks.peers.jax_scan import Program  # JAX is an extra

        program = Program(self.cells, JAX_FORMS[name])
        self.compile_s[name] = program.compile_s
        return program.run

    def round(self) -> dict[str, float]:
        """Time everything once and return ms a network and step, and ``probing`` as a share."""
        each = 1e3 / self.steps / self.count
        fewer = max(1, self.steps // SHARE)
        found = {"product": each * self.clock(lambda: train_pack(self.cells, CPU))}
        for name, run in self.runs.items():
            cells = min(FEW, self.count) if name == "careful" else self.count
            found[name] = each * self.count / cells * self.clock(run)
        floor = self.clock(lambda: self.products(fewer))
        found["floor"] = 1e3 * floor / fewer / self.count
        found["probing"] = self._probing_share(found["product"] / each)
        return found

    def _probing_share(self, whole: float) -> float:
        """Return the time of probing as a share of the training time without it.

        A probe step costs the same after 10 steps and after 400. So its cost is the difference between
        two short runs of as many steps, one that probes as often as it can and one that probes only
        at its two ends, and there it is not lost in the noise of a long run.

        Args:
            whole: seconds of the whole run.
        """
        steps = min(PROBED_STEPS, self.steps)
        spent, probes = [], []
        for count in (self.cells[0].settings["probe"]["steps"], 2):
            cells = self._networks(steps, probes=count)
            probes.append(len(probe_steps(steps, count)))
            spent.append(self.clock(lambda cells=cells: train_pack(cells, CPU)))
        if probes[0] == probes[1]:
            return float("nan")
        each = (spent[0] - spent[1]) / (probes[0] - probes[1])
        settings = self.cells[0].settings
        probing = each * len(probe_steps(self.steps, settings["probe"]["steps"]))
        return probing / (whole - probing)


def compare(row: Row, rounds: int) -> dict[str, Any]:
    """Return medians over rounds in ms a network and step, and ratios taken within a round.

    ``over_product`` are times of a peer over the product's: above 1 the product is ahead. With
    ``+ compile`` a JAX program's compilation is counted as part of this one run.
    """
    found = [row.round() for _ in range(rounds)]
    named = [name for name in found[0] if name != "probing"]
    compiling = {n: 1e3 * s / row.steps / row.count for n, s in row.compile_s.items()}
    ratios = {name: [one[name] / one["product"] for one in found] for name in row.runs}
    for name, ms in compiling.items():
        ratios[f"{name} + compile"] = [(one[name] + ms) / one["product"] for one in found]
    return {
        "depth": row.shape.depth,
        "width": row.shape.width,
        "activation": row.shape.activation,
        "cells": row.count,
        "steps": row.steps,
        "ms": {name: spread([one[name] for one in found]) for name in named},
        "compile_s": row.compile_s,
        "over_product": {name: spread(values) for name, values in ratios.items()},
        "product_over_floor": spread([one["product"] / one["floor"] for one in found]),
        "probing_share": spread([one["probing"] for one in found]),
    }
