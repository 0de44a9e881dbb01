"""How many factors of the backpropagated product are derivatives of activations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from study.later import Later
from study.randomness import stream
from study.tasks.row import TASKS, Row

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
else:
    torch, nn, F = Later("torch"), Later("torch.nn"), Later("torch.nn.functional")

DERIVATIVES = {"SigmoidBackward0": 2, "TanhBackward0": 2, "ReluBackward0": 1}
"""Nodes that are an activation's derivative, and in how many factors it is written in terms of the output h:
h·(1 − h) for sigmoid, (1 − h)·(1 + h) for tanh."""

KINDS = ("activation derivative", "weight", "input", "loss")


def chain(activation: str, output: str, depth: int) -> tuple[list[nn.Linear], Tensor]:
    """Return the layers of a network of one unit a layer, and its squared error on one sample.

    One unit a layer is what one path through a wider network is; its gradient is the product of the
    factors along it.

    Args:
        activation: of hidden units: sigmoid, tanh, relu or identity.
        output: of the output unit, likewise.
        depth: layers that carry weights.
    """
    random = stream(0, "backprop_factors")
    layers = []
    signal = torch.ones(1, 1, dtype=torch.float64)
    for index in range(depth):
        layer = nn.Linear(1, 1, dtype=torch.float64)
        # away from 0, so that ReLU passes
        layer.weight.data.fill_(random.uniform(0.5, 1.5))
        layer.bias.data.fill_(random.uniform(0.0, 0.5))
        name = activation if index < depth - 1 else output
        signal = layer(signal)
        if name != "identity":
            signal = getattr(torch, name)(signal)
        layers.append(layer)
    return layers, F.mse_loss(signal, torch.full_like(signal, 0.25))


def factors(loss: Tensor, weight: Tensor) -> list[tuple[str, str, float]]:
    """Return the factors on the path of the autograd graph from a loss to a weight.

    Args:
        loss: of a network as `chain` builds it, where there is one path.
        weight: ``[1, 1]``, one of its weights.

    Returns:
        Of each factor its node, its kind (of `KINDS`) and its value; their product is the gradient.
    """
    found: list[tuple[str, str, float]] = []
    node, arriving = loss.grad_fn, torch.ones_like(loss)
    for edge in _path(loss.grad_fn, weight):
        name = node.name()  # type: ignore[union-attr]
        passed = node(arriving)  # type: ignore[operator, misc]
        passed = passed[edge] if isinstance(passed, tuple) else passed
        value = float(passed.detach())
        following = node.next_functions[edge][0]  # type: ignore[union-attr]
        if name != "TBackward0":  # a view: it turns the matrix and multiplies nothing
            found.append((name, _kind(name, following), value))
        node, arriving = following, torch.ones_like(passed)
    return found


def _path(node: Any, weight: Tensor) -> list[int]:
    """Return the edges that lead from a node of the graph to a leaf."""
    # not by recursion: a deep network has more nodes than Python has frames
    waiting: list[tuple[Any, list[int]]] = [(node, [])]
    while waiting:
        one, edges = waiting.pop()
        if getattr(one, "variable", None) is weight:
            return edges
        for edge, (following, _) in enumerate(one.next_functions):
            if following is not None:
                waiting.append((following, [*edges, edge]))
    raise AssertionError("the loss does not depend on this weight")


def _kind(name: str, following: Any) -> str:
    if name in DERIVATIVES:
        return "activation derivative"
    if name == "MseLossBackward0":
        return "loss"
    if name != "AddmmBackward0":
        raise AssertionError(f"a factor of the graph is not known: {name}")
    # towards its own weight a layer multiplies by its input, towards the layers below by its weight
    return "input" if following.name() == "TBackward0" else "weight"


@TASKS.register()
def backprop_factors(device: str, *, deepest: int = 32) -> Iterator[Row]:
    """Factors between loss and weight, counted on autograd's graph: activation derivatives and others.

    Networks with squared error, of depth 2 … ``deepest``, down to the weight of layer 1; for depth 2 also
    of layer 2. ``derivative`` says whether a derivative counts as one factor (``whole``) or as those that it
    is written with (``split``), h·(1 − h) for sigmoid.

    Args:
        device: not used: what is counted has none.
        deepest: layers of the deepest network.
    """
    del device
    for activation in ("sigmoid", "tanh", "relu"):
        # an output unit with the activation of the hidden ones, and a linear one
        for output in (activation, "identity"):
            for depth in range(2, deepest + 1):
                layers, loss = chain(activation, output, depth)
                for layer in (1, 2) if depth == 2 else (1,):
                    found = factors(loss, layers[layer - 1].weight)
                    for derivative in ("whole", "split"):
                        subject = {
                            "activation": activation,
                            "output": output,
                            "depth": depth,
                            "layer": layer,
                            "derivative": derivative,
                        }
                        counts = dict.fromkeys(KINDS, 0)
                        for node, kind, _ in found:
                            split = derivative == "split"
                            counts[kind] += DERIVATIVES.get(node, 1) if split else 1
                        for kind, count in counts.items():
                            yield Row(subject, f"{kind}s" if kind != "loss" else kind, count)
                        yield Row(subject, "factors", sum(counts.values()))
