"""What is kept of a ledger beside its tables: what its page and figures are drawn from again."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.claims import claims
from analysis.ledger.claim import Evidence, Part
from analysis.ledger.decision import Verdict
from analysis.ledger.entries import Entry
from analysis.ledger.outcomes import Outcome
from study.errors import StoreError

FILE = "ledger.json"

SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""Numbers that JSON has no word for."""


def write(folder: Path, judged: Sequence[Entry], more: dict[str, Any]) -> None:
    """Write what is kept of a ledger: ``tables/<claim>-<n>.csv`` for figures, the rest as JSON.

    Args:
        folder: of the ledger.
        judged: the entries.
        more: what else the page says.
    """
    document = {**more, "entries": [_document(one, folder) for one in judged]}
    text = json.dumps(_plain(document), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8", newline="\n")


def read(folder: Path) -> tuple[list[Entry], dict[str, Any]]:
    """Return the entries of a ledger that was kept, and what else its page says.

    Args:
        folder: of the ledger.

    Raises:
        StoreError: there is no ledger, or a claim of it is not registered any more.
    """
    path = folder / FILE
    try:
        document = _numbers(json.loads(path.read_text(encoding="utf-8")))
        found = document.pop("entries")
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"cannot draw the ledger in {folder}: {FILE} is missing or damaged."
        ) from error
    absent = [one["id"] for one in found if one["id"] not in claims()]
    if absent:
        raise StoreError(
            f"cannot draw the ledger in {folder}: there is no claim {absent[0]} any more."
        )
    return [_entry(one, folder) for one in found], document


def _document(entry: Entry, folder: Path) -> dict[str, Any]:
    found = {
        field.name: getattr(entry, field.name)
        for field in dataclasses.fields(entry)
        if field.name not in ("claim", "evidence", "deciding", "queries")
    }
    evidence = entry.evidence
    kept = None
    if evidence is not None:
        kept = {
            "parts": [dataclasses.asdict(part) for part in evidence.parts],
            "networks": evidence.networks,
            "said": evidence.said,
            "caption": evidence.caption,
            "draw": _Frames(entry.claim.id, folder).drawing(evidence.draw),
        }
    deciding = None if entry.deciding is None else dataclasses.asdict(entry.deciding)
    return {"id": entry.claim.id, **found, "deciding": deciding, "evidence": kept}


def _entry(found: dict[str, Any], folder: Path) -> Entry:
    claim, kept = claims()[found.pop("id")], found.pop("evidence")
    deciding = found.pop("deciding")
    evidence = None
    if kept is not None:
        evidence = Evidence(
            tuple(_part(part) for part in kept["parts"]),
            pd.read_csv(folder / "tables" / f"{claim.id}.csv"),
            kept["networks"],
            kept["said"],
            _Frames(claim.id, folder).drawn(kept["draw"]),
            kept["caption"],
        )
    return Entry(
        claim=claim, evidence=evidence, deciding=_outcome(deciding) if deciding else None, queries=(), **found
    )  # fmt: skip


class _Frames:
    """Turns a drawing and what it needs into a document with its tables beside it, and back.

    Args:
        slug: of the claim.
        folder: of the ledger.
    """

    def __init__(self, slug: str, folder: Path) -> None:
        self.slug, self.folder, self.count = slug, folder, 0

    def drawing(self, draw: functools.partial[Figure]) -> dict[str, Any]:
        """Return the document of a drawing and write its tables."""
        function = draw.func
        return {
            "function": f"{function.__module__}:{function.__qualname__}",
            "arguments": [self._kept(one) for one in draw.args],
            "keywords": {key: self._kept(one) for key, one in draw.keywords.items()},
        }

    def drawn(self, found: dict[str, Any]) -> functools.partial[Figure]:
        """Return the drawing of a document."""
        arguments = [self._made(one) for one in found["arguments"]]
        keywords = {key: self._made(one) for key, one in found["keywords"].items()}
        return functools.partial(_named(found["function"]), *arguments, **keywords)

    def _kept(self, value: Any) -> Any:
        if isinstance(value, pd.Series):
            return {"kind": "series", "frame": self._kept(value.to_frame(value.name or "value"))}
        if isinstance(value, pd.DataFrame):
            self.count += 1
            name = f"{self.slug}-{self.count}.csv"
            plain = isinstance(value.index, pd.RangeIndex) or value.index.names == [None]
            text = value.to_csv(index=not plain, lineterminator="\n", float_format="%.6g")
            (self.folder / "tables" / name).write_text(text, encoding="utf-8", newline="\n")
            return {
                "kind": "frame",
                "file": name,
                "index": [] if plain else list(value.index.names),
            }
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: self._kept(getattr(value, f.name)) for f in dataclasses.fields(value)}
            kind = type(value)
            return {
                "kind": "object",
                "of": f"{kind.__module__}:{kind.__qualname__}",
                "fields": fields,
            }
        if isinstance(value, dict):
            pairs = [[self._kept(key), self._kept(one)] for key, one in value.items()]
            return {"kind": "dict", "pairs": pairs}
        if isinstance(value, tuple | list | np.ndarray):
            name = "array" if isinstance(value, np.ndarray) else type(value).__name__
            return {"kind": name, "items": [self._kept(one) for one in value]}
        return value

    def _made(self, found: Any) -> Any:
        if not isinstance(found, dict):
            return found
        kind = found["kind"]
        if kind == "series":
            return self._made(found["frame"]).iloc[:, 0]
        if kind == "frame":
            table = pd.read_csv(self.folder / "tables" / found["file"])
            return table.set_index(found["index"]) if found["index"] else table
        if kind == "object":
            fields = {name: self._made(one) for name, one in found["fields"].items()}
            return _named(found["of"])(**fields)
        if kind == "dict":
            return {self._made(key): self._made(one) for key, one in found["pairs"]}
        items = [self._made(one) for one in found["items"]]
        return tuple(items) if kind == "tuple" else np.array(items) if kind == "array" else items


def _named(place: str) -> Any:
    """Return a function or class of ours by its module and name.

    Raises:
        StoreError: it is not one of ours: a file must not say what else is to be run.
    """
    module, _, name = place.partition(":")
    if not module.startswith(("analysis.claims.", "analysis.ledger.")) or "." in name:
        raise StoreError(f"cannot draw with {place}: it is no part of the ledger.")
    return getattr(importlib.import_module(module), name)


def _part(found: dict[str, Any]) -> Part:
    verdict = found["verdict"]
    verdict |= {key: tuple(verdict[key]) for key in ("supported", "refuted", "open")}
    verdict["wanting"] = tuple(tuple(one) for one in verdict["wanting"])
    verdict["deciding"] = _outcome(verdict["deciding"])
    tests = tuple(_outcome(one) for one in found["tests"])
    return Part(found["name"], tests, Verdict(**verdict), found["unit"])


def _outcome(found: dict[str, Any]) -> Outcome:
    return Outcome(**{**found, "margins": tuple(found["margins"])})


def _plain(value: Any) -> Any:
    """Return a document with words for the numbers that JSON has none for."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    return value.item() if hasattr(value, "item") else value


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    if isinstance(value, dict):
        if set(value) == {"number"}:
            return SPECIAL[value["number"]]
        return {key: _numbers(one) for key, one in value.items()}
    return value
