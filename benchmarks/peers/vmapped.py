"""The same pack by `torch.func`: one network's code, vmapped over stacked weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vjp, vmap
from torch.nn import functional as F

from benchmarks.peers import quantities
from benchmarks.peers.careful import build, linears_of
from benchmarks.peers.measured import Measured, first_bad_step
from study.activations import ACTIVATIONS
from study.cell import Cell
from study.pack_data import PackData
from study.probe import probe_steps

State = dict[str, Tensor]
"""Parameters by name, of one network or, before vmap, ``[cell, …]``."""

CELLS_AT_ONCE = 4
"""Networks vmapped together where a signal has more samples than a batch: more leave the cache."""

EVALUATED = 1000
"""Samples evaluated at a time."""


class Shifted(nn.Module):
    """A network that says every layer's z, and adds something to it if asked: its gradient is z's."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, shifts: Sequence[Tensor] | None = None) -> list[Tensor]:
        z: list[Tensor] = []
        for module in self.network:
            x = module(x)
            if isinstance(module, nn.Linear):
                x = x if shifts is None else x + shifts[len(z)]
                z.append(x)
        return z


class Program:
    """A pack of networks as functions of their stacked weights.

    Args:
        cells: the pack; one of the activations in `careful.MODULES`, plain gradient descent.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.settings = cells[0].settings
        self.largest = ACTIVATIONS[self.settings["activation"]["name"]].extra.largest_slope
        networks = [Shifted(build(cell)) for cell in cells]
        state, _ = stack_module_state(networks)
        self.state = {name: value.detach() for name, value in state.items()}
        self.plain = networks[0].to("meta")
        self.units = [len(linear.bias) for linear in linears_of(self.plain.network)]
        names = [name for name in self.state if self.state[name].dim() == 3]
        # [cell, out, in]; a learned slope is [cell, 1] and a bias [cell, out]
        self.weights = names
        self.biases = [name.replace("weight", "bias") for name in names]
        self.slopes = [name for name in self.state if name not in {*names, *self.biases}]
        self.gradient = vmap(grad_and_value(self.loss))

    def outputs(self, state: State, x: Tensor) -> Tensor:
        """Return one network's logits ``[batch, class]``."""
        return functional_call(self.plain, state, (x,))[-1]

    def loss(self, state: State, x: Tensor, y: Tensor) -> Tensor:
        """Return one network's mean loss."""
        return F.cross_entropy(self.outputs(state, x), y)

    def _of_batch(self, state: State, x: Tensor, y: Tensor) -> quantities.Quantities:
        def shifted_loss(state: State, shifts: list[Tensor]) -> Tensor:
            return F.cross_entropy(functional_call(self.plain, state, (x, shifts))[-1], y)

        shifts = [x.new_zeros(len(x), units) for units in self.units]
        gradients, signals = torch.func.grad(shifted_loss, argnums=(0, 1))(state, shifts)
        names = list(zip(self.weights, self.biases, strict=True))
        return quantities.of_batch(
            [(state[weight], state[bias]) for weight, bias in names],
            [(gradients[weight], gradients[bias]) for weight, bias in names],
            signals,
        )

    def _activations(self, state: State, z: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return φ(z) and φ'(z) of every hidden layer."""
        found = []
        hidden = [one for one in self.plain.network if not isinstance(one, nn.Linear)]
        for index, (module, signal) in enumerate(zip(hidden, z[:-1], strict=True)):
            own = {"weight": state[self.slopes[index]]} if self.slopes else {}

            def phi(z: Tensor, module: nn.Module = module, own: State = own) -> Tensor:
                return functional_call(module, own, (z,))

            h, pull = vjp(phi, signal)
            found.append((h, *pull(torch.ones_like(h))))
        return found

    def measured(
        self,
        state: State,
        batch: tuple[Tensor, Tensor],
        probe: tuple[Tensor, Tensor],
        test: tuple[Tensor, Tensor],
        dead: tuple[Tensor, Tensor],
        changed: tuple[State, State],
        ends: bool,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Return ``[layer, quantity]``, ``[4]`` losses and accuracies and dead units of one network.

        Args:
            state: the weights before the update.
            batch: the next one.
            probe: the probe set.
            test: the test samples looked at.
            dead: ``[hidden layer, unit]``: at every probe step so far, at any.
            changed: gradient as trained and weights after the update.
            ends: whether this is the first or the last probe step.
        """
        twin = {name: value.double() for name, value in state.items()}
        z = functional_call(self.plain, twin, (probe[0].double(),))
        h, slopes = zip(*self._activations(twin, z), strict=True)
        now = quantities.dead(slopes)
        dead = (dead[0] & now, dead[1] | now)
        learned = [{"act_slope": twin[name].squeeze()} for name in self.slopes]
        gradient, after = changed
        rows = quantities.as_rows(
            self._of_batch(twin, batch[0].double(), batch[1]),
            quantities.of_units(z, h, slopes, self.largest),
            quantities.of_dead(now, *dead),
            [*(learned or [{} for _ in h]), {}],
            quantities.of_gradient_as_trained([gradient[name] for name in self.weights]),
            quantities.of_update(*[[of[name] for name in self.weights] for of in (twin, after)]),
            *([quantities.of_percentiles(z), self._twins(twin)] if ends else []),
        )
        of_probe = quantities.loss_and_accuracy(z[-1], probe[1])
        of_test = quantities.loss_and_accuracy(self.outputs(state, test[0]), test[1])
        return rows, torch.stack([*of_probe, *of_test]), dead

    def _twins(self, twin: State) -> quantities.Quantities:
        biases = [name.replace("weight", "bias") for name in self.weights]
        pairs = zip(self.weights, biases, strict=True)
        return quantities.of_twins([(twin[weight], twin[bias]) for weight, bias in pairs])

    def evaluated(self, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        """Return mean loss and accuracy ``[cell]`` on ``[cell, sample, in]``."""
        forward = vmap(self.outputs, chunk_size=CELLS_AT_ONCE)
        logits = torch.cat([forward(self.state, x) for x in inputs.split(EVALUATED, 1)], 1)
        return vmap(lambda *of: torch.stack(quantities.loss_and_accuracy(*of)))(logits, labels).T


def train(cells: Sequence[Cell]) -> Measured:
    """Train and measure a pack."""
    with torch.no_grad():
        return _train(cells)


def _train(cells: Sequence[Cell]) -> Measured:
    settings = cells[0].settings
    steps, rate = settings["steps"], settings["optim"]["lr"]
    seeds = [cell.settings["seed"] for cell in cells]
    dtype = getattr(torch, settings["dtype"])
    data = PackData(settings, seeds, dtype, torch.device("cpu"))
    program = Program(cells)
    train, probe, test = (
        data.for_cells(part)
        for part in (lambda one: one.train, lambda one: one.probe, lambda one: one.test_part)
    )
    order = data.order[:, data.seed_of_cell]
    of_cell = torch.arange(len(cells))[:, None]
    schedule = probe_steps(steps, settings["probe"]["steps"])
    units = (len(cells), len(program.units) - 1, settings["width"])
    dead = (torch.ones(units, dtype=torch.bool), torch.zeros(units, dtype=torch.bool))
    measure = {
        ends: vmap(_with(program.measured, ends), chunk_size=CELLS_AT_ONCE)
        for ends in (True, False)
    }
    rows, seen, losses, finite = [], [], [], []
    for step, chosen in enumerate(order):
        batch = (train[0][of_cell, chosen], train[1][of_cell, chosen])
        gradient, loss = program.gradient(program.state, *batch)
        losses.append(loss)
        sums = torch.stack([program.state[name].sum((1, 2)) for name in program.weights])
        finite.append(torch.isfinite(sums).all(0))
        after = program.state
        if step < steps:
            changes = torch._foreach_mul(list(gradient.values()), -rate)
            moved = torch._foreach_add(list(program.state.values()), changes)
            after = dict(zip(program.state, moved, strict=True))
        if step in schedule:
            found, numbers, dead = measure[step in (0, steps)](
                program.state, batch, probe, test, dead, (gradient, after)
            )
            rows.append(found)
            seen.append(numbers)
        program.state = after
    final = torch.cat(
        [
            torch.stack(list(program.evaluated(*data.for_cells(part))))
            for part in (lambda one: one.train, lambda one: one.validation, lambda one: one.test)
        ]
    )
    return _measured(rows, seen, torch.stack(losses), torch.stack(finite), final)


def _with(function: Callable[..., Any], ends: bool) -> Callable[..., Any]:
    return lambda *arguments: function(*arguments, ends)


def _measured(
    rows: list[Tensor], seen: list[Tensor], losses: Tensor, finite: Tensor, final: Tensor
) -> Measured:
    layers = torch.stack(rows, -1).permute(3, 1, 2, 0).numpy().copy()
    layers[-1][:, quantities.QUANTITIES.index("update_norm")] = np.nan  # nothing follows it
    good = torch.isfinite(losses) & finite
    return Measured(
        layers,
        losses.double().numpy(),
        torch.stack(seen, -1).permute(2, 1, 0).numpy(),
        final.numpy(),
        first_bad_step(good.numpy()),
    )
