"""The same claims judged on other networks: which verdicts stand, and what could not be judged there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from analysis.ledger.entries import Entry
from analysis.ledger.outcomes import Word
from analysis.words import joined, verb


@dataclass(frozen=True)
class Again:
    """The same claims judged on other networks.

    Attributes:
        name: of the study and its data set.
        words: verdict by claim; None where it was not run.
        reasons: why not, by claim.
    """

    name: str
    words: dict[str, Word | None]
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, judged: Sequence[Entry]) -> Again:
        """Return what is to be told of the entries of another study."""
        # what to run stands behind the reason, and the claim's own section has it
        reasons = {one.claim.id: one.missing.split("; run ")[0] for one in judged if one.missing}
        return cls(name, {one.claim.id: one.word for one in judged}, reasons)

    def changed(self, judged: Sequence[Entry]) -> list[tuple[str, str, str]]:
        """Return claim, verdict and verdict there of those that came out in another way."""
        return [
            (one.claim.id, one.word, there)
            for one in judged
            if one.word and (there := self.words.get(one.claim.id)) and there != one.word
        ]

    def standing(self, judged: Sequence[Entry]) -> tuple[int, int]:
        """Return how many verdicts came out the same, and of how many that have one on both sides."""
        both = [one for one in judged if one.word and self.words.get(one.claim.id)]
        return len(both) - len(self.changed(judged)), len(both)

    def told(self, judged: Sequence[Entry]) -> list[str]:
        """Return sentences on which verdicts stand, which do not, and what could not be judged."""
        stand, of = self.standing(judged)
        changed = [f"{name} ({was}, there {there})" for name, was, there in self.changed(judged)]
        said = [
            f"On {self.name} {stand} of {of} verdicts stand"
            + (
                f"; {verb(len(changed), 'one does', 'these do')} not: {', '.join(changed)}."
                if changed
                else "."
            )
        ]
        lone = [
            one.claim.id
            for one in judged
            if not one.claim.experiments and self.words.get(one.claim.id)
        ]
        if lone:
            said.append(
                f"{joined(lone)} {verb(len(lone), 'rests', 'rest')} on no trained network and no data set: "
                "there the same measurement was made once more."
            )
        other = [name for name, *_ in self.changed(judged) if name in lone]
        if other:
            said.append(
                f"That {joined(other)} came out in another way is by the times measured, which other work on "
                "the machine changes, and not by the data."
            )
        known = {one.claim.id for one in judged if one.word}
        said += [
            f"{name} was not run there ({reason}), which says nothing for or against it."
            for name, reason in self.reasons.items()
            if name in known
        ]
        return said

    def kept(self) -> dict[str, Any]:
        """Return it as a document."""
        return asdict(self)
