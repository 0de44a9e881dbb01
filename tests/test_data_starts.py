"""Starts that look at training samples: LSUV, pre-training by RBMs, and a layer killed on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Register
from scipy import special
from sklearn.neural_network import BernoulliRBM
from small import cells, condition, train

from study.cell import Cell
from study.datasets import split
from study.errors import SettingError
from study.initializers import INITIALIZERS, Array, LayerDraw, Traits
from study.network import start
from study.probe import INDEX
from study.randomness import stream
from study.settings import canonical_condition
from study.theory import predict
from study.training import PackResult, shape_of

STARTS = {"lsuv": "tanh", "rbm": "sigmoid", "killed": "relu"}

ROUNDING = 1e-5
"""Of weights brought to float32, 2⁻²³ each, in a sum of some dozens."""


def made(cell: Cell) -> list[tuple[Array, Array]]:
    return start(cell.settings, shape_of(cell.settings))


def training_split(cell: Cell) -> Array:
    """The cell's training samples as its network sees them, from the data set itself."""
    settings = cell.settings
    return split(settings["data"], settings["seed"], settings["probe"]["samples"]).train.inputs


def quantity(result: PackResult, name: str, position: int = 0) -> Array:
    """One quantity at the start, ``[layer]``."""
    return result.layers[0, :, INDEX[name], position]


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "gelu", "prelu", "identity"])
@pytest.mark.parametrize("bias", [True, False])
def test_lsuv_gives_every_layer_of_a_trained_network_variance_1(
    activation: str, bias: bool
) -> None:
    more = {"depth": 8, "width": 24, "bias": bias, "steps": 1}
    # of 1,000 training samples, no more than the start looks at: the probe set is what it has seen
    more["probe"] = {"steps": 2, "samples": "all"}
    [cell] = cells(activation, "lsuv", **more)
    result = train([cell])
    variance = quantity(result, "z_second_moment") - quantity(result, "z_mean") ** 2
    np.testing.assert_allclose(variance, 1.0, atol=0.01 + ROUNDING)
    assert all((offset == 0).all() for _, offset in made(cell))


def test_lsuv_scales_orthonormal_weights_and_leaves_directions_alone() -> None:
    [cell] = cells("tanh", "lsuv")
    for weight, _ in made(cell):
        products = weight @ weight.T if len(weight) <= weight.shape[1] else weight.T @ weight
        np.testing.assert_allclose(products / products[0, 0], np.eye(len(products)), atol=1e-12)


def test_lsuv_ends_where_nothing_arrives() -> None:
    """Below a sign unit of a network that is one unit wide all samples may be the same."""
    for seed in range(6):
        [cell] = cells("relu", "lsuv", width=1, depth=12, seed=seed)
        assert all(np.isfinite(weight).all() for weight, _ in made(cell))


def test_rbm_is_scikit_learn_s_machines_one_on_the_other() -> None:
    init = {"name": "rbm", "epochs": 2, "learning_rate": 0.05, "batch_size": 20}
    [cell] = cells("sigmoid", init, depth=3, width=12)
    inputs = training_split(cell)
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    varies = high > low
    # some pixels of the digits never vary
    assert not varies.all()
    shown = np.where(varies, (inputs - low) / np.where(varies, high - low, 1.0), 0.0)
    signal = inputs
    layers = made(cell)
    for layer, (weight, bias) in enumerate(layers[:2], start=1):
        seed = int(stream(cell.settings["seed"], f"start/{layer}").integers(2**32))
        machine = BernoulliRBM(12, learning_rate=0.05, batch_size=20, n_iter=2, random_state=seed)
        shown = machine.fit_transform(shown)
        signal = special.expit(signal @ weight.T + bias)
        # a different order of sums, of numbers of the size of 1
        np.testing.assert_allclose(signal, shown, atol=1e-10)
    [same] = cells("sigmoid", "xavier_normal", depth=3, width=12)
    np.testing.assert_array_equal(layers[2][0], made(same)[2][0])
    assert (layers[2][1] == 0).all()


def test_rbm_learns_something_and_differs_from_seed_to_seed() -> None:
    few, many = (cells("sigmoid", {"name": "rbm", "epochs": epochs}, depth=2) for epochs in (1, 10))
    norms = [np.linalg.norm(made(cell)[0][0]) for [cell] in (few, many)]
    assert norms[1] > 1.5 * norms[0]
    one, other = cells("sigmoid", {"name": "rbm", "epochs": 1}, depth=2, seeds=2)
    assert not np.array_equal(made(one)[0][0], made(other)[0][0])


def test_a_machine_shown_binary_samples_learns_where_numbers_hardly_vary() -> None:
    """The start's own weights have a standard deviation of 0.01; on numbers as they are nothing grows."""
    deviations = {}
    for sampled in (False, True):
        init = {"name": "rbm", "epochs": 3, "sampled": sampled}
        [cell] = cells("sigmoid", init, depth=2, data={"name": "mnist1d"})
        inputs = training_split(cell)
        covariance = np.cov(inputs.T / (inputs.max(axis=0) - inputs.min(axis=0))[:, None])
        assert np.linalg.eigvalsh(covariance)[-1] < 0.25
        weight = made(cell)[0][0] * (inputs.max(axis=0) - inputs.min(axis=0))
        deviations[sampled] = weight.std()
    assert deviations[False] < 1.5 * 0.01
    assert deviations[True] > 3 * 0.01


@pytest.mark.parametrize("layer", [1, 2, 4])
def test_a_killed_layer_is_dead_on_every_training_sample_and_nothing_below_learns(
    layer: int,
) -> None:
    more = {"depth": 5, "width": 16, "probe": {"steps": 3, "samples": "all"}, "seeds": 2}
    pack = cells("relu", {"name": "killed", "layer": layer}, **more)
    alive = cells("relu", "he_normal", **more)
    result = train([*pack, *alive])
    for position in range(2):
        dead = quantity(result, "dead_units", position)
        assert dead[layer - 1] == 16
        assert (dead[: layer - 1] < 16).all()
        weights = result.layers[:, :, INDEX["weight_grad_norm"], position]
        biases = result.layers[:, :, INDEX["bias_grad_norm"], position]
        assert (weights == 0).all()
        assert (biases[:, :-1] == 0).all()
        assert (biases[:, -1] > 0).all()
        below = quantity(result, "weight_norm", position)
        np.testing.assert_array_equal(below, quantity(result, "weight_norm", position + 2))


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_such_a_network_is_bit_for_bit_the_same_alone_and_beside_others(
    name: str, dtype: str
) -> None:
    init = {"name": name, "epochs": 1} if name == "rbm" else name
    more = {"dtype": dtype, "width": 16, "batch_size": 32}
    mine = cells(STARTS[name], init, seeds=2, **more)
    pack = [*cells(STARTS[name], "xavier_normal", **more), *mine]
    packed = train(pack)
    for position, cell in enumerate(mine, start=1):
        alone = train([cell])
        for which in ("layers", "batch_loss", "probed", "final"):
            expected = np.ascontiguousarray(getattr(alone, which)[..., 0])
            got = np.ascontiguousarray(getattr(packed, which)[..., position])
            assert got.tobytes() == expected.tobytes(), which
    assert not packed.errors


def test_one_s_own_start_gets_the_layer_s_inputs_and_may_not_change_them(
    register: Register,
) -> None:
    seen: list[LayerDraw] = []

    def looking(draw: LayerDraw) -> Array:
        seen.append(draw)
        assert not draw.inputs.flags.writeable
        return 0.1 * draw.weight + draw.layer

    register(INITIALIZERS, looking, Traits(needs_inputs=True, samples=50))
    [cell] = cells("tanh", "looking", depth=3, width=5, seed=3)
    layers = made(cell)
    inputs = training_split(cell)[:50]
    for draw, (weight, _) in zip(seen, layers, strict=True):
        np.testing.assert_allclose(draw.inputs, inputs, rtol=1e-12, atol=1e-14)
        inputs = np.tanh(inputs @ weight.T)
    assert len({draw.seed for draw in seen}) == 3
    seeds = [draw.seed for draw in seen]
    made(cell)
    assert [draw.seed for draw in seen[3:]] == seeds


def test_who_does_not_ask_for_inputs_gets_none(register: Register) -> None:
    seen: list[LayerDraw] = []

    def blind(draw: LayerDraw) -> Array:
        seen.append(draw)
        return draw.weight

    register(INITIALIZERS, blind)
    [cell] = cells("tanh", "blind")
    made(cell)
    assert {draw.inputs.size for draw in seen} == {0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init": "rbm", "activation": "relu"}, "init=rbm with activation=relu"),
        ({"init": "rbm", "activation": "sigmoid", "bias": False}, "init=rbm with bias=false"),
        ({"init": "killed", "activation": "relu", "bias": False}, "init=killed with bias=false"),
        ({"init": "killed", "activation": "tanh"}, "init=killed with activation=tanh"),
        ({"init": "killed", "activation": "relu", "depth": 1}, "of which there are 0"),
        (
            {"init": {"name": "killed", "layer": 4}, "activation": "relu", "depth": 4},
            "init.layer=4 and depth=4",
        ),
        ({"init": {"name": "killed", "layer": 0}, "activation": "relu"}, "init.layer=0"),
        ({"init": {"name": "rbm", "epochs": 0}, "activation": "sigmoid"}, "init.epochs=0"),
        (
            {"init": {"name": "rbm", "learning_rate": 0}, "activation": "sigmoid"},
            "init.learning_rate=0",
        ),
        ({"init": {"name": "lsuv", "tolerance": 0}}, "init.tolerance=0"),
        ({"init": {"name": "lsuv", "iterations": 1.5}}, "init.iterations=1.5"),
    ],
)
def test_what_cannot_be_started_so_is_refused_in_one_sentence(settings: dict, message: str) -> None:
    with pytest.raises(SettingError) as refused:
        canonical_condition(condition(**settings))
    assert message in str(refused.value)
    assert str(refused.value).startswith("cannot use ")
    assert str(refused.value).count(". ") == 0


@pytest.mark.parametrize("name", STARTS)
def test_the_theory_says_nothing_of_them(name: str) -> None:
    network = {
        "depth": 4, "width": 16, "bias": True, "activation": {"name": STARTS[name]},
        "init": {"name": name, **INITIALIZERS[name].parameters},
    }  # fmt: skip
    with pytest.raises(SettingError, match="its weights follow the samples"):
        predict(network, inputs=64, outputs=10)


def test_ids_of_earlier_starts_are_what_they_were() -> None:
    """Cells of a published study would be trained again under other ids."""
    [first] = cells("tanh", "xavier_normal", seed=5)
    [second] = cells("relu", {"name": "normal", "std": 0.2}, depth=9)
    assert (first.id, second.id) == IDS


IDS = ("9a1d8d31e12072c573da", "fdb76828d2a6ffe16f24")
