"""Normalization of a stack's pre-activations, between the affine map and the activation.

Signals are ``[cell, sample, unit]``; whatever is taken over samples or units is taken of each cell apart.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
"""Added to a variance, as in both papers' code and in PyTorch."""

Moments = tuple[Tensor, Tensor]
"""Mean and variance of every unit, ``[cell, 1, unit]`` each."""


def moments_of(a: Tensor) -> Moments:
    """Return mean and variance over samples, the variance divided by their number.

    Args:
        a: ``[cell, sample, unit]``.
    """
    mean = a.mean(dim=1, keepdim=True)
    # on a CPU a sixteenth of the time of torch.var_mean, which goes through memory unit by unit
    return mean, (a - mean).square().mean(dim=1, keepdim=True)


class StackedNorm(nn.Module):
    """A learned gain, 1 at the start, and offset, 0 at the start, for every unit of every cell.

    Args:
        cells: cells of the stack.
        units: units of the layer.
        dtype: the number format of training.
    """

    over_samples = False

    def __init__(self, cells: int, units: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones((cells, 1, units), dtype=dtype))
        self.offset = nn.Parameter(torch.zeros((cells, 1, units), dtype=dtype))

    def forward(self, a: Tensor, moments: Moments | None = None) -> Tensor:
        """Return normalized pre-activations.

        Args:
            a: ``[cell, sample, unit]``.
            moments: what batch normalization takes in the place of the mean and variance of ``a``.
        """
        raise NotImplementedError


class StackedBatchNorm(StackedNorm):
    """Each unit's mean and variance over the samples: those given, or else other samples'.

    In training these are the samples of the batch. A network that is evaluated is given the moments of the
    probe set under its present weights, see `population_moments`, rather than a running average, which would
    be of earlier weights and one more thing to keep.

    Source:
        Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1; Wu & Johnson 2021, arXiv:2105.07576,
        section 3, on moments of the population.
    """

    over_samples = True

    def forward(self, a: Tensor, moments: Moments | None = None) -> Tensor:
        mean, variance = moments_of(a) if moments is None else moments
        return (a - mean) * torch.rsqrt(variance + EPSILON) * self.gain + self.offset


class StackedLayerNorm(StackedNorm):
    """Each sample's mean and variance over the units of the layer.

    Source:
        Ba et al. 2016, arXiv:1607.06450, eq. 3.
    """

    def forward(self, a: Tensor, moments: Moments | None = None) -> Tensor:
        return F.layer_norm(a, a.shape[2:], eps=EPSILON) * self.gain + self.offset


NORMS: dict[str, type[StackedNorm]] = {"batch": StackedBatchNorm, "layer": StackedLayerNorm}
"""By the words of the setting ``norm``; ``none`` has no module."""
