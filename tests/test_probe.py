"""Every measured quantity against the plain twin, and the laws of packing."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from reference import measure, train_plainly
from small import MEANT_FOR

from study.activations import ACTIVATIONS
from study.cell import cells_of
from study.initializers import INITIALIZERS
from study.measures import (
    cosine,
    count_of_one_sign,
    norm,
    percentiles,
    share_of_one_sign,
    twins,
)
from study.network import start
from study.pack_data import PackData
from study.probe import INDEX, probe_steps
from study.records import tables
from study.settings import canonical_condition
from study.training import shape_of, train_pack
from study.units import DeadUnits

CPU = torch.device("cpu")
# sums of some thousand float64 terms, in another order, through five layers
RELATIVE = 1e-9


def cells(activation="tanh", init="xavier_normal", **more):
    settings = {
        "depth": 5, "width": 16, "steps": 0, "batch_size": 32, "seeds": 2, "dtype": "float64",
        "probe": {"steps": 20, "samples": 64},
        "activation": {"name": activation}, "init": {"name": init},
        "data": {"name": "digits"}, "optim": {"name": "sgd", "lr": 0.1},
    }  # fmt: skip
    return cells_of([canonical_condition(settings | more)])


def hold_against_reference(chosen):
    result = train_pack(chosen, CPU)
    settings = chosen[0].settings
    data = PackData(settings, [c.settings["seed"] for c in chosen], torch.float64, CPU)
    inputs, labels = data.batch(0)
    probes, _ = data.for_cells(lambda one: one.probe)
    for position, cell in enumerate(chosen):
        layers = [
            (torch.from_numpy(w), torch.from_numpy(b))
            for w, b in start(cell.settings, shape_of(settings))
        ]
        rows = measure(
            layers,
            cell.settings["activation"]["name"],
            (inputs[position], labels[position]),
            probes[position],
        )
        # equal weights: softmax signals sum to 0 below the output, and rounding is all there is
        top = rows[-1]["signal_grad_rms"]
        for layer, row in enumerate(rows):
            if row["signal_grad_rms"] < 1e-14 * top and cell.settings["init"]["name"] == "constant":
                row.pop("signal_collapse")
            for name, expected in row.items():
                got = result.layers[0, layer, INDEX[name], position]
                assert got == pytest.approx(expected, rel=RELATIVE, abs=1e-13, nan_ok=True), (
                    name,
                    layer + 1,
                )


def plain_twin_of(name):
    """Return a registered activation on one network: stands for a twin that was not written."""
    function = ACTIVATIONS[name].function
    return lambda z: function(z.unsqueeze(0)).squeeze(0)


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_quantity_equals_the_plain_twin_for_every_activation(activation, monkeypatch):
    if activation not in reference.ACTIVATIONS:
        monkeypatch.setitem(reference.ACTIVATIONS, activation, plain_twin_of(activation))
        if largest := ACTIVATIONS[activation].extra.largest_slope:
            monkeypatch.setitem(reference.LARGEST_SLOPE, activation, largest)
    hold_against_reference(cells(activation))


@pytest.mark.parametrize("name", ["tanh", "prelu"])
def test_an_activation_without_a_plain_twin_is_tested_by_its_own_function(name, monkeypatch):
    monkeypatch.delitem(reference.ACTIVATIONS, name)
    monkeypatch.delitem(reference.LARGEST_SLOPE, name, raising=False)
    test_every_quantity_equals_the_plain_twin_for_every_activation(name, monkeypatch)


@pytest.mark.parametrize("init", list(INITIALIZERS))
def test_every_quantity_equals_the_plain_twin_for_every_initializer(init):
    hold_against_reference(cells(MEANT_FOR.get(init, "relu"), init))


@pytest.mark.parametrize("activation", ["tanh", "relu", "prelu"])
def test_every_quantity_equals_the_plain_twin_in_regression(activation):
    hold_against_reference(cells(activation, "he_normal", data={"name": "diabetes"}))


def test_a_norm_of_gradients_of_1e_minus_200_is_neither_zero_nor_wrong():
    tiny = torch.full((1, 3, 4), 1e-200, dtype=torch.float64)
    assert float(norm(tiny)[0]) == pytest.approx(1e-200 * np.sqrt(12), rel=1e-14)


def test_a_cell_has_the_same_numbers_alone_and_in_a_pack():
    pack = [*cells("tanh", "he_normal", seeds=3), *cells("tanh", "normal_unit", seeds=3)]
    packed = train_pack(pack, CPU)
    for position, cell in enumerate(pack):
        alone = train_pack([cell], CPU)
        np.testing.assert_allclose(
            alone.layers[..., 0], packed.layers[..., position], rtol=1e-12, atol=0
        )


def test_units_that_are_born_dead_die_and_revive_are_counted_as_a_plain_network_has_them():
    (cell,) = cells(
        "relu", "he_normal", depth=4, width=12, steps=40, seeds=1, batch_size=64,
        optim={"name": "sgd", "lr": 0.7}, probe={"steps": 12, "samples": 48},
    )  # fmt: skip
    result = train_pack([cell], CPU)
    plain = train_plainly(cell.settings, result.probe_steps)
    kinds = set()
    for layer in range(3):
        masks = [plain.dead[step][layer] for step in result.probe_steps]
        for row, dead in enumerate(masks):
            before = masks[: row + 1]
            expected = {
                "dead_units": dead.sum(),
                "born_dead_units": np.all(before, axis=0).sum(),
                "revived_units": (np.any(before, axis=0) & ~dead).sum(),
            }
            for name, count in expected.items():
                assert result.layers[row, layer, INDEX[name], 0] == count
                kinds |= {name} if count else set()
            kinds |= {"died"} if expected["dead_units"] > expected["born_dead_units"] else set()
    assert kinds >= {"dead_units", "died", "revived_units"}  # else nothing was tested


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.sampled_from([1e-180, 1.0, 1e150]))
def test_twin_units_are_those_that_repeat_an_earlier_one(kinds, size):
    drawn = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weight = drawn[:, kinds] * size
    expected = len(kinds) - len(set(kinds))
    assert twins(weight, None).tolist() == [expected, expected]
    # float32 takes twins apart by its last digit, and a bias of its own makes a unit another one
    assert twins(weight * (1 + 2e-7 * torch.randn_like(weight)), None)[0] == expected
    bias = torch.arange(len(kinds), dtype=torch.float64) * size * torch.tensor([[[0.0]], [[1.0]]])
    assert twins(weight, bias).tolist() == [expected, 0]
    # of one direction, yet of other lengths
    lengths = torch.arange(1, len(kinds) + 1, dtype=torch.float64).view(1, -1, 1)
    assert twins(drawn[:, :1] * size * lengths, None).tolist() == [0, 0]
    # next to long rows, too
    rows = [[1.0, 0.0], [1e-170, 0.0], [0.0, 2e-170], [1e-170, 0.0]]
    assert twins(torch.tensor([rows], dtype=torch.float64), None).tolist() == [1]
    weight[1, -1, -1] = torch.inf
    assert twins(weight, None)[0] == expected
    assert torch.isnan(twins(weight, None)[1])


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=5)))
def test_every_unit_is_alive_all_along_born_dead_died_or_revived(masks):
    units = DeadUnits()
    for row, dead in enumerate(masks):  # [probe step, cell, unit]
        found = {name: count.numpy() for name, count in units.see(torch.from_numpy(dead)).items()}
        seen = masks[: row + 1]
        np.testing.assert_array_equal(found["dead_units"], dead.sum(1))
        np.testing.assert_array_equal(found["born_dead_units"], seen.all(0).sum(1))
        always = (~seen).all(0).sum(1)
        np.testing.assert_array_equal(
            always + found["dead_units"] + found["revived_units"], dead.shape[1]
        )


@given(arrays(np.float64, (2, 3, 4), elements=st.floats(-1e6, 1e6)))
def test_percentiles_are_numpys(z):
    for name, got in percentiles(torch.from_numpy(z)).items():
        expected = np.percentile(z.reshape(2, -1), int(name[3:]), axis=1)
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-9)


def test_percentiles_of_a_network_with_a_nan_are_nan_and_its_neighbours_are_not():
    z = torch.arange(24, dtype=torch.float64).view(2, 3, 4)
    z[0, 1, 2] = torch.nan
    for got in percentiles(z).values():
        assert torch.isnan(got).tolist() == [True, False]


def test_probe_steps_hold_both_ends_and_some_count():
    for steps in (0, 1, 2, 7, 300, 100_000):
        found = probe_steps(steps, 20)
        assert found[0] == 0
        assert found[-1] == steps
        assert len(found) <= 21


def test_numbers_are_of_one_sign_whatever_their_zeros_and_unknown_where_one_is_nan():
    rows = [[1.0, 2.0], [-1.0, -0.0], [0.0, -0.0], [1.0, -1e-300], [1.0, 0.0]]
    values = torch.tensor([rows, [*rows[:4], [torch.nan, 1.0]]], dtype=torch.float64)
    np.testing.assert_array_equal(count_of_one_sign(values), [4, np.nan])
    np.testing.assert_array_equal(share_of_one_sign(values), [0.8, np.nan])
    infinite = torch.tensor([[[torch.inf, 1.0], [-torch.inf, 1.0]]], dtype=torch.float64)
    assert count_of_one_sign(infinite).tolist() == [1]


def test_the_cosine_of_updates_of_1e_minus_200_is_that_of_their_directions():
    one = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]], dtype=torch.float64) * 1e-200
    other = torch.tensor([[4.0, 3.0], [-3.0, -4.0], [1.0, 0.0]], dtype=torch.float64) * 1e-180
    found = cosine(one, norm(one), other, norm(other))
    np.testing.assert_allclose(found, [24 / 25, -1.0, np.nan], rtol=1e-14)


def test_inputs_of_relu_and_sigmoid_are_of_one_sign_and_make_their_samples_gradients_so():
    for activation, signed in (("relu", True), ("sigmoid", True), ("centred_sigmoid", False)):
        result = train_pack(cells(activation, batch_size=1), CPU)
        shares = result.layers[0, 1:, INDEX["same_sign_inputs"]]
        units = result.layers[0, 1:, INDEX["same_sign_units"]]
        # the law that the column is for: of a batch of one sample all units behind such inputs are counted
        assert (shares == 1).all() == signed
        if signed:
            np.testing.assert_array_equal(units.T, [[16, 16, 16, 10]] * 2)


def test_successive_updates_on_one_batch_by_tiny_steps_agree_and_without_a_rate_have_no_angle():
    one_batch = {
        "steps": 6, "data": {"name": "digits", "train_size": 40}, "batch_size": 40, "seeds": 1,
    }  # fmt: skip
    for rate, expected in ((1e-6, 1.0), (0.0, np.nan)):
        result = train_pack(cells(**one_batch, optim={"name": "sgd", "lr": rate}), CPU)
        found = result.layers[1:-1, :, INDEX["update_cosine"]]
        # the gradient turns by some curvature times the rate
        np.testing.assert_allclose(found, np.full_like(found, expected), rtol=1e-4)
        rows = tables(result)["layers"].column("update_cosine")
        assert rows.null_count == (len(rows) if rate == 0 else 2 * 5)
