"""Files that are whole or not there: how bytes reach the disk under a name.

Every byte of a study goes through here, by calls of the operating system that can be counted, failed and
killed one by one in the tests.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path


def _mode() -> int:
    """Return the permissions that this process gives a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


MODE = _mode()


def sync(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk.

    Raises:
        OSError: it cannot be; what it holds may be lost.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some file systems keep no folder to be synced
        if error.errno != errno.EINVAL:
            error.filename = error.filename or str(path)
            raise
    finally:
        os.close(handle)


def write(path: Path, content: bytes) -> None:
    """Write a new file and bring its content to the disk; its name is the folder's, to be synced yet.

    Raises:
        OSError: it exists, or cannot be written whole.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def written(content: bytes, staging: Path) -> Iterator[Path]:
    """Write a file of a name of its own in ``staging``, and remove it in the end if it is still there."""
    path = staging / uuid.uuid4().hex
    try:
        write(path, content)
        yield path
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def publish(path: Path, content: bytes, staging: Path) -> bool:
    """Give content a name in one step, unless the name is taken; return whether it was free.

    Args:
        path: the name.
        content: the whole file.
        staging: a folder of the same file system, where it is written first.
    """
    with written(content, staging) as made:
        try:
            os.link(made, path)
        except FileExistsError:
            return False
    sync(path.parent)
    return True


def replace(path: Path, content: bytes, staging: Path) -> None:
    """Give content a name in one step, instead of what may have it, a folder too."""
    with written(content, staging) as made:
        try:
            os.replace(made, path)
        except IsADirectoryError:
            os.rename(path, staging / uuid.uuid4().hex)
            os.replace(made, path)
    sync(path.parent)


def read(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        OSError: there is none, or it is no regular file: a pipe would be waited for.
    """
    with opened(path) as file:
        return file.read()


def sha256_of(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a regular file.

    Raises:
        OSError: as `read`.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        return size, hashlib.file_digest(file, "sha256").hexdigest()


def opened(path: Path) -> io.BufferedReader:
    """Open a regular file to be read.

    Raises:
        OSError: as `read`.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def names(folder: Path, suffix: str = "") -> list[Path]:
    """Return what stands in a folder, in order; nothing where there is no folder.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        found = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(found) if name.endswith(suffix)]
