"""Which cells are trained together: a pure function of their settings and the kind of device."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study import NUMERICS_VERSION
from study.cell import Cell, Settings, canonical_json, digest
from study.datasets import DATASETS
from study.schema import SCHEMA_VERSION
from study.settings import setting

CPU_SIGNAL_BYTES = 3 * 2**18
"""On a CPU a pack's signals of one layer should stay in cache: 24 cells of width 64 at batch 128."""

CPU_MOST_CELLS = 128
"""Beyond some hundred small cells the calls are paid for and only memory grows."""

GPU_PACK_BYTES = 8 * 2**30
"""On a GPU a pack may take this much memory, by the estimate below, on cards of 16 GiB and more."""

GPU_MOST_CELLS = 2048

CHUNK = 128
"""Samples measured at a time, as in `study.probe`, which imports PyTorch and readers of plans do not."""


@dataclass(frozen=True)
class Pack:
    """Cells trained as one stacked program.

    Attributes:
        cells: in the order of the stack; those of one activation are contiguous.
        attempt: 0, or how many times these cells failed before.
        id: hash of the cells in order and the attempt.
    """

    cells: tuple[Cell, ...]
    attempt: int
    id: str

    @classmethod
    def of(cls, cells: Sequence[Cell], attempt: int = 0) -> Pack:
        """Return the pack of these cells in this order."""
        text = canonical_json([[cell.id for cell in cells], attempt])
        return cls(tuple(cells), attempt, digest(text, 16))

    @property
    def work(self) -> int:
        """A measure of the time it takes: layers × cells × (steps and what probing costs)."""
        settings = self.cells[0].settings
        steps = settings["steps"] + 8 * min(settings["probe"]["steps"], settings["steps"] + 1)
        return len(self.cells) * settings["depth"] * settings["width"] * steps


def stack_key(cell: Cell, device: str) -> str:
    """Return what cells must have in common to be one stack.

    Seeds and initializers differ freely. Activations may differ too, in contiguous runs; on a CPU
    they are kept apart, since putting runs together again copies every signal.
    """
    free = {"seed", "init"} | ({"activation"} if device == "cuda" else set())
    return canonical_json({key: value for key, value in cell.settings.items() if key not in free})


def largest_pack(cell: Cell, device: str) -> int:
    """Return how many cells of this shape one pack may hold."""
    settings = cell.settings
    signal = settings["batch_size"] * settings["width"]
    if device == "cpu":
        return max(1, min(CPU_MOST_CELLS, CPU_SIGNAL_BYTES // (4 * signal)))
    weights = settings["width"] ** 2 + settings["width"]
    # float32 weights, gradients and two moments, the float64 twin and its gradients; z and h of the
    # float32 pass, then z, h and slopes of the float64 one
    per_weight = 4 * 4 + 8 * 2
    per_layer = weights * per_weight + signal * (2 * 4 + 3 * 8)
    if setting(settings, "norm") != "none" or setting(settings, "dropout") > 0:
        # autograd keeps every layer's affine map, what the norm makes of it, φ of that and what is not
        # dropped, with about as much for the way back, of both formats one after the other; and a mask
        per_layer += signal * (8 * 8 + 1)
    # of many features the first layer has more weights, and a batch more numbers in both formats
    features = DATASETS[settings["data"]["name"]].extra.inputs
    samples = max(settings["batch_size"], CHUNK)
    first = features * (settings["width"] * per_weight + samples * (4 + 8))
    if setting(settings, "norm") == "batch":
        # of one layer at a time the whole probe set, in parts and put together
        first += 4 * 8 * settings["probe"]["samples"] * settings["width"]
    return max(1, min(GPU_MOST_CELLS, GPU_PACK_BYTES // (per_layer * settings["depth"] + first)))


def plan_packs(
    cells: Iterable[Cell], device: str, attempt: int = 0, most: int | None = None
) -> list[Pack]:
    """Divide cells into packs of nearly equal size.

    Args:
        cells: in any order: the packs do not depend on it.
        device: ``"cpu"`` or ``"cuda"``.
        attempt: how many times these cells failed before.
        most: cells of a pack at most; default `largest_pack`.

    Returns:
        The packs, those with most work first.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(stack_key(cell, device), []).append(cell)
    packs = []
    for group in groups.values():
        group.sort(key=_order_in_stack)
        count = -(-len(group) // (most or largest_pack(group[0], device)))
        bounds = [len(group) * index // count for index in range(count + 1)]
        packs += [Pack.of(group[low:high], attempt) for low, high in itertools.pairwise(bounds)]
    return sorted(packs, key=lambda pack: (-pack.work, pack.id))


def _order_in_stack(cell: Cell) -> tuple[str, str, int]:
    settings = cell.settings
    return (
        canonical_json(settings["activation"]),
        canonical_json(settings["init"]),
        settings["seed"],
    )


def plan_document(
    packs: Sequence[Pack],
    device: str,
    command: Sequence[str],
    extensions: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Return packs as JSON that `packs_of_plan` reads: conditions once, cells as condition and seed.

    Args:
        packs: the packs.
        device: ``"cpu"`` or ``"cuda"``.
        command: what the user typed.
        extensions: where functions of the user's own come from, each with the ``code`` that the settings
            name; kept are those that a cell uses.
    """
    numbers: dict[str, int] = {}
    conditions: list[Settings] = []
    listed = []
    for pack in packs:
        members = []
        for cell in pack.cells:
            condition = {key: value for key, value in cell.settings.items() if key != "seed"}
            key = canonical_json(condition)
            if key not in numbers:
                numbers[key] = len(conditions)
                conditions.append(condition)
            members.append([numbers[key], cell.settings["seed"]])
        listed.append({"id": pack.id, "attempt": pack.attempt, "cells": members})
    codes = {
        chosen["code"]
        for one in conditions
        for chosen in one.values()
        if isinstance(chosen, dict) and "code" in chosen
    }
    used = [dict(one) for one in extensions if one["code"] in codes]
    return {
        "schema": SCHEMA_VERSION,
        "numerics": NUMERICS_VERSION,
        "device": device,
        "command": list(command),
        **({"extensions": used} if used else {}),
        "conditions": conditions,
        "packs": listed,
    }


def command_of(plan: Mapping[str, Any]) -> str:
    """Return a plan's command as it would be typed, in characters that can be written anywhere."""
    return shlex.join(plan["command"]).encode(errors="replace").decode()


def packs_of_plan(plan: dict[str, Any], known: Container[str] = ()) -> list[Pack]:
    """Return the packs of a plan, with the ids that they had under the plan's numerics version.

    Args:
        plan: as `plan_document` makes it.
        known: ids of packs that are left out.
    """
    numerics = plan["numerics"]
    return [
        Pack.of(
            [
                Cell.of(plan["conditions"][number], seed, numerics)
                for number, seed in entry["cells"]
            ],
            entry["attempt"],
        )
        for entry in plan["packs"]
        if entry["id"] not in known
    ]
