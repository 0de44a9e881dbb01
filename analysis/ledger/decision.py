"""What the tests of a claim say together: its verdict.

"For every" is an intersection-union test: each part must pass at the full level, and no correction is due.
Against a claim of "for every" one condition is enough, so that those p are corrected by Holm's method, and so
is all that a claim of "for some" looks at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analysis.ledger.outcomes import LEVEL, Outcome, Word, seeds_needed

Side = Literal["for", "against"]


@dataclass(frozen=True)
class Verdict:
    """What the tests of a claim, or of a part of it, come to.

    Attributes:
        word: the verdict.
        deciding: the test that decided it: the weakest of those that had to pass, or of those that stood
            against it the clearest.
        p: of that test, corrected where the rule corrects.
        supported: labels of conditions for which it holds beyond doubt.
        refuted: labels of those for which the contrary does.
        open: labels of those that are undecided.
        wanting: of every test that more seeds must settle for the verdict to stand, how far it is from its
            margin and from a second one, as in `Outcome`, and by how many tests the rule divides its level.
    """

    word: Word
    deciding: Outcome
    p: float
    supported: tuple[str, ...]
    refuted: tuple[str, ...]
    open: tuple[str, ...]
    wanting: tuple[tuple[float, float, int], ...] = ()

    def needed(self, level: float = LEVEL) -> float:
        """Return the seeds that settle it at a level, as in `seeds_needed`; NaN where none would."""
        found = [seeds_needed(near, level / parts, far) for near, far, parts in self.wanting]
        return max((one for one in found if not math.isnan(one)), default=math.nan)


def for_every(tests: Sequence[Outcome]) -> Verdict:
    """Return the verdict of a claim that must hold in every condition.

    Supported if every test passes; refuted if, corrected, some stand against it and none passes; conditional
    if some do and some pass beyond doubt; else inconclusive.
    """
    against = holm([one.p_against for one in tests])
    passed = [one for one in tests if one.p_for <= LEVEL]
    failed = [one for one, p in zip(tests, against, strict=True) if p <= LEVEL]
    if len(passed) == len(tests):
        weakest = max(tests, key=lambda one: one.p_for)
        return _verdict("supported", weakest, weakest.p_for, tests, passed, [], "against")
    if failed:
        place = min(range(len(tests)), key=lambda at: against[at])
        # what holds somewhere is told beside what does not, and so is corrected, too
        corrected = holm([one.p_for for one in tests])
        sure = [one for one, p in zip(tests, corrected, strict=True) if p <= LEVEL]
        if not sure:
            return _verdict("refuted", tests[place], against[place], tests, sure, failed, "against")
        # both must be there, what holds and what does not
        p = max(against[place], min(corrected))
        return _verdict("conditional", tests[place], p, tests, sure, failed, "against")
    weakest = max(tests, key=lambda one: one.p_for)
    return _verdict("inconclusive", weakest, weakest.p_for, tests, passed, [], "against")


def for_some(tests: Sequence[Outcome]) -> Verdict:
    """Return the verdict of a claim that must hold in some condition, corrected over all looked at.

    Supported if some test passes; refuted if every one stands against it; else inconclusive.
    """
    corrected = holm([one.p_for for one in tests])
    passed = [one for one, p in zip(tests, corrected, strict=True) if p <= LEVEL]
    failed = [one for one in tests if one.p_against <= LEVEL]
    if passed:
        place = min(range(len(tests)), key=lambda at: corrected[at])
        return _verdict("supported", tests[place], corrected[place], tests, passed, failed, "for")
    if len(failed) == len(tests):
        weakest = max(tests, key=lambda one: one.p_against)
        return _verdict("refuted", weakest, weakest.p_against, tests, [], failed, "for")
    place = min(range(len(tests)), key=lambda at: corrected[at])
    return _verdict("inconclusive", tests[place], corrected[place], tests, [], failed, "for")


def opposite(verdict: Verdict) -> Verdict:
    """Return the verdict of the contrary claim."""
    words: dict[Word, Word] = {"supported": "refuted", "refuted": "supported"}
    return replace(
        verdict,
        word=words.get(verdict.word, verdict.word),
        supported=verdict.refuted,
        refuted=verdict.supported,
    )


def together(verdicts: Sequence[Verdict]) -> Word:
    """Return the word for a claim of several parts, each of which has a verdict."""
    words = {one.word for one in verdicts}
    if words == {"supported"} or words == {"refuted"}:
        return words.pop()
    if "conditional" in words or {"supported", "refuted"} <= words:
        return "conditional"
    return "inconclusive"


def _verdict(
    word: Word,
    deciding: Outcome,
    p: float,
    tests: Sequence[Outcome],
    passed: Sequence[Outcome],
    failed: Sequence[Outcome],
    divided: Side,
) -> Verdict:
    rest = [one for one in tests if one not in passed and one not in failed]
    # where all must come out alike every test wants seeds, else the one that decided
    alike = word == "inconclusive" or (word == "supported") == (divided == "against")
    wanting = tuple(
        (one.distance, one.far, len(tests) if _side(one) == divided else 1)
        for one in (tests if alike else [deciding])
    )
    return Verdict(
        word,
        deciding,
        float(p),
        tuple(one.label for one in passed),
        tuple(one.label for one in failed),
        tuple(one.label for one in rest),
        wanting,
    )


def _side(test: Outcome) -> Side:
    """Return the side towards which a test leans."""
    return "for" if test.p_for <= test.p_against else "against"


def holm(values: Sequence[float]) -> list[float]:
    """Return p corrected by Holm's method, in the order given."""
    order = np.argsort(values, kind="stable")
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * float(values[place])))
        corrected[place] = largest
    return corrected
