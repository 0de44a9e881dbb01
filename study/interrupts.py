"""Being asked to stop, remembered: what raises it at some moments is swallowed by the library it interrupts.

Ctrl-C asks for it, a scheduler or ``kill`` (SIGTERM), and a terminal that is closed (SIGHUP).
"""

from __future__ import annotations

import signal
from typing import Any

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask a program to stop."""

_came = int(signal.SIGINT)
_asked = False


def remember() -> None:
    """Have those signals remembered from now on in this process that would end it."""
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, _note)


def _note(number: int, frame: Any) -> None:
    global _asked, _came
    _asked, _came = True, number
    signal.default_int_handler(number, frame)


def check() -> None:
    """Raise again what has asked this process to stop and ended nothing.

    Raises:
        KeyboardInterrupt: something has.
    """
    if _asked:
        raise KeyboardInterrupt


def exit_code() -> int:
    """Return the exit code of a process that was asked to stop, as shells have it: 130 after Ctrl-C."""
    return 128 + _came


def ignore() -> dict[int, Any]:
    """Ignore these signals from now on, and return what they did, for `restore`."""
    return {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}


def restore(handlers: dict[int, Any]) -> None:
    """Have signals do again what they did."""
    for number, handler in handlers.items():
        # of a handler that was not set by Python nothing can be told
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
