"""Leases: which process is at which pack, so that several on one study folder share the work.

A lease is a file ``leases/<pack>.json`` that only one process can create. While it works its owner
renews the file's time; a lease that nobody renewed for some time, or whose owner ran on this machine and
is gone, may be taken over. A lease saves work and decides nothing else: should two processes train one
pack after all, both make the same records, and the first commit counts, see `study.store`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study import files

SECONDS = 60.0
"""How long a lease holds that is not renewed."""

RENEWED = 6
"""Times that a lease is renewed in the time for which it holds."""


@functools.cache
def machine() -> str:
    """Return a word for this machine since it was started, and its space of process ids; no name."""
    parts = [platform.node()]
    for source in ("/proc/sys/kernel/random/boot_id",):
        with contextlib.suppress(OSError):
            parts.append(Path(source).read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _started(pid: int) -> str | None:
    """Return when a process was started, in the kernel's ticks; None where that is not to be had."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the name, in brackets, may hold anything
    return stat.rpartition(")")[2].split()[19]


def _alive(pid: int, started: str | None) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    if started is None or (now := _started(pid)) is None:
        return True
    # a dead process that nobody has waited for still has its number
    return now == started and not _zombie(pid)


def _zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")


@dataclass(frozen=True)
class Holder:
    """Who has a lease.

    Attributes:
        pack: the pack.
        machine: as `machine` says it there.
        pid: the process, on that machine.
        job: what a cluster's scheduler calls the job; empty elsewhere.
        age_s: seconds since it was renewed.
        valid: whether it holds.
    """

    pack: str
    machine: str
    pid: int
    job: str
    age_s: float
    valid: bool


class Leases:
    """The leases of one study folder.

    Args:
        folder: ``outputs/<name>/leases``.
        staging: a folder of the same file system.
        seconds: how long a lease holds that is not renewed.
    """

    def __init__(self, folder: Path, staging: Path, seconds: float = SECONDS) -> None:
        self.folder, self.staging, self.seconds = folder, staging, seconds

    def take(self, pack: str) -> Lease | None:
        """Return a lease on a pack, or None while another process has it.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.folder.mkdir(exist_ok=True)
        path = self._path(pack)
        content = json.dumps(
            {
                "pack": pack,
                "machine": machine(),
                "pid": os.getpid(),
                "started": _started(os.getpid()),
                "job": os.environ.get("SLURM_JOB_ID", ""),
                # no two leases have one content, not even of one process
                "nonce": os.urandom(8).hex(),
            }
        ).encode()
        while True:
            try:
                found, modified = _read(path)
            except FileNotFoundError:
                if self._create(path, content):
                    return Lease(path, content, self.seconds)
                continue
            if self._holds(found, self._now() - modified):
                return None
            self._break(path, found)

    def _path(self, pack: str) -> Path:
        return self.folder / f"{pack}.json"

    def _create(self, path: Path, content: bytes) -> bool:
        with files.written(content, self.staging) as made:
            try:
                os.link(made, path)
            except FileExistsError:
                return False
        return True

    def _break(self, path: Path, stale: bytes) -> None:
        """Remove a lease that no longer holds, and no other one that may stand there meanwhile."""
        moved = self.staging / f"lease-{os.urandom(8).hex()}"
        try:
            os.rename(path, moved)
        except FileNotFoundError:
            return
        try:
            if _read(moved)[0] != stale:
                with contextlib.suppress(FileExistsError):
                    os.link(moved, path)
        finally:
            if moved.is_dir() and not moved.is_symlink():
                shutil.rmtree(moved, ignore_errors=True)
            else:
                os.unlink(moved)

    def _now(self) -> float:
        """Return the time as the file system has it: clocks of machines differ."""
        path = self.staging / f"now-{os.urandom(8).hex()}"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.MODE))
        try:
            return path.stat().st_mtime
        finally:
            os.unlink(path)

    def _holds(self, content: bytes, age: float) -> bool:
        # one of a time to come would hold until then
        if abs(age) > self.seconds:
            return False
        owner = _owner(content)
        if owner is None or owner["machine"] != machine():
            return True
        return _alive(owner["pid"], owner["started"])

    def holders(self) -> Iterator[Holder]:
        """Yield who has which lease, in order of packs; those that no longer hold too.

        Nothing is written: ages are by this machine's clock.
        """
        import time

        for path in files.names(self.folder, ".json"):
            try:
                content, modified = _read(path)
            except OSError:
                continue  # given back meanwhile
            owner = _owner(content)
            age = time.time() - modified
            if owner is not None:
                yield Holder(
                    path.stem, owner["machine"], owner["pid"], owner["job"], max(age, 0.0),
                    self._holds(content, age),
                )  # fmt: skip

    def release_of(self, pids: Iterable[int]) -> None:
        """Remove the leases of processes of this machine that have ended."""
        gone = set(pids)
        for holder in self.holders():
            if holder.machine == machine() and holder.pid in gone:
                with contextlib.suppress(OSError):
                    os.unlink(self._path(holder.pack))


def _read(path: Path) -> tuple[bytes, float]:
    """Return what a lease says and when it was renewed; what is no file of a lease says nothing.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        with files.opened(path) as file:
            return file.read(), os.fstat(file.fileno()).st_mtime
    except OSError:
        return b"", os.lstat(path).st_mtime


def _owner(content: bytes) -> dict[str, Any] | None:
    """Return what a lease says of its owner; None if it says nothing that can be read."""
    try:
        found = json.loads(content)
        owner = {key: found[key] for key in ("machine", "pid", "started", "job")}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    started, pid = owner["started"], owner["pid"]
    # no number that the system would take for a group of processes, or not at all
    whole = type(pid) is int and 0 < pid < 2**31 and (started is None or isinstance(started, str))
    words = (owner["machine"], owner["job"])
    return owner if whole and all(isinstance(w, str) and w.isprintable() for w in words) else None


class Lease:
    """A lease that this process has; a thread renews it until it is given back.

    Args:
        path: its file.
        content: what the file says.
        seconds: how long it holds unless renewed.
    """

    def __init__(self, path: Path, content: bytes, seconds: float) -> None:
        self._path, self._content = path, content
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._renew, args=(seconds / RENEWED,), name="lease", daemon=True
        )
        self._thread.start()

    def _renew(self, every: float) -> None:
        while not self._ended.wait(every):
            with contextlib.suppress(OSError):
                # not one that another process has taken over since this one was stopped for long
                if files.read(self._path) == self._content:
                    os.utime(self._path)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_error: object) -> None:
        """Give it back, unless another process has taken it over."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            if files.read(self._path) == self._content:
                os.unlink(self._path)
