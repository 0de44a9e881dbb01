"""Draws the figures of a report, those of a large study in several processes."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import figures
from analysis.frames import Study, Variant
from analysis.page import Shown, Writer

MANY_NETWORKS = 2000
"""A second process first imports what it needs and is handed the study: that pays for the standard grid's
4,960 networks, and costs more than it saves for a study of some dozens."""

MOST_PROCESSES = 4
"""Each holds a copy of what is known of every network; some twenty figures do not keep more of them busy."""


@dataclass(frozen=True)
class Task:
    """A figure to draw.

    Attributes:
        figure: name of its function in `analysis.figures`.
        kind: ``"start"`` or ``"training"``, whose part is drawn; empty where the figure chooses.
        part: which of the study's parts of that kind, from 0 on.
        slug: its id on the page and the name of its files.
    """

    figure: str
    kind: str
    part: int
    slug: str

    @property
    def drawer(self) -> figures.FigureFunction:
        """The function that draws it."""
        found: figures.FigureFunction = getattr(figures, self.figure)
        return found

    def variant(self, study: Study) -> Variant | None:
        """Return the part of the study to draw."""
        parts = {"start": study.starts, "training": study.trained}
        return parts[self.kind][self.part] if self.kind else None


@dataclass(frozen=True)
class Result:
    """What came of a task.

    Attributes:
        shown: how the page shows the figure; None where it does not apply.
        table: the numbers drawn.
        reason: why it does not apply.
    """

    shown: Shown | None
    table: pd.DataFrame
    reason: str = ""


def draw_all(
    study: Study,
    folder: Path,
    parts: int,
    tasks: Sequence[Task],
    tell: Callable[[str], None],
    processes: int = 1,
) -> dict[str, Result]:
    """Draw figures, write their files into a report's folder and return what came of each, by slug.

    Args:
        study: an opened study.
        folder: the report's folder.
        parts: how many parts of the study the page draws.
        tasks: the figures.
        tell: called with the name of each figure as its turn comes.
        processes: how many processes may draw; a small study is drawn by this one.
    """
    processes = min(processes, MOST_PROCESSES, len(tasks))
    results = (
        _in_processes(study, folder, parts, tasks, processes)
        if processes > 1 and len(study.networks) >= MANY_NETWORKS
        else _one_by_one(study, folder, parts, tasks)
    )
    found = {}
    for task, result in zip(tasks, results, strict=True):
        tell(task.slug)
        found[task.slug] = result
    return found


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _one_by_one(study: Study, folder: Path, parts: int, tasks: Sequence[Task]) -> Iterator[Result]:
    writer = Writer(study, folder, parts)
    for task in tasks:
        yield _draw(writer, task)


def _in_processes(
    study: Study, folder: Path, parts: int, tasks: Sequence[Task], processes: int
) -> Iterator[Result]:
    pool = ProcessPoolExecutor(
        processes,
        # a fork of a process in which DuckDB has threads may hang
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open,
        initargs=(study, folder, parts),
    )
    try:
        yield from pool.map(_draw_here, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


_here: Writer | None = None
"""What a process draws with; one process, one study."""


def _open(study: Study, report: Path, parts: int) -> None:
    """Begin the life of a process that draws."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.environ["MPLBACKEND"] = "agg"
    _here = Writer(study, report, parts)


def _draw_here(task: Task) -> Result:
    assert _here is not None
    return _draw(_here, task)


def _draw(writer: Writer, task: Task) -> Result:
    variant = task.variant(writer.study)
    try:
        shown, table = writer.draw(
            functools.partial(task.drawer.drawing, writer.study, variant),
            task.slug,
            "true" if variant is None else variant.where,
        )
    except figures.NotApplicable as reason:
        return Result(None, pd.DataFrame(), str(reason))
    return Result(shown, table)
