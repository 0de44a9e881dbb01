"""``python -m analysis outputs/<study>``: figures, tables and a report page from a study's records."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from study.errors import StoreError, StudyError, nearest


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the report of a study and say what was found.

    Args:
        arguments: command line; default ``sys.argv``.

    Returns:
        0, 2 after an error the user can mend, or 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Render the report of a study from its records: one offline HTML page with "
        "figures (SVG, PNG) and tables (CSV) beside it, in <study>/report/. Nothing is trained.",
        epilog="example: python -m analysis outputs/standard_grid",
    )
    parser.add_argument("study", type=Path, help="the study's folder, outputs/<name>")
    chosen = parser.parse_args(arguments)
    try:
        return _report(chosen.study)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _clear()
        print("interrupted: the old report is as it was.", file=sys.stderr)
        return 130


def _report(folder: Path) -> int:
    # nothing is shown on a screen, and there may be none
    os.environ["MPLBACKEND"] = "agg"
    # imported here, for --help not to wait for it
    from analysis.advice import next_step
    from analysis.frames import Study
    from analysis.report import write_report
    from analysis.words import several

    if not folder.exists():
        around = [path.name for path in folder.parent.glob("*") if (path / "commits").is_dir()]
        raise StoreError(
            f"cannot open {folder}: there is no study in it{nearest(folder.name, around)}."
        )
    study = Study(folder)
    report = write_report(study, _tell)
    _clear()
    print("Found:")
    for finding in report.findings or [_nothing(report.counts)]:
        print(f"  - {finding}")
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


def _tell(figure: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[Kdrawing {figure}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
