"""What runs around training: planning, starting, helping and going on, each as whole processes.

Run: python -m benchmarks.start

A condition's share is the difference of a sweep and of one of its conditions alone, so that what every
process costs is set apart. Every command is a new process in an empty folder; data sets have been made
before. A table is printed and benchmarks/results/start-cpu.json written.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.app import CONF

RESULTS = Path(__file__).parent / "results" / "start-cpu.json"

TARGETS = {"ms_a_condition": 15.0, "first_step_s": 4.0}
"""At most, of every row."""

STUDY = ("-m", "study")

STOCK = (
    "-c",
    "import hydra, sys\n"
    "hydra.main(version_base='1.3', config_path=sys.argv.pop(1), config_name='config')(print)()",
    CONF,
)
"""Hydra's own sweeper and launcher over the same settings, with a task that prints its settings."""

FIRST_STEP = (
    "-c",
    """
import sys, time
from study import app, execution
from study.__main__ import main

run_packs = execution.run_packs

def until_the_first_step(*arguments):
    *others, tell = arguments
    def stop(message):
        print("first step at", time.monotonic(), type(message).__name__, flush=True)
        raise KeyboardInterrupt
    run_packs(*others, stop)

execution.run_packs = until_the_first_step
sys.exit(main())
""",
)
"""The command itself, stopped by the first message of a worker: the network's first step is trained.

The message comes from inside the real run, and the clock is the system's, so nothing is estimated.
"""

SWEEPS = {
    "speed": ("depth=8", "activation=relu", "init=he_normal"),
    "standard_start": ("depth=8", "activation=relu", "init=he_normal"),
}
"""Experiments, and what makes one condition of each."""

STARTS = {
    "one condition": ("depth=8",),
    "two packs": ("--multirun", "depth=8", "activation=relu,tanh"),
    "smoke": ("+experiment=smoke",),
    "speed, one rate and depth": ("+experiment=speed", "depth=8"),
}

PACKS_KEPT = 576
"""Packs of the study that is found finished."""


@dataclass(frozen=True)
class Ran:
    """A command that has run.

    Attributes:
        wall: seconds until it ended.
        cpu: seconds of processor time of it and its children that ended before it.
        out: what it printed.
        began: when it was started, by the system's clock.
    """

    wall: float
    cpu: float
    out: str
    began: float


def run(words: tuple[str, ...], folder: Path, codes: tuple[int, ...] = (0,)) -> Ran:
    """Run Python with these words in a folder.

    Raises:
        RuntimeError: it ended with another code than expected.
    """

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before, began = spent(), time.monotonic()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(CONF).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.monotonic() - began
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(words[1:])} failed: {done.stderr[-1000:]}")
    return Ran(wall, spent() - before, done.stdout, began)


def spread(values: list[float]) -> dict[str, float]:
    """Return median, smallest and largest, to a thousandth."""
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def repeated(rounds: int, measure: Callable[[Path], float]) -> dict[str, float]:
    """Return the spread of a measurement, each in an empty folder of its own."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(Path(folder)))
    return spread(found)


def conditions_of(sweep: Ran) -> int:
    """Return how many conditions a dry run has told."""
    return int(sweep.out.partition(": ")[2].partition(" condition")[0].replace(",", ""))


def per_condition(experiment: str, rounds: int) -> dict[str, Any]:
    """Time a dry run of an experiment against one of its conditions: compose, validate, plan."""
    dry = (*STUDY, f"+experiment={experiment}", "hydra.launcher.dry_run=true")
    count = 0
    alone: list[float] = []
    cpu: list[float] = []

    def measure(folder: Path) -> float:
        nonlocal count
        one, many = run((*dry, *SWEEPS[experiment]), folder), run(dry, folder)
        count = conditions_of(many)
        alone.append(one.wall)
        cpu.append(1e3 * (many.cpu - one.cpu) / (count - 1))
        return 1e3 * (many.wall - one.wall) / (count - 1)

    wall = repeated(rounds, measure)
    return {
        "experiment": experiment,
        "conditions": count,
        "ms_a_condition": wall,
        "processor_ms_a_condition": spread(cpu),
        "one_condition_s": spread(alone),
    }


def stock_per_condition(rounds: int) -> dict[str, Any]:
    """Time Hydra's own launcher and sweeper on 24 conditions of `speed`, doing nothing."""
    stock = (
        *(*STOCK, "+experiment=speed", "hydra/launcher=basic", "hydra/sweeper=basic"),
        *("depth=8", "init=torch_default,lecun_normal,xavier_normal,he_normal"),
    )
    cpu: list[float] = []

    def measure(folder: Path) -> float:
        one = run((*stock, "activation=relu", "init=he_normal"), folder)
        many = run(stock, folder)
        cpu.append(1e3 * (many.cpu - one.cpu) / 23)
        return 1e3 * (many.wall - one.wall) / 23

    wall = repeated(rounds, measure)
    return {
        "experiment": "Hydra's own, speed",
        "conditions": 24,
        "ms_a_condition": wall,
        "processor_ms_a_condition": spread(cpu),
    }


def first_step(words: tuple[str, ...], folder: Path) -> float:
    """Return seconds from the start of the command until a worker tells of its first step."""
    done = run((*FIRST_STEP, *words, "device=cpu"), folder, codes=(130,))
    [line] = [line for line in done.out.splitlines() if line.startswith("first step at ")]
    _, _, _, moment, kind = line.split()
    if kind != "Progress":
        raise RuntimeError(f"the first message of a worker was {kind}")
    return float(moment) - done.began


def finished_study(folder: Path) -> tuple[str, ...]:
    """Make a study of many packs with the records of one and return the command that finds it finished."""
    import torch

    from study.cell import cells_of
    from study.execution import environment, exact_arithmetic
    from study.packing import plan_document, plan_packs
    from study.records import tables
    from study.settings import canonical_condition
    from study.store import Store
    from study.training import train_pack

    seeds = 24 * PACKS_KEPT
    given = {
        **{"depth": 8, "width": 64, "steps": 40, "seeds": seeds, "batch_size": 128},
        **{group: {"name": name} for group, name in zip(
            ("activation", "init", "data", "optim"), ("relu", "he_normal", "mnist1d", "sgd"),
            strict=True)},
    }  # fmt: skip
    packs = plan_packs(cells_of([canonical_condition(given)]), "cpu")
    with exact_arithmetic("cpu"):
        records = tables(train_pack(packs[0].cells, torch.device("cpu")))
    store = Store(folder / "outputs" / "kept")
    store.create()
    store.write_plan(plan_document(packs, "cpu", ["benchmark"]))
    for pack in packs:
        found = {cell.id: "ok" for cell in pack.cells}
        store.commit(pack.id, 0, records, found, environment("cpu"), 0.0)
    return ("depth=8", "steps=40", f"seeds={seeds}", "name=kept", "device=cpu")


def resumed(rounds: int) -> dict[str, Any]:
    """Time what a command takes that finds its study finished, and storing a pack."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.monotonic()
        words = finished_study(folder)
        storing = time.monotonic() - began
        kept = folder / "outputs" / "kept"
        size = sum(path.stat().st_size for path in kept.rglob("*.parquet"))
        found = [run((*STUDY, *words), folder) for _ in range(rounds)]
        if any("nothing to do" not in one.out for one in found):
            raise RuntimeError("the study was not found finished")
        packs = len(list(kept.glob("commits/*.json")))
        shutil.rmtree(kept)
    return {
        "packs": packs,
        "networks": 24 * packs,
        "records_mb": round(size / 1e6, 1),
        "nothing_to_do_s": spread([one.wall for one in found]),
        "ms_to_store_a_pack": round(1e3 * storing / packs, 1),
    }


def shown(found: dict[str, float]) -> str:
    """Return a measurement with its range."""
    return f"{found['median']:.2f} ({found['least']:.2f}–{found['most']:.2f})"


def measured(rounds: int) -> dict[str, Any]:
    """Measure everything and print its line as it comes."""
    with tempfile.TemporaryDirectory() as folder:
        for words in STARTS.values():
            first_step(words, Path(folder))  # makes the data sets and compiles what was edited
    rows = [stock_per_condition(rounds), *(per_condition(one, rounds) for one in SWEEPS)]
    print("ms a condition to compose, validate and plan")
    for row in rows:
        processor = shown(row["processor_ms_a_condition"])
        print(
            f"  {row['experiment']:28}{row['conditions']:6} conditions"
            f"{shown(row['ms_a_condition']):>24}, of processor time {processor}",
            flush=True,
        )
    starts = {
        name: repeated(rounds, lambda folder, words=words: first_step(words, folder))  # type: ignore[misc]
        for name, words in STARTS.items()
    }
    print("s from the start to the first step trained")
    for name, found in starts.items():
        print(f"  {name:46}{shown(found):>24}", flush=True)
    told = {
        line: repeated(rounds, lambda folder, line=line: run((*STUDY, *line.split()), folder).wall)  # type: ignore[misc]
        for line in ("--help", "--cfg job", "depth=2 hydra.launcher.dry_run=true")
    }
    print("s of the whole command")
    for name, found in told.items():
        print(f"  {name:46}{shown(found):>24}", flush=True)
    again = resumed(rounds)
    title = f"nothing to do, {again['packs']} packs, {again['records_mb']:g} MB"
    print(f"  {title:46}{shown(again['nothing_to_do_s']):>24}")
    print(f"ms to store a pack: {again['ms_to_store_a_pack']}", flush=True)
    return {"conditions": rows, "first_step_s": starts, "commands_s": told, "finished": again}


def judge(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Print whether the targets are met, by the medians of wall time, and return it."""
    medians = {
        "ms_a_condition": {
            row["experiment"]: row["ms_a_condition"]["median"] for row in found["conditions"][1:]
        },
        "first_step_s": {name: one["median"] for name, one in found["first_step_s"].items()},
    }
    judged = {}
    for name, target in TARGETS.items():
        met = all(median <= target for median in medians[name].values())
        judged[name] = {"bound": target, "met": met}
        said = ", ".join(f"{key} {median:.2f}" for key, median in medians[name].items())
        print(
            f"Target {name.replace('_', ' ')} at most {target:g}: {'met' if met else 'MISSED'} ({said})."
        )
    return judged


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument("--quick", action="store_true", help="one round; writes nothing")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error(f"cannot use --rounds {chosen.rounds}: it must be at least 1.")
    return chosen


def main() -> int:
    """Run the benchmark, print the table, write the JSON."""
    chosen = arguments()
    loads = [os.getloadavg()[0]]
    found = measured(1 if chosen.quick else chosen.rounds)
    loads.append(os.getloadavg()[0])
    print(f"Load average before and after: {loads[0]:.1f}, {loads[1]:.1f}.")
    targets = judge(found)
    if not chosen.quick:
        from study.execution import cores, environment

        written = {
            "settings": {"rounds": chosen.rounds},
            "environment": {
                **environment("cpu"),
                "cores": cores(),
                "load_average": [round(load, 1) for load in loads],
            },
            **found,
            "targets": targets,
        }
        chosen.write.parent.mkdir(exist_ok=True)
        chosen.write.write_text(
            json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        print(f"Written to {chosen.write.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
