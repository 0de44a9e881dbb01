"""One sentence of what a study found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One sentence, and the figure or table that shows it.

    Attributes:
        text: the sentence.
        figure: the figure's slug, which is its table's name too.
    """

    text: str
    figure: str


def merged(findings: Iterable[tuple[str, Finding]], parts: int) -> list[Finding]:
    """Return the findings of several parts of a study, a sentence that several share once.

    Args:
        findings: label of the part and finding.
        parts: how many parts are drawn.
    """
    labels: dict[str, list[str]] = {}
    first: dict[str, Finding] = {}
    for label, finding in findings:
        labels.setdefault(finding.text, []).append(label)
        first.setdefault(finding.text, finding)

    def where(shared: list[str]) -> str:
        if not any(shared):
            return ""
        everywhere = len(shared) == parts and parts > 1
        return f"[{'every part drawn' if everywhere else '; '.join(shared)}] "

    return [Finding(where(labels[text]) + text, first[text].figure) for text in labels]
