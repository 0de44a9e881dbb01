"""What the claims about activations must not be misled by: a wrong sign, copies, divergence, other layers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.claims import a08_sigmoid_zigzags, claims
from analysis.ledger.claim import Evidence
from tests.claims import cases_a, cases_g, synthetic


def judged(name: str, folder: Path, networks, measured=()) -> Evidence:
    return claims()[name].judge(synthetic.study(folder / "study", networks, measured), "mnist1d")


def words(evidence: Evidence) -> list[str]:
    return [part.verdict.word for part in evidence.parts]


def test_relu_that_widens_the_gap_does_not_act_like_dropout(tmp_path: Path) -> None:
    found = judged("A1", tmp_path, cases_a.a1("supported", gap=0.06))
    assert words(found) == ["supported", "supported", "refuted"]


def test_less_than_half_of_what_dropout_does_is_not_like_it(tmp_path: Path) -> None:
    found = judged("A1", tmp_path, cases_a.a1("supported", gap=-0.03))
    assert words(found)[2] == "refuted"


def test_a_sigmoid_that_is_the_faster_one_refutes(tmp_path: Path) -> None:
    networks, measured = cases_a.a2("supported", swapped=True)
    assert judged("A2", tmp_path, networks, measured).word == "refuted"


def test_an_update_without_a_gradient_is_seen_where_nothing_decays(tmp_path: Path) -> None:
    found = judged("A4", tmp_path, cases_a.a4("refuted", moving="update"))
    assert words(found) == ["refuted", "refuted", "supported", "supported", "refuted"]


@pytest.mark.parametrize("moving", ["bias_grad_norm", "update_norm"])
def test_whatever_moves_below_a_sign_function_refutes(moving: str, tmp_path: Path) -> None:
    assert judged("A11", tmp_path, cases_a.a11("refuted", moving)).word == "refuted"


@pytest.mark.parametrize("name", ["A3", "A13", "G8"])
def test_a_rate_that_only_another_experiment_tries_is_not_chosen(name: str, tmp_path: Path) -> None:
    case = cases_g.g8 if name == "G8" else getattr(cases_a, name.lower())
    networks = case("supported")
    own = {"activation": "sigmoid", "init": "xavier_normal", "depth": 3}
    further = {
        one.seed: replace(
            one,
            settings={**one.settings, "optim": {"name": "sgd", "lr": 10.0}},
            scores=dict.fromkeys(one.scores, 0.99),
        )
        for one in networks
        if own.items() <= one.settings.items() and one.settings["probe"] == cases_a.PROBE
    }
    assert further
    alone = judged(name, tmp_path / "alone", networks)
    found = judged(name, tmp_path / "both", [*networks, *further.values()])
    pd.testing.assert_frame_equal(found.table, alone.table)


def test_a_network_probed_in_another_way_is_not_counted_twice(tmp_path: Path) -> None:
    networks = cases_a.a13("supported")
    copies = [
        replace(
            one,
            settings={**one.settings, "probe": {"steps": 3, "samples": 128}},
            scores=dict.fromkeys(one.scores, 0.1),
        )
        for one in networks
        if one.settings["activation"] == "relu"
    ]
    alone = judged("A13", tmp_path / "alone", networks)
    both = judged("A13", tmp_path / "both", [*networks, *copies])
    assert (both.networks, both.word) == (alone.networks, "supported")
    assert both.parts == alone.parts


def test_relu_that_diverges_never_arrives(tmp_path: Path) -> None:
    networks = cases_a.a3("supported")
    for one in networks:
        if one.settings["activation"] == "relu":
            one.status = "diverged"
    found = judged("A3", tmp_path, networks)
    assert found.word == "refuted"
    assert (found.table["ratio"] == 0).all()


def test_units_of_a_network_that_diverged_are_counted_where_there_last_were_any(
    tmp_path: Path,
) -> None:
    networks = cases_a.a5("refuted")
    for one in networks:
        if one.settings["optim"]["lr"] == 3.0:
            one.status = "diverged"
            one.layers = lambda _layer, step: (
                {"dead_units": 40, "born_dead_units": 8, "revived_units": 0} if step < 300 else {}
            )
    found = judged("A5", tmp_path, networks)
    assert np.allclose(found.table.loc[found.table["lr"] == 3.0, "died"], 0.5)
    assert words(found) == ["supported", "conditional", "supported"]
    assert "60 of 300 networks diverged" in found.said


def test_one_activation_that_suits_every_task_refutes_whatever_the_others_do(
    tmp_path: Path,
) -> None:
    found = judged("A10", tmp_path, cases_a.a10("refuted"))
    assert all("gelu" in part.verdict.refuted for part in found.parts)
    assert all("relu" in part.verdict.supported for part in found.parts)


def test_an_undecided_task_claim_hangs_on_the_activation_that_is_not_beaten(tmp_path: Path) -> None:
    found = judged("A10", tmp_path, cases_a.a10("inconclusive"))
    for part in found.parts:
        if part.verdict.word == "inconclusive":
            assert part.verdict.deciding.p_for == max(one.p_for for one in part.tests)
            assert part.verdict.p == part.verdict.deciding.p_for


def test_a_median_of_half_that_never_arrive_is_drawn_as_never() -> None:
    axis = Figure().subplots()
    a08_sigmoid_zigzags._times(axis, 0, pd.Series([280.0, 290.0, math.inf, math.inf]), "black", "o")
    dots, middle = (line.get_ydata() for line in axis.lines)
    assert max(middle) == max(dots)


def test_a_dead_layer_that_comes_alive_is_told(tmp_path: Path) -> None:
    networks = cases_a.a4("supported")
    was = networks[0].layers
    networks[0].layers = lambda layer, step: (
        was(layer, step) | ({"dead_units": 63} if layer == 1 and step == 10 else {})
    )
    assert "1 of all 120 networks" in judged("A4", tmp_path, networks).said
