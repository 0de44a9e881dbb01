"""What is measured, layer by layer, at a probe step: in float64, on the weights as they are.

Training runs in float32 with denormal numbers flushed to zero; a norm of its gradients would be 0
below 2⁻⁷⁵ per entry. So a twin of the stack in float64 takes the weights at every probe step and is
run twice: forward and back on the next training batch for the gradients, as the training step runs it
(with the batch's moments where there is batch normalization, and with the step's dropout), and forward on
the probe set, as in evaluation, for everything about units. What is called z is what the activation gets,
which is behind a normalization. Two counts come from the gradient as trained (`grad_zeros`,
`grad_nonfinite`), `update_norm` from the weights after the update, and `update_cosine` from those before
the last one, too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.autograd_step import AutogradStep, population_moments, step_of
from study.dropout import Masks
from study.measures import (
    accuracy,
    cosine,
    count_of_one_sign,
    norm,
    r_squared,
    share_of_one_sign,
    signal_quantities,
    twins,
)
from study.network import StackedActivation, StackedNetwork, cell_losses
from study.normalization import Moments
from study.pack_data import Samples
from study.schema import Z_PERCENTILES
from study.step import Step, affine, runs_of
from study.units import DeadUnits, UnitSums

QUANTITIES = (
    "weight_grad_norm",
    "bias_grad_norm",
    "signal_grad_rms",
    "z_mean",
    "z_second_moment",
    *(f"z_p{percent:02d}" for percent in Z_PERCENTILES),
    "h_mean",
    "h_second_moment",
    "slope_second_moment",
    "z_collapse",
    "signal_collapse",
    "active_share",
    "dead_units",
    "born_dead_units",
    "revived_units",
    "twin_units",
    "saturated_share",
    "weight_norm",
    "update_norm",
    "act_slope",
    "grad_zeros",
    "grad_nonfinite",
    "same_sign_units",
    "same_sign_inputs",
    "update_cosine",
)
INDEX = {name: index for index, name in enumerate(QUANTITIES)}

CHUNK = 128
"""Probe samples run at a time: the signals of a pack then stay near the processor."""


def probe_steps(steps: int, count: int) -> list[int]:
    """Return some ``count`` steps from 0 to ``steps``, log-spaced, both ends always in."""
    if steps == 0:
        return [0]
    spaced = np.geomspace(1, steps, max(count - 1, 1))
    return sorted({0, steps, *(round(float(step)) for step in spaced)})


class ProbeBuffer:
    """Everything measured of a pack, kept on its device until the pack ends.

    Attributes:
        values: ``[probe step, layer, quantity, cell]``, float64, NaN where nothing was measured.
    """

    def __init__(self, steps: int, layers: int, cells: int, device: torch.device) -> None:
        shape = (steps, layers, len(QUANTITIES), cells)
        self.values = torch.full(shape, torch.nan, dtype=torch.float64, device=device)

    def write(self, step: int, layer: int, **measured: Tensor) -> None:
        """Store quantities ``[cell]`` of one layer at one probe step."""
        for name, value in measured.items():
            self.values[step, layer, INDEX[name]] = value


class Probe:
    """Measures a stack of networks at its probe steps.

    Args:
        network: the networks as trained.
        steps: the probe steps.
        samples: the probe set.
        masks: as the training step has them; None: nothing is dropped.

    Attributes:
        buffer: what was measured of every layer.
        finite: ``[probe step, layer, cell]``, whether every z of the probe set is a finite number.
        losses: ``[probe step, cell]``, mean loss of the probe set.
        scores: ``[probe step, cell]``, its accuracy, or R² in regression.
    """

    def __init__(
        self,
        network: StackedNetwork,
        steps: list[int],
        samples: Samples,
        masks: Masks | None = None,
    ) -> None:
        self.network = network
        self.masks = masks
        self.steps = steps
        self.samples = samples
        self.twin = copy.deepcopy(network).double()
        self.layers = list(self.twin.each_layer())
        cells, device = samples.cells, samples.device
        self.buffer = ProbeBuffer(len(steps), len(self.layers), cells, device)
        per_layer = (len(steps), len(self.layers), cells)
        self.finite = torch.ones(per_layer, dtype=torch.bool, device=device)
        self.losses = torch.full((len(steps), cells), torch.nan, dtype=torch.float64, device=device)
        self.scores = self.losses.clone()
        self._dead = [DeadUnits() for _ in self.layers]
        self._runs = [
            runs_of(layer.activation)
            for layer in self.layers
            if isinstance(layer.activation, StackedActivation)
        ]
        self._step: Step | AutogradStep | None = None
        self._rooms: dict[int, list[Tensor]] = {}
        self._last_weights: list[Tensor] | None = None

    def state(self) -> dict[str, Any]:
        """Return everything that is carried from one step to the next, tensors as they stand."""
        return {
            "layers": self.buffer.values,
            "z_finite": self.finite,
            "losses": self.losses,
            "scores": self.scores,
            "dead": [(dead.always, dead.ever) for dead in self._dead],
            "last_weights": self._last_weights,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned of another probe of the same pack."""
        self.buffer.values.copy_(state["layers"])
        self.finite.copy_(state["z_finite"])
        self.losses.copy_(state["losses"])
        self.scores.copy_(state["scores"])
        for dead, (always, ever) in zip(self._dead, state["dead"], strict=True):
            dead.always, dead.ever = always, ever
        self._last_weights = state["last_weights"]

    def measure(self, step: int, inputs: Tensor, labels: Tensor) -> None:
        """Measure the weights before the next update.

        Args:
            step: one of the probe steps.
            inputs: the next training batch, ``[cell, batch, in]``.
            labels: ``[cell, batch]``.
        """
        row = self.steps.index(step)
        with torch.no_grad():
            for twin, trained in zip(
                self.twin.parameters(), self.network.parameters(), strict=True
            ):
                twin.copy_(trained)
        self._gradient_pass(row, inputs.double(), labels)
        self._unit_pass(row)

    def _gradient_pass(self, row: int, inputs: Tensor, labels: Tensor) -> None:
        """Forward and back on the batch: norms of gradients and weights."""
        if self._step is None:
            self._step = step_of(self.twin, inputs.shape[1], self.masks)

        def see_layer(index: int, signal: Tensor, below: Tensor) -> None:
            self.buffer.write(
                row, index, **signal_quantities(signal), same_sign_inputs=share_of_one_sign(below)
            )

        self._step(inputs, labels.double() if labels.is_floating_point() else labels, see_layer)
        for index, layer in enumerate(self.layers):
            weight, bias = layer.linear.weight, layer.linear.bias
            found = {
                "weight_grad_norm": norm(gradient_of(weight)),
                "weight_norm": norm(weight.detach()),
                "same_sign_units": count_of_one_sign(gradient_of(weight)),
            }
            if bias is not None:
                found["bias_grad_norm"] = norm(gradient_of(bias))
            if self._at_end(row) and index < len(self.layers) - 1:
                found["twin_units"] = twins(
                    weight.detach(), None if bias is None else bias.detach()
                )
            self.buffer.write(row, index, **found)

    def _at_end(self, row: int) -> bool:
        """Whether this is the first or the last probe step, where more is measured."""
        return row in (0, len(self.steps) - 1)

    @torch.no_grad()
    def _unit_pass(self, row: int) -> None:
        """Forward on the probe set: what the units of every layer do, and the loss."""
        sums = [
            UnitSums(layer, self.samples.count, dead, percentiles=self._at_end(row))
            for layer, dead in zip(self.layers, self._dead, strict=True)
        ]
        moments = population_moments(self.twin, self._parts())
        outputs = torch.cat([self._forward(part, sums, moments) for part in self._parts()], dim=1)
        for index, unit_sums in enumerate(sums):
            self.buffer.write(row, index, **unit_sums.results())
            self.finite[row, index] = unit_sums.finite
        labels, variance = self.samples.labels, self.samples.variance
        losses = cell_losses(outputs, labels)
        self.losses[row] = losses
        self.scores[row] = (
            accuracy(outputs, labels) if variance is None else r_squared(losses, variance)
        )

    def _parts(self) -> Iterator[Tensor]:
        """Yield the probe set in float64, ``[cell, sample, in]`` at a time."""
        for part, _ in self.samples.chunks(CHUNK):
            yield part.double()

    def _forward(
        self, inputs: Tensor, sums: list[UnitSums], moments: list[Moments | None]
    ) -> Tensor:
        """Run samples forward, adding to the sums of every layer; return the outputs."""
        z, h, free, slope, room = self._memory(inputs.shape[1])
        below = inputs
        for layer, runs, unit_sums, of_layer in zip(
            self.layers, self._runs, sums, moments, strict=False
        ):
            affine(below, layer.linear.weight.mT, layer.linear.bias, out=z)
            if layer.norm is not None:
                z.copy_(layer.norm(z, of_layer))
            unit_sums.see_z(z)
            for run in runs:
                run.values_and_slopes(z, h, slope)
            unit_sums.see_h(z, h, slope, room)
            below, h, free = h, free, h
        last = self.layers[-1].linear
        outputs = inputs.new_empty(*inputs.shape[:2], last.weight.shape[1])
        affine(below, last.weight.mT, last.bias, out=outputs)
        sums[-1].see_z(outputs)
        return outputs

    def _memory(self, samples: int) -> list[Tensor]:
        """Return five tensors ``[cell, sample, unit]``, the same whenever they are asked for."""
        if samples not in self._rooms:
            weight = self.layers[0].linear.weight
            shape = (len(weight), samples, weight.shape[1])
            # not views of one: autograd would take what is written to one as written to all
            self._rooms[samples] = [weight.new_empty(shape).detach() for _ in range(5)]
        return self._rooms[samples]

    def count_gradient(self, step: int) -> None:
        """Count exact zeros and non-finite entries in the gradient as trained."""
        row = self.steps.index(step)
        for index, layer in enumerate(self.network.each_layer()):
            gradient = gradient_of(layer.linear.weight)
            self.buffer.write(
                row,
                index,
                grad_zeros=torch.count_nonzero(gradient == 0, dim=(1, 2)),
                grad_nonfinite=torch.count_nonzero(~torch.isfinite(gradient), dim=(1, 2)),
            )

    @torch.no_grad()
    def remember_weights(self, step: int) -> None:
        """Keep the weights that a probe step's last update begins from; call before every update."""
        if step + 1 not in self.steps:
            return
        weights = [layer.linear.weight for layer in self.network.each_layer()]
        if self._last_weights is None:
            self._last_weights = [torch.empty_like(weight) for weight in weights]
        if step not in self.steps:  # else they are still of use to the update that follows
            for kept, weight in zip(self._last_weights, weights, strict=True):
                kept.copy_(weight)

    @torch.no_grad()
    def measure_update(self, step: int) -> None:
        """Measure what the update changed; call after it, before the next `measure`."""
        row = self.steps.index(step)
        for index, (layer, before) in enumerate(
            zip(self.network.each_layer(), self.layers, strict=True)
        ):
            weight = before.linear.weight
            change = layer.linear.weight.double() - weight
            size = norm(change)
            self.buffer.write(row, index, update_norm=size)
            if row > 0:
                assert self._last_weights is not None
                last = weight - self._last_weights[index].double()
                self.buffer.write(row, index, update_cosine=cosine(last, norm(last), change, size))
            if step + 1 in self.steps:
                assert self._last_weights is not None
                self._last_weights[index].copy_(weight)


def gradient_of(parameter: Tensor) -> Tensor:
    """Return a parameter's gradient, which a step has left there."""
    assert parameter.grad is not None
    return parameter.grad
