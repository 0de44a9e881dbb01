"""``python -m study measure``: runs tasks of `study.tasks` and stores what they measured."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study import NUMERICS_VERSION
from study.cell import canonical_json, digest
from study.errors import SettingError, StudyError, nearest
from study.registry import Entry
from study.settings import Number, study_name
from study.tasks import TASKS, Row, Traits

NAME = "measurements"
"""The study that is written to unless another is named."""


@dataclass(frozen=True)
class Measurement:
    """One run of a task.

    Attributes:
        task: its name.
        parameters: every parameter with its value.
        device: ``"cpu"`` or ``"cuda"``.
    """

    task: str
    parameters: Mapping[str, Any] = field(hash=False)
    device: str

    @property
    def id(self) -> str:
        """Digest of all that decides whether it has been measured before."""
        parts = [self.task, dict(self.parameters), self.device, NUMERICS_VERSION]
        return digest(canonical_json(["measure", *parts]), 16)

    def __str__(self) -> str:
        return f"{self.task} on {self.device}"


def main(words: Sequence[str]) -> int:
    """Run what stands behind ``measure`` on the command line and return the exit code.

    Raises:
        StudyError: a task or setting is not allowed, or the study cannot be read or written; nothing has
            been measured.
        KeyboardInterrupt: its message says which tasks are finished.
    """
    if not words or any(word in ("-h", "--help") for word in words):
        print(help_page())
        return 0
    names, settings = _read(words)
    name = study_name(settings.pop("name", NAME))
    measure(wanted(names, settings), name)
    return 0


def _read(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the tasks and the settings that were typed, each in order."""
    names, settings = [], {}
    for word in words:
        if word.startswith("-"):
            raise SettingError(
                f"cannot read '{word}': behind measure stand tasks and settings, key=value, and --help."
            )
        key, equals, value = word.partition("=")
        if not equals:
            names.append(TASKS[key].name)
        elif key in settings:
            raise SettingError(f"cannot set '{word}': {key} is set already.")
        else:
            settings[key] = value
    if not names:
        raise SettingError(f"cannot measure without a task: allowed are {', '.join(TASKS)}.")
    return list(dict.fromkeys(names)), settings


def wanted(names: Sequence[str], settings: Mapping[str, str]) -> list[Measurement]:
    """Return the runs of these tasks, for each device that there is where a task runs on each.

    Args:
        names: tasks.
        settings: parameters as typed, which every task must have.

    Raises:
        SettingError: a task has no such parameter, or its value is not allowed.
    """
    found = []
    for name in names:
        entry = TASKS[name]
        for key in settings:
            if key not in entry.parameters:
                known = [*entry.parameters, "name"]
                raise SettingError(
                    f"cannot set {key}={settings[key]}: measure {name} has the settings "
                    f"{', '.join(known)}{nearest(key, known)}."
                )
        parameters = {
            key: default
            if key not in settings
            else _rule(entry, key).check(key, _number(settings[key]))
            for key, default in entry.parameters.items()
        }
        devices = _devices() if entry.extra.each_device else ["cpu"]
        found += [Measurement(name, parameters, device) for device in devices]
    return found


def _rule(entry: Entry[Traits], key: str) -> Number:
    if key in entry.extra.rules:
        return entry.extra.rules[key]
    whole = isinstance(entry.parameters[key], int)
    return Number(whole=True, low=1) if whole else Number(low=0.0, open_low=True)


def _number(text: str) -> float | str:
    """Return the number that a text is, or the text, for a rule to refuse."""
    try:
        return float(text)
    except ValueError:
        return text


def _devices() -> list[str]:
    from study.execution import gpu_possible

    if gpu_possible():
        import torch

        if torch.cuda.is_available():
            return ["cpu", "cuda"]
    return ["cpu"]


def measure(measurements: Iterable[Measurement], name: str = NAME) -> None:
    """Run those measurements that the study does not hold yet, and store each once it is whole.

    Args:
        measurements: what to run, in this order.
        name: the study's, a folder under ``outputs/``.

    Raises:
        StudyError: the study's folder is damaged or cannot be written to.
        KeyboardInterrupt: its message says how many are finished.
    """
    # these, and the tasks, import what the help page must not wait for
    from threadpoolctl import threadpool_limits

    from study.execution import environment, exact_arithmetic
    from study.memory import ran_out
    from study.store import Store
    from study.sweep import OUTPUTS

    store = Store(OUTPUTS / name)
    place = store.folder.as_posix()
    store.check_writable()
    survey = store.survey()
    for damage in survey.damages:
        print(
            f"cannot read {damage}; what this command asks for of what it held is made again.",
            file=sys.stderr,
        )
    known = {commit.pack for commit in survey.commits}
    finished = 0
    for one in measurements:
        if one.id in known:
            print(f"{one}: measured before, in {place}: nothing to do.", flush=True)
            finished += 1
            continue
        began = time.perf_counter()
        try:
            # PyTorch's threads are one there, NumPy's here
            with exact_arithmetic(one.device), threadpool_limits(1):
                task = TASKS[one.task].function
                rows = table(one.task, task(one.device, **one.parameters))
            made_with = {
                **environment(one.device),
                "task": one.task,
                "parameters": dict(one.parameters),
            }
            wall_s = time.perf_counter() - began
            store.create()
            store.commit(one.id, 0, {"measurements": rows}, {}, made_with, wall_s)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{finished} finished and kept") from None
        except Exception as error:
            if not ran_out(error):
                raise
            chosen = ", ".join(f"{key}={value}" for key, value in one.parameters.items())
            raise StudyError(
                f"cannot measure {one} with {chosen}: that takes more memory than there is."
            ) from error
        finished += 1
        print(f"{one}: {rows.num_rows:,} rows in {place} after {wall_s:.0f} s.", flush=True)


def table(task: str, rows: Iterable[Row]) -> Any:
    """Return rows as the table ``measurements``.

    Raises:
        StudyError: the task yielded nothing.
    """
    import pyarrow as pa

    from study.store import ARROW_SCHEMAS

    columns = [
        {
            "task": task,
            "subject": canonical_json(dict(row.subject)),
            "quantity": row.quantity,
            "repeat": row.repeat,
            "value": float(row.value),
            "unit": row.unit,
        }
        for row in rows
    ]
    if not columns:
        raise StudyError(f"cannot measure {task}: with these settings there is nothing to measure.")
    return pa.Table.from_pylist(columns, schema=ARROW_SCHEMAS["measurements"])


def help_page() -> str:
    """Return what ``python -m study measure --help`` says: the tasks, and what each measures."""
    lines = [
        "python -m study measure <task> [<task> …] [name=<study>] [<setting>=<value> …]",
        "",
        "Measures what is no training of a grid, and stores it as the table `measurements` of a study,",
        f"outputs/<name>/ (default: name={NAME}). What was measured before with the same settings, on the",
        "same kind of device and by the same version of the numerics is not measured again.",
        "",
        "Tasks, with their settings:",
    ]
    for name in TASKS:
        entry = TASKS[name]
        said = (entry.function.__doc__ or "").strip().splitlines()[0]
        settings = " ".join(f"{key}={value}" for key, value in entry.parameters.items())
        lines += ["", f"  {name}"]
        lines += textwrap.wrap(said, 96, initial_indent="      ", subsequent_indent="      ")
        lines += [f"      {settings}"]
    return "\n".join(lines)
