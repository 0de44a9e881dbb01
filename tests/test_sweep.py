"""Whole sweeps: the same bytes however they ran, and workers that die."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small import condition, files_under

from analysis import open_study
from study import sweep
from study.activations import ACTIVATIONS
from study.cell import cells_of
from study.errors import StudyError
from study.isolation import Done, Message, Progress
from study.packing import Pack
from study.running import Running
from study.store import Store, final_commits
from study.sweep import run_conditions

Register = Callable[..., None]

FOLDER = Path("outputs/mine")


def conditions(**more: Any) -> list[dict[str, Any]]:
    """Return a sweep of four packs of three cells."""
    data = {"name": "gaussian", "dim": 8}
    shape = {"width": 8, "steps": 5, "seeds": 3, "device": "cpu", "name": "mine", "data": data}
    return [
        condition(activation, depth=depth, **{**shape, **more})
        for depth in (2, 3)
        for activation in ("relu", "tanh")
    ]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def run(
    workers: int, name: str = "mine", executor: str | None = None, **more: Any
) -> list[dict[str, int]]:
    named = [one | {"name": name} for one in conditions(**more)]
    return run_conditions(named, ["test"], Running(executor, workers))


def records(name: str = "mine") -> dict[str, bytes | None]:
    return files_under(Path("outputs", name, "records"))


def statuses() -> dict[str, str]:
    return sweep.statuses_of(Store(FOLDER).read_commits())


# ------------------------------------------------------------------ the same bytes


def test_the_records_are_the_same_bytes_whatever_the_number_of_workers() -> None:
    for workers in (1, 2, 3):
        assert sum(one["ok"] for one in run(workers, f"of{workers}")) == 12
    assert len([path for path in records("of1") if path.endswith(".parquet")]) == 4 * 3
    assert records("of1") == records("of2") == records("of3")


def test_packs_of_one_cell_hold_what_larger_packs_hold() -> None:
    wanted = [one | {"name": "mine", "width": 16} for one in conditions()]
    run_conditions(wanted, ["test"], Running(workers=1))
    alone = [one | {"name": "alone"} for one in wanted]
    run_conditions(alone, ["test"], Running(workers=1, pack_size=1))
    assert len(list(Path("outputs/alone/commits").iterdir())) == 12
    for table in ("cells", "curves", "layers"):
        query = f"SELECT * FROM {table} ORDER BY ALL"
        both = [
            open_study(f"outputs/{name}").execute(query).fetchall() for name in ("mine", "alone")
        ]
        assert repr(both[0]) == repr(both[1])  # as text NaN equals NaN


def test_an_interrupted_study_continues_to_the_bytes_of_one_that_ran_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(1, "through")
    run_packs = sweep.run_packs

    def interrupted(*arguments: Any) -> None:
        *others, tell = arguments

        def stop(message: Message) -> None:
            tell(message)
            if isinstance(message, Done):
                raise KeyboardInterrupt

        run_packs(*others, stop)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_packs", interrupted)
        with pytest.raises(KeyboardInterrupt) as stopped:
            run(2)
    committed = len(list(FOLDER.glob("commits/*")))
    assert str(stopped.value) == f"{committed} of 4 packs finished and kept"
    # the packs that both workers had at hand may have been committed while the run was stopped
    assert 1 <= committed <= 3
    assert sum(one["ok"] for one in run(1)) == 12
    assert records() == records("through")


def test_packs_lost_from_the_folder_are_made_again_to_the_byte() -> None:
    run(1)
    before = records()
    first, second, third, _ = sorted(FOLDER.glob("commits/*.json"))
    # a commit with its records, a commit alone, and records torn in writing without a commit
    first.unlink()
    [folder] = FOLDER.glob(f"records/{first.stem}.*")
    shutil.rmtree(folder)
    second.unlink()
    third.unlink()
    [torn] = FOLDER.glob(f"records/{third.stem}.*/layers.parquet")
    torn.write_bytes(torn.read_bytes()[:100])
    run(1)
    assert records() == before
    assert len(list(FOLDER.glob("commits/*.json"))) == 4


def test_the_order_of_conditions_and_a_repeated_one_change_no_record() -> None:
    run(1)
    swapped = [one | {"name": "swapped"} for one in reversed(conditions())]
    summaries = run_conditions([*swapped, swapped[0]], ["test"], Running(workers=1))
    assert [one["cells"] for one in summaries] == [3] * 5
    assert records("swapped") == records()


def test_overlapping_seeds_are_trained_once() -> None:
    [one, *_] = conditions(seeds=2)
    summaries = run_conditions([one, one | {"seed": 1}], ["test"], Running(workers=1))
    assert [summary["ok"] for summary in summaries] == [2, 2]
    con = open_study(FOLDER)
    assert con.execute("SELECT seed FROM cells ORDER BY seed").fetchall() == [(0,), (1,), (2,)]


# ------------------------------------------------------------------ workers that die


def killing(moment: Callable[[Message], bool], always: bool = False) -> Callable[..., None]:
    """Return `run_packs`, but for the workers being killed when ``moment`` says so, once or always."""
    run_packs = sweep.run_packs

    def watched(*arguments: Any) -> None:
        *others, tell = arguments
        killed = False

        def kill(message: Message) -> None:
            nonlocal killed
            if (always or not killed) and moment(message):
                killed = True
                for process in multiprocessing.active_children():
                    assert process.pid is not None
                    os.kill(process.pid, signal.SIGKILL)
                    process.join()
            tell(message)

        run_packs(*others, kill)

    return watched


def at_the_first_step(message: Message) -> bool:
    return isinstance(message, Progress)


def once_two_packs_are_committed(message: Message) -> bool:
    """Wait until both workers have committed and are idle, before the parent has heard of it."""
    while len(list(FOLDER.glob("commits/*.json"))) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    return True


def test_workers_that_are_killed_once_cost_nothing_but_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(1, "through")
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_packs", killing(at_the_first_step))
        summaries = run(2)
    assert [sum(one[kind] for one in summaries) for kind in ("ok", "failed")] == [12, 0]
    assert records() == records("through")


def test_a_pack_whose_workers_are_killed_again_and_again_is_recorded_and_can_be_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ill = Pack.of(cells_of(sweep.check_conditions(conditions()[:1])[0])).id

    def of_one_pack(message: Message) -> bool:
        return isinstance(message, Progress) and message.pack == ill

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_packs", killing(of_one_pack, always=True))
        summaries = run(1, executor="processes")
    assert [sum(one[kind] for one in summaries) for kind in ("ok", "failed")] == [9, 3]
    con = open_study(FOLDER)
    query = "SELECT DISTINCT error FROM cells WHERE status = 'failed'"
    [(error,)] = con.execute(query).fetchall()
    assert error == (
        "its worker process was killed, as the system does where memory runs out: lower "
        "hydra.launcher.workers or hydra.launcher.pack_size (it was 3 networks together, try 1)"
    )
    assert con.execute("SELECT count(DISTINCT cell) FROM layers").fetchone() == (9,)

    assert sum(one["ok"] for one in run(1)) == 12
    final = final_commits(Store(FOLDER).read_commits())
    assert sorted(commit.attempt for commit in final.values()) == [0] * 9 + [1] * 3
    con = open_study(FOLDER)
    assert con.execute("SELECT count(*), min(status), max(error) FROM cells").fetchone() == (
        12, "ok", None,
    )  # fmt: skip
    assert con.execute("SELECT count(DISTINCT cell) FROM layers").fetchone() == (12,)


def test_a_worker_killed_between_two_packs_costs_no_more_than_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_packs", killing(once_two_packs_are_committed))
        summaries = run(2)
    assert sum(one["failed"] + one["ok"] for one in summaries) == 12
    # what was committed stays, whether or not its worker lived to tell
    assert sum(one["ok"] for one in summaries) >= 6
    assert sum(one["ok"] for one in run(1)) == 12


def test_a_pack_that_a_bug_stops_is_recorded_with_the_reason_and_tried_again(
    register: Register,
) -> None:
    broken = True

    def fragile(z: torch.Tensor) -> torch.Tensor:
        if broken and z.shape[0] > 1:
            raise RuntimeError("no room\nfor stacks")
        return torch.tanh(z)

    register(ACTIVATIONS, fragile)
    both = [
        {"name": "mine", "device": "cpu", **condition(name, steps=3, seeds=2)}
        for name in ("fragile", "tanh")
    ]
    summaries = run_conditions(both, ["test"], Running(workers=1))
    assert [(one["ok"], one["failed"]) for one in summaries] == [(0, 2), (2, 0)]
    con = open_study(FOLDER)
    [(error,)] = con.execute("SELECT DISTINCT error FROM cells WHERE status = 'failed'").fetchall()
    assert error.startswith("RuntimeError: no room\nfor stacks (fragile, line ")
    assert "/" not in error
    broken = False
    summaries = run_conditions(both, ["test"], Running(workers=1))
    assert [(one["ok"], one["failed"]) for one in summaries] == [(2, 0), (2, 0)]
    attempts = {commit.attempt for commit in Store(FOLDER).read_commits()}
    assert attempts == {0, 1}


def test_a_disk_error_ends_the_run_in_one_sentence_and_the_rest_runs_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device", "layers.parquet")

    with monkeypatch.context() as patch:
        patch.setattr("study.store.Store._move_records", full)
        with pytest.raises(StudyError, match=r"No space left on device\.$"):
            run(1)
    assert not statuses()
    assert sum(one["ok"] for one in run(1)) == 12


def test_distinct_reasons_of_failure_are_told_once_with_their_counts(
    register: Register, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"broken{number}" for number in range(4)]
    for number, name in enumerate(names):

        def broken(z: torch.Tensor, why: str = f"no\nroom {number // 2}") -> torch.Tensor:
            raise RuntimeError(why)

        broken.__name__ = name
        register(ACTIVATIONS, broken)
    monkeypatch.setattr(sweep, "SHOWN_REASONS", 1)
    both = [
        {"name": "mine", "device": "cpu", **condition(name, steps=3, seeds=2)}
        for name in ["tanh", *names]
    ]
    for again in range(2):
        run_conditions(both, ["test"], Running(workers=1))
        lines = capsys.readouterr().out.splitlines()
        before = " (8 of them failed before)" if again else ""
        outlook = "10 networks: 2 finished before, 8" if again else "10 networks"
        assert lines[0] == f"{outlook} to train{before} in {4 if again else 5} packs."
        assert lines[1] == "10 networks in outputs/mine: 2 ok, 8 failed."
        assert re.fullmatch(
            r"  4 failed: RuntimeError: no room [01] \(broken, line \d+\)", lines[2]
        )
        assert lines[3] == "  4 failed: 1 other reason"
        assert "column `error`" in lines[4]
        assert lines[5] == "Next: python -m analysis outputs/mine"


# ------------------------------------------------------------------ what is said


def test_a_run_says_before_it_starts_what_there_is_and_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(**more: Any) -> list[str]:
        run(1, **more)
        return capsys.readouterr().out.splitlines()[:2]

    assert said() == ["12 networks to train in 4 packs.", "12 networks in outputs/mine: 12 ok."]
    assert said()[0] == "12 networks, all finished already: nothing to do."
    assert said(seeds=4)[0] == "16 networks: 12 finished before, 4 to train in 4 packs."
    assert said(seeds=1) == [
        "4 networks, all finished already: nothing to do.",
        "4 networks in outputs/mine: 4 ok (this command's; the study holds 16).",
    ]
    run_conditions(conditions(seeds=1)[:1], ["test"], Running(workers=1))
    assert capsys.readouterr().out.startswith("1 network, all finished already")


def test_a_dry_run_says_what_would_run_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def said(chosen: list[dict[str, Any]]) -> list[str]:
        before = files_under(Path())
        run_conditions(chosen, ["test"], Running(workers=1, dry_run=True))
        assert files_under(Path()) == before
        return capsys.readouterr().out.splitlines()

    end = "This was a dry run: nothing was trained or written."
    assert said(conditions()) == [
        "outputs/mine on cpu: 4 conditions × 3 seeds = 12 networks",
        "12 networks to train in 4 packs.",
        end,
    ]
    [one, *_] = conditions()
    assert (
        said([one, one | {"seed": 1}])[0]
        == "outputs/mine on cpu: 2 conditions, 4 different networks"
    )
    run_conditions([one], ["test"], Running(workers=1))
    capsys.readouterr()
    assert said([one | {"seeds": 5}])[1:] == [
        "5 networks: 3 finished before, 2 to train in 1 pack.",
        end,
    ]
    assert said([one])[1:] == ["3 networks, all finished already: nothing to do.", end]


# ------------------------------------------------------------------ Ctrl-C

LONG = "data=digits width=8 batch_size=32 seeds=2 probe.samples=16 device=cpu name=mine"


@pytest.mark.parametrize(
    ("line", "packs", "finished"),
    [
        ("depth=4 steps=1000000", 1, 0),
        pytest.param(
            *("--multirun depth=4,5 steps=1000000 hydra.launcher.workers=2", 2, 0),
            marks=pytest.mark.long,
        ),
        ("--multirun depth=4 steps=0,1,1000000 hydra.launcher.workers=2", 3, 2),
    ],
)
def test_ctrl_c_ends_a_run_with_one_sentence_and_exit_code_130(
    line: str, packs: int, finished: int
) -> None:
    """As a terminal does it: every process of the command gets the signal."""
    words = [sys.executable, "-m", "study", *line.split(), *LONG.split()]
    command = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # tests that run in the background of a script inherit that Ctrl-C is ignored
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert command.stdout is not None
        assert f" in {packs} pack" in command.stdout.readline()
        while len(list(FOLDER.glob("commits/*.json"))) < finished:
            time.sleep(0.1)
        time.sleep(3)  # workers are at their packs by then; sooner or later must not matter
        os.killpg(command.pid, signal.SIGINT)
        out, err = command.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
    assert command.returncode == 130
    assert out == ""
    *bar, sentence = err.strip().splitlines()
    plural = "" if packs == 1 else "s"
    assert sentence == (
        f"interrupted: {finished} of {packs} pack{plural} finished and kept; "
        "the same command continues the study."
    )
    assert all("left" in text for text in bar if text)
