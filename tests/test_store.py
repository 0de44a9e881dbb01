"""The commit protocol: what a kill between any two of its steps leaves behind."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest

from study.errors import StoreError
from study.schema import TABLES
from study.store import ARROW_SCHEMAS, Store, final_commits

STEPS = ("fsync", "rename", "replace", "link", "unlink", "open")


def tables(cell="a"):
    return {
        table: pa.Table.from_pylist([{"cell": cell}], schema=ARROW_SCHEMAS[table])
        for table in TABLES
    }


def commit(store, pack="p", cell="a", attempt=0, status="ok"):
    store.commit(pack, attempt, tables(cell), {cell: status}, {}, 0.0)


def commit_and_die(store, survive):
    """Commit in a child process that is gone, without any clean-up, at its n-th call of the system."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def counted(function):
        def call(*arguments, **keywords):
            nonlocal calls
            calls += 1
            if calls > survive:
                os._exit(9)
            return function(*arguments, **keywords)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    try:
        commit(store)
    finally:
        os._exit(0)


def test_a_kill_between_any_two_steps_leaves_a_store_that_opens_and_continues(tmp_path):
    survived = 0
    while True:
        store = Store(tmp_path / str(survived))
        store.create()
        commit(store, "earlier", "b")
        code = commit_and_die(store, survived)
        commits = store.read_commits()
        assert {one.pack for one in commits} in ({"earlier"}, {"earlier", "p"})
        for one in commits:
            store.verify(one)
        commit(store)
        assert {one.pack for one in store.read_commits()} == {"earlier", "p"}
        for one in store.read_commits():
            store.verify(one)
        if code == 0:
            break
        survived += 1
    assert survived >= 8, "the protocol has at least eight steps to be killed between"


def test_a_second_writer_of_a_pack_changes_nothing(tmp_path):
    store = Store(tmp_path)
    store.create()
    commit(store)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    commit(store, cell="other")
    assert {path: path.read_bytes() for path in before} == before
    assert store.read_commits()[0].statuses == {"a": "ok"}


def test_a_torn_record_left_by_a_crash_is_replaced_not_trusted(tmp_path):
    store = Store(tmp_path)
    store.create()
    commit(store)
    (tmp_path / "commits" / "p.json").unlink()
    (path,) = (tmp_path / "records").glob("p.*/layers.parquet")
    path.write_bytes(b"torn")
    commit(store)
    store.verify(store.read_commits()[0])


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"schema": 1}', b'{"schema": 2}', b'{"schema": 5}', b'{"schema": 6}'],
)
def test_a_damaged_or_newer_commit_is_refused_by_name(tmp_path, content):
    store = Store(tmp_path)
    store.create()
    (tmp_path / "commits" / "p.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"p\.json"):
        store.read_commits()


@pytest.mark.parametrize("version", [2, 6])
def test_a_version_that_is_not_read_is_told_with_those_that_are(tmp_path, version):
    store = Store(tmp_path)
    store.create()
    (tmp_path / "commits" / "p.json").write_text(f'{{"schema": {version}}}')
    with pytest.raises(
        StoreError, match=rf"it has schema version {version}, this program reads 3, 4 and 5\.$"
    ):
        store.read_commits()


def test_a_cell_that_failed_counts_as_in_its_last_attempt(tmp_path):
    store = Store(tmp_path)
    store.create()
    commit(store, "first", "a", 0, "failed")
    commit(store, "second", "a", 1, "ok")
    assert final_commits(store.read_commits())["a"].pack == "second"


def test_a_file_in_the_folders_place_is_refused_and_nothing_written(tmp_path):
    (tmp_path / "outputs").write_text("a file")
    store = Store(tmp_path / "outputs" / "mine")
    with pytest.raises(StoreError, match="is a file"):
        store.check_writable()
    assert (tmp_path / "outputs").read_text() == "a file"


def test_a_study_is_as_readable_as_any_new_file(tmp_path):
    store = Store(tmp_path / "study")
    store.create()
    store.write_plan({"schema": 2})
    commit(store)
    plain = tmp_path / "plain"
    plain.touch()
    (tmp_path / "folder").mkdir()
    for path in store.folder.rglob("*"):
        like = tmp_path / "folder" if path.is_dir() else plain
        assert path.stat().st_mode == like.stat().st_mode, path
