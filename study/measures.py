"""Numbers taken of a stack's tensors, one a cell, in float64: norms, shares, percentiles, scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from study.schema import Z_PERCENTILES

EXTREME = 2.0**400
"""Beyond it, and below its inverse, squares are computed on scaled numbers."""

TWIN = 1e-5
"""Units are the same whose weights differ by less than this share of their norm: training in float32 takes
equal units apart by its rounding alone."""


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


def per_cell(scale: Tensor, like: Tensor) -> Tensor:
    """Return numbers ``[cell]`` in a shape that fits ``like`` ``[cell, …]``."""
    return scale.view(-1, *[1] * (like.dim() - 1))


def norm(values: Tensor) -> Tensor:
    """Return each cell's Euclidean norm, ``[cell]``, in float64 without intermediate underflow."""
    values = values.double()
    scale = scale_of_extremes(values)
    if scale is None:
        return torch.linalg.vector_norm(values.flatten(1), dim=1)
    scaled = values / per_cell(scale, values)
    return scale * torch.linalg.vector_norm(scaled.flatten(1), dim=1)


def collapse(mean_vector: Tensor, mean_square: Tensor) -> Tensor:
    """Return ‖mean of v‖² / mean of ‖v‖², ``[cell]``; NaN where every v is zero.

    Args:
        mean_vector: ``[cell, unit]``, the mean of v over samples.
        mean_square: ``[cell]``, the mean of ‖v‖² over samples.
    """
    return mean_vector.square().sum(dim=1) / mean_square


def twins(weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return how many units have the incoming weights of an earlier unit, ``[cell]``; NaN if any is.

    Args:
        weight: ``[cell, unit, in]``.
        bias: ``[cell, 1, unit]``.
    """
    rows = weight if bias is None else torch.cat([weight, bias.mT], dim=2)
    cells, units, _ = rows.shape
    norms = norm(rows.flatten(0, 1)).view(cells, units, 1)
    directions = rows / torch.where(norms > 0, norms, 1.0)
    products = directions @ directions.mT
    squares = products.diagonal(dim1=1, dim2=2)
    apart = squares.unsqueeze(1) + squares.unsqueeze(2) - 2 * products
    longer = torch.maximum(norms, norms.mT)
    twin = (apart <= TWIN**2) & ((norms - norms.mT).abs() <= TWIN * longer)
    known = torch.isfinite(norms).all(dim=(1, 2))
    return torch.where(known, twin.tril(-1).any(dim=2).sum(dim=1), torch.nan)


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
        # NumPy's takes a third of the time of PyTorch's, which sorts places along with the numbers
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(dim=1).values


def count(
    relation: Callable[..., Tensor], values: Tensor, bound: Tensor | float, room: Tensor
) -> Tensor:
    """Return how many of each cell's numbers stand in a relation to a bound, ``[cell]``.

    Args:
        relation: such as `torch.gt`.
        values: ``[cell, …]``.
        bound: a number, or one a cell in a shape that fits.
        room: memory in the shape of ``values``, which is overwritten.
    """
    # zeros and ones as numbers: to sum them takes half the time of counting truth values
    return relation(values, bound, out=room).sum(dim=(1, 2))


def square_sum(values: Tensor) -> Tensor:
    """Return each cell's sum of squares, ``[cell]``."""
    return torch.linalg.vector_norm(values.flatten(1), dim=1).square()


def cosine(one: Tensor, one_norm: Tensor, other: Tensor, other_norm: Tensor) -> Tensor:
    """Return each cell's cosine of two directions, ``[cell]``; NaN where either is zero or not finite.

    Args:
        one: ``[cell, …]``.
        one_norm: its norm, ``[cell]``.
        other: in the shape of ``one``.
        other_norm: its norm, ``[cell]``.
    """
    # divided first: a product of small updates may be 0
    products = (one / per_cell(one_norm, one)) * (other / per_cell(other_norm, other))
    return products.flatten(1).sum(dim=1)


def of_one_sign(values: Tensor) -> Tensor:
    """Return where all numbers along the last dimension have one sign, as 0 and 1; NaN where one is NaN.

    Zeros have either sign.
    """
    # NaN is the least and the most of what holds one
    least, most = torch.aminmax(values, dim=-1)
    one = ((least >= 0) | (most <= 0)).to(values.dtype)
    return torch.where(torch.isnan(least), torch.nan, one)


def share_of_one_sign(inputs: Tensor) -> Tensor:
    """Return the share of samples whose inputs all have one sign, ``[cell]``; NaN where one is NaN.

    Args:
        inputs: ``[cell, sample, in]``.
    """
    return of_one_sign(inputs).mean(dim=1)


def count_of_one_sign(gradient: Tensor) -> Tensor:
    """Return how many units have weight gradients of one sign, ``[cell]``; NaN where an entry is NaN.

    Args:
        gradient: ``[cell, unit, in]``.
    """
    return of_one_sign(gradient).sum(dim=1)


def signal_quantities(gradient: Tensor) -> dict[str, Tensor]:
    """Return RMS and collapse of the per-sample gradient, ``[cell]`` each.

    Args:
        gradient: of the mean loss, ``[cell, batch, unit]``: the batch-th part of the per-sample one.
    """
    scale = scale_of_extremes(gradient)
    if scale is not None:
        gradient = gradient / per_cell(scale, gradient)
    total = square_sum(gradient)
    _, batch, units = gradient.shape
    rms = torch.sqrt(total / (batch * units))
    return {
        "signal_grad_rms": batch * (rms if scale is None else scale * rms),
        "signal_collapse": collapse(gradient.mean(dim=1), total / batch),
    }


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each cell's share of rightly classified samples, ``[cell]``, NaN where a logit is not finite."""
    # with the copy a sixth of the time: the largest of neighbouring numbers is found faster
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
