"""One network in JAX: its loss, and what it shows at a probe step. Whoever calls these maps them over cells.

Probe steps hand in float64. Axes are the product's without ``cell``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from study.activations import ACTIVATIONS
from study.measures import TWIN
from study.probe import QUANTITIES
from study.units import SATURATED

Layer = dict[str, Array]
"""weight ``[out, in]``, bias ``[out]``, and ``slope`` ``[]`` where the activation learns one."""

Samples = tuple[Array, Array]
"""Inputs ``[sample, in]`` and labels ``[sample]``."""

Quantities = list[dict[str, Array]]
"""One dictionary a layer, from the input on."""

FUNCTIONS: dict[str, Callable[[Array, Layer], Array]] = {
    "relu": lambda z, _: jax.nn.relu(z),
    "tanh": lambda z, _: jnp.tanh(z),
    "gelu": lambda z, _: jax.nn.gelu(z, approximate=False),
    "prelu": lambda z, layer: jnp.where(z > 0, z, layer["slope"] * z),
}

PERCENTILE_SAMPLES = 128
"""Of the probe set, as docs/schema.md defines the percentiles."""


def pre_activation(layer: Layer, h: Array) -> Array:
    """Return z ``[batch, out]``."""
    return h @ layer["weight"].T + layer["bias"]


def logits(layers: Sequence[Layer], x: Array, name: str) -> Array:
    """Return the logits ``[batch, class]`` of inputs ``[batch, in]``."""
    for layer in layers[:-1]:
        x = FUNCTIONS[name](pre_activation(layer, x), layer)
    return pre_activation(layers[-1], x)


def cross_entropy(outputs: Array, labels: Array) -> Array:
    """Return the loss of every sample in nats, ``[batch]``."""
    chosen = jnp.take_along_axis(outputs, labels[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(outputs, axis=1) - chosen


def loss(layers: Sequence[Layer], x: Array, y: Array, name: str) -> Array:
    """Return the mean loss of a batch."""
    return cross_entropy(logits(layers, x, name), y).mean()


def loss_and_accuracy(outputs: Array, labels: Array) -> tuple[Array, Array]:
    """Return mean loss and accuracy."""
    right = outputs.argmax(1) == labels
    return cross_entropy(outputs, labels).mean(), right.mean(dtype=jnp.float64)


def norm(values: Array) -> Array:
    """Return the Euclidean norm of all entries."""
    return jnp.sqrt(jnp.square(values).sum())


def collapse(v: Array) -> Array:
    """Return ‖mean over samples‖² / mean over samples of ‖·‖² of ``[batch, unit]``."""
    return jnp.square(v.mean(0)).sum() / jnp.square(v).sum(1).mean()


def gradient_quantities(layers: Sequence[Layer], x: Array, y: Array, name: str) -> Quantities:
    """Return what a forward and a backward pass on a batch shows of every layer."""

    def shifted_loss(layers: Sequence[Layer], shifts: Sequence[Array]) -> Array:
        h = x
        for layer, shift in zip(layers[:-1], shifts[:-1], strict=True):
            h = FUNCTIONS[name](pre_activation(layer, h) + shift, layer)
        return cross_entropy(pre_activation(layers[-1], h) + shifts[-1], y).mean()

    # the gradient of what is added to z is that of z
    shifts = [jnp.zeros((len(x), len(layer["bias"])), x.dtype) for layer in layers]
    gradients, signals = jax.grad(shifted_loss, argnums=(0, 1))(layers, shifts)
    return [
        {
            "weight_grad_norm": norm(gradient["weight"]),
            "bias_grad_norm": norm(gradient["bias"]),
            "weight_norm": norm(layer["weight"]),
            "signal_grad_rms": len(x) * jnp.sqrt(jnp.square(signal).mean()),
            "signal_collapse": collapse(signal),
        }
        for layer, gradient, signal in zip(layers, gradients, signals, strict=True)
    ]


def unit_quantities(
    layers: Sequence[Layer], inputs: Array, name: str
) -> tuple[Quantities, Array, Array]:
    """Return what units do on the probe set, which are dead ``[layer, unit]``, and the logits."""
    found: Quantities = []
    dead = []
    h = inputs
    for layer in layers[:-1]:
        z = pre_activation(layer, h)
        h, pull = jax.vjp(lambda z, layer=layer: FUNCTIONS[name](z, layer), z)
        (slope,) = pull(jnp.ones_like(z))
        learned = {"act_slope": layer["slope"]} if "slope" in layer else {}
        found.append(z_quantities(z) | activation_quantities(z, h, slope, name) | learned)
        dead.append((slope == 0).all(0))
    z = pre_activation(layers[-1], h)
    return [*found, z_quantities(z)], jnp.stack(dead), z


def z_quantities(z: Array) -> dict[str, Array]:
    """Return what the pre-activations ``[sample, unit]`` show."""
    return {
        "z_mean": z.mean(),
        "z_second_moment": jnp.square(z).mean(),
        "z_collapse": collapse(z),
    }


def activation_quantities(z: Array, h: Array, slope: Array, name: str) -> dict[str, Array]:
    """Return what an activation does to ``z`` ``[sample, unit]``."""
    found = {
        "h_mean": h.mean(),
        "h_second_moment": jnp.square(h).mean(),
        "slope_second_moment": jnp.square(slope).mean(),
        "active_share": (z > 0).mean(dtype=z.dtype),
    }
    largest = ACTIVATIONS[name].extra.largest_slope
    if largest is not None:
        found["saturated_share"] = (jnp.abs(slope) < SATURATED * largest).mean(dtype=z.dtype)
    return found


def dead_quantities(now: Array, always: Array, ever: Array) -> Quantities:
    """Return counts of dead units from ``[layer, unit]``: now, at all probe steps so far, at any."""
    counts = {"dead_units": now, "born_dead_units": always, "revived_units": ever & ~now}
    hidden = [{name: of[layer].sum() for name, of in counts.items()} for layer in range(len(now))]
    return [*hidden, {}]


def update_quantities(
    before: Sequence[Layer], after: Sequence[Layer], gradients: Sequence[Layer]
) -> Quantities:
    """Return zeros and non-finite entries of the gradient as trained, and the norm of the update."""
    return [
        {
            "grad_zeros": (gradient["weight"] == 0).sum(),
            "grad_nonfinite": (~jnp.isfinite(gradient["weight"])).sum(),
            "update_norm": norm(new["weight"].astype(jnp.float64) - old["weight"]),
        }
        for old, new, gradient in zip(before, after, gradients, strict=True)
    ]


def signals(layers: Sequence[Layer], inputs: Array, name: str) -> list[Array]:
    """Return all of z of every layer, ``[sample · unit]``."""
    found = [pre_activation(layers[0], inputs)]
    for layer, following in itertools.pairwise(layers):
        found.append(pre_activation(following, FUNCTIONS[name](found[-1], layer)))
    return [z.ravel() for z in found]


def twins(layers: Sequence[Layer]) -> Array:
    """Return how many units of every hidden layer are within `TWIN` of an earlier one, ``[layer]``."""
    found = []
    for layer in layers[:-1]:
        rows = jnp.concatenate([layer["weight"], layer["bias"][:, None]], axis=1)
        products = rows @ rows.T
        sums = jnp.diag(products)[:, None] + jnp.diag(products)[None]
        same = sums - 2 * products <= TWIN**2 / 2 * sums
        found.append(jnp.tril(same, -1).any(axis=1).sum())
    return jnp.stack(found)


def as_rows(*kinds: Quantities) -> Array:
    """Return quantities as ``[layer, quantity]``, NaN where a layer has none."""
    merged = [{k: v for one in layer for k, v in one.items()} for layer in zip(*kinds, strict=True)]
    return jnp.stack(
        [
            jnp.stack([jnp.asarray(layer.get(name, jnp.nan), jnp.float64) for name in QUANTITIES])
            for layer in merged
        ]
    )
