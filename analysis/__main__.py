"""``python -m analysis``: a study's report, or one of the commands in `analysis.commands`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.commands import compare, diagnose, ledger, report
from analysis.commands.progress import clear
from study.errors import (
    SettingError,
    StudyError,
    missing_package,
    nearest,
    printable,
    show_anything,
)


@dataclass(frozen=True)
class Command:
    """What a command line may ask for.

    Attributes:
        run: takes the words behind the command and returns the exit code.
        makes: the page it replaces.
    """

    run: Callable[[Sequence[str]], int]
    makes: str


REPORT = Command(report.run, "report")

COMMANDS = {
    "compare": Command(compare.run, "comparison"),
    "diagnose": Command(diagnose.run, "report"),
    "ledger": Command(ledger.run, "ledger"),
}
"""By the first word of a command line; any other word is the study to report on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; a user's error is told in one sentence.

    Args:
        arguments: command line; default ``sys.argv``.

    Returns:
        0, 2 after an error the user can mend, or 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS.get(words[0], REPORT) if words else REPORT
    show_anything()
    try:
        _refuse_slip(words)
        return command.run(words if command is REPORT else words[1:])
    except StudyError as error:
        clear()
        print(printable(str(error)), file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        sentence = missing_package(error)
        if sentence is None:
            raise
        clear()
        print(sentence, file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output, such as `head`, had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        clear()
        print(f"interrupted: no {command.makes} was replaced.", file=sys.stderr)
        return 130


def _refuse_slip(words: Sequence[str]) -> None:
    """Refuse a command that is nearly one of ours.

    Raises:
        SettingError: there is no study of this name either.
    """
    near = nearest(words[0], COMMANDS) if len(words) > 1 else ""
    if near and words[0] not in COMMANDS and not Path(words[0]).exists():
        raise SettingError(f"cannot run {words[0]}: there is no such command{near}.")


if __name__ == "__main__":
    sys.exit(main())
