"""What each task measures follows the law it is about, on small cases worked out apart from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch

from study.execution import exact_arithmetic
from study.tasks import (
    TASKS,
    Row,
    backprop_factors,
    linear_product,
    networks,
    rescaling,
    start_rules,
    tanh_identity,
    timing,
)


def run(name: str, **parameters: Any) -> list[Row]:
    """Return the rows of a task with these parameters, as `study.measuring` runs it."""
    with exact_arithmetic("cpu"):
        return list(TASKS[name].function("cpu", **parameters))


def chosen(rows: Iterable[Row], quantity: str, **subject: Any) -> list[Row]:
    """Return the rows of one quantity whose subjects hold these values."""
    found = [
        row
        for row in rows
        if row.quantity == quantity and subject.items() <= dict(row.subject).items()
    ]
    assert found, (quantity, subject)
    return found


def value(rows: Iterable[Row], quantity: str, **subject: Any) -> float:
    [row] = chosen(rows, quantity, **subject)
    return row.value


SMALL: dict[str, dict[str, Any]] = {
    "activation_timing": {"repeats": 2, "largest": 2**10},
    "backprop_cost": {"repeats": 2, "widest": 16},
    "backprop_factors": {"deepest": 4},
    "linear_product": {"seeds": 1, "width": 8},
    "rescaling": {"seeds": 2, "width": 16},
    "start_cost": {"repeats": 1, "width": 4, "epochs": 1},
    "start_rules": {"seeds": 1},
    "tanh_identity": {"points": 2**12},
}


def test_every_task_is_tested_here() -> None:
    assert set(SMALL) == set(TASKS)


@pytest.mark.parametrize("name", SMALL)
def test_a_task_yields_finite_numbers_each_told_apart_from_every_other(name: str) -> None:
    rows = run(name, **SMALL[name])
    assert all(math.isfinite(row.value) and row.unit for row in rows)
    apart = {(tuple(sorted(row.subject.items())), row.quantity, row.repeat) for row in rows}
    assert len(apart) == len(rows)
    # SQL reads a key of the subject in every row of a quantity, or in none
    keys: dict[str, set[frozenset[str]]] = {}
    for row in rows:
        keys.setdefault(row.quantity, set()).add(frozenset(row.subject))
    if name != "start_cost":  # epochs are those of one start alone
        assert all(len(found) == 1 for found in keys.values())


def test_the_note_s_counts_are_those_of_its_network_with_the_derivative_written_out() -> None:
    """(o − t)·o·(1 − o)·h for the last weight, and (o − t)·o·(1 − o)·w·h·(1 − h)·x for the one before."""
    rows = run("backprop_factors", deepest=2)
    note = {"activation": "sigmoid", "output": "sigmoid", "derivative": "split", "depth": 2}
    assert value(rows, "factors", **note, layer=2) == 4
    assert value(rows, "activation derivatives", **note, layer=2) == 2
    assert value(rows, "factors", **note, layer=1) == 7
    assert value(rows, "activation derivatives", **note, layer=1) == 4
    assert value(rows, "weights", **note, layer=1) == 1


def test_with_a_derivative_as_one_factor_they_are_always_less_than_half() -> None:
    rows = run("backprop_factors", deepest=12)
    for depth in range(2, 13):
        for output, derivatives in (("sigmoid", depth), ("identity", depth - 1)):
            subject = {"activation": "sigmoid", "output": output, "derivative": "whole"}
            subject |= {"depth": depth, "layer": 1}
            counts = [
                value(rows, quantity, **subject)
                for quantity in ("activation derivatives", "weights", "inputs", "loss", "factors")
            ]
            assert counts == [derivatives, depth - 1, 1, 1, derivatives + depth + 1]
            assert counts[0] < counts[-1] / 2
            split = value(rows, "factors", **subject | {"derivative": "split"})
            assert split == counts[-1] + derivatives


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("depth", [2, 5, 400])
def test_the_factors_that_are_counted_multiply_to_the_gradient(activation: str, depth: int) -> None:
    layers, loss = backprop_factors.chain(activation, "identity", depth)
    last = layers[-1].weight
    weight = layers[0].weight if depth < 400 else layers[-2].weight  # nothing underflows
    for one in (weight, last):
        product = math.prod(factor for *_, factor in backprop_factors.factors(loss, one))
        [gradient] = torch.autograd.grad(loss, [one], retain_graph=True)
        assert product == pytest.approx(float(gradient), rel=1e-13)
    assert len(backprop_factors.factors(loss, layers[0].weight)) == 2 * depth


def test_flops_are_those_of_the_matrix_products() -> None:
    rows = run("backprop_cost", repeats=1, depth=3, narrowest=8, widest=16)
    for width in (8, 16):
        first, rest = 64 * width, width * width + width * 10
        for passes, products in (
            ("forward", first + rest),
            # no gradient of the inputs is asked for
            ("forward and backward", 2 * first + 3 * rest),
        ):
            subject = {"width": width, "pass": passes}
            assert value(rows, "flops", **subject) == 2 * 128 * products
            parameters = first + width + width * width + width + width * 10 + 10
            assert chosen(rows, "time", **subject)[0].subject["parameters"] == parameters


def test_timed_calls_take_turns_and_give_the_seconds_of_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that only the calls move."""
    now = 0.0
    calls: dict[str, int] = dict.fromkeys(("slow", "fast"), 0)

    def takes(name: str, seconds: float) -> Callable[[], None]:
        def work() -> None:
            nonlocal now
            now += seconds
            calls[name] += 1

        return work

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    found = list(
        timing.seconds({"slow": takes("slow", 0.5), "fast": takes("fast", 0.25)}, 8, least=1.0)
    )
    assert sorted((key, repeat) for key, repeat, _ in found) == [
        (key, repeat) for key in ("fast", "slow") for repeat in range(8)
    ]
    assert {key: seconds for key, _, seconds in found} == {"slow": 0.5, "fast": 0.25}
    rounds = [tuple(key for key, *_ in found[first : first + 2]) for first in range(0, 16, 2)]
    assert set(rounds) == {("slow", "fast"), ("fast", "slow")}
    # to warm up, to find how often a second needs, and then that often
    assert calls == {"slow": 1 + 1 + 2 + 8 * 2, "fast": 1 + 1 + 2 + 4 + 8 * 4}


def test_activations_are_timed_on_what_they_compute() -> None:
    from study.tasks.activation_timing import _functions

    z = torch.randn(100, generator=torch.Generator().manual_seed(0))
    expected = {
        "sigmoid": 1 / (1 + torch.exp(-z)),
        "tanh": torch.tanh(z.double()).float(),
        "relu": torch.where(z > 0, z, 0.0),
        "leaky_relu": torch.where(z > 0, z, 0.01 * z),
        "gelu": z * 0.5 * (1 + torch.erf(z / math.sqrt(2))),
        "silu": z / (1 + torch.exp(-z)),
    }
    functions = _functions()
    assert set(functions) == set(expected)
    for name, (function, out) in functions.items():
        room = torch.empty_like(z)
        out(z, room)
        torch.testing.assert_close(function(z), expected[name])
        torch.testing.assert_close(room, expected[name])


def test_rescaled_networks_are_one_function_with_other_gradients() -> None:
    rows = run("rescaling", seeds=10)
    for depth in rescaling.DEPTHS:
        found = chosen(rows, "relative difference of outputs", depth=depth)
        assert [row.repeat for row in found] == list(range(10))
        # a rounding for every term of a sum, of layers that neither grow nor shrink; ten of their spread
        assert max(row.value for row in found) < 10 * depth * math.sqrt(64) * 2.0**-52
        ratios = {
            network: np.array(
                [row.value for row in chosen(rows, "gradient ratio", depth=depth, network=network)]
            )
            for network in ("plain", "rescaled")
        }
        assert np.abs(ratios["rescaled"] - ratios["plain"]).max() > 1.0


def test_a_rescaling_moves_the_gradient_ratio_by_its_factors() -> None:
    """Signals of layer l times c have gradients divided by it."""
    layers = networks.drawn("he_normal", "relu", 5, 16, 3)
    factors = np.array([1e-3, 2.0, 7.0, 1e4])
    outputs, ratios = rescaling._both([layers, rescaling.rescaled(layers, factors)], 3)
    assert ratios[1] - ratios[0] == pytest.approx(math.log10(factors[-1] / factors[0]), abs=1e-9)
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-10, atol=1e-10)


def test_identity_networks_are_their_product_up_to_the_bound_of_rounding() -> None:
    rows = run("linear_product", seeds=3, width=24)
    for row in chosen(rows, "relative difference of outputs"):
        [bound] = [
            one.value
            for one in chosen(rows, "rounding bound", **row.subject)
            if one.repeat == row.repeat
        ]
        assert 0 < row.value <= bound < 1e-9


def test_the_bound_holds_what_exact_arithmetic_says() -> None:
    """The same in rational numbers; half of the bound is each way's own part, give or take."""
    from fractions import Fraction

    layers = networks.drawn("torch_default", "identity", 3, 4, 1)
    layers = [(layers[0][0][:, :3], layers[0][1]), *layers[1:]]
    inputs = np.random.default_rng(0).standard_normal((2, 3))
    exact = [[Fraction(x) for x in row] for row in inputs]
    for weight, bias in layers:
        exact = [
            [
                sum((Fraction(w) * x for w, x in zip(unit, row, strict=True)), Fraction(b))
                for unit, b in zip(weight, bias, strict=True)
            ]
            for row in exact
        ]
    weight, bias = linear_product.product(layers)
    found = inputs @ weight.T + bias
    bound = linear_product.rounding_bound(layers, inputs)
    for sample in range(2):
        missed = math.sqrt(
            sum(
                float(Fraction(x) - y) ** 2
                for x, y in zip(found[sample], exact[sample], strict=True)
            )
        )
        assert missed <= bound[sample] < 1e-12


def test_tanh_is_the_scaled_sigmoid_to_rounding_in_both_formats() -> None:
    rows = run("tanh_identity", points=2**16)
    assert len(chosen(rows, "largest difference")) == 2 * 3
    for row in chosen(rows, "largest difference"):
        assert 0 < row.value <= tanh_identity.ROUNDING_BOUND
    # near 0 the difference is some eps, and a last place is small as x itself
    places = chosen(rows, "largest difference in last places", grid="logarithmic to 1")
    assert min(row.value for row in places) > 1e6


@pytest.mark.parametrize(("fan_in", "fan_out"), [(3, 5), (8, 2), (7, 7)])
def test_the_rules_are_the_formulas_of_their_sources(fan_in: int, fan_out: int) -> None:
    found = {(rule, by): (mean, std) for rule, by, mean, std in start_rules.rules(fan_in, fan_out)}
    assert found["xavier", "published"] == (0, pytest.approx((2 / (fan_in + fan_out)) ** 0.5))
    assert found["he", "published"] == (0, pytest.approx((2 / fan_in) ** 0.5))
    assert found["xavier", "lecture"] == (0, pytest.approx(fan_in**-0.5))
    assert found["he", "lecture"] == pytest.approx(found["he", "published"])
    # Xavier as the lecture has it is Glorot's where the layer is square
    square = found["xavier", "lecture"][1] == pytest.approx(found["xavier", "published"][1])
    assert square == (fan_in == fan_out)
    # the note to the letter, drawn
    random = np.random.default_rng(0)
    numbers = random.uniform(min(fan_in, fan_out), max(fan_in, fan_out), 100_000)
    for rule, divisor in (("xavier", fan_in**0.5), ("he", (fan_in / 2) ** 0.5)):
        mean, deviation = found[rule, "note"]
        drawn = numbers / divisor
        # five standard errors; a uniform distribution's fourth moment is 1.8 σ⁴
        error = 5 / math.sqrt(len(drawn))
        # and what rounding leaves where all numbers are one
        assert abs(drawn.mean() - mean) <= error * deviation + 1e-12
        assert abs(drawn.std() - deviation) <= error * deviation + 1e-12


def test_the_study_draws_what_was_published() -> None:
    rows = run("start_rules", seeds=4)
    for init, rule in (("xavier_normal", "xavier"), ("he_normal", "he"), ("he_uniform", "he")):
        for fan_in, fan_out in start_rules.FANS:
            fans = {"fan_in": fan_in, "fan_out": fan_out}
            expected = value(rows, "standard deviation", **fans, rule=rule, source="published")
            drawn = chosen(rows, "standard deviation", **fans, rule=init, source="study")
            error = 5 / math.sqrt(2 * fan_in * fan_out)
            assert all(
                abs(row.value / expected - 1) < error + 1 / (fan_in * fan_out) for row in drawn
            )


def test_starts_are_timed_with_their_repeats_and_depths() -> None:
    rows = run("start_cost", repeats=2, width=4, epochs=1)
    assert {row.subject["init"] for row in rows} == {"xavier_normal", "he_normal", "lsuv", "rbm"}
    for row in chosen(rows, "time"):
        assert row.value > 0
        assert row.unit == "s"
    assert len(rows) == 2 * 4 * 3
