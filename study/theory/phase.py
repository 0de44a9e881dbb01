"""χ(q*) over a plane of weight and bias variances: where gradients vanish and where they explode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from study.errors import SettingError
from study.theory.expectation import Array
from study.theory.moments import Phi, moments

GRID = np.linspace(-30.0, 30.0, 241)
"""ln q at which moments are taken; between, they are interpolated, to some 0.001 of their logarithms."""


def log_chi_plane(
    activation: str | Mapping[str, Any], weight_variances: Array, bias_variances: Array
) -> Array:
    """Return ln χ(q*), ``[bias variance, weight variance]``, q starting from inputs of mean square 1.

    Source: Poole et al. 2016, figure 1; Schoenholz et al. 2017, figure 1.

    Args:
        activation: as for `study.theory.mean_field`.
        weight_variances: fan_in · Var(W), above 0.
        bias_variances: Var(b).
    """
    phi = Phi(activation)
    found = []
    for log_q in GRID:
        try:
            found.append(moments(phi, float(log_q)))
        except SettingError:  # of sine at z in the thousands, where its signal never is
            break
    grid = GRID[: len(found)]
    squares = np.array([one.log_square for one in found])
    slopes = np.array([one.log_slope for one in found])
    plane = np.empty((len(bias_variances), len(weight_variances)))
    for row, bias in enumerate(bias_variances):
        log_bias = math.log(bias) if bias > 0 else -math.inf
        for column, weight in enumerate(weight_variances):
            log_weight = math.log(weight)
            start = np.logaddexp(log_weight, log_bias)
            steps = np.logaddexp(log_weight + squares, log_bias) - grid
            log_q = _attractor(grid, steps, float(start))
            plane[row, column] = log_weight + np.interp(log_q, grid, slopes)
    return plane


def _attractor(grid: Array, steps: Array, start: float) -> float:
    """Return the first zero of the steps on the grid on the side to which they lead from the start."""
    first = float(np.interp(start, grid, steps))
    if abs(first) < 1e-9:
        return start
    if first > 0:
        beyond = np.flatnonzero((start <= grid) & (steps <= 0))
        if not len(beyond):
            return float(grid[-1])
        high = int(beyond[0])
        low = high - 1
    else:
        beyond = np.flatnonzero((start >= grid) & (steps >= 0))
        if not len(beyond):
            return float(grid[0])
        low = int(beyond[-1])
        high = low + 1
    if low < 0 or high >= len(grid) or steps[low] == steps[high]:
        return float(grid[min(max(low, 0), len(grid) - 1)])
    share = steps[low] / (steps[low] - steps[high])
    return float(grid[low] + share * (grid[high] - grid[low]))
