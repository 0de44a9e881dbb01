"""The ledger's entries: every claim judged and corrected within its family, its rule beside the fixed one."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.claims import claims
from analysis.frames import Study
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.decision import holm
from analysis.ledger.outcomes import LEVEL, Outcome, Word
from analysis.words import several

FIXED = Path(__file__).parent.parent / "claims" / "rules.json"
"""Hashes of the rules by claim, committed before any result of theirs was seen."""


@dataclass(frozen=True)
class Entry:
    """A claim with what came out.

    Attributes:
        claim: the claim.
        evidence: what the records say; None where there are none.
        word: the verdict after the correction within its family; None without evidence.
        p: of the deciding test, corrected within the family.
        deciding: that test; None without evidence.
        unit: of its estimate.
        level: of the test that it must pass: what Holm's method leaves of 5 % for the undecided claims of its
            family.
        needed: seeds that would settle an inconclusive verdict at that level.
        rule: how the rule stands to the one that was fixed, in words.
        missing: what to run where there is no evidence.
        queries: the SQL that found the rows.
    """

    claim: Claim
    evidence: Evidence | None
    word: Word | None
    p: float
    deciding: Outcome | None
    unit: str
    level: float
    needed: float
    rule: str
    missing: str
    queries: tuple[str, ...]


def fixed_rules() -> dict[str, str]:
    """Return the hashes of rules as they were fixed, by claim."""
    if not FIXED.exists():
        return {}
    found: dict[str, str] = json.loads(FIXED.read_text(encoding="utf-8"))
    return found


def rule_status(claim: Claim, fixed: Mapping[str, str]) -> str:
    """Say how a rule stands to the one that was fixed before its results were seen."""
    now, was = claim.rule_hash, fixed.get(claim.id)
    if was is None:
        return f"rule {now}: not fixed before its results were seen"
    if was == now:
        return f"rule {now}, as fixed before its results were seen"
    # a reason that was given for one change excuses no later one
    steps = [was, *(one.became for one in claim.amendments)]
    told = [one.was for one in claim.amendments] == steps[:-1]
    if not told or steps[-1] != now:
        return f"rule {now}: changed from {was} without a reason"
    reasons = " ".join(one.why for one in claim.amendments)
    return f"rule {now}: changed from {was}. {reasons}"


def entries(
    study: Study,
    data: str,
    only: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Entry]:
    """Judge claims by a study's records.

    Args:
        study: an opened study.
        data: name of the data set on which accuracy is judged.
        only: ids of the claims; default all. The correction within a family is over those judged.
        tell: called with the id of each claim as its turn comes.
    """
    fixed = fixed_rules()
    judged: list[tuple[Claim, Evidence | None, str, tuple[str, ...]]] = []
    for claim in claims().values():
        if only and claim.id not in only:
            continue
        tell(claim.id)
        study.asked.clear()
        try:
            evidence: Evidence | None = claim.judge(study, data)
            missing = ""
        except NoEvidence as reason:
            evidence, missing = None, f"{reason}; run {' && '.join(commands(claim))}"
        judged.append((claim, evidence, missing, tuple(dict.fromkeys(study.asked))))
    corrected = _within_families(judged)
    undecided = Counter(claims()[name].family for name, p in corrected.items() if p > LEVEL)
    return [
        _entry(
            claim,
            evidence,
            corrected.get(claim.id, math.nan),
            LEVEL / max(undecided[claim.family], 1),
            fixed,
            missing,
            queries,
        )
        for claim, evidence, missing, queries in judged
    ]


def commands(*chosen: Claim, settings: Sequence[str] = ()) -> list[str]:
    """Return the commands that make the evidence of claims, each once, those that train first.

    Args:
        chosen: the claims.
        settings: further words for every command that trains, ``"seed=100"``; of tasks only ``name``.
    """
    more = "".join(f" {shlex.quote(word)}" for word in settings)
    experiments = dict.fromkeys(name for claim in chosen for name in claim.experiments)
    runs = [f"python -m study +experiment={name}{more}" for name in experiments]
    tasks = dict.fromkeys(name for claim in chosen for name in claim.tasks)
    if not tasks:
        return runs
    named = [word for word in settings if word.startswith("name=")] or ["name=ledger"]
    return [*runs, f"python -m study measure {' '.join(tasks)} {shlex.quote(named[-1])}"]


def settled_by(entry: Entry) -> str:
    """Say what would settle an undecided claim; nothing of one that is decided or lacks numbers."""
    if entry.word != "inconclusive" or entry.deciding is None or math.isnan(entry.needed):
        return ""
    if math.isinf(entry.needed):
        return (
            "No reasonable number of seeds would settle it: the difference, if there is one, is too small "
            "to matter."
        )
    repeats = several(round(entry.needed), entry.deciding.each)
    return (
        f"About {repeats} a condition would settle it with a power of 90 %, were the estimate true."
    )


def deciding_part(evidence: Evidence) -> Part:
    """Return the part of a claim on which its verdict hangs.

    Of several parts that all had to come out as they did, the weakest.
    """
    word = evidence.word
    same = [part for part in evidence.parts if part.verdict.word == word]
    # supported and refuted parts make a conditional claim: what is open is not what it hangs on
    same = same or [part for part in evidence.parts if part.verdict.word != "inconclusive"]
    return max(same, key=lambda one: one.verdict.p)


def _within_families(
    judged: Sequence[tuple[Claim, Evidence | None, str, tuple[str, ...]]],
) -> dict[str, float]:
    """Return the p of every claim with evidence, corrected over its family by Holm's method.

    Those that came out undecided count, too: a family of only what passed would correct for nothing.
    """
    corrected: dict[str, float] = {}
    for family in {claim.family for claim, *_ in judged}:
        found = {
            claim.id: deciding_part(evidence).verdict.p
            for claim, evidence, *_ in judged
            if claim.family == family and evidence
        }
        numbers = [1.0 if math.isnan(p) else p for p in found.values()]
        corrected |= dict(zip(found, holm(numbers), strict=True))
    return corrected


def _entry(
    claim: Claim,
    evidence: Evidence | None,
    corrected: float,
    level: float,
    fixed: Mapping[str, str],
    missing: str,
    queries: tuple[str, ...],
) -> Entry:
    rule = rule_status(claim, fixed)
    if evidence is None:
        return Entry(claim, None, None, math.nan, None, "", level, math.nan, rule, missing, queries)
    part = deciding_part(evidence)
    deciding, p, unit = part.verdict.deciding, part.verdict.p, part.unit
    word: Word = evidence.word
    if word != "inconclusive" and corrected > LEVEL:
        word = "inconclusive"
    # what only the correction leaves undecided hangs on the part that decides
    wanting = [one for one in evidence.parts if one.verdict.word == "inconclusive"] or [part]
    if word != evidence.word:
        wanting = [part]
    found = [one.verdict.needed(level) for one in wanting] if word == "inconclusive" else []
    needed = max((one for one in found if not math.isnan(one)), default=math.nan)
    return Entry(
        claim, evidence, word, p if math.isnan(corrected) else corrected, deciding, unit, level, needed, rule,
        missing, queries,
    )  # fmt: skip


def table(judged: Sequence[Entry]) -> pd.DataFrame:
    """Return the ledger as a table, a row a claim.

    Columns: ``id, claim, verdict`` (empty where nothing was run), ``test`` (the condition that decided),
    ``effect, low, high, unit, seeds, each`` (what every number is of: a seed, a round), ``networks, p``
    (corrected within the family), ``needed_seeds, rule``.
    """
    rows = []
    for entry in judged:
        test, evidence = entry.deciding, entry.evidence
        rows.append(
            {
                "id": entry.claim.id,
                "claim": entry.claim.sentence,
                "verdict": entry.word or "",
                "test": test.label if test else "",
                "effect": test.estimate if test else math.nan,
                "low": test.low if test else math.nan,
                "high": test.high if test else math.nan,
                "unit": entry.unit,
                "seeds": test.seeds if test else 0,
                "each": test.each if test else "",
                "networks": evidence.networks if evidence else 0,
                "p": entry.p,
                "needed_seeds": entry.needed,
                "rule": entry.rule,
            }
        )
    return pd.DataFrame(rows)
