"""What every peer hands back: the numbers that the product records, under the product's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass
class Measured:
    """Everything measured of some networks, as `study.training.PackResult` has it of a pack.

    Attributes:
        layers: ``[probe step, layer, quantity, cell]``, quantities as in `study.probe.QUANTITIES`.
        batch_loss: ``[step, cell]``.
        probed: ``[probe step, 4, cell]``: loss and accuracy on the probe set and on the test samples.
        final: ``[6, cell]``: loss and accuracy on train, validation and test.
        first_bad_step: ``[cell]``, −1 where everything stayed finite.
    """

    layers: Numbers
    batch_loss: Numbers
    probed: Numbers
    final: Numbers
    first_bad_step: NDArray[np.int64]


def first_bad_step(good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first step at which something was not finite, ``[cell]``, from ``[step, cell]``."""
    return np.where(good.all(axis=0), -1, (~good).argmax(axis=0))


def joined(networks: Sequence[Measured]) -> Measured:
    """Return what was measured of networks one by one as of one pack."""
    fields = ("layers", "batch_loss", "probed", "final", "first_bad_step")
    return Measured(
        **{name: np.concatenate([getattr(one, name) for one in networks], -1) for name in fields}
    )
