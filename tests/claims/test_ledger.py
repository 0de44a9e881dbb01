"""The ledger as a whole: page, corrections within a family, rules that change, verdicts that stand."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis import claims as registered
from analysis.__main__ import main
from analysis.frames import Study
from analysis.ledger import decision, drawing, entries, kept, readme
from analysis.ledger.again import Again
from analysis.ledger.claim import Amendment, Claim, Evidence, NoEvidence, Part
from analysis.ledger.outcomes import LEVEL, Outcome, seeds_needed
from analysis.ledger.page import rates, redraw, write_ledger
from study.errors import StoreError
from tests.claims import synthetic


def outcome(p_for: float, p_against: float = 1.0) -> Outcome:
    return Outcome("the condition", 1.0, 0.5, 1.5, 10, p_for, p_against, 0.4, (0.0,))


def claim(name: str, p_for: float, p_against: float = 1.0, absent: bool = False) -> Claim:
    def judge(study: Study, _data: str) -> Evidence:
        if absent:
            raise NoEvidence("the study holds none of its networks")
        study.asked.append(f"SELECT '{name}' AS claim FROM cells")
        tests = (outcome(p_for, p_against),)
        table = pd.DataFrame({"seed": [0, 1], "value": [0.5, 1.5], "activation": "relu"})
        return Evidence(
            (Part("", tests, decision.for_every(tests), "decades"),),
            table,
            20,
            f"It was {p_for} & <b>no more</b>.",
            functools.partial(drawing.lines, table, "seed", "value", "a number", "activation"),
            "A picture.",
        )

    return Claim(
        id=name,
        sentence=f"Claim {name} <script>alert(1)</script>.",
        notes=("000",),
        says="The note says it.",
        experiments=("ledger_start",),
        quantity="One number.",
        rule="Supported if above, refuted if below.",
        judge=judge,
        lessons={"supported": "It holds.", "refuted": "It does not.", "conditional": "In part."},
    )


@pytest.fixture
def study(tmp_path: Path) -> Study:
    one = synthetic.Invented({"depth": 2, "activation": "relu", "init": "he_normal", "steps": 0})
    return synthetic.study(tmp_path / "invented", [one])


def register(patch: pytest.MonkeyPatch, *made: Claim) -> None:
    known = {one.id: one for one in made}
    patch.setattr(entries, "claims", lambda: known)
    patch.setattr(registered, "claims", lambda: known)
    patch.setattr(kept, "claims", lambda: known)
    patch.setattr(entries, "fixed_rules", lambda: {one.id: one.rule_hash for one in made})


def words(study: Study) -> dict[str, str | None]:
    return {one.claim.id: one.word for one in entries.entries(study, "mnist1d")}


def test_a_verdict_must_survive_the_correction_within_its_family(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [claim(f"G{number}", 0.001) for number in (1, 2, 3)]
    register(monkeypatch, *many, claim("G4", 0.04), claim("I1", 0.04), claim("A1", 0.4, 0.4))
    # by Holm's method the largest of four keeps its p, and of two that are equal neither does
    assert words(study) == {
        **dict.fromkeys(("G1", "G2", "G3", "G4", "I1"), "supported"), "A1": "inconclusive",
    }  # fmt: skip
    register(monkeypatch, claim("G1", 0.03), claim("G2", 0.04), claim("I1", 0.04))
    assert words(study) == {"G1": "inconclusive", "G2": "inconclusive", "I1": "supported"}


def test_an_undecided_claim_counts_in_the_correction(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    # alone of its family to pass, and one of three that were asked
    register(monkeypatch, claim("A1", 0.033), claim("A2", 0.4, 0.4), claim("A3", 0.8, 0.8))
    made = {one.claim.id: one for one in entries.entries(study, "mnist1d")}
    assert {name: one.word for name, one in made.items()} == dict.fromkeys(made, "inconclusive")
    assert made["A1"].p == pytest.approx(0.099)
    assert made["A1"].needed == seeds_needed(0.4, LEVEL / 3)
    text = write_ledger(study, "mnist1d").page.read_text(encoding="utf-8")
    assert "By itself it would be supported" in text


def test_the_page_names_part_and_condition_on_which_a_verdict_hangs(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = claim("A1", 1e-5)

    def judge(asked: Study, data: str) -> Evidence:
        found = one.judge(asked, data)
        [part] = found.parts
        worse = (outcome(0.002),)
        parts = (part, Part("the other half", worse, decision.for_every(worse), "points"))
        return dataclasses.replace(found, parts=parts)

    register(monkeypatch, dataclasses.replace(one, judge=judge))
    text = write_ledger(study, "mnist1d").page.read_text(encoding="utf-8")
    assert text.count("the other half: the condition") == 2


def test_the_page_shows_every_claim_and_runs_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(
        monkeypatch, claim("G1", 1e-5), claim("G2", 1.0, 1e-5), claim("A1", 0.4), claim("I1", 0, 1, True)
    )  # fmt: skip
    made = write_ledger(study, "mnist1d", others=[(study, "mnist1d")])
    text = made.page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>no more</b>" not in text
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list) -> None:
            tags.append(tag)
            assert not [name for name, _ in attributes if name.startswith("on")]

    Reader().feed(text)
    assert tags.count("section") == 4
    assert tags.count("img") == 3
    assert f"About {seeds_needed(0.4):.0f} seeds a condition would settle it" in text
    assert "run python -m study +experiment=ledger_start" in text
    assert "as fixed before its results were seen" in text
    folder = made.page.parent
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.png" for name in ("G1", "G2", "A1")
    }
    table = pd.read_csv(folder / "tables" / "ledger.csv", keep_default_na=False)
    assert dict(zip(table["id"], table["verdict"], strict=True)) == {
        "G1": "supported", "G2": "refuted", "A1": "inconclusive", "I1": "",
    }  # fmt: skip
    assert study.sql((folder / "queries" / "G1.sql").read_text()).df()["claim"].tolist() == ["G1"]
    [again] = made.again
    assert again.standing(made.entries) == (3, 3)
    bytes_of = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_ledger(study, "mnist1d", others=[(study, "mnist1d")])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == bytes_of
    # from what is kept, without the records
    for inside in ("figures", "index.html"):
        path = folder / inside
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    redraw(folder, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == bytes_of
    (folder / kept.FILE).write_text("{")
    with pytest.raises(StoreError, match="missing or damaged"):
        redraw(folder, folder)


def test_a_verdict_that_changes_on_other_networks_is_told(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = synthetic.study(tmp_path / "other", [synthetic.Invented(
        {"depth": 3, "activation": "relu", "init": "he_normal", "steps": 0}
    )])  # fmt: skip
    flips = claim("G1", 1e-5)

    def judge(asked: Study, data: str) -> Evidence:
        good = asked.name == "invented"
        return claim("G1", 1e-5 if good else 1.0, 1.0 if good else 1e-5).judge(asked, data)

    register(monkeypatch, dataclasses.replace(flips, judge=judge), claim("G2", 1e-5))
    made = write_ledger(study, "mnist1d", others=[(other, "digits")])
    [again] = made.again
    assert again.name == "other (digits)"
    assert again.changed(made.entries) == [("G1", "supported", "refuted")]
    assert again.standing(made.entries) == (1, 2)
    told = "On other (digits) 1 of 2 verdicts stand; one does not: G1 (supported, there refuted)."
    assert again.told(made.entries) == [told]
    assert told in made.page.read_text(encoding="utf-8")
    assert f"- {told}" in readme.table(made.page.parent)


def test_what_could_not_be_judged_elsewhere_is_told_with_its_reason(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, claim("G1", 1e-5), dataclasses.replace(claim("G2", 1e-5), experiments=()))
    [one, two] = entries.entries(study, "mnist1d")
    lost = dataclasses.replace(one, word=None, missing="it takes four data sets; run python -m x")
    again = Again.of("other (digits)", [lost, two])
    assert again.told([one, two]) == [
        "On other (digits) 1 of 1 verdicts stand.",
        "G2 rests on no trained network and no data set: there the same measurement was made once more.",
        "G1 was not run there (it takes four data sets), which says nothing for or against it.",
    ]


def test_a_ledger_without_any_evidence_is_refused_and_leaves_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, claim("G1", 0, 1, True))
    with pytest.raises(StoreError, match="no records of any claim's experiments; G1 needs python"):
        write_ledger(study, "mnist1d")
    assert not (study.folder / "ledger").exists()


def test_a_rule_that_changed_shows_as_changed_with_its_reason() -> None:
    one = claim("G1", 0.0)
    assert "as fixed" in entries.rule_status(one, {"G1": one.rule_hash})
    assert "not fixed" in entries.rule_status(one, {})
    assert "without a reason" in entries.rule_status(one, {"G1": "0123456789ab"})
    told = dataclasses.replace(
        one, amendments=(Amendment("0123456789ab", one.rule_hash, "The margin was in nats."),)
    )
    status = entries.rule_status(told, {"G1": "0123456789ab"})
    assert status.endswith("changed from 0123456789ab. The margin was in nats.")
    later = dataclasses.replace(told, rule="Supported if below.")
    assert "without a reason" in entries.rule_status(later, {"G1": "0123456789ab"})
    assert dataclasses.replace(one, rule=one.rule + " ").rule_hash != one.rule_hash
    assert dataclasses.replace(one, quantity="Another.").rule_hash != one.rule_hash


def test_rates_at_an_end_of_their_list_are_counted_and_those_of_idle_networks_apart(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, claim("G1", 1e-5))
    [entry] = entries.entries(study, "mnist1d")
    table = pd.DataFrame(
        {
            "rated": ["a", "a", "b", "c", "d"],
            "place": ["largest", "largest", "largest", "smallest", "between"],
            "score": [0.4, 0.5, 0.1, 0.3, 0.1],
            "chance": 0.1,
        }
    )
    told = dataclasses.replace(entry, evidence=dataclasses.replace(entry.evidence, table=table))
    assert rates(told).startswith(
        "The best of the rates tried is the largest for 2 and the smallest for 1 of 4 conditions (1 of these"
    )
    assert rates(entry) == ""


def test_a_changed_rule_has_its_reason_beside_the_verdict(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = claim("G1", 1e-5)
    change = Amendment("0123456789ab", one.rule_hash, "The margin was in nats.")
    register(monkeypatch, dataclasses.replace(one, amendments=(change,)), claim("G2", 1e-5))
    monkeypatch.setattr(
        entries, "fixed_rules", lambda: {"G1": "0123456789ab", "G2": claim("G2", 1e-5).rule_hash}
    )
    text = write_ledger(study, "mnist1d").page.read_text(encoding="utf-8")
    shown, hidden = text.split('id="G1"')[1].split("<details>", 1)
    assert "<b>The rule was changed.</b> The margin was in nats." in shown
    assert "changed from 0123456789ab. The margin was in nats." in hidden
    assert text.count(">rule changed<") == 1


def test_commands_name_every_experiment_once_and_take_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ledger", "--commands", "--only", "G1,G6", "seed=100", "name=a b"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "python -m study +experiment=ledger_start seed=100 'name=a b'",
        "python -m study +experiment=ledger_training seed=100 'name=a b'",
    ]
    assert main(["ledger", "--commands"]) == 0
    every = capsys.readouterr().out.splitlines()
    assert len(every) == len(set(every))
    needed = {name for one in registered.claims().values() for name in one.experiments}
    assert {line.split("=")[1].split()[0] for line in every if "+experiment" in line} == needed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ledger"], "one study is needed, not 0"),
        (["ledger", "--only", "G99", "x"], "cannot judge claim G99: allowed are G, A, I, G1"),
        (["ledger", "x:nosuch"], "cannot judge on data nosuch"),
        (["ledger", "--commands", "words"], "behind --commands are settings"),
        (["ledger", "nosuch"], "there is no study in it"),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
