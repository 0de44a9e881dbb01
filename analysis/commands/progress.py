"""One line on the terminal that says which figure is drawn."""

from __future__ import annotations

import sys


def tell(figure: str) -> None:
    """Say which figure is drawn, where somebody is looking."""
    if sys.stderr.isatty():
        print(f"\r\x1b[Kdrawing {figure}", end="", file=sys.stderr, flush=True)


def clear() -> None:
    """Take the line away."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
