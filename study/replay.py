"""Operations that are the same at every step: on a GPU they are recorded once and replayed."""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP = 3
"""Runs before the recording, in which PyTorch and cuBLAS choose kernels and take memory."""

WORTH_FROM = 20
"""Steps from which a recording, which costs some runs, is worth it."""


class Replay:
    """A fixed sequence of operations on tensors that stay where they are.

    A step of a deep stack is hundreds of small kernels, and a GPU waits longer for each to be asked
    for than it takes. Replayed as one CUDA graph they follow each other at once. On a CPU, and for a
    few steps, the operations are simply called.

    Args:
        operations: called without arguments; reads what it needs from tensors and leaves what comes
            out in tensors, which keep their memory, and does not wait for a number. Called several
            times before the first step, so that it must not go on from its own results.
        device: where it runs.
        steps: how many times it will run.
    """

    def __init__(self, operations: Callable[[], None], device: torch.device, steps: int) -> None:
        self._run = operations
        if device.type == "cuda" and steps >= WORTH_FROM:
            self._run = _recorded(operations)

    def __call__(self) -> None:
        """Run the operations once."""
        self._run()


def _recorded(operations: Callable[[], None]) -> Callable[[], None]:
    """Return what replays the operations on the GPU."""
    here = torch.cuda.current_stream()
    aside = torch.cuda.Stream()
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            operations()
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        operations()
    return graph.replay  # type: ignore[no-any-return]
