"""Dropout: which outputs of hidden units a training step keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from study.randomness import stream


class Masks:
    """The masks of a pack's training steps, drawn from each network's own seed.

    Those of a step depend on seed, step, share and shape alone: not on the pack, and not on what was drawn
    before. Networks of one seed and width share those of their first layers at every depth, as they share
    their weights.

    Args:
        seeds: the seed of every cell.
        share: of units dropped, at least 0 and below 1.
        shape: hidden layers, samples of a batch and units of a layer.
        device: where the networks live.

    Attributes:
        keep: ``[hidden layer, cell, sample, unit]``, whether an output is kept; memory that stays.

    Source:
        Srivastava et al. 2014, JMLR 15; what is kept is divided by its share in training, so that nothing is
        scaled in evaluation.
    """

    def __init__(
        self, seeds: Sequence[int], share: float, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        self._distinct = sorted(set(seeds))
        self._of_cell = [self._distinct.index(seed) for seed in seeds]
        self._share, self._shape = share, shape
        layers, samples, units = shape
        self.keep = torch.ones(
            (layers, len(seeds), samples, units), dtype=torch.bool, device=device
        )

    def draw(self, step: int) -> None:
        """Make these the masks of the step that follows so many updates."""
        drawn = np.stack(
            [
                stream(seed, f"dropout/{step}").random(self._shape, dtype=np.float32)
                for seed in self._distinct
            ],
            axis=1,
        )
        self.keep.copy_(torch.from_numpy((drawn >= self._share)[:, self._of_cell]))

    def apply(self, layer: int, h: Tensor) -> Tensor:
        """Return what the next layer gets of the outputs of a hidden layer, ``[cell, sample, unit]``."""
        return h * self.keep[layer] / (1 - self._share)
