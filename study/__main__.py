"""``python -m study``: runs the command line and turns every user error into one sentence."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

from study import interrupts
from study.errors import show_anything


def main() -> int:
    """Return the exit code: 0, 1 if a cell failed, 2 for the user's error, 128 + signal if stopped."""
    show_anything()
    # Hydra would otherwise print its own errors and exit by itself
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # cuBLAS reads it once, when CUDA starts; without it deterministic products are refused
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        return run_command_line()
    except ModuleNotFoundError as error:
        from study.errors import missing_package

        sentence = missing_package(error)
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        # it has been understood; another would break the sentence off
        before = interrupts.ignore()
        kept = str(stop) or "what is finished is kept"
        # of a terminal that was closed nothing is left to print on
        with suppress(OSError):
            print(f"interrupted: {kept}; the same command continues the study.", file=sys.stderr)
        interrupts.restore(before)
        return interrupts.exit_code()


def run_command_line() -> int:
    """Run what the command line asks for and return the exit code; a user's error is told.

    Raises:
        ModuleNotFoundError: a package that this program needs is not installed.
        KeyboardInterrupt: by Ctrl-C; its message, if any, says what is finished.
    """
    # not at the top: a worker process imports this file again and needs none of it
    from study import app, cli_errors, guard
    from study.errors import StudyError

    try:
        if sys.argv[1:2] == ["measure"]:
            from study import measuring

            return measuring.main(sys.argv[2:])
        if sys.argv[1:2] == ["status"]:
            from study import status

            return status.main(sys.argv[2:])
        arguments = cli_errors.parse_arguments(sys.argv[1:])
        cli_errors.load_extensions(arguments, app.CONF)
        with guard.guarded(app.CONF):
            try:
                cli_errors.check_overrides(arguments, app.CONF)
                return app.main()
            except StudyError:
                raise
            except Exception as error:
                sentence = cli_errors.explain(error, arguments, app.CONF)
                if sentence is None:
                    raise
                raise sentence from error
    except StudyError as error:
        return cli_errors.tell(error)


if __name__ == "__main__":
    interrupts.remember()
    code = main()
    interrupts.ignore()  # all is said
    if code == interrupts.exit_code():
        # Python remembers an interrupt that came in the midst of certain imports, and would end by it
        atexit._run_exitfuncs()
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
