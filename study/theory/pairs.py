"""Means over two correlated Gaussian pre-activations: what two samples have in common, layer by layer."""

from __future__ import annotations

import functools
import math

import numpy as np

from study.theory.expectation import Array
from study.theory.moments import LARGEST_LOG, Phi

ENDS = 9.0
"""Standard deviations covered: one in 10^19 lies beyond."""

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(8)

RATIO = 3.0
"""Between neighbouring cuts around a kink."""

SAME = 1e-13
"""Two samples are one where 1 − c is less."""


def pair_means(phi: Phi, log_q: float, correlation: float) -> tuple[float, float, float]:
    """Return E[φ(u)φ(v)] / q, E[φ'(u)φ'(v)] and E[φ'(u)²φ'(v)²], to about 1e-7 of each.

    The cuts are fixed: an activation that swings many times within a standard deviation, as sine does at
    large q, is not followed, and one with a kink that its traits do not tell of only to a percent or so.

    Args:
        phi: the activation.
        log_q: ln of the second moment q of both.
        correlation: of u and v, from −1 to 1.

    Source: Poole et al. 2016, eq. 4 and 6; for two straight lines Cho & Saul 2009,
    eq. 5.
    """
    correlation = min(max(correlation, -1.0), 1.0)
    slopes = phi.slopes_of_two_lines
    if slopes is not None:
        return _of_two_lines(*slopes, correlation)
    # layers near a fixed point have the same numbers but for their last digits
    return _by_quadrature(phi, round(log_q, 10), round(correlation, 12))


def _of_two_lines(above: float, below: float, correlation: float) -> tuple[float, float, float]:
    """Return the means for above·z where z > 0 and below·z elsewhere."""
    angle = math.acos(correlation)
    same_side = (math.pi - angle) / (2 * math.pi)
    product = (math.sin(angle) + correlation * (math.pi - angle)) / (2 * math.pi)
    product_apart = -(math.sin(angle) - correlation * angle) / (2 * math.pi)

    def mean(both: float, apart: float, power: int) -> float:
        high, low = above**power, below**power
        return (high**2 + low**2) * both + 2 * high * low * apart

    return (
        mean(product, product_apart, 1),
        mean(same_side, 0.5 - same_side, 1),
        mean(same_side, 0.5 - same_side, 2),
    )


@functools.lru_cache(maxsize=100_000)
def _by_quadrature(phi: Phi, log_q: float, correlation: float) -> tuple[float, float, float]:
    scale = math.exp(min(max(log_q, -LARGEST_LOG), LARGEST_LOG) / 2)
    kinks = [kink / scale for kink in phi.kinks]
    # v = c·u + √(1 − c²)·w
    apart = math.sqrt(max((1 - correlation) * (1 + correlation), 0.0))
    sizes = _sizes(1 / scale)
    cuts = np.array([kink + sign * size for kink in kinks for size in sizes for sign in (-1, 1)])
    cuts = np.concatenate([cuts, kinks])
    # seen through w, a kink is as wide as w
    blurred = [
        kink + sign * size
        for kink in kinks
        for size in _sizes(min(apart, 1.0))
        for sign in (-1.0, 1.0)
        if apart > SAME
    ]
    outer, outer_weights = _rule(np.concatenate([cuts, blurred])[None], 0.0, 1.0)
    u, u_weights = outer[0], outer_weights[0]
    h_u, slope_u = phi(scale * u)
    if apart <= SAME:
        h_v, slope_v = phi(scale * correlation * u)
        parts = (h_u * h_v / scale**2, slope_u * slope_v, (slope_u * slope_v) ** 2)
        return tuple(float((part * u_weights).sum()) for part in parts)  # type: ignore[return-value]
    middle = correlation * u
    inner, inner_weights = _rule(np.broadcast_to(cuts, (len(u), len(cuts))), middle[:, None], apart)
    h_v, slope_v = phi(scale * inner)
    given_u = (
        h_u / scale * (h_v / scale * inner_weights).sum(axis=1),
        slope_u * (slope_v * inner_weights).sum(axis=1),
        slope_u**2 * (slope_v**2 * inner_weights).sum(axis=1),
    )
    return tuple(float((part * u_weights).sum()) for part in given_u)  # type: ignore[return-value]


def _sizes(finest: float) -> list[float]:
    """Return distances from a kink at which to cut, from below ``finest`` to the end."""
    finest = min(max(finest, 1e-12), 1.0)
    count = math.ceil(math.log(4 * ENDS / finest, RATIO)) + 1
    return [finest / 4 * RATIO**step for step in range(count)]


def _rule(cuts: Array, middle: Array | float, deviation: float) -> tuple[Array, Array]:
    """Return nodes and weights, ``[row, node]``, of N(middle, deviation²) cut at ``cuts`` ``[row, cut]``."""
    middle = np.broadcast_to(middle, (len(cuts), 1))
    ends = middle + deviation * np.linspace(-ENDS, ENDS, 13)
    edges = np.sort(
        np.concatenate([np.clip(cuts, ends[:, :1], ends[:, -1:]), ends], axis=1), axis=1
    )
    low, high = edges[:, :-1, None], edges[:, 1:, None]
    nodes = (low + high) / 2 + (high - low) / 2 * POINTS
    density = np.exp(-(((nodes - middle[..., None]) / deviation) ** 2) / 2)
    weights = (high - low) / 2 * WEIGHTS * density / (deviation * math.sqrt(2 * math.pi))
    return nodes.reshape(len(cuts), -1), weights.reshape(len(cuts), -1)
