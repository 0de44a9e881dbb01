"""A start that would be healthy, with one thing spoilt. Loaded as a user's own file is, by ``--use``."""

from __future__ import annotations

import math

import numpy as np

from study.initializers import INITIALIZERS, Array, LayerDraw

KEEPS = {
    "relu": math.sqrt(2.0),
    "leaky_relu": math.sqrt(2.0 / (1.0 + 0.01**2)),
    "prelu": math.sqrt(2.0 / (1.0 + 0.25**2)),
    "gelu": math.sqrt(2.0),
    "tanh": 1.0,
    "sigmoid": 1.0,
}
"""√(fan_in · Var W) of a start that keeps gradients, or of the best known where there is none."""


@INITIALIZERS.register()
def planted(
    draw: LayerDraw,
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    duplicated: float = 0.0,
    killed: float = 0.0,
    at: int = 0,
) -> tuple[Array, Array]:
    """Draw a start that keeps gradients and spoil the hidden layer ``at``, or all of them where it is 0.

    Args:
        draw: standard normal draws.
        scale: factor of all weights, those of the readout aside.
        shift: added to the biases of the spoilt layers' units, in turn above and below 0.
        duplicated: share of the spoilt layers' units that get the weights of their first unit.
        killed: share of the spoilt layers' units that get a bias so low that no sample gets through.
        at: the layer, from 1 on.
    """
    readout = draw.layer == draw.depth
    gain = KEEPS[str(draw.activation["name"])] * (1.0 if readout else scale)
    weight = gain / math.sqrt(draw.fan_in) * draw.weight
    bias = np.zeros(draw.fan_out)
    if readout or at not in (0, draw.layer):
        return weight, bias
    signs = np.where(np.arange(draw.fan_out) % 2 == 0, 1.0, -1.0)
    bias = bias + shift * signs
    copies = round(duplicated * (draw.fan_out - 1))
    weight = weight.copy()
    weight[1 : 1 + copies] = weight[0]
    bias[1 : 1 + copies] = bias[0]
    dead = math.ceil(killed * draw.fan_out)
    if dead:
        bias[-dead:] = -1e4
    return weight, bias
