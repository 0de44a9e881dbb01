"""``python -m analysis outputs/<study>``: figures, tables and a report page from a study's records."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from study.errors import StudyError


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the report of a study and say what was found.

    Args:
        arguments: command line; default ``sys.argv``.

    Returns:
        0, or 2 after an error the user can mend.
    """
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Render the report of a study from its records: one offline HTML page with "
        "figures (SVG, PNG) and tables (CSV) beside it, in <study>/report/. Nothing is trained.",
        epilog="example: python -m analysis outputs/standard_grid",
    )
    parser.add_argument("study", type=Path, help="the study's folder, outputs/<name>")
    chosen = parser.parse_args(arguments)
    from analysis.frames import Study  # imports what --help must not wait for
    from analysis.report import write_report

    try:
        report = write_report(Study(chosen.study), _tell)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    _say(report, chosen.study)
    return 0


def _tell(figure: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[Kdrawing {figure}", end="", file=sys.stderr, flush=True)


def _say(report: object, study: Path) -> None:
    """Print the last lines: what was found, where it is, what to try next."""
    from analysis.report import Report

    assert isinstance(report, Report)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    print("Found:")
    for finding in report.findings or ["nothing: no network is finished yet."]:
        print(f"  - {finding}")
    print(f"Report: {report.page.as_posix()} ({report.figures} figures, each with its table)")
    if report.counts["missing"]:
        print(
            f"Next: {report.counts['missing']:,} networks are missing; the command that began the "
            "study goes on with them."
        )
    else:
        print(
            "Next: python -m study --multirun depth=2,8,32 activation=sigmoid,relu "
            "init=xavier_normal,he_normal seeds=5 name=mine && python -m analysis outputs/mine"
        )


if __name__ == "__main__":
    sys.exit(main())
