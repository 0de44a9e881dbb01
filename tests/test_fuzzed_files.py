"""Whatever is in the files of a study, its reader neither fails nor hangs, and shows no other number."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.frames import Study
from analysis.provenance import provenance
from study.errors import StoreError
from study.leases import Leases
from study.status import lines, status
from study.store import Store
from study.sweep import missing_packs

GOLDEN = Path(__file__).parent / "golden"

QUICK = settings(max_examples=50, deadline=None, derandomize=True, database=None)
LONG = settings(
    max_examples=2500, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def files_of(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()
    )


ORIGINAL = {
    version: {
        name: (GOLDEN / f"schema{version}" / name).read_bytes()
        for name in files_of(GOLDEN / f"schema{version}")
    }
    for version in (3, 4, 5)
}


def numbers(folder: Path) -> dict[str, list[str]]:
    """Return the rows of every network that a survey shows, by network."""
    survey = Store(folder).survey()
    found: dict[str, list[str]] = {}
    for commit in survey.commits:
        for table, path in survey.paths[commit.pack].items():
            for row in pq.read_table(path).to_pylist():
                found.setdefault(row["cell"], []).append(f"{table} {row}")
        for cell, one in commit.statuses.items():
            found[cell].append(f"status {one}")
    return found


TRUE = {version: numbers(GOLDEN / f"schema{version}") for version in (3, 4, 5)}


class Place:
    """A copy of a study whose files are changed and put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, version: int, changed: dict[str, bytes]) -> Path:
        target = self.folder / str(version)
        if not target.exists():
            shutil.copytree(GOLDEN / f"schema{version}", target)
        for path in target.rglob("*.*"):
            if path.is_file():
                name = path.relative_to(target).as_posix()
                if name not in ORIGINAL[version]:
                    path.unlink()
                elif path.read_bytes() != ORIGINAL[version][name]:
                    path.write_bytes(ORIGINAL[version][name])
        for name, content in changed.items():
            (target / name).parent.mkdir(exist_ok=True)
            (target / name).write_bytes(content)
        return target


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("fuzzed"))


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Return a file's content after a few faults of a disk, or of a hand."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["flip", "cut", "zero", "insert", "remove", "repeat", "any"]))
        start = draw(st.integers(0, len(found)))
        size = draw(st.integers(1, 64))
        if kind == "flip" and start < len(found):
            found[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del found[start:]
        elif kind == "zero":
            found[start : start + size] = bytes(len(found[start : start + size]))
        elif kind == "insert":
            found[start:start] = draw(st.binary(min_size=1, max_size=64))
        elif kind == "remove":
            del found[start : start + size]
        elif kind == "repeat":
            found[start:start] = found[start : start + size]
        elif kind == "any":
            found = bytearray(draw(st.binary(max_size=200)))
    return bytes(found)


def check(folder: Path, version: int, changed: bool) -> None:
    """Check that a study is read, that damage is named and that no other number is shown."""
    store = Store(folder)
    try:
        survey = store.survey()
    except StoreError as refused:
        told = str(refused)
        assert "it has schema version" in told
        assert str(folder) in told
        return
    shown = numbers(folder)
    assert all(TRUE[version].get(cell) == rows for cell, rows in shown.items())
    whole = shown == TRUE[version] and len(survey.plans) == 1
    assert survey.damages or whole or not changed
    assert "\n".join(lines(status(folder)))
    missing_packs([], survey, "cpu")
    study = Study(folder)
    for damage in survey.damages:
        assert any(damage in one for one in study.damages)
    assert set(study.cells["status"]) <= {"ok", "missing"}
    ok = study.cells[study.cells["status"] == "ok"]
    assert set(ok["cell"]) == set(shown)
    assert provenance(study)["digest"]


def disk_faults(data: st.DataObject, place: Place) -> None:
    version = data.draw(st.sampled_from([3, 4, 5]))
    name = data.draw(st.sampled_from(sorted(ORIGINAL[version])))
    content = data.draw(changed_bytes(ORIGINAL[version][name]))
    folder = place.put(version, {name: content})
    check(folder, version, content != ORIGINAL[version][name])


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(
        [0, 1, -1, 3, 5, 99, 2**31, 2**63, 10**400, 0.5, math.nan, math.inf, -math.inf]
    ),
    st.sampled_from(
        ["", "ok", "failed", "unknown", "../..", "/etc/passwd", "a\0b", "\ud800", "x" * 5000]
    ),
    st.sampled_from(["records/../../x", "records/a.b/cells.parquet\0", "\x1b[31m", "<script>"]),
    # copies, since they are changed themselves
    st.sampled_from([[], {}, [[]], {"": {}}, [None], {"name": 3}]).map(copy.deepcopy),
    st.text(max_size=8),
    st.integers(2, 900).map(lambda deep: json.loads("[" * deep + "]" * deep)),
)


@st.composite
def changed_json(draw: st.DrawFn, content: bytes) -> Any:
    """Return a document some of whose values are others, missing, or there twice."""
    document = json.loads(content)
    for _ in range(draw(st.integers(1, 2))):
        inner: Any = document
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(inner[key], dict | list) and inner[key] and draw(st.booleans()):
                inner = inner[key]
                continue
            kind = draw(st.sampled_from(["value", "remove", "other", "rename"]))
            if kind == "value":
                inner[key] = draw(ODD)
            elif kind == "other":
                inner[key] = copy.deepcopy(inner[draw(st.sampled_from(keys))])
            else:
                value = inner.pop(key)
                if kind == "rename" and isinstance(inner, dict):
                    inner[draw(st.text(max_size=8))] = value
            break
    return document


def documents(data: st.DataObject, place: Place) -> None:
    """Change what a commit or plan of the time before digests says."""
    version = data.draw(st.sampled_from([3, 4]))
    names = [name for name in ORIGINAL[version] if name.endswith(".json")]
    name = data.draw(st.sampled_from(names))
    document = data.draw(changed_json(ORIGINAL[version][name]))
    content = json.dumps(document, indent=1).encode()
    changed = {name: content}
    if name.startswith("plans/"):  # its name is the digest of what it says
        changed = (
            {name: ORIGINAL[version][name]}
            if content == ORIGINAL[version][name]
            else {f"plans/{hashlib.sha256(content).hexdigest()[:16]}.json": content}
        )
    folder = place.put(version, changed)
    # what is told beside the numbers (time, environment, attempt) has no digest to be held against
    check(folder, version, False)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(("one", "other"), [("curves", "cells"), ("cells", "curves")])
def test_an_old_commit_that_names_another_table_is_damaged(
    one: str, other: str, version: int, place: Place
) -> None:
    """As was found: what it says of that table is true."""
    name = next(name for name in ORIGINAL[version] if name.startswith("commits/"))
    document = json.loads(ORIGINAL[version][name])
    document["files"][one] = document["files"][other]
    folder = place.put(version, {name: json.dumps(document).encode()})
    [damage] = Store(folder).survey().damages
    assert name in damage
    check(folder, version, True)


def leases_and_checkpoints(data: st.DataObject, place: Place) -> None:
    """Put anything in the place of a lease: it holds or does not, and is told or not."""
    whole = json.dumps({"machine": "m", "pid": 1, "started": "1", "job": "", "nonce": "n"}).encode()
    text = data.draw(
        st.one_of(
            changed_bytes(whole), changed_json(whole).map(lambda one: json.dumps(one).encode())
        )
    )
    folder = place.put(5, {"leases/31e47f6f02f0be31.json": text})
    store = Store(folder)
    store.staging.mkdir(exist_ok=True)
    leases = Leases(store.leases, store.staging)
    taken = leases.take("31e47f6f02f0be31")
    if taken is not None:
        with taken:
            pass
    assert "\n".join(lines(status(folder)))


CASES = {one.__name__: one for one in (disk_faults, documents, leases_and_checkpoints)}


@pytest.mark.parametrize("case", list(CASES))
def test_whatever_is_in_a_file_it_is_named_or_what_was_written(case: str, place: Place) -> None:
    QUICK(given(st.data())(lambda data: CASES[case](data, place)))()


@pytest.mark.long
@pytest.mark.parametrize(
    "case", ["disk_faults", "disk_faults again", "documents", "leases_and_checkpoints"]
)
def test_whatever_is_in_ten_thousand_files_it_is_named_or_what_was_written(
    case: str, place: Place
) -> None:
    LONG(given(st.data())(lambda data: CASES[case.partition(" ")[0]](data, place)))()
