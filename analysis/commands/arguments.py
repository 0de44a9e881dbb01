"""Command lines read by argparse and refused in one sentence; help pages written by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from study.errors import SettingError, StoreError, nearest


class Arguments(argparse.ArgumentParser):
    """A parser whose help is a page written for people and whose errors are a user's errors.

    Args:
        page: what ``--help`` shows.
    """

    def __init__(self, page: str) -> None:
        super().__init__(prog="python -m analysis", allow_abbrev=False)
        self._page = page

    def format_help(self) -> str:
        """Return the page."""
        return self._page

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            SettingError: always.
        """
        raise SettingError(f"cannot read the command line: {message}; see --help.")


def existing(folder: Path) -> Path:
    """Return a study's folder.

    Raises:
        StoreError: it is not there; with the study beside it that is nearest in name.
    """
    if not folder.exists():
        around = [path.name for path in folder.parent.glob("*") if (path / "commits").is_dir()]
        raise StoreError(
            f"cannot open {folder}: there is no study in it{nearest(folder.name, around)}."
        )
    return folder
