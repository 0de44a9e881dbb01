"""Networks of the study that tasks look at without training them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from study.initializers import INITIALIZERS, Array
from study.later import Later
from study.randomness import stream

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from study import network
    from study.network import StackedNetwork
else:
    torch, network = Later("torch"), Later("study.network")

Layers = list[tuple[Array, Array]]
"""Weights ``[out, in]`` and biases ``[out]`` of each layer."""

INPUTS, OUTPUTS, SAMPLES = 64, 10, 128


def drawn(init: str, activation: str, depth: int, width: int, seed: int) -> Layers:
    """Return a network's start as the study draws it, in float64.

    Args:
        init: an initializer that looks at no samples.
        activation: the network's.
        depth: layers that carry weights.
        width: units of a hidden layer.
        seed: the network's.
    """
    settings = {
        "init": {"name": init, **INITIALIZERS[init].parameters},
        "activation": {"name": activation},
        "seed": seed,
    }
    return network.start(settings, network.Shape(INPUTS, width, OUTPUTS, depth, True))


def stacked(starts: list[Layers], activation: str) -> StackedNetwork:
    """Return networks of one activation as one stack, in float64."""
    runs = [({"name": activation}, len(starts))]
    return network.stack(starts, runs, True, torch.float64)


def samples(seed: int, cells: int) -> Tensor:
    """Return standard normal inputs, the same for every network: ``[cell, sample, in]``."""
    inputs = torch.from_numpy(stream(seed, "tasks/inputs").standard_normal((SAMPLES, INPUTS)))
    return inputs.expand(cells, -1, -1)
