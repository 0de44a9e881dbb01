"""Invented records in which the claims about initialization are true, false and undecidable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from analysis.ledger.select import ORDINARY
from study.tasks.start_rules import FANS, rules
from tests.claims.cases_g import crossed
from tests.claims.synthetic import Invented, noise, seeds, starting

Condition = dict[str, Any]

FIVE = (0.01, 0.03, 0.1, 0.3, 1.0)


def trained(
    conditions: Iterable[Condition],
    rates: Sequence[float],
    best: float,
    score: Callable[[Condition, int], float],
    ratio: Callable[[Condition, int], float] = lambda _condition, _seed: 0.0,
    count: int = 10,
) -> list[Invented]:
    """Return trained networks that score at one rate, and their gradient at the start.

    Args:
        conditions: without a rate.
        rates: those tried.
        best: that at which they learn; at all others they score chance.
        score: test accuracy there: called with the condition and the seed.
        ratio: decades of the signal gradient, first over last hidden layer: likewise.
        count: seeds for evidence.
    """
    found = []
    for condition in conditions:
        last = condition["depth"] - 1
        for rate in rates:
            for seed in [*seeds(count), *seeds(3, 1000)]:
                reached = score(condition, seed) if rate == best else 0.1
                decades = ratio(condition, seed)

                def quantities(
                    layer: int, _step: int, last: int = last, decades: float = decades
                ) -> dict[str, float]:
                    share = (last - layer) / (last - 1) if last > 1 else 0.0
                    return {"signal_grad_rms": 10.0 ** (decades * share)}

                optim = {"name": "sgd", **condition.get("optim", {}), "lr": rate}
                scores = {
                    f"final_{split}_accuracy": reached for split in ("train", "validation", "test")
                }
                if condition.get("norm"):
                    scores["norm"] = condition["norm"]
                if "weight_decay" in optim:
                    scores["weight_decay"] = optim["weight_decay"]
                found.append(
                    Invented({**condition, "optim": optim}, seed, quantities, scores, steps=[0])
                )
    return found


def wobble(name: str, scale: float, seed: int, count: int = 10) -> float:
    """Return a seed's own deviation; none for those that choose the rate."""
    return float(noise(name, scale, count)[seed]) if seed < 1000 else 0.0


def i1(truth: str) -> list[Invented]:
    norm = {"supported": 0.0, "refuted": 1e-3, "inconclusive": math.nan}[truth]
    return zeroed(lambda _activation, _output, _bias, _step: norm)


def zeroed(norm: Callable[[str, bool, bool, int], float]) -> list[Invented]:
    """Return networks of weights 0 and the norms of their gradients.

    Args:
        norm: called with the activation, whether it is the output layer, whether it is the bias, and the
            step.
    """
    names = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu", "identity")
    settings = {"init": "zeros", "steps": 20, "optim": {"name": "sgd", "lr": 0.1}}
    found = []
    for condition in crossed(activation=names, depth=[2, 4]):

        def quantities(layer: int, step: int, own: Condition = condition) -> dict[str, float]:
            at = (own["activation"], layer == own["depth"])
            return {
                "weight_grad_norm": norm(*at, False, step),
                "bias_grad_norm": norm(*at, True, step),
            }

        found += [Invented({**condition, **settings}, seed, quantities) for seed in seeds()]
    return found


def i2(truth: str) -> list[Invented]:
    # the last case is of layers that never moved
    twins, update = {
        "supported": (63, 0.1),
        "refuted": (0, 0.1),
        "inconclusive": (63, 1e-9),
    }[truth]

    def quantities(_layer: int, step: int) -> dict[str, float]:
        ended = {"twin_units": float(twins)} if step == 100 else {"update_norm": update}
        return {"weight_norm": 6.4, "twin_units": 63.0} | ended

    settings = {
        "init": {"name": "constant", "value": 0.1},
        "depth": 3,
        "steps": 100,
        "optim": {"name": "sgd", "lr": 0.1},
    }
    return [
        Invented({**settings, "activation": name}, seed, quantities, steps=[0, 10, 100])
        for name in ("sigmoid", "tanh", "relu")
        for seed in seeds()
    ]


def i3(truth: str) -> tuple[list[Invented], list[dict[str, Any]]]:
    rows = []
    for fan_in, fan_out in FANS:
        fans = {"fan_in": fan_in, "fan_out": fan_out}
        published = {
            rule: (mean, deviation)
            for rule, source, mean, deviation in rules(fan_in, fan_out)
            if source == "published"
        }
        for rule, (mean, deviation) in published.items():
            right = {"mean": mean, "standard deviation": deviation}
            for source in ("note", "lecture", "published", "study"):
                given = dict(right)
                if source in ("note", "lecture"):
                    # a mean alone, or a deviation alone, is enough to be another rule
                    wrong = "mean" if source == "note" else "standard deviation"
                    if truth != "supported":
                        given[wrong] = 1.0 if truth == "refuted" else math.nan
                subject = {
                    **fans,
                    "rule": f"{rule}_normal" if source == "study" else rule,
                    "source": source,
                }
                rows += [
                    {"task": "start_rules", "subject": subject, "quantity": name, "value": value}
                    for name, value in given.items()
                ]
    return [], rows


def i4(truth: str) -> list[Invented]:
    suited, swapped, spread = {
        "supported": (-0.3, -4.0, 0.3),
        "refuted": (2.0, 0.2, 0.3),
        "inconclusive": (-0.95, -1.05, 0.5),
    }[truth]
    return matched(suited, swapped, spread)


def matched(suited: float, swapped: float, spread: float = 0.3) -> list[Invented]:
    """Return the factorial of activations and starts, by the decades of those that suit and of the others."""
    own = {"tanh": "xavier_normal", "relu": "he_normal"}
    other = {"tanh": "he_normal", "relu": "xavier_normal"}

    def ratio(condition: Condition, seed: int) -> float:
        activation, init = condition["activation"], condition["init"]
        middle = -9.0
        if own.get(activation) == init:
            middle = suited
        elif other.get(activation) == init:
            # as an explosion in one of the two
            middle = -swapped if activation == "tanh" else swapped
        return middle + wobble(activation + init, spread, seed)

    names = ("tanh", "relu", "sigmoid", "gelu")
    made = starting(ratio, crossed(activation=names, init=ORDINARY, depth=[32]))
    # the theory asks how wide the first layer is
    return [replace(one, scores={"inputs": 40}) for one in made]


def i5(truth: str) -> list[Invented]:
    # seeds that arrive with He's start and with Xavier's, at the best rate and at the fixed one
    arrive = {"supported": (10, 0), "refuted": (10, 10), "inconclusive": (7, 4)}[truth]
    return thirty({"he_normal": arrive[0], "xavier_normal": arrive[1]})


def thirty(arrive: dict[str, int], fixed: dict[str, int] | None = None) -> list[Invented]:
    """Return networks of which so many seeds fall below the loss, at the best rate and at the fixed one."""
    found = []
    for init in ("xavier_normal", "he_normal"):
        for rate in (0.003, 0.01, 0.03, 0.1, 0.3):
            for seed in [*seeds(), *seeds(3, 1000)]:
                count = {0.1: arrive, 0.03: fixed or arrive}.get(rate, {}).get(init, 0)
                start = 30 + seed % 10

                def curves(
                    step: int, falls: bool = seed < count, start: int = start
                ) -> dict[str, float]:
                    return {"batch_loss": 1.5 if falls and step >= start else math.log(10)}

                reached = 0.4 if rate == 0.1 else 0.1
                found.append(
                    Invented(
                        {
                            "depth": 30, "activation": "relu", "init": init, "steps": 1000,
                            "optim": {"name": "sgd", "lr": rate},
                        },
                        seed,
                        scores={"final_validation_accuracy": reached, "final_test_accuracy": reached},
                        curves=curves,
                        steps=[0],
                        curve_steps=range(80) if rate in (0.03, 0.1) and seed < 1000 else (),
                    )
                )  # fmt: skip
    return found


RBM = {"name": "rbm", "sampled": True}


def fine_tuned(
    score: Callable[[Condition, int], float], ratio: Callable[[Condition, int], float]
) -> list[Invented]:
    """Return pre-trained and drawn sigmoid networks."""
    common = {"activation": ["sigmoid"], "depth": [3, 6], "steps": [200], "probe": [{"steps": 8}]}
    conditions = crossed(**common, init=[RBM, "xavier_normal", "he_normal"])
    # what another experiment measures elsewhere is the same network once more
    again = crossed(**common | {"probe": [{"steps": 3}]}, init=["xavier_normal", "he_normal"])
    rates = (0.03, 0.1, 0.3, 1.0)
    return [
        *trained(conditions, rates, 0.3, score, ratio),
        *trained(again, rates, 0.3, score, ratio),
        # a rate that only another experiment tries
        *trained([one for one in conditions if one["init"] != RBM and one["depth"] == 3], (0.01,), 0.01,
                 lambda _condition, _seed: 0.99),
    ]  # fmt: skip


def i6(truth: str) -> list[Invented]:
    gain = {"supported": 0.05, "refuted": -0.05, "inconclusive": 0.01}[truth]
    more = {"supported": 1.0, "refuted": -1.0, "inconclusive": 0.0}[truth]
    return pretrained(gain, more)


def pretrained(gain: float, more: float) -> list[Invented]:
    """Return sigmoid networks, pre-trained ones by what they gain in accuracy and in decades."""

    def score(condition: Condition, seed: int) -> float:
        own = gain if condition["init"] == RBM else 0.0
        return 0.4 + own + wobble(str(condition["init"]), 0.02, seed)

    def ratio(condition: Condition, seed: int) -> float:
        own = more if condition["init"] == RBM else 0.0
        return -3.0 + own + wobble(f"ratio {condition['init']}", 0.2, seed)

    return fine_tuned(score, ratio)


def i7(truth: str) -> tuple[list[Invented], list[dict[str, Any]]]:
    gain = {"supported": 0.05, "refuted": -0.05, "inconclusive": 0.0}[truth]
    decades = {"supported": 3.0, "refuted": 0.1, "inconclusive": 1.0}[truth]
    return pretrained(-gain, 0.0), timed(decades)


def timed(decades: float) -> list[dict[str, Any]]:
    """Return how long starts take, pre-training so many decades longer than the others."""
    rows = []
    for init in ("xavier_normal", "he_normal", "lsuv", "rbm"):
        for depth in (4, 8, 16):
            for repeat in range(5):
                power = decades if init == "rbm" else 0.0
                power += float(noise(f"time {init}", 0.1, 5)[repeat])
                subject = {"init": init, "depth": depth, "width": 64}
                rows.append(
                    {
                        "task": "start_cost",
                        "subject": subject | ({"epochs": 10} if init == "rbm" else {}),
                        "quantity": "time",
                        "repeat": repeat,
                        "unit": "s",
                        "value": 1e-3 * depth * 10**power,
                    }
                )
    return rows


def mended(
    score: Callable[[str, int], float], ratio: Callable[[str, int], float]
) -> list[Invented]:
    """Return ReLU networks by what is done to their start: called with ``"lsuv"``, ``"he_normal batch"`` …"""

    def named(condition: Condition) -> str:
        return f"{condition['init']} {condition.get('norm', '')}".strip()

    common = {"activation": ["relu"], "depth": [8, 32], "steps": [200], "probe": [{"steps": 8}]}
    conditions = [
        *crossed(**common, init=["lsuv", "xavier_normal", "he_normal"]),
        *crossed(**common, init=["xavier_normal", "he_normal"], norm=["batch", "layer"]),
    ]
    again = crossed(**common | {"probe": [{"steps": 3}]}, init=["he_normal"])
    return trained(
        [*conditions, *again], FIVE, 0.1, lambda one, seed: score(named(one), seed),
        lambda one, seed: ratio(named(one), seed),
    )  # fmt: skip


def i8(truth: str) -> list[Invented]:
    decades = {"supported": 0.2, "refuted": 3.0, "inconclusive": 0.95}[truth]
    reached = {"supported": 0.4, "refuted": 0.1, "inconclusive": 0.11}[truth]
    he = {"supported": 0.4, "refuted": 0.4, "inconclusive": 0.12}[truth]
    return normalized(decades, reached, he, 0.004 if truth == "supported" else 0.02)


def normalized(decades: float, reached: float, he: float, spread: float = 0.004) -> list[Invented]:
    """Return ReLU networks, those that are mended by their decades and accuracy, beside He's accuracy."""

    def score(name: str, seed: int) -> float:
        middle = {"he_normal": he, "xavier_normal": 0.2}.get(name, reached)
        return middle + wobble(name, spread, seed)

    def ratio(name: str, seed: int) -> float:
        middle = {"he_normal": 0.0, "xavier_normal": -4.0}.get(name, decades)
        return middle + wobble(f"ratio {name}", 0.3, seed)

    return mended(score, ratio)


def seeded(
    score: Callable[[int, float, int], float],
) -> list[Invented]:
    """Return ReLU networks of three depths and decays, thirty seeds each."""
    conditions = crossed(
        activation=["relu"], init=["torch_default"], depth=[2, 8, 16], steps=[300], probe=[{"steps": 3}],
        optim=[{"weight_decay": decay} for decay in (0.0, 0.001, 0.01)],
    )  # fmt: skip
    again = [
        one | {"probe": {"steps": 10}}
        for one in conditions
        if one["depth"] == 2 and not one["optim"]["weight_decay"]
    ]
    return [
        *trained(
            conditions, (0.1, 0.3, 1.0), 0.3,
            lambda one, seed: score(one["depth"], one["optim"]["weight_decay"], seed), count=30,
        ),
        # stuck, and of another experiment
        *trained(again, (0.1, 0.3, 1.0), 0.3, lambda _one, _seed: 0.1),
    ]  # fmt: skip


def i9(truth: str) -> list[Invented]:
    train = {"supported": 30, "refuted": 12, "inconclusive": 25}[truth]
    spread = {"supported": 0.005, "refuted": 0.09, "inconclusive": 0.03}[truth]
    return decayed(train, spread)


def decayed(train: int, spread: float) -> list[Invented]:
    """Return networks of which so many deep ones train, and spread so much; shallow ones all by 3 points."""

    def score(depth: int, decay: float, seed: int) -> float:
        deep = depth > 2
        if deep and train <= seed < 1000:
            return 0.1
        return 0.6 + wobble(f"{depth} {decay:g}", spread if deep else 0.03, seed, 30)

    return seeded(score)


def factorial(score: Callable[[Condition, int], float]) -> list[Invented]:
    """Return networks of every activation, start and depth."""
    common = {
        "activation": ["sigmoid", "tanh", "relu"], "init": ORDINARY, "steps": [200],
        "probe": [{"steps": 8}],
    }  # fmt: skip
    again = crossed(**common | {"probe": [{"steps": 3}], "depth": [8]})
    return [
        *trained(crossed(**common, depth=[8, 32]), FIVE, 0.1, score),
        *trained(again, FIVE, 0.1, lambda _condition, _seed: 0.1),
    ]


def i10(truth: str) -> list[Invented]:
    activation, start, spread = {
        "supported": (0.1, 0.1, 0.02),
        "refuted": (0.0, 0.0, 0.02),
        "inconclusive": (0.0167, 0.0123, 0.04),
    }[truth]
    return caused(activation, start, spread)


def caused(activation: float, start: float, spread: float = 0.02) -> list[Invented]:
    """Return the factorial by what a step of the activation and one of the start add to accuracy."""

    def score(condition: Condition, seed: int) -> float:
        one = ("sigmoid", "tanh", "relu").index(condition["activation"]) - 1
        other = ORDINARY.index(condition["init"]) - 1.5
        name = f"{condition['activation']} {condition['init']}"
        return 0.5 + activation * one + start * other + wobble(name, spread, seed)

    return factorial(score)


CASES: dict[str, Callable[[str], Any]] = {
    "I1": i1, "I2": i2, "I3": i3, "I4": i4, "I5": i5, "I6": i6, "I7": i7, "I8": i8, "I9": i9, "I10": i10,
}  # fmt: skip
"""By claim, a function of the verdict that is to come out."""
