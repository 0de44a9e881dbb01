"""The initializers: how the weights of one layer of one network start.

An initializer maps standard normal draws to weights, so that networks of one seed share the same
draws under every initializer and comparisons are paired. It works on one network's matrix
``[out, in]``: `torch.nn.init` would read a stack ``[cell, out, in]`` as a convolution.

It returns the weights, or the weights and the biases; else biases are zero. One that is registered with
``Traits(needs_inputs=True)`` also sees what the layer will be fed. One of your own stands in
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
class Traits:
    """What the harness must know of an initializer besides its weights.

    Attributes:
        needs_inputs: whether it reads ``draw.inputs``, which are computed for those alone that do.
        samples: on at most how many training samples; None: on all of them.
    """

    needs_inputs: bool = False
    samples: int | None = 1024


def _no_inputs() -> Array:
    return np.empty((0, 0))


@dataclass(frozen=True)
class LayerDraw:
    """Standard normal draws of one layer.

    Attributes:
        weight: ``[out, in]``, independent N(0, 1).
        bias: ``[out]``, independent N(0, 1).
        layer: 1 … ``depth``.
        depth: layers of the network.
        activation: the network's activation: its settings, with ``name``.
        inputs: ``[sample, fan_in]``, what the layers below, already made, give this one of the network's
            own training samples, which are standardised as in training; read-only, in float64. Empty
            unless the initializer is registered with ``Traits(needs_inputs=True)``.
        seed: 0 … 2³² − 1, the layer's own, for a library that draws its random numbers itself; 0 where
            ``inputs`` is empty.
    """

    weight: Array
    bias: Array
    layer: int
    depth: int
    activation: Mapping[str, Any] = field(default_factory=dict)
    inputs: Array = field(default_factory=_no_inputs)
    seed: int = 0

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

INITIALIZERS: Registry[Traits] = Registry("init", Traits())


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


@INITIALIZERS.register(Traits(needs_inputs=True))
def lsuv(draw: LayerDraw, *, tolerance: float = 0.01, iterations: int = 10) -> Array:
    """An `orthogonal` matrix, scaled until the layer's pre-activations have variance 1 on the samples.

    The variance is taken over samples and units at once. It stays as it is where it is 0 or not finite,
    such as above a layer that gives nothing.

    Args:
        draw: with ``inputs``.
        tolerance: how far from 1 the variance may be left.
        iterations: scalings at most.

    Source: Mishkin & Matas 2016, arXiv:1511.06422, algorithm 1 (layer-sequential unit variance).
    """
    weight = orthogonal(draw)
    for _ in range(iterations):
        variance = float((draw.inputs @ weight.T).var())
        if abs(variance - 1.0) <= tolerance or not 0.0 < variance < math.inf:
            break
        weight = weight / math.sqrt(variance)
    return weight


# pre-training sees what training will see: all of it
@INITIALIZERS.register(Traits(needs_inputs=True, samples=None))
def rbm(
    draw: LayerDraw,
    *,
    epochs: int = 10,
    learning_rate: float = 0.1,
    batch_size: int = 10,
    sampled: bool = False,
) -> Array | tuple[Array, Array]:
    """Greedy layer-wise pre-training of sigmoid units; the output layer as `xavier_normal`.

    Each hidden layer is a restricted Boltzmann machine, trained on the hidden probabilities of the one
    below; the first on the features, each brought to [0, 1] by its least and largest value. That map is
    part of the layer's weights and biases, so that the network computes the machine's hidden
    probabilities from standardised inputs.

    A machine of binary units that is shown numbers between 0 and 1 learns nothing where they vary too
    little: some direction needs a variance above that of a binary unit, 1/4, and else its weights shrink.
    So it is with ``mnist1d``, whose largest is some 0.18, and with deep layers. Shown binary samples of these
    numbers (``sampled``) it learns there too.

    Args:
        draw: with ``inputs`` and ``seed``.
        epochs: passes over the samples.
        learning_rate: of persistent contrastive divergence; this and the others are scikit-learn's defaults.
        batch_size: samples of one update.
        sampled: whether the machines are shown 0 and 1, drawn anew for every epoch with the numbers as
            probabilities, and not the numbers themselves.

    Source: Hinton, Osindero & Teh 2006, section 3; the machine is scikit-learn's ``BernoulliRBM`` (Tieleman
    2008).
    """
    if draw.layer == draw.depth:
        return xavier_normal(draw)
    # some seconds to import, for those alone who pre-train
    from sklearn.neural_network import BernoulliRBM

    low, span = np.zeros(draw.fan_in), np.ones(draw.fan_in)
    if draw.layer == 1:
        low = draw.inputs.min(axis=0)
        span = draw.inputs.max(axis=0) - low
        # a feature that never varies is 0 throughout
        span[span == 0.0] = 1.0
    machine = BernoulliRBM(
        n_components=draw.fan_out,
        learning_rate=learning_rate,
        batch_size=batch_size,
        n_iter=epochs,
        random_state=draw.seed,
    )
    shown = (draw.inputs - low) / span
    if sampled:
        random = np.random.default_rng(draw.seed)
        for _ in range(epochs):
            drawn = (random.uniform(size=shown.shape) < shown).astype(np.float64)
            for first in range(0, len(drawn), batch_size):
                machine.partial_fit(drawn[first : first + batch_size])
    else:
        machine.fit(shown)
    weight = machine.components_ / span
    return weight, machine.intercept_hidden_ - weight @ low


# one sample that was not looked at could wake a unit
@INITIALIZERS.register(Traits(needs_inputs=True, samples=None))
def killed(draw: LayerDraw, *, layer: int = 1) -> tuple[Array, Array]:
    """`he_normal` with one hidden layer whose ReLU units are dead on every training sample.

    The bias of each of its units is −1 − 2·max |w·x| over all training samples, so that z is below −1 on
    each of them, further below than rounding or a sample like them could lift it. The layers above, whose
    biases are 0, have z = 0 and slope 0 with it; only the biases of the output layer have a gradient.

    Args:
        draw: with ``inputs``.
        layer: the layer, 1 for the first hidden one.
    """
    weight = he_normal(draw)
    bias = np.zeros(draw.fan_out)
    if draw.layer == layer:
        bias = -1.0 - 2.0 * np.abs(draw.inputs @ weight.T).max(axis=0)
    return weight, bias
