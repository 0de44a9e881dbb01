"""Mean-field theory of a wide network at its start: how signals and gradients grow from layer to layer.

In the limit of wide layers the pre-activations of a layer are independent Gaussians, whose second moment q
follows from that of the layer below, and the gradient's from that of the layer above. Sources: Poole et al.
2016 (arXiv:1606.05340), eq. 3-5; Schoenholz et al. 2017 (arXiv:1611.01232), eq. 2-10; for ReLU He et al. 2015
(arXiv:1502.01852).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from study.errors import SettingError
from study.theory.correlation import check_first, correlation_scale, correlations
from study.theory.expectation import Array
from study.theory.moments import LARGEST_LOG, Phi, moments
from study.theory.spread import variance_of_batch, variance_of_one

Numbers = float | Sequence[float] | Array

FLAT = 1e-12
"""A step of ln q that rounding could have made."""

FURTHEST = 700.0
"""ln q beyond which the fixed point is said to be 0 or infinite: the ends of float64."""


@dataclass(frozen=True, repr=False)
class MeanField:
    """What the theory predicts of one kind of network.

    Arrays have length ``depth``; element 0 is layer 1. A layer's weights feed its own z. Where layers differ
    in width, n_l is that of layer l.

    Attributes:
        phi: the activation.
        weight_variance: fan_in · Var(W) of each layer.
        bias_variance: Var(b) of each layer.
        q0: mean square of the inputs.
        widths: n_0 (inputs), n_1 … n_depth; None where all layers are equally wide.
        log_q: natural logarithm of q, the second moment of z.
        log_chi: natural logarithm of χ_l = n_{l+1}/n_l · σ_w² · E[φ'(√q_l Z)²], by which the mean square of
            ∂L/∂z falls from layer l + 1 to layer l; σ_w² is that of layer l + 1 (of the last layer itself
            for the last element, as if another one followed).
        kurtosis: κ_l = E[φ'⁴] / E[φ'²]² at layer l.
    """

    phi: Phi
    weight_variance: Array
    bias_variance: Array
    q0: float
    widths: tuple[int, ...] | None
    log_q: Array
    log_chi: Array
    kurtosis: Array

    def __repr__(self) -> str:
        return (
            f"<mean field of {self.phi.name}, depth {self.depth}: q* = {self.q_star:.4g}, "
            f"χ(q*) = {self.chi_star:.4g}>"
        )

    @property
    def depth(self) -> int:
        """Layers that carry weights."""
        return len(self.log_q)

    @property
    def q(self) -> Array:
        """Second moment of z, ``[layer]``; 0 or infinite where float64 ends, see ``log_q``."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_q)

    @property
    def chi(self) -> Array:
        """Growth of the gradient's mean square towards the input, ``[layer]``."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_chi)

    def log10_gradient_ratio(self, lower: int, upper: int) -> float:
        """Return log10 of RMS(∂L/∂z of ``lower``) / RMS(∂L/∂z of ``upper``), −inf where nothing arrives.

        Args:
            lower: a layer from 1 on; above ``upper``, the sign changes.
            upper: a layer up to ``depth``.

        Raises:
            SettingError: there is no such layer.
        """
        self._check_layers(lower, upper)
        if lower > upper:
            return -self.log10_gradient_ratio(upper, lower)
        return float(self.log_chi[lower - 1 : upper - 1].sum()) / (2 * math.log(10))

    @property
    def log10_gradient(self) -> Array:
        """log10 of RMS(∂L/∂z) of every layer against that of the last, ``[layer]``."""
        steps = np.append(self.log_chi[:-1], 0.0)
        return np.cumsum(steps[::-1])[::-1] / (2 * math.log(10))

    @property
    def q_star(self) -> float:
        """The fixed point that q of an endlessly repeated last hidden layer goes to from ``q0``."""
        return math.exp(self._fixed[0]) if self._fixed[0] < 709 else math.inf

    @property
    def chi_star(self) -> float:
        """χ at the fixed point: below 1 gradients vanish, above 1 they explode."""
        return math.exp(self._fixed[1]) if self._fixed[1] < 709 else math.inf

    @property
    def xi_gradient(self) -> float:
        """ξ_∇ = −1 / ln χ(q*), layers over which the gradient's mean square falls by e.

        Negative where it grows, infinite at χ = 1. Source: Schoenholz et al. 2017, eq. 10.
        """
        return -1.0 / self._fixed[1] if abs(self._fixed[1]) > FLAT else math.inf

    @property
    def c_star(self) -> float:
        """The correlation that two samples' z go to at the fixed point; NaN where all stay as they are."""
        return self._correlated[0]

    @property
    def xi_correlation(self) -> float:
        """ξ_c, layers over which two samples' correlation comes nearer to its fixed point by e.

        What depth can be trained is tied to it, at about 6 ξ_c. Infinite where it goes by a power of depth,
        as with ReLU. Source: Schoenholz et al. 2017, eq. 9 and section 5.
        """
        return self._correlated[1]

    @property
    def critical_weight_variance(self) -> float | None:
        """`critical_weight_variance` of this activation and bias variance."""
        return critical_weight_variance(self.settings, self.bias_variance[self._repeated])

    def collapse(self, first: float, samples: int) -> Array:
        """Return ‖mean of z‖² / mean of ‖z‖² over samples in every layer, ``[layer]``.

        All pairs of different samples are taken to have the same correlation.

        Args:
            first: that of layer 1.
            samples: how many there are.

        Raises:
            SettingError: no samples can have this collapse.
        """
        return 1 / samples + (1 - 1 / samples) * self._correlations(check_first(first, samples))

    def log10_spread(
        self,
        lower: int,
        upper: int,
        samples: int = 1,
        first: float | None = None,
        widths: Sequence[int] | None = None,
    ) -> float:
        """Return the standard deviation over seeds of the log10 gradient ratio at finite width.

        To leading order in 1/n. Seeds of deep narrow networks stray further: a batch's gradient in a ReLU
        network of depth 17 and width 64 by 1.4 times as much.

        Args:
            lower: as for `log10_gradient_ratio`.
            upper: likewise.
            samples: over which the gradient's mean square is taken; 1 for that of one sample.
            first: for more than one sample, their collapse in layer 1.
            widths: as for `mean_field`; may be left out if they are known from there.

        Raises:
            SettingError: widths are not known, or ``first`` is missing or not possible.
        """
        self._check_layers(lower, upper)
        lower, upper = min(lower, upper), max(lower, upper)
        known = self.widths if widths is None else _widths(widths, self.depth)
        if known is None:
            raise SettingError(
                f"cannot predict the spread over seeds without widths: give {self.depth + 1} numbers, "
                "inputs, units of each layer and outputs."
            )
        units = np.array(known[1:], np.float64)
        if samples == 1:
            variance = variance_of_one(self, lower, upper, units)
        else:
            if first is None:
                raise SettingError(
                    f"cannot predict the spread of a mean over samples={samples} without first, their "
                    "collapse in layer 1."
                )
            together = self._correlations(check_first(first, samples))
            variance = variance_of_batch(self, lower, upper, units, samples, together, known[-1])
        return math.sqrt(variance) / (2 * math.log(10))

    def _check_layers(self, lower: int, upper: int) -> None:
        for name, layer in (("lower", lower), ("upper", upper)):
            if not isinstance(layer, int | np.integer) or not 1 <= layer <= self.depth:
                raise SettingError(
                    f"cannot predict the gradient at {name}={layer}: layers are whole numbers from 1 to "
                    f"{self.depth}."
                )

    def _correlations(self, first: float) -> Array:
        if first not in self._correlations_from:
            self._correlations_from[first] = correlations(
                self.phi, self.log_q, first, self.weight_variance, self.bias_variance
            )
        return self._correlations_from[first]

    @functools.cached_property
    def _correlations_from(self) -> dict[float, Array]:
        """What `_correlations` found: the spread at every layer asks for the same."""
        return {}

    @property
    def settings(self) -> dict[str, Any]:
        """The activation's name and arguments."""
        return {"name": self.phi.name, **dict(self.phi.arguments)}

    @property
    def _repeated(self) -> int:
        """Place of the layer that is repeated without end: the readout is not."""
        return max(self.depth - 2, 0)

    @functools.cached_property
    def _correlated(self) -> tuple[float, float]:
        """c* and ξ_c."""
        place = self._repeated
        variance, bias = float(self.weight_variance[place]), float(self.bias_variance[place])
        log_q = min(max(self._fixed[0], -LARGEST_LOG), LARGEST_LOG)
        return correlation_scale(self.phi, log_q, variance, bias)

    @functools.cached_property
    def _fixed(self) -> tuple[float, float]:
        """ln q* and ln χ at it."""
        place = self._repeated
        variance, bias = self.weight_variance[place], self.bias_variance[place]
        log_q = _drawn_to(self.phi, variance, bias, float(self.log_q[0]))
        return log_q, _log(variance) + moments(self.phi, log_q).log_slope


def mean_field(
    activation: str | Mapping[str, Any],
    weight_variance: Numbers,
    bias_variance: Numbers = 0.0,
    depth: int | None = None,
    q0: float = 1.0,
    widths: Sequence[int] | None = None,
) -> MeanField:
    """Predict how signals and gradients of a network grow from layer to layer at its start.

    Args:
        activation: a registered activation's name, or its settings: ``{"name": "leaky_relu",
            "negative_slope": 0.2}``.
        weight_variance: fan_in · Var(W), of all layers or ``[layer]``.
        bias_variance: Var(b), likewise.
        depth: layers that carry weights; may be left out where ``weight_variance`` is a list.
        q0: mean square of the inputs.
        widths: numbers of inputs, of units of each layer and of outputs, ``[depth + 1]``; without it all
            are the same.

    Raises:
        SettingError: an argument is not allowed, or the activation cannot be integrated.
    """
    phi = Phi(activation)
    if depth is None:
        if np.ndim(weight_variance) == 0:
            raise SettingError("cannot predict without a depth: give depth, at least 1.")
        depth = len(weight_variance)  # type: ignore[arg-type]
    if isinstance(depth, bool) or not (isinstance(depth, int | np.integer) and depth >= 1):
        raise SettingError(
            f"cannot predict with depth={depth}: it must be a whole number from 1 on."
        )
    weights = _by_layer("weight_variance", weight_variance, depth)
    biases = _by_layer("bias_variance", bias_variance, depth)
    [q0] = _by_layer("q0", q0, 1)
    ratios = np.ones(depth)
    if widths is not None:
        widths = _widths(widths, depth)
        # the mean square of a unit's gradient: fan_out weights feed it, of variance σ_w² / fan_in
        ratios[:-1] = np.array(widths[2:]) / np.array(widths[1:-1])
    log_q, log_chi, kurtosis = np.empty(depth), np.empty(depth), np.empty(depth)
    square = _log(q0)
    for layer in range(depth):
        log_q[layer] = _added(_log(weights[layer]) + square, _log(biases[layer]))
        found = moments(phi, float(log_q[layer]))
        square = found.log_square
        above = weights[min(layer + 1, depth - 1)]
        log_chi[layer] = _log(above) + found.log_slope + math.log(ratios[layer])
        kurtosis[layer] = found.kurtosis
    return MeanField(phi, weights, biases, float(q0), widths, log_q, log_chi, kurtosis)


def _widths(given: Sequence[int], depth: int) -> tuple[int, ...]:
    """Return the units of every layer, the inputs before them.

    Raises:
        SettingError: they are not as many whole numbers from 1 on as there are.
    """
    widths = tuple(given)
    whole = all(isinstance(width, int | np.integer) and width >= 1 for width in widths)
    if len(widths) != depth + 1 or not whole:
        raise SettingError(
            f"cannot predict with widths={list(widths)}: {depth + 1} numbers from 1 on are needed, inputs, "
            "units of each layer and outputs."
        )
    return tuple(int(width) for width in widths)


def _by_layer(name: str, given: Numbers, depth: int) -> Array:
    try:
        values = np.array(given, np.float64)
    except (TypeError, ValueError) as error:
        raise SettingError(f"cannot predict with {name}={given}: it must be a number.") from error
    if values.ndim == 0:
        values = np.full(depth, values)
    if values.shape != (depth,):
        raise SettingError(
            f"cannot predict with {len(values)} values of {name}: depth={depth} needs as many, or one."
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        raise SettingError(f"cannot predict with {name}={given}: it must be finite and at least 0.")
    return values


def fixed_point(phi: Phi, weight_variance: float, bias_variance: float, q0: float = 1.0) -> float:
    """Return ln q* that q goes to when layers are added without end; −inf for 0.

    Source: Poole et al. 2016, eq. 3, as a map of ln q.

    Args:
        phi: the activation.
        weight_variance: fan_in · Var(W).
        bias_variance: Var(b).
        q0: mean square of the inputs.
    """

    return _drawn_to(
        phi,
        weight_variance,
        bias_variance,
        _added(_log(weight_variance) + _log(q0), _log(bias_variance)),
    )


def _drawn_to(phi: Phi, weight_variance: float, bias_variance: float, start: float) -> float:
    """Return what ln q goes to from layer to layer, from ``start`` on."""

    def step(log_q: float) -> float:
        """How far one layer moves ln q."""
        above = _log(weight_variance) + moments(phi, log_q).log_square
        return _added(above, _log(bias_variance)) - log_q

    if start == -math.inf:
        start = _added(_log(weight_variance) + moments(phi, start).log_square, _log(bias_variance))
        if start == -math.inf:
            return start
    start = min(max(start, 1 - FURTHEST), FURTHEST - 1)
    first = step(start)
    if abs(first) <= FLAT:
        return start
    if first == -math.inf:
        return first
    # the map of q is monotone, so that its orbit ends at the first fixed point on its side
    up, at, size = first > 0, start, 0.05
    while abs(at) < FURTHEST:
        beyond = at + (size if up else -size)
        moved = step(beyond)
        if (moved > 0) != up:
            # creeping on by less and less, as tanh does at its critical variance, is no fixed point
            if abs(moved) <= FLAT:
                break
            return float(optimize.brentq(step, *sorted((at, beyond)), xtol=1e-13))
        at, size = beyond, size * 1.1
    return math.inf if up else -math.inf


def critical_weight_variance(
    activation: str | Mapping[str, Any], bias_variance: float = 0.0, q0: float = 1.0
) -> float | None:
    """Return fan_in · Var(W) at which χ(q*) = 1, None where there is none.

    The line of critical variances is followed in q: of each q one weight variance has χ = 1, and one bias
    variance makes q a fixed point. Those of the wanted bias variance count if q is drawn to them: GELU's at
    q = 0 is one that q leaves. Source: Schoenholz et al. 2017, section 3.

    Args:
        activation: as for `mean_field`.
        bias_variance: Var(b).
        q0: mean square of the inputs, from which q must be drawn there.

    Raises:
        SettingError: an argument is not allowed.
    """
    [bias] = _by_layer("bias_variance", bias_variance, 1)
    [start] = _by_layer("q0", q0, 1)
    return _critical(Phi(activation), float(bias), float(start))


@functools.lru_cache(maxsize=256)
def _critical(phi: Phi, bias_variance: float, q0: float) -> float | None:
    def excess(log_q: float) -> float:
        """ln of the second moment that the critical weights make of q with the bias, over q."""
        found = moments(phi, log_q)
        if found.log_slope == -math.inf:
            return math.nan
        return _added(found.log_square - found.log_slope, _log(bias_variance)) - log_q

    grid, found = [], []
    for step in range(-200, 201):
        try:
            found.append(excess(step / 4))
        except SettingError:  # sine, where z is thousands
            break
        grid.append(step / 4)
    roots = [
        float(optimize.brentq(excess, low, high, xtol=1e-13))
        for low, high, left, right in zip(grid, grid[1:], found, found[1:], strict=False)
        if left * right < 0 and max(abs(left), abs(right)) > 1e-9
    ]
    if phi.at_zero()[0] == 0:
        # of a bias next to nothing the fixed point is next to 0
        roots.append(-math.inf)
    for root in sorted(roots, reverse=True):
        slope = moments(phi, root).log_slope
        if slope == -math.inf:
            continue
        variance = math.exp(-slope)
        reached = fixed_point(phi, variance, bias_variance, q0)
        # an activation proportional to |z| keeps every q: any is its fixed point
        if reached < math.inf and abs(_log(variance) + moments(phi, reached).log_slope) < 1e-6:
            return variance
    return None


def _added(one: float, other: float) -> float:
    """Return ln(e^one + e^other)."""
    return float(np.logaddexp(one, other))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
