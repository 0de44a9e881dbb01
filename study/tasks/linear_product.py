"""Without a non-linearity depth adds nothing: the layers' product is one matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from study.initializers import Array
from study.later import Later
from study.tasks.networks import Layers, drawn, samples, stacked
from study.tasks.row import TASKS, Row

if TYPE_CHECKING:
    import torch
else:
    torch = Later("torch")

DEPTHS = (2, 4, 8, 16, 32)


def product(layers: Layers) -> tuple[Array, Array]:
    """Return the one weight ``[out, in]`` and bias ``[out]`` that layers without activations amount to."""
    weight, bias = layers[0]
    for above, offset in layers[1:]:
        weight, bias = above @ weight, above @ bias + offset
    return weight, bias


def rounding_bound(layers: Layers, inputs: Array) -> Array:
    """Return how far both ways of computing may lie apart by rounding, ``[sample]``, in the Euclidean norm.

    A product of matrices over n terms and the addition of a bias miss by at most γ times the same of the
    absolute values, γ = (n + 1)u / (1 − (n + 1)u); the layers above multiply what is missed by at most the
    norm of their product. Both ways are followed so, layer by layer, on the numbers as computed.

    Args:
        layers: weights and biases from the input on.
        inputs: ``[sample, in]``.

    Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, eq. 3.13 and section 3.3.
    """
    above = [np.eye(len(layers[-1][0]))]
    for weight, _ in layers[:0:-1]:
        above.append(above[-1] @ weight)
    size = np.hstack([np.abs(inputs), np.ones((len(inputs), 1))])
    # weights and, as a last column, bias of what the layers so far amount to
    joint = np.eye(inputs.shape[1] + 1)[:-1]
    missed = np.zeros(len(inputs))
    for (weight, bias), later in zip(layers, reversed(above), strict=True):
        one_by_one = np.abs(inputs) @ np.abs(weight).T + np.abs(bias)
        at_once = np.abs(weight) @ np.abs(joint)
        at_once[:, -1] += np.abs(bias)
        sums = np.linalg.norm(one_by_one, axis=1) + np.linalg.norm(size @ at_once.T, axis=1)
        missed += np.linalg.norm(later, 2) * _gamma(weight.shape[1]) * sums
        inputs = inputs @ weight.T + bias
        joint = weight @ joint
        joint[:, -1] += bias
    last = np.linalg.norm(size @ np.abs(joint).T, axis=1)
    found: Array = missed + _gamma(joint.shape[1] - 1) * last
    return found


def _gamma(terms: int) -> float:
    roundings = (terms + 1) * np.finfo(np.float64).eps / 2
    return float(roundings / (1 - roundings))


@TASKS.register()
def linear_product(device: str, *, seeds: int = 10, width: int = 64) -> Iterator[Row]:
    """Networks of identity units against the one matrix that their layers multiply to.

    With biases, float64, for depth 2 … 32 and two initializers. Differences and the bound on what rounding
    alone may do are relative to the largest output.

    Args:
        device: not used: it is measured on the CPU.
        seeds: networks of each condition.
        width: units of a hidden layer.
    """
    del device
    for init in ("torch_default", "xavier_normal"):
        for depth in DEPTHS:
            for seed in range(seeds):
                layers = drawn(init, "identity", depth, width, seed)
                inputs = samples(seed, 1)
                with torch.no_grad():
                    outputs = stacked([layers], "identity")(inputs)[0].numpy()
                weight, bias = product(layers)
                alone = inputs[0].numpy() @ weight.T + bias
                size = np.abs(outputs).max()
                subject = {"init": init, "depth": depth, "width": width}
                difference = np.abs(outputs - alone).max() / size
                bound = rounding_bound(layers, inputs[0].numpy()).max() / size
                yield Row(subject, "relative difference of outputs", float(difference), "1", seed)
                yield Row(subject, "rounding bound", float(bound), "1", seed)
