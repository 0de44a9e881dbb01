"""The networks of the bench: drawn once for all, before any threshold of the diagnosis was chosen.

What is planted is planted by construction, and by how much theory or arithmetic says, never the diagnosis.
Every second network of a kind belongs to the part on which thresholds are set, the others to the part that is
reported. This file is not to be changed for the sake of a result: a changed bench is another bench.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from study.theory import mean_field

SEED = 20261121

WIDTHS = (16, 32, 64, 128, 256, 512)
DEPTHS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
DATA = ("mnist1d", "digits", "moons", "gaussian", "spirals")
SIX = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu")

LARGEST = 64 * 128**2
"""Weights of the hidden layers at most: a network of the bench takes seconds."""

HEALTHY_RATES = {"sigmoid": 1.0}
RATE = 0.1

SLIGHT: dict[str, Any] = {"steps": 30, "rate": 0.01}
"""Training that changes little: what is planted is there from the start."""


@dataclass(frozen=True)
class Planted:
    """A network of the bench.

    Attributes:
        kind: what was planted in it; ``healthy`` for nothing, ``unplanted`` for a start from the grid.
        expected: labels that it must get; more are no fault, except in a healthy one.
        condition: its settings, as `study.sweep.run_conditions` takes them, of one seed.
        reported: whether it belongs to the part that is reported, not to that on which thresholds are set.
    """

    kind: str
    expected: frozenset[str]
    condition: dict[str, Any]
    reported: bool


def networks() -> list[Planted]:
    """Return the bench, always the same."""
    found = []
    for number, (kind, count, draw) in enumerate(KINDS):
        random = np.random.default_rng([SEED, number])
        for place in range(count):
            expected, condition = draw(random, place)
            condition["seed"] = 1000 * number + place
            found.append(Planted(kind, frozenset(expected), condition, place % 2 == 1))
    return found


Drawn = tuple[set[str], dict[str, Any]]


def _condition(
    activation: str,
    depth: int,
    width: int,
    data: str,
    init: dict[str, Any],
    steps: int = 30,
    rate: float = 0.01,
) -> dict[str, Any]:
    return {
        "depth": depth,
        "width": width,
        "activation": {"name": activation},
        "init": init,
        "data": {"name": data},
        "optim": {"name": "sgd", "lr": rate},
        "steps": steps,
        "seeds": 1,
        "batch_size": 64,
        "probe": {"steps": 6, "samples": 256},
    }


def _shape(
    random: np.random.Generator, least: int = 2, most: int = 64, narrowest: int = 16
) -> tuple[int, int, str]:
    """Draw depth, width and data."""
    while True:
        depth, width = int(random.choice(DEPTHS)), int(random.choice(WIDTHS))
        if least <= depth <= most and width >= narrowest and (depth - 2) * width**2 <= LARGEST:
            return depth, width, str(random.choice(DATA))


def _one(random: np.random.Generator, *names: str) -> str:
    return str(random.choice(names))


def _planted(**spoilt: float) -> dict[str, Any]:
    return {"name": "planted", **spoilt}


def _vanishing(random: np.random.Generator, _: int) -> Drawn:
    """Weights too small by so much that 3 to 12 decades of the gradient are lost on the way."""
    depth, width, data = _shape(random, least=4)
    activation = _one(random, "relu", "leaky_relu", "prelu", "tanh")
    decades = float(random.uniform(3, 12))
    scale = 10 ** (-decades / (depth - 2))
    init = _planted(scale=scale)
    return {"vanishing"}, _condition(activation, depth, width, data, init, **SLIGHT)


def _exploding(random: np.random.Generator, _: int) -> Drawn:
    """Weights too large by so much that the gradient gains 3 to 12 decades on the way."""
    depth, width, data = _shape(random, least=4)
    decades = float(random.uniform(3, 12))
    scale = 10 ** (decades / (depth - 2))
    activation = _one(random, "relu", "leaky_relu", "prelu")
    init = _planted(scale=scale)
    # a rate at which the first steps do not break it: what explodes is planted at the start
    return {"exploding"}, _condition(activation, depth, width, data, init, steps=0)


def _deep_sigmoid(random: np.random.Generator, _: int) -> Drawn:
    """Sigmoids under usual starts, of which each layer takes two thirds of the gradient or more."""
    depth, width, data = _shape(random, least=8)
    init = {"name": _one(random, "xavier_normal", "lecun_normal", "he_normal", "torch_default")}
    return {"vanishing"}, _condition("sigmoid", depth, width, data, init, **SLIGHT)


def _chaotic_tanh(random: np.random.Generator, _: int) -> Drawn:
    """Tanh with weights so large that theory has the gradient gain at least 3 decades."""
    while True:
        depth, width, data = _shape(random, least=12)
        scale = float(random.uniform(2.5, 5))
        if mean_field("tanh", scale**2, depth=depth).log10_gradient_ratio(1, depth - 1) >= 3:
            init = _planted(scale=scale)
            return {"exploding"}, _condition("tanh", depth, width, data, init, steps=0)


def _dead(random: np.random.Generator, place: int) -> Drawn:
    """Two thirds or more of the units of a layer let no sample through, or all of them."""
    depth, width, data = _shape(random, least=3)
    share = 1.0 if place % 4 < 2 else float(random.uniform(0.67, 0.95))
    init = _planted(killed=share, at=int(random.integers(1, depth)))
    return {"dead"}, _condition("relu", depth, width, data, init, **SLIGHT)


def _saturated(random: np.random.Generator, _: int) -> Drawn:
    """Biases that put the units of a layer where a bounded activation is flat."""
    depth, width, data = _shape(random)
    activation = _one(random, "sigmoid", "tanh")
    # σ' and tanh' are below 1 % of their largest from 6 and 3 on; z itself spreads by about 1
    least = 11.0 if activation == "sigmoid" else 8.0
    shift = least + float(random.uniform(0, 6))
    init = _planted(shift=shift, at=int(random.integers(1, depth)))
    return {"saturated"}, _condition(activation, depth, width, data, init, **SLIGHT)


def _symmetric(random: np.random.Generator, place: int) -> Drawn:
    """Units of a layer that are the same: all weights zero or constant, or rows written twice."""
    depth, width, data = _shape(random, least=3)
    activation = _one(random, *SIX)
    init = [
        {"name": "zeros"},
        {"name": "constant", "value": float(random.uniform(0.01, 0.5)) / width},
        _planted(duplicated=1.0, at=int(random.integers(1, depth))),
        _planted(duplicated=float(random.uniform(0.2, 0.8)), at=int(random.integers(1, depth))),
    ][place % 8 // 2]
    return {"symmetric"}, _condition(activation, depth, width, data, init, **SLIGHT)


def _stalled(random: np.random.Generator, _: int) -> Drawn:
    """A rate so small that a hundred steps change nothing that can be seen."""
    depth, width, data = _shape(random, most=16)
    activation = _one(random, *SIX)
    rate = 10 ** float(random.uniform(-10, -7))
    return {"stalled"}, _condition(activation, depth, width, data, _planted(), steps=100, rate=rate)


def _diverged(random: np.random.Generator, _: int) -> Drawn:
    """A rate so large that activations that cannot die overflow within some steps."""
    depth, width, data = _shape(random, least=4)
    activation = _one(random, "leaky_relu", "prelu")
    rate = 10 ** float(random.uniform(4, 6))
    return {"diverged"}, _condition(activation, depth, width, data, _planted(), steps=60, rate=rate)


def _underflow(random: np.random.Generator, _: int) -> Drawn:
    """Gradients below what float32 can hold, though not float64: by theory at most 10^−50 in layer 1."""
    while True:
        depth, width, data = _shape(random, least=12)
        activation = _one(random, "relu", "leaky_relu", "tanh", "sigmoid")
        std = 10 ** float(random.uniform(-4, -2))
        lost = mean_field(activation, width * std**2, depth=depth).log10_gradient_ratio(
            1, depth - 1
        )
        # the weight gradient is smaller still by what is left of the signal, and float64 ends at 10^−308
        if -110 <= lost <= -50:
            init = {"name": "normal", "std": std}
            return {"underflow", "vanishing"}, _condition(
                activation, depth, width, data, init, **SLIGHT
            )


def _healthy(random: np.random.Generator, place: int) -> Drawn:
    """Starts that keep gradients, at rates at which they train."""
    activation = SIX[place // 2 % len(SIX)]
    most = {"sigmoid": 2, "gelu": 8}.get(activation, 16)
    depth, width, data = _shape(random, most=most, narrowest=32)
    rate = HEALTHY_RATES.get(activation, RATE) / (1.0 if depth <= 8 else 3.0)
    init = {"name": "xavier_normal"} if activation == "sigmoid" else _planted()
    return set(), _condition(activation, depth, width, data, init, steps=200, rate=rate)


def _unplanted(random: np.random.Generator, _: int) -> Drawn:
    """Any start of the grid at any rate; what is wrong with it a float64 run and long training tell."""
    depth, width, data = _shape(random, most=32)
    names = (
        "torch_default",
        "xavier_normal",
        "he_normal",
        "lecun_normal",
        "orthogonal",
        "normal_unit",
    )
    rate = float(random.choice([0.01, 0.03, 0.1, 0.3, 1.0]))
    condition = _condition(
        _one(random, *SIX), depth, width, data, {"name": _one(random, *names)}, steps=200, rate=rate
    )
    return set(), condition


KINDS: tuple[tuple[str, int, Callable[[np.random.Generator, int], Drawn]], ...] = (
    ("too small", 40, _vanishing),
    ("deep sigmoid", 24, _deep_sigmoid),
    ("too large", 40, _exploding),
    ("chaotic tanh", 16, _chaotic_tanh),
    ("killed units", 48, _dead),
    ("shifted biases", 40, _saturated),
    ("equal units", 48, _symmetric),
    ("tiny rate", 40, _stalled),
    ("huge rate", 40, _diverged),
    ("tiny gradients", 40, _underflow),
    ("healthy", 120, _healthy),
    ("unplanted", 60, _unplanted),
)
"""Name, number of networks and how one is drawn. A new kind comes last: its place seeds its draws."""


def each_kind() -> Iterator[tuple[str, str]]:
    """Yield the name of every kind and what is planted."""
    for kind, _, draw in KINDS:
        yield kind, (draw.__doc__ or "").strip()
