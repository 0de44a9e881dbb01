"""Several processes on one study folder at the same time share its work, and come to what one comes to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import FAULTY, check_whole, commits, driven, forked, shown, sweep_of, until

from study import sweep
from study.store import Store
from study.sweep import Running, run_conditions

MINE, ONE = Path("outputs/mine"), Path("outputs/one")

INLINE = Running("inline", pack_size=2)

DEPTHS = (2, 3, 4, 5)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faulty: None) -> None:
    del faulty
    monkeypatch.chdir(tmp_path)


def grid(name: str, depths: Sequence[int] = DEPTHS, seeds: int = 4) -> list[dict[str, Any]]:
    """Return conditions whose networks tell of it when they are begun."""
    return [
        one | {"depth": depth}
        for depth in depths
        for one in sweep_of(name, init="counted", seeds=seeds, steps=30)[:2]
    ]


def begun() -> Counter[str]:
    """Return how often each network was begun."""
    lines = Path("calls").read_text().splitlines() if Path("calls").exists() else []
    found: Counter[str] = Counter()
    # an initializer is called twice, to see whether it repeats itself
    for line, calls in Counter(lines).items():
        found[line.partition(" ")[2]] += -(-calls // 2)
    return found


def together(grids: Sequence[Any], kills: Sequence[int] = ()) -> None:
    """Have each of the processes run its grid, all of them from one moment on, and kill some."""
    calls = {"CALLS": str(Path("calls").absolute())}
    gate = Path("gate").absolute()
    processes = [forked(one, INLINE, [FAULTY], calls, str(gate)) for one in grids]
    until(lambda: len(list(Path().glob("gate.*"))) == len(grids), "the start of all")
    gate.touch()
    for number, place in enumerate(kills, start=1):
        while len(commits(MINE)) < 2 * number:
            time.sleep(0.001)
        processes[place].kill()
    for process in processes:
        process.join()
    ended_well = [process.exitcode == 0 for process in processes]
    assert ended_well == [place not in kills for place in range(len(grids))]


def check_like_one(networks: int, twice: int = 0) -> None:
    """Check that the study is what one process makes of it, with hardly anything computed twice.

    Args:
        networks: how many it must hold.
        twice: how many packs may have been begun twice.
    """
    check_whole(MINE, networks)
    counts = begun()
    assert len(counts) == networks
    # each of those that are killed may have had the same one
    assert max(counts.values()) <= 1 + twice
    assert sum(count - 1 for count in counts.values()) <= 2 * twice  # of two networks each
    run_conditions(grid("one"), ["test"], INLINE)
    assert shown(MINE) == shown(ONE)


@pytest.mark.parametrize("count", [2, 8])
def test_processes_with_one_grid_share_its_packs(count: int) -> None:
    together([grid("mine")] * count)
    check_like_one(32)
    assert len(list(MINE.glob("plans/*"))) == 1


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.long)])
def test_processes_with_overlapping_grids_share_what_they_have_in_common(count: int) -> None:
    parts = [grid("mine", DEPTHS[:3]), grid("mine", DEPTHS[1:]), grid("mine", seeds=2)]
    together([parts[place % len(parts)] for place in range(count)])
    # perhaps in other packs than one process makes, since plans were made for parts of the grid
    check_like_one(32)


@pytest.mark.parametrize(
    ("count", "kills"), [(2, [1]), pytest.param(8, [2, 5], marks=pytest.mark.long)]
)
def test_what_a_process_had_that_is_killed_the_others_do(count: int, kills: list[int]) -> None:
    together([grid("mine")] * count, kills)
    check_like_one(32, len(kills))


@pytest.mark.long
def test_commands_with_workers_share_the_work_too() -> None:
    calls = {"CALLS": str(Path("calls").absolute())}
    running = Running("processes", 2, pack_size=2)
    with (
        driven(grid("mine"), running, [FAULTY], calls) as one,
        driven(grid("mine", DEPTHS[1:]), running, [FAULTY], calls) as other,
    ):
        until(lambda: len(commits(MINE)) > 1)
        other.kill(whole=False)
        assert one.end() == 0
    # of two workers
    check_like_one(32, 2)


def test_a_plan_that_was_made_meanwhile_is_taken_into_account(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other process plans, and runs, between this one's survey and its own plan."""
    write_plan = Store.write_plan
    others = [grid("mine", DEPTHS[1:]), grid("mine", DEPTHS[:2])]

    def slow(self: Store, plan: Any, number: int | None = None) -> bool:
        if others:
            run_conditions(others.pop(), ["other"], INLINE)
        return write_plan(self, plan, number)

    monkeypatch.setattr(Store, "write_plan", slow)
    monkeypatch.setenv("CALLS", str(Path("calls").absolute()))
    run_conditions(grid("mine"), ["test"], INLINE)
    monkeypatch.delenv("CALLS")
    assert "32 networks in outputs/mine: 32 ok.\n" in capsys.readouterr().out
    check_like_one(32)


def test_what_another_program_has_run_meanwhile_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_packs = sweep.run_packs

    def run_late(packs: Any, room: Any, tell: Any) -> None:
        monkeypatch.setattr(sweep, "run_packs", run_packs)
        run_conditions(grid("mine", DEPTHS[1:]), ["other"], INLINE)
        capsys.readouterr()
        run_packs(packs, room, tell)

    monkeypatch.setattr(sweep, "run_packs", run_late)
    run_conditions(grid("mine"), ["test"], INLINE)
    told = capsys.readouterr().out
    assert "12 of 16 packs were run by another program meanwhile.\n32 networks in" in told
    run_conditions(grid("mine"), ["test"], INLINE)
    assert "another program" not in capsys.readouterr().out
