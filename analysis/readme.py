"""``python -m analysis.readme README.md outputs/reference``: the README's table of figures, generated.

What stands between the two marks is made from the published study: which figures its report has, what
each shows, and which command makes the records it is drawn from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis import figures
from analysis.figures import FigureFunction
from analysis.frames import Study
from study.errors import StoreError, StudyError

BEGIN, END = "<!-- figures: begin (make figures) -->", "<!-- figures: end -->"


def table(study: Study) -> str:
    """Return a Markdown table: figure, what it shows, experiment, command."""
    place = study.folder.as_posix()
    training = [plan.command for plan in study.plans if _of(plan.cells, trained=True)]
    start = [plan.command for plan in study.plans if _of(plan.cells, trained=False)]
    both = sorted({*start, *training})
    drawers = (
        ((figures.overview,), both),
        (figures.START, start),
        (figures.TRAINING, training),
        ((figures.coverage,), both),
        (figures.START_APPENDIX, start),
        (figures.TRAINING_APPENDIX, training),
    )
    lines = ["| figure | what it shows | experiment | command |", "|---|---|---|---|"]
    for group, commands in drawers:
        for drawer in group:
            lines += _row(drawer, study, place, commands)
    return "\n".join(lines)


def _of(cells: dict[str, dict[str, Any]], trained: bool) -> bool:
    return any((one["steps"] > 0) == trained for one in cells.values())


def _row(drawer: FigureFunction, study: Study, place: str, commands: list[str]) -> list[str]:
    name = drawer.__name__
    picture = study.folder / "report" / "figures" / f"{name}.png"
    if not picture.is_file():
        return []
    shows = (drawer.__doc__ or "").partition("\n")[0].removeprefix("Draw ").rstrip(".")
    experiments = [
        word.partition("=")[2]
        for command in commands
        for word in command.split()
        if word.startswith("+experiment=")
    ]
    return [
        f"| [{name.replace('_', ' ')}]({place}/report/figures/{name}.png) | {shows} | "
        f"{', '.join(experiments)} | {'<br>'.join(f'`{one}`' for one in commands)} |"
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table into a file between its marks; return 0, or 2 after the user's error."""
    parser = argparse.ArgumentParser(prog="python -m analysis.readme")
    parser.add_argument("file", type=Path, help="the file with the marks")
    parser.add_argument("study", type=Path, help="a study with a report")
    chosen = parser.parse_args(arguments)
    try:
        text = chosen.file.read_text(encoding="utf-8")
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise StoreError(
                f"cannot write to {chosen.file}: it lacks the marks {BEGIN} and {END}."
            )
        whole = f"{before}{BEGIN}\n\n{table(Study(chosen.study))}\n\n{END}{after}"
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    chosen.file.write_text(whole, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
