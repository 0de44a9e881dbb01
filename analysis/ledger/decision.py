"""What the tests of a claim say together: its verdict.

"For every" is an intersection-union test: each part must pass at the full level, and no correction is due.
Against a claim of "for every" one condition is enough, so that those p are corrected by Holm's method, and so
is all that a claim of "for some" looks at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.ledger.outcomes import LEVEL, Outcome, Word


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
        needed: seeds that would settle what is open; NaN where nothing is.
    """

    word: Word
    deciding: Outcome
    p: float
    supported: tuple[str, ...]
    refuted: tuple[str, ...]
    open: tuple[str, ...]
    needed: float = math.nan


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
        return _verdict("supported", weakest, weakest.p_for, tests, passed, [])
    if failed:
        place = min(range(len(tests)), key=lambda at: against[at])
        # what holds somewhere is told beside what does not, and so is corrected, too
        corrected = holm([one.p_for for one in tests])
        sure = [one for one, p in zip(tests, corrected, strict=True) if p <= LEVEL]
        if not sure:
            return _verdict("refuted", tests[place], against[place], tests, sure, failed)
        # both must be there, what holds and what does not
        p = max(against[place], min(corrected))
        return _verdict("conditional", tests[place], p, tests, sure, failed)
    weakest = max(tests, key=lambda one: one.p_for)
    return _verdict("inconclusive", weakest, weakest.p_for, tests, passed, [])


def for_some(tests: Sequence[Outcome]) -> Verdict:
    """Return the verdict of a claim that must hold in some condition, corrected over all looked at.

    Supported if some test passes; refuted if every one stands against it; else inconclusive.
    """
    corrected = holm([one.p_for for one in tests])
    passed = [one for one, p in zip(tests, corrected, strict=True) if p <= LEVEL]
    failed = [one for one in tests if one.p_against <= LEVEL]
    if passed:
        place = min(range(len(tests)), key=lambda at: corrected[at])
        return _verdict("supported", tests[place], corrected[place], tests, passed, failed)
    if len(failed) == len(tests):
        weakest = max(tests, key=lambda one: one.p_against)
        return _verdict("refuted", weakest, weakest.p_against, tests, [], failed)
    place = min(range(len(tests)), key=lambda at: corrected[at])
    return _verdict("inconclusive", tests[place], corrected[place], tests, [], failed)


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
) -> Verdict:
    rest = [one for one in tests if one not in passed and one not in failed]
    # more of the same seeds settle what is open; a verdict that stands needs none
    needed = max((one.needed for one in rest), default=math.nan)
    return Verdict(
        word,
        deciding,
        float(p),
        tuple(one.label for one in passed),
        tuple(one.label for one in failed),
        tuple(one.label for one in rest),
        needed if word == "inconclusive" else math.nan,
    )


def holm(values: Sequence[float]) -> list[float]:
    """Return p corrected by Holm's method, in the order given."""
    order = np.argsort(values, kind="stable")
    corrected, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * float(values[place])))
        corrected[place] = largest
    return corrected
