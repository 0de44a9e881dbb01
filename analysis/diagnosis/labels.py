"""The labels, what each means and what usually mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """A pathology.

    Attributes:
        name: what it is called.
        meaning: what it says of a network.
        mend: what usually mends it.
    """

    name: str
    meaning: str
    mend: str


LABELS = {
    label.name: label
    for label in (
        Label(
            "diverged",
            "a loss or a weight stopped being a finite number",
            "a smaller rate, or a start whose gradients do not explode",
        ),
        Label(
            "exploding",
            "the gradient grows on its way to layer 1 by more than finite width explains",
            "weights with fan_in·Var(W) at the critical value of the activation: he_normal for ReLU, "
            "init=critical where there is one",
        ),
        Label(
            "vanishing",
            "the gradient shrinks on its way to layer 1 by more than finite width explains",
            "larger weights (he_normal for ReLU, init=critical where there is one), an activation whose "
            "slope is near 1, or fewer layers",
        ),
        Label(
            "underflow",
            "gradients are exactly 0 in the format of training where float64 has numbers",
            "what mends vanishing gradients, or dtype=float64 to see them",
        ),
        Label(
            "symmetric",
            "units of a layer have the same weights and stay alike",
            "weights drawn at random, one by one",
        ),
        Label(
            "dead",
            "more units of a layer answer to no sample than a random start explains",
            "a smaller rate, biases at 0, leaky_relu or prelu",
        ),
        Label(
            "saturated",
            "most of a layer's units are where a bounded activation is flat",
            "smaller weights and biases, a smaller rate, or an unbounded activation",
        ),
        Label(
            "stalled",
            "the loss is finite, no lower than that of a constant answer, and does not move",
            "a larger rate, or what mends the other labels that the network has",
        ),
    )
}
"""By name, the gravest first: a network with several is counted under the first of them."""

HEALTHY = "healthy"
