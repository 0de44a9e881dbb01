"""Tiny, zero, huge and missing numbers, against one network at a time in float64 autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from reference import PlainNetwork, mean_loss, measure
from small import CPU, cells, train
from torch import Tensor

from study.activations import ACTIVATIONS
from study.cell import Cell
from study.initializers import INITIALIZERS, Array, LayerDraw
from study.network import start
from study.probe import INDEX
from study.records import tables
from study.training import PackData, PackResult, shape_of

Register = Callable[..., None]

# sums of some thousand float64 terms, in another order, through two dozen layers
RELATIVE = 1e-9
SMALLEST = 2.0**-126  # of float32, below which training flushes to 0


def plain_start(cell: Cell) -> tuple[list[tuple[Array, Array]], Tensor, Tensor, Tensor]:
    """Return a cell's layers as trained, its first batch and its probe inputs."""
    settings = cell.settings
    dtype = getattr(torch, settings["dtype"])
    data = PackData(settings, [settings["seed"]], dtype, CPU)
    inputs, labels = data.batch(0)
    probes, _ = data.for_cells(lambda one: one.probe)
    return start(settings, shape_of(settings)), inputs[0], labels[0], probes[0]


def quantity(result: PackResult, name: str, position: int = 0) -> np.ndarray:
    """Return a quantity of every layer at step 0."""
    return result.layers[0, :, INDEX[name], position]


def hold_against_reference(result: PackResult, position: int, relative: float = RELATIVE) -> None:
    cell = result.cells[position]
    layers, inputs, labels, probes = plain_start(cell)
    dtype = getattr(torch, cell.settings["dtype"])
    trained = [tuple(torch.from_numpy(part).to(dtype) for part in layer) for layer in layers]
    rows = measure(trained, cell.settings["activation"]["name"], (inputs, labels), probes)  # type: ignore[arg-type]
    for layer, row in enumerate(rows):
        for name, expected in row.items():
            got = result.layers[0, layer, INDEX[name], position]
            # no absolute tolerance: 1e-40 must come out as 1e-40, and 0 as 0
            assert got == pytest.approx(expected, rel=relative, abs=0, nan_ok=True), (name, layer)


def gradients(cell: Cell, dtype: torch.dtype) -> list[np.ndarray]:
    """Return ∂L/∂W of every layer at the start, by plain autograd."""
    layers, inputs, labels, _ = plain_start(cell)
    as_trained = [tuple(part.astype(np.float32) for part in layer) for layer in layers]
    settings = {**cell.settings, "dtype": str(dtype).removeprefix("torch.")}
    network = PlainNetwork(settings, as_trained)  # type: ignore[arg-type]
    mean_loss(network(inputs.to(dtype)), labels).backward()
    return [weight.grad.numpy() for weight in network.weights if weight.grad is not None]


@pytest.mark.parametrize(
    ("activation", "depth", "lost_on_top"),
    # σ(0) = ½ keeps the output layer's gradient; tanh takes h to 1e-40 on the way up
    [("sigmoid", 20, 0), ("tanh", 26, 80)],
    ids=["sigmoid", "tanh"],
)
def test_gradients_near_1e_minus_40_are_measured_and_their_underflow_in_float32_counted(
    activation: str, depth: int, lost_on_top: int
) -> None:
    pack = cells(activation, "normal_small", width=8, depth=depth, steps=1, seeds=2)
    result = train(pack)
    for position, cell in enumerate(pack):
        first = quantity(result, "weight_grad_norm", position)[0]
        assert 1e-46 < first < 1e-38
        hold_against_reference(result, position)
        zeros = quantity(result, "grad_zeros", position)
        for layer, gradient in enumerate(gradients(cell, torch.float64)):
            size = np.abs(gradient)
            # an entry is a sum of 16 products of numbers up to 8: near the smallest float32 some of
            # its terms are flushed, a hundred times below all and a hundred times above none
            assert (size < SMALLEST / 100).sum() <= zeros[layer] <= (size < SMALLEST * 100).sum()
        # the whole first layer is lost
        assert zeros[0] == 8 * 64
        assert zeros[-1] == lost_on_top


def test_zero_weights_give_exact_zeros_and_their_count() -> None:
    pack = cells("tanh", "zeros", width=8) + cells("sigmoid", "zeros", width=8)
    result = train(pack)
    for position in range(2):
        hold_against_reference(result, position)
        assert (quantity(result, "signal_grad_rms", position)[:-1] == 0).all()
        assert np.isnan(quantity(result, "signal_collapse", position)[:-1]).all()
    # tanh(0) = 0 takes the output layer's gradient with it, σ(0) = ½ does not
    np.testing.assert_array_equal(quantity(result, "grad_zeros", 0), [8 * 64, 64, 64, 80])
    np.testing.assert_array_equal(quantity(result, "grad_zeros", 1), [8 * 64, 64, 64, 0])
    np.testing.assert_array_equal(quantity(result, "weight_grad_norm", 0), [0, 0, 0, 0])


def test_a_network_of_dead_relus_has_exact_zeros_below_and_every_unit_counted(
    register: Register,
) -> None:
    def drowned(draw: LayerDraw) -> tuple[Array, Array]:
        return draw.weight / 8, np.full_like(draw.bias, -100.0 if draw.layer == 2 else 0.0)

    register(INITIALIZERS, drowned)
    result = train(cells("relu", "drowned", width=8))
    hold_against_reference(result, 0)
    assert quantity(result, "dead_units")[1] == 8
    assert quantity(result, "active_share")[1] == 0
    assert quantity(result, "h_second_moment")[1] == 0
    np.testing.assert_array_equal(quantity(result, "signal_grad_rms")[:2], [0, 0])
    np.testing.assert_array_equal(quantity(result, "grad_zeros")[:3], [8 * 64, 64, 64])


@pytest.mark.parametrize(("offset", "dead"), [(12.0, 0), (30.0, 8)])
def test_a_unit_is_dead_where_its_slope_is_0_in_float64_not_where_float32_would_lose_it(
    offset: float, dead: int, register: Register
) -> None:
    def pushed(draw: LayerDraw) -> tuple[Array, Array]:
        return draw.weight / 100, np.full_like(draw.bias, offset if draw.layer == 2 else 0.0)

    register(INITIALIZERS, pushed)
    result = train(cells("tanh", "pushed", width=8))
    # 1 − h² has what h is rounded by, 2⁻⁵³ here and there, which in tanh'(12) = 1.5e-10 is 1.5e-6
    hold_against_reference(result, 0, relative=5e-6)
    # tanh'(12) = 1.5e-10 is 1 − 1 in float32; tanh'(30) = 4e-26 is 1 − 1 in float64 too
    assert quantity(result, "dead_units")[1] == dead
    assert quantity(result, "saturated_share")[1] == 1
    assert quantity(result, "dead_units")[0] == quantity(result, "saturated_share")[0] == 0


def test_what_float32_alone_overflows_is_measured_in_float64() -> None:
    # z grows by 4e10 a layer: beyond float32's 3e38 in layer 4, far below float64's 2e308
    result = train(cells("relu", {"name": "normal", "std": 1e10}, steps=1))
    hold_against_reference(result, 0)
    assert np.isfinite(quantity(result, "weight_grad_norm")).all()
    # a unit that no sample reaches keeps a gradient of 0 · 1e11
    alone = [(~np.isfinite(g)).sum() for g in gradients(result.cells[0], torch.float32)]
    np.testing.assert_array_equal(quantity(result, "grad_nonfinite"), alone)
    assert min(alone) > 0
    [row] = tables(result)["cells"].to_pylist()
    assert (row["status"], row["first_bad_step"], row["first_bad_layer"]) == ("diverged", 0, None)


def overflowing(dtype: str) -> PackResult:
    # z grows by 4e30 a layer and passes 2e308 in layer 11
    init = {"name": "normal", "std": 1e30}
    return train(cells("relu", init, depth=13, steps=1, dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_float64_overflows_too_is_non_finite_from_there_on(dtype: str) -> None:
    result = overflowing(dtype)
    z = quantity(result, "z_mean")
    assert np.isfinite(z[:10]).all()
    assert not np.isfinite(z[10:]).any()
    assert quantity(result, "weight_norm") == pytest.approx(
        [1e30 * float(np.linalg.norm(w / 1e30)) for w, _ in plain_start(result.cells[0])[0]],
        rel=2.0**-24,  # the weights' own rounding
    )
    [row] = tables(result)["cells"].to_pylist()
    assert (row["status"], row["first_bad_step"]) == ("diverged", 0)


def test_the_first_bad_layer_is_the_lowest_whose_z_is_not_finite() -> None:
    [row] = tables(overflowing("float64"))["cells"].to_pylist()
    assert row["first_bad_layer"] == 11


def test_an_activation_that_gives_nan_makes_every_gradient_entry_count_as_non_finite(
    register: Register,
) -> None:
    def blind(z: Tensor) -> Tensor:
        return z * torch.nan

    register(ACTIVATIONS, blind)
    pack: list[Any] = cells("blind", width=8) + cells("tanh", width=8)
    result = train(pack)
    np.testing.assert_array_equal(quantity(result, "grad_nonfinite", 0), [8 * 64, 64, 64, 80])
    np.testing.assert_array_equal(quantity(result, "grad_nonfinite", 1), [0, 0, 0, 0])
    np.testing.assert_array_equal(quantity(result, "grad_zeros", 0), [0, 0, 0, 0])
    assert np.isfinite(quantity(result, "z_mean", 0)[0])
    assert np.isnan(quantity(result, "z_mean", 0)[1:]).all()
    assert np.isnan(quantity(result, "dead_units", 0)[1:]).all()
    hold_against_reference(result, 1)


@pytest.mark.parametrize(("std", "activation"), [(1e-6, "tanh"), (1e6, "relu")])
def test_collapse_is_the_same_where_squares_of_z_leave_the_range_of_float64(
    std: float, activation: str
) -> None:
    # 40 layers of 16 units change z by 4·std each: to 1e-216 or 1e+264, and its square is 0 or infinite
    shape = {"depth": 40, "steps": 0, "bias": False, "dtype": "float64"}
    [deep] = [cells(activation, {"name": "normal", "std": std}, **shape)]
    tamed = cells(
        "relu" if activation == "relu" else "identity", {"name": "normal", "std": 0.25}, **shape
    )
    found, expected = train(deep), train(tamed)
    last = quantity(found, "z_second_moment")[-5:]
    assert not (np.isfinite(last) & (last > 0)).any()
    # both are the same network but for a factor a layer (tanh is the identity below 1e-5), so the
    # ratio is the same up to the rounding of 40 layers
    np.testing.assert_allclose(
        quantity(found, "z_collapse")[1:], quantity(expected, "z_collapse")[1:], rtol=1e-8
    )


def test_the_first_bad_layer_is_found_where_a_sum_of_z_overflows_before_z_does() -> None:
    # z grows some 5 times a layer: a sum over 32 samples overflows a layer or two ahead of it
    init = {"name": "normal", "std": 2.0}
    [cell] = cells("relu", init, depth=560, steps=0, bias=False, dtype="float64")
    layers, _, _, probes = plain_start(cell)
    h = probes.numpy()
    first_bad = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for layer, (weight, _) in enumerate(layers, start=1):
            z = h @ weight.T
            if not np.isfinite(z).all():
                first_bad = layer
                break
            h = np.maximum(z, 0.0)
    assert first_bad > 300
    [row] = tables(train([cell]))["cells"].to_pylist()
    assert row["first_bad_layer"] == first_bad
