"""The theory against closed forms, an independent simulation of Gaussians, and its own laws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special

from study.activations import ACTIVATIONS
from study.errors import SettingError
from study.initializers import INITIALIZERS, Array, LayerDraw
from study.theory import critical_weight_variance, mean_field, predict
from study.theory.dead import dead_share, least_born_dead, most_born_dead
from study.theory.expectation import NotIntegrableError, mean_over_gaussian
from study.theory.field import fixed_point
from study.theory.moments import Phi, moments
from study.theory.pairs import pair_means
from study.theory.starts import variances

Register = Callable[..., None]

SIX = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu")
SLOPES = {"relu": 0.0, "leaky_relu": 0.01, "prelu": 0.25, "identity": 1.0}

sizes = st.floats(-600.0, 600.0)


@given(st.sampled_from(sorted(SLOPES)), sizes)
@settings(deadline=None)
def test_moments_of_the_relu_family_are_its_closed_forms(name: str, log_q: float) -> None:
    a = SLOPES[name]
    found = moments(Phi(name), log_q)
    half = math.log((1 + a**2) / 2)
    assert found.log_square == pytest.approx(half + log_q, abs=1e-10)
    assert found.log_slope == pytest.approx(half, abs=1e-10)
    # He et al. 2015, eq. 14; Hanin & Nica 2018: kappa of ReLU is 2, and 5/n a layer follows from it
    assert found.kurtosis == pytest.approx(2 * (1 + a**4) / (1 + a**2) ** 2, rel=1e-10)


@given(st.floats(-20.0, 6.0))
@settings(deadline=None)
def test_moments_of_sine_are_its_closed_forms(log_q: float) -> None:
    q = math.exp(log_q)
    found = moments(Phi("sine"), log_q)
    assert math.exp(found.log_square) == pytest.approx(-math.expm1(-2 * q) / 2, rel=1e-9)
    assert math.exp(found.log_slope) == pytest.approx((1 + math.exp(-2 * q)) / 2, rel=1e-9)


@given(st.floats(40.0, 600.0))
@settings(deadline=None)
def test_slopes_of_saturated_units_fall_with_the_square_root_of_q(log_q: float) -> None:
    # at large scale all that counts is the integral of the squared slope over z: 4/3 and 1/6
    for name, integral in (("tanh", 4 / 3), ("sigmoid", 1 / 6)):
        expected = math.log(integral) - (math.log(2 * math.pi) + log_q) / 2
        assert moments(Phi(name), log_q).log_slope == pytest.approx(expected, abs=1e-8)


@given(st.floats(-15.0, 15.0), st.booleans())
@example(0.99609375, False)  # between the last node of a piece and its end
@example(-1.9960, False)
@settings(deadline=None)
def test_a_mean_is_right_with_a_kink_anywhere_told_of_or_not(kink: float, told: bool) -> None:
    found = mean_over_gaussian(
        lambda z: np.stack([np.maximum(z - kink, 0), (z > kink).astype(float)]),
        [kink] if told else [0.0],
    )
    density = math.exp(-(kink**2) / 2) / math.sqrt(2 * math.pi)
    tail = float(special.ndtr(-kink))
    # next to the two terms whose difference it is; where nobody told of the kink, two rules may by chance
    # agree on the piece that it is in
    off = 1e-9 if told else 1e-4
    assert found[0] == pytest.approx(density - kink * tail, rel=10 * off, abs=off * density)
    assert found[1] == pytest.approx(tail, rel=10 * off, abs=off)


def test_what_cannot_be_integrated_is_refused() -> None:
    with pytest.raises(NotIntegrableError):
        mean_over_gaussian(lambda z: np.where(z > 0, np.inf, 0.0)[None])
    with pytest.raises(SettingError, match="cannot predict activation=sine at pre-activations of"):
        mean_field("sine", 1e9, depth=3)


def by_sampling(name: str, log_q: float, c: float) -> list[tuple[float, float]]:
    """Return mean and standard error of four products over a million pairs of Gaussians."""
    random = np.random.default_rng(7)
    one, other = random.standard_normal((2, 1_000_000))
    scale = math.exp(log_q / 2)
    u, v = scale * one, scale * (c * one + math.sqrt(1 - c**2) * other)
    z = {
        "sigmoid": lambda x: special.expit(x),
        "tanh": np.tanh,
        "relu": lambda x: np.where(x > 0, x, 0),
        "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
        "prelu": lambda x: np.where(x > 0, x, 0.25 * x),
        "gelu": lambda x: x * special.ndtr(x),
    }[name]
    slope = {
        "sigmoid": lambda x: special.expit(x) * special.expit(-x),
        "tanh": lambda x: 1 / np.cosh(np.clip(x, -300, 300)) ** 2,
        "relu": lambda x: (x > 0) * 1.0,
        "leaky_relu": lambda x: np.where(x > 0, 1, 0.01),
        "prelu": lambda x: np.where(x > 0, 1, 0.25),
        "gelu": lambda x: special.ndtr(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
    }[name]
    products = (z(u) ** 2, slope(u) ** 2, z(u) * z(v), slope(u) * slope(v))
    return [(float(one.mean()), float(one.std() / 1000)) for one in products]


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize("log_q", [-6.0, 0.0, 3.0, 8.0])
@pytest.mark.parametrize("c", [-0.5, 0.3, 0.98])
def test_means_are_those_of_a_million_gaussians(name: str, log_q: float, c: float) -> None:
    single = moments(Phi(name), log_q)
    pair = pair_means(Phi(name), log_q, c)
    predicted = (
        math.exp(single.log_square),
        math.exp(single.log_slope),
        pair[0] * math.exp(log_q),
        pair[1],
    )
    for value, (mean, error) in zip(predicted, by_sampling(name, log_q, c), strict=True):
        # of 288 numbers none is off by five standard errors in 99.98 of 100 cases
        assert abs(value - mean) <= 5 * error + 1e-12 * abs(mean)


@given(st.sampled_from(sorted(SLOPES)), st.floats(-1.0, 1.0), st.floats(-30.0, 30.0))
@settings(deadline=None, max_examples=40)
def test_pairs_of_the_relu_family_follow_the_arc_cosine_kernel(
    name: str, c: float, log_q: float
) -> None:
    # Cho & Saul 2009: φ(u) = (1 + a)/2 u + (1 − a)/2 |u|
    a = SLOPES[name]
    angle = math.acos(c)
    relu = (math.sin(angle) + c * (math.pi - angle)) / (2 * math.pi)
    both = (math.pi - angle) / (2 * math.pi)
    square, slopes, squares = pair_means(Phi(name), log_q, c)
    opposite = (math.sin(math.pi - angle) - c * angle) / (2 * math.pi)
    assert square == pytest.approx((1 + a**2) * relu - 2 * a * opposite, abs=1e-9)
    assert slopes == pytest.approx((1 + a**2) * both + 2 * a * (0.5 - both), abs=1e-9)
    assert squares == pytest.approx((1 + a**4) * both + 2 * a**2 * (0.5 - both), abs=1e-9)


@given(st.sampled_from(sorted(set(ACTIVATIONS) - {"sine"})), st.floats(-10.0, 5.0))
@settings(deadline=None, max_examples=40)
def test_two_equal_samples_are_one(name: str, log_q: float) -> None:
    found = moments(Phi(name), log_q)
    square, slopes, squares = pair_means(Phi(name), log_q, 1.0)
    assert square == pytest.approx(math.exp(found.log_square - log_q), rel=1e-6)
    assert slopes == pytest.approx(math.exp(found.log_slope), rel=1e-6)
    if not math.isnan(found.kurtosis):
        fourth = found.kurtosis * math.exp(2 * found.log_slope)
        assert squares == pytest.approx(fourth, rel=1e-6)


def test_a_relu_network_loses_what_its_weights_miss_of_two() -> None:
    found = mean_field("relu", 1.0, depth=5, q0=3.0)
    np.testing.assert_allclose(found.q, 3 * 0.5 ** np.arange(5), rtol=1e-10)
    np.testing.assert_allclose(found.chi, 0.5, rtol=1e-10)
    assert found.log10_gradient_ratio(1, 5) == pytest.approx(-2 * math.log10(2))
    assert found.log10_gradient_ratio(5, 1) == pytest.approx(2 * math.log10(2))
    np.testing.assert_allclose(found.log10_gradient, -math.log10(2) / 2 * np.arange(4, -1, -1))


def test_widths_and_the_readout_count_by_what_feeds_the_gradient() -> None:
    found = mean_field("relu", [2.0, 2.0, 1.0], widths=[40, 64, 32, 10])
    np.testing.assert_allclose(found.chi, [2 / 2 * 32 / 64, 1 / 2 * 10 / 32, 1 / 2], rtol=1e-10)


def test_numbers_beyond_float64_stay_logarithms() -> None:
    found = mean_field("relu", 1e8, depth=200)
    assert found.log_q[-1] == pytest.approx(200 * math.log(1e8) - 199 * math.log(2))
    assert np.isinf(found.q[-1])
    assert found.log10_gradient_ratio(1, 200) == pytest.approx(199 / 2 * math.log10(5e7))


@given(st.sampled_from(SIX), st.floats(0.01, 30.0), st.floats(0.0, 2.0), st.floats(0.01, 10.0))
@settings(deadline=None, max_examples=60)
def test_the_fixed_point_is_where_many_layers_lead(
    name: str, weight: float, bias: float, q0: float
) -> None:
    phi = Phi(name)
    log_q = fixed_point(phi, weight, bias, q0)
    deep = mean_field(name, weight, bias, depth=400, q0=q0)
    before, after = deep.log_q[-2:]
    if math.isinf(log_q):
        assert (after > before) == (log_q > 0) or abs(after - before) < 1e-6
    elif abs(after - before) < 1e-9:
        # next to a critical point it creeps
        assert after == pytest.approx(log_q, abs=1e-3)
    else:
        assert (after < before) == (log_q < before)


@pytest.mark.parametrize(
    ("name", "bias", "expected"),
    [
        ("relu", 0.0, 2.0),
        ("leaky_relu", 0.0, 2 / (1 + 0.01**2)),
        ("prelu", 0.0, 2 / (1 + 0.25**2)),
        ("identity", 0.0, 1.0),
        ("tanh", 0.0, 1.0),
        # tanh of half of z, and half of that again
        ("bipolar_sigmoid", 0.0, 4.0),
        ("centred_sigmoid", 0.0, 16.0),
        ("tanh", 0.05, 1.76),  # Schoenholz et al. 2017, figure 5
        ("relu", 0.1, None),
        ("gelu", 0.0, None),
        ("silu", 0.0, None),
        ("sign", 0.0, None),
    ],
)
def test_critical_weight_variances(name: str, bias: float, expected: float | None) -> None:
    found = critical_weight_variance(name, bias)
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-3 if bias else 1e-9)


@pytest.mark.parametrize("name", [*SIX, "sine", "centred_sigmoid", "bipolar_sigmoid"])
@pytest.mark.parametrize("bias", [0.0, 0.05, 0.5])
def test_at_the_critical_variance_gradients_keep_their_size(name: str, bias: float) -> None:
    variance = critical_weight_variance(name, bias)
    if variance is None:
        return
    assert mean_field(name, variance, bias, depth=4).chi_star == pytest.approx(1.0, abs=1e-5)


def test_depth_scales_of_the_two_phases_of_tanh() -> None:
    # Schoenholz et al. 2017: at ordered points both are those of χ at the fixed point
    ordered = mean_field("tanh", 1.0, 0.05, depth=9)
    assert ordered.c_star == 1.0
    assert ordered.xi_correlation == pytest.approx(ordered.xi_gradient, rel=1e-6)
    assert ordered.xi_gradient == pytest.approx(-1 / math.log(ordered.chi_star))
    chaotic = mean_field("tanh", 4.0, 0.05, depth=9)
    assert chaotic.xi_gradient < 0
    assert 0 < chaotic.c_star < 1
    assert chaotic.xi_correlation > 0
    deep = mean_field("tanh", 4.0, 0.05, depth=120)
    assert deep.collapse(0.9, 1000)[-1] == pytest.approx(
        1 / 1000 + 0.999 * chaotic.c_star, rel=1e-6
    )
    assert mean_field("relu", 2.0, depth=9).xi_correlation == math.inf


def test_the_gradient_of_relu_spreads_by_five_over_n_a_layer() -> None:
    found = mean_field("relu", 2.0, depth=33, widths=[40, *[1000] * 32, 10])
    spread = found.log10_spread(1, 33) * 2 * math.log(10)
    assert spread**2 == pytest.approx(32 * math.log1p(5 / 1000))
    # what a batch shares spreads less than one of its samples, and no less than all the same sample
    batch = found.log10_spread(1, 33, samples=128, first=0.3) * 2 * math.log(10)
    same = found.log10_spread(1, 33, samples=128, first=1.0) * 2 * math.log(10)
    assert batch < same <= spread


def test_dead_units_are_as_many_as_gaussians_that_are_all_below_zero() -> None:
    found = mean_field("relu", 2.0, depth=4, widths=[40, 64, 64, 64, 10])
    share = dead_share(found, first=0.5, samples=20)
    random = np.random.default_rng(1)
    for layer, correlation in enumerate(found._correlations((0.5 - 1 / 20) / (1 - 1 / 20))[:-1]):
        shared = random.standard_normal((100_000, 1))
        z = math.sqrt(correlation) * shared
        z = z + math.sqrt(1 - correlation) * random.standard_normal((100_000, 20))
        dead = float((z <= 0).all(axis=1).mean())
        assert abs(dead - share[layer]) <= 5 * math.sqrt(share[layer] / 100_000)
    assert (np.diff(share) > 0).all()
    with pytest.raises(SettingError, match="those of relu"):
        dead_share(mean_field("tanh", 2.0, depth=4), 0.5, 20)


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("depth", [3, 6, 12])
def test_networks_of_one_input_are_born_dead_between_the_bounds(width: int, depth: int) -> None:
    random = np.random.default_rng(width * 100 + depth)
    networks = 4000
    h = np.broadcast_to(np.array([[1.0], [-1.0]]), (networks, 2, 1))
    for _ in range(depth - 1):
        weights = random.standard_normal((networks, h.shape[2], width))
        h = np.maximum(h @ weights, 0.0)
    dead = float((h == 0).all(axis=(1, 2)).mean())
    error = 4 * math.sqrt(dead * (1 - dead) / networks)
    assert least_born_dead(width, depth) - error <= dead <= most_born_dead(width, depth) + error


@pytest.mark.parametrize(
    ("name", "fans", "expected"),
    [
        ("he_normal", (64, 32), 2.0),
        ("he_uniform", (64, 32), 2.0),
        ("lecun_normal", (64, 32), 1.0),
        ("xavier_normal", (64, 32), 2 * 64 / 96),
        ("xavier_uniform", (64, 32), 2 * 64 / 96),
        ("torch_default", (64, 32), 1 / 3),
        ("normal_small", (64, 32), 64e-4),
        ("normal_unit", (64, 32), 64.0),
        ("orthogonal", (64, 64), 1.0),
        ("orthogonal", (64, 32), 1.0),
        ("orthogonal", (32, 64), 0.5),
        ("zeros", (64, 32), 0.0),
        ("critical", (64, 32), 2.0),
    ],
)
def test_initializers_have_the_variance_they_name(
    name: str, fans: tuple[int, int], expected: float
) -> None:
    entry = INITIALIZERS[name]
    chosen = f'[{{"name": "{name}"{_keywords(entry.parameters)}}}, {{"name": "relu"}}]'
    weight, bias = variances(chosen, *fans, 2, 4)
    # quantiles stand for the tails of a uniform draw to 1e-4
    assert weight == pytest.approx(expected, rel=1e-3)
    assert bias == pytest.approx(1 / (3 * fans[0]) if name == "torch_default" else 0.0, rel=0.05)


def _keywords(parameters: dict[str, float]) -> str:
    return "".join(f', "{key}": {value}' for key, value in parameters.items())


def test_a_network_is_predicted_from_its_settings() -> None:
    network = {
        "depth": 4,
        "width": 32,
        "bias": True,
        "activation": {"name": "tanh"},
        "init": {"name": "xavier_normal", "gain": 1.0},
    }
    found = predict(network, inputs=40, outputs=10)
    expected = [2 * 40 / 72, 1.0, 1.0, 2 * 32 / 42]
    np.testing.assert_allclose(found.weight_variance, expected, rtol=1e-9)
    assert found.widths == (40, 32, 32, 32, 10)
    with pytest.raises(SettingError, match=r"mean of its weights is 0\.1"):
        predict({**network, "init": {"name": "constant", "value": 0.1}}, inputs=40, outputs=10)


def test_an_initializer_of_one_s_own_may_treat_every_layer_apart(register: Register) -> None:
    def by_layer(draw: LayerDraw) -> Array:
        return math.sqrt(2 / draw.fan_in) / draw.layer * draw.weight

    register(INITIALIZERS, by_layer)
    network = {
        "depth": 6, "width": 16, "bias": True, "activation": {"name": "relu"},
        "init": {"name": "by_layer"},
    }  # fmt: skip
    found = predict(network, inputs=40, outputs=10)
    np.testing.assert_allclose(found.weight_variance, 2 / np.arange(1, 7) ** 2, rtol=1e-9)


@pytest.mark.parametrize("name", ["he_normal", "xavier_uniform", "torch_default", "orthogonal"])
@pytest.mark.parametrize(("width", "outputs"), [(1, 3), (2, 1), (5, 1)])
def test_the_narrowest_networks_are_predicted_too(name: str, width: int, outputs: int) -> None:
    network = {
        "depth": 4, "width": width, "bias": True, "activation": {"name": "relu"},
        "init": {"name": name, **INITIALIZERS[name].parameters},
    }  # fmt: skip
    found = predict(network, inputs=10, outputs=outputs)
    expected = {"he_normal": 2.0, "xavier_uniform": 1.0, "torch_default": 1 / 3, "orthogonal": 1.0}
    assert found.weight_variance[1] == pytest.approx(expected[name], rel=0.01)
    bias = 1 / (3 * width) if name == "torch_default" else 0.0
    assert found.bias_variance[-1] == pytest.approx(bias, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"activation": {"name": "leaky_relu", "slop": 0.1}}, "its arguments are negative_slope"),
        ({"weight_variance": -1.0}, "weight_variance=-1.0: it must be finite and at least 0"),
        ({"weight_variance": math.nan}, "it must be finite"),
        ({"weight_variance": [1.0, 2.0]}, "2 values of weight_variance: depth=3 needs"),
        ({"weight_variance": "two"}, "it must be a number"),
        ({"bias_variance": math.inf}, "bias_variance=inf"),
        ({"q0": -1.0}, "q0=-1.0"),
        ({"depth": 0}, "depth=0: it must be a whole number from 1 on"),
        ({"depth": 2.5}, "depth=2.5"),
        ({"depth": None}, "give depth"),
        ({"widths": [1, 2]}, "4 numbers from 1 on are needed"),
        ({"widths": [1, 2, 0, 1]}, "4 numbers from 1 on are needed"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments: dict, message: str) -> None:
    good = {"activation": "relu", "weight_variance": 2.0, "depth": 3}
    with pytest.raises(SettingError) as refused:
        mean_field(**{**good, **arguments})
    assert message in str(refused.value)
    assert str(refused.value).count(". ") == 0


def test_layers_and_samples_that_there_are_not_are_refused() -> None:
    found = mean_field("relu", 2.0, depth=3, widths=[4, 8, 8, 2])
    for call in (
        lambda: found.log10_gradient_ratio(0, 2),
        lambda: found.log10_gradient_ratio(1, 4),
        lambda: found.collapse(1.5, 10),
        lambda: found.collapse(0.5, 1),
        lambda: found.log10_spread(1, 2, samples=8),
        lambda: mean_field("relu", 2.0, depth=3).log10_spread(1, 2),
    ):
        with pytest.raises(SettingError, match="cannot predict"):
            call()


@pytest.mark.parametrize(("key", "value"), [("norm", "batch"), ("norm", "layer"), ("dropout", 0.1)])
def test_networks_with_normalization_or_dropout_are_not_predicted(key: str, value: object) -> None:
    plain = {
        "depth": 4, "width": 8, "bias": True,
        "activation": {"name": "relu"}, "init": {"name": "he_normal", "gain": 2**0.5},
    }  # fmt: skip
    neutral = {"norm": "none", "dropout": 0.0}
    told = [predict(one, 8, 2).log10_gradient_ratio(1, 3) for one in (plain, {**plain, **neutral})]
    assert told[0] == told[1]
    with pytest.raises(SettingError, match=rf"cannot predict {key}={value}: the theory speaks of"):
        predict({**plain, key: value}, 8, 2)
