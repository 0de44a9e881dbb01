"""A sweep from its conditions to its records: check, plan, run what is missing, say what came out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from study import NUMERICS_VERSION, extensions, interrupts
from study.cell import Cell, Settings, cells_of, ids_of
from study.cluster import count_of, device_of, submit
from study.datasets import pool
from study.errors import SettingError, StudyError, printable
from study.execution import (
    Room,
    environment,
    gpu_possible,
    interrupts_ignored,
    run_packs,
    start_server,
    surely_cpu,
    uses_workers,
)
from study.isolation import Done, Lost, Message, Progress
from study.packing import Pack, packs_of_plan, plan_document, plan_packs
from study.running import USUAL, Jobs, Running
from study.settings import can_run, canonical_condition, check_device, study_name
from study.store import Commit, Store, Survey, final_commits, naming

NEEDED = ("torch", "pyarrow", "scipy")
"""Packages that training needs and that nothing before it imports."""

OUTPUTS = Path("outputs")

NO_SCIENCE = ("name", "device", "retry")
"""Settings of the sweep as a whole, which decide no number."""

RETRIED: Mapping[str, tuple[str, ...]] = {
    "none": (), "failed": ("failed",), "diverged": ("failed", "diverged"),
}  # fmt: skip
"""What networks are run again that have been run, by the setting ``retry``."""

MOST_NETWORKS = 2_000_000
"""Networks of one command; the plan of a million takes a gigabyte."""

SHOWN_REASONS = 5
"""How many different errors are printed at the end of a run; all are in the records."""


def run_conditions(
    conditions: Sequence[Mapping[str, Any]], command: Sequence[str], running: Running = USUAL
) -> list[dict[str, int]]:
    """Train every network of the conditions that the study does not hold yet.

    Nothing is written before every setting, the device, the data and the folder have been checked.

    Args:
        conditions: composed settings, one dictionary a condition; all of one ``name``, ``device`` and
            ``retry``.
        command: what the user typed, kept in the plan.
        running: how to run them.

    Returns:
        For each condition how many cells it has, and how many are ok, diverged and failed.

    Raises:
        StudyError: a setting, the device, the data or the folder cannot be used.
        KeyboardInterrupt: its message says how much is finished.
    """
    for package in NEEDED:
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    here = running.jobs is None and not running.dry_run
    workers_run = uses_workers("cpu", running.workers, running.executor)
    if here and workers_run and surely_cpu(conditions[0]["device"]):
        start_server()  # has imported PyTorch by the time that the packs are known, or little later
    checked, store, device = check_conditions(conditions, running.jobs)
    retried = check_retry(_common(conditions, "retry", "failed"))
    cells = cells_of(checked)
    survey, packs, new = plan(cells, store, device, retried, running.pack_size)
    status = statuses_of(survey.commits)
    _tell_damages(survey)
    if running.dry_run:
        print(f"{store.folder.as_posix()} on {device}: {_grid(checked, len(cells))}")
    print(_outlook(cells, status, packs, retried), flush=True)
    if running.dry_run:
        if packs and running.jobs is not None:
            jobs = _counted(count_of(running.jobs, len(packs)), "job")
            print(f"They would be run by {jobs} of {running.jobs.executor}.")
        print("This was a dry run: nothing was trained or written.")
        return [_summary(settings, seeds, status) for settings, seeds in checked]
    interrupts.check()
    store.create()
    used = [extension.record for extension in extensions.loaded()]
    while new and not store.write_plan(plan_document(new, device, command, used), survey.next_plan):
        # another process has planned meanwhile, some of the same networks perhaps
        survey, packs, new = plan(cells, store, device, retried, running.pack_size)
    damaged = frozenset(path.stem for path in survey.damaged_commits)
    room = Room(
        store, device, running.checkpoint_s, running.lease_s, running.executor, running.workers,
        damaged,
    )  # fmt: skip
    elsewhere = _run(packs, room, running.jobs)
    if running.jobs is not None and not running.jobs.wait:
        return [_summary(settings, seeds, status) for settings, seeds in checked]
    if packs or survey.damaged_commits:
        survey = store.survey()
        _set_aside(survey, room)
    # not as it was at first: another process may have run it all meanwhile
    status = statuses_of(survey.commits)
    if elsewhere:
        print(
            f"{elsewhere:,} of {_counted(len(packs), 'pack')} were run by another program meanwhile."
        )
    _report(cells, status, store, survey.commits, retried)
    return [_summary(settings, seeds, status) for settings, seeds in checked]


def _tell_damages(survey: Survey) -> None:
    """Print what is damaged, and what becomes of it."""
    for damage in survey.damages:
        print(
            f"cannot read {damage}; what this command asks for of what it held is made again.",
            file=sys.stderr,
        )


def _set_aside(survey: Survey, room: Room) -> None:
    """Move those damaged commits out of the way whose networks have all run again in another pack.

    The others stay, and are told of until the command that asked for their networks is run again.

    Raises:
        StoreError: one of them cannot be moved.
    """
    if not survey.damaged_commits:
        return
    final = final_commits(survey.commits)
    held = {
        pack.id: {cell.id for cell in pack.cells}
        for plan in survey.plans
        for pack in packs_of_plan(plan)
    }
    for path, told in survey.damaged_commits.items():
        cells = told or held.get(path.stem)
        if cells is None or not cells <= final.keys():
            continue
        with naming(room.store.leases, "write to"):
            lease = room.leases.take(path.stem)
        if lease is not None:
            with lease:
                room.store.set_aside(path)


def plan(
    cells: Sequence[Cell],
    store: Store,
    device: str,
    retried: Sequence[str] = RETRIED["failed"],
    pack_size: int | None = None,
) -> tuple[Survey, list[Pack], list[Pack]]:
    """Return what a study holds, the packs to run for these cells, and those that no plan names yet.

    Raises:
        StoreError: the study is of a version that is not read.
    """
    survey = store.survey()
    return (survey, *missing_packs(cells, survey, device, retried, pack_size))


def check_conditions(
    conditions: Sequence[Mapping[str, Any]], jobs: Jobs | None = None
) -> tuple[list[tuple[Settings, list[int]]], Store, str]:
    """Return canonical settings and seeds of each condition, the study's folder and the device.

    Raises:
        StudyError: a setting, the device, the data or the folder cannot be used.
    """
    checked, networks = [], 0
    for one in conditions:
        science = {k: v for k, v in one.items() if k not in NO_SCIENCE}
        checked.append(canonical_condition(science))
        networks += len(checked[-1][1])
        if networks > MOST_NETWORKS:
            raise SettingError(
                f"cannot plan more than {MOST_NETWORKS:,} networks in one command: use fewer seeds or "
                "conditions."
            )
    name = study_name(_common(conditions, "name"))
    wanted = check_device(_common(conditions, "device"))
    device = (jobs and device_of(jobs, wanted)) or resolve_device(wanted)
    for data in {str(settings["data"]): settings["data"] for settings, _ in checked}.values():
        pool(data)
    store = Store(OUTPUTS / name)
    store.check_writable()
    return checked, store, device


def check_retry(value: Any) -> tuple[str, ...]:
    """Return the statuses of networks that are run again.

    Raises:
        SettingError: the value is not allowed.
    """
    if not isinstance(value, str) or value not in RETRIED:
        raise SettingError(f"cannot use retry={value}: allowed are {', '.join(RETRIED)}.")
    return RETRIED[value]


def _common(conditions: Sequence[Mapping[str, Any]], key: str, default: Any = None) -> Any:
    values = {str(one.get(key, default)) for one in conditions}
    if len(values) > 1:
        raise SettingError(
            f"cannot sweep over {key} ({', '.join(sorted(values))}): one sweep has one {key}."
        )
    return conditions[0].get(key, default)


def resolve_device(setting: str) -> str:
    """Return ``"cpu"`` or ``"cuda"``.

    Raises:
        StudyError: a GPU is asked for and none can be used.
    """
    if setting == "cpu":
        return "cpu"
    if "torch" in sys.modules or gpu_possible():
        import torch

        if torch.cuda.is_available():
            return "cuda"
    if setting == "cuda":
        raise StudyError(
            "cannot use device=cuda: PyTorch finds no CUDA device here; use device=cpu or device=auto."
        )
    return "cpu"


def statuses_of(commits: Sequence[Commit]) -> dict[str, str]:
    """Return the status of every cell that has been committed, its last attempt's."""
    return {cell: commit.statuses[cell] for cell, commit in final_commits(commits).items()}


def missing_packs(
    cells: Sequence[Cell],
    survey: Survey,
    device: str,
    retried: Sequence[str] = RETRIED["failed"],
    pack_size: int | None = None,
) -> tuple[list[Pack], list[Pack]]:
    """Return the packs to run for these cells, and those among them that no plan names yet.

    A cell stays in the pack that an earlier plan put it in, so that a resumed study has the same
    packs as an uninterrupted one; cells that are in no plan form new packs; cells that failed are
    tried again in packs of their own. So are the others of a pack that can no longer run as it was
    planned, because a function of the user's own was edited since, or is not here, or that is larger than
    ``pack_size``, which is lowered where a pack took more memory than there is.

    Args:
        cells: what is asked for.
        survey: what the study holds.
        device: ``"cpu"`` or ``"cuda"``.
        retried: statuses of networks that are run again.
        pack_size: most networks trained together.
    """
    committed = {one.pack for one in survey.commits}
    final = final_commits(survey.commits)
    planned: dict[str, Pack] = {}
    # networks of another version are others, with other numbers
    plans = [plan for plan in survey.plans if plan["numerics"] == NUMERICS_VERSION]
    for plan in plans:
        for pack in packs_of_plan(plan, committed):
            too_large = pack_size is not None and len(pack.cells) > pack_size
            if too_large or not _can_run(pack, final, retried):
                continue
            for cell in pack.cells:
                if cell.id not in planned or planned[cell.id].attempt < pack.attempt:
                    planned[cell.id] = pack
    lost = survey.damaged_plans
    waiting: dict[str, Pack] = {}
    unplanned: dict[int, list[Cell]] = {}
    for cell in cells:
        commit = final.get(cell.id)
        if commit is not None and commit.statuses[cell.id] not in retried:
            continue
        place = planned.get(cell.id)
        if place is not None:
            waiting[place.id] = place
        else:
            attempt = 0 if commit is None else commit.attempt + 1
            unplanned.setdefault(attempt, []).append(cell)
    new = [
        pack
        for attempt, group in unplanned.items()
        for pack in _divided(group, cells if lost else group, device, attempt, pack_size)
    ]
    packs = sorted([*waiting.values(), *new], key=lambda pack: (-pack.work, pack.id))
    return packs, new


def _divided(
    cells: Sequence[Cell],
    asked: Sequence[Cell],
    device: str,
    attempt: int,
    pack_size: int | None,
) -> list[Pack]:
    """Return packs of cells that no plan names, as near as can be to those of a plan that was lost.

    A plan that was lost was most likely made for all that is asked for: packs of it that are missing as
    a whole are run as they were, and the rest in new ones.
    """
    left = {cell.id: cell for cell in cells}
    packs = []
    if len(asked) > len(cells):
        for pack in plan_packs(asked, device, attempt, pack_size):
            if all(cell.id in left for cell in pack.cells):
                packs.append(pack)
                for cell in pack.cells:
                    del left[cell.id]
    return packs + plan_packs(left.values(), device, attempt, pack_size)


def _can_run(pack: Pack, final: Mapping[str, Commit], retried: Sequence[str]) -> bool:
    """Return whether a planned pack can run whole, with functions as they are and no cell known already."""
    for cell in pack.cells:
        commit = final.get(cell.id)
        known = commit is not None and (
            commit.statuses[cell.id] not in retried or commit.attempt >= pack.attempt
        )
        if known or not can_run(cell.settings):
            return False
    return True


def _run(packs: Sequence[Pack], room: Room, jobs: Jobs | None) -> int:
    """Run packs under a progress bar; a pack that is lost is committed as failed, with the reason.

    Returns:
        How many of them another program has run meanwhile, on the same folder.

    Raises:
        KeyboardInterrupt: with the number of packs that are finished.
    """
    if not packs:
        return 0
    shown = jobs is None or jobs.wait
    try:
        with Watch(packs, room.store, room.device, shown) as watch:
            if jobs is None:
                run_packs(packs, room, watch)
            else:
                submit(packs, room, jobs, lambda pack: watch(Done(pack, {})))
    except KeyboardInterrupt as stop:
        with interrupts_ignored():
            committed = {path.stem for path in room.store.commits.glob("*.json")}
            count = sum(pack.id in committed for pack in packs)
        more = f", and {stop}" if str(stop) else ""
        raise KeyboardInterrupt(
            f"{count:,} of {_counted(len(packs), 'pack')} finished and kept{more}"
        ) from None
    return watch.elsewhere


class Watch:
    """Shows the progress of packs, and commits those that are lost as failed.

    Args:
        packs: the packs that will run.
        store: the study's folder.
        device: ``"cpu"`` or ``"cuda"``.
        shown: whether there is a bar; a job on a cluster has nobody who would look.

    Attributes:
        elsewhere: how many packs were found committed by another program.
    """

    def __init__(
        self, packs: Sequence[Pack], store: Store, device: str, shown: bool = True
    ) -> None:
        self.store, self.device = store, device
        self.packs = {pack.id: pack for pack in packs}
        self.reached = dict.fromkeys(self.packs, 0)
        self.finished = 0
        self.elsewhere = 0
        from tqdm import tqdm

        self.bar = tqdm(
            total=sum(pack.work for pack in packs),
            disable=not (packs and shown),
            bar_format="{percentage:3.0f}% |{bar:30}| {elapsed} elapsed, {remaining} left{postfix}",
            mininterval=0.2 if sys.stderr.isatty() else 15.0,
        )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_error: object) -> None:
        self.bar.close()

    def __call__(self, message: Message) -> None:
        """Take note of a message.

        Raises:
            StudyError: the user's error, which ended a pack.
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        interrupts.check()
        pack = self.packs[message.pack]
        share = 1.0
        if isinstance(message, Progress):
            share = (message.step + 1) / (pack.cells[0].settings["steps"] + 2)
        else:
            self.finished += 1
            self.elsewhere += isinstance(message, Done) and not message.here
            postfix = f" {self.finished} of {len(self.packs)} packs"
            self.bar.set_postfix_str(postfix, refresh=False)
        if isinstance(message, Lost):
            if message.user_error:
                raise StudyError(message.reason)
            _commit_failure(pack, message.reason, self.store, self.device)
        # whole numbers: parts of one could add up to more than the total
        reached = int(share * pack.work)
        self.bar.update(reached - self.reached[pack.id])
        self.reached[pack.id] = reached


def _commit_failure(pack: Pack, why: str, store: Store, device: str) -> None:
    # they import PyTorch
    from study.records import failed_tables
    from study.training import shape_of

    store.commit(
        pack.id,
        pack.attempt,
        failed_tables(pack.cells, shape_of(pack.cells[0].settings), why),
        {cell.id: "failed" for cell in pack.cells},
        environment(device),
        0.0,
    )
    with suppress(OSError):
        store.checkpoint_of(pack.id).unlink(missing_ok=True)


def _summary(settings: Settings, seeds: Sequence[int], status: Mapping[str, str]) -> dict[str, int]:
    found = [status.get(identity, "missing") for identity in ids_of(settings, seeds)]
    return {
        "cells": len(found),
        **{kind: found.count(kind) for kind in ("ok", "diverged", "failed")},
    }


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _grid(checked: Sequence[tuple[Settings, list[int]]], networks: int) -> str:
    """Return how many networks a sweep has and why: conditions × seeds, unless some coincide."""
    conditions = _counted(len(checked), "condition")
    seeds = {len(seeds) for _, seeds in checked}
    if len(checked) * max(seeds) == networks and len(seeds) == 1:
        return f"{conditions} × {_counted(max(seeds), 'seed')} = {_counted(networks, 'network')}"
    return f"{conditions}, {_counted(networks, 'different network')}"


def _outlook(
    cells: Sequence[Cell],
    status: Mapping[str, str],
    packs: Sequence[Pack],
    retried: Sequence[str],
) -> str:
    """Return the line that says before a run what there is and what is missing."""
    found = [status.get(cell.id) for cell in cells]
    finished = sum(one is not None and one not in retried for one in found)
    networks = _counted(len(cells), "network")
    if not packs:
        failed = found.count("failed")
        kept = f" ({failed:,} failed, and retry=none leaves them so)" if failed else ""
        return f"{networks}, all finished already{kept}: nothing to do."
    before = f"{networks}: {finished:,} finished before, {len(cells) - finished:,}"
    again = ", ".join(
        f"{count:,} of them {one} before" for one in retried if (count := found.count(one))
    )
    again = f" ({again})" if again else ""
    return f"{before if finished else networks} to train{again} in {_counted(len(packs), 'pack')}."


def _report(
    cells: Sequence[Cell],
    status: Mapping[str, str],
    store: Store,
    commits: Sequence[Commit],
    retried: Sequence[str],
) -> None:
    """Print the last lines of a run: what came out, and what to type next."""
    found = [status.get(cell.id, "missing") for cell in cells]
    counts = ", ".join(
        f"{found.count(kind):,} {kind}"
        for kind in ("ok", "diverged", "failed", "missing")
        if kind in found
    )
    place = store.folder.as_posix()
    more = len(status) > len(cells)
    whole = f" (this command's; the study holds {len(status):,})" if more else ""
    print(f"{_counted(len(cells), 'network')} in {place}: {counts}{whole}.")
    if "failed" in found:
        _report_failures(cells, store, commits, "failed" in retried)
    print(f"Next: python -m analysis {place}")


def _report_failures(
    cells: Sequence[Cell], store: Store, commits: Sequence[Commit], again: bool
) -> None:
    """Print why cells failed, the most frequent reasons first."""
    reasons = failure_reasons(cells, store, commits).most_common()
    for why, count in reasons[:SHOWN_REASONS]:
        print(f"  {count:,} failed: {printable(why)}")
    if more := reasons[SHOWN_REASONS:]:
        print(
            f"  {sum(count for _, count in more):,} failed: {_counted(len(more), 'other reason')}"
        )
    print(
        "Why each cell failed stands in the column `error` of the table `cells`; "
        f"the same command {'' if again else 'without retry=none '}tries them again."
    )


def failure_reasons(cells: Sequence[Cell], store: Store, commits: Sequence[Commit]) -> Counter[str]:
    """Return how many of these cells failed for each reason, as their last attempts recorded it."""
    final = final_commits(commits)
    failed = {
        cell.id: final[cell.id]
        for cell in cells
        if cell.id in final and final[cell.id].statuses[cell.id] == "failed"
    }
    import pyarrow.parquet as pq

    reasons: Counter[str] = Counter()
    for commit in {commit.pack: commit for commit in failed.values()}.values():
        rows = pq.read_table(store.verify(commit)["cells"], columns=["cell", "error"]).to_pylist()
        reasons.update(row["error"] for row in rows if failed.get(row["cell"]) is commit)
    return reasons
