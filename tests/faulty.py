"""Functions with faults, to be used by ``--use``; `NO_FAULTS` in the environment mends them all."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

import torch

from study.activations import ACTIVATIONS
from study.initializers import INITIALIZERS

RAISE, MEMORY, EXIT, SEGFAULT, KILL, OWN_MESSAGE = range(1, 7)
"""What a fault does: settings are numbers."""

HUGE = 1e4
"""Beyond it an activation takes a network for one that is marked."""

seen = {"marked": 0, "last": 0}


def fail(kind: float, what: Any = "") -> None:
    """Do what a fault does."""
    if "NO_FAULTS" in os.environ:
        return
    if kind == RAISE:
        raise RuntimeError("no luck today")
    if kind == MEMORY:
        raise MemoryError
    if kind == EXIT:
        os._exit(7)
    if kind == SEGFAULT:
        ctypes.string_at(0)
    if kind == KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == OWN_MESSAGE:
        raise RuntimeError(f"no luck with {what}")


@INITIALIZERS.register()
def marked(draw, *, start: float = 0.0, mark: float = 0.0):
    """Fail at the start; or mark the network, so that the activation knows it."""
    if start and draw.layer == 2:
        fail(start, round(float(draw.weight[0, 0]), 6))
    return draw.weight * (1e8 if mark and draw.layer == 1 else 0.3)


@ACTIVATIONS.register()
def fragile(z, *, kind: float = 0.0, calls: float = 40.0, together: float = 0.0):
    """Tanh, but that it fails in the midst of training where marked networks run, or two of them."""
    if z.shape == (2, 3, 4):  # before a training begins, each function is tried on these
        seen["marked"] = 0
    elif kind:
        count = int((z.detach().abs().flatten(1).amax(1) > HUGE).sum())
        if count > together:
            seen["marked"] += 1
        if seen["marked"] > calls:
            fail(kind)
    return torch.tanh(z)


def log(line: str) -> None:
    """Add a line to the file that the environment names."""
    if path := os.environ.get("CALLS"):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, f"{line}\n".encode())
        os.close(handle)


@INITIALIZERS.register()
def counted(draw, *, gain: float = 0.3):
    """Tell of each network that is begun."""
    if draw.layer == draw.depth:
        log(f"{os.getpid()} {draw.depth} {draw.activation['name']} {draw.weight[0, 0]!r} {gain}")
    return gain * draw.weight
