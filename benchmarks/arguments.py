"""What the benchmarks read from their command lines."""

from __future__ import annotations

import argparse


def whole(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above zero")
    return int(text)
