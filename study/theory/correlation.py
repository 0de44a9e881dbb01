"""How alike two samples become on their way up, and over how many layers."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize

from study.errors import SettingError
from study.theory.expectation import Array
from study.theory.moments import Phi, moments
from study.theory.pairs import pair_means

CRITICAL = 1e-5
"""A slope that is nearer to 1 counts as 1: pairs are known to some 1e-8."""


def correlation_above(
    phi: Phi, log_q: float, correlation: float, weight_variance: float, bias_variance: float
) -> float:
    """Return the correlation of two samples' z one layer up.

    Source: Poole et al. 2016, eq. 4.

    Args:
        phi: the activation.
        log_q: ln of the second moment of z here.
        correlation: of z here.
        weight_variance: fan_in · Var(W) of the layer above.
        bias_variance: its Var(b).
    """
    own, both = (weight_variance * pair_means(phi, log_q, c)[0] for c in (1.0, correlation))
    bias = bias_variance * math.exp(-log_q) if bias_variance > 0 else 0.0
    if not own + bias > 0:
        return 1.0
    return min(1.0, (both + bias) / (own + bias))


def correlations(
    phi: Phi, log_q: Array, first: float, weight_variance: Array, bias_variance: Array
) -> Array:
    """Return the correlation of two samples' z in every layer, ``[layer]``, from that of layer 1."""
    found = [first]
    for layer in range(1, len(log_q)):
        found.append(
            correlation_above(
                phi,
                float(log_q[layer - 1]),
                found[-1],
                float(weight_variance[layer]),
                float(bias_variance[layer]),
            )
        )
    return np.array(found)


def check_first(first: float, samples: int) -> float:
    """Return the correlation of two different samples of which ``first`` is the collapse.

    Raises:
        SettingError: no samples can have it.
    """
    if samples < 2:
        raise SettingError(
            f"cannot predict collapse over samples={samples}: at least 2 are needed."
        )
    if not 0 <= first <= 1:
        raise SettingError(f"cannot predict collapse from {first} in layer 1: it is from 0 to 1.")
    return (first - 1 / samples) / (1 - 1 / samples)


def correlation_scale(
    phi: Phi, log_q: float, weight_variance: float, bias_variance: float
) -> tuple[float, float]:
    """Return the correlation c* that samples go to at ln q, and ξ_c = −1 / ln of the map's slope there.

    ξ_c is infinite where samples approach c* by a power of depth, as with ReLU, or not at all: c* is NaN
    where every correlation stays as it is. Source: Schoenholz et al. 2017, eq. 7 to 9.
    """

    def above(correlation: float) -> float:
        return correlation_above(phi, log_q, correlation, weight_variance, bias_variance)

    own = pair_means(phi, log_q, 1.0)[0]
    bias = bias_variance * math.exp(-log_q) if bias_variance > 0 else 0.0
    growth = weight_variance * own + bias
    if not growth > 0:
        return 1.0, 0.0
    same = 1.0
    slope = weight_variance * math.exp(moments(phi, log_q).log_slope) / growth
    if slope > 1 + CRITICAL:
        # the map leaves 1 steeper than the diagonal, so that it meets it below
        low, high = above(0.0), 1 - (slope - 1) / 100
        if abs(low) < 1e-12:
            same = 0.0
        elif above(high) < high:
            same = float(optimize.brentq(lambda c: above(c) - c, min(low, 0.0), high, xtol=1e-12))
        slope = weight_variance * pair_means(phi, log_q, same)[1] / growth
    elif abs(above(0.5) - 0.5) < 1e-10:
        return math.nan, math.inf  # a linear map keeps every correlation
    if slope <= 0:
        return same, 0.0
    return same, math.inf if slope > 1 - CRITICAL else -1.0 / math.log(slope)
