"""Memory that runs out: how it is recognized, and the sentence that says which setting to lower."""

from __future__ import annotations

import errno
import signal

from study.packing import Pack

ALLOCATOR = ("you tried to allocate", "can't allocate memory", "out of memory", "bad_alloc")
"""What PyTorch says where it raises a bare RuntimeError for memory that it does not get."""


def ran_out(error: BaseException) -> bool:
    """Return whether an exception says that there is no memory left, on the CPU or on a GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in ALLOCATOR)


def what_to_lower(pack: Pack) -> str:
    """Return the settings that make a pack need less memory, the most useful first."""
    count = len(pack.cells)
    if count == 1:
        return "width, depth or batch_size (it is one network alone)"
    return f"hydra.launcher.pack_size (it was {count} networks together, try {count // 2})"


def reason_of_error(pack: Pack, device: str) -> str:
    """Return why a pack failed that asked for more memory than there is."""
    return (
        f"{'the GPU' if device == 'cuda' else 'it'} ran out of memory: lower {what_to_lower(pack)}"
    )


def reason_of_exit(pack: Pack, code: int | None) -> str:
    """Return why a pack failed whose worker process ended without a word.

    Args:
        pack: the pack it was at.
        code: the process's exit code, below zero the signal that ended it.
    """
    # the system ends a process like this, and neither asks nor says why
    if code is not None and code == -getattr(signal, "SIGKILL", 9):
        return (
            "its worker process was killed, as the system does where memory runs out: "
            f"lower hydra.launcher.workers or {what_to_lower(pack)}"
        )
    return f"its worker process ended with code {code}"
