"""Data sets: what a split is, what a regression's targets are, and images through OpenML's cache."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import socket
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from small import CPU, cells, condition, files_under, train
from test_training import hold_against_plain

from study import datasets, pack_data, packing, probe
from study.datasets import DATASETS, Traits, pool, pool_digest, split
from study.errors import DataError, SettingError
from study.pack_data import PackData
from study.packing import largest_pack
from study.records import tables
from study.running import Running
from study.settings import canonical_condition
from study.store import Store
from study.sweep import run_conditions

SIDE = 6
IMAGES = Traits(train=90, validation=30, test=40, inputs=SIDE * SIDE)


def forget() -> None:
    """Forget every pool and split that this process has loaded."""
    for cached in (datasets._pool, datasets._pool_digest, pack_data._split_of):
        cached.cache_clear()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection."""

    def refuse(*_address: Any, **_more: Any) -> Any:
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> Iterator[Path]:
    """Return an empty scikit-learn data folder; mnist is as small as `IMAGES`, and nothing is fetched."""
    folder = tmp_path / "scikit_learn_data"
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setitem(DATASETS._entries, "mnist", replace(DATASETS["mnist"], extra=IMAGES))
    forget()
    yield folder
    forget()


def digits_like() -> tuple[np.ndarray, np.ndarray]:
    """Return bytes ``[sample, pixel]``, brighter in the rows of their class, and the ten classes."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 10, IMAGES.total)
    values = random.integers(0, 60, (IMAGES.total, IMAGES.inputs))
    values[np.arange(IMAGES.total), classes] += 195
    return values, classes


def write_cache(
    home: Path, values: np.ndarray, classes: np.ndarray, name: str = "mnist_784"
) -> Path:
    """Write what `fetch_openml` leaves in its cache for a small data set; return the file with the data."""
    pixels = [f"pixel{place}" for place in range(1, values.shape[1] + 1)]
    lines = [
        f"@RELATION {name}",
        *(f"@ATTRIBUTE {pixel} REAL" for pixel in pixels),
        "@ATTRIBUTE class {0,1,2,3,4,5,6,7,8,9}",
        "@DATA",
        *(",".join(map(str, [*row, one])) for row, one in zip(values, classes, strict=True)),
    ]
    text = ("\n".join(lines) + "\n").encode()
    described = {
        "id": "7", "name": name, "version": "1", "format": "ARFF", "description": "small",
        "status": "active", "file_id": "7", "md5_checksum": hashlib.md5(text).hexdigest(),
        "url": "https://www.openml.org/data/v1/download/7",
    }  # fmt: skip
    no, yes = "false", "true"
    features = [
        {
            "index": str(index), "name": column, "is_target": yes if column == "class" else no,
            "data_type": "nominal" if column == "class" else "numeric", "is_ignore": no,
            "is_row_identifier": no, "number_of_missing_values": "0",
        }
        for index, column in enumerate([*pixels, "class"])
    ]  # fmt: skip
    listed = {"did": 7, "name": name, "version": 1, "status": "active", "format": "ARFF"}
    count = {"name": "NumberOfInstances", "value": str(len(values))}
    api = {
        f"list/data_name/{name.lower()}/limit/2/data_version/1": {"data": {"dataset": [listed]}},
        "7": {"data_set_description": described},
        "features/7": {"data_features": {"feature": features}},
        "qualities/7": {"data_qualities": {"quality": [count]}},
    }
    contents = {f"api/v1/json/data/{path}": json.dumps(value) for path, value in api.items()}
    for path, content in {**contents, "data/v1/download/7": text}.items():
        file = home / "openml" / "openml.org" / f"{path}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content if isinstance(content, bytes) else content.encode()))
    return home / "openml/openml.org/data/v1/download/7.gz"


def image_condition(**more: Any) -> dict[str, Any]:
    return condition(data="mnist", depth=3, steps=40, seeds=2, **more)


def test_images_come_out_of_openmls_cache_as_bytes_in_the_order_of_the_file(home: Path) -> None:
    values, classes = digits_like()
    write_cache(home, values, classes)
    found = pool({"name": "mnist"})
    assert found.inputs.dtype == np.uint8
    np.testing.assert_array_equal(found.inputs, values)
    np.testing.assert_array_equal(found.labels, classes)
    assert (found.outputs, found.task) == (10, "classification")


@pytest.mark.parametrize(
    ("name", "openml_name"),
    [("fashion_mnist", "Fashion-MNIST"), ("cifar10", "CIFAR_10")],
)
def test_the_other_images_come_the_same_way(
    name: str, openml_name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS._entries, name, replace(DATASETS[name], extra=IMAGES))
    values, classes = digits_like()
    write_cache(home, values, classes, openml_name)
    np.testing.assert_array_equal(pool({"name": name}).inputs, values)


def test_networks_learn_images_and_their_commits_say_which(home: Path) -> None:
    write_cache(home, *digits_like())
    asked = image_condition(optim={"name": "adam", "lr": 0.01}) | {"name": "tiny", "device": "cpu"}
    assert run_conditions([asked], ["test"], Running(workers=1)) == [
        {"cells": 2, "ok": 2, "diverged": 0, "failed": 0}
    ]
    [commit] = Store(Path("outputs/tiny")).read_commits()
    kept = pool({"name": "mnist"})
    expected = hashlib.sha256(kept.inputs.tobytes() + kept.labels.tobytes()).hexdigest()
    assert commit.environment["data_sha256"] == expected == pool_digest({"name": "mnist"})


def test_networks_of_images_train_as_they_would_alone(home: Path) -> None:
    write_cache(home, *digits_like())
    for dtype in ("float32", "float64"):
        pack = cells(**image_condition(dtype=dtype, optim={"name": "sgd", "lr": 0.1}))
        result = train(pack)
        for position in range(len(pack)):
            hold_against_plain(result, position)
        rows = tables(result)["cells"].to_pylist()
        # ten classes: what was learnt, and not the labels of other samples
        assert min(row["final_train_accuracy"] for row in rows) > 0.5


def test_what_was_read_once_is_kept_and_a_damaged_copy_is_made_again(home: Path) -> None:
    file = write_cache(home, *digits_like())
    before = pool({"name": "mnist"}).inputs
    aside = file.rename(file.with_suffix(".aside"))
    forget()
    np.testing.assert_array_equal(pool({"name": "mnist"}).inputs, before)
    aside.rename(file)
    [kept] = (home.parent / "cache").rglob("*.npz")
    for content in (b"", kept.read_bytes()[:100], kept.read_bytes()[:-400]):
        kept.write_bytes(content)
        forget()
        np.testing.assert_array_equal(pool({"name": "mnist"}).inputs, before)


def refused(home: Path) -> str:
    """Return the sentence with which a sweep over mnist is refused; nothing may be written."""
    conditions = [image_condition() | {"name": "mine", "device": "cpu"}]
    with pytest.raises(DataError) as caught:
        run_conditions(conditions, ["test"], Running(workers=1))
    said = str(caught.value)
    assert said.startswith("cannot load data=mnist: ")
    assert said.endswith(".")
    assert "\n" not in said
    assert str(home) in said
    assert files_under(Path()) == {}
    assert list((home.parent / "cache").rglob("*.npz")) == []
    return said


def test_without_network_and_cache_one_sentence_says_so(home: Path) -> None:
    said = refused(home)
    assert "there is no whole copy of it in " in said
    assert "openml.org cannot be reached (no network in this test); connect" in said


@pytest.mark.parametrize(
    "error",
    [
        URLError(socket.gaierror(-2, "Name or service not known")),
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
)
def test_whatever_keeps_openml_out_of_reach_is_told_alike(
    error: Exception, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fail(*_more: Any, **_most: Any) -> Any:
        tries.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", fail)
    assert "openml.org cannot be reached (" in refused(home)
    # scikit-learn's one retry, itself tried again after a time-out; never without an end
    assert 1 <= len(tries) <= 4
    assert set(tries) == {datasets.OPENML_PATIENCE}
    assert socket.getdefaulttimeout() is None


def test_a_truncated_file_in_the_cache_is_one_sentence(home: Path) -> None:
    file = write_cache(home, *digits_like())
    file.write_bytes(file.read_bytes()[:300])
    assert "there is no whole copy of it in " in refused(home)


def test_a_file_that_cannot_be_read_as_numbers_is_one_sentence(home: Path) -> None:
    values, classes = digits_like()
    write_cache(home, np.where(values == values[3, 5], "many", values.astype(str)), classes)
    # scikit-learn throws such a file away and asks for another
    assert "there is no whole copy of it in " in refused(home)


@pytest.mark.parametrize("wrong", [300, -1, "0.5", "?"])
def test_pixels_that_are_no_bytes_are_one_sentence(wrong: Any, home: Path) -> None:
    values, classes = digits_like()
    values = values.astype(object)
    values[3, 5] = wrong
    write_cache(home, values, classes)
    assert "is damaged" in refused(home)


@pytest.mark.parametrize("samples", [100, IMAGES.total + 1])
def test_another_number_of_samples_than_published_is_one_sentence(samples: int, home: Path) -> None:
    values, classes = digits_like()
    places = np.arange(samples) % len(values)
    write_cache(home, values[places], classes[places])
    assert f"it has not {IMAGES.total} samples of {IMAGES.inputs} whole numbers" in refused(home)


def test_a_description_without_its_parts_is_one_sentence(home: Path) -> None:
    write_cache(home, *digits_like())
    file = home / "openml/openml.org/api/v1/json/data/features/7.gz"
    file.write_bytes(gzip.compress(b'{"data_features": {}}'))
    assert "is damaged (" in refused(home)


def test_a_data_folder_that_cannot_be_made_is_one_sentence(home: Path) -> None:
    home.write_text("a file")
    assert "File exists" in refused(home)


@pytest.mark.parametrize(
    ("name", "most"), [("mnist", 50_000), ("fashion_mnist", 50_000), ("cifar10", 45_000)]
)
def test_a_wrong_size_is_refused_without_fetching_anything(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", None)
    monkeypatch.setattr(datasets, "_images", None)
    settings, _ = canonical_condition(condition(data={"name": name, "train_size": None}))
    assert settings["data"]["train_size"] == most
    with pytest.raises(SettingError, match=f"has {most} training samples"):
        canonical_condition(condition(data={"name": name, "train_size": most + 1}))
    assert packing.CHUNK == probe.CHUNK
    # 64 units of 784 or 3,072 inputs each: fewer networks fit on a GPU than of 64 inputs
    [image], [digit] = (cells(data=one, width=64, batch_size=128) for one in (name, "digits"))
    assert 1 <= largest_pack(image, "cuda") < largest_pack(digit, "cuda")


def test_bytes_are_centred_and_scaled_piece_by_piece_to_the_same_numbers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cache(home, *digits_like())
    settings = {"name": "mnist", "label_noise": 0.0, "train_size": 70}
    whole = split(settings, 3, 16).train
    monkeypatch.setattr(datasets, "SPREAD_ENTRIES", 100)
    pieces = split(settings, 3, 16).train
    # sums of 2,520 squares in two orders: 2520 roundings of 2⁻⁵³ at most
    assert pieces.scale == pytest.approx(whole.scale, rel=3e-13)
    np.testing.assert_allclose(np.mean(whole.inputs**2), 1.0, rtol=3e-13)
    # centred numbers of order 1, a mean of 70 of them
    np.testing.assert_allclose(whole.inputs.mean(axis=0), 0.0, atol=1e-13)


@pytest.mark.parametrize("data", ["digits", "diabetes", "mnist"])
def test_a_cell_sees_the_samples_of_its_own_seed_in_every_chunk(data: str, home: Path) -> None:
    write_cache(home, *digits_like())
    pack = cells(data=data, seeds=3)[::-1]
    seeds = [cell.settings["seed"] for cell in pack]
    made = PackData(pack[0].settings, seeds, torch.float32, CPU)
    for part in ("train", "validation", "test", "probe", "test_part"):
        samples = made.samples(lambda one, part=part: getattr(one, part))
        inputs, labels = (torch.cat(parts, dim=1) for parts in zip(*samples.chunks(7), strict=True))
        assert torch.equal(labels, samples.labels)
        for position, seed in enumerate(seeds):
            expected = getattr(split(pack[0].settings["data"], seed, 32), part)
            assert torch.equal(inputs[position], torch.from_numpy(expected.inputs).float())
            plain = torch.from_numpy(expected.labels)
            assert torch.equal(labels[position], plain.float() if data == "diabetes" else plain)


def test_a_regressions_targets_are_standardized_on_the_training_split() -> None:
    found = split({"name": "diabetes", "label_noise": 0.0, "train_size": 200}, 1, 16)
    # 200 numbers of order 1
    assert found.train.labels.mean() == pytest.approx(0.0, abs=1e-13)
    assert found.train.labels.std() == pytest.approx(1.0, rel=1e-13)
    whole = pool({"name": "diabetes"})
    for part in (found.validation, found.test, found.probe):
        raw = whole.labels[part.rows]
        straight = np.polyfit(raw, part.labels, 1)
        np.testing.assert_allclose(np.polyval(straight, raw), part.labels, atol=1e-12)
        assert abs(part.labels.mean()) > 1e-6
    assert (found.outputs, len(found.train.rows), len(found.test.rows)) == (1, 200, 82)


def noisy_line() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    inputs = random.standard_normal((60, 3))
    return inputs, inputs @ [1.0, -2.0, 0.5] + 7.0


SMALL = Traits(train=40, validation=10, test=10, task="regression")


def rows_of(data: str, **more: Any) -> dict[str, list[dict[str, Any]]]:
    made = tables(train(cells(data=data, depth=1, steps=60, **more)))
    return {name: table.to_pylist() for name, table in made.items()}


def test_a_users_own_regression_is_learnt_and_recorded_with_r2(register: Callable) -> None:
    register(DATASETS, noisy_line, SMALL)
    found = rows_of("noisy_line")
    [cell] = found["cells"]
    assert (cell["task"], cell["classes"], cell["label_noise"]) == ("regression", None, 0.0)
    for part in ("train", "validation", "test"):
        assert cell[f"final_{part}_accuracy"] is None
        # a line is learnt by a line; how nearly is up to the rate
        assert 0.9 < cell[f"final_{part}_r2"] < 1.0
    for row in found["curves"]:
        assert (row["train_accuracy"], row["test_accuracy"]) == (None, None)
        assert (row["train_r2"] is None) == (row["train_loss"] is None)
    end = found["curves"][-1]
    assert end["test_loss"] == pytest.approx(cell["final_test_loss"], rel=1e-6)
    assert end["test_r2"] == pytest.approx(cell["final_test_r2"], rel=1e-6)


def test_r2_of_equal_targets_is_not_defined_and_of_a_network_without_numbers_nan(
    register: Callable,
) -> None:
    register(DATASETS, noisy_line, SMALL)
    lone = rows_of("noisy_line", probe={"steps": 2, "samples": 1})["curves"][-1]
    assert lone["train_loss"] is not None
    assert lone["train_r2"] is None
    assert lone["test_r2"] is not None
    wild = rows_of("noisy_line", optim={"name": "sgd", "lr": 1e6})
    [cell] = wild["cells"]
    assert cell["status"] == "diverged"
    assert math.isnan(cell["final_test_r2"])
    assert math.isnan(wild["curves"][-1]["test_r2"])
    assert cell["final_test_accuracy"] is None


def test_a_data_set_that_cannot_be_learnt_as_registered_is_one_sentence(
    register: Callable,
) -> None:
    def flat() -> tuple[np.ndarray, np.ndarray]:
        return noisy_line()[0], np.full(60, 0.1)

    def untold() -> tuple[np.ndarray, np.ndarray]:
        return noisy_line()

    register(DATASETS, flat, SMALL)
    register(DATASETS, untold, replace(SMALL, task="classification"))
    asked = {"label_noise": 0.0, "train_size": 40}
    with pytest.raises(DataError, match=r"data=flat: every training target is the same\."):
        split({"name": "flat", **asked}, 0, 16)
    with pytest.raises(DataError, match=r"data=untold: its labels are float64, .*regression'\."):
        split({"name": "untold", **asked}, 0, 16)


def test_label_noise_has_no_meaning_in_regression() -> None:
    canonical_condition(condition(data={"name": "diabetes", "label_noise": 0.0}))
    with pytest.raises(
        SettingError, match=r"data\.label_noise=0\.1: data=diabetes is a regression"
    ):
        canonical_condition(condition(data={"name": "diabetes", "label_noise": 0.1}))
