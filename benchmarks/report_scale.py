"""What a report costs: time and memory of ``python -m analysis`` on a study of 100,000 networks.

Run: python -m benchmarks.report_scale

A study of that size is simulated in a temporary folder (some minutes, 4 GB of disk), since what is
measured is the reading: its numbers are drawn at random, its files are those of a real study. Beside it
the standard grid, from its own records where `make report` has made them, else simulated too. A line is
printed for every quantity and benchmarks/results/report-cpu.json written.
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
from pathlib import Path
from typing import Any

from benchmarks.arguments import whole
from benchmarks.simulation import STANDARD, large, simulate
from study.execution import cores, environment
from study.store import Store

RESULTS = Path(__file__).parent / "results" / "report-cpu.json"

STANDARD_GRID = Path("outputs") / "standard_grid"

NETWORKS = 100_000

TARGETS = {
    ("standard", "wall_s"): 20.0,
    ("large", "wall_s"): 180.0,
    ("large", "peak_memory_bytes"): 4 * 2**30,
}
"""At most."""

BYTES_EACH = 50_000
"""Of disk that a simulated network takes, at most."""

IDLE = 1.0
"""Processes that wanted a core in the last minute, of which the benchmark itself is some."""

SAMPLED_EVERY = 0.2
"""Seconds between two looks at the memory."""


def family(process: int) -> list[int]:
    """Return the ids of a process and of all that descend from it."""
    found = [process]
    for children in Path("/proc", str(process), "task").glob("*/children"):
        try:
            for child in children.read_text().split():
                found += family(int(child))
        except OSError:  # it has ended
            continue
    return found


def memory(process: int) -> int:
    """Return the bytes of a process's memory, its share of what it has in common with others (PSS)."""
    try:
        lines = Path("/proc", str(process), "smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def report(folder: Path) -> dict[str, float]:
    """Render a study's report as its users do, and return what it took.

    Returns:
        ``wall_s``; ``cpu_s`` of all processes; ``peak_memory_bytes`` of all processes together;
        ``load`` of the machine before.

    Raises:
        subprocess.CalledProcessError: there is no report.
    """
    load, before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "analysis", str(folder)]
    begun, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            peak = max(peak, sum(memory(one) for one in family(running.pid)))
            time.sleep(SAMPLED_EVERY)
        wall = time.perf_counter() - begun
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "cpu_s": cpu, "peak_memory_bytes": peak, "load": load}


def measured(folder: Path, records: str, rounds: int) -> dict[str, Any]:
    """Return size of a study and the median of what so many reports of it took.

    Args:
        folder: the study's folder.
        records: ``"trained"`` or ``"simulated"``.
        rounds: how often it is reported on.
    """
    found = [report(folder) for _ in range(rounds)]
    commits = Store(folder).read_commits()
    entries = [entry for commit in commits for entry in commit.files.values()]
    return {
        "records": records,
        "networks": sum(len(commit.statuses) for commit in commits),
        "layer_rows": sum(
            commit.files["layers"]["rows"] for commit in commits if not commit.measured
        ),
        "files": len(entries),
        "record_bytes": sum(entry["bytes"] for entry in entries),
        "page_bytes": (folder / "report" / "index.html").stat().st_size,
        "rounds": rounds,
        **{name: statistics.median(one[name] for one in found) for name in found[0]},
    }


def show(name: str, row: dict[str, Any]) -> None:
    """Print a line a quantity."""
    for quantity, value in row.items():
        text = f"{value:,.1f}" if isinstance(value, float) else value
        if quantity.endswith("_bytes"):
            text = f"{value / 1e6:,.1f} MB"
        elif isinstance(value, int):
            text = f"{value:,}"
        target = TARGETS.get((name, quantity))
        verdict = "" if target is None else f"   target {'met' if value <= target else 'MISSED'}"
        print(f"{name:9} {quantity:18} {text:>14}{verdict}", flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=whole, default=NETWORKS, help="about so many networks")
    parser.add_argument("--rounds", type=whole, default=3, help="reports of the standard grid (3)")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the JSON goes")
    chosen = parser.parse_args()
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < chosen.cells * BYTES_EACH:
        parser.error(
            f"cannot simulate {chosen.cells:,} networks: {chosen.cells * BYTES_EACH / 1e9:.1f} GB of "
            f"disk are needed for temporary files and {free / 1e9:.1f} GB are free."
        )
    return chosen


def main() -> int:
    """Simulate, report, print the lines and write the JSON."""
    chosen = arguments()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        if STANDARD_GRID.is_dir():
            rows["standard"] = measured(STANDARD_GRID, "trained", chosen.rounds)
        else:
            simulate(Path(place) / STANDARD.name, STANDARD)
            rows["standard"] = measured(Path(place) / STANDARD.name, "simulated", chosen.rounds)
        show("standard", rows["standard"])
        begun, size = time.perf_counter(), large(chosen.cells)
        simulate(Path(place) / size.name, size)
        spent = time.perf_counter() - begun
        rows["large"] = measured(Path(place) / size.name, "simulated", 1)
        rows["large"]["simulating_s"] = spent
        show("large", rows["large"])
    if chosen.cells < NETWORKS:
        print(f"The targets are those of {NETWORKS:,} networks.")
    busiest = max(row["load"] for row in rows.values())
    if busiest > IDLE:
        print(f"Other work was on the machine (load {busiest:.1f}): it waited, cpu_s did not.")
    write(chosen.write, rows)
    return 0


def write(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    """Write environment, targets and everything measured as JSON."""
    found = {
        "settings": {"command": "python -m analysis", "memory": "PSS of all processes"},
        "environment": {**environment("cpu"), "cores": cores()},
        **rows,
        "targets": {
            f"{name} {quantity}": {"at_most": target, "met": rows[name][quantity] <= target}
            for (name, quantity), target in TARGETS.items()
        },
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    sys.exit(main())
