"""A sweep from its conditions to its records: check, plan, run what is missing, say what came out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from study import NUMERICS_VERSION, extensions
from study.cell import Cell, Settings, cells_of, ids_of
from study.datasets import pool
from study.errors import SettingError, StudyError
from study.execution import (
    Lost,
    Message,
    Progress,
    environment,
    gpu_possible,
    run_packs,
    start_server,
    surely_cpu,
    uses_workers,
)
from study.packing import Pack, packs_of_plan, plan_document, plan_packs
from study.settings import can_run, canonical_condition, check_device, study_name
from study.store import Commit, Store, final_commits

NEEDED = ("torch", "pyarrow", "scipy")
"""Packages that training needs and that nothing before it imports."""

OUTPUTS = Path("outputs")

FINISHED = ("ok", "diverged")

SHOWN_REASONS = 5
"""How many different errors are printed at the end of a run; all are in the records."""


def run_conditions(
    conditions: Sequence[Mapping[str, Any]],
    command: Sequence[str],
    workers: int | None = None,
    pack_size: int | None = None,
    dry_run: bool = False,
) -> list[dict[str, int]]:
    """Train every network of the conditions that the study does not hold yet.

    Nothing is written before every setting, the device, the data and the folder have been checked.

    Args:
        conditions: composed settings, one dictionary a condition; all of one ``name`` and ``device``.
        command: what the user typed, kept in the plan.
        workers: worker processes on the CPU; default one a core.
        pack_size: most networks trained together; default what suits their shape and the device.
        dry_run: say what would run, and neither train nor write.

    Returns:
        For each condition how many cells it has, and how many are ok, diverged and failed.

    Raises:
        StudyError: a setting, the device, the data or the folder cannot be used.
        KeyboardInterrupt: its message says how much is finished.
    """
    for package in NEEDED:
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    if not dry_run and uses_workers("cpu", workers) and surely_cpu(conditions[0]["device"]):
        start_server()  # has imported PyTorch by the time that the packs are known, or little later
    checked, store, device = check_conditions(conditions)
    cells = cells_of(checked)
    commits = store.read_commits()
    store.verify_all(commits)
    packs, new = missing_packs(cells, store, commits, device, pack_size)
    status = statuses_of(commits)
    if dry_run:
        print(f"{store.folder.as_posix()} on {device}: {_grid(checked, len(cells))}")
    print(_outlook(cells, status, len(packs)), flush=True)
    if dry_run:
        print("This was a dry run: nothing was trained or written.")
    else:
        store.create()
        if new:
            used = [extension.record for extension in extensions.loaded()]
            store.write_plan(plan_document(new, device, command, used))
        _run(packs, store, device, workers)
        if packs:
            commits = store.read_commits()
            status = statuses_of(commits)
        _report(cells, status, store, commits)
    return [_summary(settings, seeds, status) for settings, seeds in checked]


def check_conditions(
    conditions: Sequence[Mapping[str, Any]],
) -> tuple[list[tuple[Settings, list[int]]], Store, str]:
    """Return canonical settings and seeds of each condition, the study's folder and the device.

    Raises:
        StudyError: a setting, the device, the data or the folder cannot be used.
    """
    checked = [
        canonical_condition({k: v for k, v in one.items() if k not in ("name", "device")})
        for one in conditions
    ]
    name = study_name(_common(conditions, "name"))
    device = resolve_device(check_device(_common(conditions, "device")))
    for data in {str(settings["data"]): settings["data"] for settings, _ in checked}.values():
        pool(data)
    store = Store(OUTPUTS / name)
    store.check_writable()
    return checked, store, device


def _common(conditions: Sequence[Mapping[str, Any]], key: str) -> Any:
    values = {str(one[key]) for one in conditions}
    if len(values) > 1:
        raise SettingError(
            f"cannot sweep over {key} ({', '.join(sorted(values))}): one sweep has one {key}."
        )
    return conditions[0][key]


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
    store: Store,
    commits: Sequence[Commit],
    device: str,
    pack_size: int | None = None,
) -> tuple[list[Pack], list[Pack]]:
    """Return the packs to run for these cells, and those among them that no plan names yet.

    A cell stays in the pack that an earlier plan put it in, so that a resumed study has the same
    packs as an uninterrupted one; cells that are in no plan form new packs; cells that failed are
    tried again in packs of their own. So are the others of a pack that can no longer run as it was
    planned, because a function of the user's own was edited since, or is not here, or that is larger than
    ``pack_size``, which is lowered where a pack took more memory than there is.

    Raises:
        StoreError: the study's folder is damaged.
    """
    committed = {one.pack for one in commits}
    final = final_commits(commits)
    planned: dict[str, Pack] = {}
    # networks of another version are others, with other numbers
    plans = [plan for plan in store.read_plans() if plan["numerics"] == NUMERICS_VERSION]
    for plan in plans:
        for pack in packs_of_plan(plan, committed):
            too_large = pack_size is not None and len(pack.cells) > pack_size
            if too_large or not _can_run(pack, final):
                continue
            for cell in pack.cells:
                if cell.id not in planned or planned[cell.id].attempt < pack.attempt:
                    planned[cell.id] = pack
    waiting: dict[str, Pack] = {}
    unplanned: dict[int, list[Cell]] = {}
    for cell in cells:
        commit = final.get(cell.id)
        if commit is not None and commit.statuses[cell.id] in FINISHED:
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
        for pack in plan_packs(group, device, attempt, pack_size)
    ]
    packs = sorted([*waiting.values(), *new], key=lambda pack: (-pack.work, pack.id))
    return packs, new


def _can_run(pack: Pack, final: Mapping[str, Commit]) -> bool:
    """Return whether a planned pack can run whole, with functions as they are and no cell known already."""
    for cell in pack.cells:
        commit = final.get(cell.id)
        known = commit is not None and (
            commit.statuses[cell.id] in FINISHED or commit.attempt >= pack.attempt
        )
        if known or not can_run(cell.settings):
            return False
    return True


def _run(packs: Sequence[Pack], store: Store, device: str, workers: int | None) -> None:
    """Run packs under a progress bar; a pack that is lost is committed as failed, with the reason.

    Raises:
        KeyboardInterrupt: with the number of packs that are finished.
    """
    try:
        with _Watch(packs, store, device) as watch:
            run_packs(packs, store, device, workers, watch)
    except KeyboardInterrupt:
        committed = {path.stem for path in store.commits.glob("*.json")}
        count = sum(pack.id in committed for pack in packs)
        raise KeyboardInterrupt(
            f"{count:,} of {_counted(len(packs), 'pack')} finished and kept"
        ) from None


class _Watch:
    """Shows the progress of packs, and commits those that are lost as failed.

    Args:
        packs: the packs that will run.
        store: the study's folder.
        device: ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, packs: Sequence[Pack], store: Store, device: str) -> None:
        self.store, self.device = store, device
        self.packs = {pack.id: pack for pack in packs}
        self.reached = dict.fromkeys(self.packs, 0)
        self.finished = 0
        from tqdm import tqdm

        self.bar = tqdm(
            total=sum(pack.work for pack in packs),
            disable=not packs,
            bar_format="{percentage:3.0f}% |{bar:30}| {elapsed} gone, {remaining} left{postfix}",
            mininterval=0.2 if sys.stderr.isatty() else 15.0,
        )

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_error: object) -> None:
        self.bar.close()

    def __call__(self, message: Message) -> None:
        """Take note of a message.

        Raises:
            StudyError: the user's error, which ended a pack.
        """
        pack = self.packs[message.pack]
        share = 1.0
        if isinstance(message, Progress):
            share = (message.step + 1) / (pack.cells[0].settings["steps"] + 2)
        else:
            self.finished += 1
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


def _outlook(cells: Sequence[Cell], status: Mapping[str, str], packs: int) -> str:
    """Return the line that says before a run what there is and what is missing."""
    found = [status.get(cell.id) for cell in cells]
    finished = sum(one in FINISHED for one in found)
    networks, failed = _counted(len(cells), "network"), found.count("failed")
    if not packs:
        return f"{networks}, all finished already: nothing to do."
    before = f"{networks}: {finished:,} finished before, {len(cells) - finished:,}"
    again = f" ({failed:,} of them failed before)" if failed else ""
    return f"{before if finished else networks} to train{again} in {_counted(packs, 'pack')}."


def _report(
    cells: Sequence[Cell], status: Mapping[str, str], store: Store, commits: Sequence[Commit]
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
        _report_failures(cells, store, commits)
    print(f"Next: python -m analysis {place}")


def _report_failures(cells: Sequence[Cell], store: Store, commits: Sequence[Commit]) -> None:
    """Print why cells failed, the most frequent reasons first."""
    reasons = failure_reasons(cells, store, commits).most_common()
    for why, count in reasons[:SHOWN_REASONS]:
        print(f"  {count:,} failed: {' '.join(why.split())}")
    if more := reasons[SHOWN_REASONS:]:
        print(
            f"  {sum(count for _, count in more):,} failed: {_counted(len(more), 'other reason')}"
        )
    print(
        "Why each cell failed stands in the column `error` of the table `cells`; "
        "the same command tries them again."
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
