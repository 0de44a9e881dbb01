"""Packs on a cluster: workers are started once as jobs, and take packs from the study's folder.

A job costs seconds of a scheduler and of imports, many packs less. So a sweep's packs are written down as
an order, and some jobs are submitted that each do what `study.execution.run_packs` does on their node: take
a lease, train, commit, until nothing of the order is left. They share nothing but the study's folder. A job
that is preempted or runs out of time is queued again and goes on from checkpoints; one that is lost costs
what it was at, which another takes over once its lease has run out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study import extensions, files
from study.errors import StudyError
from study.execution import Room, cores, run_packs
from study.isolation import Done, Lost, Message
from study.packing import Pack, packs_of_plan
from study.running import MOST_JOBS, Jobs, minutes
from study.store import Store, naming

JOBS = 4
"""How many jobs are submitted unless told otherwise."""

POLL_S = 1.0
"""How often commits are counted."""

ASKED_S = 10.0
"""How often the scheduler is asked what lives."""

GONE = 3
"""So many times in turn a job must be unknown to the scheduler before it counts as gone."""

RESUBMITTED = 2
"""So many times as many jobs as were wanted are submitted again for those that were lost."""

TIMEOUTS = 1000
"""How often a job may run out of time and be queued again: as often as it takes."""

ENDED = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL",
         "DEADLINE", "OUT_OF_MEMORY", "REVOKED")  # fmt: skip
"""States of a SLURM job that is over. Source: squeue(1), JOB STATE CODES."""

MINUTES = 60
"""Time limit of a job unless told otherwise; one that needs more is queued again and goes on."""

LOCAL_MINUTES = 60 * 24 * 365
"""A local job has no time limit; submitit's would be two minutes."""


@dataclass(frozen=True)
class Worker:
    """What a job runs: packs of one order, until none is left.

    Attributes:
        folder: the study's folder, absolute.
        order: the order's file name.
        workers: worker processes on the CPU; None: as many as the job has CPUs.
        used: functions of the user's own, as they were loaded where the job was submitted.
    """

    folder: str
    order: str
    workers: int | None
    used: tuple[extensions.Extension, ...] = ()

    def __call__(self) -> int:
        """Return how many packs are committed in the end.

        A user's error is left beside the order, for the one who waits.
        """
        store = Store(Path(self.folder))
        path = store.orders / self.order
        try:
            extensions.load_again(self.used)
            return _work(store, path, self.workers)
        except StudyError as error:
            name = os.environ.get("SLURM_JOB_ID") or str(os.getpid())
            with contextlib.suppress(OSError):
                said = path.with_suffix(f".{name}.error")
                # in one step: it is looked for every second
                files.replace(said, str(error).encode(), store.staging)
            return 0

    def checkpoint(self) -> Any:
        """Return what submitit is to queue again when this job has to go: the same once more."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _work(store: Store, path: Path, workers: int | None) -> int:
    """Run what an order names and nobody has run."""
    from study.sweep import Watch

    # the step's signals go to all processes of a job; the first of them knows what to do
    for name in ("SIGUSR1", "SIGUSR2"):
        if signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    order = json.loads(files.read(path))
    wanted = {pack: place for place, pack in enumerate(order["packs"])}
    found = {
        pack.id: pack
        for plan in store.read_plans()
        for pack in packs_of_plan(plan)
        if pack.id in wanted
    }
    packs = sorted(found.values(), key=lambda pack: wanted[pack.id])
    if order["device"] == "cuda":
        from study.sweep import resolve_device

        resolve_device("cuda")
    allotted = int(os.environ.get("SLURM_CPUS_PER_TASK", "0")) or None
    room = Room(
        store, order["device"], order["checkpoint_s"], order["lease_s"], "processes",
        workers or allotted or cores(), frozenset(order["damaged"]),
    )  # fmt: skip
    with Watch(packs, store, room.device, shown=False) as watch:

        def tell(message: Message) -> None:
            watch(message)
            # what another job has done stands in its own log
            if isinstance(message, Lost) or (isinstance(message, Done) and message.here):
                what = message.reason if isinstance(message, Lost) else "committed"
                print(f"{time.strftime('%H:%M:%S')} pack {message.pack}: {what}", flush=True)

        run_packs(packs, room, tell)
    return len(packs)


def refusals(store: Store, order: str = "*") -> list[str]:
    """Return what jobs could not do that the user has to mend, each sentence once.

    Args:
        store: the study's folder.
        order: the name of an order without its ending; ``*``: of all.
    """
    found = set()
    for path in store.orders.glob(f"{order}.*.error"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found.add(" ".join(files.read(path).decode().split()))
    return sorted(found)


def ordered(store: Store) -> set[str]:
    """Return the packs that jobs were ever submitted for."""
    found: set[str] = set()
    for path in store.orders.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found |= set(json.loads(files.read(path))["packs"])
    return found


def device_of(jobs: Jobs, setting: str) -> str | None:
    """Return the device that jobs will have, which this machine may not; None: what is here counts."""
    if jobs.executor != "slurm" or setting == "cpu":
        return None
    gpus = jobs.slurm.get("gpus_per_task") or jobs.slurm.get("gres")
    return "cuda" if gpus or setting == "cuda" else "cpu"


def count_of(jobs: Jobs, packs: int) -> int:
    """Return how many jobs are submitted for so many packs."""
    return min(jobs.jobs or JOBS, packs, MOST_JOBS)


def submit(packs: Sequence[Pack], room: Room, jobs: Jobs, tell: Callable[[str], None]) -> None:
    """Have packs run by jobs, and wait for them unless told not to.

    Args:
        packs: planned and in this order.
        room: the study's folder, device, checkpoints, leases and workers of a job.
        jobs: how to submit.
        tell: called with the id of every pack that has been committed.

    Raises:
        StudyError: jobs cannot be submitted, or they met a user's error.
        KeyboardInterrupt: its message says that the jobs go on.
    """
    store = room.store
    content = json.dumps(
        {
            "packs": [pack.id for pack in packs],
            "device": room.device,
            "checkpoint_s": room.checkpoint_s,
            "lease_s": room.lease_s,
            "damaged": sorted(room.damaged),
        }
    ).encode()
    name = f"{os.urandom(6).hex()}.json"
    with naming(store.folder, "write an order to"):
        store.orders.mkdir(exist_ok=True)
        files.publish(store.orders / name, content, store.staging)
    count = count_of(jobs, len(packs))
    workers = room.workers
    if workers is None and jobs.executor == "submitit_local":
        workers = max(1, cores() // count)
    worker = Worker(str(store.folder.resolve()), name, workers, tuple(extensions.loaded()))
    crew = Crew(jobs, store.orders / "jobs", worker)
    try:
        crew.hire(count)
    except StudyError:
        # nobody will come to take it
        with contextlib.suppress(OSError):
            (store.orders / name).unlink()
        raise
    print(crew.told(count), flush=True)
    if not jobs.wait:
        return
    try:
        _wait(packs, room, store.orders / name, crew, count, tell)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"the jobs go on without this program ({crew.how_to_end()})"
        ) from None


def _wait(
    packs: Sequence[Pack],
    room: Room,
    order: Path,
    crew: Crew,
    count: int,
    tell: Callable[[str], None],
) -> None:
    """Tell of each pack once it is committed, and replace jobs that are lost."""
    store, missing = room.store, {pack.id for pack in packs}
    resubmitted, asked = 0, time.monotonic()
    while True:
        committed = {path.stem for path in store.commits.glob("*.json")}
        # a damaged commit stands there until a job has made it again
        committed -= {one for one in missing & room.damaged if room.committed(one) is None}
        for pack in sorted(missing & committed):
            tell(pack)
        missing -= committed
        if not missing:
            return
        if errors := refusals(store, order.stem):
            crew.end()
            raise StudyError(errors[0])
        if time.monotonic() - asked >= ASKED_S:
            asked = time.monotonic()
            lost = crew.count_lost()
            if not crew.living and not lost:
                # ended as they should or by hand, and yet something is missing
                lost = 0 if crew.cancelled else 1
            again = min(lost, RESUBMITTED * count - resubmitted, len(missing))
            if again > 0:
                resubmitted += again
                crew.hire(again)
                print(f"\n{lost:,} jobs were lost; {crew.told(again)}", file=sys.stderr, flush=True)
            elif not crew.living:
                why = "were cancelled" if crew.cancelled else "have ended"
                raise StudyError(
                    f"cannot finish the sweep: its jobs {why} with {len(missing):,} packs left, see "
                    f"{crew.folder}; the same command goes on."
                )
        time.sleep(POLL_S)


class Crew:
    """The jobs of one order.

    Args:
        jobs: how they are submitted.
        folder: for what submitit writes: scripts, what the jobs printed, and their results.
        worker: what each runs.

    Attributes:
        living: ids of those that are not known to have ended.
        cancelled: whether one was ended by hand.
    """

    def __init__(self, jobs: Jobs, folder: Path, worker: Worker) -> None:
        self.jobs, self.folder, self.worker = jobs, folder, worker
        self.living: dict[str, Any] = {}
        self.cancelled = False
        self._unseen: dict[str, int] = {}

    def hire(self, count: int) -> None:
        """Submit so many jobs more.

        Raises:
            StudyError: they are refused.
        """
        import submitit

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            executor = self._executor()
            # submitit prints what it raises, too
            with contextlib.redirect_stderr(io.StringIO()), executor.batch():
                made = [executor.submit(self.worker) for _ in range(count)]
        except (submitit.core.utils.FailedJobError, OSError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())
            raise StudyError(f"cannot submit jobs to {self.jobs.executor}: {said}.") from error
        self.living |= {job.job_id: job for job in made}

    def _executor(self) -> Any:
        import submitit

        if self.jobs.executor == "submitit_local":
            local = submitit.LocalExecutor(self.folder, max_num_timeout=TIMEOUTS)
            local.update_parameters(timeout_min=LOCAL_MINUTES)
            return local
        given = dict(self.jobs.slurm)
        given["time"] = minutes(given.get("time", MINUTES))
        more = dict(given.pop("additional_parameters", {}))
        if "gpus_per_task" in given:
            given.setdefault("ntasks_per_node", 1)
        parameters = {"job_name": "study", **given, "additional_parameters": more}
        slurm = submitit.SlurmExecutor(self.folder, max_num_timeout=TIMEOUTS)
        slurm.update_parameters(**parameters)
        return slurm

    def told(self, count: int) -> str:
        """Return the sentence that says what was submitted last."""
        last = list(self.living)[-count:]
        shown = ", ".join(sorted({one.partition("_")[0] for one in last})[:5])
        return (
            f"{count:,} job{'' if count == 1 else 's'} submitted ({shown}); what they print is in "
            f"{self.folder.as_posix()}. python -m study status {self.folder.parent.parent.as_posix()} "
            "says how far they are."
        )

    def how_to_end(self) -> str:
        """Return how a user ends the jobs."""
        ids = sorted({one.partition("_")[0] for one in self.living})
        return f"{'scancel' if self.jobs.executor == 'slurm' else 'kill'} {' '.join(ids)} ends them"

    def end(self) -> None:
        """End all jobs."""
        for job in self.living.values():
            with contextlib.suppress(Exception):
                job.cancel(check=False)

    def count_lost(self) -> int:
        """Ask what lives, and return how many have ended otherwise than they should."""
        states = self._states()
        if states is None:
            return 0  # nobody could be asked
        lost = 0
        for one in list(self.living):
            state = states.get(one, "")
            self._unseen[one] = 0 if state else self._unseen.get(one, 0) + 1
            gone = self._unseen[one] >= GONE
            if not gone and state not in ENDED:
                continue
            del self.living[one]
            if state == "CANCELLED":
                self.cancelled = True
            elif gone or state != "COMPLETED":
                lost += 1
        return lost

    def _states(self) -> dict[str, str] | None:
        """Return the state of every job that is known, by id; None if the scheduler does not answer."""
        if self.jobs.executor == "submitit_local":
            return {
                one: "RUNNING" if not job.done() else ("COMPLETED" if _came_out(job) else "FAILED")
                for one, job in self.living.items()
            }
        # not of sacct, which many clusters do not have; of all jobs, since one that is forgotten
        # already would make the question about it an error
        asked = ["squeue", "--noheader", "--array", "--me", "--states=all", "--format=%i|%T"]
        try:
            answer = subprocess.run(
                asked, capture_output=True, text=True, check=True, timeout=60
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        pairs = (line.strip().partition("|")[::2] for line in answer.splitlines())
        return {one: state.split()[0] for one, state in pairs if state}


def _came_out(job: Any) -> bool:
    return bool(job.paths.result_pickle.exists())
