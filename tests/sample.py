"""A small real study with every kind of outcome in it, for the tests of `analysis`."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from study.running import Running
from study.sweep import run_conditions

BASE: dict[str, Any] = {
    "name": "sample", "device": "cpu", "width": 16, "steps": 6, "batch_size": 16, "seeds": 3,
    "probe": {"steps": 4, "samples": 32}, "data": {"name": "digits", "train_size": 200},
}  # fmt: skip

INITS = (
    {"name": "he_normal"},
    {"name": "normal", "std": 0.05},
    {"name": "normal", "std": 1e80},  # infinite in float32: no number anywhere
    {"name": "zeros"},  # the gradient of all layers but the last is exactly 0
)


def condition(**settings: Any) -> dict[str, Any]:
    """Return a condition of the sample's size."""
    named = {
        key: {"name": value} if isinstance(value, str) and key in ("activation", "init") else value
        for key, value in settings.items()
    }
    return BASE | named


def conditions() -> list[dict[str, Any]]:
    """Return the sample's conditions: trained ones, starts of other networks, and a linear model."""
    rates = [{"name": "sgd", "lr": lr} for lr in (0.03, 0.3)]
    trained = [
        condition(depth=depth, activation=activation, init=init, optim=optim)
        for depth, activation, init, optim in itertools.product(
            (2, 5), ("relu", "sigmoid"), INITS, rates
        )
    ]
    starts = [
        condition(depth=5, activation="identity", init=init, optim=rates[0], steps=0)
        for init in INITS[:2]
    ]
    linear = [condition(depth=1, activation="identity", init="he_normal", optim=rates[1])]
    return [*trained, *starts, *linear]


def make(
    folder: Path, many: list[dict[str, Any]] | None = None, command: tuple = ("test",)
) -> Path:
    """Run conditions (default: the sample's) below ``folder`` and return the study's folder."""
    many = conditions() if many is None else many
    before = Path.cwd()
    os.chdir(folder)
    try:
        run_conditions(many, list(command), Running(workers=1))
    finally:
        os.chdir(before)
    return folder / "outputs" / many[0]["name"]
