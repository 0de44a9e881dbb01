"""What a task yields, and where tasks are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from study.registry import Registry
from study.settings import Number


@dataclass(frozen=True)
class Row:
    """One number.

    Attributes:
        subject: what was varied, by name; strings and finite numbers.
        quantity: what was measured.
        value: the number; NaN where there is none.
        unit: its unit, ``1`` for a plain number.
        repeat: which repetition, or which seed, from 0 on.
    """

    subject: Mapping[str, Any]
    quantity: str
    value: float
    unit: str = "1"
    repeat: int = 0


@dataclass(frozen=True)
class Traits:
    """What the harness must know of a task.

    Attributes:
        each_device: whether it is run on the GPU too, where there is one, and says so in its subjects.
        rules: of parameters that have bounds; else whole numbers are at least 1 and others above 0.
    """

    each_device: bool = False
    rules: Mapping[str, Number] = field(default_factory=dict)


TASKS: Registry[Traits] = Registry("task", Traits())
"""Functions of the device, ``"cpu"`` or ``"cuda"``, that yield rows; the first line of their docstrings is
what ``--help`` says of them, their keyword arguments are their settings."""
