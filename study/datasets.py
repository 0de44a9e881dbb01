"""The data sets: a fixed pool of samples each, split by the cell's seed, centred and scaled.

One of your own is a registered function that returns the whole pool, with the `Traits` of the data set,
see `study.extensions`; one that is to come with this program stands here and in
``conf/data/<name>.yaml``.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import os
import socket
import ssl
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray

from study.errors import DataError, StudyError
from study.extensions import place_in
from study.randomness import stream
from study.registry import Registry

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Traits:
    """What must be known of a data set besides its function.

    Attributes:
        train: samples of the pool that go to the training split.
        validation: to the validation split.
        test: to the test split.
        task: what the networks learn: a class of each sample, or a number.
        inputs: features of a sample where they are so many that packs must hold fewer cells for them;
            0: as many as there are.
    """

    train: int
    validation: int
    test: int
    task: Task = "classification"
    inputs: int = 0

    @property
    def total(self) -> int:
        """Samples of the pool."""
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class Pool:
    """All samples of a data set, in their fixed order.

    Attributes:
        inputs: ``[sample, in]``, numbers of any type: pixels stay bytes.
        labels: ``[sample]``: classes as int64, or in regression the target as float64.
        outputs: units of the output layer: the number of classes, 1 in regression.
        task: what the networks learn.
    """

    inputs: NDArray[Any]
    labels: NDArray[Any]
    outputs: int
    task: Task


@dataclass(frozen=True)
class Split:
    """One split of one seed; its inputs are made when they are asked for, as they may be large.

    Attributes:
        pool: ``[sample, in]`` of the whole pool, as it is.
        rows: ``[sample]``, which samples of the pool these are.
        labels: ``[sample]``: classes as int64, in regression the target as float64, standardized on the
            training split.
        centre: ``[in]``, mean of each feature over the training split.
        scale: root mean square of all centred training inputs.
    """

    pool: NDArray[Any]
    rows: NDArray[np.int64]
    labels: NDArray[Any]
    centre: Floats
    scale: float

    @property
    def inputs(self) -> Floats:
        """``[sample, in]``, centred per feature and scaled by one number; their mean square is 1 on the
        training split."""
        return (self.pool[self.rows] - self.centre) / self.scale


@dataclass(frozen=True)
class SplitData:
    """The three splits of one seed, with the samples on which units are judged."""

    train: Split
    validation: Split
    test: Split
    probe: Split
    test_part: Split
    outputs: int


DATASETS: Registry[Traits] = Registry("data", Traits(4000, 1000, 1000))

TEST_PART = 1000
"""Test samples looked at while training runs; the whole test split is used at its end."""


@DATASETS.register(Traits(train=1000, validation=297, test=500))
def digits() -> tuple[Floats, Labels]:
    """Real handwritten digits, 8 × 8 pixels. Source: scikit-learn's copy of the UCI set."""
    path = _file_of_sklearn("digits.csv.gz")
    if path is None:
        from sklearn.datasets import load_digits

        inputs, labels = load_digits(return_X_y=True)
    else:
        table = np.loadtxt(path, delimiter=",")
        inputs, labels = table[:, :-1], table[:, -1]
    return inputs.astype(np.float64), labels.astype(np.int64)


def _file_of_sklearn(name: str) -> Path | None:
    """Return a data file of scikit-learn's, without the two seconds that its import takes each process."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "datasets" / "data" / name
    return path if path.is_file() else None


@DATASETS.register(Traits(train=4000, validation=1000, test=10_000))
def mnist1d() -> tuple[Floats, Labels]:
    """The published one-dimensional digits, 40 numbers each. Source: Greydanus 2020, arXiv:2011.14439.

    Made offline by the ``mnist1d`` package with its published arguments but for the number of samples,
    and kept in the user's cache folder.
    """
    count = DATASETS["mnist1d"].extra.total
    from importlib.metadata import version

    path = _cache_folder() / f"mnist1d-{version('mnist1d')}-numpy{np.__version__}-{count}.npz"
    kept = _kept(path, (count, 40))
    if kept is None:
        kept = _make_mnist1d(count)
        _keep(path, *kept)
    return kept


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


def _kept(path: Path, shape: tuple[int, int]) -> tuple[NDArray[Any], Labels] | None:
    """Return inputs of this shape and their labels from the cache, None if they are not there, whole."""
    try:
        # opened here: NumPy leaves a file that is no archive open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            inputs, labels = arrays["inputs"], arrays["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return (inputs, labels) if inputs.shape == shape and labels.shape == shape[:1] else None


def _keep(path: Path, inputs: NDArray[Any], labels: Labels) -> None:
    """Write a pool to the cache in one rename; a cache that cannot be written is done without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez(file, inputs=inputs, labels=labels)
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


@DATASETS.register(Traits(train=50_000, validation=10_000, test=10_000, inputs=784))
def mnist() -> tuple[NDArray[np.uint8], Labels]:
    """Handwritten digits, 28 × 28 pixels. Source: LeCun et al. 1998; OpenML ``mnist_784``, version 1."""
    return _images("mnist", "mnist_784")


@DATASETS.register(Traits(train=50_000, validation=10_000, test=10_000, inputs=784))
def fashion_mnist() -> tuple[NDArray[np.uint8], Labels]:
    """Pieces of clothing, 28 × 28 pixels. Source: Xiao et al. 2017; OpenML ``Fashion-MNIST``, version 1."""
    return _images("fashion_mnist", "Fashion-MNIST")


@DATASETS.register(Traits(train=45_000, validation=5_000, test=10_000, inputs=3072))
def cifar10() -> tuple[NDArray[np.uint8], Labels]:
    """Photographs, 3 × 32 × 32. Source: Krizhevsky 2009; OpenML ``CIFAR_10``, version 1."""
    return _images("cifar10", "CIFAR_10")


OPENML_VERSION = 1

OPENML_PATIENCE = 20.0
"""Seconds without an answer after which openml.org counts as out of reach."""

_UNREACHABLE = (URLError, TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError)


def _images(name: str, openml_name: str) -> tuple[NDArray[np.uint8], Labels]:
    """Return a data set of pixels from OpenML, in the order of its file.

    It comes through scikit-learn's cache (``SCIKIT_LEARN_DATA``). What was read is kept as bytes in the
    user's cache folder: reading the text again takes each worker a minute and gigabytes.

    Args:
        name: what the settings call it.
        openml_name: what OpenML calls it.

    Raises:
        DataError: it is not in the cache and cannot be fetched, or is damaged.
    """
    traits = DATASETS[name].extra
    shape = (traits.total, traits.inputs)
    path = _cache_folder() / f"{openml_name}-{OPENML_VERSION}-{shape[0]}x{shape[1]}.npz"
    kept = _kept(path, shape)
    if kept is None:
        kept = _read_images(name, openml_name, shape)
        _keep(path, *kept)
    return kept


def _read_images(
    name: str, openml_name: str, shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], Labels]:
    from sklearn.datasets import fetch_openml, get_data_home

    failed = f"cannot load data={name}: "
    place = "scikit-learn's data folder"
    try:
        place = f"{get_data_home()}/openml"
        with _briefly():
            found = fetch_openml(
                openml_name,
                version=OPENML_VERSION,
                as_frame=False,
                parser="pandas",
                n_retries=1,
                delay=0.2,
                # as int64 the pixels of cifar10 take 1.5 GB, twice over
                read_csv_kwargs={"dtype": dict.fromkeys(range(shape[1]), np.float32)},
            )
        values, named = found.data, found.target
    except _UNREACHABLE as error:
        raise DataError(
            f"{failed}there is no whole copy of it in {place}, and openml.org cannot be reached "
            f"({_in_words(error)}); connect this machine once, or copy that folder from another one."
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(
                f"{failed}{error.filename or place}: {error.strerror or error}."
            ) from error
        raise DataError(
            f"{failed}its copy in {place} is damaged ({_in_words(error)}); delete that folder to have "
            "it fetched again."
        ) from error
    with np.errstate(invalid="ignore"):
        inputs = np.asarray(values).astype(np.uint8)
    if inputs.shape != shape or not np.array_equal(inputs, values):
        raise DataError(
            f"{failed}its copy in {place} is damaged, as it has not {shape[0]} samples of {shape[1]} "
            "whole numbers from 0 to 255; delete that folder to have it fetched again."
        )
    _, labels = np.unique(np.asarray(named).astype(str), return_inverse=True)
    return inputs, labels.astype(np.int64)


@contextmanager
def _briefly() -> Iterator[None]:
    """Bound how long a server that does not answer is waited for, and keep retries from being told."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(OPENML_PATIENCE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(before)


def _in_words(error: BaseException) -> str:
    """Return what an error says on one line, without its last full stop."""
    said = " ".join(str(getattr(error, "reason", "") or error).split()).rstrip(".")
    return said[:200] or type(error).__name__


@DATASETS.register(Traits(train=300, validation=60, test=82, task="regression"))
def diabetes() -> tuple[Floats, Floats]:
    """Progression of diabetes from ten measurements. Source: Efron et al. 2004; scikit-learn's copy."""
    from sklearn.datasets import load_diabetes

    inputs, target = load_diabetes(return_X_y=True)
    return inputs.astype(np.float64), target.astype(np.float64)


# four pools of images are half a gigabyte
@functools.lru_cache(maxsize=4)
def _pool(name: str, parameters: tuple[tuple[str, Any], ...]) -> Pool:
    entry = DATASETS[name]
    try:
        inputs, labels = map(np.asarray, entry.function(**dict(parameters)))
        # a set of the user's own that differs from call to call would differ from worker to worker
        again = entry.function(**dict(parameters)) if entry.code is not None else (inputs, labels)
    except Exception as error:
        if entry.code is None or isinstance(error, StudyError):
            raise
        place = place_in(error)
        where = f" ({Path(place.filename).name}, line {place.lineno})" if place else ""
        raise DataError(
            f"cannot make data={name}: {type(error).__name__}: {error}{where}."
        ) from error
    if (
        inputs.ndim != 2
        or labels.ndim != 1
        or inputs.dtype.kind not in "fiub"
        or labels.dtype.kind not in "fiu"
        or (entry.extra.task == "classification" and (labels < 0).any())
    ):
        raise DataError(
            f"cannot use data={name}: it gives inputs {list(inputs.shape)} of type {inputs.dtype} and "
            f"labels {list(labels.shape)} of type {labels.dtype}, but must give numbers "
            "[sample, feature] and [sample], classes from 0 on."
        )
    if not all(map(np.array_equal, (inputs, labels), map(np.asarray, again))):
        raise DataError(
            f"cannot use data={name}: it gives other samples at every call; give its random numbers a "
            "fixed seed."
        )
    if len(inputs) < entry.extra.total or len(inputs) != len(labels):
        raise DataError(
            f"cannot split data={name}: it needs {entry.extra.total} labelled samples, but gives "
            f"{len(inputs)} inputs and {len(labels)} labels."
        )
    if entry.extra.task == "regression":
        labels = labels.astype(np.float64)
        outputs = 1
    elif np.issubdtype(labels.dtype, np.integer):
        labels = labels.astype(np.int64)
        outputs = int(dict(parameters).get("classes", labels.max() + 1))
    else:
        raise DataError(
            f"cannot use data={name}: its labels are {labels.dtype}, but the classes of a "
            "classification must be whole numbers from 0 on; to learn numbers, register it with "
            "task='regression'."
        )
    inputs.setflags(write=False)
    labels.setflags(write=False)
    return Pool(inputs, labels, outputs, entry.extra.task)


def _pool_key(data: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    own = DATASETS[data["name"]].parameters
    return data["name"], tuple((key, data[key]) for key in own)


def pool(data: Mapping[str, Any]) -> Pool:
    """Return all samples of a data set.

    Args:
        data: canonical ``data`` settings.

    Raises:
        DataError: the data set cannot be made or loaded.
    """
    return _pool(*_pool_key(data))


@functools.lru_cache(maxsize=4)
def _pool_digest(name: str, parameters: tuple[tuple[str, Any], ...]) -> str:
    found = _pool(name, parameters)
    digest = hashlib.sha256(np.ascontiguousarray(found.inputs).data)
    digest.update(np.ascontiguousarray(found.labels).data)
    return digest.hexdigest()


def pool_digest(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a data set's pool: what a commit says the networks were trained on."""
    return _pool_digest(*_pool_key(data))


def split(data: Mapping[str, Any], seed: int, probe_samples: int) -> SplitData:
    """Split a data set by a cell's seed.

    Split, label noise and probe set each have a random stream of their own, so that none changes
    with another's settings; a smaller training set is the beginning of the larger one.

    Args:
        data: canonical ``data`` settings.
        seed: the cell's seed.
        probe_samples: size of the probe set, drawn from the training split.
    """
    whole = pool(data)
    sizes = DATASETS[data["name"]].extra
    order = stream(seed, "split").permutation(len(whole.inputs))
    test, validation, train = np.split(
        order[: sizes.total], [sizes.test, sizes.test + sizes.validation]
    )
    train = train[: data["train_size"]]
    centre = whole.inputs[train].mean(axis=0, dtype=np.float64)
    scale = _spread(whole.inputs, train, centre)
    if not scale > 0:
        raise DataError(f"cannot scale data={data['name']}: every training input is the same.")
    labels = whole.labels
    if whole.task == "regression":
        targets = labels[train]
        if targets.min() == targets.max():
            raise DataError(f"cannot scale data={data['name']}: every training target is the same.")
        labels = (labels - targets.mean()) / targets.std()

    def part(rows: NDArray[np.int64]) -> Split:
        return Split(whole.inputs, rows, labels[rows], centre, scale)

    training = part(train)
    if whole.task == "classification":
        noisy = _relabel(training.labels, whole.outputs, data["label_noise"], seed)
        training = replace(training, labels=noisy)
    probed = stream(seed, "probe").permutation(len(train))[:probe_samples]
    return SplitData(
        train=training,
        validation=part(validation),
        test=part(test),
        probe=replace(training, rows=train[probed], labels=training.labels[probed]),
        test_part=part(test[:TEST_PART]),
        outputs=whole.outputs,
    )


SPREAD_ENTRIES = 2**24
"""Bytes are turned into float64 this many at a time, 128 MiB: all of cifar10's would be a gigabyte."""


def _spread(inputs: NDArray[Any], rows: NDArray[np.int64], centre: Floats) -> float:
    """Return the root mean square of centred inputs over some rows of the pool."""
    # a pool of float64 is there in this size already; its sum stays in one order
    each = len(rows) if inputs.dtype == np.float64 else SPREAD_ENTRIES // inputs.shape[1] or 1
    squares = [
        np.sum((inputs[rows[first : first + each]] - centre) ** 2)
        for first in range(0, len(rows), each)
    ]
    return float(np.sqrt(sum(squares[1:], squares[0]) / (len(rows) * inputs.shape[1])))


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
