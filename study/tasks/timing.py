"""How tasks take time: calls that are to be compared in turn, so that a slow minute hits all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from study.later import Later
from study.randomness import stream

if TYPE_CHECKING:
    import torch
else:
    torch = Later("torch")

Key = TypeVar("Key")

LEAST_SECONDS = 0.005
"""A sample takes at least this long: some ten thousand times what the clock and the loop take."""


def seconds(
    calls: Mapping[Key, Callable[[], object]],
    repeats: int,
    device: str = "cpu",
    least: float = LEAST_SECONDS,
) -> Iterator[tuple[Key, int, float]]:
    """Yield how long a call takes, every one of them once a round, in an order that is drawn anew.

    Args:
        calls: what to time, by any key.
        repeats: rounds.
        device: ``"cpu"`` or ``"cuda"``, which is waited for.
        least: seconds that a sample takes at least, by calling as often as that needs.

    Yields:
        Key, round from 0 on, and seconds of one call.
    """
    # also what makes caches and allocators warm
    loops = {key: _loops(call, device, least) for key, call in calls.items()}
    keys = list(calls)
    random = stream(0, "timing")
    for repeat in range(repeats):
        for place in random.permutation(len(keys)):
            key = keys[place]
            yield key, repeat, _sample(calls[key], loops[key], device) / loops[key]


def _loops(call: Callable[[], object], device: str, least: float) -> int:
    call()
    loops = 1
    while _sample(call, loops, device) < least:
        loops *= 2
    return loops


def _sample(call: Callable[[], object], loops: int, device: str) -> float:
    """Return the seconds of so many calls, without a collection of garbage among them."""
    collected = gc.isenabled()
    gc.disable()
    try:
        _wait(device)
        began = time.perf_counter()
        for _ in range(loops):
            call()
        _wait(device)
        return time.perf_counter() - began
    finally:
        if collected:
            gc.enable()


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
