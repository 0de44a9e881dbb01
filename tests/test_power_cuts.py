"""A power cut behind any call of the commit protocol: whatever the disk kept, what was committed is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from disk import Power, lay_out, signature

from study import files
from study.schema import TABLES
from study.store import ARROW_SCHEMAS, Store

PLAN = {
    "schema": 5, "numerics": 3, "device": "cpu", "command": ["study"], "conditions": [], "packs": [],
}  # fmt: skip


def tables(cell: str) -> dict[str, pa.Table]:
    return {
        table: pa.Table.from_pylist([{"cell": cell}], schema=ARROW_SCHEMAS[table])
        for table in TABLES
    }


def commit(store: Store, pack: str) -> None:
    store.commit(pack, 0, tables(pack), {pack: "ok"}, {}, 0.0)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class BrokenPromiseError(AssertionError):
    """A state of the disk in which a promise is broken."""


def written(root: Path, power: Power) -> list[tuple[int, str]]:
    """Make a study of two packs, and return behind which call what was said to be kept."""
    store = Store(root / "outputs" / "mine")
    said = []
    with power.recording():
        store.create()
        store.write_plan(PLAN, 1)
        said.append((len(power.calls), "plan"))
        for pack in ("first", "second"):
            commit(store, pack)
            said.append((len(power.calls), pack))
    return said


def repaired(root: Path, power: Power) -> list[tuple[int, str]]:
    """Make a pack of an earlier study again whose record is damaged."""
    store = Store(root / "outputs" / "mine")
    with power.recording():
        commit(store, "first")
    return [(len(power.calls), "first")]


def check(
    power: Power,
    said: list[tuple[int, str]],
    tmp_path: Path,
    damaged: bool = False,
    going_on: bool = True,
) -> int:
    """Look at every state and return how many there are.

    Args:
        power: what was recorded.
        said: behind which call what was said to be kept.
        tmp_path: where states are laid out.
        damaged: whether something was from the beginning.
        going_on: whether to go on with the study in each of them, too.

    Raises:
        BrokenPromiseError: in one of them the study is not what it must be.
    """
    seen = set()
    for count in range(len(power.calls) + 1):
        for told, state in power.states(count):
            key = (signature(state), tuple(name for when, name in said if when <= count))
            if key in seen:
                continue
            seen.add(key)
            place = tmp_path / f"state{len(seen)}"
            lay_out(state, place)
            store = Store(place / "outputs" / "mine")
            survey = store.survey()
            if survey.damages and not damaged:
                raise BrokenPromiseError(f"{told}: {survey.damages}")
            found = {one.pack for one in survey.commits} | {"plan" for _ in survey.plans}
            missing = {name for when, name in said if when <= count} - found
            if missing:
                raise BrokenPromiseError(f"{told}: {missing} was said to be kept")
            if not going_on:
                continue
            store.create()
            if not survey.plans:
                assert store.write_plan(PLAN, survey.next_plan)
            for pack in ("first", "second"):
                if store.committed(pack) is None:
                    commit(store, pack)
            survey = store.survey()
            if survey.damages or {one.pack for one in survey.commits} != {"first", "second"}:
                raise BrokenPromiseError(f"{told}: it does not go on")
    return len(seen)


def test_after_a_power_cut_behind_any_call_what_was_committed_is_whole(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    power = Power(root)
    assert check(power, written(root, power), tmp_path) > 200


def test_after_a_power_cut_a_damaged_pack_is_damaged_still_or_made_again(tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    written(root, Power(root))
    [record] = root.glob("outputs/mine/records/first.*/layers.parquet")
    record.write_bytes(b"torn")
    power = Power(root)
    assert check(power, repaired(root, power), tmp_path, damaged=True) > 50


DROPPED: dict[str, Callable[[str], bool]] = {
    "of the tables": lambda path: path.endswith(".parquet"),
    "of one table": lambda path: path.endswith("curves.parquet"),
    "of the staged folder": lambda path: (
        Path(path).parent.name == "staging" and "." in Path(path).name
    ),
    "of records/": lambda path: path.endswith("mine/records"),
    "of commits/": lambda path: path.endswith("mine/commits"),
    "of plans/": lambda path: path.endswith("mine/plans"),
    "of what is staged for plans and commits": lambda path: (
        Path(path).parent.name == "staging" and "." not in Path(path).name
    ),
    "of the study's folder": lambda path: path.endswith("outputs/mine"),
    "of the folder of studies": lambda path: path.endswith("outputs"),
    "of the folder where it is run": lambda path: path == ".",
}


@pytest.mark.parametrize("sync", list(DROPPED))
def test_without_any_one_of_the_syncs_something_is_lost(sync: str, tmp_path: Path) -> None:
    root = tmp_path / "work"
    root.mkdir()
    power = Power(root, DROPPED[sync])
    said = written(root, power)
    with pytest.raises(BrokenPromiseError):
        check(power, said, tmp_path, going_on=False)


@contextlib.contextmanager
def the_name_before_the_content(patch: pytest.MonkeyPatch) -> Iterator[None]:
    def publish(path: Path, content: bytes, staging: Path) -> bool:
        files.write(path, content)
        files.sync(path.parent)
        return True

    patch.setattr(files, "publish", publish)
    yield


@contextlib.contextmanager
def the_folder_before_the_tables(patch: pytest.MonkeyPatch) -> Iterator[None]:
    stage, move = Store._stage_tables, Store._move_records
    late: list[Any] = []

    def not_yet(store: Store, staged: Path, tables: Any) -> Any:
        late[:] = [tables]
        return stage(store, staged, tables)

    def emptied(store: Store, staged: Path, place: Path, entries: Any) -> None:
        contents = {path.name: path.read_bytes() for path in staged.iterdir()}
        for path in staged.iterdir():
            os.unlink(path)
        move(store, staged, place, entries)
        for name, content in contents.items():
            handle = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(handle, content)
            os.close(handle)

    patch.setattr(Store, "_stage_tables", not_yet)
    patch.setattr(Store, "_move_records", emptied)
    yield


@contextlib.contextmanager
def the_commit_before_the_records(patch: pytest.MonkeyPatch) -> Iterator[None]:
    move, publish = Store._move_records, files.publish
    waiting: list[Callable[[], None]] = []

    def later(store: Store, staged: Path, place: Path, entries: Any) -> None:
        waiting.append(lambda: move(store, staged, place, entries))

    def first(path: Path, content: bytes, staging: Path) -> bool:
        found = publish(path, content, staging)
        while waiting:
            waiting.pop()()
        return found

    patch.setattr(Store, "_move_records", later)
    patch.setattr(files, "publish", first)
    yield


@pytest.mark.parametrize(
    "order",
    [the_name_before_the_content, the_folder_before_the_tables, the_commit_before_the_records],
)
def test_in_any_other_order_something_is_lost(
    order: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "work"
    root.mkdir()
    power = Power(root)
    with monkeypatch.context() as patch, order(patch):
        said = written(root, power)
    with pytest.raises(BrokenPromiseError):
        check(power, said, tmp_path, going_on=False)
