"""A cell: one network of one condition with one seed, and the id that its settings give it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from study import NUMERICS_VERSION

Settings = dict[str, Any]


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str, length: int = 20) -> str:
    """Return the first hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Cell:
    """One network.

    Attributes:
        settings: canonical science settings with the seed; not name, device, workers or executor.
        id: 80 bits of the SHA-256 of the settings and the numerics version.
    """

    settings: Settings = field(hash=False)
    id: str

    @classmethod
    def of(cls, condition: Settings, seed: int) -> Cell:
        """Return the cell of a canonical condition and a seed."""
        settings = {**condition, "seed": seed}
        return cls(settings, digest(canonical_json({**settings, "numerics": NUMERICS_VERSION})))


def cells_of(conditions: Iterable[tuple[Settings, list[int]]]) -> list[Cell]:
    """Return the cells of conditions with their seeds, each cell once, in order of appearance."""
    found: dict[str, Cell] = {}
    for condition, seeds in conditions:
        for seed in seeds:
            cell = Cell.of(condition, seed)
            found.setdefault(cell.id, cell)
    return list(found.values())
