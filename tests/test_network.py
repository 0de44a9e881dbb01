"""A network is the same network alone and in every pack, and seeds pair what they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import MEANT_FOR, cells, condition, train

from study.activations import ACTIVATIONS
from study.cell import Cell, cells_of
from study.initializers import INITIALIZERS, LayerDraw
from study.network import start
from study.probe import INDEX, QUANTITIES
from study.settings import canonical_condition
from study.training import PackResult, shape_of

# 2⁻⁵² times some thousand: the terms of a sum in another order, grown by six chaotic layers
FLOAT64 = 1e-12
# 2⁻²³ times some eighty
FLOAT32 = 1e-5
EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}

# constant weights take signals to 0 but for rounding, which is what then is measured; `test_data_starts`
# packs those that not every activation may have
STARTS = [name for name in INITIALIZERS if name not in ("constant", "critical", *MEANT_FOR)]


def tolerances(dtype: str, layers: Any) -> Any:
    """Return how far each quantity may be off, in the shape of ``layers`` ``[layer, quantity]``.

    Everything but the update comes from a float64 pass over equal weights, whatever the dtype.
    """
    allowed = FLOAT64 * np.abs(layers)
    for mean, square in (("z_mean", "z_second_moment"), ("h_mean", "h_second_moment")):
        # a mean of both signs is small beside its terms
        allowed[:, INDEX[mean]] = FLOAT64 * np.sqrt(layers[:, INDEX[square]])
    for share in ("z_collapse", "signal_collapse"):
        # so is the mean vector, and 1 is the largest share
        allowed[:, INDEX[share]] = FLOAT64
    # each weight after the update is rounded once, here up and there down
    update, weight = layers[:, INDEX["update_norm"]], layers[:, INDEX["weight_norm"]]
    relative = FLOAT32 if dtype == "float32" else FLOAT64
    allowed[:, INDEX["update_norm"]] = relative * update + EPSILON[dtype] * weight
    return np.where(np.isnan(allowed), 0.0, allowed)


def hold_step_0_equal(dtype: str, alone: PackResult, packed: PackResult, position: int) -> None:
    expected, got = alone.layers[0, :, :, 0], packed.layers[0, :, :, position]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    with np.errstate(invalid="ignore"):
        excess = np.abs(got - expected) - tolerances(dtype, expected)
    worst = np.nan_to_num(excess, nan=-1.0).max(axis=0)
    assert not {name for name, by in zip(QUANTITIES, worst, strict=True) if by > 0}
    relative = FLOAT32 if dtype == "float32" else FLOAT64
    assert packed.batch_loss[0, position] == pytest.approx(alone.batch_loss[0, 0], rel=relative)
    for row in range(2):
        # loss and accuracy of the probe set in float64
        assert packed.probed[0, row, position] == pytest.approx(
            alone.probed[0, row, 0], rel=FLOAT64
        )
    assert packed.probed[0, 2, position] == pytest.approx(alone.probed[0, 2, 0], rel=relative)
    assert packed.parameters[position] == alone.parameters[0]


@st.composite
def packs(draw: st.DrawFn) -> list[Cell]:
    """Return cells of one shape: any activations, in runs, any initializers and seeds."""
    shape = {
        "depth": draw(st.integers(1, 6)),
        "width": draw(st.integers(1, 20)),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "bias": draw(st.booleans()),
        "data": draw(st.sampled_from(["digits", "moons"])),
        "batch_size": draw(st.integers(4, 12)),
    }
    activations = draw(
        st.lists(st.sampled_from(list(ACTIVATIONS)), min_size=1, max_size=4, unique=True)
    )
    runs = [
        draw(
            st.lists(st.tuples(st.sampled_from(STARTS), st.integers(0, 2)), min_size=1, max_size=3)
        )
        for _ in activations
    ]
    return [
        cell
        for activation, run in zip(activations, runs, strict=True)
        for init, seed in run
        for cell in cells(
            activation, init, seed=seed, steps=1, probe={"steps": 2, "samples": 16}, **shape
        )
    ]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(packs())
def test_a_cell_measures_the_same_alone_and_in_any_pack_in_any_order(pack: list[Cell]) -> None:
    packed = train(pack)
    for position, cell in enumerate(pack):
        hold_step_0_equal(cell.settings["dtype"], train([cell]), packed, position)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_whole_vectors_of_units_a_cell_is_bit_for_bit_the_same_alone_and_in_any_pack(
    dtype: str,
) -> None:
    more = {"dtype": dtype, "width": 16, "batch_size": 32, "seeds": 2}
    # constant weights among them: what is left of their signals is rounding, and the same rounding
    pack = [
        cell
        for activation, init in (
            ("tanh", "constant"),
            ("prelu", "torch_default"),
            ("gelu", "zeros"),
        )
        for cell in cells(activation, init, **more)
    ]
    packed, reversed_pack = train(pack), train(pack[::-1])
    for position, cell in enumerate(pack):
        alone = train([cell])
        for together, place in ((packed, position), (reversed_pack, len(pack) - 1 - position)):
            for name in ("layers", "batch_loss", "probed", "final", "parameters"):
                expected = np.ascontiguousarray(getattr(alone, name)[..., 0])
                got = np.ascontiguousarray(getattr(together, name)[..., place])
                assert got.tobytes() == expected.tobytes(), name


def test_overlapping_seeds_are_one_cell_each_in_order_of_appearance() -> None:
    both = [canonical_condition(condition(seed=first, seeds=2)) for first in (0, 1)]
    found = cells_of([both[0], both[1], both[0]])
    assert [cell.settings["seed"] for cell in found] == [0, 1, 2]
    assert found[1].id == Cell.of(both[1][0], 1).id
    assert len({cell.id for cell in found}) == 3


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[LayerDraw]]:
    """Every draw that an initializer of the product is given while the test runs, by its name."""
    seen: dict[str, list[LayerDraw]] = {name: [] for name in INITIALIZERS}

    def watched(name: str, rule: Any) -> Any:
        def call(draw: LayerDraw, **keywords: Any) -> Any:
            seen[name].append(draw)
            return rule(draw, **keywords)

        return call

    for name in INITIALIZERS:
        entry = INITIALIZERS[name]
        monkeypatch.setitem(
            INITIALIZERS._entries,
            name,
            type(entry)(name, watched(name, entry.function), entry.parameters, entry.extra),
        )
    return seen


def test_one_seed_gives_every_initializer_the_same_normals(
    draws: dict[str, list[LayerDraw]],
) -> None:
    for name in INITIALIZERS:
        [cell] = cells(MEANT_FOR.get(name, "tanh"), name, seed=7)
        start(cell.settings, shape_of(cell.settings))
    first, *others = draws.values()
    assert len(first) == 4
    for other in others:
        for one, same in zip(first, other, strict=True):
            np.testing.assert_array_equal(one.weight, same.weight)
            np.testing.assert_array_equal(one.bias, same.bias)


def test_networks_of_one_seed_share_their_first_layers_at_every_depth() -> None:
    [shallow], [deep] = (cells(init="he_normal", depth=depth) for depth in (3, 6))
    starts = [start(cell.settings, shape_of(cell.settings)) for cell in (shallow, deep)]
    for layer in range(2):
        np.testing.assert_array_equal(starts[0][layer][0], starts[1][layer][0])


def test_seeds_and_layers_draw_independent_standard_normals() -> None:
    drawn = []
    for cell in cells(init={"name": "normal", "std": 1.0}, width=64, seeds=3):
        # the three hidden layers are [64, 64], since digits have 64 inputs
        drawn += [weight.ravel() for weight, _ in start(cell.settings, shape_of(cell.settings))[:3]]
    together = np.stack(drawn)
    correlations = np.corrcoef(together)[np.triu_indices(len(drawn), 1)]
    entries = together.shape[1]
    # five standard errors of a correlation, of a mean, and of a variance of normal numbers
    assert np.abs(correlations).max() < 5 / np.sqrt(entries)
    assert abs(together.mean()) < 5 / np.sqrt(together.size)
    assert abs(together.var() - 1) < 5 * np.sqrt(2 / together.size)
