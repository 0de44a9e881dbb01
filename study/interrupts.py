"""Ctrl-C, remembered: what raises it at some moments is swallowed by the library that it interrupts."""

from __future__ import annotations

import signal
from typing import Any

_pressed = False


def remember() -> None:
    """Have Ctrl-C remembered from now on in this process, unless it is ignored here."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)


def _note(number: int, frame: Any) -> None:
    global _pressed
    _pressed = True
    signal.default_int_handler(number, frame)


def check() -> None:
    """Raise a Ctrl-C again that has come and ended nothing.

    Raises:
        KeyboardInterrupt: one has.
    """
    if _pressed:
        raise KeyboardInterrupt
