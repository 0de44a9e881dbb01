"""Means of functions of Gaussian numbers, by quadrature that is split where the functions are not smooth.

A Gauss-Hermite rule has its nodes where the Gaussian is; where z is large, a sigmoid does all it does
between two of them. Here the line is cut at the kinks and, in powers of two, around them, and every piece is
halved until two rules agree on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Function = Callable[[Array], Array]
"""Of numbers ``[node]``, to ``[function, node]``: several functions whose means are taken at once."""


class NotIntegrableError(ValueError):
    """The mean of a function of a Gaussian number cannot be found."""


REACH = 38.0
"""Standard deviations beyond which the density of a Gaussian is 0 in float64."""

TOLERANCE = 1e-11
"""Of a mean, relative to that of the absolute value."""

HALVINGS = 60
MOST_PIECES = 20_000

# Gauss-Kronrod with 7 and 15 nodes on [-1, 1], from the middle out. Source: QUADPACK, qk15.
_HALF_NODES = (
    0.0, 0.207784955007898467600689403773245, 0.405845151377397166906606412076961,
    0.586087235467691130294144691369013, 0.741531185599394439863864773280788,
    0.864864423359769072789712788640926, 0.949107912342758524526189684047851,
    0.991455371120812639206854697526329,
)  # fmt: skip
_HALF_KRONROD = (
    0.209482141084727828012999174891714, 0.204432940075298892414161999234649,
    0.190350578064785409913256402421014, 0.169004726639267902826583426598550,
    0.140653259715525918745189590510238, 0.104790010322250183839876322541518,
    0.063092092629978553290700663189204, 0.022935322010529224963732008058970,
)  # fmt: skip
_HALF_GAUSS = (
    0.417959183673469387755102040816327, 0.0, 0.381830050505118944950369775488975, 0.0,
    0.279705391489276667901467771423780, 0.0, 0.129484966168869693270611432679082, 0.0,
)  # fmt: skip


def _whole(half: tuple[float, ...], sign: float) -> Array:
    right = np.array(half)
    return np.concatenate([sign * right[:0:-1], right])


NODES = _whole(_HALF_NODES, -1.0)
KRONROD = _whole(_HALF_KRONROD, 1.0)
GAUSS = _whole(_HALF_GAUSS, 1.0)


def mean_over_gaussian(function: Function, kinks: Sequence[float] = ()) -> Array:
    """Return E[f(Z)] of every function, Z standard normal, ``[function]``.

    Args:
        function: gives the functions' values.
        kinks: where one of them, or its derivative, jumps.

    Raises:
        NotIntegrableError: a function's mean cannot be found to `TOLERANCE`.
    """
    edges = np.unique(np.clip([*np.arange(-REACH, REACH + 1, 2), *kinks], -REACH, REACH))
    low, high = edges[:-1], edges[1:]
    total: Array | float = 0.0
    size: Array | float = 0.0
    for _ in range(HALVINGS):
        half = (high - low) / 2
        inside = (low + high)[:, None] / 2 + half[:, None] * NODES
        # the ends from within, by more than rounding moves a kink: beyond it a function goes on elsewhere
        inwards = half * 2.0**-40
        ends = np.stack(
            [
                np.maximum(low + inwards, np.nextafter(low, np.inf)),
                np.minimum(high - inwards, np.nextafter(high, -np.inf)),
            ],
            axis=1,
        )
        nodes = np.concatenate([inside, ends], axis=1)
        density = np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
        values = function(nodes.ravel()).reshape(-1, *nodes.shape) * density
        if not np.isfinite(values).all():
            raise NotIntegrableError("it is not finite everywhere")
        hidden = _hidden_jumps(values) * (1 - NODES[-1]) * half
        values = values[..., : len(NODES)]
        fine = (values * KRONROD).sum(axis=2) * half
        off = np.abs((values * (KRONROD - GAUSS)).sum(axis=2) * half)
        magnitude = (np.abs(values) * KRONROD).sum(axis=2) * half
        allowed = TOLERANCE * (size + magnitude.sum(axis=1, keepdims=True)) / 10
        # what rounding alone leaves between the two rules is no reason to halve again
        seen = (off <= allowed) | (off <= 1e-13 * magnitude)
        done = (seen & (hidden <= allowed)).all(axis=0)
        total = total + fine[:, done].sum(axis=1, keepdims=True)
        size = size + magnitude[:, done].sum(axis=1, keepdims=True)
        if done.all():
            return np.asarray(total)[:, 0]
        middle = (low + high)[~done] / 2
        low, high = np.append(low[~done], middle), np.append(middle, high[~done])
        if len(low) > MOST_PIECES:
            break
    # a jump that nobody told of: what is left of it is smaller than its last pieces
    left = fine[:, ~done].sum(axis=1, keepdims=True)
    if len(low) <= MOST_PIECES:
        return np.asarray(total + left)[:, 0]
    raise NotIntegrableError("it changes too often to be integrated")


def _hidden_jumps(values: Array) -> Array:
    """Return how much more functions change between the last node and the end than beside it.

    No node stands in the last two hundredths of a piece, and both rules agree on a jump there.

    Args:
        values: at the nodes and then at both ends, ``[function, piece, node]``.

    Returns:
        The larger of both ends, 0 where the function goes on as it did, ``[function, piece]``.
    """
    first, last = values[..., -2], values[..., -1]
    left = np.abs(first - values[..., 0]) - 2 * np.abs(values[..., 0] - values[..., 1])
    right = np.abs(last - values[..., -3]) - 2 * np.abs(values[..., -3] - values[..., -4])
    found: Array = np.maximum(np.maximum(left, right), 0.0)
    return found


def scales_around(kinks: Sequence[float], scale: float, finest: float = 1.0) -> list[float]:
    """Return where to cut the line of z / scale so that what happens near kinks is seen.

    Args:
        kinks: in z.
        scale: standard deviation of z.
        finest: size in z below which nothing more happens near a kink.
    """
    steps = range(math.floor(math.log2(finest)) - 2, math.ceil(math.log2(REACH * scale)) + 1)
    around = [sign * 2.0**step for step in steps for sign in (-1, 1)]
    return [(kink + offset) / scale for kink in kinks for offset in (0.0, *around)]
