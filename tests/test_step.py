"""The step by hand against autograd through the same modules, and what it leaves where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import cells
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from study import pack_data
from study.activations import ACTIVATIONS, tanh
from study.by_hand import RULES
from study.cell import Cell
from study.network import ActivationSlice, StackedNetwork, cell_losses
from study.optimizers import OPTIMIZERS
from study.pack_data import PackData, data_of
from study.replay import Replay
from study.step import Run, Step
from study.training import build, shape_of

CPU = torch.device("cpu")

EPSILON = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def stack(pack: list[Cell]) -> tuple[StackedNetwork, PackData]:
    """Return the networks of a pack and their data."""
    shared = pack[0].settings
    network, errors = build(pack, shape_of(shared))
    assert not errors
    dtype = getattr(torch, shared["dtype"])
    return network, PackData(shared, [c.settings["seed"] for c in pack], dtype, CPU)


def by_autograd(
    network: StackedNetwork, inputs: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Return losses ``[cell]`` and the gradient of every parameter."""
    losses = cell_losses(network(inputs), labels)
    found = torch.autograd.grad(losses.sum(), list(network.parameters()), allow_unused=True)
    return losses.detach(), [
        torch.zeros_like(p) if g is None else g
        for g, p in zip(found, network.parameters(), strict=True)
    ]


@st.composite
def packs(draw: st.DrawFn) -> list[Cell]:
    """Return cells of one shape, of some activations in runs."""
    shape = {
        "depth": draw(st.integers(1, 5)),
        "width": draw(st.integers(1, 20)),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "bias": draw(st.booleans()),
        "data": draw(st.sampled_from(["digits", "moons", "diabetes"])),
        "batch_size": draw(st.integers(1, 12)),
    }
    names = draw(st.lists(st.sampled_from(list(ACTIVATIONS)), min_size=1, max_size=4, unique=True))
    return [
        cell
        for name in names
        for cell in cells(name, "torch_default", seeds=draw(st.integers(1, 2)), **shape)
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(packs())
def test_a_step_by_hand_has_the_losses_and_gradients_of_autograd(pack: list[Cell]) -> None:
    network, data = stack(pack)
    inputs, labels = data.batch(0)
    losses, expected = by_autograd(network, inputs, labels)
    found = Step(network, inputs.shape[1] + 3)(inputs, labels)
    # sums of at most 64 terms, one after the other through at most 5 layers and back: each is off by
    # the roundings of its terms, so by some hundred of the largest entry
    allowed = 500 * EPSILON[inputs.dtype]
    torch.testing.assert_close(found, losses, rtol=allowed, atol=allowed)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        for cell in range(gradient.shape[0]):
            largest = float(gradient[cell].abs().max())
            off = float((parameter.grad[cell] - gradient[cell]).abs().max())  # type: ignore[index]
            assert off <= allowed * max(largest, 1e-3), (off, largest)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if ACTIVATIONS[n].function in RULES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rule_is_its_activation_and_its_derivative_bit_for_bit(
    name: str, dtype: torch.dtype
) -> None:
    entry = ACTIVATIONS[name]
    module = ActivationSlice({"name": name, **entry.parameters}, 2, dtype)
    learned = list(module.parameters())
    for one in learned:
        one.data.copy_(torch.tensor([0.3, -1.7]).view(2, 1, 1))
        one.grad = torch.zeros_like(one)
    ends = [0.0, -0.0, torch.inf, -torch.inf, 1e-30, -1e-30, 300.0, -300.0]
    # a network with a z that is not a number has no gradient that anyone could use
    ends.append(0.5 if learned else torch.nan)
    drawn = torch.randn(990, generator=torch.Generator().manual_seed(1), dtype=dtype) * 5
    z = torch.cat([torch.tensor(ends, dtype=dtype), drawn, drawn[:1]]).view(2, 20, 25)
    leaf = z.clone().requires_grad_()
    above = torch.linspace(-1, 2, 1000, dtype=dtype).view_as(z)
    values = module(leaf)
    expected, *of_learned = torch.autograd.grad(values, [leaf, *learned], above)
    run = Run(module, (0, 2))
    found = z.clone() if run.in_place else torch.empty_like(z)
    gradient = above.clone()
    run.forward(z if not run.in_place else found, found, derive=True)
    run.backward(gradient, z if not run.in_place else found, found)
    for got, wanted in ((found, values.detach()), (gradient, expected)):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())
    for one, wanted in zip(learned, of_learned, strict=True):
        # sums over 500 numbers, of which one is infinite
        assert not torch.isfinite(wanted).all()
        np.testing.assert_allclose(one.grad.numpy(), wanted.numpy(), rtol=500 * EPSILON[dtype])


def test_a_learned_slope_has_the_gradient_of_its_definition() -> None:
    module = ActivationSlice({"name": "prelu", "slope": 0.25}, 3, torch.float64)
    z = torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    above = torch.linspace(-1, 2, 108, dtype=torch.float64).view_as(z)
    module.slope.grad = torch.zeros_like(module.slope)  # type: ignore[union-attr]
    run = Run(module, (0, 3))
    run.forward(z, h := torch.empty_like(z), derive=True)
    run.backward(above.clone(), z, h)
    expected = (above * z * (z < 0)).sum(dim=(1, 2))
    torch.testing.assert_close(module.slope.grad.flatten(), expected)  # type: ignore[union-attr]


def test_the_study_s_own_activations_are_all_derived_by_hand() -> None:
    swept = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu")
    assert {ACTIVATIONS[name].function for name in swept} <= set(RULES)


def test_fewer_samples_than_there_is_memory_for_give_what_the_modules_give() -> None:
    network, data = stack(cells("gelu", width=7, depth=4, seeds=3))
    step = Step(network, 40)
    for count in (1, 40, 13):
        inputs, _ = data.train.at(torch.arange(count).expand(3, -1))
        with torch.no_grad():
            expected = network(inputs)
        torch.testing.assert_close(step.forward(inputs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("width", [16, 13])
def test_parameters_in_one_tensor_are_updated_as_each_alone(name: str, width: int) -> None:
    pack = cells("prelu", width=width, depth=3, seeds=2, batch_size=8)
    networks = [stack(pack)[0] for _ in range(2)]
    _, data = stack(pack)
    for network, joined in zip(networks, (True, False), strict=True):
        groups = network.parameter_groups(0.1)
        optimizer = OPTIMIZERS[name].function(network.join(groups) if joined else groups, 0.05)
        step = Step(network, 8)
        for number in range(3):
            step(*data.batch(number))
            optimizer.step()
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        if width == 16:
            assert torch.equal(one, other)
        else:
            # the last few numbers of a tensor are rounded apart from whole vectors
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_joining_changes_no_parameter_and_what_an_optimizer_does_arrives() -> None:
    network, _ = stack(cells("prelu", width=5, depth=3, seeds=2))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    groups = network.join(network.parameter_groups(0.5))
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    for parameter, value in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        parameter.grad.fill_(1.0)  # type: ignore[union-attr]
    torch.optim.SGD([{**group, "weight_decay": 0.0} for group in groups], lr=0.25).step()
    for parameter, value in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, value - 0.25)


def test_a_cell_of_nan_leaves_its_neighbours_gradients_bit_for_bit() -> None:
    pack = cells("tanh", width=16, depth=3, seeds=3)
    (network, data), (sick, _) = stack(pack), stack(pack)
    with torch.no_grad():
        next(sick.each_layer()).linear.weight[1] = torch.nan
    batch = data.batch(0)
    losses = [Step(one, 32)(*batch) for one in (network, sick)]
    assert torch.isnan(losses[1]).tolist() == [False, True, False]
    for healthy, other in zip(network.parameters(), sick.parameters(), strict=True):
        assert torch.equal(healthy.grad[::2], other.grad[::2])  # type: ignore[index]


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_one_weight_that_is_not_finite_is_seen_and_weights_of_1e38_are_finite(bad: float) -> None:
    network, _ = stack(cells("relu", width=8, depth=3, seeds=3))
    step = Step(network, 1)
    with torch.no_grad():
        list(network.each_layer())[1].linear.weight[0] = 3e38
        assert step.weights_finite().tolist() == [True, True, True]
        list(network.each_layer())[2].linear.weight[1, 3, 2] = bad
    assert step.weights_finite().tolist() == [True, False, True]


@pytest.mark.parametrize("activation", ["relu", "gelu", "prelu"])
@pytest.mark.parametrize("data", ["digits", "diabetes"])
def test_a_recorded_step_gives_other_batches_their_own_gradients(
    activation: str, data: str
) -> None:
    # a trace that knows tensors only, as a CUDA graph does: it would repeat the first batch's numbers
    # were any of them looked at while it was made
    network, batches = stack(cells(activation, data=data, width=8, depth=3, seeds=2, batch_size=8))
    step = Step(network, 8)
    places, losses = batches.order[0].clone(), torch.zeros(2)

    def operations() -> None:
        losses.copy_(step(*batches.train.at(places)))

    recorded = make_fx(operations)()
    for number in range(1, 4):
        places.copy_(batches.order[number])
        with torch.no_grad():
            recorded()
        got = losses.clone(), [p.grad.clone() for p in network.parameters()]  # type: ignore[union-attr]
        operations()
        assert torch.equal(got[0], losses)
        for gradient, parameter in zip(got[1], network.parameters(), strict=True):
            assert torch.equal(gradient, parameter.grad)  # type: ignore[arg-type]


def test_on_a_gpu_operations_are_recorded_once_and_only_where_there_are_steps_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    class Graph:
        def replay(self) -> None:
            calls.append("replay")

    class Aside:
        def __enter__(self) -> None:
            calls.append("enter")

        def __exit__(self, *_error: object) -> None:
            calls.append("exit")

        def wait_stream(self, _other: Any) -> None:
            calls.append("wait")

    for name in ("current_stream", "Stream"):
        monkeypatch.setattr(torch.cuda, name, Aside)
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: Aside())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda _graph: Aside())
    few = Replay(lambda: calls.append("run"), torch.device("cuda"), 1)
    assert calls == []
    few()
    assert calls == ["run"]
    calls.clear()
    many = Replay(lambda: calls.append("run"), torch.device("cuda"), 500)
    # beside the main stream, which waits before and after; then once while it is recorded
    assert calls == ["wait", "enter", *["run"] * 3, "exit", "wait", "enter", "run", "exit"]
    calls.clear()
    many()
    assert calls == ["replay"]


@pytest.mark.parametrize("data", ["digits", "diabetes"])
def test_samples_made_ready_at_once_and_batch_by_batch_are_the_same(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = cells("relu", data=data, seeds=3)
    ready = stack(pack)[1]
    assert ready.train._ready is not None
    monkeypatch.setattr(pack_data, "READY_BYTES", 0)
    later = stack(pack)[1]
    assert later.train._ready is None
    for number in range(3):
        for one, other in zip(ready.batch(number), later.batch(number), strict=True):
            assert torch.equal(one, other)


def test_data_are_taken_again_only_by_a_pack_of_the_same_seeds_and_batches() -> None:
    shared = cells("relu", data="digits")[0].settings
    first = data_of(shared, [0, 1], torch.float32, CPU)
    assert data_of({**shared, "depth": 7, "seed": 1}, [0, 1], torch.float32, CPU) is first
    others = [
        data_of(shared, [1, 0], torch.float32, CPU),
        data_of(shared, [0, 1], torch.float64, CPU),
        *(
            data_of({**shared, key: value}, [0, 1], torch.float32, CPU)
            for key, value in (
                ("steps", 7),
                ("batch_size", 3),
                ("probe", {"steps": 20, "samples": 5}),
                ("data", {**shared["data"], "label_noise": 0.5}),
            )
        ),
    ]
    assert all(other is not first for other in others)


@pytest.mark.parametrize(("dtype", "units"), [(torch.float32, 2.0), (torch.float64, 2.0)])
def test_tanh_is_right_to_two_units_in_the_last_place_down_to_the_smallest(
    dtype: torch.dtype, units: float
) -> None:
    least = -37 if dtype == torch.float32 else -300
    sizes = torch.logspace(least, 1.5, 20_000, dtype=torch.float64).to(dtype)
    z = torch.cat([sizes, -sizes])
    exact = np.tanh(z.numpy().astype(np.longdouble))
    spacing = np.spacing(np.abs(exact).astype(z.numpy().dtype))
    assert (np.abs(tanh(z).numpy() - exact) <= units * spacing).all()
    assert torch.equal(tanh(-z), -tanh(z))


@pytest.mark.parametrize(("name", "slope"), [("centred_sigmoid", 0.25), ("bipolar_sigmoid", 0.5)])
def test_a_sigmoid_around_0_is_linear_near_it_to_the_last_digit(name: str, slope: float) -> None:
    # of 1e-9 the difference of a sigmoid and one half would keep seven digits of sixteen; z³/12 is 1e-28
    z = torch.tensor([1e-9, -1e-9, 1e-200], dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name].function(z), slope * z, rtol=1e-15, atol=0.0)


def test_tanh_has_its_first_and_second_derivative() -> None:
    z = torch.linspace(-3, 3, 24, dtype=torch.float64).view(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(tanh, z)
    assert torch.autograd.gradgradcheck(tanh, z)
