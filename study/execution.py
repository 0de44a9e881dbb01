"""Runs packs: one single-threaded worker process a core on the CPU, in this process on a GPU.

PyTorch is imported where something is trained, and so not by the process that has workers train.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import numpy as np

from study import NUMERICS_VERSION, __version__, extensions, interrupts, leases, memory
from study.datasets import pool_digest
from study.errors import StoreError, StudyError
from study.isolation import (
    Busy,
    Done,
    Job,
    Lost,
    Message,
    Outcome,
    Progress,
    Survived,
    course,
)
from study.packing import Pack
from study.running import CHECKPOINT_S
from study.store import Commit, Store, naming

WORKERS_IMPORT = (
    *("study.training", "study.records", "study.checkpoint", "scipy.special", "pyarrow.parquet"),
    # by torch.autograd.grad where it is given gradients, and most of a second
    "torch.fx.experimental.symbolic_shapes",
)
"""What every worker needs; the server that workers are forked from imports it once for all."""


GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""On Linux a GPU's driver is one of these."""


Tell = Callable[[Message], None]

ENDED_S = 5.0
"""How long workers that are asked to end may take, all of them."""

BUSY_S = 0.5
"""How long to wait before asking again for a pack that another process has."""


@dataclass(frozen=True)
class Room:
    """Where and how packs are run.

    Attributes:
        store: the study's folder.
        device: ``"cpu"`` or ``"cuda"``.
        checkpoint_s: seconds between checkpoints inside a pack.
        lease_s: how long a lease on a pack holds that is not renewed.
        executor: as for `uses_workers`.
        workers: as for `uses_workers`.
        damaged: packs whose commits were found damaged; of the others it is not looked into.
    """

    store: Store
    device: str
    checkpoint_s: float = CHECKPOINT_S
    lease_s: float = leases.SECONDS
    executor: str | None = None
    workers: int | None = None
    damaged: frozenset[str] = frozenset()

    def committed(self, pack: str) -> Commit | None:
        """Return the commit of a pack if there is one that counts."""
        return self.store.committed(pack, whole=pack in self.damaged)

    @property
    def leases(self) -> leases.Leases:
        """The leases on the study's packs."""
        return leases.Leases(self.store.leases, self.store.staging, self.lease_s)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(device: str) -> dict[str, Any]:
    """Return what the numbers were made with: versions and kind of device, no names of machines."""
    import torch

    named = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    return {
        "program": __version__,
        "numerics": NUMERICS_VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device,
        "device_name": named or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


@contextmanager
def exact_arithmetic(device: str) -> Iterator[None]:
    """Set PyTorch up so that numbers repeat, and put it back as it was.

    One thread: a sum over two threads has another last bit than over one. Denormal numbers are
    flushed on the CPU, where they cost a hundred times as much; no TF32, deterministic kernels.
    """
    import torch

    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    tf32 = torch.backends.cuda.matmul.allow_tf32
    try:
        if device == "cpu":
            torch.set_num_threads(1)
            torch.set_flush_denormal(True)
        else:
            torch.use_deterministic_algorithms(True)
            # it would fill every new tensor before it is written
            fresh: Any = torch.utils.deterministic
            filled, fresh.fill_uninitialized_memory = fresh.fill_uninitialized_memory, False
            torch.backends.cuda.matmul.allow_tf32 = False
        yield
    finally:
        if device == "cpu":
            torch.set_num_threads(threads)
            torch.set_flush_denormal(False)
        else:  # not on the CPU, where it imports PyTorch's compiler for nothing
            torch.use_deterministic_algorithms(deterministic)
            fresh.fill_uninitialized_memory = filled
            torch.backends.cuda.matmul.allow_tf32 = tf32


class _Survived(Exception):  # noqa: N818 - that is no error
    """Raised inside a trial that has come through."""


def run_job(job: Job, room: Room, tell: Tell) -> None:
    """Run a pack, unless another process has it or had it; whatever happens is told, but an interrupt.

    Args:
        job: the pack, and whether it is run on trial.
        room: where and how.
        tell: receives progress and, last, `Done`, `Survived`, `Busy` or `Lost`.
    """
    pack = job.pack
    try:
        # without a lease at first: of many workers each comes past all packs of the others
        known = room.committed(pack.id)
        if known is None:
            lease = room.leases.take(pack.id)
            if lease is None:
                tell(Busy(pack.id))
                return
            with lease:
                known = room.committed(pack.id)
                if known is None:
                    tell(_train(job, room, tell))
                    return
        tell(Done(pack.id, known.statuses, here=False))
    except StoreError as error:  # of a later version, as another program has written it meanwhile
        tell(Lost(pack.id, str(error), user_error=True))
    except OSError as error:
        place = error.filename or room.store.folder
        why = f"cannot write to {place}: {error.strerror or error}."
        tell(Lost(pack.id, why, user_error=True))


def _train(job: Job, room: Room, tell: Tell) -> Done | Survived | Lost:
    """Train a pack and commit its records, or see how far it comes."""
    import torch

    from study.checkpoint import Checkpoint, key_of
    from study.records import failed_tables, statuses, tables
    from study.training import reason, shape_of, train_pack, where

    pack, store, device = job.pack, room.store, room.device
    began = time.perf_counter()
    reached = -1

    def progress(step: int) -> None:
        nonlocal reached
        if job.trial is None:
            tell(Progress(pack.id, step))
        elif step > job.trial:
            raise _Survived
        reached = step

    class Kept(Checkpoint):
        """A checkpoint in the study's folder, whose errors name it."""

        def save(self, state: dict[str, Any]) -> None:
            with naming(self.path.parent, "store a checkpoint in"):
                self.path.parent.mkdir(exist_ok=True)
                super().save(state)

    try:
        data, place = pool_digest(pack.cells[0].settings["data"]), torch.device(device)
        checkpoint = None
        if job.trial is None:
            path, key = store.checkpoint_of(pack.id), key_of(pack.id, data, place, job.excluded)
            checkpoint = Kept(path, store.staging, key, room.checkpoint_s)
        if job.trial is None and len(job.excluded) == len(pack.cells):
            # nobody is left to be trained
            found = {cell.id: "failed" for cell in pack.cells}
            made = failed_tables(pack.cells, shape_of(pack.cells[0].settings), job.excluded)
        else:
            with exact_arithmetic(device):
                result = train_pack(pack.cells, place, progress, job.excluded, checkpoint)
            found = dict(zip((c.id for c in pack.cells), statuses(result), strict=True))
            made = tables(result)
        if job.trial is not None:
            return Survived(pack.id)
        made_with = {**environment(device), "data_sha256": data}
        wall_s = time.perf_counter() - began
        store.commit(pack.id, pack.attempt, made, found, made_with, wall_s)
        with suppress(OSError):
            store.checkpoint_of(pack.id).unlink(missing_ok=True)
    except _Survived:
        return Survived(pack.id)
    except (BrokenPipeError, ConnectionResetError):
        raise  # whoever wanted it is gone
    except StudyError as error:
        return Lost(pack.id, str(error), user_error=True)
    except Exception as error:
        if not memory.ran_out(error):
            return Lost(pack.id, reason(error, file=True), step=reached)
        place_of_error = where(error, file=True)
        # its frames hold everything that the pack had, which the next pack needs
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        return Lost(
            pack.id, memory.reason_of_error(pack, device, place_of_error, job.run), step=reached
        )
    return Done(pack.id, found)


def _work(
    connection: Connection, life: Connection, room: Room, used: Sequence[extensions.Extension]
) -> None:
    """Run packs as they come until None comes: the life of a worker process."""
    # what a terminal sends to all of its processes is the parent's to handle; it ends the workers
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    try:
        refused = None
        try:
            extensions.load_again(used)
        except StudyError as error:
            refused = str(error)
        while (job := connection.recv()) is not None:
            if refused:
                connection.send(Lost(job.pack.id, refused, user_error=True))
            else:
                run_job(job, room, connection.send)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone


def _end_with(life: Connection) -> None:
    """End this process as soon as the one that wants its work has ended, however that came."""
    with suppress(EOFError, OSError):
        life.recv()
    os._exit(1)


def run_packs(packs: Sequence[Pack], room: Room, tell: Tell) -> None:
    """Run packs; once this returns or raises, nothing of theirs is running any more.

    Args:
        packs: taken in this order.
        room: where and how.
        tell: called with `Progress`, and with `Done` or `Lost` of each pack, in the order in which it
            happens; what it raises ends the run.
    """
    schedule = Schedule(packs)
    if uses_workers(room.device, room.workers, room.executor):
        _run_in_processes(schedule, room, min(room.workers or cores(), len(packs)), tell)
        return

    def take(message: Message) -> None:
        schedule.take(message, tell)

    # in the main thread: a thread inside PyTorch when Python exits aborts the process
    while not schedule.finished:
        job = schedule.next()
        if job is None:
            time.sleep(BUSY_S)
        else:
            run_job(job, room, take)


class Schedule:
    """Which run of which pack is next.

    Args:
        packs: taken in this order; a pack that has begun goes before those that have not.
    """

    def __init__(self, packs: Sequence[Pack]) -> None:
        self._waiting = deque(packs)
        self._begun: dict[str, tuple[Generator[Job, Outcome, Done | Lost], Job]] = {}
        self._ready: deque[Job] = deque()
        # what another process has, and when to ask for it again
        self._busy: deque[tuple[float, Job]] = deque()
        self._steps: dict[str, int] = {}

    @property
    def finished(self) -> bool:
        """Whether every pack has come to its end."""
        return not (self._waiting or self._begun)

    def next(self) -> Job | None:
        """Return the next run, or None as long as there is nothing that this process could do."""
        if self._ready:
            return self._ready.popleft()
        if self._waiting:
            pack = self._waiting.popleft()
            runs = course(pack)
            job = next(runs)
            self._begun[pack.id] = (runs, job)
            return job
        if self._busy and self._busy[0][0] <= time.monotonic():
            return self._busy.popleft()[1]
        return None

    def take(self, message: Message, tell: Tell) -> None:
        """Take note of a message, and hand on what is of interest to others."""
        if isinstance(message, Progress):
            self._steps[message.pack] = message.step
            tell(message)
            return
        runs, job = self._begun[message.pack]
        if isinstance(message, Busy):
            self._busy.append((time.monotonic() + BUSY_S, job))
            return
        if isinstance(message, Lost) and message.died and job.trial is None:
            # it had no time to say how far it had come
            message = replace(message, step=self._steps.get(message.pack, -1))
        self._steps.pop(message.pack, None)
        if isinstance(
            message, Done
        ):  # by another process, perhaps, while this one looked for a fault
            del self._begun[message.pack]
            tell(message)
            return
        try:
            job = runs.send(message)
        except StopIteration as end:
            del self._begun[message.pack]
            tell(end.value)
            return
        self._begun[message.pack] = (runs, job)
        self._ready.append(job)


def gpu_possible() -> bool:
    """Return False where PyTorch would find no GPU for certain, without the seconds of asking it."""
    if metadata.version("torch").endswith("+cpu") or sys.platform == "darwin":
        return False
    return sys.platform != "linux" or any(Path(file).exists() for file in GPU_FILES)


def surely_cpu(device: str) -> bool:
    """Return whether this setting of the device, if it can be used, means the CPU."""
    return device == "cpu" or (device == "auto" and not gpu_possible())


def uses_workers(device: str, workers: int | None, executor: str | None = None) -> bool:
    """Return whether packs run in processes of their own, even if it is one pack.

    Args:
        device: ``"cpu"`` or ``"cuda"``, which several processes would only share.
        workers: how many; None: one a core.
        executor: one of `study.running.HERE`; None: processes, unless one worker is asked for.
    """
    if device != "cpu" or executor == "inline":
        return False
    return executor is not None or workers != 1


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Keep Ctrl-C waiting, and have processes that are started meanwhile never see it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # it would let Ctrl-C through again, were it started by the first worker
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Put things in order without being stopped once more: the first Ctrl-C was understood."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = interrupts.ignore()
    try:
        yield
    finally:
        interrupts.restore(before)


def start_server() -> None:
    """Have the process that workers are forked from import what they need, while this one goes on.

    It ends with this process, at once even if it is still importing: whoever waits for the end of the
    output would wait for it, too.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.set_forkserver_preload(["study.execution", *WORKERS_IMPORT])
        with interrupts_held_back():
            forkserver.ensure_running()
        atexit.unregister(_stop_server)
        atexit.register(_stop_server)


def _stop_server() -> None:
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)  # type: ignore[attr-defined]
    if pid is not None:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class _Worker:
    """A worker process and the run it is at.

    Attributes:
        process: the process.
        job: the run.
        life: the end of a pipe that closes with this process, by which the worker notices.
    """

    process: Any
    job: Job
    life: Connection


def _run_in_processes(schedule: Schedule, room: Room, count: int, tell: Tell) -> None:
    # a fork of a process that has threads may hang: workers come from a server that has none
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    start_server()
    running: dict[Connection, _Worker] = {}
    idle: dict[Connection, _Worker] = {}
    pids: list[int] = []

    def hire(job: Job) -> None:
        here, there = context.Pipe()
        ours, theirs = context.Pipe()
        work = (there, theirs, room, extensions.loaded())
        process = context.Process(target=_work, args=work, daemon=True)
        with interrupts_held_back():
            process.start()
            there.close()
            theirs.close()
            pids.append(process.pid)
            assign(here, _Worker(process, job, ours))

    def assign(connection: Connection, worker: _Worker) -> None:
        running[connection] = worker
        send(connection, worker.job)

    def send(connection: Connection, job: Job | None) -> None:
        # one that died since its last message is found out by the end of its pipe, when that is read
        with suppress(OSError):
            connection.send(job)

    def hand_out() -> None:
        while len(running) < count and (job := schedule.next()) is not None:
            if idle:
                connection, worker = idle.popitem()
                assign(connection, replace(worker, job=job))
            else:
                hire(job)

    try:
        hand_out()
        while not schedule.finished:
            # None to do and nothing running: another process has what is left
            for connection in cast(list[Connection], wait(list(running), BUSY_S)):
                worker = running[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    del running[connection]
                    worker.life.close()
                    pack = worker.job.pack
                    why = memory.reason_of_exit(pack, worker.process.exitcode, worker.job.run)
                    message = Lost(pack.id, why, died=True)
                else:
                    if not isinstance(message, Progress):
                        idle[connection] = running.pop(connection)
                schedule.take(message, tell)
            hand_out()
        for connection in idle:
            send(connection, None)
        for worker in idle.values():
            worker.process.join()
    finally:
        with interrupts_ignored():
            _end([worker.process for worker in (*running.values(), *idle.values())])
            # those that were ended in the middle of a pack could not give it back
            with suppress(OSError):
                room.leases.release_of(pids)


def _end(processes: Sequence[Any]) -> None:
    """End processes and wait for their end."""
    for process in processes:
        process.terminate()
    patience = time.monotonic() + ENDED_S
    for process in processes:
        process.join(max(patience - time.monotonic(), 0.0))
        if process.exitcode is None:  # a function of the user's own may hold up what asks it to end
            process.kill()
            process.join()
