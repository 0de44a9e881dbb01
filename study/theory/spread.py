"""How far networks of finite width stray from the limit: the band in which honest seeds fall."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from study.theory.expectation import Array
from study.theory.moments import moments
from study.theory.pairs import pair_means

if TYPE_CHECKING:
    from study.theory.field import MeanField

LEAST_FACTOR = 1e-6
"""Of a covariance: two samples that no unit of a narrow layer lets through together have none."""


def variance_of_one(field: MeanField, lower: int, upper: int, widths: Array) -> float:
    """Return Var(ln ‖δ‖²) of one sample's gradient at ``lower`` against that at ``upper``.

    (3κ_l − 1) / n_l for every layer between, 5/n for ReLU, as the variance of a factor whose logarithm is
    near normal. Source: Hanin & Nica 2018, theorem 1.
    """
    layers = np.arange(lower - 1, upper - 1)
    return float(np.log1p((3 * field.kurtosis[layers] - 1) / widths[layers]).sum())


def variance_of_batch(
    field: MeanField,
    lower: int,
    upper: int,
    widths: Array,
    samples: int,
    correlations: Array,
    outputs: int,
) -> float:
    """Return the variance of ln of the mean of ‖δ‖² over a batch, at ``lower`` against ``upper``.

    Each layer adds to the covariance of two samples' ln ‖δ‖² what it adds to the variance of one, less the
    further apart they are: (κ_c (1 + 2ρ²) − 1) / n_l with κ_c = E[φ'(u)² φ'(v)²] / E[φ'²]² at their
    correlation and ρ the cosine of their gradients above. The mean over the batch has the mean of the
    exponentials of all these sums as its second moment. For one sample it is `variance_of_one`.

    Args:
        field: the prediction.
        lower: a layer from 1 on.
        upper: a layer above it.
        widths: units of each layer, ``[layer]``.
        samples: of the batch.
        correlations: of two samples' z in each layer, ``[layer]``.
        outputs: classes; samples of one class have the same gradient at uniform outputs, those of two have
            gradients with a cosine of −1 / (classes − 1). With one output they are parallel.
    """
    kinds = [(1.0, 1.0)]  # share of pairs, squared cosine of their gradients at the output layer
    if outputs > 1:
        kinds = [(1 / outputs, 1.0), (1 - 1 / outputs, 1.0 / (outputs - 1) ** 2)]
    parts = [variance_of_one(field, lower, upper, widths) - math.log(samples)]
    for share, cosine in kinds:
        total = 0.0
        for layer in range(field.depth - 2, lower - 2, -1):
            log_q = float(field.log_q[layer])
            _, slopes, squares = pair_means(field.phi, log_q, float(correlations[layer]))
            log_slope = moments(field.phi, log_q).log_slope
            if log_slope == -math.inf:
                return math.nan
            slopes, squares = slopes * math.exp(-log_slope), squares * math.exp(-2 * log_slope)
            units = widths[layer]
            together = max((squares * (1 + 2 * cosine) - 1) / units, LEAST_FACTOR - 1)
            if layer < upper - 1:
                total += math.log1p(together)
            # products of random matrices turn all gradients to the same few directions
            kept = slopes**2 * cosine
            cosine = (kept + (squares * (1 + 2 * cosine) - kept) / units) / (1 + together)
        parts.append(total + math.log((1 - 1 / samples) * share))
    return max(0.0, float(np.logaddexp.reduce(parts)))
