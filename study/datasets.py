"""The data sets: a fixed pool of samples each, split by the cell's seed, centred and scaled.

One of your own is a registered function that returns the whole pool, see `study.extensions`; one that is
to come with this program stands here and in ``conf/data/<name>.yaml``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.errors import DataError, StudyError
from study.extensions import place_in
from study.randomness import stream
from study.registry import Registry

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """How many samples of a pool go to each split."""

    train: int
    validation: int
    test: int

    @property
    def total(self) -> int:
        """Samples of the pool."""
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class Split:
    """One split of one seed.

    Attributes:
        inputs: ``[sample, in]``, centred per feature and scaled by one number, both taken on the
            training split, where the mean square is 1.
        labels: ``[sample]``.
    """

    inputs: Floats
    labels: Labels


@dataclass(frozen=True)
class SplitData:
    """The three splits of one seed, with the samples on which units are judged."""

    train: Split
    validation: Split
    test: Split
    probe: Split
    test_part: Split
    classes: int


DATASETS: Registry[Sizes] = Registry("data", Sizes(4000, 1000, 1000))

TEST_PART = 1000
"""Test samples looked at while training runs; the whole test split is used at its end."""


@DATASETS.register(Sizes(train=1000, validation=297, test=500))
def digits() -> tuple[Floats, Labels]:
    """Real handwritten digits, 8 × 8 pixels. Source: scikit-learn's copy of the UCI set."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    return inputs.astype(np.float64), labels.astype(np.int64)


@DATASETS.register(Sizes(train=4000, validation=1000, test=10_000))
def mnist1d() -> tuple[Floats, Labels]:
    """The published one-dimensional digits, 40 numbers each. Source: Greydanus 2020, arXiv:2011.14439.

    Made offline by the ``mnist1d`` package with its published arguments but for the number of samples,
    and kept in the user's cache folder.
    """
    count = DATASETS["mnist1d"].extra.total
    from importlib.metadata import version

    path = _cache_folder() / f"mnist1d-{version('mnist1d')}-numpy{np.__version__}-{count}.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            inputs, labels = kept["inputs"], kept["labels"]
        if inputs.shape == (count, 40) and labels.shape == (count,):
            return inputs, labels
    except (OSError, ValueError, KeyError):
        pass
    inputs, labels = _make_mnist1d(count)
    _keep(path, inputs=inputs, labels=labels)
    return inputs, labels


def _make_mnist1d(count: int) -> tuple[Floats, Labels]:
    from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    arguments.num_samples = count
    # the package seeds NumPy's global generator: put back what a caller had there
    state = np.random.get_state()
    try:
        made = make_dataset(arguments)
    finally:
        np.random.set_state(state)
    inputs = np.concatenate([made["x"], made["x_test"]]).astype(np.float64)
    labels = np.concatenate([made["y"], made["y_test"]]).astype(np.int64)
    return inputs, labels


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gradient-pathologies"


def _keep(path: Path, **arrays: NDArray[Any]) -> None:
    """Write arrays to the cache in one rename; a cache that cannot be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(file.name, path)
    except OSError:
        pass


@DATASETS.register()
def moons(*, noise: float = 0.1) -> tuple[Floats, Labels]:
    """Two interleaved half circles in the plane. Source: scikit-learn's ``make_moons``."""
    from sklearn.datasets import make_moons

    total = DATASETS["moons"].extra.total
    inputs, labels = make_moons(n_samples=total, noise=noise, random_state=0)
    return inputs.astype(np.float64), labels.astype(np.int64)


@DATASETS.register()
def spirals(*, noise: float = 0.1, classes: int = 3) -> tuple[Floats, Labels]:
    """Interleaved spirals in the plane, one arm a class, each of one turn and a half."""
    random = stream(0, "data/spirals")
    total = DATASETS["spirals"].extra.total
    labels = np.arange(total, dtype=np.int64) % classes
    radius = np.sqrt(random.uniform(0.01, 1.0, total))
    angle = 3.0 * np.pi * radius + 2.0 * np.pi * labels / classes
    arms = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # noise is in units of the distance between two turns of neighbouring arms
    spacing = 2.0 / (3.0 * classes)
    return arms + noise * spacing * random.standard_normal((total, 2)), labels


@DATASETS.register()
def gaussian(*, dim: int = 64, classes: int = 10) -> tuple[Floats, Labels]:
    """N(0, 1) inputs with labels drawn at random: nothing to learn but the samples themselves."""
    random = stream(0, "data/gaussian")
    total = DATASETS["gaussian"].extra.total
    return random.standard_normal((total, dim)), random.integers(0, classes, total)


@functools.lru_cache(maxsize=4)
def _pool(name: str, parameters: tuple[tuple[str, Any], ...]) -> tuple[Floats, Labels, int]:
    entry = DATASETS[name]
    try:
        made, given = entry.function(**dict(parameters))
        inputs, labels = np.array(made, np.float64), np.array(given)
    except Exception as error:
        if entry.code is None or isinstance(error, StudyError):
            raise
        place = place_in(error)
        where = f" ({Path(place.filename).name}, line {place.lineno})" if place else ""
        raise DataError(
            f"cannot make data={name}: {type(error).__name__}: {error}{where}."
        ) from error
    if inputs.ndim != 2 or labels.ndim != 1 or labels.dtype.kind not in "iu" or (labels < 0).any():
        raise DataError(
            f"cannot use data={name}: it gives inputs {list(inputs.shape)} and labels "
            f"{list(labels.shape)} of type {labels.dtype}, but must give [sample, feature] and [sample], "
            "whole numbers from 0 on."
        )
    labels = labels.astype(np.int64)
    if len(inputs) < entry.extra.total or len(inputs) != len(labels):
        raise DataError(
            f"cannot split data={name}: it needs {entry.extra.total} labelled samples, but gives "
            f"{len(inputs)} inputs and {len(labels)} labels."
        )
    inputs.setflags(write=False)
    labels.setflags(write=False)
    return inputs, labels, int(dict(parameters).get("classes", labels.max() + 1))


def pool(data: Mapping[str, Any]) -> tuple[Floats, Labels, int]:
    """Return inputs ``[sample, in]``, labels ``[sample]`` and the number of classes of a data set.

    Args:
        data: canonical ``data`` settings.
    """
    own = DATASETS[data["name"]].parameters
    return _pool(data["name"], tuple((key, data[key]) for key in own))


def pool_digest(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a data set's pool: what a commit says the networks were trained on."""
    inputs, labels, _ = pool(data)
    return hashlib.sha256(inputs.tobytes() + labels.tobytes()).hexdigest()


def split(data: Mapping[str, Any], seed: int, probe_samples: int) -> SplitData:
    """Split a data set by a cell's seed.

    Split, label noise and probe set each have a random stream of their own, so that none changes
    with another's settings; a smaller training set is the beginning of the larger one.

    Args:
        data: canonical ``data`` settings.
        seed: the cell's seed.
        probe_samples: size of the probe set, drawn from the training split.
    """
    inputs, labels, classes = pool(data)
    sizes = DATASETS[data["name"]].extra
    order = stream(seed, "split").permutation(len(inputs))
    test, validation, train = np.split(
        order[: sizes.total], [sizes.test, sizes.test + sizes.validation]
    )
    train = train[: data["train_size"]]
    centre = inputs[train].mean(axis=0)
    scale = np.sqrt(np.mean((inputs[train] - centre) ** 2))
    if not scale > 0:
        raise DataError(f"cannot scale data={data['name']}: every training input is the same.")

    def part(chosen: NDArray[np.int64]) -> Split:
        return Split((inputs[chosen] - centre) / scale, labels[chosen])

    training = part(train)
    noisy = _relabel(training.labels, classes, data["label_noise"], seed)
    training = Split(training.inputs, noisy)
    probed = stream(seed, "probe").permutation(len(train))[:probe_samples]
    whole_test = part(test)
    return SplitData(
        train=training,
        validation=part(validation),
        test=whole_test,
        probe=Split(training.inputs[probed], training.labels[probed]),
        test_part=Split(whole_test.inputs[:TEST_PART], whole_test.labels[:TEST_PART]),
        classes=classes,
    )


def _relabel(labels: Labels, classes: int, share: float, seed: int) -> Labels:
    """Give a share of the labels another class, drawn from all others alike."""
    random = stream(seed, "label_noise")
    count = round(share * len(labels))
    chosen = random.permutation(len(labels))[:count]
    noisy = labels.copy()
    noisy[chosen] = (labels[chosen] + random.integers(1, classes, count)) % classes
    return noisy


def batches(seed: int, samples: int, batch_size: int, steps: int) -> NDArray[np.int64]:
    """Return the training samples of every step.

    One permutation an epoch; the last partial batch of an epoch is dropped.

    Returns:
        Indices into the training split, ``[step, batch]``, for steps 0 … ``steps``: the last one is
        measured but not trained on.
    """
    random = stream(seed, "batches")
    each = samples // batch_size
    epochs = -(-(steps + 1) // each)
    order = np.stack([random.permutation(samples)[: each * batch_size] for _ in range(epochs)])
    return order.reshape(-1, batch_size)[: steps + 1]
