"""Sweeps that are killed at random moments: nothing committed is lost, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from processes import (
    Command,
    blocked,
    check_whole,
    commits,
    driven,
    finished,
    forked,
    records,
    shown,
    sweep_of,
    until,
)

from study.store import Store
from study.sweep import Running, run_conditions

MINE, THROUGH = Path("outputs/mine"), Path("outputs/through")

PACKS, NETWORKS = 12, 12

ALONE: dict[str, Any] = {"pack_size": 1}

CHECKPOINTS = [0.0, 60.0]
"""At every step, and as it is by default: never in a pack this short."""


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study that ran through."""
    folder = tmp_path_factory.mktemp("through")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_conditions(sweep_of("through"), ["test"], Running("inline", **ALONE))
    return folder


@pytest.fixture(autouse=True)
def _beside_a_study_that_ran_through(
    through: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(through / "outputs", "outputs")


def check_nothing_lost(before: dict[str, bytes]) -> None:
    """Check that what was committed is what it was, and whole."""
    now = commits(MINE)
    assert before.items() <= now.items()
    if MINE.is_dir():
        assert not Store(MINE).survey().damages
        assert not blocked(MINE)


def check_equal() -> None:
    """Check that the study is the one that ran through."""
    check_whole(MINE, NETWORKS)
    assert records(MINE) == records(THROUGH)
    assert shown(MINE) == shown(THROUGH)


def wait_for(enough: int, command: Command) -> None:
    """Wait for commits, or for the end of the command that makes them."""
    until(lambda: len(commits(MINE)) >= enough or command.process.poll() is not None)


def kill_commands(kills: int, whole: bool, checkpoint_s: float, seed: int) -> None:
    """Start the sweep again and again, each time to be killed once it has committed some more."""
    chance = random.Random(seed)
    running = Running("processes", 2, checkpoint_s=checkpoint_s, **ALONE)
    for _ in range(kills):
        before = commits(MINE)
        if len(before) == PACKS:
            finished(sweep_of(), running)
            check_equal()
            for path in chance.sample(sorted(MINE.glob("commits/*.json")), PACKS):
                path.unlink()  # as it was before any of them
            before = {}
        with driven(sweep_of(), running) as command:
            enough = min(len(before) + chance.choice([0, 1, 1, 2, 3]), PACKS)
            wait_for(enough, command)
            if chance.random() < 0.2:
                time.sleep(3 * chance.random())  # before the first, as often as not
            time.sleep(0.05 * chance.random())
            command.kill(whole)
        check_nothing_lost(before)
    finished(sweep_of(), running)
    check_equal()


@pytest.mark.parametrize(
    ("whole", "checkpoint_s"), [pytest.param(True, 0.0, marks=pytest.mark.long), (False, 60.0)]
)
def test_a_command_that_is_killed_goes_on_to_what_it_would_have_been(
    whole: bool, checkpoint_s: float
) -> None:
    kill_commands(2, whole, checkpoint_s, 1)


@pytest.mark.long
def test_workers_that_have_nothing_to_say_for_long_end_with_their_command_too() -> None:
    silent = sweep_of(steps=400_000, probe={"steps": 2, "samples": 32})
    with driven(silent[:2], Running("processes", 2, checkpoint_s=1.0)) as command:
        # behind the first step, of which they tell
        until(lambda: len(list(MINE.glob("checkpoints/*.pt"))) == 2)
        command.kill(whole=False)
    assert not commits(MINE)
    assert not blocked(MINE)


@pytest.mark.long
@pytest.mark.parametrize("checkpoint_s", CHECKPOINTS)
@pytest.mark.parametrize("whole", [True, False])
def test_a_command_that_is_killed_twenty_times_goes_on(whole: bool, checkpoint_s: float) -> None:
    kill_commands(20, whole, checkpoint_s, 2)


def kill_inline(kills: int, checkpoint_s: float, seed: int) -> None:
    """Kill a process that does everything itself, at moments spread evenly over its life."""
    chance = random.Random(seed)
    running = Running("inline", checkpoint_s=checkpoint_s, **ALONE)
    took, reached = 1.0, set()
    for _ in range(kills):
        before = commits(MINE)
        began = time.monotonic()
        process = forked(sweep_of(), running)
        process.join(took * chance.random())
        if process.exitcode is None:
            process.kill()
        process.join()
        check_nothing_lost(before)
        reached.add(len(commits(MINE)))
        if process.exitcode == 0:
            took = min(took, time.monotonic() - began)
        if len(commits(MINE)) == PACKS:
            process = forked(sweep_of(), running)
            process.join()
            check_equal()
            for path in MINE.glob("*/*"):
                if path.parent.name in ("commits", "plans") and chance.random() < 0.9:
                    path.unlink()
    process = forked(sweep_of(), running)
    process.join()
    assert process.exitcode == 0
    if len(list(MINE.glob("plans/*"))) == 1:
        check_equal()
    assert shown(MINE) == shown(THROUGH)


@pytest.mark.parametrize("checkpoint_s", CHECKPOINTS)
def test_one_process_that_is_killed_at_any_moment_goes_on(checkpoint_s: float) -> None:
    kill_inline(6, checkpoint_s, 3)


@pytest.mark.long
@pytest.mark.parametrize("checkpoint_s", CHECKPOINTS)
def test_one_process_that_is_killed_sixty_times_goes_on(checkpoint_s: float) -> None:
    kill_inline(60, checkpoint_s, 4)


def kill_workers(kills: int, steps: int, checkpoint_s: float, seed: int) -> None:
    """Kill workers of one command that goes on all the while."""
    chance = random.Random(seed)
    running = Running("processes", 2, checkpoint_s=checkpoint_s, **ALONE)
    killed = 0
    while killed < kills:
        with driven(sweep_of(steps=steps), running) as command:
            while command.process.poll() is None and killed < kills:
                if workers := command.workers():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(chance.choice(workers), signal.SIGKILL)
                        killed += 1
                time.sleep(0.3 * chance.random())
            # one that was killed whenever it ran is told as failed, and tried again
            assert command.end() in (0, 1)
        if killed < kills:
            for path in MINE.glob("commits/*.json"):
                path.unlink()
    assert finished(sweep_of(steps=steps), running) == 0
    run_conditions(sweep_of("straight", steps=steps), ["test"], Running("inline", **ALONE))
    assert shown(MINE) == shown(Path("outputs/straight"))


def test_workers_that_are_killed_at_random_moments_cost_nothing_but_time() -> None:
    kill_workers(2, 20, 0.0, 5)


@pytest.mark.long
def test_workers_that_are_killed_forty_times_cost_nothing_but_time() -> None:
    kill_workers(40, 300, 60.0, 6)
