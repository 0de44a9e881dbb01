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
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from study.later import Later
from study.registry import Registry

if TYPE_CHECKING:
    from scipy import special
else:  # as in study.activations
    special = Later("scipy.special")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerDraw:
    """Standard normal draws of one layer.

    Attributes:
        weight: ``[out, in]``, independent N(0, 1).
        bias: ``[out]``, independent N(0, 1).
        layer: 1 … ``depth``.
        depth: layers of the network.
    """

    weight: Array
    bias: Array
    layer: int
    depth: int

    @property
    def fan_in(self) -> int:
        """Units that feed the layer."""
        return self.weight.shape[1]

    @property
    def fan_out(self) -> int:
        """Units of the layer."""
        return self.weight.shape[0]


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
def torch_default(draw: LayerDraw) -> tuple[Array, Array]:
    """What ``nn.Linear`` does: weights and biases U(±1 / √fan_in), neither Xavier nor He."""
    bound = 1.0 / math.sqrt(draw.fan_in)
    return uniform(draw.weight, bound), uniform(draw.bias, bound)
