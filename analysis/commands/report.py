"""``python -m analysis outputs/<study>``: figures, tables and a report page from a study's records."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.commands.arguments import Arguments, existing
from analysis.commands.progress import clear, tell

HELP = """\
python -m analysis renders what a study found, from its records alone: findings in sentences,
figures with captions, and the table behind every figure.

Render a study's report:
  python -m analysis outputs/standard_grid
Compare two activations, or two initializers, seed by seed, each at its own best rate:
  python -m analysis compare outputs/standard_grid gelu relu
  python -m analysis compare outputs/standard_grid he_normal xavier_normal
Hold networks against the same ones in another study, trained in other packs or on another device:
  python -m analysis outputs/mine --against outputs/again

What the report is:
  <study>/report/index.html    one offline page: findings, figures, captions
  <study>/report/figures/      each figure as SVG and PNG
  <study>/report/tables/       the numbers each figure draws, as CSV
  <study>/report/queries/      the SQL that finds the rows behind each of them
The page of a comparison is made the same way, in <study>/compare/<one>-<other>/.

Commands:
  python -m analysis <study>                          the report of the study in that folder
  python -m analysis compare <study> <one> <other>    see python -m analysis compare --help
  python -m analysis diagnose <study>                 see python -m analysis diagnose --help
  python -m analysis ledger <study>                   see python -m analysis ledger --help
A study whose folder is called like a command is written with a path: ./compare

It checks the hash of every record before it uses it, and replaces an earlier page as a whole or not
at all: a run that is stopped leaves the old one as it was. The same records give the same bytes.
It never trains a network, never changes a record and never goes online.

Exit codes: 0 done; 2 the command or the study is at fault, and one sentence says how; 130 stopped
by Ctrl-C.

Train what there is to report:  python -m study --help
"""


def run(words: Sequence[str]) -> int:
    """Render the report of a study and say what was found.

    Args:
        words: the command line: the study's folder, and another study to hold against it.

    Returns:
        0.

    Raises:
        StudyError: the command line or the study is at fault.
    """
    parser = Arguments(HELP)
    parser.add_argument("study", type=Path)
    parser.add_argument("--against", type=Path)
    chosen = parser.parse_args(words)
    folder = existing(chosen.study)
    against = None if chosen.against is None else existing(chosen.against)
    # nothing is shown on a screen, and there may be none
    os.environ["MPLBACKEND"] = "agg"
    # imported here, for --help not to wait for it
    from analysis.advice import next_step
    from analysis.drawing import cores
    from analysis.frames import Study
    from analysis.report import write_report
    from analysis.words import several
    from study.errors import printable

    study = Study(folder, against)
    report = write_report(study, tell, cores())
    clear()
    print("Found:")
    for finding in report.findings or [_nothing(report.counts)]:
        print(f"  - {printable(finding)}")
    for note in report.notes:
        print(f"Note: {note}")
    drawn = f"{several(report.figures, 'figure')}, each with its table"
    print(f"Report: {report.page.as_posix()} ({drawn})")
    print(f"Next: {next_step(study)}")
    return 0


def _nothing(counts: dict[str, int]) -> str:
    """Say how far a study without findings is."""
    from analysis.words import several, share

    total = sum(counts.values())
    if not counts["ok"] + counts["diverged"]:
        return f"nothing: none of {several(total, 'network')} is finished yet."
    done = share(counts["ok"] + counts["diverged"], total, "network")
    return f"nothing to compare: {done} measured, none deep enough for a gradient to change."
