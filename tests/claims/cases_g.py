"""Invented records in which the claims about gradient flow are true, false and undecidable."""

from __future__ import annotations

import itertools

from analysis.ledger.select import ORDINARY
from tests.claims.synthetic import Invented, learning, noise, starting

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)

TRUTHS = ("supported", "refuted", "inconclusive")


def crossed(**axes) -> list[dict]:
    """Return conditions: every combination of the values of some axes."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def g1(truth: str) -> list[Invented]:
    slope = {"supported": -0.5, "refuted": 0.02, "inconclusive": -0.1}[truth]
    spread = {"supported": 0.02, "refuted": 0.02, "inconclusive": 0.05}[truth]

    def ratio(condition: dict, seed: int) -> float:
        if condition["activation"] == "identity":
            return 0.0
        return (slope + noise("g1", spread)[seed]) * (condition["depth"] - 2)

    return starting(
        ratio, crossed(activation=["sigmoid", "identity"], init=ORDINARY, depth=[8, 16, 32])
    )


def g6(truth: str) -> list[Invented]:
    relu = {"supported": 0.0, "refuted": -9.0, "inconclusive": -0.95}[truth]
    sigmoid = {"supported": -8.0, "refuted": -3.0, "inconclusive": -0.95}[truth]
    accuracy = {"supported": 0.4, "refuted": 0.1, "inconclusive": 0.11}[truth]

    def ratio(condition: dict, seed: int) -> float:
        own = {"relu": relu, "sigmoid": sigmoid}[condition["activation"]]
        return own + noise(condition["activation"], 0.3)[seed]

    def score(_condition: dict, seed: int) -> float:
        return accuracy + (noise("g6", 0.02)[seed] if seed < 10 else 0.0)

    starts = starting(ratio, crossed(activation=["sigmoid", "relu"], init=ORDINARY, depth=[32]))
    trained = learning(
        score, crossed(activation=["relu"], init=ORDINARY, depth=[32], steps=[300]), RATES, 0.1
    )
    return [*starts, *trained]


CASES = {"G1": g1, "G6": g6}
"""By claim, a function of the verdict that is to come out."""
