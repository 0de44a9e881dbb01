"""Every claim: whole, fixed before it was run, and able to come out each way."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from analysis.claims import FAMILIES, claims
from analysis.ledger import kept
from analysis.ledger.claim import NOTES, NoEvidence
from analysis.ledger.entries import fixed_rules, rule_status
from analysis.ledger.outcomes import WORDS
from analysis.ledger.page import effect, number
from tests.claims import synthetic

CONF = Path(__file__).parent.parent.parent / "conf" / "experiment"

CASES = {
    name: case
    for family in FAMILIES
    for name, case in importlib.import_module(f"tests.claims.cases_{family.lower()}").CASES.items()
}

TRUTHS = ("supported", "refuted", "inconclusive")


def made(case, truth: str, folder: Path):
    """Return the study of a case: invented networks, and measurements where there are any."""
    found = case(truth)
    networks, measured = found if isinstance(found, tuple) else (found, [])
    return synthetic.study(folder, networks, measured)


def test_every_claim_has_a_case_and_every_case_a_claim() -> None:
    assert set(CASES) == set(claims())


@pytest.mark.parametrize("claim", claims().values(), ids=list(claims()))
def test_a_claim_has_a_rule_an_experiment_a_source_and_lessons(claim) -> None:
    assert claim.sentence.endswith(".")
    assert claim.quantity.endswith(".")
    assert claim.rule.endswith(".")
    assert claim.says.endswith(".")
    assert set(claim.notes) <= set(NOTES)
    assert claim.experiments or claim.tasks
    for name in claim.experiments:
        assert (CONF / f"{name}.yaml").is_file(), name
    assert set(claim.lessons) >= {"supported", "conditional", "refuted"}
    assert all(lesson.endswith(".") for lesson in claim.lessons.values())
    assert {"supported", "refuted"} <= {word for word in WORDS if word in claim.rule.lower()}


@pytest.mark.parametrize("claim", claims().values(), ids=list(claims()))
def test_a_rule_is_the_one_that_was_fixed_or_says_why_it_changed(claim) -> None:
    status = rule_status(claim, fixed_rules())
    assert "not fixed" not in status
    assert "without a reason" not in status


@pytest.mark.parametrize("truth", [*TRUTHS[:2], pytest.param(TRUTHS[2], marks=pytest.mark.long)])
@pytest.mark.parametrize("name", list(CASES))
def test_a_claim_comes_out_as_its_records_say(name: str, truth: str, tmp_path: Path) -> None:
    evidence = claims()[name].judge(made(CASES[name], truth, tmp_path / "study"), "mnist1d")
    words = [(part.name, part.verdict.word) for part in evidence.parts]
    assert evidence.word == truth, words
    for part in evidence.parts:
        for test in part.tests:
            assert 0 <= test.p_for <= 1
            assert 0 <= test.p_against <= 1
            assert effect(test) or math.isnan(test.estimate)
            if part.verdict.word == "inconclusive" and test.verdict == "inconclusive":
                assert math.isnan(part.verdict.needed()) or part.verdict.needed() >= 2
    if truth == "supported":
        # as it is drawn from what is kept
        (tmp_path / "tables").mkdir()
        frames = kept._Frames(name, tmp_path)
        document = json.loads(json.dumps(kept._plain(frames.drawing(evidence.draw))))
        figure = frames.drawn(kept._numbers(document))()
        assert isinstance(figure, Figure)
        plt.close(figure)
        assert evidence.said.endswith(".")
        assert evidence.caption.endswith(".")
        assert len(evidence.table)


@pytest.mark.parametrize("name", list(CASES))
def test_a_claim_without_records_says_so(name: str, tmp_path: Path) -> None:
    other = [synthetic.Invented({"depth": 2, "activation": "sine", "init": "zeros", "steps": 0}, 7)]
    study = synthetic.study(tmp_path / "study", other)
    with pytest.raises(NoEvidence):
        claims()[name].judge(study, "mnist1d")


def test_numbers_are_written_as_people_do() -> None:
    assert [number(one) for one in (-0.51234, math.nan, math.inf, 12345.0)] == [
        "−0.512", "", "∞", "1.23e+04",
    ]  # fmt: skip
