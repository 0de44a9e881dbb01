"""What initializers give the theory: the variance of a layer's weights and biases."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import special

from study import initializers
from study.cell import canonical_json
from study.errors import SettingError, nearest
from study.initializers import INITIALIZERS, LayerDraw
from study.registry import parameters
from study.settings import NEUTRAL
from study.theory.expectation import Array
from study.theory.field import MeanField, mean_field

ENOUGH = 2**12
"""Weights from which the variance of a layer is taken at least; smaller layers are drawn more often."""

LEAST_DRAWS = 4

OFF_CENTRE = 6.0
"""Standard errors of their mean by which weights may miss 0."""


def predict(settings: Mapping[str, Any], inputs: int, outputs: int, q0: float = 1.0) -> MeanField:
    """Predict the network that these settings describe.

    Args:
        settings: ``depth``, ``width``, ``bias``, ``activation`` and ``init`` as a cell's canonical settings
            have them; the last two with a ``name``.
        inputs: features of a sample.
        outputs: units of the output layer.
        q0: mean square of the inputs; 1 as the study scales its data.

    Raises:
        SettingError: the theory does not speak of such a network, because it has a normalization or dropout,
            its weights are not centred, or its activation cannot be integrated.
    """
    for path in ("norm", "dropout"):
        if (value := settings.get(path, NEUTRAL[path])) != NEUTRAL[path]:
            raise SettingError(
                f"cannot predict {path}={value}: the theory speaks of networks with {path}={NEUTRAL[path]}."
            )
    depth, width = settings["depth"], settings["width"]
    widths = (inputs, *[width] * (depth - 1), outputs)
    chosen = canonical_json([settings["init"], settings["activation"]])
    name = settings["init"]["name"]
    # one of the user's own may treat every layer in its own way; ours go by shape alone
    own = name in INITIALIZERS and INITIALIZERS[name].function.__module__ != initializers.__name__
    found = [
        variances(
            chosen,
            widths[layer],
            widths[layer + 1],
            layer + 1 if own or layer in (0, depth - 1) else 2,
            depth,
        )
        for layer in range(depth)
    ]
    biases = [bias if settings["bias"] else 0.0 for _, bias in found]
    weights = [variance for variance, _ in found]
    return mean_field(settings["activation"], weights, biases, depth, q0, widths)


@functools.lru_cache(maxsize=4096)
def variances(
    chosen: str, fan_in: int, fan_out: int, layer: int, depth: int
) -> tuple[float, float]:
    """Return fan_in · Var(W) and Var(b) of one layer.

    An initializer maps normal numbers to weights, so it is given the quantiles of the normal distribution in
    random order: a rule that scales each number is then met exactly, and any other to about 1 %.

    Args:
        chosen: canonical settings of initializer and activation.
        fan_in: units that feed the layer.
        fan_out: units of the layer.
        layer: 1 … ``depth``.
        depth: layers of the network.

    Raises:
        SettingError: there is no such initializer, or its weights are not centred at 0.
    """
    init, activation = json.loads(chosen)
    name = init["name"]
    if name not in INITIALIZERS:
        raise SettingError(
            f"cannot predict init={name}: allowed are {', '.join(sorted(INITIALIZERS))}"
            f"{nearest(str(name), INITIALIZERS)}."
        )
    if INITIALIZERS[name].extra.needs_inputs:
        raise SettingError(
            f"cannot predict init={name}: its weights follow the samples, and the theory speaks of "
            "independent ones."
        )
    rule, keywords = INITIALIZERS[name].function, parameters(init)
    random = np.random.default_rng(0)
    times = max(LEAST_DRAWS, -(-ENOUGH // (fan_in * fan_out)))
    drawn = random.permutation(_quantiles(times * fan_in * fan_out))
    offsets = random.permutation(_quantiles(times * fan_out)).reshape(times, fan_out)
    weights, biases = [], []
    for draw_weight, draw_bias in zip(drawn.reshape(times, fan_out, fan_in), offsets, strict=True):
        draw = LayerDraw(
            weight=draw_weight,
            bias=draw_bias,
            layer=layer,
            depth=depth,
            activation=activation,
        )
        made = rule(draw, **keywords)
        weight, bias = made if isinstance(made, tuple) else (made, np.zeros(fan_out))
        weights.append(np.asarray(weight, np.float64))
        biases.append(np.asarray(bias, np.float64))
    for what, numbers in (("weights", np.stack(weights)), ("biases", np.stack(biases))):
        size = math.sqrt(float(np.mean(numbers**2)))
        if abs(numbers.mean()) > OFF_CENTRE * size / math.sqrt(numbers.size):
            raise SettingError(
                f"cannot predict init={name}: the mean of its {what} is {numbers.mean():.3g}, and the theory "
                "speaks of independent ones around 0."
            )
    return fan_in * float(np.mean(np.square(weights))), float(np.mean(np.square(biases)))


@functools.lru_cache(maxsize=64)
def _quantiles(count: int) -> Array:
    """Return that many numbers, at least two, that stand for the standard normal distribution."""
    numbers: Array = special.ndtri((np.arange(count) + 0.5) / count)
    return numbers / math.sqrt(float(np.mean(numbers**2)))
