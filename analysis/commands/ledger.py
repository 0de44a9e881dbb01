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
anything was run, with its figure, table and query, on one page.

All claims, from the sweeps of `make ledger`:
  python -m analysis ledger outputs/ledger
Some of them:
  python -m analysis ledger outputs/ledger --only G1,G6
Accuracy on another data set:
  python -m analysis ledger outputs/ledger_again --data digits

What it makes, below <study>/ledger/:
  index.html           the table of verdicts, and a section a claim
  figures/             the figure of each claim as SVG and PNG
  tables/ledger.csv    the verdicts; tables/<claim>.csv the numbers behind each
  queries/             the SQL that finds the rows behind each

A claim whose experiments were not run is listed with the command that runs them.

Exit codes: 0 done; 2 the command or the study is at fault, and one sentence says how; 130 stopped
by Ctrl-C.
"""


def run(words: Sequence[str]) -> int:
    """Write the ledger of a study and print its verdicts.

    Args:
        words: the command line: the study's folder, ``--only`` and ``--data``.

    Returns:
        0.

    Raises:
        StudyError: the command line or the study is at fault.
    """
    parser = Arguments(HELP)
    parser.add_argument("study", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--data", default="mnist1d")
    chosen = parser.parse_args(words)
    folder = existing(chosen.study)
    # nothing is shown on a screen, and there may be none
    os.environ["MPLBACKEND"] = "agg"
    # imported here, for --help not to wait for it
    from analysis.claims import claims
    from analysis.frames import Study
    from analysis.ledger.page import effect, write_ledger
    from study.datasets import DATASETS

    only = [one.strip() for one in chosen.only.split(",") if one.strip()]
    for one in only:
        if one not in claims():
            raise SettingError(
                f"cannot judge claim {one}: allowed are {', '.join(claims())}{nearest(one, claims())}."
            )
    if chosen.data not in DATASETS:
        raise SettingError(
            f"cannot judge on data {chosen.data}: allowed are {', '.join(sorted(DATASETS))}"
            f"{nearest(chosen.data, DATASETS)}."
        )
    made = write_ledger(Study(folder), chosen.data, only, tell)
    clear()
    for entry in made.entries:
        word = entry.word or "not run"
        shown = f"  ({effect(entry.deciding)} {entry.unit})" if entry.deciding else ""
        print(f"{entry.claim.id:4} {word:13} {entry.claim.sentence}{shown}")
    for entry in made.entries:
        if entry.missing:
            print(f"Note: {entry.claim.id} was not judged: {entry.missing}.")
    print(f"Ledger: {made.page.as_posix()}")
    return 0
