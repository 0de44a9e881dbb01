"""Sweeps in processes of their own, to be killed and to be started side by side."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from small import condition

from analysis import open_study
from study.app import CONF
from study.leases import Leases
from study.store import Store
from study.sweep import Running

ROOT = Path(CONF).parent

PATIENCE_S = 120.0
"""How long something that must happen is waited for before its test fails."""

FAULTY = str(Path(__file__).parent / "faulty.py")
"""Functions with faults, for ``--use``."""

FAULTS = {"raise": 1, "memory": 2, "exit": 3, "segfault": 4, "kill": 5, "own message": 6}
"""What their settings are for each kind of fault."""

TWO_WORKERS, INLINE = Running("processes", 2), Running("inline")

DRIVER = """
import json, sys
from study import extensions
from study.sweep import Running, run_conditions

with open(sys.argv[1]) as file:
    given = json.load(file)
extensions.load_all(given["use"])
found = run_conditions(given["conditions"], ["test"], Running(**given["running"]))
sys.exit(int(any(one["failed"] for one in found)))
"""


def sweep_of(name: str = "mine", **more: Any) -> list[dict[str, Any]]:
    """Return a sweep of four conditions, of three networks each."""
    data = {"name": "gaussian", "dim": 8}
    shape = {"width": 8, "steps": 12, "seeds": 3, "device": "cpu", "name": name, "data": data}
    return [
        condition(activation, depth=depth, **{**shape, **more})
        for depth in (2, 3)
        for activation in ("relu", "tanh")
    ]


def until(happened: Callable[[], Any], what: str = "it") -> None:
    """Wait for something.

    Raises:
        AssertionError: it does not happen.
    """
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, f"{what} does not happen"
        time.sleep(0.002)


@dataclass(frozen=True)
class Command:
    """A command in a session of its own.

    Attributes:
        process: its main process.
        out: the file that gets its output.
        err: the file that gets its errors.
    """

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def members(self) -> dict[int, int]:
        """Return the processes of its session that have not ended, each with its parent."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state not in "ZX":
                    found[int(path.parent.name)] = int(parent)
        return found

    def workers(self) -> list[int]:
        """Return the processes that train: those that the server has forked."""
        found = self.members()
        servers = {pid for pid, parent in found.items() if parent == self.process.pid}
        return [pid for pid, parent in found.items() if parent in servers]

    def kill(self, whole: bool) -> None:
        """Kill the main process, or all of them at once, and wait until none is left."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if whole else os.kill)(self.process.pid, signal.SIGKILL)
        self.end()

    def end(self) -> int:
        """Wait until the command has ended and none of its processes is left; return its exit code."""
        code = self.process.wait(PATIENCE_S)
        until(lambda: not self.members(), "the end of the workers")
        return code


@contextlib.contextmanager
def started(*words: str, env: Mapping[str, str] | None = None) -> Iterator[Command]:
    """Start Python with these words in a session of its own; in the end none of its processes is left."""
    number = len(list(Path().glob("*.out")))
    out, err = Path(f"{number}.out").absolute(), Path(f"{number}.err").absolute()

    def as_from_a_terminal() -> None:
        # tests that run in the background of a script inherit that Ctrl-C is ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with out.open("wb") as told, err.open("wb") as complained:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=complained,
            start_new_session=True,
            preexec_fn=as_from_a_terminal,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        )
    try:
        yield Command(process, out, err)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def driven(
    conditions: Sequence[Mapping[str, Any]],
    running: Running = TWO_WORKERS,
    use: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> contextlib.AbstractContextManager[Command]:
    """Start a sweep in a process of its own."""
    number = len(list(Path().glob("*.given")))
    path = Path(f"{number}.given").absolute()
    given = {"conditions": list(conditions), "running": asdict(running), "use": list(use)}
    path.write_text(json.dumps(given))
    return started("-c", DRIVER, str(path), env=env)


def finished(
    conditions: Sequence[Mapping[str, Any]],
    running: Running = TWO_WORKERS,
    use: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> int:
    """Run a sweep to its end in a process of its own and return its exit code."""
    with driven(conditions, running, use, env) as command:
        return command.end()


# ------------------------------------------------------------------ quick ones, of one process each


def _run(
    folder: str, conditions: Any, running: Running, use: Any, env: Any, gate: str | None
) -> None:
    from study import extensions, sweep

    os.chdir(folder)
    os.environ.update(env)
    extensions.load_all(use)
    if gate is not None:
        Path(f"{gate}.{os.getpid()}").touch()
        while not Path(gate).exists():
            time.sleep(0.001)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        sweep.run_conditions(conditions, ["test"], running)


def forked(
    conditions: Sequence[Mapping[str, Any]],
    running: Running = INLINE,
    use: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    gate: str | None = None,
) -> Any:
    """Start a sweep in a process that has imported everything already, and return the process.

    Args:
        conditions: of the sweep.
        running: how it runs.
        use: as on the command line.
        env: more of the environment.
        gate: a file that it waits for, having told so by another one.
    """
    context = multiprocessing.get_context("forkserver")
    # those that are named when the first one starts
    context.set_forkserver_preload(["processes", "study.sweep", "study.training", "study.records"])
    given = (os.getcwd(), list(conditions), running, list(use), dict(env or {}), gate)
    process = context.Process(target=_run, args=given, daemon=True)
    process.start()
    return process


# ------------------------------------------------------------------ what a study holds


def shown(folder: Path) -> dict[str, list[str]]:
    """Return all that a reader is shown of a study, as text: exact for numbers, and NaN equals NaN."""
    con = open_study(folder)
    return {
        table: [repr(row) for row in con.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()]
        for table in ("cells", "curves", "layers")
    }


def commits(folder: Path) -> dict[str, bytes]:
    """Return the commits of a study."""
    return {path.name: path.read_bytes() for path in folder.glob("commits/*.json")}


def records(folder: Path) -> dict[str, bytes]:
    """Return the record files of the packs of a study that are committed."""
    survey = Store(folder).survey()
    assert not survey.damages
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for paths in survey.paths.values()
        for path in paths.values()
    }


def check_whole(folder: Path, networks: int) -> None:
    """Check that a study holds these networks, each once, in commits and in plans, and no lease."""
    survey = Store(folder).survey()
    assert not survey.damages
    held = Counter(cell for commit in survey.commits for cell in commit.statuses)
    assert len(held) == networks
    assert set(held.values()) == {1}
    check_plans(folder)
    assert not blocked(folder)


def check_plans(folder: Path) -> None:
    """Check that no network stands in two plans."""
    planned = Counter(
        (json.dumps(plan["conditions"][condition], sort_keys=True), seed)
        for plan in Store(folder).read_plans()
        for pack in plan["packs"]
        for condition, seed in pack["cells"]
    )
    assert set(planned.values()) == {1}


def blocked(folder: Path) -> list[str]:
    """Return the packs that a process would have to wait for."""
    store = Store(folder)
    found = Leases(store.leases, store.staging).holders() if store.leases.is_dir() else ()
    return [holder.pack for holder in found if holder.valid]
