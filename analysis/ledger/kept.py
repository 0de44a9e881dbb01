"""What is kept of a ledger beside its tables: what its page and figures are drawn from again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.claims import claims
from analysis.ledger.claim import Evidence, Part
from analysis.ledger.decision import Outcome, Verdict
from analysis.ledger.entries import Entry
from study.errors import StoreError

FILE = "ledger.json"

SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""Numbers that JSON has no word for."""


def write(folder: Path, judged: Sequence[Entry], more: dict[str, Any]) -> None:
    """Write what is kept of a ledger.

    Args:
        folder: of the ledger; its tables are written already.
        judged: the entries.
        more: what else the page says.
    """
    document = {**more, "entries": [_document(one) for one in judged]}
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


def _document(entry: Entry) -> dict[str, Any]:
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
            kept["caption"],
        )
    return Entry(
        claim=claim, evidence=evidence, deciding=_outcome(deciding) if deciding else None, queries=(), **found
    )  # fmt: skip


def _part(found: dict[str, Any]) -> Part:
    verdict = found["verdict"]
    verdict |= {key: tuple(verdict[key]) for key in ("supported", "refuted", "open")}
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
