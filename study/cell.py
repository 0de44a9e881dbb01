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
    def of(cls, condition: Settings, seed: int, numerics: int = NUMERICS_VERSION) -> Cell:
        """Return the cell of a canonical condition and a seed, as some version of the program had it."""
        [identity] = ids_of(condition, [seed], numerics)
        return cls({**condition, "seed": seed}, identity)


def ids_of(
    condition: Settings, seeds: Iterable[int], numerics: int = NUMERICS_VERSION
) -> list[str]:
    """Return the ids of a canonical condition's cells: digests of the canonical JSON of their settings.

    That text is the same for all of them but for the seed, and made once.
    """
    others = {**condition, "numerics": numerics}
    before = canonical_json({key: value for key, value in others.items() if key < "seed"})
    after = canonical_json({key: value for key, value in others.items() if key > "seed"})
    start, end = before[:-1], ("," if len(after) > 2 else "") + after[1:]
    return [digest(f'{start},"seed":{canonical_json(seed)}{end}') for seed in seeds]


def cells_of(conditions: Iterable[tuple[Settings, list[int]]]) -> list[Cell]:
    """Return the cells of conditions with their seeds, each cell once, in order of appearance."""
    found: dict[str, Cell] = {}
    for condition, seeds in conditions:
        for seed, identity in zip(seeds, ids_of(condition, seeds), strict=True):
            found.setdefault(identity, Cell({**condition, "seed": seed}, identity))
    return list(found.values())
