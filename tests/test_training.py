"""Training of a pack against networks trained one at a time, alone, by PyTorch's own optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import train_plainly
from small import cells, stored_rows, train

from study.cell import Cell
from study.datasets import batches, split
from study.optimizers import clip_entries, clip_entries_to_one
from study.probe import INDEX
from study.records import tables
from study.training import PackResult

# a dozen steps of sums of some thousand terms: 10⁴ roundings of 2⁻⁵² add up to at most 1e-11, those
# of 2⁻²⁴, at most 6e-4 in a row, to their root 6e-6 in any order but the worst
RELATIVE = {"float64": 1e-11, "float32": 1e-4}
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23}

SGD = {"name": "sgd", "lr": 0.2}
MOMENTUM = {"name": "momentum", "lr": 0.05, "momentum": 0.8}
ADAGRAD = {"name": "adagrad", "lr": 0.02, "eps": 1e-6}
RMSPROP = {"name": "rmsprop", "lr": 0.005, "alpha": 0.9, "eps": 1e-6}
ADAM = {"name": "adam", "lr": 0.01, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6}

VARIANTS: dict[str, dict[str, Any]] = {
    "sgd": {"optim": SGD},
    "momentum": {"optim": MOMENTUM},
    "adagrad": {"optim": ADAGRAD},
    "rmsprop": {"optim": RMSPROP},
    "adam": {"optim": ADAM},
    "sgd with weight decay": {"optim": {**SGD, "weight_decay": 0.1}},
    "adam with weight decay": {"optim": {**ADAM, "weight_decay": 0.1}},
    "clipped": {"optim": {**SGD, "clip_norm": 0.5}},
    "clipped, then decayed": {"optim": {**MOMENTUM, "clip_norm": 0.5, "weight_decay": 0.1}},
    "prelu": {"activation": "prelu", "optim": {**MOMENTUM, "weight_decay": 0.1}},
    "prelu clipped": {"activation": "prelu", "optim": {**SGD, "clip_norm": 0.5}},
    "entries clipped": {"optim": {**SGD, "clip_value": 0.02}},
    "entries clipped, then decayed": {
        "optim": {**MOMENTUM, "clip_value": 0.02, "weight_decay": 0.1}
    },
    "prelu, entries clipped": {"activation": "prelu", "optim": {**SGD, "clip_value": 0.02}},
    # few enough that a network stays a network: each is an update of the whole rate
    "entries set to one": {"optim": {**SGD, "lr": 0.01, "clip_to_one": 0.1}},
    "entries set to one by adam": {"optim": {**ADAM, "clip_to_one": 0.1}},
    "no biases": {"bias": False, "optim": MOMENTUM},
    "label noise": {"data": {"name": "digits", "label_noise": 0.4}, "optim": MOMENTUM},
    "many epochs": {"data": {"name": "digits", "train_size": 53}, "optim": ADAM},
    "one layer": {"depth": 1, "optim": MOMENTUM},
    **{
        f"regression by {optim['name']}": {"data": "diabetes", "optim": optim}
        for optim in (SGD, MOMENTUM, ADAGRAD, RMSPROP, ADAM)
    },
    "regression of one layer": {"data": "diabetes", "depth": 1, "optim": SGD},
    "regression clipped, then decayed": {
        "data": "diabetes",
        "optim": {**MOMENTUM, "clip_norm": 0.5, "weight_decay": 0.1},
    },
}


def pack_of(variant: dict[str, Any], **more: Any) -> list[Cell]:
    """Return cells that start differently, so that they must not share a norm or a batch."""
    shape = {"width": 9, "steps": 12, "probe": {"steps": 6, "samples": 40}, "seeds": 2}
    return [
        cell
        for init in ("torch_default", "he_uniform", "orthogonal")
        for cell in cells(**{"activation": "tanh", "init": init, **shape, **variant, **more})
    ]


def hold_scores(got: np.ndarray, expected: list[float], relative: float) -> None:
    """Hold losses and scores, in turn, against those of a network alone."""
    np.testing.assert_allclose(got[::2], expected[::2], rtol=relative)
    # R² is 1 less a ratio, which is as exact as the loss; an accuracy is a count, off by nothing or much
    off = np.abs(got[1::2] - expected[1::2])
    assert (off <= relative * np.maximum(1.0, np.abs(1 - np.array(expected[1::2])))).all()


def hold_against_plain(result: PackResult, position: int) -> None:
    cell = result.cells[position]
    dtype = cell.settings["dtype"]
    plain = train_plainly(cell.settings, result.probe_steps)
    relative = RELATIVE[dtype]
    np.testing.assert_allclose(result.batch_loss[:, position], plain.batch_loss, rtol=relative)
    assert result.final is not None
    hold_scores(result.final[:, position], plain.final, relative)
    for row, step in enumerate(result.probe_steps):
        hold_scores(result.probed[row, :, position], plain.probed[step], relative)
        values = result.layers[row, :, :, position]
        if cell.settings["activation"]["name"] == "prelu":
            slopes = values[:-1, INDEX["act_slope"]]
            np.testing.assert_allclose(slopes, plain.slopes[step], rtol=relative)
        if step == cell.settings["steps"]:
            assert np.isnan(values[:, [INDEX["update_norm"], INDEX["update_cosine"]]]).all()
            continue
        angles = values[:, INDEX["update_cosine"]]
        if step == 0:
            assert np.isnan(angles).all()
        else:
            # both updates are off by the rounding of each weight, which turns them by as much of their size
            turned = (
                EPSILON[dtype]
                * values[:, INDEX["weight_norm"]]
                * (
                    1 / np.array(plain.update_norm[step])
                    + 1 / np.array(plain.update_norm[step - 1])
                )
            )
            off = np.abs(angles - plain.update_cosine[step])
            assert (off <= 10 * relative + 2 * turned).all()
        # each weight after the update is rounded once, here up and there down
        rounded = EPSILON[dtype] * values[:, INDEX["weight_norm"]]
        expected = np.array(plain.update_norm[step])
        off = np.abs(values[:, INDEX["update_norm"]] - expected)
        assert (off <= relative * expected + rounded).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_packed_cell_trains_as_it_would_alone(variant: str, dtype: str) -> None:
    pack = pack_of(VARIANTS[variant], dtype=dtype)
    result = train(pack)
    for position in range(len(pack)):
        hold_against_plain(result, position)


def test_a_cell_diverges_at_the_step_at_which_it_would_alone_and_its_neighbours_do_not() -> None:
    fast = {"steps": 12, "seeds": 2, "optim": {"name": "sgd", "lr": 1.0}}
    healthy, wild = (cells("relu", init, **fast) for init in ("he_normal", "normal_unit"))
    result = train(healthy + wild)
    rows = {row["cell"]: row for row in tables(result)["cells"].to_pylist()}
    found = [rows[cell.id]["first_bad_step"] for cell in wild]
    for cell, step in zip(wild, found, strict=True):
        bad = ~np.isfinite(train_plainly(cell.settings, [0]).batch_loss)
        assert step == (int(bad.argmax()) if bad.any() else None)
        assert rows[cell.id]["status"] == ("diverged" if bad.any() else "ok")
    # one of two diverges, and not at the start: else this test would see nothing
    assert max(step or 0 for step in found) > 1
    tamed = train(healthy + cells("relu", "orthogonal", **fast))
    assert stored_rows(result, healthy) == stored_rows(tamed, healthy)
    assert {rows[cell.id]["status"] for cell in healthy} == {"ok"}


def test_clipping_takes_each_cells_own_norm_over_all_its_parameters() -> None:
    lr, clip_norm = 0.1, 0.5
    optim = {"name": "sgd", "lr": lr, "clip_norm": clip_norm}
    more = {"bias": False, "dtype": "float64", "optim": optim}
    # gradients from far below the limit to far above it
    pack = [
        c for std in (0.02, 0.2, 2.0) for c in cells("relu", {"name": "normal", "std": std}, **more)
    ]
    result = train(pack)

    def whole_norm(name: str) -> np.ndarray:
        return np.sqrt((result.layers[:-1, :, INDEX[name]] ** 2).sum(axis=1))

    gradient = whole_norm("weight_grad_norm")
    assert (gradient < clip_norm).any()
    assert (gradient > clip_norm).any()
    # W_after − W_before loses what a weight of 10 rounds off an update of 10⁻⁴: 2⁻⁵² · 10⁵ < 1e-10
    np.testing.assert_allclose(
        whole_norm("update_norm"), lr * np.minimum(gradient, clip_norm), rtol=1e-10
    )


@pytest.mark.parametrize("joined", [True, False])
def test_a_clipped_entry_is_bounded_or_one_and_what_is_no_number_stays(joined: bool) -> None:
    entries = torch.tensor([0.5, -0.5, 2.0, -2.0, 0.0, torch.inf, -torch.inf, torch.nan])
    given = [entries.clone()] if joined else list(entries.clone().split(3))
    clip_entries(given, 1.0)
    bounded = [0.5, -0.5, 1.0, -1.0, 0.0, 1.0, -1.0, np.nan]
    np.testing.assert_array_equal(torch.cat(given).numpy(), bounded)
    given = [entries.clone()] if joined else list(entries.clone().split(3))
    clip_entries_to_one(given, 0.5)  # which 0.5 does not exceed
    np.testing.assert_array_equal(
        torch.cat(given).numpy(), [0.5, -0.5, 1.0, 1.0, 0.0, 1.0, 1.0, np.nan]
    )


def test_cells_of_several_activations_are_clipped_in_one_pack_as_each_alone() -> None:
    # PReLU's slopes belong to some cells of the stack only
    optim = {"name": "sgd", "lr": 0.1, "clip_norm": 0.5}
    pack = [
        cell for name in ("relu", "prelu", "tanh") for cell in cells(name, optim=optim, seeds=2)
    ]
    together = stored_rows(train(pack), pack)
    for cell in pack:
        alone = stored_rows(train([cell]), [cell])
        assert all(set(rows) <= set(together[name]) for name, rows in alone.items())


def test_an_update_lost_to_rounding_has_norm_0_whatever_the_gradient() -> None:
    # an update of 10⁻²⁰ times the gradient is below half the last bit of every weight above 10⁻¹³
    result = train(cells(steps=3, optim={"name": "sgd", "lr": 1e-20}))
    assert (result.layers[:, :, INDEX["weight_grad_norm"]] > 1e-3).all()
    assert (result.layers[:-1, :, INDEX["update_norm"]] == 0).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**53), st.integers(1, 60), st.integers(1, 60), st.integers(0, 40))
def test_an_epoch_is_one_permutation_without_its_last_partial_batch(
    seed: int, samples: int, batch_size: int, steps: int
) -> None:
    batch_size = min(batch_size, samples)
    found = batches(seed, samples, batch_size, steps)
    assert found.shape == (steps + 1, batch_size)
    each = samples // batch_size
    for first in range(0, steps + 1, each):
        epoch = found[first : first + each].ravel()
        assert len(set(epoch.tolist())) == len(epoch)
        assert set(epoch.tolist()) <= set(range(samples))
    np.testing.assert_array_equal(batches(seed, samples, batch_size, steps + 5)[: steps + 1], found)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_label_noise_gives_its_share_of_training_labels_another_class_and_changes_nothing_else(
    share: float,
) -> None:
    data = {"name": "digits", "label_noise": 0.0, "train_size": 500}
    clean, noisy = split(data, 3, 64), split({**data, "label_noise": share}, 3, 64)
    assert (noisy.train.labels != clean.train.labels).sum() == round(share * 500)
    assert set(noisy.train.labels.tolist()) <= set(range(10))
    np.testing.assert_array_equal(noisy.train.inputs, clean.train.inputs)
    np.testing.assert_array_equal(noisy.probe.inputs, clean.probe.inputs)
    for part in ("validation", "test"):
        for what in ("inputs", "labels"):
            np.testing.assert_array_equal(
                getattr(getattr(noisy, part), what), getattr(getattr(clean, part), what)
            )
