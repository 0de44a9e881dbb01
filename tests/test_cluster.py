"""Packs in jobs of their own, without a cluster: local jobs, and what is refused before any is submitted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import files_under

from study import cluster
from study.cluster import Crew, Worker
from study.errors import SettingError
from study.running import Jobs, minutes

ROOT = Path(__file__).parent.parent

SWEEP = (
    *("--multirun", "depth=2,3", "activation=relu,tanh", "seeds=2", "width=16", "data=gaussian"),
    *("batch_size=16", "probe.steps=3", "probe.samples=16", "device=cpu", "name=mine"),
)
LOCAL = (
    "hydra.launcher.executor=submitit_local",
    "hydra.launcher.jobs=2",
    "hydra.launcher.workers=1",
)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def study(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def records() -> dict[str, bytes | None]:
    return files_under(Path("outputs/mine/records"))


def test_local_jobs_leave_the_bytes_that_this_process_leaves() -> None:
    alone = study(*SWEEP, "steps=5", "hydra.launcher.workers=1")
    assert alone.returncode == 0, alone.stderr
    expected = records()
    Path("outputs").rename("before")
    done = study(*SWEEP, "steps=5", *LOCAL)
    assert done.returncode == 0, done.stderr
    assert "8 networks to train in 4 packs.\n2 jobs submitted (" in done.stdout
    assert "8 networks in outputs/mine: 8 ok." in done.stdout
    assert records() == expected
    # each in the log of the job that has done it, and in no other's
    logs = [path.read_text() for path in Path("outputs/mine/orders/jobs").glob("*.out")]
    assert sum(log.count(": committed") for log in logs) == 4


@pytest.mark.long
def test_local_jobs_make_again_what_is_damaged_before_the_command_ends() -> None:
    assert study(*SWEEP, "steps=5", "hydra.launcher.workers=1").returncode == 0
    expected = records()
    damaged = next(Path("outputs/mine/records").glob("*/layers.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    done = study(*SWEEP, "steps=5", *LOCAL)
    assert done.returncode == 0, done.stderr
    assert "8 networks in outputs/mine: 8 ok." in done.stdout
    assert records() == expected


def test_a_job_that_is_killed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [
        sys.executable, "-c",
        "import sys; from study import cluster; cluster.ASKED_S = 1; from study.__main__ import main; "
        "sys.exit(main())",
        *SWEEP, "steps=600", *LOCAL, "hydra.launcher.jobs=1", "hydra.launcher.checkpoint_s=0.2",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as waiting:  # fmt: skip
        leases = Path("outputs/mine/leases")
        while not list(leases.glob("*.json")):
            assert waiting.poll() is None
            time.sleep(0.05)
        [job] = {
            path.name.partition("_")[0]
            for path in Path("outputs/mine/orders/jobs").glob("*_submitted.pkl")
        }
        os.kill(int(job), signal.SIGKILL)
        for pid in _children_of(int(job)):
            os.kill(pid, signal.SIGKILL)
        out, err = waiting.communicate()
    assert waiting.returncode == 0, err
    assert "1 jobs were lost; 1 job submitted (" in err
    assert "8 networks in outputs/mine: 8 ok." in out


def _children_of(pid: int) -> list[int]:
    """Return what the log says of the job's process, whose parent may be gone already."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"submitit.core._submit" in words and str(Path.cwd()).encode() in b" ".join(words):
            found.append(int(path.parent.name))
    return [one for one in found if one != pid]


def test_nobody_has_to_wait_and_the_status_is_told() -> None:
    sent = study(*SWEEP, "steps=5", *LOCAL, "hydra.launcher.wait=false")
    assert sent.returncode == 0, sent.stderr
    assert "networks in outputs/mine" not in sent.stdout
    while study("status", "outputs/mine").returncode:
        time.sleep(0.2)
    told = json.loads(study("status", "outputs/mine", "--json").stdout)
    assert told["networks"] == {"ok": 8, "diverged": 0, "failed": 0, "running": 0, "missing": 0}


def test_what_a_job_could_not_do_is_told_to_who_waits_and_by_the_status() -> None:
    Path("mine.py").write_text(
        "import os\nfrom study.activations import ACTIVATIONS\n\n"
        "if 'SUBMITIT_EXECUTOR' in os.environ:\n    raise RuntimeError('no such licence here')\n\n"
        "@ACTIVATIONS.register()\ndef mine(z):\n    return z.tanh()\n"
    )
    words = ("--use", "mine.py", *SWEEP, "steps=2", "activation=mine", *LOCAL)
    told = study(*words)
    assert told.returncode == 2
    assert "no such licence here" in told.stderr
    assert "Traceback" not in told.stderr
    assert "  a job said: cannot" in study("status", "outputs/mine").stdout


def test_what_the_scheduler_refuses_is_told_once_and_leaves_no_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sbatch", "srun"):
        program = programs / name
        program.write_text("#!/bin/sh\necho 'sbatch: error: no partition lnog' >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    words = [*SWEEP, "hydra.launcher.executor=slurm", "hydra.launcher.slurm.partition=lnog"]
    planned = study(*words, "hydra.launcher.dry_run=true")
    assert "They would be run by 4 jobs of slurm." in planned.stdout, planned.stderr
    told = study(*words)
    assert told.returncode == 2
    assert told.stderr.count("no partition lnog") == 1
    assert "cannot submit jobs to slurm: sbatch: error: no partition lnog." in told.stderr
    assert not list(Path("outputs/mine/orders").glob("*.json"))
    assert "Jobs were submitted" not in study("status", "outputs/mine").stdout


@pytest.mark.parametrize(
    "launcher",
    [
        "basic",
        *(pytest.param(one, marks=pytest.mark.long) for one in ("joblib", "submitit_local")),
    ],
)
def test_under_hydras_own_launchers_each_job_is_a_pack_in_the_same_store(launcher: str) -> None:
    if launcher != "basic":
        name = {"joblib": "joblib", "submitit_local": "submitit"}[launcher]
        pytest.importorskip(f"hydra_plugins.hydra_{name}_launcher")
    done = study(*SWEEP, "steps=3", f"hydra/launcher={launcher}")
    assert done.returncode == 0, done.stderr
    told = json.loads(study("status", "outputs/mine", "--json").stdout)
    assert told["networks"]["ok"] == 8
    assert told["packs"] == {"committed": 4, "running": 0, "missing": 0}


REFUSED = [
    (["hydra.launcher.executor=slum"], "(did you mean 'slurm'?)"),
    (["hydra.launcher.executor=slurm"], "there is no program sbatch here"),
    ([*LOCAL, "hydra.launcher.jobs=0"], "it must be a whole number from 1 to 1,000"),
    ([*LOCAL, "hydra.launcher.jobs=1001"], "it must be a whole number from 1 to 1,000"),
    ([*LOCAL, "hydra.launcher.slurm.time=soon"], "it must be minutes, or hours:minutes:seconds"),
    ([*LOCAL, "hydra.launcher.slurm.partitoin=a"], "(did you mean 'hydra.launcher.slurm.partition'?)"),
    (["hydra.launcher.jobs=2"], "they are for hydra.launcher.executor=submitit_local and slurm"),
    (["hydra.launcher.wait=false"], "they are for hydra.launcher.executor=submitit_local and slurm"),
    (["hydra.launcher.lease_s=0"], "it must be a number of seconds, 1 or more"),
    (["hydra.launcher.checkpoint_s=-1"], "it must be a number of seconds, 0 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_cannot_be_submitted_is_refused_before_anything_is_written(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PATH", str(Path(sys.executable).parent)
    )  # a cluster's programs are elsewhere
    done = study(*SWEEP, *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert not list(Path.cwd().iterdir())


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_time_is_read_as_sbatch_reads_it(days: int, hours: int, least: int, seconds: int) -> None:
    total = days * 1440 + hours * 60 + least + (seconds > 0)
    written = f"{days}-{hours}:{least:02}:{seconds:02}"
    if total == 0:
        with pytest.raises(SettingError, match="more than 0"):
            minutes(written)
        return
    assert minutes(written) == total
    if days == 0:
        assert minutes(f"{hours}:{least:02}:{seconds:02}") == total


@given(st.text(max_size=12))
@settings(max_examples=300)
def test_a_time_that_is_none_is_refused_in_a_sentence(text: str) -> None:
    with contextlib.suppress(SettingError):
        found = minutes(text)
        assert isinstance(found, int)
        assert found >= 1


class _Answers:
    """A scheduler's answers, one a question."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[str | None]) -> None:
        self.left = answers

        def run(*_words: Any, **_more: Any) -> Any:
            answer = self.left.pop(0)
            if answer is None:
                raise OSError("no answer")
            return subprocess.CompletedProcess([], 0, stdout=answer)

        monkeypatch.setattr(cluster.subprocess, "run", run)


def crew_of(*jobs: str) -> Crew:
    crew = Crew(Jobs("slurm"), Path("jobs"), Worker("study", "order.json", None))
    crew.living = dict.fromkeys(jobs)
    return crew


def test_a_scheduler_that_does_not_answer_has_lost_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    _Answers(monkeypatch, [None] * 9)
    crew = crew_of("7_0", "7_1")
    assert [crew.count_lost() for _ in range(9)] == [0] * 9
    assert list(crew.living) == ["7_0", "7_1"]


@pytest.mark.parametrize(
    ("state", "lost", "cancelled"),
    [("FAILED", 1, False), ("NODE_FAIL", 1, False), ("TIMEOUT", 1, False), ("COMPLETED", 0, False),
     ("CANCELLED", 0, True), ("OUT_OF_MEMORY", 1, False)],
)  # fmt: skip
def test_a_job_that_has_ended_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, state: str, lost: int, cancelled: bool
) -> None:
    _Answers(monkeypatch, [f"7_0|RUNNING\n7_1|{state}\n8|RUNNING\n"] * 2)
    crew = crew_of("7_0", "7_1")
    assert [crew.count_lost(), crew.count_lost()] == [lost, 0]
    assert list(crew.living) == ["7_0"]
    assert crew.cancelled is cancelled


def test_a_job_that_is_queued_again_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    states = ("RUNNING", "COMPLETING", "PENDING", "REQUEUED", "SUSPENDED", "RUNNING")
    _Answers(monkeypatch, [f"7_0|{state}\n" for state in states])
    crew = crew_of("7_0")
    assert [crew.count_lost() for _ in states] == [0] * len(states)
    assert list(crew.living) == ["7_0"]


def test_a_job_that_nobody_knows_is_lost_after_some_questions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _Answers(monkeypatch, ["", "", "7_0|RUNNING\n", "", "", "", ""])
    crew = crew_of("7_0")
    assert [crew.count_lost() for _ in range(7)] == [0, 0, 0, 0, 0, 1, 0]
