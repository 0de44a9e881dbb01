"""``python -m analysis.ledger.readme README.md outputs/reference/ledger``: the README's table of verdicts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.claims import FAMILY_NAMES
from analysis.ledger.again import Again
from analysis.ledger.entries import settled_by
from analysis.ledger.kept import read
from analysis.readme import write

BEGIN, END = "<!-- ledger: begin (make figures) -->", "<!-- ledger: end -->"


def table(folder: Path) -> str:
    """Return a Markdown table of a kept ledger: claim, verdict, lesson, and what stands on other networks.

    Args:
        folder: of the ledger.

    Raises:
        StoreError: there is no ledger in it.
    """
    judged, said = read(folder)
    again = [Again(**one) for one in said["again"]]
    heads = ["", "claim", "verdict", "what to take from it", *(one.name for one in again)]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for family, name in FAMILY_NAMES.items():
        of_family = [one for one in judged if one.claim.family == family]
        if of_family:
            lines.append(f"| | **{name}** |{' |' * (len(heads) - 2)}")
        for one in of_family:
            figure = f"[{one.claim.id}]({folder.as_posix()}/figures/{one.claim.id}.png)"
            there = [other.words.get(one.claim.id) or "not run" for other in again]
            lesson = one.claim.lessons.get(one.word, "") if one.word else ""
            lesson = lesson or f"Undecided. {settled_by(one)}".strip()
            row = [figure, one.claim.sentence, f"**{one.word or 'not run'}**", lesson, *there]
            lines.append(f"| {' | '.join(text.replace('|', '∣') for text in row)} |")
    if again:
        lines += ["", *(f"- {' '.join(other.told(judged))}" for other in again)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table into a file between its marks; return 0, or 2 after the user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.ledger.readme",
        description="Write the table of a ledger's verdicts into a file, between its marks.",
    )
    parser.add_argument("file", type=Path, help="the file with the marks")
    parser.add_argument("ledger", type=Path, help="the folder of a ledger")
    chosen = parser.parse_args(arguments)
    return write(chosen.file, BEGIN, END, lambda: table(chosen.ledger))


if __name__ == "__main__":
    sys.exit(main())
