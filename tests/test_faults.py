"""A cell that diverges or cannot run is reported as what it is and changes nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from small import cells, stored_rows, train
from torch import Tensor

from study.activations import ACTIVATIONS
from study.cell import Cell
from study.initializers import INITIALIZERS, Array, LayerDraw
from study.records import tables
from study.training import PackData

Register = Callable[..., None]


def raising(draw: LayerDraw) -> Array:
    raise RuntimeError("no start today")


def misshapen(draw: LayerDraw) -> Array:
    return draw.weight[:-1]


def nan_in_layer_3(draw: LayerDraw) -> Array:
    weight = draw.weight / math.sqrt(draw.fan_in)
    return np.full_like(weight, np.nan) if draw.layer == 3 else weight


def refusing(z: Tensor) -> Tensor:
    raise RuntimeError("no slope today")


def shortening(z: Tensor) -> Tensor:
    return z[..., :-1]


@pytest.fixture(autouse=True)
def _faulty_functions(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register initializers and activations with faults, one of which shows from step 3 on."""
    now = {"step": 0}
    take = PackData.batch

    def batch(self: PackData, step: int) -> tuple[Tensor, Tensor]:
        now["step"] = step
        return take(self, step)

    def failing_at_3(z: Tensor) -> Tensor:
        return torch.tanh(z) if now["step"] < 3 else z * torch.nan

    monkeypatch.setattr(PackData, "batch", batch)
    for rule in (raising, misshapen, nan_in_layer_3):
        register(INITIALIZERS, rule)
    for activation in (failing_at_3, refusing, shortening):
        register(ACTIVATIONS, activation)


@dataclass(frozen=True)
class Fault:
    """A faulty condition and what its record must say."""

    activation: str
    init: Any
    status: str
    first_bad_step: int | None = None
    first_bad_layer: int | None = None
    error: str | None = None


FAULTS = {
    # z grows by 4e10 a layer: beyond float32's 3e38 in layer 4, far below float64's 2e308
    "float32 alone overflows": Fault("relu", {"name": "normal", "std": 1e10}, "diverged", 0),
    "a weight is NaN": Fault("relu", "nan_in_layer_3", "diverged", 0, 3),
    # h of layer 1 is NaN at step 3, so z of layer 2 is the first that is not finite
    "an activation gives NaN from step 3 on": Fault(
        "failing_at_3", "xavier_normal", "diverged", 3, 2
    ),
    "an initializer raises": Fault(
        "gelu", "raising", "failed", error="RuntimeError: no start today (raising, line "
    ),
    "an initializer gives the wrong shape": Fault(
        "gelu", "misshapen", "failed", error="init=misshapen gave weights (15, 64) and biases (16,)"
    ),
    "an activation raises": Fault(
        "refusing", "xavier_normal", "failed", error="RuntimeError: no slope today (refusing, line "
    ),
    "an activation changes the shape": Fault(
        "shortening", "xavier_normal", "failed", error="activation=shortening turns torch.float32"
    ),
}
TRAINING = {
    "sgd": {"name": "sgd", "lr": 0.1},
    "adam with clipping": {"name": "adam", "lr": 0.01, "clip_norm": 0.5, "weight_decay": 0.01},
}


def neighbours(**shape: Any) -> tuple[list[Cell], list[Cell]]:
    """Return cells to stand before and after a faulty one, of its own activation among them."""
    before = cells("tanh", "he_normal", **shape) + cells("gelu", "he_normal", **shape)
    after = cells("gelu", "orthogonal", **shape) + cells("sigmoid", "torch_default", **shape)
    return before, after


@pytest.mark.parametrize("training", list(TRAINING))
@pytest.mark.parametrize(("width", "batch_size"), [(16, 16), (13, 7)])
@pytest.mark.parametrize("kind", list(FAULTS))
def test_a_faulty_cell_is_reported_as_what_it_is_and_leaves_its_neighbours_bit_for_bit(
    kind: str, width: int, batch_size: int, training: str
) -> None:
    fault = FAULTS[kind]
    shape = {"width": width, "batch_size": batch_size, "seeds": 2, "optim": TRAINING[training]}
    before, after = neighbours(**shape)
    faulty = cells(fault.activation, fault.init, **shape)
    others = before + after
    result = train(before + faulty + after)

    healthy = fault.activation if fault.activation in ("relu", "gelu") else "tanh"
    replaced = train(before + cells(healthy, "he_uniform", **shape) + after)
    assert stored_rows(result, others) == stored_rows(replaced, others)
    if width % 16 == 0:
        # where rows of units are whole vectors, no sum is ordered by who else is in the pack
        assert stored_rows(result, others) == stored_rows(train(others), others)

    rows = {row["cell"]: row for row in tables(result)["cells"].to_pylist()}
    assert {rows[cell.id]["status"] for cell in others} == {"ok"}
    for cell in faulty:
        row = rows[cell.id]
        assert row["status"] == fault.status
        assert row["first_bad_step"] == fault.first_bad_step
        assert row["first_bad_layer"] == fault.first_bad_layer
        if fault.error is None:
            assert row["error"] is None
        else:
            assert (
                fault.error.replace("(15, 64)", f"({width - 1}, 64)").replace(
                    "(16,)", f"({width},)"
                )
                in (row["error"])
            )
            assert "/" not in row["error"]


def mixing_networks(z: Tensor) -> Tensor:
    return torch.softmax(z, 0)


def mixing_samples(z: Tensor) -> Tensor:
    return z - z.mean(dim=1, keepdim=True)


def detached(z: Tensor) -> Tensor:
    return torch.tanh(z).detach()


@pytest.mark.parametrize(
    ("activation", "why"),
    [
        (mixing_networks, "mixes entries of z; it must act on each by itself"),
        (mixing_samples, "mixes entries of z; it must act on each by itself"),
        (detached, "returns a tensor without a gradient to z"),
    ],
)
def test_an_activation_whose_numbers_would_depend_on_its_neighbours_is_refused(
    activation: Callable[[Tensor], Tensor], why: str, register: Register
) -> None:
    register(ACTIVATIONS, activation)
    [row] = tables(train(cells(activation.__name__)))["cells"].to_pylist()
    assert row["status"] == "failed"
    assert f"activation={activation.__name__} {why}" in row["error"]


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_no_activation_of_the_study_is_refused(activation: str) -> None:
    [row] = tables(train(cells(activation, steps=0)))["cells"].to_pylist()
    assert (row["status"], row["error"]) == ("ok", None)


@pytest.mark.parametrize("steps", [0, 2])
def test_no_network_is_ok_whose_losses_are_not_even_where_every_batch_was(steps: int) -> None:
    # outputs near float32's limit: some samples overflow, and not all of them are in a batch
    init = {"name": "normal", "std": 1000.0}
    shape = {
        "width": 8,
        "batch_size": 32,
        "steps": steps,
        "seeds": 150,
        "depth": 11 if steps == 0 else 4,
    }
    result = train(cells("relu", init, **shape))
    rows = tables(result)["cells"].to_pylist()
    assert result.probe_steps == list(range(steps + 1))
    batches = np.isfinite(result.batch_loss)
    good = batches & np.isfinite(result.probed[:, ::2]).all(axis=1)  # [step, cell]
    if steps == 0:
        decisive = batches & ~good
    else:
        splits = ("train", "validation", "test")
        finals = [all(math.isfinite(row[f"final_{one}_loss"]) for one in splits) for row in rows]
        decisive = good.all(axis=0) & ~np.array(finals)
        good[-1] &= finals
    assert decisive.any()  # or the batches alone would have told
    expected = [None if one.all() else int(np.argmin(one)) for one in good.T]
    assert [row["first_bad_step"] for row in rows] == expected
    assert [row["status"] == "ok" for row in rows] == [step is None for step in expected]
