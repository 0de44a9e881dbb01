"""What a sweep of a million networks costs beside its training: planning, files, looking again, reading.

Run: python -m benchmarks.sweep_scale

Nothing is trained. A sweep is planned as the command plans it; then a study is made in which every pack is
committed, with a table `cells` of its own and, for curves and layers, the files of one real pack under other
names (hard links: the disk holds them once, a reader reads them all). Every step runs in a process of its
own, for its memory. A line is printed for every quantity and benchmarks/results/scale-cpu.json written; what
docs/cluster.md says is made from it (python -m benchmarks.readme docs/cluster.md).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.arguments import whole
from study.execution import cores, environment

RESULTS = Path(__file__).parent / "results" / "scale-cpu.json"

SIZES = (10_000, 100_000, 1_000_000)

SEEDS = 100
"""Networks of a condition; the conditions differ in depth, activation, initializer and learning rate."""


def conditions(networks: int) -> list[dict[str, Any]]:
    """Return the conditions of a sweep of so many networks, as the launcher hands them on."""
    found = []
    for number in range(max(1, networks // SEEDS)):
        rest, depth = divmod(number, 8)
        rest, activation = divmod(rest, 5)
        rest, init = divmod(rest, 5)
        found.append(
            {
                "depth": 2 + depth,
                "width": 64,
                "steps": 40,
                "batch_size": 128,
                "seeds": SEEDS,
                "data": {"name": "mnist1d"},
                "probe": {"steps": 8, "samples": 128},
                "activation": {"name": ("sigmoid", "tanh", "relu", "gelu", "identity")[activation]},
                "init": {
                    "name": (
                        "he_normal",
                        "xavier_normal",
                        "orthogonal",
                        "he_uniform",
                        "torch_default",
                    )[init]
                },
                "optim": {"name": "sgd", "lr": round(0.01 * (1 + rest), 4)},
            }
        )
    return found


def planned(folder: Path, networks: int) -> dict[str, float]:
    """Plan the sweep and write the plan; return seconds and sizes."""
    from study.cell import cells_of
    from study.packing import plan_document
    from study.settings import canonical_condition
    from study.store import Store
    from study.sweep import plan

    store = Store(folder)
    store.create()
    clock = _Clock()
    cells = cells_of(canonical_condition(one) for one in conditions(networks))
    clock.lap("ids_s")
    _, packs, new = plan(cells, store, "cpu")
    clock.lap("packs_s")
    store.write_plan(plan_document(new, "cpu", ["benchmark"]))
    clock.lap("plan_written_s")
    size = sum(path.stat().st_size for path in store.plans.iterdir())
    return {**clock.laps, "conditions": networks // SEEDS, "packs": len(packs), "plan_bytes": size}


def committed(folder: Path, networks: int) -> dict[str, float]:
    """Commit every pack of the plan, with the curves and layers of one that was trained."""
    import hashlib

    import pyarrow.parquet as pq
    import torch

    from study.execution import exact_arithmetic
    from study.packing import packs_of_plan
    from study.records import statuses, tables
    from study.schema import SCHEMA_VERSION
    from study.store import Store, _signed
    from study.training import train_pack

    store = Store(folder)
    [plan] = store.read_plans()
    packs = packs_of_plan(plan)
    with exact_arithmetic("cpu"):
        result = train_pack(packs[0].cells, torch.device("cpu"))
    made = tables(result)
    store.commit(
        packs[0].id, 0, made, dict(zip((c.id for c in packs[0].cells), statuses(result), strict=True)),
        environment("cpu"), 1.0,
    )  # fmt: skip
    [first] = store.read_commits()
    row = made["cells"].to_pylist()[0]
    clock = _Clock()
    for pack in packs[1:]:
        place = store.records / f"{pack.id}.000000000000"
        place.mkdir()
        entries = {}
        for name, entry in first.files.items():
            path = place / f"{name}.parquet"
            if name == "cells":
                settings = pack.cells[0].settings
                own = {
                    "depth": settings["depth"],
                    "activation": settings["activation"]["name"],
                    "init": settings["init"]["name"],
                    "lr": settings["optim"]["lr"],
                }
                rows = [
                    {**row, **own, "cell": cell.id, "seed": cell.settings["seed"],
                     "settings": json.dumps(cell.settings)}
                    for cell in pack.cells
                ]  # fmt: skip
                pq.write_table(made["cells"].from_pylist(rows, schema=made["cells"].schema), path)
                content = path.read_bytes()
                sha256 = hashlib.sha256(content).hexdigest()
                entry = {"rows": len(rows), "bytes": len(content), "sha256": sha256}
            else:
                os.link(folder / entry["path"], path)
            entries[name] = {**entry, "path": f"records/{place.name}/{name}.parquet"}
        text = {
            "schema": SCHEMA_VERSION, "pack": pack.id, "attempt": 0, "files": entries,
            "statuses": {cell.id: "ok" for cell in pack.cells}, "environment": environment("cpu"),
            "wall_s": 1.0,
        }  # fmt: skip
        (store.commits / f"{pack.id}.json").write_bytes(_signed(text))
    clock.lap("simulating_s")
    commits = store.read_commits()
    return {
        **clock.laps,
        "files": sum(1 + len(one.files) for one in commits),
        "commit_bytes": sum(path.stat().st_size for path in store.commits.iterdir()),
        "record_bytes": sum(e["bytes"] for one in commits for e in one.files.values()),
    }


def surveyed(folder: Path, networks: int) -> dict[str, float]:
    """Look again, as the same command does: ids, every hash, and what is missing."""
    from study.cell import cells_of
    from study.settings import canonical_condition
    from study.store import Store
    from study.sweep import missing_packs

    clock = _Clock()
    cells = cells_of(canonical_condition(one) for one in conditions(networks))
    clock.lap("ids_again_s")
    survey = Store(folder).survey()
    clock.lap("hashes_s")
    packs, _ = missing_packs(cells, survey, "cpu")
    clock.lap("nothing_missing_s")
    if packs or survey.damages:
        raise RuntimeError(f"{len(packs)} packs are missing, {len(survey.damages)} damaged")
    return clock.laps


def passed(folder: Path, networks: int) -> dict[str, float]:
    """Return what a worker of a cluster spends on a pack that another one has committed."""
    from study.execution import Room, run_job
    from study.isolation import Job
    from study.packing import packs_of_plan
    from study.store import Store

    store = Store(folder)
    [plan] = store.read_plans()
    packs = packs_of_plan(plan)
    some = packs[:: max(1, len(packs) // 1000)]
    clock = _Clock()
    for pack in some:
        run_job(Job(pack), Room(store, "cpu"), lambda _message: None)
    clock.lap("total")
    return {"worker_ms_a_pack_of_others": 1e3 * clock.laps["total"] / len(some)}


def opened(folder: Path, networks: int) -> dict[str, float]:
    """Open the study as the analysis does, and ask for its networks."""
    from analysis.frames import Study

    clock = _Clock()
    study = Study(folder)
    clock.lap("opened_s")
    count = len(study.networks)
    clock.lap("networks_s")
    study.sql("SELECT layer, count(*), avg(weight_norm) FROM layers GROUP BY ALL").fetchall()
    clock.lap("one_query_s")
    if count != networks // SEEDS * SEEDS:
        raise RuntimeError(f"{count} networks were found")
    return clock.laps


def told(folder: Path, networks: int) -> dict[str, float]:
    """Ask for the status, by its command."""
    clock = _Clock()
    command = [sys.executable, "-m", "study", "status", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    clock.lap("status_s")
    return clock.laps


STAGES: tuple[Callable[[Path, int], dict[str, float]], ...] = (
    *(planned, committed, surveyed, passed, told, opened),
)


class _Clock:
    """Seconds from one lap to the next, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now


def _staged(stage: str, folder: Path, networks: int, there: Any) -> None:
    found = next(one for one in STAGES if one.__name__ == stage)(folder, networks)
    # not the largest resident set of getrusage, which a new program inherits
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    there.send({**found, f"{stage}_memory_bytes": int(peak) * 1024})


def measured(networks: int) -> dict[str, float]:
    """Return everything measured of a sweep of so many networks."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, float] = {"networks": networks, "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as place:
        for stage in STAGES:
            here, there = context.Pipe(duplex=False)
            work = (stage.__name__, Path(place, "outputs", "large"), networks, there)
            process = context.Process(target=_staged, args=work)
            process.start()
            there.close()
            new: dict[str, float] = {}
            try:
                new = here.recv()
            except EOFError:
                process.join()
                print(
                    f"{stage.__name__}: its process ended with code {process.exitcode}", flush=True
                )
                new = {f"{stage.__name__}_failed": 1.0}
            process.join()
            found |= new
            for name, value in new.items():
                print(f"{networks:>9,} {name:28} {value:>18,.2f}", flush=True)
    return found


def main() -> int:
    """Measure, print and write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=whole, nargs="+", default=list(SIZES))
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the JSON goes")
    chosen = parser.parse_args()
    found = {
        "settings": {"seeds": SEEDS, "memory": "peak resident set of each step's process"},
        "environment": {**environment("cpu"), "cores": cores()},
        "sizes": [measured(networks) for networks in chosen.networks],
    }
    chosen.write.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"Written to {chosen.write.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
