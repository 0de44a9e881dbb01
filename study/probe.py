"""What is measured, layer by layer, at a probe step: in float64, on the weights as they are.

Training runs in float32 with denormal numbers flushed to zero; a norm of its gradients would be 0
below 2⁻⁷⁵ per entry. So a twin of the network in float64 takes the weights at every probe step and
is run twice: forward and backward on the next training batch for the gradients, and forward on the
probe set for everything about units. Only the twin has hooks. Two counts come from the gradient as
trained (`grad_zeros`, `grad_nonfinite`), and `update_norm` from the weights after the update.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from study.network import Layer, StackedActivation, StackedNetwork, cell_losses
from study.pack_data import Samples
from study.schema import Z_PERCENTILES

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
    "saturated_share",
    "weight_norm",
    "update_norm",
    "act_slope",
    "grad_zeros",
    "grad_nonfinite",
)
INDEX = {name: index for index, name in enumerate(QUANTITIES)}

SATURATED = 0.01
"""A unit counts as saturated on a sample where its slope is below this share of the largest."""

CHUNK = 128
"""Probe samples run at a time: the signals of a pack then stay near the processor."""


def probe_steps(steps: int, count: int) -> list[int]:
    """Return some ``count`` steps from 0 to ``steps``, log-spaced, both ends always in."""
    if steps == 0:
        return [0]
    spaced = np.geomspace(1, steps, max(count - 1, 1))
    return sorted({0, steps, *(round(float(step)) for step in spaced)})


EXTREME = 2.0**400
"""Beyond it, and below its inverse, squares are computed on scaled numbers."""


def power_of_two(values: Tensor) -> Tensor:
    """Return per cell the power of two just above its largest magnitude, ``[cell]``.

    Dividing by it is exact, and squares of what is left neither overflow nor underflow as a whole.
    1 where the largest magnitude is 0, infinite or NaN.
    """
    largest = values.flatten(1).abs().amax(dim=1)
    _, exponent = torch.frexp(largest)
    # built from its bits: torch.ldexp goes through float32 and is 0 below 2⁻¹⁴⁹
    scale = ((exponent.long().clamp(-1022, 1023) + 1023) << 52).view(torch.float64)
    return torch.where(torch.isfinite(largest) & (largest > 0), scale, 1.0)


def scale_of_extremes(values: Tensor) -> Tensor | None:
    """Return `power_of_two` if some cell's squares might leave float64's range, else None.

    A power of two changes no digit, so that a cell has the same numbers whether its neighbours need it
    or not.
    """
    flat = values.flatten(1)
    largest = torch.maximum(flat.amax(dim=1), flat.amin(dim=1).neg())
    extreme = (largest > EXTREME) | ((largest < 1 / EXTREME) & (largest > 0))
    if not (extreme & torch.isfinite(largest)).any():
        return None
    return power_of_two(values)


def gradient_of(parameter: Tensor) -> Tensor:
    """Return a parameter's gradient, which a backward pass has left there."""
    assert parameter.grad is not None
    return parameter.grad


def _per_cell(scale: Tensor, like: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (like.dim() - 1))


def norm(values: Tensor) -> Tensor:
    """Return each cell's Euclidean norm, ``[cell]``, in float64 without intermediate underflow."""
    values = values.double()
    scale = scale_of_extremes(values)
    if scale is None:
        return torch.linalg.vector_norm(values.flatten(1), dim=1)
    scaled = values / _per_cell(scale, values)
    return scale * torch.linalg.vector_norm(scaled.flatten(1), dim=1)


def collapse(mean_vector: Tensor, mean_square: Tensor) -> Tensor:
    """Return ‖mean of v‖² / mean of ‖v‖², ``[cell]``; NaN where every v is zero.

    Args:
        mean_vector: ``[cell, unit]``, the mean of v over samples.
        mean_square: ``[cell]``, the mean of ‖v‖² over samples.
    """
    return mean_vector.square().sum(dim=1) / mean_square


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


class DeadUnits:
    """Which units of one layer were dead so far.

    Attributes:
        always: ``[cell, unit]``, dead at every probe step so far; None before the first.
        ever: ``[cell, unit]``, dead at some probe step so far.
    """

    def __init__(self) -> None:
        self.always: Tensor | None = None
        self.ever: Tensor | None = None

    def see(self, dead: Tensor) -> dict[str, Tensor]:
        """Return how many units are dead, born dead and revived, ``[cell]`` each.

        Args:
            dead: ``[cell, unit]``, dead at this probe step.
        """
        self.always = dead if self.always is None else self.always & dead
        self.ever = dead if self.ever is None else self.ever | dead
        return {
            "dead_units": dead.sum(dim=1).double(),
            "born_dead_units": self.always.sum(dim=1).double(),
            "revived_units": (self.ever & ~dead).sum(dim=1).double(),
        }


class _UnitSums:
    """Sums over the probe set of what the units of one layer do.

    Args:
        layer: the layer.
        samples: size of the probe set.
        dead: which of its units were dead before.
        percentiles: whether to measure how z is distributed.
    """

    def __init__(self, layer: Layer, samples: int, dead: DeadUnits, percentiles: bool) -> None:
        self.samples = samples
        self.dead = dead
        self.wants_percentiles = percentiles
        self.percentiles: dict[str, Tensor] = {}
        self.activation = (
            layer.activation if isinstance(layer.activation, StackedActivation) else None
        )
        self.sums: dict[str, Tensor] = {}
        self.scale: Tensor | None = None
        self.threshold: Tensor | None = None

    def add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def see_z(self, z: Tensor) -> None:
        if not self.sums:  # the first samples
            self.scale = scale_of_extremes(z)
            if self.wants_percentiles:
                self.percentiles = percentiles(z)
        if self.scale is not None:
            z = z / _per_cell(self.scale, z)
        self.add("z", z.sum(dim=1))
        self.add("z_square", _square_sum(z))

    @property
    def finite(self) -> Tensor:
        """Whether every z of the layer is a finite number, ``[cell]``."""
        return torch.isfinite(self.sums["z_square"])

    def see_h(self, z: Tensor, h: Tensor, slope: Tensor) -> None:
        self.add("h", h.sum(dim=(1, 2)))
        self.add("h_square", _square_sum(h))
        self.add("slope_square", _square_sum(slope))
        self.add("active", _count(torch.gt, z, 0.0))
        steepness = slope.abs()
        steepest = steepness.amax(dim=1)
        before = self.sums.get("steepest", steepest)
        self.sums["steepest"] = torch.maximum(before, steepest)
        if self.threshold is None:
            assert self.activation is not None
            slopes = self.activation.trait(lambda traits: traits.largest_slope or torch.nan)
            self.threshold = SATURATED * slopes.to(z.device)
        # a comparison with NaN is false: cells of unbounded activations count nothing here
        if not torch.isnan(self.threshold).all():
            self.add("saturated", _count(torch.lt, steepness, self.threshold.view(-1, 1, 1)))

    def results(self) -> dict[str, Tensor]:
        """Return the layer's quantities, ``[cell]`` each."""
        mean_vector = self.sums["z"] / self.samples
        units = mean_vector.shape[1]
        entries = self.samples * units
        scale = 1.0 if self.scale is None else self.scale
        found = {
            "z_mean": mean_vector.mean(dim=1) * scale,
            # in this order: the scale's square alone may overflow
            "z_second_moment": self.sums["z_square"] / entries * scale * scale,
            "z_collapse": collapse(mean_vector, self.sums["z_square"] / self.samples),
            **self.percentiles,
        }
        if self.activation is None:
            return found
        known = ~torch.isnan(self.sums["z_square"])
        found |= {
            "h_mean": self.sums["h"] / entries,
            "h_second_moment": self.sums["h_square"] / entries,
            "slope_second_moment": self.sums["slope_square"] / entries,
            "active_share": torch.where(known, self.sums["active"] / entries, torch.nan),
            **{
                name: torch.where(known, count, torch.nan)
                for name, count in self.dead.see(self.sums["steepest"] == 0).items()
            },
            "act_slope": self.activation.learned(mean_vector.device),
        }
        if "saturated" in self.sums:
            assert self.threshold is not None
            meant = known & ~torch.isnan(self.threshold)
            found["saturated_share"] = torch.where(
                meant, self.sums["saturated"] / entries, torch.nan
            )
        return found


def percentiles(z: Tensor) -> dict[str, Tensor]:
    """Return the percentiles of z ``[cell, sample, unit]`` by column, ``[cell]`` each; NaN if z has any.

    Linear between the two nearest values, as NumPy's default.
    """
    ordered = _sorted(z.flatten(1))
    unknown = torch.isnan(ordered[:, -1])  # NaN is sorted last
    places = [percent / 100 * (ordered.shape[1] - 1) for percent in Z_PERCENTILES]
    return {
        f"z_p{percent:02d}": torch.where(
            unknown,
            torch.nan,
            torch.lerp(ordered[:, int(place)], ordered[:, math.ceil(place)], place % 1),
        )
        for percent, place in zip(Z_PERCENTILES, places, strict=True)
    }


def _sorted(values: Tensor) -> Tensor:
    """Return each cell's numbers in ascending order, NaN last."""
    if values.device.type == "cpu":
        # NumPy's takes a tenth of the time of PyTorch's, which sorts places along with the numbers
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(dim=1).values


def _count(relation: Callable[..., Tensor], values: Tensor, bound: Tensor | float) -> Tensor:
    """Return how many of each cell's numbers stand in a relation to a bound, ``[cell]``."""
    # zeros and ones as numbers: they are summed five times as fast as truth values are counted
    return relation(values, bound, out=torch.empty_like(values)).sum(dim=(1, 2))


def _square_sum(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values.flatten(1), dim=1).square()


class Probe:
    """Measures a stack of networks at its probe steps.

    Args:
        network: the networks as trained.
        steps: the probe steps.
        samples: the probe set.

    Attributes:
        losses: ``[probe step, cell]``, mean loss of the probe set.
        scores: ``[probe step, cell]``, its accuracy, or R² in regression.
    """

    def __init__(self, network: StackedNetwork, steps: list[int], samples: Samples) -> None:
        self.network = network
        self.steps = steps
        self.samples = samples
        self.twin = copy.deepcopy(network).double()
        cells, device = samples.cells, samples.device
        layers = len(network.layers)
        self.buffer = ProbeBuffer(len(steps), layers, cells, device)
        nothing = torch.full((len(steps), cells), torch.nan, dtype=torch.float64, device=device)
        self.finite = torch.ones((len(steps), layers, cells), dtype=torch.bool, device=device)
        self.dead = [DeadUnits() for _ in range(layers)]
        self.losses = nothing.clone()
        self.scores = nothing.clone()

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
        """Forward and backward on the batch: norms of gradients and weights."""
        batch = inputs.shape[1]
        signals: dict[int, dict[str, Tensor]] = {}

        def watch(index: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def see_signal(gradient: Tensor) -> None:
                signals[index] = _signal_quantities(gradient * batch)

            def see_z(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
                arguments[0].register_hook(see_signal)

            return see_z

        handles = [
            layer.activation.register_forward_pre_hook(watch(index))
            for index, layer in enumerate(self.twin.each_layer())
        ]
        try:
            cell_losses(self.twin(inputs), labels).sum().backward()
        finally:
            for handle in handles:
                handle.remove()
        for index, layer in enumerate(self.twin.each_layer()):
            linear = layer.linear
            found = {
                "weight_grad_norm": norm(gradient_of(linear.weight)),
                "weight_norm": norm(linear.weight.detach()),
                **signals[index],
            }
            if linear.bias is not None:
                found["bias_grad_norm"] = norm(gradient_of(linear.bias))
            self.buffer.write(row, index, **found)
        self.twin.zero_grad(set_to_none=True)

    def _unit_pass(self, row: int) -> None:
        """Forward on the probe set: what the units of every layer do, and the loss."""
        layers = list(self.twin.each_layer())
        ends = row in (0, len(self.steps) - 1)
        sums = [
            _UnitSums(layer, self.samples.count, dead, percentiles=ends)
            for layer, dead in zip(layers, self.dead, strict=True)
        ]

        def watch(unit_sums: _UnitSums) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
            def see_z(_module: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
                unit_sums.see_z(arguments[0])
                # a leaf of its own, so that the slope is asked of this activation alone
                return arguments[0].detach().requires_grad_()

            return see_z

        def take_slope(unit_sums: _UnitSums) -> Callable[..., Tensor]:
            def see_h(_module: nn.Module, arguments: tuple[Tensor, ...], h: Tensor) -> Tensor:
                z = arguments[0]
                (slope,) = torch.autograd.grad(
                    h, z, torch.ones_like(h), allow_unused=True, materialize_grads=True
                )
                h = h.detach()
                unit_sums.see_h(z.detach(), h, slope)
                return h

            return see_h

        handles = []
        for layer, unit_sums in zip(layers, sums, strict=True):
            handles.append(layer.activation.register_forward_pre_hook(watch(unit_sums)))
            if unit_sums.activation is not None:
                handles.append(layer.activation.register_forward_hook(take_slope(unit_sums)))
        self.twin.requires_grad_(False)
        try:
            outputs = torch.cat(
                [self.twin(part.double()).detach() for part, _ in self.samples.chunks(CHUNK)],
                dim=1,
            )
        finally:
            self.twin.requires_grad_(True)
            for handle in handles:
                handle.remove()
        for index, unit_sums in enumerate(sums):
            self.buffer.write(row, index, **unit_sums.results())
            self.finite[row, index] = unit_sums.finite
        labels, variance = self.samples.labels, self.samples.variance
        self.losses[row] = cell_losses(outputs, labels)
        self.scores[row] = (
            accuracy(outputs, labels) if variance is None else r_squared(self.losses[row], variance)
        )

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

    def measure_update(self, step: int) -> None:
        """Take the norm of what the update changed; call after it, before the next `measure`."""
        row = self.steps.index(step)
        with torch.no_grad():
            for index, (layer, before) in enumerate(
                zip(self.network.each_layer(), self.twin.each_layer(), strict=True)
            ):
                change = layer.linear.weight.double() - before.linear.weight
                self.buffer.write(row, index, update_norm=norm(change))


def _signal_quantities(signal: Tensor) -> dict[str, Tensor]:
    """Return RMS and collapse of the per-sample gradient ``[cell, batch, unit]``, ``[cell]`` each."""
    scale = scale_of_extremes(signal)
    if scale is not None:
        signal = signal / _per_cell(scale, signal)
    total = _square_sum(signal)
    _, batch, units = signal.shape
    rms = torch.sqrt(total / (batch * units))
    return {
        "signal_grad_rms": rms if scale is None else scale * rms,
        "signal_collapse": collapse(signal.mean(dim=1), total / batch),
    }


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each cell's share of rightly classified samples, ``[cell]``, NaN where a logit is not finite."""
    # the largest of neighbouring numbers is found in a tenth of the time
    right = (logits.contiguous().argmax(dim=2) == labels).double().mean(dim=1)
    # 0 times what is not finite is NaN
    return torch.where(logits.mul(0).sum(dim=(1, 2)) == 0, right, torch.nan)


def r_squared(losses: Tensor, variance: Tensor) -> Tensor:
    """Return each cell's R² = 1 − mean squared error / variance of the targets, ``[cell]``.

    Args:
        losses: ``[cell]``, mean squared error over a split.
        variance: ``[cell]``, of the split's targets.

    Returns:
        NaN where the loss is not finite, and where the variance is 0 and R² has no meaning.
    """
    known = torch.isfinite(losses) & (variance > 0)
    return torch.where(known, 1 - losses / variance, torch.nan)
