"""Errors that a user can cause: one sentence with what cannot be done, the value and what is allowed."""

from __future__ import annotations

import difflib
import io
import sys
from collections.abc import Iterable

OURS = ("study", "analysis", "hydra_plugins")


class StudyError(Exception):
    """A user's error; its message is one sentence, shown without a traceback, exit code 2."""


class SettingError(StudyError):
    """A setting is unknown or its value is not allowed."""


class DataError(StudyError):
    """A data set cannot be made or loaded as asked for."""


class FunctionError(ValueError):
    """A registered function gave what cannot be used; the message says which and what."""


class StoreError(StudyError):
    """A study's folder cannot be read or written, or is damaged."""


LONGEST_VALUE = 200
"""Characters of a value that a sentence shows."""


def printable(text: str) -> str:
    """Return a text as a line that a terminal shows as it is: no control characters, no lone surrogates."""
    words = " ".join(text.split())
    if words.isprintable():
        return words
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in words
    )


def encodable(text: str) -> str:
    """Return a text that every file takes; a name of bytes that are no UTF-8 has lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()


def show_anything() -> None:
    """Have the standard output escape what its encoding lacks, as the standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def shortened(text: str, most: int = LONGEST_VALUE) -> str:
    """Return a text of at most about ``most`` characters, of a longer one its beginning and its end."""
    return text if len(text) <= most else f"{text[: most - 20]}…{text[-20:]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name closest to ``name``, or an empty string."""
    if len(name) > LONGEST_VALUE:
        return ""  # takes time, and finds nothing
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return the sentence for a package that is not installed, None if it is one of ours: a bug."""
    package = (error.name or "").partition(".")[0]
    if package in OURS:
        return None
    return (
        f"cannot run: {sys.executable} has no package '{package}'; run `make install` and use "
        ".venv/bin/python."
    )
