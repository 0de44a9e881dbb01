"""``python -m analysis``: a study's report, or one of the commands in `analysis.commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from analysis.commands import compare, report
from analysis.commands.progress import clear
from study.errors import StudyError, missing_package

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"compare": compare.run}
"""What the first word of a command line may ask for; any other is the study to report on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; a user's error is told in one sentence.

    Args:
        arguments: command line; default ``sys.argv``.

    Returns:
        0, 2 after an error the user can mend, or 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words and words[0] in COMMANDS:
            return COMMANDS[words[0]](words[1:])
        return report.run(words)
    except StudyError as error:
        clear()
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        sentence = missing_package(error)
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        clear()
        print("interrupted: the old page is as it was.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
