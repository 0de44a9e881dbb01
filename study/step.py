"""One training step of a stack by hand: forward, loss and backward, in memory that is taken once.

Autograd gives every result new memory; on a CPU its step of 24 networks of depth 8 and width 64 takes a
third longer. What a step does is a fixed sequence of operations on fixed tensors, which a GPU can replay.
Autograd through the modules themselves is what it is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from study.by_hand import RULES
from study.network import ActivationSlice, StackedActivation, StackedLinear, StackedNetwork

SeeLayer = Callable[[int, Tensor, Tensor], None]
"""Called with a layer's place, from 0 at the input, ∂L/∂z ``[cell, batch, unit]`` and what the layer got,
``[cell, batch, in]``; from the output layer on. Both tensors are overwritten afterwards."""


class Run:
    """The activation of a run of cells, by hand or by autograd, on its part of a layer's signals.

    Args:
        module: the activation.
        cells: the first of its cells and the one behind its last.
    """

    def __init__(self, module: ActivationSlice, cells: tuple[int, int]) -> None:
        self.module = module
        self.cells = slice(*cells)
        self.rule = RULES.get(module.function)
        self.in_place = self.rule is not None and not self.rule.needs_z
        self._graph: tuple[Tensor, Tensor] | None = None

    def forward(self, z: Tensor, h: Tensor, derive: bool) -> None:
        """Write h of the run's cells; both tensors are those of all cells."""
        z, h = z[self.cells], h[self.cells]
        if self.rule is not None:
            self.rule.values(z, h, **self._arguments())
            return
        with torch.set_grad_enabled(derive):
            leaf = z.detach().requires_grad_(derive)
            values = self.module(leaf)
        h.copy_(values.detach())
        self._graph = (leaf, values) if derive else None

    def values_and_slopes(self, z: Tensor, h: Tensor, slope: Tensor) -> None:
        """Write h = φ(z) and φ'(z) of the run's cells; the tensors are those of all cells and apart."""
        self.forward(z, h, derive=True)
        slope[self.cells] = 1.0
        self.backward(slope, z, h, learn=False)

    def backward(self, gradient: Tensor, z: Tensor, h: Tensor, learn: bool = True) -> None:
        """Turn ∂L/∂h of the run's cells into ∂L/∂z.

        Args:
            gradient: of all cells, as the other two.
            z: pre-activations.
            h: what `forward` made of them.
            learn: whether to leave the gradient of learned arguments in their ``grad``.
        """
        gradient, z, h = gradient[self.cells], z[self.cells], h[self.cells]
        learned = dict(self.module.named_parameters()) if learn else {}
        if self.rule is not None:
            arguments = self._arguments()
            if learned and self.rule.learn is not None:
                for name, value in self.rule.learn(gradient, z, h, **arguments).items():
                    learned[name].grad.copy_(value)  # type: ignore[union-attr]
            self.rule.chain(gradient, z, h, **arguments)
            return
        assert self._graph is not None
        leaf, values = self._graph
        found = torch.autograd.grad(
            values, [leaf, *learned.values()], gradient, allow_unused=True, materialize_grads=True
        )
        targets = [gradient, *(parameter.grad for parameter in learned.values())]
        for target, value in zip(targets, found, strict=True):
            target.copy_(value)  # type: ignore[union-attr]
        self._graph = None

    def _arguments(self) -> dict[str, Any]:
        learned = {name: value.detach() for name, value in self.module.named_parameters()}
        return {**self.module.fixed, **learned}


@dataclass
class _Room:
    """Memory for a number of samples.

    Attributes:
        z: of each hidden layer, ``[cell, sample, unit]``.
        h: likewise; the same memory as z where every activation works in place.
        outputs: ``[cell, out, sample]``.
        signals: two tensors ``[cell, sample, unit]`` for ∂L/∂z of a layer and of the one below.
    """

    z: list[Tensor]
    h: list[Tensor]
    outputs: Tensor
    signals: tuple[Tensor, Tensor]


class Step:
    """Runs a stack forward, and back to the gradients of its parameters.

    Args:
        network: the stack; its parameters' ``grad`` are written by every call.
        samples: the most samples of a cell that will be run at a time.
    """

    def __init__(self, network: StackedNetwork, samples: int) -> None:
        layers = list(network.each_layer())
        self.linears: list[StackedLinear] = [layer.linear for layer in layers]
        self.runs = [runs_of(layer.activation) for layer in layers[:-1]]  # type: ignore[arg-type]
        self.samples = samples
        weight = self.linears[-1].weight
        self.cells, self.outputs, _ = weight.shape
        self.width = self.linears[0].weight.shape[1]
        self._z = [self._memory(samples * self.width) for _ in self.runs]
        self._h = [
            z if all(run.in_place for run in runs) else torch.empty_like(z)
            for z, runs in zip(self._z, self.runs, strict=True)
        ]
        self._out = self._memory(samples * self.outputs)
        self._signals = [self._memory(samples * self.width) for _ in self.runs[:2]]
        self._rooms: dict[int, _Room] = {}
        take_gradients(network)

    def _memory(self, numbers: int) -> Tensor:
        return self.linears[0].weight.new_empty(self.cells * numbers).detach()

    def _room(self, samples: int) -> _Room:
        if samples not in self._rooms:

            def part(memory: Tensor, *shape: int) -> Tensor:
                # the front of it, without gaps: a batched product copies what has any
                return memory[: self.cells * shape[0] * shape[1]].view(self.cells, *shape)

            signals = [part(one, samples, self.width) for one in self._signals]
            self._rooms[samples] = _Room(
                z=[part(one, samples, self.width) for one in self._z],
                h=[part(one, samples, self.width) for one in self._h],
                outputs=part(self._out, self.outputs, samples),
                signals=(signals[0], signals[-1]) if signals else (self._out, self._out),
            )
        return self._rooms[samples]

    @torch.no_grad()
    def forward(self, inputs: Tensor, derive: bool = False) -> Tensor:
        """Return the outputs ``[cell, sample, out]``, which stand until the next call.

        Args:
            inputs: ``[cell, sample, in]``.
            derive: whether `__call__` will go back through it.
        """
        room = self._room(inputs.shape[1])
        h = inputs
        for linear, runs, z, above in zip(self.linears, self.runs, room.z, room.h, strict=False):
            affine(h, linear.weight.mT, linear.bias, z)
            for run in runs:
                run.forward(z, above, derive)
            h = above
        last = self.linears[-1]
        # samples side by side: what is done to ten classes at a time is done to all samples at once
        affine(last.weight, h.mT, None if last.bias is None else last.bias.mT, room.outputs)
        return room.outputs.mT

    @torch.no_grad()
    def __call__(
        self,
        inputs: Tensor,
        labels: Tensor,
        see_layer: SeeLayer | None = None,
    ) -> Tensor:
        """Return each cell's mean loss ``[cell]`` and leave its gradient in the parameters' ``grad``.

        Args:
            inputs: ``[cell, batch, in]``.
            labels: ``[cell, batch]``, as for `study.network.cell_losses`.
            see_layer: called with every layer's signals.
        """
        outputs = self.forward(inputs, derive=True).mT
        losses, signal = loss_and_signal(outputs, labels)
        self._backward(inputs, signal, see_layer)
        return losses

    @torch.no_grad()
    def weights_finite(self) -> Tensor:
        """Return whether every weight of each cell is a finite number, ``[cell]``."""
        return weights_finite([linear.weight for linear in self.linears])

    def _backward(
        self,
        inputs: Tensor,
        signal: Tensor,
        see_layer: SeeLayer | None,
    ) -> None:
        """Write every gradient; ``signal`` is ∂L/∂z of the output layer, ``[cell, out, batch]``."""
        room = self._room(inputs.shape[1])
        below = [inputs, *room.h]
        last = self.linears[-1]
        torch.bmm(signal, below[-1], out=last.weight.grad)
        if last.bias is not None:
            torch.sum(signal, dim=2, keepdim=True, out=last.bias.grad.mT)  # type: ignore[union-attr]
        above, signal, free = last, signal.mT, room.signals
        if see_layer is not None:
            see_layer(len(self.runs), signal, below[-1])
        for index in reversed(range(len(self.runs))):
            linear = self.linears[index]
            gradient, free = free[0], free[::-1]
            torch.bmm(signal, above.weight, out=gradient)
            for run in self.runs[index]:
                run.backward(gradient, room.z[index], room.h[index])
            torch.bmm(gradient.mT, below[index], out=linear.weight.grad)
            if linear.bias is not None:
                torch.sum(gradient, dim=1, keepdim=True, out=linear.bias.grad)
            if see_layer is not None:
                see_layer(index, gradient, below[index])
            above, signal = linear, gradient


def take_gradients(network: StackedNetwork) -> None:
    """Give every parameter without a ``grad`` memory for it."""
    for parameter in network.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def loss_and_signal(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses ``[cell]`` and their gradient to the outputs, ``[cell, out, batch]``.

    Args:
        outputs: ``[cell, out, batch]``.
        labels: ``[cell, batch]``, as for `study.network.cell_losses`.
    """
    batch = labels.shape[1]
    if labels.is_floating_point():
        off = outputs - labels.unsqueeze(1)
        return off.square().mean(dim=(1, 2)), off.mul_(2 / batch)
    log_shares = F.log_softmax(outputs, dim=1)
    chosen = labels.unsqueeze(1)
    losses = -log_shares.gather(1, chosen).mean(dim=(1, 2))
    classes = torch.arange(outputs.shape[1], device=outputs.device).view(1, -1, 1)
    hits = torch.eq(classes, chosen).to(outputs.dtype)
    return losses, log_shares.exp_().sub_(hits).div_(batch)


def weights_finite(weights: Sequence[Tensor]) -> Tensor:
    """Return whether all of each cell's numbers are finite, ``[cell]``.

    Args:
        weights: ``[cell, out, in]`` each.
    """
    sums = sum(weight.sum(dim=(1, 2)) for weight in weights)
    finite = torch.isfinite(torch.as_tensor(sums))
    # a sum is not finite either where finite numbers add up to more than the format holds
    if weights[0].is_cuda or not finite.all():
        # 0 times infinity is NaN
        zeros = sum(weight.mul(0).sum(dim=(1, 2)) for weight in weights)
        finite = torch.as_tensor(zeros) == 0
    return finite


def runs_of(activation: StackedActivation) -> list[Run]:
    """Return the activations of a layer, each with its cells."""
    bounds = [0, *accumulate(activation.counts)]
    return [
        Run(one, cells)
        for one, cells in zip(activation.each_slice(), pairwise(bounds), strict=True)
    ]


def affine(x: Tensor, y: Tensor, offset: Tensor | None, out: Tensor) -> None:
    """Write the batched product of x and y, plus an offset that fits it."""
    if offset is None:
        torch.bmm(x, y, out=out)
    else:
        torch.baddbmm(offset, x, y, out=out)
