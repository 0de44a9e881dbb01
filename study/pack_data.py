"""The data of a pack: which cell sees which samples, centred and scaled.

The pool lies on the device once, in the numbers it comes in. A small split is made ready for the networks
once; of a large one every batch is when its turn comes: fifty thousand images as float32 for every seed
would fill a laptop.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.cell import canonical_json
from study.datasets import Floats, Split, SplitData, batches, pool, split

Settings = dict[str, Any]

Part = Callable[[SplitData], Split]
"""Which of a seed's splits is meant."""


# indices and labels: a megabyte for each seed of the largest data set
@functools.lru_cache(maxsize=64)
def _split_of(data: str, seed: int, probe_samples: int) -> SplitData:
    return split(json.loads(data), seed, probe_samples)


def training_inputs(settings: Settings, samples: int | None) -> Floats:
    """Return the first training samples of one cell as its network sees them, before any rounding.

    Their order is random, so the first are a sample of all.

    Args:
        settings: the cell's canonical settings.
        samples: how many at most; None: all.

    Returns:
        ``[sample, in]``, float64, standardised on the whole training split.
    """
    key = canonical_json(settings["data"])
    train = _split_of(key, settings["seed"], settings["probe"]["samples"]).train
    return replace(train, rows=train.rows[:samples]).inputs


READY_BYTES = 2**27
"""A split that takes no more than this, for all seeds of a pack, is made ready as a whole."""


class PackData:
    """The data of a pack: splits of every distinct seed, and which cell uses which.

    Args:
        settings: settings that the cells share.
        seeds: the seed of every cell.
        dtype: the number format of training.
        device: where the networks live.
    """

    def __init__(
        self, settings: Settings, seeds: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> None:
        distinct = sorted(set(seeds))
        key = canonical_json(settings["data"])
        probe_samples = settings["probe"]["samples"]
        self.splits = [_split_of(key, seed, probe_samples) for seed in distinct]
        whole = pool(settings["data"])
        self.task = whole.task
        self.dtype, self.device = dtype, device
        self.seed_of_cell = torch.tensor([distinct.index(seed) for seed in seeds], device=device)
        self._pool = torch.tensor(whole.inputs, device=device)
        # [seed, 1, in] and [seed, 1, 1]
        self._centre = self._stacked([one.train.centre for one in self.splits]).unsqueeze(1)
        self._scale = self._stacked([one.train.scale for one in self.splits]).view(-1, 1, 1)
        order = np.stack(
            [
                batches(seed, len(one.train.rows), settings["batch_size"], settings["steps"])
                for seed, one in zip(distinct, self.splits, strict=True)
            ],
            axis=1,
        )
        self.order = torch.from_numpy(order).to(device)

    @functools.cached_property
    def train(self) -> Samples:
        """The training split."""
        return self.samples(lambda one: one.train)

    @functools.cached_property
    def probe(self) -> Samples:
        """The probe set: training samples on which units are judged."""
        return self.samples(lambda one: one.probe)

    @functools.cached_property
    def validation(self) -> Samples:
        """The validation split."""
        return self.samples(lambda one: one.validation)

    @functools.cached_property
    def test(self) -> Samples:
        """The test split."""
        return self.samples(lambda one: one.test)

    @functools.cached_property
    def test_part(self) -> Samples:
        """The test samples evaluated at every probe step."""
        return self.samples(lambda one: one.test_part)

    def _stacked(self, arrays: Sequence[Any]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)

    def samples(self, part: Part) -> Samples:
        """Return one split of every cell."""
        return Samples(self, [part(one) for one in self.splits])

    def inputs(self, rows: Tensor, seeds: slice = slice(None)) -> Tensor:
        """Return samples of the pool as each seed's networks see them.

        Args:
            rows: ``[seed, sample]``, places in the pool.
            seeds: which of the seeds these are.

        Returns:
            ``[seed, sample, in]``, centred and scaled in float64, then in the number format of training.
        """
        values = self._pool.index_select(0, rows.reshape(-1)).view(*rows.shape, -1).double()
        return ((values - self._centre[seeds]) / self._scale[seeds]).to(self.dtype)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch of a step: inputs ``[cell, batch, in]``, labels ``[cell, batch]``."""
        return self.train.at(self.order[step])

    def for_cells(self, part: Part) -> tuple[Tensor, Tensor]:
        """Return one split of every cell at once.

        Returns:
            Inputs ``[cell, sample, in]`` and labels ``[cell, sample]``: a copy for each cell, which is
            large where the split is.
        """
        found = self.samples(part)
        everything = torch.arange(found.count, device=self.device)
        return found.at(everything.expand(len(self.splits), -1))


@functools.lru_cache(maxsize=1)
def _data_of(
    shared: str, seeds: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> PackData:
    return PackData(json.loads(shared), seeds, dtype, device)


def data_of(
    settings: Settings, seeds: Sequence[int], dtype: torch.dtype, device: torch.device
) -> PackData:
    """Return the data of a pack as `PackData`; those of the last pack again, if they are the same."""
    shared = {key: settings[key] for key in ("data", "batch_size", "steps", "probe")}
    return _data_of(canonical_json(shared), tuple(seeds), dtype, device)


class Samples:
    """One split of every cell of a pack.

    Args:
        data: the pack's data.
        splits: the split of each distinct seed.

    Attributes:
        count: samples of the split.
        cells: cells of the pack.
        variance: ``[cell]``, in regression the variance of the split's targets, in float64; else None.
    """

    def __init__(self, data: PackData, splits: Sequence[Split]) -> None:
        self._data = data
        self._rows = data._stacked([one.rows for one in splits])
        labels = data._stacked([one.labels for one in splits])
        regression = data.task == "regression"
        self._labels = labels.to(data.dtype) if regression else labels
        seeds, self.count = self._rows.shape
        self.cells = len(data.seed_of_cell)
        self.device = data.device
        self.variance = _variance(labels)[data.seed_of_cell] if regression else None
        self._first = torch.arange(seeds, device=data.device).unsqueeze(1) * self.count
        self._ready = self._made_ready()

    def _made_ready(self) -> Tensor | None:
        """Return the samples of all seeds as their networks see them, or None if that takes too much."""
        features = self._data._centre.shape[-1]
        numbers = self._rows.numel() * features
        if numbers * self._data.dtype.itemsize > READY_BYTES:
            return None
        ready = torch.empty(
            (numbers // features, features), dtype=self._data.dtype, device=self.device
        )
        for seed, part in enumerate(ready.split(self.count)):
            part.copy_(self._data.inputs(self._rows[seed : seed + 1], slice(seed, seed + 1))[0])
        return ready

    @property
    def labels(self) -> Tensor:
        """``[cell, sample]``: classes, or in regression the standardized target."""
        return self._labels[self._data.seed_of_cell]

    def at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return some samples for every cell.

        Args:
            places: ``[seed, sample]``, places in the split.

        Returns:
            Inputs ``[cell, sample, in]`` and labels ``[cell, sample]``.
        """
        chosen = self._data.seed_of_cell
        rows = (places + self._first).index_select(0, chosen)
        labels = self._labels.flatten().index_select(0, rows.flatten()).view_as(rows)
        if self._ready is None:
            inputs = self._data.inputs(self._rows.gather(1, places)).index_select(0, chosen)
        else:
            inputs = self._ready.index_select(0, rows.flatten()).view(*rows.shape, -1)
        return inputs, labels

    def chunks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the split in order, at most ``size`` samples at a time, as `at` returns them."""
        everything = torch.arange(self.count, device=self.device)
        for places in everything.split(size):
            yield self.at(places.expand(len(self._rows), -1))


def _variance(targets: Tensor) -> Tensor:
    """Return the variance of ``[seed, sample]`` over samples, exactly 0 where all are equal."""
    equal = targets.amin(dim=1) == targets.amax(dim=1)
    return torch.where(equal, 0.0, targets.var(dim=1, correction=0))
