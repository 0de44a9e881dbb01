"""What a claim is, and the evidence for or against it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from analysis.frames import Study
from analysis.ledger.decision import Verdict, together
from analysis.ledger.outcomes import Outcome, Word

NOTES = ("000", "001", "002", "003", "004")
"""The five lecture notes, by number."""


@dataclass(frozen=True)
class Part:
    """A part of a claim with a verdict of its own.

    Attributes:
        name: what it says; empty for a claim of one part.
        tests: one a condition.
        verdict: what they come to by the rule.
        unit: of the estimates.
    """

    name: str
    tests: tuple[Outcome, ...]
    verdict: Verdict
    unit: str


@dataclass(frozen=True)
class Evidence:
    """What the records say of a claim.

    Attributes:
        parts: at least one.
        table: the numbers behind the tests, one row a seed and condition, or a measurement.
        networks: how many networks were looked at; 0 for what is measured without any.
        said: what came out, in a sentence or two whose numbers are computed.
        draw: draws the figure: a function of a module here with what it needs, ``functools.partial(draw,
            table)``, so that it can be kept and drawn again; see `analysis.ledger.kept`.
        caption: of the figure: what is drawn, how many seeds, what to look for.
    """

    parts: tuple[Part, ...]
    table: pd.DataFrame
    networks: int
    said: str
    draw: functools.partial[Figure]
    caption: str

    @property
    def word(self) -> Word:
        """The verdict of the whole claim."""
        return together([one.verdict for one in self.parts])


@dataclass(frozen=True)
class Amendment:
    """A change of a rule after it was fixed.

    Attributes:
        was: the first twelve digits of the earlier text's SHA-256.
        became: those of the text that took its place.
        why: the reason, in a sentence.
    """

    was: str
    became: str
    why: str


class NoEvidence(Exception):  # noqa: N818 - it is an answer, not an error
    """A study has no records of a claim's experiments; the message says what to run."""


@dataclass(frozen=True)
class Claim:
    """A sentence about deep networks that records can decide.

    Attributes:
        id: family and number, ``"G1"``.
        sentence: the claim.
        notes: the notes that make it, by number; empty where it is only of the lecture or ours.
        says: what the notes say, in our words, or where the claim comes from.
        experiments: files in ``conf/experiment`` that train what it needs.
        tasks: tasks of ``python -m study measure`` that it needs.
        quantity: what is measured.
        rule: when it is supported, refuted or conditional, as fixed before its results were seen.
        judge: takes a study's records and the data set's name and weighs them by the rule.
        lessons: the one line to take away, by verdict.
        limits: where the set-up differs from the source, or the verdict does not reach.
        amendments: changes of the rule, the latest last; each begins where the one before ended.
    """

    id: str
    sentence: str
    notes: tuple[str, ...]
    says: str
    experiments: tuple[str, ...]
    quantity: str
    rule: str
    judge: Callable[[Study, str], Evidence]
    lessons: Mapping[Word, str]
    limits: str = ""
    tasks: tuple[str, ...] = ()
    amendments: tuple[Amendment, ...] = field(default=())

    @property
    def family(self) -> str:
        """Its first letter."""
        return self.id[0]

    @property
    def number(self) -> int:
        """Its place in the family."""
        return int(self.id[1:])

    @property
    def rule_hash(self) -> str:
        """The first twelve digits of the SHA-256 of what is measured and of the rule."""
        text = f"{self.quantity}\n{self.rule}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]
