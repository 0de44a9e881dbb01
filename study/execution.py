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
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import numpy as np

from study import NUMERICS_VERSION, __version__, extensions, memory
from study.datasets import pool_digest
from study.errors import StudyError
from study.packing import Pack
from study.store import Store

WORKERS_IMPORT = (
    *("study.training", "study.records", "scipy.special", "pyarrow.parquet"),
    # by torch.autograd.grad where it is given gradients, and most of a second
    "torch.fx.experimental.symbolic_shapes",
)
"""What every worker needs; the server that workers are forked from imports it once for all."""


GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""On Linux a GPU's driver is one of these."""


@dataclass(frozen=True)
class Progress:
    """A message from a running pack: it has come to this step."""

    pack: str
    step: int


@dataclass(frozen=True)
class Done:
    """A message that a pack is committed, with the status of each cell."""

    pack: str
    statuses: dict[str, str]


@dataclass(frozen=True)
class Lost:
    """A message that a pack left nothing behind."""

    pack: str
    reason: str
    user_error: bool = False


Message = Progress | Done | Lost

Tell = Callable[[Message], None]


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


def run_pack(pack: Pack, store: Store, device: str, tell: Tell) -> None:
    """Train a pack and commit its records; whatever happens is told, not raised, but an interrupt.

    Args:
        pack: the cells.
        store: the study's folder.
        device: ``"cpu"`` or ``"cuda"``.
        tell: receives progress and, last, `Done` or `Lost`.
    """
    import torch

    from study.records import statuses, tables
    from study.training import reason, train_pack

    began = time.perf_counter()
    try:
        with exact_arithmetic(device):
            result = train_pack(
                pack.cells, torch.device(device), lambda step: tell(Progress(pack.id, step))
            )
        found = dict(zip((c.id for c in pack.cells), statuses(result), strict=True))
        store.commit(
            pack.id,
            pack.attempt,
            tables(result),
            found,
            {
                **environment(device),
                "data_sha256": pool_digest(pack.cells[0].settings["data"]),
            },
            time.perf_counter() - began,
        )
    except StudyError as error:
        tell(Lost(pack.id, str(error), user_error=True))
    except Exception as error:
        if not memory.ran_out(error):
            tell(Lost(pack.id, reason(error, file=True)))
            return
        # its frames hold everything that the pack had, which the next pack needs
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        tell(Lost(pack.id, memory.reason_of_error(pack, device)))
    else:
        tell(Done(pack.id, found))


def _work(
    connection: Connection, folder: Path, device: str, used: Sequence[extensions.Extension]
) -> None:
    """Run packs as they come until None comes: the life of a worker process."""
    # Ctrl-C is the parent's to handle; it ends the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store = Store(folder)
    try:
        refused = None
        try:
            extensions.load_again(used)
        except StudyError as error:
            refused = str(error)
        while (pack := connection.recv()) is not None:
            if refused:
                connection.send(Lost(pack.id, refused, user_error=True))
            else:
                run_pack(pack, store, device, connection.send)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone


def run_packs(
    packs: Sequence[Pack], store: Store, device: str, workers: int | None, tell: Tell
) -> None:
    """Run packs; once this returns or raises, nothing of theirs is running any more.

    Args:
        packs: taken in this order.
        store: the study's folder.
        device: ``"cpu"`` or ``"cuda"``.
        workers: worker processes; None = one a core. One alone, and a GPU, run packs in this process.
        tell: called with what happens, in the order in which it happens; what it raises ends the run.
    """
    if uses_workers(device, workers):
        count = min(workers or cores(), len(packs))
        _run_in_processes(deque(packs), store, device, count, tell)
        return
    # in the main thread: a thread inside PyTorch when Python exits aborts the process
    for pack in packs:
        run_pack(pack, store, device, tell)


def gpu_possible() -> bool:
    """Return False where PyTorch would find no GPU for certain, without the seconds of asking it."""
    if metadata.version("torch").endswith("+cpu") or sys.platform == "darwin":
        return False
    return sys.platform != "linux" or any(Path(file).exists() for file in GPU_FILES)


def surely_cpu(device: str) -> bool:
    """Return whether this setting of the device, if it can be used, means the CPU."""
    return device == "cpu" or (device == "auto" and not gpu_possible())


def uses_workers(device: str, workers: int | None) -> bool:
    """Return whether packs run in processes of their own, even if it is one pack."""
    return device == "cpu" and (workers or cores()) > 1


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


def _run_in_processes(
    queue: deque[Pack], store: Store, device: str, count: int, tell: Tell
) -> None:
    # a fork of a process that has threads may hang: workers come from a server that has none
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    start_server()
    running: dict[Connection, tuple[Any, Pack]] = {}

    def hire() -> None:
        here, there = context.Pipe()
        work = (there, store.folder, device, extensions.loaded())
        process = context.Process(target=_work, args=work, daemon=True)
        with interrupts_held_back():
            process.start()
            there.close()
            assign(here, process)

    def assign(connection: Connection, process: Any) -> None:
        pack = queue.popleft()
        running[connection] = (process, pack)
        send(connection, pack)

    def send(connection: Connection, pack: Pack | None) -> None:
        # one that died since its last message is found out by the end of its pipe, when that is read
        with suppress(OSError):
            connection.send(pack)

    try:
        while queue and len(running) < count:
            hire()
        while running:
            for connection in cast(list[Connection], wait(list(running))):
                process, pack = running[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    process.join()
                    del running[connection]
                    tell(Lost(pack.id, memory.reason_of_exit(pack, process.exitcode)))
                    if queue:
                        hire()
                    continue
                if not isinstance(message, Progress):
                    if queue:
                        assign(connection, process)
                    else:
                        send(connection, None)
                        del running[connection]
                tell(message)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join()
