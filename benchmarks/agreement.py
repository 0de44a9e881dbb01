"""Every peer gives the product's numbers, or nothing is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.equality import LOSS_BOUND, UnequalError, difference, tolerance
from benchmarks.peers import careful, vmapped
from benchmarks.peers.measured import Measured
from benchmarks.timing import CPU, JAX_FORMS, Shape
from benchmarks.workload import networks
from study.cell import Cell
from study.training import train_pack

STEPS, CELLS = 20, 3

FLOAT32_DEPTH = 8
"""Deeper He-started networks multiply rounding up to a million times in these steps: float64 there."""


def program_of(peer: str) -> Callable[[Sequence[Cell]], Measured]:
    """Return what trains a pack by a peer's name."""
    if peer in JAX_FORMS:
        from benchmarks.peers import jax_scan  # JAX is an extra

        return lambda cells: jax_scan.Program(cells, JAX_FORMS[peer]).run()
    return {"careful": careful.train, "vmapped": vmapped.train}[peer]


def check(peer: str, cells: Sequence[Cell], product: Any = None) -> dict[str, Any]:
    """Return how far a peer's numbers are from the product's.

    At step 0, from the same weights, everything measured in float64 may differ by rounding alone; at the
    last step the loss by `LOSS_BOUND`.

    Raises:
        UnequalError: they differ by more.
    """
    settings = cells[0].settings
    found = difference(product or train_pack(cells, CPU), program_of(peer)(cells))
    bound = tolerance(settings["depth"], settings["width"], settings["batch_size"], 0, "float64")
    if not (found.start <= bound and found.last_loss <= LOSS_BOUND):
        raise UnequalError(
            f"{peer} and the product disagree at depth {settings['depth']} with "
            f"{settings['activation']['name']}: what is measured at step 0 by {found.start:.1e} where "
            f"rounding explains {bound:.1e}, the loss after {settings['steps']} steps by "
            f"{found.last_loss:.1e} nats where {LOSS_BOUND:g} is allowed"
        )
    return {
        "peer": peer,
        "depth": settings["depth"],
        "activation": settings["activation"]["name"],
        "dtype": settings["dtype"],
        "start": found.start,
        "last_loss_nats": found.last_loss,
    }


def check_all(shapes: Iterable[Shape], peers: Sequence[str]) -> list[dict[str, Any]]:
    """Check every peer on every depth and activation, at the smallest width.

    Raises:
        UnequalError: one of them differs.
    """
    chosen = list(shapes)
    width = min(shape.width for shape in chosen)
    found = []
    for depth, activation in sorted({(shape.depth, shape.activation) for shape in chosen}):
        dtype = "float32" if depth <= FLOAT32_DEPTH else "float64"
        cells = networks(depth, width, activation, STEPS, CELLS, dtype)
        product = train_pack(cells, CPU)
        found += [check(peer, cells, product) for peer in peers]
    return found
