"""What one network shows at a probe step, each quantity from its definition; written in PyTorch.

Tensors come in float64 and hold one network: weights ``[out, in]``, signals ``[sample, unit]``. Nothing is
written in place, so that `torch.func.vmap` takes these functions, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from study.measures import TWIN
from study.probe import QUANTITIES
from study.schema import Z_PERCENTILES
from study.units import SATURATED

Quantities = list[dict[str, Tensor]]
"""One dictionary a layer, from the input on."""

Parameters = Sequence[tuple[Tensor, Tensor]]
"""Weight and bias, or their gradients, of every layer."""

PERCENTILE_SAMPLES = 128
"""Of the probe set, as docs/schema.md defines the percentiles."""


def collapse(v: Tensor) -> Tensor:
    """Return ‖mean over samples‖² / mean over samples of ‖·‖² of ``[sample, unit]``."""
    return v.mean(0).square().sum() / v.square().sum(1).mean()


def of_batch(layers: Parameters, gradients: Parameters, signals: Sequence[Tensor]) -> Quantities:
    """Return what a batch's mean loss shows of every layer.

    Args:
        layers: weights and biases.
        gradients: the loss's gradient to them.
        signals: its gradient to each layer's z, ``[batch, unit]``.
    """
    return [
        {
            "weight_grad_norm": weight_gradient.norm(),
            "bias_grad_norm": bias_gradient.norm(),
            "weight_norm": weight.norm(),
            "signal_grad_rms": (len(signal) * signal).square().mean().sqrt(),
            "signal_collapse": collapse(signal),
        }
        for (weight, _), (weight_gradient, bias_gradient), signal in zip(
            layers, gradients, signals, strict=True
        )
    ]


def of_units(
    z: Sequence[Tensor], h: Sequence[Tensor], slopes: Sequence[Tensor], largest: float | None
) -> Quantities:
    """Return what units do on the probe set.

    Args:
        z: of every layer.
        h: φ(z) of every hidden layer.
        slopes: φ'(z) of every hidden layer.
        largest: the activation's largest slope, None if it is unbounded.
    """
    found = [
        {"z_mean": one.mean(), "z_second_moment": one.square().mean(), "z_collapse": collapse(one)}
        for one in z
    ]
    for of_layer, signal, value, slope in zip(found, z, h, slopes, strict=False):
        of_layer["h_mean"] = value.mean()
        of_layer["h_second_moment"] = value.square().mean()
        of_layer["slope_second_moment"] = slope.square().mean()
        of_layer["active_share"] = torch.count_nonzero(signal > 0).double() / signal.numel()
        if largest is not None:
            flat = torch.count_nonzero(slope.abs() < SATURATED * largest)
            of_layer["saturated_share"] = flat.double() / slope.numel()
    return found


def dead(slopes: Sequence[Tensor]) -> Tensor:
    """Return which units no sample moves, ``[hidden layer, unit]``."""
    return torch.stack([(slope == 0).all(0) for slope in slopes])


def of_dead(now: Tensor, always: Tensor, ever: Tensor) -> Quantities:
    """Return counts of units dead now, at every probe step so far, and earlier but not now."""
    counts = {"dead_units": now, "born_dead_units": always, "revived_units": ever & ~now}
    sums = {name: units.sum(1) for name, units in counts.items()}
    return [{name: of[layer] for name, of in sums.items()} for layer in range(len(now))] + [{}]


def of_gradient_as_trained(gradients: Sequence[Tensor]) -> Quantities:
    """Return the exact zeros and the non-finite entries of every weight's gradient."""
    return [
        {
            "grad_zeros": torch.count_nonzero(gradient == 0),
            "grad_nonfinite": torch.count_nonzero(~torch.isfinite(gradient)),
        }
        for gradient in gradients
    ]


def of_update(before: Sequence[Tensor], after: Sequence[Tensor]) -> Quantities:
    """Return how far the update moved every weight."""
    return [
        {"update_norm": (new.double() - old).norm()} for old, new in zip(before, after, strict=True)
    ]


def of_percentiles(z: Sequence[Tensor]) -> Quantities:
    """Return how z is distributed over the first samples of the probe set."""
    # torch.quantile has no rule for vmap, and falls back to a loop
    found = []
    for one in z:
        ordered = one[:PERCENTILE_SAMPLES].flatten().sort().values
        last = len(ordered) - 1
        places = {percent: percent / 100 * last for percent in Z_PERCENTILES}
        found.append(
            {
                f"z_p{percent:02d}": torch.lerp(
                    ordered[int(place)], ordered[math.ceil(place)], place % 1
                )
                for percent, place in places.items()
            }
        )
    return found


def of_twins(layers: Parameters) -> Quantities:
    """Return how many units of every hidden layer are within `TWIN` of an earlier one."""
    found: Quantities = []
    for weight, bias in layers[:-1]:
        rows = torch.cat([weight, bias[:, None]], 1)
        squares = rows.square().sum(1)
        apart = (rows[:, None] - rows[None]).square().sum(2)
        same = apart <= TWIN**2 / 2 * (squares[:, None] + squares[None])
        earlier = torch.ones_like(apart).tril(-1).bool()
        found.append({"twin_units": (same & earlier).any(1).sum()})
    return [*found, {}]


def loss_and_accuracy(logits: Tensor, labels: Tensor) -> list[Tensor]:
    """Return mean loss and accuracy of a split."""
    right = (logits.argmax(1) == labels).double().mean()
    return [F.cross_entropy(logits, labels).double(), right]


def as_rows(*kinds: Quantities) -> Tensor:
    """Return quantities as ``[layer, quantity]``, NaN where a layer has none."""
    merged = [{k: v for one in layer for k, v in one.items()} for layer in zip(*kinds, strict=True)]
    unknown = torch.full((), torch.nan, dtype=torch.float64)
    return torch.stack(
        [
            torch.stack([layer[name].double() if name in layer else unknown for name in QUANTITIES])
            for layer in merged
        ]
    )
