"""``python -m study status <folder>``: what of a study is done, running, failed and missing, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study import NUMERICS_VERSION
from study.errors import SettingError, StoreError
from study.leases import Holder, Leases
from study.packing import command_of, packs_of_plan
from study.store import Store, final_commits

SHOWN = 10
"""How many different reasons, conditions and processes are listed; the rest is counted."""

HELP = """\
python -m study status <study folder> [--json]

Says what of a study's planned networks is done, running now, failed and missing, with the reason and the
place in the program for each kind of failure, what is damaged, and how to go on. It reads alone and can
be called at any time, while the study runs too, on any machine that sees the folder.

  python -m study status outputs/mine
  python -m study status outputs/mine --json      the same as JSON, for other programs

Exit codes: 0 all planned networks have run; 1 some are failed or missing; 2 there is no study."""


@dataclass(frozen=True)
class Status:
    """How far a study has come.

    Attributes:
        folder: the study's.
        networks: how many are ok, diverged, failed, running and missing.
        packs: how many are committed, running, and missing.
        failures: how many networks failed for each reason.
        holders: who is at which pack, with the number of its networks and the last checkpoint's age.
        damages: what is damaged, ``<path>: <what is wrong with it>``.
        commands: which commands have networks that are missing, as typed.
        measurements: what tasks measured.
    """

    folder: Path
    networks: dict[str, int]
    packs: dict[str, int]
    failures: Counter[str]
    holders: list[tuple[Holder, int]]
    damages: list[str]
    commands: list[str]
    measurements: int


def status(folder: Path) -> Status:
    """Return how far a study has come; nothing is written.

    Raises:
        StoreError: there is no study, or it is of a schema version that is not read.
    """
    store = Store(folder)
    if not store.plans.is_dir() or not store.commits.is_dir():
        raise StoreError(f"cannot tell the status of {folder}: there is no study in it.")
    survey = store.survey()
    final = final_commits(survey.commits)
    found = Counter(commit.statuses[cell] for cell, commit in final.items())
    holders = {
        holder.pack: holder
        for holder in Leases(store.leases, store.staging).holders()
        if holder.valid
    }
    committed = {commit.pack for commit in survey.commits}
    running: set[str] = set()
    missing: set[str] = set()
    packs = Counter({"committed": len(committed)})
    held: list[tuple[Holder, int]] = []
    commands: list[str] = []
    seen: set[str] = set()
    for plan in survey.plans:
        if plan["numerics"] != NUMERICS_VERSION:
            continue
        lacking = False
        for pack in packs_of_plan(plan, committed):
            if pack.id in seen:
                continue
            seen.add(pack.id)
            # what failed is planned once more under another attempt; its cells are known already
            new = {cell.id for cell in pack.cells if cell.id not in final}
            if pack.id in holders:
                packs["running"] += 1
                held.append((holders[pack.id], len(pack.cells)))
                running |= new
            elif new:
                packs["missing"] += 1
                missing |= new
                lacking = True
        if lacking:
            commands.append(command_of(plan))
    return Status(
        folder=folder,
        networks={
            **{kind: found[kind] for kind in ("ok", "diverged", "failed")},
            "running": len(running),
            "missing": len(missing - running),
        },
        packs={kind: packs[kind] for kind in ("committed", "running", "missing")},
        failures=_failures(survey.paths, final),
        holders=held,
        damages=survey.damages,
        commands=list(dict.fromkeys(commands)),
        measurements=sum(commit.measured for commit in survey.commits),
    )


def _failures(paths: dict[str, dict[str, Path]], final: dict[str, Any]) -> Counter[str]:
    """Return how many networks failed for each reason, as their last attempts recorded it."""
    failed = {cell: commit for cell, commit in final.items() if commit.statuses[cell] == "failed"}
    if not failed:
        return Counter()
    import pyarrow.parquet as pq

    reasons: Counter[str] = Counter()
    for pack in sorted({commit.pack for commit in failed.values()}):
        rows = pq.read_table(paths[pack]["cells"], columns=["cell", "error"]).to_pylist()
        reasons.update(
            " ".join(str(row["error"]).split())
            for row in rows
            if row["cell"] in failed and failed[row["cell"]].pack == pack
        )
    return reasons


def lines(found: Status) -> list[str]:
    """Return a status as lines to be read."""
    total = sum(found.networks.values())
    place = found.folder.as_posix()
    counts = ", ".join(f"{count:,} {kind}" for kind, count in found.networks.items() if count)
    told = [f"{total:,} networks in {place}: {counts or 'none planned'}."]
    if found.measurements:
        told.append(f"{found.measurements:,} measurements.")
    packs = ", ".join(f"{count:,} {kind}" for kind, count in found.packs.items() if count)
    told.append(f"Packs: {packs or 'none'}.")
    for holder, size in found.holders[:SHOWN]:
        job = f", job {holder.job}" if holder.job else ""
        told.append(
            f"  running: pack {holder.pack} ({size:,} networks) by process {holder.pid} on machine "
            f"{holder.machine[:6]}{job}, last heard of {holder.age_s:.0f} s ago"
        )
    if more := len(found.holders) - SHOWN:
        told += [f"  running: {more:,} other packs"] if more > 0 else []
    common = found.failures.most_common()
    told += [f"  {count:,} failed: {why}" for why, count in common[:SHOWN]]
    if rest := common[SHOWN:]:
        told.append(f"  {sum(n for _, n in rest):,} failed: {len(rest):,} other reasons")
    told += [f"  damaged: {damage}" for damage in found.damages]
    if found.networks["missing"] or found.damages:
        told.append("To go on, run again:")
        told += [f"  {command}" for command in found.commands[:SHOWN]]
        if not found.commands:
            told[-1] = "To have what is damaged made again, run the study's command again."
    elif found.networks["failed"]:
        told.append("The study's command tries what failed again, unless retry=none is set.")
    elif not found.networks["running"] and total:
        told.append(f"Next: python -m analysis {place}")
    return told


def main(words: Sequence[str]) -> int:
    """Run what stands behind ``status`` on the command line and return the exit code.

    Raises:
        SettingError: the command line cannot be read.
        StoreError: there is no study.
    """
    if not words or any(word in ("-h", "--help") for word in words):
        print(HELP)
        return 0
    folders = [word for word in words if word != "--json"]
    if len(folders) != 1 or folders[0].startswith("-"):
        raise SettingError(
            f"cannot read 'status {' '.join(words)}': behind status stands one folder, as outputs/mine, "
            "and --json."
        )
    found = status(Path(folders[0]))
    if "--json" in words:
        print(json.dumps(_plain(found), indent=1))
    else:
        print("\n".join(lines(found)))
    return 1 if found.networks["failed"] or found.networks["missing"] else 0


def _plain(found: Status) -> dict[str, Any]:
    return {
        "folder": found.folder.as_posix(),
        "networks": found.networks,
        "packs": found.packs,
        "failures": dict(found.failures.most_common()),
        "running": [
            {"pack": one.pack, "networks": size, "machine": one.machine, "pid": one.pid,
             "job": one.job, "age_s": round(one.age_s, 1)}
            for one, size in found.holders
        ],
        "damages": found.damages,
        "commands": found.commands,
        "measurements": found.measurements,
    }  # fmt: skip
