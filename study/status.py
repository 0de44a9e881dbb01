"""``python -m study status <folder>``: what of a study is done, running, failed and missing, and why."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from study import NUMERICS_VERSION
from study.cluster import ordered, refusals
from study.errors import SettingError, StoreError, nearest
from study.leases import Holder, Leases, machine
from study.packing import command_of, packs_of_plan
from study.store import Commit, Store, final_commits

SHOWN = 10
"""How many different reasons, conditions and processes are listed; the rest is counted."""

HELP = """\
python -m study status <study folder> [--json]

Says what of a study's planned networks is done, running now, failed and missing, with the reason and the
place in the program for each kind of failure, what is damaged, and how to go on. It reads alone and can
be called at any time, while the study runs too, on any machine that sees the folder.

  python -m study status outputs/mine
  python -m study status outputs/mine --json      the same as JSON, for other programs

Exit codes: 0 all planned networks have run; 1 some are failed, missing or running yet, or something is
damaged; 2 there is no study."""

PACE_S = 3600.0
"""What was committed in this time before now tells how long the rest takes."""


@dataclass(frozen=True)
class Failure:
    """What has failed for one reason.

    Attributes:
        count: how many networks.
        example: one of them, by the settings that tell it from most others.
    """

    count: int
    example: str


@dataclass(frozen=True)
class Running:
    """A pack that a process is at.

    Attributes:
        holder: who.
        networks: how many the pack has.
        checkpoint_s: how long ago it was kept in the midst of its training; None: it is not yet.
    """

    holder: Holder
    networks: int
    checkpoint_s: float | None


@dataclass(frozen=True)
class Status:
    """How far a study has come.

    Attributes:
        folder: the study's.
        networks: how many are ok, diverged, failed, running and missing.
        packs: how many are committed, running, and missing.
        failures: what failed by reason, the most frequent first.
        running: the packs that processes are at.
        rest_s: how long what is running and missing takes, by what was committed of late; None: nothing is
            running, or too little was committed to tell.
        damages: what is damaged, ``<path>: <what is wrong with it>``.
        commands: which commands have networks that are missing, as typed.
        measurements: what tasks measured.
        refused: what jobs of a cluster could not do, while something is missing.
        submitted: how many missing packs jobs of a cluster were once submitted for.
    """

    folder: Path
    networks: dict[str, int]
    packs: dict[str, int]
    failures: dict[str, Failure]
    running: list[Running]
    rest_s: float | None
    damages: list[str]
    commands: list[str]
    measurements: int
    refused: list[str]
    submitted: int


def status(folder: Path) -> Status:
    """Return how far a study has come; nothing is written.

    Raises:
        StoreError: there is no study, or it is of a schema version that is not read.
    """
    store = Store(folder)
    if not store.plans.is_dir() or not store.commits.is_dir():
        raise StoreError(
            f"cannot tell the status of {folder}: there is no study in it{_meant(folder)}."
        )
    # before the records: a pack that is committed meanwhile is seen as one or the other
    holders = {
        holder.pack: holder
        for holder in Leases(store.leases, store.staging).holders()
        if holder.valid
    }
    survey = store.survey()
    final = final_commits(survey.commits)
    committed = {commit.pack for commit in survey.commits}
    at_work: set[str] = set()
    missing: set[str] = set()
    packs = Counter({"committed": len(committed)})
    running: list[Running] = []
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
            new = {cell.id for cell in pack.cells if cell.id not in final}
            if pack.id in holders:
                packs["running"] += 1
                age = _age(store.checkpoint_of(pack.id))
                running.append(Running(holders[pack.id], len(pack.cells), age))
                # what failed before is tried again
                at_work |= {cell.id for cell in pack.cells}
            elif new:
                packs["missing"] += 1
                missing |= new
                lacking = True
        if lacking:
            commands.append(command_of(plan))
    missing -= at_work
    found = Counter(commit.statuses[cell] for cell, commit in final.items() if cell not in at_work)
    rest = len(at_work) + len(missing)
    return Status(
        folder=folder,
        networks={
            **{kind: found[kind] for kind in ("ok", "diverged", "failed")},
            "running": len(at_work),
            "missing": len(missing),
        },
        packs={kind: packs[kind] for kind in ("committed", "running", "missing")},
        failures=_failures(survey.paths, final, at_work),
        running=running,
        rest_s=_rest_s(store, survey.commits, rest) if running else None,
        damages=survey.damages,
        commands=list(dict.fromkeys(commands)),
        measurements=sum(commit.measured for commit in survey.commits),
        refused=refusals(store) if missing else [],
        submitted=len(ordered(store) & (seen - committed - holders.keys())) if missing else 0,
    )


def _meant(folder: Path) -> str:
    """Return the study that may have been meant by a folder in which there is none."""
    inside = Path("outputs") / folder
    if (inside / "commits").is_dir():
        return f" (did you mean '{inside.as_posix()}'?)"
    beside = {one.parent.name: one.parent for one in folder.parent.glob("*/commits")}
    near = nearest(folder.name, beside)
    return next(
        (
            near.replace(name, path.as_posix())
            for name, path in beside.items()
            if f"'{name}'" in near
        ),
        "",
    )


def _age(path: Path) -> float | None:
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except OSError:
        return None


def _rest_s(store: Store, commits: Sequence[Commit], rest: int) -> float | None:
    """Return how long the rest of the networks takes at the present pace."""
    recent = sorted(
        (age, len(commit.statuses))
        for commit in commits
        if (age := _age(store.commits / f"{commit.pack}.json")) is not None and age < PACE_S
    )
    # those of the first are the work of a time that is not known
    done = sum(count for _, count in recent[:-1])
    return rest * recent[-1][0] / done if done else None


EXAMPLE = ("depth", "width", "activation", "init", "optim", "lr", "seed")
"""Settings by which a network that failed is told."""


def _failures(
    paths: dict[str, dict[str, Path]], final: dict[str, Commit], leave_out: set[str]
) -> dict[str, Failure]:
    """Return what failed for each reason, as the last attempts recorded it."""
    failed = {
        cell: commit.pack
        for cell, commit in final.items()
        if commit.statuses[cell] == "failed" and cell not in leave_out
    }
    if not failed:
        return {}
    import pyarrow.parquet as pq

    found: dict[str, Failure] = {}
    for pack in sorted(set(failed.values())):
        rows = pq.read_table(paths[pack]["cells"], columns=["cell", "error", *EXAMPLE]).to_pylist()
        for row in rows:
            if failed.get(row["cell"]) == pack:
                why = " ".join(str(row["error"]).split())
                example = " ".join(f"{key}={row[key]}" for key in EXAMPLE)
                known = found.get(why, Failure(0, example))
                found[why] = replace(known, count=known.count + 1)
    return dict(sorted(found.items(), key=lambda item: -item[1].count))


def lines(found: Status) -> list[str]:
    """Return a status as lines to be read."""
    total = sum(found.networks.values())
    place = found.folder.as_posix()
    counts = ", ".join(f"{count:,} {kind}" for kind, count in found.networks.items() if count)
    noun = "network" if total == 1 else "networks"
    told = [f"{total:,} {noun} in {place}: {counts or 'none planned'}."]
    if found.measurements:
        told.append(f"{found.measurements:,} measurements.")
    packs = ", ".join(f"{count:,} {kind}" for kind, count in found.packs.items() if count)
    told.append(f"Packs: {packs or 'none'}.")
    told += [_line(one) for one in found.running[:SHOWN]]
    if (more := len(found.running) - SHOWN) > 0:
        told.append(f"  running: {more:,} other packs")
    if found.rest_s is not None:
        told.append(f"The rest takes about {_span(found.rest_s)} at the present pace.")
    common = list(found.failures.items())
    for why, one in common[:SHOWN]:
        told += [f"  {one.count:,} failed: {why}", f"    for example {one.example}"]
    if rest := common[SHOWN:]:
        told.append(f"  {sum(one.count for _, one in rest):,} failed: {len(rest):,} other reasons")
    told += [f"  damaged: {damage}" for damage in found.damages]
    told += [f"  a job said: {said}" for said in found.refused[:SHOWN]]
    if found.submitted:
        told.append(
            f"Jobs were submitted for {found.submitted:,} of the missing packs; whether they wait, the "
            "scheduler says (squeue --me). While they do, nothing needs to be run again."
        )
    if found.networks["missing"] or found.damages:
        told.append(
            "What is missing may be about to run; should it not, run again:"
            if found.running
            else "To go on, run again:"
        )
        told += [f"  {command}" for command in found.commands[:SHOWN]]
        if not found.commands:
            told[-1] = "To have what is damaged made again, run the study's command again."
    elif found.networks["failed"]:
        told.append("The study's command tries what failed again, unless retry=none is set.")
    elif not found.running and total:
        told.append(f"Next: python -m analysis {place}")
    return told


def _line(one: Running) -> str:
    holder = one.holder
    where = "here" if holder.machine == machine() else f"on machine {holder.machine[:6]}"
    job = f", job {holder.job}" if holder.job else ""
    kept = "" if one.checkpoint_s is None else f", last checkpoint {_span(one.checkpoint_s)} ago"
    return (
        f"  running: pack {holder.pack} ({one.networks:,} networks) by process {holder.pid} {where}{job}, "
        f"last heard of {_span(holder.age_s)} ago{kept}"
    )


def _span(seconds: float) -> str:
    """Return a time to be read: of its largest unit and, of hours, the next."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def main(words: Sequence[str]) -> int:
    """Run what stands behind ``status`` on the command line and return the exit code.

    Raises:
        SettingError: the command line cannot be read.
        StoreError: there is no study.
    """
    if any(word in ("-h", "--help") for word in words):
        print(HELP)
        return 0
    folders = [word for word in words if word != "--json"]
    if len(folders) != 1 or folders[0].startswith("-"):
        raise SettingError(
            f"cannot read '{' '.join(['status', *words])}': behind status stands one folder, as "
            "outputs/mine, and --json."
        )
    found = status(Path(folders[0]))
    if "--json" in words:
        print(json.dumps(_plain(found), indent=1))
    else:
        print("\n".join(lines(found)))
    unfinished = [found.networks[kind] for kind in ("failed", "running", "missing")]
    return 1 if any(unfinished) or found.damages else 0


def _plain(found: Status) -> dict[str, Any]:
    return {
        "folder": found.folder.as_posix(),
        "networks": found.networks,
        "packs": found.packs,
        "failures": [
            {"reason": why, "networks": one.count, "example": one.example}
            for why, one in found.failures.items()
        ],
        "running": [
            {"pack": one.holder.pack, "networks": one.networks, "machine": one.holder.machine,
             "pid": one.holder.pid, "job": one.holder.job, "age_s": round(one.holder.age_s, 1),
             "checkpoint_s": None if one.checkpoint_s is None else round(one.checkpoint_s, 1)}
            for one in found.running
        ],
        "rest_s": None if found.rest_s is None else round(found.rest_s),
        "damages": found.damages,
        "commands": found.commands,
        "measurements": found.measurements,
        "refused": found.refused,
        "submitted": found.submitted,
    }  # fmt: skip
