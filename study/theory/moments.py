"""What an activation makes of Gaussian pre-activations: second moments of its values and its slopes."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from study import activations
from study.activations import ACTIVATIONS
from study.errors import SettingError, nearest
from study.later import Later
from study.registry import parameters
from study.theory.expectation import Array, NotIntegrableError, mean_over_gaussian, scales_around

if TYPE_CHECKING:
    import torch
else:  # a report that predicts nothing does without it
    torch = Later("torch")

LARGEST_LOG = 2 * math.log(1e140)
"""Of q at which moments are taken: beyond, squares leave float64, and every activation is what it is here,
proportional to z or bounded."""


@dataclass(frozen=True)
class Moments:
    """Means over z ~ N(0, q).

    Attributes:
        log_square: ln E[φ(z)²]; −inf where φ is 0 almost everywhere.
        log_slope: ln E[φ'(z)²]; −inf for a step.
        kurtosis: κ = E[φ'⁴] / E[φ'²]²; NaN for a step. Source: Hanin & Nica 2018, arXiv:1812.05994.
    """

    log_square: float
    log_slope: float
    kurtosis: float


class Phi:
    """A registered activation as a function of float64 arrays.

    Args:
        chosen: its name, or its settings with values of its keyword arguments; a learned argument has the
            value that it starts from.

    Raises:
        SettingError: there is none of this name, or it has no such argument.
    """

    def __init__(self, chosen: str | Mapping[str, Any]) -> None:
        settings = dict(chosen) if isinstance(chosen, Mapping) else {"name": chosen}
        name = settings.get("name")
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise SettingError(
                f"cannot predict activation={name}: allowed are {', '.join(sorted(ACTIVATIONS))}"
                f"{nearest(str(name), ACTIVATIONS)}."
            )
        entry = ACTIVATIONS[name]
        given = parameters(settings)
        unknown = sorted(set(given) - set(entry.parameters))
        if unknown:
            allowed = ", ".join(sorted(entry.parameters)) or "none"
            raise SettingError(
                f"cannot predict activation={name} with {unknown[0]}: its arguments are {allowed}."
            )
        for key, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SettingError(
                    f"cannot predict activation={name} with {key}={value}: it must be a number."
                )
        self.name = name
        self.arguments = tuple(sorted({**entry.parameters, **given}.items()))
        self.kinks = entry.extra.kinks
        self._function = entry.function
        self._learned = entry.extra.learnable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Phi) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self._function, self.arguments

    def __call__(self, z: Array) -> tuple[Array, Array]:
        """Return φ and φ' of z, which may have any shape."""
        leaf = torch.from_numpy(np.ascontiguousarray(z, np.float64)).reshape(1, -1, 1)
        leaf.requires_grad_()
        keywords = {
            key: torch.full((1, 1, 1), float(value), dtype=torch.float64)
            if key in self._learned
            else value
            for key, value in self.arguments
        }
        with torch.enable_grad():
            h = self._function(leaf, **keywords)
            slope = (
                torch.autograd.grad(h.sum(), leaf, allow_unused=True, materialize_grads=True)[0]
                if h.requires_grad
                else torch.zeros_like(leaf)
            )
        return h.detach().numpy().reshape(z.shape), slope.numpy().reshape(z.shape)

    @property
    def slopes_of_two_lines(self) -> tuple[float, float] | None:
        """φ'(z) above and below 0 of those of ours that are two straight lines meeting in 0; else None."""
        arguments = dict(self.arguments)
        if self._function is activations.relu:
            return 1.0, 0.0
        if self._function is activations.leaky_relu:
            return 1.0, float(arguments["negative_slope"])
        if self._function is activations.prelu:
            return 1.0, float(arguments["slope"])
        return (1.0, 1.0) if self._function is activations.identity else None

    def at_zero(self) -> tuple[float, float]:
        """Return φ(0) and the root mean square of its slopes on both sides of 0."""
        values, slopes = self(np.array([0.0, 1e-150, -1e-150]))
        return float(values[0]), float(np.sqrt(np.mean(slopes[1:] ** 2)))


@functools.lru_cache(maxsize=100_000)
def moments(phi: Phi, log_q: float) -> Moments:
    """Return means over z ~ N(0, q), to about 1e-10 of each, for any ln q from −inf on."""
    if log_q == -math.inf:
        value, slope = phi.at_zero()
        square, slope_square = value**2, slope**2
        return Moments(_log(square), _log(slope_square), 1.0 if slope else math.nan)
    if lines := phi.slopes_of_two_lines:
        slope_square, fourth = ((lines[0] ** n + lines[1] ** n) / 2 for n in (2, 4))
        kurtosis = fourth / slope_square**2 if slope_square else math.nan
        return Moments(_log(slope_square) + log_q, _log(slope_square), kurtosis)
    scale = math.exp(min(max(log_q, -LARGEST_LOG), LARGEST_LOG) / 2)

    def powers(nodes: Array) -> Array:
        h, slope = phi(scale * nodes)
        return np.stack([(h / scale) ** 2, slope**2, slope**4])

    try:
        square, slope_square, fourth = mean_over_gaussian(powers, scales_around(phi.kinks, scale))
    except NotIntegrableError as error:
        raise SettingError(
            f"cannot predict activation={phi.name} at pre-activations of size {scale:.3g}: {error}."
        ) from error
    kurtosis = fourth / slope_square**2 if slope_square > 0 else math.nan
    # beyond `LARGEST_LOG`, what is proportional to z grows on with it and the rest stays
    proportional = 1e-60 < square < 1e60
    return Moments(
        _log(square) + (log_q if proportional else 2 * math.log(scale)),
        _log(slope_square),
        float(kurtosis),
    )


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
