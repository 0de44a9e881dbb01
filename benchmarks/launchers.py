"""Whole commands: `python -m study` against one network a job under Hydra's launchers.

Run: python -m benchmarks.launchers

Imports, composing, workers and writing are in it. Of the launchers a sample of jobs is run, in two sizes,
whose difference is what a further job costs.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import spread
from benchmarks.workload import keep_to, usable_cores

ROOT = Path(__file__).resolve().parent.parent

NETWORKS = 48
"""Of the whole sweep: two activations with as many seeds each."""

SEEDS = NETWORKS // 2

PRODUCT = (
    "study --multirun depth=8 width=64 activation=relu,tanh init=he_normal data=mnist1d "
    f"optim.lr=0.1 steps=500 batch_size=128 seeds={SEEDS} name=whole"
).split()

SMALL, LARGE = 2, 6
"""Jobs a core of the two samples, half of either activation."""

LAUNCHERS = {"hydra_basic": "basic", "hydra_joblib": "joblib"}


class CommandError(Exception):
    """A command failed, with what it said."""


def run(words: Sequence[str], folder: str | None = None) -> float:
    """Run a Python module, by default in an empty folder, and return its wall time in seconds.

    Raises:
        CommandError: it failed.
    """
    with tempfile.TemporaryDirectory() as empty:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=folder or empty,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        spent = time.perf_counter() - began
    if done.returncode:
        raise CommandError(f"{words[0]} failed: {done.stderr.strip().splitlines()[-1]}")
    return spent


def jobs(peer: str, count: int) -> list[str]:
    """Return the command of a sample of jobs."""
    return [
        f"benchmarks.peers.{peer}",
        "--multirun",
        "activation=relu,tanh",
        f"seed=range({count // 2})",
    ]


def extrapolated(peer: str, cores: int) -> dict[str, float]:
    """Return what the whole sweep would take in seconds, and one further job."""
    small, large = SMALL * cores, LARGE * cores
    few, more = run(jobs(peer, small)), run(jobs(peer, large))
    each = (more - few) / (large - small)
    return {"whole_s": few + each * (NETWORKS - small), "job_s": each}


def compare_launchers(rounds: int) -> list[dict[str, Any]]:
    """Time the product and each launcher in turn, on as many cores as the launcher uses.

    The basic launcher runs jobs one by one, so both get one core; the joblib launcher gets all.
    """
    cores = usable_cores()
    found = []
    try:
        for peer, launcher in LAUNCHERS.items():
            if (
                peer == "hydra_joblib"
                and importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None
            ):
                continue
            used = cores if launcher == "joblib" else set(sorted(cores)[-1:])
            keep_to(used)
            count = len(used) or 1
            run(jobs(peer, 2))  # files are read from the disk once
            pairs = [(run(PRODUCT), extrapolated(peer, count)) for _ in range(rounds)]
            found.append(
                {
                    "launcher": launcher,
                    "cores": count,
                    "networks": NETWORKS,
                    "sample_jobs": [SMALL * count, LARGE * count],
                    "product_s": spread([product for product, _ in pairs]),
                    "launcher_s": spread([one["whole_s"] for _, one in pairs]),
                    "job_s": spread([one["job_s"] for _, one in pairs]),
                    "over_product": spread([one["whole_s"] / own for own, one in pairs]),
                }
            )
    finally:
        keep_to(cores)
    return found


def print_launchers(found: Sequence[dict[str, Any]]) -> None:
    """Print a line a launcher."""
    for one in found:
        ratio = one["over_product"]
        print(
            f"Whole commands, {one['networks']} networks (depth 8, width 64, 500 steps), "
            f"{one['cores']} core(s): python -m study {one['product_s']['median']:.1f} s, Hydra's "
            f"{one['launcher']} launcher {one['launcher_s']['median']:.1f} s (extrapolated from "
            f"{one['sample_jobs'][0]} and {one['sample_jobs'][1]} jobs): {ratio['median']:.2f} "
            f"({ratio['least']:.2f}–{ratio['most']:.2f}) times the product's."
        )


if __name__ == "__main__":
    print_launchers(compare_launchers(3))
