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


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table into a file between its marks; return 0, or 2 after the user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.readme",
        description="Write the table of a study's figures into a file, between its marks.",
    )
    parser.add_argument("file", type=Path, help="the file with the marks")
    parser.add_argument("study", type=Path, help="a study with a report")
    chosen = parser.parse_args(arguments)
    try:
        text = chosen.file.read_text(encoding="utf-8") if chosen.file.is_file() else ""
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
