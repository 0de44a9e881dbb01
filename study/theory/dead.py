"""ReLU units and networks that are dead before they are trained."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from study.errors import SettingError
from study.theory.correlation import check_first
from study.theory.expectation import Array, mean_over_gaussian
from study.theory.field import MeanField


def dead_share(field: MeanField, first: float, samples: int) -> Array:
    """Return the share of ReLU units that no sample activates, ``[hidden layer]``.

    A unit's z over samples are Gaussians of one correlation c: what they share, √c·g, must lie so far below 0
    that √(1 − c)·e lifts none above. Samples that differ in how alike they are make it a few more.

    Args:
        field: the prediction for a network with ReLU.
        first: the samples' collapse in layer 1.
        samples: how many there are.

    Raises:
        SettingError: the activation is another, or no samples can have this collapse.
    """
    if field.phi.name != "relu":
        raise SettingError(
            f"cannot predict dead units of activation={field.phi.name}: the theory knows those of relu."
        )
    together = field._correlations(check_first(first, samples))
    return np.array([_all_below_zero(float(c), samples) for c in together[:-1]])


def _all_below_zero(correlation: float, samples: int) -> float:
    """Return the probability that equally correlated Gaussians are all below 0."""
    correlation = min(max(correlation, 0.0), 1.0)
    if correlation == 1.0:
        return 0.5
    slope = math.sqrt(correlation / (1 - correlation))
    found = mean_over_gaussian(
        lambda shared: np.exp(samples * special.log_ndtr(-slope * shared))[None],
        [cut / max(slope, 1.0) for cut in range(-40, 41)] + [float(cut) for cut in range(-38, 39)],
    )
    return float(found[0])


def most_born_dead(width: int, depth: int) -> float:
    """Return the upper bound of the probability that a ReLU network is born dead.

    One sample passes a hidden layer of n units with symmetric weights unless none of them is active, 2^−n;
    a network that is dead is dead for this sample. Source: Lu et al. 2019, arXiv:1903.06733, section 3.

    Args:
        width: units of each hidden layer.
        depth: layers that carry weights.
    """
    return -math.expm1((depth - 1) * math.log1p(-(2.0**-width)))


def least_born_dead(width: int, depth: int) -> float:
    """Return the lower bound for one input and no biases, where there are but two directions.

    Source: Lu et al. 2019, section 3.

    Args:
        width: units of each hidden layer.
        depth: layers that carry weights.
    """
    if depth < 2:
        return 0.0
    silent = 2.0**-width
    one = 1 - silent
    two = 1 - 2 * silent - (width - 1) * silent**2
    weight = (1 - 2 * silent) * (1 - silent) / (1 + (width - 1) * silent)
    return 1 - one ** (depth - 2) + weight * (two ** (depth - 2) - one ** (depth - 2))
