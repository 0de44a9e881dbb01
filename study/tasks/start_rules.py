"""Xavier and He as lecture notes write them, as they were published, and as the study draws them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from study.initializers import INITIALIZERS, LayerDraw
from study.randomness import stream
from study.tasks.row import TASKS, Row

FANS = ((64, 64), (64, 256), (256, 64), (784, 10), (10, 784), (1, 100))
"""fan_in and fan_out of the layers."""

DRAWN = ("lecun_normal", "xavier_normal", "xavier_uniform", "he_normal", "he_uniform")
"""Initializers of the study whose weights are drawn beside the rules."""


def rules(fan_in: int, fan_out: int) -> Iterator[tuple[str, str, float, float]]:
    """Yield rule, whose it is, mean and standard deviation of the weights.

    ``note`` is the sentence of a lecture note as it stands: a random number between fan_in and fan_out,
    taken as uniform there, divided by √fan_in (Xavier) or √(fan_in/2) (He). ``lecture`` is the code that the
    sentence retells, ``np.random.randn(fan_in, fan_out)`` divided by the same: the numbers are the shape of
    the matrix there and no bounds.

    Args:
        fan_in: units that feed the layer, at least 1.
        fan_out: units of the layer, at least 1.

    Source:
        Glorot & Bengio 2010, eq. 12; He et al. 2015, arXiv:1502.01852, eq. 10.
    """
    mean, deviation = (fan_in + fan_out) / 2, abs(fan_out - fan_in) / math.sqrt(12)
    for rule, divisor in (("xavier", math.sqrt(fan_in)), ("he", math.sqrt(fan_in / 2))):
        yield rule, "note", mean / divisor, deviation / divisor
        yield rule, "lecture", 0.0, 1 / divisor
    yield "xavier", "published", 0.0, math.sqrt(2 / (fan_in + fan_out))
    yield "he", "published", 0.0, math.sqrt(2 / fan_in)


@TASKS.register()
def start_rules(device: str, *, seeds: int = 10) -> Iterator[Row]:
    """Mean and standard deviation of weights on non-square layers: notes, papers and the study's own draws.

    Args:
        device: not used: it is measured on the CPU.
        seeds: draws of each of the study's initializers.
    """
    del device
    for fan_in, fan_out in FANS:
        fans = {"fan_in": fan_in, "fan_out": fan_out}
        for rule, source, mean, deviation in rules(fan_in, fan_out):
            subject = {**fans, "rule": rule, "source": source}
            yield Row(subject, "mean", mean)
            yield Row(subject, "standard deviation", deviation)
        for init in DRAWN:
            entry = INITIALIZERS[init]
            for seed in range(seeds):
                random = stream(seed, "start_rules")
                draw = LayerDraw(
                    weight=random.standard_normal((fan_out, fan_in)),
                    bias=random.standard_normal(fan_out),
                    layer=1,
                    depth=2,
                )
                weight = entry.function(draw, **entry.parameters)
                subject = {**fans, "rule": init, "source": "study"}
                yield Row(subject, "mean", float(weight.mean()), "1", seed)
                yield Row(subject, "standard deviation", float(weight.std()), "1", seed)
