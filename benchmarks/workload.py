"""The networks that are timed, and the one core on which they are."""

from __future__ import annotations

import os

from study.cell import Cell, cells_of
from study.packing import plan_packs
from study.settings import PROBE_DEFAULTS, canonical_condition

STEPS, CELLS, BATCH = 500, 24, 128
"""Training steps, networks of a pack, samples of a batch, unless the command line says otherwise."""

ACTIVATIONS = ("relu", "tanh", "gelu", "prelu")
"""Those that every peer knows."""

RATE = 0.01
"""Learning rate: He-started networks of 32 layers still train with it."""


def networks(
    depth: int,
    width: int,
    activation: str,
    steps: int = STEPS,
    count: int = CELLS,
    dtype: str = "float32",
    probes: int = PROBE_DEFAULTS["steps"],
) -> list[Cell]:
    """Return a pack of ``count`` He-started networks on mnist1d, one a seed."""
    given = {
        "depth": depth,
        "width": width,
        "batch_size": BATCH,
        "steps": steps,
        "seeds": count,
        "dtype": dtype,
        "probe": {"steps": probes},
        "activation": {"name": activation},
        "init": {"name": "he_normal"},
        "data": {"name": "mnist1d"},
        "optim": {"name": "sgd", "lr": RATE},
    }
    cells = cells_of([canonical_condition(given)])
    return list(plan_packs(cells, "cpu", most=count)[0].cells)


def usable_cores() -> set[int]:
    """Return the cores that this process may use, empty where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def keep_to(cores: set[int]) -> None:
    """Keep this thread, and processes it starts, on some cores, where the system can."""
    if cores:
        os.sched_setaffinity(0, cores)


def pin_to_one_core() -> None:
    """Keep this process on one core, where the system can."""
    keep_to(set(sorted(usable_cores())[-1:]))
