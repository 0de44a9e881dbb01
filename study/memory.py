"""Memory that runs out: how it is recognized, and the sentence that says which setting to lower."""

from __future__ import annotations

import errno
import signal
from contextlib import suppress

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


def what_to_lower(pack: Pack, run: int | None = None) -> str:
    """Return the settings that make a pack need less memory, the most useful first.

    Args:
        pack: the pack.
        run: how many of its networks were run, the others being left out; None: all of them.
    """
    count = len(pack.cells) if run is None else run
    if count == 1:
        return "width, depth or batch_size (it is one network alone)"
    return f"hydra.launcher.pack_size (it was {count} networks together, try {count // 2})"


def reason_of_error(pack: Pack, device: str, where: str, run: int | None = None) -> str:
    """Return why a pack failed that asked for more memory than there is.

    Args:
        pack: the pack.
        device: ``"cpu"`` or ``"cuda"``.
        where: in the program it asked, as `study.training.where` has it.
        run: as in `what_to_lower`.
    """
    who = "the GPU" if device == "cuda" else "it"
    return f"{who} ran out of memory{where}: lower {what_to_lower(pack, run)}"


def reason_of_exit(pack: Pack, code: int | None, run: int | None = None) -> str:
    """Return why a pack failed whose worker process ended without a word.

    Args:
        pack: the pack it was at.
        code: the process's exit code, below zero the signal that ended it.
        run: as in `what_to_lower`.
    """
    # the system ends a process like this, and neither asks nor says why
    if code is not None and code == -getattr(signal, "SIGKILL", 9):
        return (
            "its worker process was killed, as the system does where memory runs out: "
            f"lower hydra.launcher.workers or {what_to_lower(pack, run)}"
        )
    if code is not None and code < 0:
        return f"its worker process was ended by signal {-code}{_name_of_signal(-code)}"
    return f"its worker process ended with exit code {code}"


def _name_of_signal(number: int) -> str:
    with suppress(ValueError):
        return f" ({signal.Signals(number).name})"
    return ""
