"""Invented records in which the claims about activations are true, false and undecidable."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from analysis.ledger.select import ORDINARY
from tests.claims.synthetic import Invented, learning, noise, seeds

Measured = list[dict[str, Any]]

PROBE = {"steps": 8, "samples": 256}

TRAINED = {"steps": 200, "probe": PROBE}

RATES = (0.1, 1.0)


def crossed(**axes: Any) -> list[dict[str, Any]]:
    """Return conditions: every combination of the values of some axes."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def conditions(fixed: dict[str, Any], **axes: Any) -> list[dict[str, Any]]:
    """Return `crossed` conditions with some settings that all of them have."""
    return [{**fixed, **one} for one in crossed(**axes)]


def wobble(name: str, scale: float, seed: int, count: int = 10) -> float:
    """Return a number of mean 0 over the seeds for evidence; 0 for those that choose rates."""
    return float(noise(name, scale, count)[seed]) if seed < count else 0.0


def with_layers(
    settings: Iterable[dict[str, Any]],
    quantities: Callable[[dict[str, Any], int], Callable[[int, int], dict[str, float]]],
    score: Callable[[dict[str, Any], int], float] | None = None,
    rates: Sequence[float] = RATES,
    **more: Any,
) -> list[Invented]:
    """Return trained networks of all seeds, at the first rate as they are, at the others at chance."""
    found = []
    for condition, rate in itertools.product(settings, rates):
        for seed in [*seeds(), *seeds(3, 1000)]:
            reached = score(condition, seed) if score and rate == rates[0] else 0.1
            scores = {f"final_{one}_accuracy": reached for one in ("train", "validation", "test")}
            own = {**condition, "optim": {"name": "sgd", **condition.get("optim", {}), "lr": rate}}
            layers = quantities(own, seed)
            found.append(Invented(own, seed, layers, scores, **more))
    return found


def a1(truth: str, gap: float | None = None) -> list[Invented]:
    share = {"supported": 0.5, "refuted": 0.2, "inconclusive": 0.45}[truth]
    relu = {"supported": -0.06, "refuted": 0.02, "inconclusive": -0.05}[truth]
    relu = relu if gap is None else gap
    spread = 0.08 if truth == "inconclusive" else 0.02

    def active(condition: dict[str, Any], seed: int) -> Callable[[int, int], dict[str, float]]:
        # the output layer has no share that counts
        own = share + wobble("a1", spread, seed)
        return lambda layer, _step: {"active_share": own if layer < condition["depth"] else 1.0}

    start = [
        Invented(one, seed, active(one, seed))
        for one in conditions(
            {"steps": 0}, activation=["relu"], init=ORDINARY, depth=[4, 8, 16, 32]
        )
        for seed in seeds()
    ]
    trained = with_layers(
        conditions(TRAINED, activation=["relu"], init=ORDINARY, depth=[2, 3, 8, 32]),
        active,
        lambda _condition, _seed: 0.4,
    )
    small = {"steps": 500, "data": {"name": "mnist1d", "train_size": 500}, "depth": 3,
             "init": "he_normal", "probe": {"steps": 4, "samples": 256}}  # fmt: skip
    effects = {("tanh", 0.0): 0.0, ("tanh", 0.5): -0.1, ("relu", 0.0): relu, ("relu", 0.5): -0.2}
    gaps = learning(
        lambda _condition, _seed: 0.4,
        conditions(small, activation=["tanh", "relu"], dropout=[0.0, 0.5]),
        RATES,
        0.1,
    )
    for one in gaps:
        side = one.settings["activation"], one.settings["dropout"]
        noisy = wobble(f"{side}", 0.01, one.seed)
        one.scores["final_train_accuracy"] = one.scores["final_test_accuracy"] + 0.3 + effects[side]
        one.scores["final_train_accuracy"] += noisy
    return [*start, *trained, *gaps]


def a2(truth: str, swapped: bool = False) -> tuple[list[Invented], Measured]:
    factor = {"supported": 6.0, "refuted": 1.2, "inconclusive": 3.0}[truth]
    rows = []
    ways = (("forward", "new"), ("forward", "given"), ("forward and backward", "new"))
    for (passes, memory), size, repeat in itertools.product(ways, (2**10, 2**18), range(15)):
        times = {"relu": 1e-6, "sigmoid": 1e-6 * factor, "tanh": 2e-6}
        if swapped:
            times["relu"], times["sigmoid"] = times["sigmoid"], times["relu"]
        for name, time in times.items():
            subject = {"activation": name, "size": size, "pass": passes, "memory": memory,
                       "device": "cpu"}  # fmt: skip
            value = time * size * (1 + 0.02 * noise(f"{name}{size}", 1.0, 15)[repeat])
            rows.append({"task": "activation_timing", "subject": subject, "quantity": "time",
                         "repeat": repeat, "value": value, "unit": "s"})  # fmt: skip
    return [], rows


def falling(
    speed: Callable[[dict[str, Any], int], float],
    settings: Iterable[dict[str, Any]],
    updates: int,
    quantities: Callable[[dict[str, Any], int], Callable[[int, int], dict[str, float]]]
    | None = None,
    **more: Any,
) -> list[Invented]:
    """Return networks whose batch loss falls exponentially in so many updates."""
    found = []
    for condition in settings:
        for seed in [*seeds(), *seeds(3, 1000)]:
            time = speed(condition, seed)

            def curves(step: int, time: float = time) -> dict[str, float]:
                return {"batch_loss": 2.3 * math.exp(-step / time)}

            scores = {f"final_{one}_accuracy": 0.4 for one in ("train", "validation", "test")}
            own = {**condition, "optim": {"name": "sgd", "lr": 0.1}}
            layers = quantities(own, seed) if quantities else lambda _layer, _step: {}
            found.append(
                Invented(own, seed, layers, scores, curves, curve_steps=range(updates + 1), **more)
            )
    return found


def a3(truth: str) -> list[Invented]:
    # updates that a loss of 2.3 takes to fall by e
    relu = {"supported": 60.0, "refuted": 2000.0, "inconclusive": 200.0}[truth]
    others = {"sigmoid": 800.0, "tanh": 150.0}
    if truth == "inconclusive":
        others = dict.fromkeys(others, 200.0)

    def speed(condition: dict[str, Any], seed: int) -> float:
        own = {"relu": relu, **others}[condition["activation"]]
        return own * math.exp(wobble(condition["activation"], 0.15, seed))

    activations = ["relu", "sigmoid", "tanh"]
    return falling(
        speed, conditions(TRAINED, activation=activations, init=ORDINARY, depth=[2, 3]), 200
    )


def a4(truth: str, moving: str = "gradient") -> list[Invented]:
    found = []
    dead = {
        "probe": {"steps": 12, "samples": "all"},
        "steps": 100,
        "depth": 5,
        "activation": "relu",
    }
    for killed, optimizer, decay in itertools.product((1, 2, 3), ("sgd", "momentum"), (0.0, 0.001)):
        settings = {
            **dead,
            "init": {"name": "killed", "layer": killed},
            "optim": {"name": optimizer, "lr": 0.1, "weight_decay": decay},
        }
        for seed in seeds():

            def quantities(
                layer: int, step: int, killed: int = killed, decay: float = decay
            ) -> dict[str, float]:
                below = layer <= killed
                size = {"supported": 0.0, "refuted": 1e-9, "inconclusive": math.nan}[truth]
                # a single layer and step is enough to see; with decay weights move without a gradient
                seen = layer == killed and step == 10
                gradient = (size if seen and moving == "gradient" else 0.0) if below else 0.5
                update = (size if seen and moving == "update" else 0.0) if below else 0.1
                return {
                    "weight_grad_norm": gradient, "bias_grad_norm": 0.0 if below else 0.5,
                    "update_norm": 1e-3 if decay else update, "weight_norm": 1.0 - step * decay,
                    "dead_units": 64 if layer == killed else 0,
                }  # fmt: skip

            accuracy = {"supported": 0.1, "refuted": 0.4, "inconclusive": 0.12}[truth]
            score = accuracy + wobble("a4", 0.02, seed)
            scores = {f"final_{one}_accuracy": score for one in ("train", "validation", "test")}
            found.append(Invented(settings, seed, quantities, scores, steps=(0, 1, 10, 100)))
    return found


def a5(truth: str) -> list[Invented]:
    def quantities(condition: dict[str, Any], seed: int) -> Callable[[int, int], dict[str, float]]:
        rate = math.log10(condition["optim"]["lr"])
        share = {
            "supported": 0.45 + 0.2 * rate, "refuted": 0.02 - 0.01 * rate, "inconclusive": 0.05,
        }[truth]  # fmt: skip
        spread = {"supported": 0.02, "refuted": 0.005, "inconclusive": 0.06}[truth]
        share += wobble(f"a5{rate}", spread, seed)
        # units that were dead from the start, and those of a step before the last, do not count
        born = 10

        def of_layer(_layer: int, step: int) -> dict[str, float]:
            died = round(64 * max(share, 0.0)) if step == 300 else 0
            return {"dead_units": born + died, "born_dead_units": born, "revived_units": 1}

        return of_layer

    usual = {"steps": 300, "activation": "relu", "probe": {"steps": 10, "samples": "all"}}
    return with_layers(
        conditions(usual, init=["he_normal", "torch_default"], depth=[2, 4, 8]),
        quantities,
        rates=(0.03, 0.1, 0.3, 1.0, 3.0),
        steps=(0, 17, 300),
    )


def a6(truth: str) -> list[Invented]:
    ratio = {"supported": 0.5, "refuted": -0.5, "inconclusive": 0.0}[truth]
    # at the best rate, and at the other one; what is better at all of them is not what the claim says
    at_best = {"supported": 0.0, "refuted": 0.1, "inconclusive": 0.01}[truth]
    at_other = {"supported": 0.15, "refuted": -0.3, "inconclusive": -0.01}[truth]
    sides = [("relu", {}), ("leaky_relu", {"negative_slope": 0.01}),
             ("leaky_relu", {"negative_slope": 0.25}), ("prelu", {})]  # fmt: skip
    found = []
    for (name, parameters), depth, rate in itertools.product(sides, (2, 8, 32), RATES):
        leak = name != "relu"
        settings = {**TRAINED, "activation": {"name": name, **parameters}, "init": "he_normal",
                    "depth": depth, "optim": {"name": "sgd", "lr": rate}}  # fmt: skip
        for seed in [*seeds(), *seeds(3, 1000)]:
            noisy = wobble(f"{name}{parameters}", 0.005, seed)
            mean = (0.5 + leak * at_best) if rate == 0.1 else (0.35 + leak * at_other)
            if rate == 1.0 and seed >= 1000:
                mean = 0.1
            decades = (leak * ratio + wobble(f"{name}{parameters}ratio", 0.1, seed)) * (depth > 2)

            def quantities(
                layer: int, _step: int, depth: int = depth, decades: float = decades
            ) -> dict[str, float]:
                last = max(depth - 1, 2)
                return {"signal_grad_rms": 10.0 ** (decades * (last - layer) / (last - 1))}

            scores = {
                f"final_{one}_accuracy": mean + noisy for one in ("train", "validation", "test")
            }
            found.append(Invented(settings, seed, quantities, scores))
    return found


def a7(truth: str) -> list[Invented]:
    end = {"supported": 0.1, "refuted": 0.26, "inconclusive": 0.2}[truth]
    gain = {"supported": 0.01, "refuted": -0.05, "inconclusive": -0.01}[truth]

    def quantities(condition: dict[str, Any], seed: int) -> Callable[[int, int], dict[str, float]]:
        if condition["activation"] != "prelu":
            return lambda _layer, _step: {}
        learned = end + wobble("slope", 0.01, seed)
        # layers that move to either side have moved, though not on average
        return lambda layer, step: {
            "act_slope": 0.25 if step == 0 else 0.25 + (learned - 0.25) * (-1) ** layer
        }

    learned = with_layers(
        conditions(TRAINED, activation=["prelu"], init=["he_normal"], depth=[2, 8, 32]),
        quantities,
        lambda _condition, seed: 0.5 + gain + wobble("prelu", 0.01, seed),
    )
    fixed = [{"name": "leaky_relu", "negative_slope": one} for one in (0.01, 0.1, 0.25, 0.4)]
    return learned + with_layers(
        conditions(TRAINED, activation=fixed, init=["he_normal"], depth=[2, 8, 32]),
        lambda _condition, _seed: lambda _layer, _step: {},
        lambda _condition, seed: 0.5 + wobble("fixed", 0.01, seed),
    )


def a8(truth: str) -> list[Invented]:
    sides = ["sigmoid", "centred_sigmoid", "bipolar_sigmoid", "tanh", "relu"]
    one_sign = {"supported": 0.9, "refuted": 0.05, "inconclusive": 0.5}[truth]
    of_samples = {"supported": 1.0, "refuted": 0.3, "inconclusive": 0.99}[truth]
    cosine = {"supported": -0.4, "refuted": 0.4, "inconclusive": 0.0}[truth]
    slower = {"supported": 3.0, "refuted": 0.3, "inconclusive": 1.0}[truth]

    def speed(condition: dict[str, Any], seed: int) -> float:
        own = slower if condition["activation"] == "sigmoid" else 1.0
        return 200 * own * math.exp(wobble(condition["activation"], 0.15, seed))

    def quantities(condition: dict[str, Any], seed: int) -> Callable[[int, int], dict[str, float]]:
        name = condition["activation"]
        sigmoid = name == "sigmoid"

        def of_layer(layer: int, step: int) -> dict[str, float]:
            # what is fed by the data, and the output layer, are not looked at
            if layer == 1 or layer == condition["depth"]:
                return {"same_sign_units": 64 if truth == "refuted" else 0, "same_sign_inputs": 0.5}
            share = one_sign if sigmoid else 0.0
            return {
                "same_sign_units": round(64 * share + wobble("units", 4.0, seed)),
                "same_sign_inputs": (of_samples if sigmoid else 0.0) + wobble("samples", 0.002, seed),
                "update_cosine": math.nan if step == 0
                else 0.1 + sigmoid * cosine + wobble(name, 0.1, seed),
            }  # fmt: skip

        return of_layer

    usual = {"steps": 300, "init": "xavier_normal", "probe": {"steps": 12, "samples": 256}}
    return falling(
        speed,
        conditions(usual, activation=sides, depth=[3, 5]),
        300,
        quantities,
        steps=(0, 10, 300),
    )


def a9(truth: str) -> list[Invented]:
    spreads = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    trend = {"supported": 0.1, "refuted": -0.1, "inconclusive": 0.0}[truth]
    worst = {"supported": 0.05, "refuted": 0.5, "inconclusive": 0.1}[truth]

    def saturated(std: float, seed: int) -> Callable[[int, int], dict[str, float]]:
        share = 0.4 + trend * math.log2(std) + wobble(f"a9{std}", 0.02, seed)
        return lambda _layer, _step: {"saturated_share": share}

    start = [
        Invented({**one, "init": {"name": "normal", "std": std}}, seed, saturated(std, seed))
        for one in conditions({"steps": 0}, activation=["sigmoid", "tanh"], depth=[8, 16, 32])
        for std in spreads
        for seed in seeds()
    ]

    def score(condition: dict[str, Any], seed: int) -> float:
        std = condition["init"]["std"]
        if truth == "inconclusive":
            # a quarter of the best is left at the largest, and the trend is nothing
            level = {2.0: 0.1, 0.25: 0.15, 1.0: 0.4}.get(std, 0.25)
        else:
            level = 0.4 + (worst - 0.4) * (math.log2(std) + 4) / 5
        return 0.1 + level + wobble(f"score{std}", 0.02 if truth != "inconclusive" else 0.06, seed)

    starts = [{"name": "normal", "std": std} for std in spreads[:6]]
    settings = conditions(TRAINED, activation=["sigmoid", "tanh"], init=starts, depth=[4])
    end = with_layers(settings, lambda _condition, _seed: lambda _layer, _step: {}, score, (0.1,))
    return [*start, *end]


def a10(truth: str) -> list[Invented]:
    tasks = ("mnist1d", "digits", "spirals", "diabetes")
    names = ("sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu", "sine")
    found = []
    usual = {
        "steps": 200,
        "probe": {"steps": 3, "samples": 128},
        "optim": {"name": "sgd", "lr": 0.1},
    }
    for place, task in enumerate(tasks):
        for depth, name, init in itertools.product((3, 8), names, ("xavier_normal", "he_normal")):
            if truth == "supported":
                # another one is best on every task, by much
                level = 0.5 - 0.05 * ((names.index(name) - 2 * place) % len(names))
            elif truth == "refuted":
                # the others differ from task to task, one is best or as good
                level = 0.5 if name == "gelu" else 0.45 - 0.05 * ((names.index(name) - place) % 2)
            else:
                level = 0.5 - 0.01 * (names.index(name) % 2 == place % 2)
            settings = {**usual, "data": task, "depth": depth, "activation": name, "init": init}
            for seed in [*seeds(), *seeds(3, 1000)]:
                score = level + wobble(
                    f"{task}{name}", 0.003 if truth != "inconclusive" else 0.02, seed
                )
                kind = "r2" if task == "diabetes" else "accuracy"
                scores = {f"final_{one}_{kind}": score for one in ("train", "validation", "test")}
                found.append(Invented(settings, seed, scores=scores))
    return found


def a11(truth: str, moving: str = "weight_grad_norm") -> list[Invented]:
    size = {"supported": 0.0, "refuted": 1e-12, "inconclusive": math.nan}[truth]

    def quantities(condition: dict[str, Any], _seed: int) -> Callable[[int, int], dict[str, float]]:
        names = ("weight_grad_norm", "bias_grad_norm", "update_norm")

        def of_layer(layer: int, step: int) -> dict[str, float]:
            if layer == condition["depth"]:
                return dict.fromkeys(names, 0.5)
            return dict.fromkeys(names, 0.0) | ({moving: size} if step == 10 else {})

        return of_layer

    return [
        Invented(one, seed, quantities(one, seed), {"final_test_accuracy": 0.2}, steps=(0, 10, 50))
        for one in conditions(
            {"steps": 50}, activation=["sign"], init=["xavier_normal"], depth=[2, 3, 5]
        )
        for seed in seeds()
    ]


def a12(truth: str) -> tuple[list[Invented], Measured]:
    difference = {"supported": 1e-15, "refuted": 1e-9, "inconclusive": math.nan}[truth]
    rows = []
    for init, depth, seed in itertools.product(
        ("torch_default", "xavier_normal"), (2, 8), range(10)
    ):
        subject = {"init": init, "depth": depth, "width": 64}
        for quantity, value in (
            ("relative difference of outputs", difference if seed == 3 else 1e-15),
            ("rounding bound", 1e-12),
        ):
            rows.append({"task": "linear_product", "subject": subject, "quantity": quantity,
                         "repeat": seed, "value": value})  # fmt: skip
    deep = {"supported": 0.002, "refuted": -0.1, "inconclusive": 0.01}[truth]
    relu = {"supported": 0.15, "refuted": -0.02, "inconclusive": 0.01}[truth]

    def score(condition: dict[str, Any], seed: int) -> float:
        gain = relu if condition["activation"] == "relu" else deep * (condition["depth"] == 8)
        return 0.32 + gain + wobble(f"{condition['activation']}{condition['depth']}", 0.008, seed)

    linear = conditions(TRAINED, activation=["identity"], init=["xavier_normal"], depth=[1, 8])
    one_hidden = conditions(TRAINED, activation=["relu"], init=ORDINARY, depth=[2])
    return learning(score, [*linear, *one_hidden], RATES, 0.1), rows


def a13(truth: str) -> list[Invented]:
    gain = {"supported": 0.1, "refuted": -0.1, "inconclusive": 0.01}[truth]

    def score(condition: dict[str, Any], seed: int) -> float:
        own = gain if condition["activation"] == "relu" else 0.0
        return 0.4 + own + wobble(condition["activation"], 0.02, seed)

    return learning(
        score,
        conditions(TRAINED, activation=["relu", "sigmoid"], init=ORDINARY, depth=[2, 3, 8, 32]),
        RATES,
        0.1,
    )


def a14(truth: str) -> tuple[list[Invented], Measured]:
    largest = {"supported": 1.5, "refuted": 50.0, "inconclusive": math.nan}[truth]
    rows = []
    for dtype, grid in itertools.product(
        ("float32", "float64"), ("even to 8", "even to 44", "logarithmic to 1")
    ):
        subject = {"dtype": dtype, "grid": grid, "points": 2**21}
        for quantity, value in (("largest difference", largest), ("rounding bound", 3.5)):
            rows.append({"task": "tanh_identity", "subject": subject, "quantity": quantity,
                         "value": value, "unit": "eps"})  # fmt: skip
    return [], rows


CASES: dict[str, Callable[[str], Any]] = {
    f"A{number}": case
    for number, case in enumerate((a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14), 1)
}
"""By claim, a function of the verdict that is to come out."""
