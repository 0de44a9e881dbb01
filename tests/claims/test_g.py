"""Claims about gradient flow: a wrong sign is noticed, and what is no number is ranked and counted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.claims import claims
from analysis.ledger.claim import Evidence, NoEvidence, Part
from analysis.ledger.decision import for_every
from analysis.ledger.entries import deciding_part
from analysis.ledger.outcomes import Outcome
from tests.claims import synthetic
from tests.claims.cases_g import CASES
from tests.claims.synthetic import Invented


def judged(
    name: str, networks: list[Invented], measured: list[dict[str, Any]], folder: Path
) -> Evidence:
    return claims()[name].judge(synthetic.study(folder, networks, measured), "mnist1d")


def supporting(name: str) -> tuple[list[Invented], list[dict[str, Any]]]:
    found = CASES[name]("supported")
    return found if isinstance(found, tuple) else (found, [])


def changed(one: Invented, change: Callable[[str, float], float]) -> Invented:
    """Return a network whose quantities of layers went through a function of name and value."""

    def layers(layer: int, step: int) -> dict[str, float]:
        return {
            key: value if value is None else change(key, value)
            for key, value in one.layers(layer, step).items()
        }

    return dataclasses.replace(one, layers=layers)


def worse(one: Invented) -> Invented:
    """Return a network with the contrary of its accuracy."""
    scores = {key: 0.7 - value for key, value in one.scores.items()}
    return dataclasses.replace(one, scores=scores)


@pytest.mark.parametrize("name", ["G1", "G3", "G5", "G7"])
def test_a_gradient_that_grows_is_none_that_vanishes(name: str, tmp_path: Path) -> None:
    networks, measured = supporting(name)
    networks = [changed(one, lambda _, value: 1 / value) for one in networks]
    found = judged(name, networks, measured, tmp_path / "study")
    assert found.word in ("refuted", "conditional")
    assert any(part.verdict.word == "refuted" for part in found.parts)


def test_a_product_that_explodes_runs_off_as_well(tmp_path: Path) -> None:
    networks, _ = supporting("G2")
    networks = [changed(one, lambda _, value: 1 / value) for one in networks]
    assert judged("G2", networks, [], tmp_path / "study").word == "supported"


def test_relu_that_is_the_worse_one_solves_nothing(tmp_path: Path) -> None:
    networks = [
        one if one.settings["activation"] == "relu" else changed(one, lambda _, value: 1 / value)
        for one in supporting("G6")[0]
    ]
    first, *_ = judged("G6", networks, [], tmp_path / "study").parts
    assert first.verdict.word == "refuted"


@pytest.mark.parametrize("name", ["G4", "G8"])
def test_accuracy_the_other_way_round_is_against(name: str, tmp_path: Path) -> None:
    networks = [one if one.seed >= 1000 else worse(one) for one in supporting(name)[0]]
    found = judged(name, networks, [], tmp_path / "study")
    assert found.word in ("conditional", "refuted")
    assert any(part.verdict.refuted for part in found.parts)


def test_first_layers_that_move_more_are_against(tmp_path: Path) -> None:
    networks = [
        changed(one, lambda key, value: 1 / value if key == "update_norm" else value)
        for one in supporting("G9")[0]
    ]
    assert judged("G9", networks, [], tmp_path / "study").word == "refuted"


@pytest.mark.parametrize("name", ["G1", "G2", "G3", "G5", "G7"])
def test_nothing_that_arrives_is_the_most_that_vanishes(name: str, tmp_path: Path) -> None:
    networks, measured = supporting(name)
    lost = [
        # in the first layer of three seeds no gradient arrives
        dataclasses.replace(
            one,
            layers=lambda layer, step, one=one: {
                "signal_grad_rms": 0.0 if layer == 1 else one.layers(layer, step)["signal_grad_rms"]
            },
        )
        if one.seed < 3 and one.settings["activation"] in ("sigmoid", "tanh")
        else one
        for one in networks
    ]
    found = judged(name, lost, measured, tmp_path / "study")
    words = [part.verdict.word for part in found.parts]
    if (
        name == "G2"
    ):  # of the shape such a seed says nothing, and three fewer cannot hide the others
        assert words[0] in ("supported", "inconclusive")
    elif name == "G7":  # tanh that loses all keeps no more than sigmoid that does
        assert words[0] == "supported"
    else:
        assert found.word == "supported", words
    assert found.draw()


def test_layers_that_do_not_move_and_updates_that_are_no_numbers_are_ranked(tmp_path: Path) -> None:
    def broken(one: Invented, value: float) -> Invented:
        def layers(layer: int, step: int) -> dict[str, float]:
            known = one.layers(layer, step)
            return known | {"update_norm": value} if layer == 1 and step < 200 else known

        return dataclasses.replace(one, layers=layers)

    networks, _ = supporting("G9")
    still = [broken(one, 0.0) if one.seed < 3 else one for one in networks]
    found = judged("G9", still, [], tmp_path / "still")
    assert found.word == "supported"
    assert "in 72 of 240 networks" in found.said
    assert found.draw()
    burst = [broken(one, math.nan) if one.seed < 10 else one for one in networks]
    assert judged("G9", burst, [], tmp_path / "burst").word == "refuted"


def test_what_an_interrupted_run_left_out_is_missed(tmp_path: Path) -> None:
    networks, _ = supporting("G1")
    some = [one for one in networks if one.settings["depth"] != 16]
    with pytest.raises(NoEvidence, match="depth=16"):
        judged("G1", some, [], tmp_path / "study")


def test_a_claim_of_parts_that_differ_hangs_on_what_was_decided(tmp_path: Path) -> None:
    def part(p_for: float, p_against: float) -> Part:
        test = Outcome("", 0.0, -1.0, 1.0, 10, p_for, p_against)
        return Part("", (test,), for_every([test]), "")

    found = dataclasses.replace(
        judged("G1", supporting("G1")[0], [], tmp_path / "study"),
        parts=(part(0.001, 1.0), part(1.0, 0.002), part(0.4, 0.6)),
    )
    assert found.word == "conditional"
    assert deciding_part(found).verdict.p == 0.002


def test_a_linear_model_is_drawn_where_there_is_one(tmp_path: Path) -> None:
    networks = [one for one in supporting("G8")[0] if one.settings["depth"] > 1]
    found = judged("G8", networks, [], tmp_path / "study")
    assert found.word == "supported"
    assert "linear" not in found.said
    assert found.draw()


def test_what_explodes_nowhere_is_said_to_need_no_cure(tmp_path: Path) -> None:
    found = judged("G4", *supporting("G4"), tmp_path)
    assert "With tanh no network diverges as it is" in found.said
    assert "With tanh no network diverges as it is" in found.caption


def test_conditions_that_stay_at_chance_are_counted(tmp_path: Path) -> None:
    networks, measured = supporting("G9")
    assert "stay at chance" not in judged("G9", networks, measured, tmp_path / "one").said
    idle = [
        dataclasses.replace(one, scores={**one.scores, "final_test_accuracy": 0.1})
        if one.settings["activation"] == "sigmoid"
        else one
        for one in networks
    ]
    said = judged("G9", idle, measured, tmp_path / "two").said
    assert "all 8 conditions with sigmoid stay at chance" in said
