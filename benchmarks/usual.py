"""The loop people usually write: hooks that are always on, float32, and a number fetched at every one.

It measures less than the product does and is shown for scale, not held to be equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.quantities import Activation
from benchmarks.sequential import CPU, build
from study.cell import Cell
from study.training import PackData


def hook(network: nn.Sequential, log: list[float]) -> None:
    """Log mean, spread and share of zeros of every activation and the norm of its gradient."""

    def see_h(_module: nn.Module, _arguments: tuple[Tensor], h: Tensor) -> None:
        log.extend((h.mean().item(), h.std().item(), (h == 0).float().mean().item()))

    def see_gradient(_module: nn.Module, _into: tuple[Tensor], out: tuple[Tensor]) -> None:
        log.append(out[0].norm().item())

    for module in network:
        if isinstance(module, Activation):
            module.register_forward_hook(see_h)
            module.register_full_backward_hook(see_gradient)


def train(cell: Cell, steps: int) -> list[float]:
    """Train one network for some steps, without evaluation, and return everything logged."""
    settings = cell.settings
    data = PackData(settings, [settings["seed"]], torch.float32, CPU)
    network = build(cell)
    log: list[float] = []
    hook(network, log)
    optimizer = torch.optim.SGD(network.parameters(), lr=settings["optim"]["lr"])
    for step in range(steps):
        inputs, labels = data.batch(step)
        optimizer.zero_grad()
        logits = network(inputs[0])
        loss = F.cross_entropy(logits, labels[0])
        loss.backward()
        log.append(loss.item())
        log.append((logits.argmax(1) == labels[0]).float().mean().item())
        log.extend(p.grad.norm().item() for p in network.parameters() if p.grad is not None)
        optimizer.step()
    return log
