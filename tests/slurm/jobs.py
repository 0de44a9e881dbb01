"""What the tests have jobs do; every job leaves traces in a folder, one line a start."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from submitit.helpers import Checkpointable, DelayedSubmission


def trace(folder: Path, name: str) -> int:
    """Write down that a job has started, where and which time, and return how often it has."""
    with (folder / name).open("a", encoding="utf-8") as file:
        node = os.environ.get("SLURMD_NODENAME")
        file.write(f"{node} {os.environ.get('SLURM_RESTART_COUNT', 0)}\n")
    return len(starts(folder, name))


def starts(folder: Path, name: str) -> list[tuple[str, int]]:
    """Return on which node, and as which restart, a job has started so far."""
    if not (folder / name).exists():
        return []
    rows = [line.split() for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    return [(node, int(count)) for node, count in rows]


def square(folder: Path, number: int) -> int:
    """Return a number's square."""
    trace(folder, f"square{number}")
    return number**2


def wait(folder: Path, name: str, seconds: float = 300) -> int:
    """Wait the first time; the second time, return at once that it is the second."""
    times = trace(folder, name)
    if times == 1:
        time.sleep(seconds)
    return times


class Counting(Checkpointable):
    """Counts, and goes on after a checkpoint where it had come to."""

    def __init__(self) -> None:
        self.count = 0
        self.began: list[int] = []

    def __call__(self, folder: Path, name: str, enough: Path) -> list[int]:
        """Count until a file appears, and return from where each start has counted."""
        self.began.append(self.count)
        trace(folder, name)
        while not enough.exists():
            self.count += 1
            time.sleep(0.1)
        return self.began

    def checkpoint(self, *args: Any, **kwargs: Any) -> DelayedSubmission:
        """Return what is to be run after the requeue: this, as it is now."""
        return DelayedSubmission(self, *args, **kwargs)
