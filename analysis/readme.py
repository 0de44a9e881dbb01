"""``python -m analysis.readme README.md outputs/reference``: the README's table of figures, generated.

What stands between the two marks is made from a published study: which figures its report has, what
each shows, and which command makes the records it is drawn from.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analysis.frames import Study
from analysis.page import PAGE
from study.errors import StoreError, StudyError

BEGIN, END = "<!-- figures: begin (make figures) -->", "<!-- figures: end -->"

WITH_LINEAR_MODEL = ("overview", "trainability", "coverage")
"""Figures that show networks without a hidden layer, too."""

SHOWN = re.compile(r'<h3 id="(\w+)">(.*?)</h3>\n<figure>')


def table(study: Study) -> str:
    """Return a Markdown table of the figures in a study's report: figure, question, experiment, command.

    Raises:
        StoreError: the study has no report.
    """
    page = study.folder / "report" / PAGE
    if not page.is_file():
        raise StoreError(
            f"cannot list the figures of {study.folder}: it has no report; run python -m analysis "
            f"{study.folder.as_posix()} first."
        )
    place = f"{study.folder.as_posix()}/report"
    lines = ["| figure | what it shows | experiment | command |", "|---|---|---|---|"]
    for name, title in SHOWN.findall(page.read_text(encoding="utf-8")):
        query = (page.parent / "queries" / f"{name}.sql").read_text(encoding="utf-8")
        commands = _commands(study, name, query)
        experiments = re.findall(r"\+experiment=(\w+)", " ".join(commands))
        lines.append(
            f"| [{name.replace('_', ' ')}]({place}/figures/{name}.png) | {html.unescape(title)} | "
            f"{', '.join(experiments)} | {'<br>'.join(f'`{one}`' for one in commands)} |"
        )
    return "\n".join(lines)


def _commands(study: Study, name: str, query: str) -> list[str]:
    """Return the commands whose networks a figure draws."""

    def ran(chosen: Callable[[dict[str, Any]], bool]) -> set[str]:
        return {plan.command for plan in study.plans if any(map(chosen, plan.cells.values()))}

    start = ran(lambda one: one["steps"] == 0 and one["depth"] >= 2)
    training = ran(lambda one: one["steps"] > 0 and one["depth"] >= 2)
    found = start if re.search(r"\bstart = ", query) else set()
    if re.search(r"\btraining = ", query) or name == "packing":
        found = found | training
    if name == "coverage":
        found = start | training
    if name in WITH_LINEAR_MODEL:
        found = found | ran(lambda one: one["steps"] > 0 and one["depth"] == 1)
    return sorted(found or training)


def replaced(file: Path, begin: str, end: str, content: str) -> str:
    """Return a file's text with this between its marks.

    Raises:
        StoreError: there is no such file, or it lacks a mark.
    """
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise StoreError(f"cannot write to {file}: it lacks the marks {begin} and {end}.")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def write(file: Path, begin: str, end: str, make: Callable[[], str]) -> int:
    """Write what is made between a file's marks; return 0, or 2 after the user's error, which is said."""
    try:
        whole = replaced(file, begin, end, make())
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    file.write_text(whole, encoding="utf-8", newline="\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table into a file between its marks; return 0, or 2 after the user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.readme",
        description="Write the table of a study's figures into a file, between its marks.",
    )
    parser.add_argument("file", type=Path, help="the file with the marks")
    parser.add_argument("study", type=Path, help="a study with a report")
    chosen = parser.parse_args(arguments)
    return write(chosen.file, BEGIN, END, lambda: table(Study(chosen.study)))


if __name__ == "__main__":
    sys.exit(main())
