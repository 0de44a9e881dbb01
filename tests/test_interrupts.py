"""Ctrl-C, SIGTERM and SIGHUP: one sentence, nobody left behind, and the same command goes on."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Command, blocked, commits, started, until

FOLDER = Path("outputs/mine")

SWEEP = [
    *(
        "-m",
        "study",
        "--multirun",
        "depth=2,3,4",
        "width=8",
        "steps=40",
        "seeds=6",
        "batch_size=16",
    ),
    *("data=gaussian", "data.dim=8", "probe.samples=16", "device=cpu", "name=mine"),
    *("hydra.launcher.pack_size=1", "hydra.launcher.workers=2"),
]

ENDLESS = [word.replace("steps=40", "steps=1000000") for word in SWEEP]

SENTENCE = re.compile(
    r"interrupted: (\d+ of \d+ packs? finished and kept|what is finished is kept); "
    r"the same command continues the study\."
)

Moment = Callable[[Command], bool]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(command: Command) -> bool:
    return "to train" in command.out.read_text()


def at_work(command: Command) -> bool:
    return bool(command.workers())


def has_committed(_command: Command) -> bool:
    return len(commits(FOLDER)) > 1


def interrupt(command: Command, presses: int, group: bool, apart_s: float) -> None:
    """Press Ctrl-C: a terminal sends the signal to every process of the command."""
    for press in range(presses):
        if press:
            time.sleep(apart_s)
        try:
            (os.killpg if group else os.kill)(command.process.pid, signal.SIGINT)
        except ProcessLookupError:
            return


def check_interrupted(command: Command, expected: int = 130) -> None:
    """Check what a command that was interrupted says and leaves."""
    code, said = command.end(), command.err.read_text()
    if code == 0:  # it had come to its end
        assert "18 ok" in command.out.read_text()
        return
    assert code == expected, said
    assert "Traceback" not in said
    *bar, sentence = said.strip().splitlines()
    assert SENTENCE.fullmatch(sentence), said
    assert all("left" in text for text in bar if text), said
    if FOLDER.is_dir():
        assert not blocked(FOLDER)


@pytest.mark.parametrize(
    ("moment", "presses", "group"),
    [(told, 1, True), (at_work, 2, True), (has_committed, 2, True), (has_committed, 1, False)],
)
def test_ctrl_c_ends_everything_with_one_sentence(
    moment: Moment, presses: int, group: bool
) -> None:
    with started(*SWEEP) as command:
        until(lambda: moment(command))
        interrupt(command, presses, group, 0.02)
        check_interrupted(command)


@pytest.mark.long
@pytest.mark.parametrize("presses", [1, 2, 3])
def test_ctrl_c_at_twenty_random_moments(presses: int) -> None:
    chance = random.Random(presses)
    for _ in range(20):
        with started(*SWEEP) as command:
            until(lambda: told(command))
            time.sleep(chance.choice([0.1, 4.0]) * chance.random())
            interrupt(command, presses, True, 0.3 * chance.random())
            check_interrupted(command)
        for path in FOLDER.glob("commits/*.json"):
            path.unlink()


@pytest.mark.parametrize(
    ("number", "group"),
    [
        (signal.SIGTERM, False),
        pytest.param(signal.SIGTERM, True, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, True, marks=pytest.mark.long),
    ],
)
def test_a_scheduler_or_a_closed_terminal_ends_the_command_in_the_same_way(
    number: signal.Signals, group: bool
) -> None:
    """What was committed is kept, nobody is left, and the exit code says which signal it was."""
    with started(*SWEEP) as command:
        until(lambda: has_committed(command))
        before = commits(FOLDER)
        (os.killpg if group else os.kill)(command.process.pid, number)
        check_interrupted(command, 128 + number)
    assert before.items() <= commits(FOLDER).items()
    assert not blocked(FOLDER)
    with started(*SWEEP) as command:
        assert command.end() == 0
    assert len(commits(FOLDER)) == 18


@pytest.mark.long
def test_a_worker_that_will_not_end_is_ended(tmp_path: Path) -> None:
    """A function of the user's own may set up what it likes."""
    (tmp_path / "stubborn.py").write_text(
        "import signal\n"
        "from study.activations import ACTIVATIONS\n"
        "@ACTIVATIONS.register()\n"
        "def stubborn(z):\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    return z.tanh()\n"
    )
    with started(*ENDLESS, "activation=stubborn", "--use", "stubborn.py") as command:
        until(lambda: list(FOLDER.glob("leases/*.json")))
        time.sleep(2)
        interrupt(command, 1, True, 0.0)
        check_interrupted(command)


def test_ctrl_c_that_a_library_swallows_ends_the_command_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "swallowing.py").write_text(
        "import os, signal\n"
        "from study.activations import ACTIVATIONS\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    pass\n"
        "@ACTIVATIONS.register()\n"
        "def swallowing(z):\n"
        "    return z.tanh()\n"
    )
    with started(*SWEEP[:2], "--use", "swallowing.py", *SWEEP[2:]) as command:
        assert command.end() == 130
        assert SENTENCE.fullmatch(command.err.read_text().strip())
    assert not FOLDER.exists()
