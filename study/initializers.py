"""The initializers: how the weights of one layer of one network start.

An initializer maps standard normal draws to weights, so that networks of one seed share the same
draws under every initializer and comparisons are paired. It works on one network's matrix
``[out, in]``: `torch.nn.init` would read a stack ``[cell, out, in]`` as a convolution.

It returns the weights, or the weights and the biases; else biases are zero. One of your own stands in
a file of your own, see `study.extensions`; one that is to come with this program stands here and in
``conf/init/<name>.yaml``, with its name and the values of its keyword arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from study.errors import FunctionError
from study.later import Later
from study.registry import Registry

if TYPE_CHECKING:
    from scipy import special

    from study import theory
else:  # as in study.activations
    special, theory = Later("scipy.special"), Later("study.theory")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerDraw:
    """Standard normal draws of one layer.

    Attributes:
        weight: ``[out, in]``, independent N(0, 1).
        bias: ``[out]``, independent N(0, 1).
        layer: 1 … ``depth``.
        depth: layers of the network.
        activation: the network's activation: its settings, with ``name``.
    """

    weight: Array
    bias: Array
    layer: int
    depth: int
    activation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fan_in(self) -> int:
        """Units that feed the layer."""
        return self.weight.shape[1]

    @property
    def fan_out(self) -> int:
        """Units of the layer."""
        return self.weight.shape[0]


WITHOUT_CRITICAL = (
    "no weight variance keeps both its signals and its gradients at their size without biases (χ = 1 at a "
    "fixed point)"
)

INITIALIZERS: Registry[None] = Registry("init", None)


def uniform(normal: Array, bound: float) -> Array:
    """Map standard normal draws to U(−bound, bound) by their distribution function."""
    return bound * (2.0 * special.ndtr(normal) - 1.0)


@INITIALIZERS.register()
def zeros(draw: LayerDraw) -> Array:
    """Every weight 0."""
    return np.zeros_like(draw.weight)


@INITIALIZERS.register()
def constant(draw: LayerDraw, *, value: float = 0.1) -> Array:
    """Every weight ``value``."""
    return np.full_like(draw.weight, value)


@INITIALIZERS.register()
def normal(draw: LayerDraw, *, std: float = 0.1) -> Array:
    """N(0, ``std``²), whatever the layer's shape."""
    return std * draw.weight


@INITIALIZERS.register()
def normal_small(draw: LayerDraw, *, std: float = 0.01) -> Array:
    """N(0, 0.01²): the start that textbooks warn of at one end."""
    return std * draw.weight


@INITIALIZERS.register()
def normal_unit(draw: LayerDraw, *, std: float = 1.0) -> Array:
    """N(0, 1): the start that textbooks warn of at the other end."""
    return std * draw.weight


@INITIALIZERS.register()
def lecun_normal(draw: LayerDraw, *, gain: float = 1.0) -> Array:
    """N(0, gain² / fan_in). Source: LeCun et al. 1998, Efficient BackProp, eq. 16."""
    return gain / math.sqrt(draw.fan_in) * draw.weight


@INITIALIZERS.register()
def xavier_uniform(draw: LayerDraw, *, gain: float = 1.0) -> Array:
    """U(±gain·√(6 / (fan_in + fan_out))). Source: Glorot & Bengio 2010, eq. 16."""
    return uniform(draw.weight, gain * math.sqrt(6.0 / (draw.fan_in + draw.fan_out)))


@INITIALIZERS.register()
def xavier_normal(draw: LayerDraw, *, gain: float = 1.0) -> Array:
    """N(0, 2·gain² / (fan_in + fan_out)). Source: Glorot & Bengio 2010, eq. 12."""
    return gain * math.sqrt(2.0 / (draw.fan_in + draw.fan_out)) * draw.weight


@INITIALIZERS.register()
def he_uniform(draw: LayerDraw, *, gain: float = math.sqrt(2.0)) -> Array:
    """U(±gain·√(3 / fan_in)), the variance of `he_normal`. Source: He et al. 2015, eq. 10."""
    return uniform(draw.weight, gain * math.sqrt(3.0 / draw.fan_in))


@INITIALIZERS.register()
def he_normal(draw: LayerDraw, *, gain: float = math.sqrt(2.0)) -> Array:
    """N(0, gain² / fan_in), gain √2 for ReLU. Source: He et al. 2015, arXiv:1502.01852, eq. 10."""
    return gain / math.sqrt(draw.fan_in) * draw.weight


@INITIALIZERS.register()
def orthogonal(draw: LayerDraw, *, gain: float = 1.0) -> Array:
    """A random (semi-)orthogonal matrix times ``gain``. Source: Saxe et al. 2013, arXiv:1312.6120.

    QR of the draws, with the signs of R's diagonal taken out so that the distribution is uniform
    (Mezzadri 2007).
    """
    tall = draw.weight if draw.fan_out >= draw.fan_in else draw.weight.T
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
    return gain * (q if draw.fan_out >= draw.fan_in else np.ascontiguousarray(q.T))


@INITIALIZERS.register()
def critical(draw: LayerDraw) -> Array:
    """N(0, σ_w² / fan_in) with the σ_w² that keeps the activation's gradients: χ(q*) = 1 without biases.

    Solved by `study.theory`: 2 for ReLU, which is `he_normal`, 1 for tanh, 103 for sigmoid. Refused where
    there is none. Source: Schoenholz et al. 2017, arXiv:1611.01232, section 3.

    Raises:
        FunctionError: the activation has no such variance.
    """
    variance = theory.critical_weight_variance(draw.activation)
    if variance is None:
        raise FunctionError(
            f"init=critical cannot start {draw.activation['name']}: {WITHOUT_CRITICAL}"
        )
    return math.sqrt(variance / draw.fan_in) * draw.weight


@INITIALIZERS.register()
def torch_default(draw: LayerDraw) -> tuple[Array, Array]:
    """What ``nn.Linear`` does: weights and biases U(±1 / √fan_in), neither Xavier nor He."""
    bound = 1.0 / math.sqrt(draw.fan_in)
    return uniform(draw.weight, bound), uniform(draw.bias, bound)
