"""Whether a peer gives the product's numbers: asked before anything is timed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.peers.measured import Measured, Numbers
from study.probe import INDEX
from study.training import PackResult

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
"""Unit roundoff."""

LOSS_BOUND = 1e-4
"""Largest difference of a loss, in nats, after some steps from the same start on the same batches."""


AS_TRAINED = ("grad_zeros", "grad_nonfinite", "update_norm")
"""Quantities of the gradient in the format of training; all others are measured in float64."""


ALONE = ("same_sign_units", "same_sign_inputs", "update_cosine")
"""Quantities that the product measures and no peer does: in every timing the product pays for them alone."""


class UnequalError(Exception):
    """A peer and the product disagree by more than rounding."""


@dataclass(frozen=True)
class Difference:
    """The largest relative differences between a peer and the product.

    Attributes:
        start: of anything measured in float64 of a layer at step 0.
        layers: of anything that both measure of a layer.
        losses: of any loss.
        accuracies: of any accuracy.
        last_loss: absolute, of the last batch's loss, in nats.
    """

    start: float
    layers: float
    losses: float
    accuracies: float
    last_loss: float


def tolerance(depth: int, width: int, batch: int, steps: int, dtype: str) -> float:
    """Return the relative difference that the order of summation may make.

    A sum of n products is off by at most n unit roundoffs of its terms. A gradient has passed
    2 · depth such sums, and the weights of step k carry k gradients. Cancellation, which this leaves
    out, is small as long as the steps are few.
    """
    return 2 * depth * (steps + 1) * max(width, batch) * UNIT[dtype]


def relative(one: Numbers, other: Numbers, scale: Numbers | None = None) -> float:
    """Return the largest difference relative to ``scale``, by default the first itself.

    Infinite where one is NaN and the other is not; two zeros are equal.
    """
    if not np.array_equal(np.isnan(one), np.isnan(other)):
        return np.inf
    difference = np.abs(one - other)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = difference / np.abs(one if scale is None else scale)
    return float(np.nan_to_num(np.where(difference == 0, 0.0, share), posinf=np.inf).max())


def difference(product: PackResult, peer: Measured) -> Difference:
    """Return how far a peer's numbers are from the product's.

    Raises:
        UnequalError: a network ended early in one of them alone.
    """
    if product.first_bad_step.tolist() != peer.first_bad_step.tolist():
        raise UnequalError("networks diverge in one and not in the other")
    scale = product.layers.copy()
    # a mean or a percentile near zero is a difference of large numbers
    root = np.sqrt(product.layers[:, :, INDEX["z_second_moment"]])
    for name in INDEX:
        if name == "z_mean" or name.startswith("z_p"):
            scale[:, :, INDEX[name]] = root
    scale[:, :, INDEX["h_mean"]] = np.sqrt(product.layers[:, :, INDEX["h_second_moment"]])
    pairs = [(product.probed, peer.probed), (product.final, peer.final)]
    known = [(one[..., 0::2, :], two[..., 0::2, :]) for one, two in pairs if one is not None]
    scores = [(one[..., 1::2, :], two[..., 1::2, :]) for one, two in pairs if one is not None]
    shared = [place for name, place in INDEX.items() if name not in ALONE]
    of_twin = [place for name, place in INDEX.items() if name not in (*AS_TRAINED, *ALONE)]
    measured = (product.layers, peer.layers, scale)
    return Difference(
        start=relative(*(one[0][:, of_twin] for one in measured)),
        layers=relative(*(one[:, :, shared] for one in measured)),
        losses=max(relative(*pair) for pair in [*known, (product.batch_loss, peer.batch_loss)]),
        accuracies=max(relative(*pair) for pair in scores),
        last_loss=float(np.abs(product.batch_loss[-1] - peer.batch_loss[-1]).max()),
    )
