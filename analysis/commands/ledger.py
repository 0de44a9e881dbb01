"""``python -m analysis ledger outputs/<study>``: what lecture notes claim, with a verdict for each claim."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.commands.arguments import Arguments, existing
from analysis.commands.progress import clear, tell
from study.errors import SettingError, nearest

HELP = """\
python -m analysis ledger <study> weighs what lecture notes say of deep networks by the records of a study:
a verdict for each claim (supported, conditional, refuted, inconclusive) by a rule that was fixed before
its results were seen, with its figure, table and query, on one page.

All claims, from the sweeps of `make ledger`:
  python -m analysis ledger outputs/ledger
Some of them, or a family:
  python -m analysis ledger outputs/ledger --only G1,G6
  python -m analysis ledger outputs/ledger --only I
Beside it, which verdicts stand on other seeds and on another data set:
  python -m analysis ledger outputs/ledger --again outputs/ledger_again --again outputs/ledger_spirals:spirals
The commands that make the evidence, for a shell; further words go to each of them:
  python -m analysis ledger --commands --only G1 | sh -e
  python -m analysis ledger --commands seed=100 name=ledger_again | sh -e

Draw a ledger again from what is kept of it, its tables and ledger.json, without any records:
  python -m analysis ledger --redraw outputs/reference/ledger

What it makes, below <study>/ledger/:
  index.html           the table of verdicts, and a section a claim
  figures/             the figure of each claim as PNG
  tables/ledger.csv    the verdicts; tables/<claim>.csv the numbers behind each
  queries/             the SQL that finds the rows behind each
  ledger.json          verdicts, tests and sentences, from which the page is drawn

A claim whose experiments were not run is listed with the command that runs them. Accuracy is judged on
mnist1d, or on the data set named behind the study's folder: outputs/mine:digits.

Exit codes: 0 done; 2 the command or the study is at fault, and one sentence says how; 130 stopped
by Ctrl-C.
"""

DATA = "mnist1d"
"""On which accuracy is judged, if nothing else is said."""


def run(words: Sequence[str]) -> int:
    """Write the ledger of a study and print its verdicts, or print the commands that it needs.

    Args:
        words: the command line.

    Returns:
        0.

    Raises:
        StudyError: the command line or a study is at fault.
    """
    parser = Arguments(HELP)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--commands", action="store_true")
    parser.add_argument("--redraw", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--again", action="append", default=[])
    chosen = parser.parse_args(words)
    from analysis.claims import claims
    from analysis.ledger.entries import commands

    only = _named(chosen.only)
    if chosen.commands:
        for word in chosen.words:
            if "=" not in word:
                raise SettingError(
                    f"cannot read {word}: behind --commands are settings, such as seed=100."
                )
        picked = [claim for claim in claims().values() if not only or claim.id in only]
        print("\n".join(commands(*picked, settings=chosen.words)))
        return 0
    if chosen.redraw is not None:
        os.environ["MPLBACKEND"] = "agg"
        from analysis.ledger.page import redraw

        print(f"Ledger: {redraw(chosen.redraw, chosen.redraw).page.as_posix()}")
        return 0
    if len(chosen.words) != 1:
        raise SettingError(
            f"cannot read the command line: one study is needed, not {len(chosen.words)}; see --help."
        )
    [(folder, data)] = [_place(chosen.words[0])]
    again = [_place(word) for word in chosen.again]
    # nothing is shown on a screen, and there may be none
    os.environ["MPLBACKEND"] = "agg"
    # imported here, for --help not to wait for it
    from analysis.frames import Study
    from analysis.ledger.page import effect, write_ledger

    others = [(Study(path), name) for path, name in again]
    study = Study(folder)
    for damage in [
        one for each in (study, *(other for other, _ in others)) for one in each.damages
    ]:
        print(f"Note: {damage}")
    made = write_ledger(study, data, only, others, tell)
    clear()
    for entry in made.entries:
        word = entry.word or "not run"
        shown = f"  ({effect(entry.deciding)} {entry.unit})" if entry.deciding else ""
        print(f"{entry.claim.id:4} {word:13} {entry.claim.sentence}{shown}")
    for repeated in made.again:
        print("\n  ".join(repeated.told(made.entries)))
    for entry in made.entries:
        if entry.missing:
            print(f"Note: {entry.claim.id} was not judged: {entry.missing}.")
    print(f"Ledger: {made.page.as_posix()}")
    return 0


def _named(text: str) -> list[str]:
    """Return the ids of claims, families taken apart.

    Raises:
        SettingError: there is no such claim or family.
    """
    from analysis.claims import FAMILIES, claims

    found = []
    for one in (word.strip() for word in text.split(",")):
        if one and one in FAMILIES:
            found += [claim.id for claim in claims().values() if claim.family == one]
        elif one in claims():
            found.append(one)
        elif one:
            raise SettingError(
                f"cannot judge claim {one}: allowed are {', '.join([*FAMILIES, *claims()])}"
                f"{nearest(one, claims())}."
            )
    return found


def _place(word: str) -> tuple[Path, str]:
    """Return a study's folder and the data set on which accuracy is judged there.

    Raises:
        StudyError: there is no such study or data set.
    """
    from study.datasets import DATASETS

    folder, colon, data = word.rpartition(":")
    if not colon or "/" in data or "\\" in data:
        folder, data = word, DATA
    if data not in DATASETS:
        raise SettingError(
            f"cannot judge on data {data}: allowed are {', '.join(sorted(DATASETS))}"
            f"{nearest(data, DATASETS)}."
        )
    return existing(Path(folder)), data
