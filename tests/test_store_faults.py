"""A disk that is full, fails or may no longer be written, at the N-th call, for every N."""

from __future__ import annotations

import errno
import itertools
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from disk import CHANGING, ERRORS, Faults
from small import files_under

from analysis import open_study
from study import files, leases
from study.__main__ import main
from study.errors import StoreError
from study.schema import TABLES
from study.store import ARROW_SCHEMAS, Store

Cli = Callable[..., int]

PLAN = {
    "schema": 5, "numerics": 3, "device": "cpu", "command": ["study"], "conditions": [], "packs": [],
}  # fmt: skip

SENTENCE = re.compile(r"cannot [^\n]*\.$")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------ the store


def store_something(store: Store) -> None:
    store.create()
    survey = store.survey()
    if not survey.plans:
        assert store.write_plan(PLAN, survey.next_plan)
    tables = {
        table: pa.Table.from_pylist([{"cell": "a"}], schema=ARROW_SCHEMAS[table])
        for table in TABLES
    }
    for pack in ("first", "second"):
        store.commit(pack, 0, tables, {"a": "ok"}, {}, 0.0)


def kept(folder: Path) -> dict[str, bytes | None]:
    """Return what a reader sees."""
    return {
        path: content
        for path, content in files_under(folder).items()
        if path.startswith(("plans/", "records/", "commits/"))
    }


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes | None]:
    store_something(Store(tmp_path / "whole"))
    return kept(tmp_path / "whole")


def failing_store(error: int, lasting: bool, whole: dict[str, bytes | None], root: Path) -> int:
    """Let every N-th call fail in turn, and return how many there are."""
    number = 1
    while True:
        folder = root / str(number) / "mine"
        faults = Faults(folder, number, error, lasting)
        (root / str(number)).mkdir(parents=True)
        store = Store(folder)
        with faults.on():
            try:
                store_something(store)
            except StoreError as refused:
                told = str(refused)
            else:
                told = f"cannot {folder.parent} {os.strerror(error)}."
        assert SENTENCE.fullmatch(told)
        assert str(folder.parent) in told
        assert os.strerror(error) in told
        there = kept(folder)
        # what has a name is whole; records may be there that nothing speaks of
        assert {path for path, content in there.items() if content} <= whole.keys()
        assert all(whole[path] == content for path, content in there.items())
        survey = store.survey()
        assert survey.damages == []
        assert [one.pack for one in survey.commits] == ["first", "second"][: len(survey.commits)]
        store_something(store)
        assert kept(folder) == whole
        if not faults.met:
            return number - 1
        number += 1


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: errno.errorcode[error])
def test_whichever_call_fails_the_store_is_whole_and_goes_on(
    error: int,
    lasting: bool,
    whole: dict[str, bytes | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    assert failing_store(error, lasting, whole, tmp_path / "faults") > 50


def test_every_kind_of_call_is_among_those_that_fail(tmp_path: Path) -> None:
    with Faults(tmp_path).on() as faults:
        store = Store(tmp_path / "mine")
        store_something(store)
        files.replace(store.commits / "new.json", b"new", store.staging)
        store._move_records(store.staging, store.records / "nothing", {})
    assert {name for name, _ in faults.calls} >= set(CHANGING) - {"rmdir"}


def written_in_place(path: Path, content: bytes, staging: Path) -> bool:
    files.write(path, content)
    files.sync(path.parent)
    return True


def test_without_a_staging_folder_half_a_file_is_seen(
    whole: dict[str, bytes | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "publish", written_in_place)
    with pytest.raises(AssertionError):
        failing_store(errno.ENOSPC, True, whole, tmp_path / "faults")


def test_an_error_that_is_passed_over_is_seen(
    whole: dict[str, bytes | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write

    def careless(path: Path, content: bytes) -> None:
        try:
            write(path, content)
        except OSError:
            path.touch()

    monkeypatch.setattr(files, "write", careless)
    with pytest.raises(AssertionError):
        failing_store(errno.EIO, False, whole, tmp_path / "faults")


@pytest.mark.parametrize("folder", ["plans", "commits"])
@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    folder: str, error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "mine")
    store_something(store)
    listdir = os.listdir

    def failing(path: str | os.PathLike[str]) -> list[str]:
        if Path(path).name == folder:
            raise OSError(error, os.strerror(error), os.fspath(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", failing)
    with pytest.raises(StoreError, match=rf"^cannot read .*mine/{folder}: {os.strerror(error)}\.$"):
        store.survey()


@pytest.mark.parametrize("shortage", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_too_many_open_files_are_not_taken_for_damage(
    shortage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "mine")
    store_something(store)
    opened = os.open

    def failing(path: str | os.PathLike[str], *arguments: int, **keywords: int) -> int:
        if str(path).endswith(kind):
            raise OSError(shortage, os.strerror(shortage), os.fspath(path))
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", failing)
    for kind in (".json", ".parquet"):  # noqa: B007 - used by the function above
        with pytest.raises(StoreError, match=rf"{os.strerror(shortage)}\.$"):
            store.survey()
        with pytest.raises(StoreError, match=rf"{os.strerror(shortage)}\.$"):
            store.committed("first")


def test_a_file_system_that_syncs_no_folders_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def without_folders(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(handle)

    monkeypatch.setattr(os, "fsync", without_folders)
    store_something(Store(tmp_path / "mine"))
    assert Store(tmp_path / "mine").survey().damages == []


# ------------------------------------------------------------------ a run

SMALL = [
    *("--multirun", "name=mine", "device=cpu", "data=digits", "width=4", "steps=3", "batch_size=8"),
    *("seeds=1", "probe.steps=2", "probe.samples=8", "depth=2,3"),
    *("hydra.launcher.executor=inline", "hydra.launcher.checkpoint_s=0"),
]

MINE = Path("outputs/mine")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, hydra_restore_singletons: None) -> Cli:
    """Return ``python -m study``, run in this process."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(os, "fsync", lambda handle: None)

    runs = itertools.count()

    def run() -> int:
        # as if each run were a process of its own, whose leases end with it
        started = f"run {next(runs)}"
        monkeypatch.setattr(leases, "_started", lambda pid: started)
        monkeypatch.setattr(sys, "argv", ["study", *SMALL])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return run


def rows(folder: Path = MINE) -> str:
    study = open_study(folder)
    tables = [study.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in TABLES]
    return repr(tables)  # as text NaN equals NaN


def failing_run(
    number: int,
    error: int,
    lasting: bool,
    cli: Cli,
    whole: str,
    capfd: pytest.CaptureFixture[str],
) -> bool:
    """Let one call of a run fail, then run again; return whether there was such a call."""
    shutil.rmtree("outputs", ignore_errors=True)
    capfd.readouterr()
    faults = Faults(Path("outputs").absolute(), number, error, lasting)
    with faults.on():
        code = cli()
    told = capfd.readouterr().err
    assert "Traceback" not in told
    if code != 0:
        assert code == 2
        sentence = told.strip().splitlines()[-1].split("\r")[-1]
        assert SENTENCE.fullmatch(sentence), told
        assert "outputs" in sentence
        assert os.strerror(error) in sentence
    # what is cleaned up in vain costs nothing
    assert code == 2 or rows() == whole
    if MINE.exists():
        survey = Store(MINE).survey()
        assert survey.damages == []
        assert survey.commits or code == 2
    assert cli() == 0
    assert rows() == whole
    return faults.met


@pytest.fixture
def uninterrupted(cli: Cli) -> tuple[str, int]:
    """Return the rows of a run that nothing stopped, and how many calls it made."""
    with Faults(Path("outputs").absolute()).on() as faults:
        assert cli() == 0
    kinds = {
        place.relative_to(MINE.absolute()).parts[0]
        for _, place in faults.calls
        if MINE.absolute() in place.parents
    }
    assert kinds >= {"plans", "records", "commits", "leases", "checkpoints", "staging"}
    return rows(), len(faults.calls)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in (20, 40, 1, 2, 3))]
)
def test_a_run_ends_in_one_sentence_whichever_call_fails_and_goes_on(
    part: int, cli: Cli, uninterrupted: tuple[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    whole, calls = uninterrupted
    for number in range(1 + part, calls + 1, 60):
        error = ERRORS[(number // 20 + part) % len(ERRORS)]
        assert failing_run(number, error, number % 3 > 0, cli, whole, capfd)


@pytest.mark.long
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: errno.errorcode[error])
def test_a_run_ends_in_one_sentence_for_every_call_and_error(
    error: int,
    lasting: bool,
    cli: Cli,
    uninterrupted: tuple[str, int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    whole, calls = uninterrupted
    for number in range(1, calls + 1):
        assert failing_run(number, error, lasting, cli, whole, capfd), number


@pytest.mark.long
def test_a_limit_of_the_system_on_files_ends_a_run_in_one_sentence(tmp_path: Path) -> None:
    def limited() -> None:
        # no file beyond it: the kernel writes a part of one and then refuses
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    words = [sys.executable, "-m", "study", *SMALL]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        words, preexec_fn=limited, capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    sentence = done.stderr.strip().splitlines()[-1].split("\r")[-1]
    assert re.fullmatch(r"cannot .*outputs/mine.*: File too large\.", sentence), sentence
    survey = Store(MINE).survey()
    assert (survey.damages, survey.commits) == ([], [])
    assert subprocess.run(words, capture_output=True, timeout=200, env=environment).returncode == 0
    assert open_study(MINE).count("status = 'ok'") == 2


def test_a_full_disk_ends_a_run_in_one_sentence_and_it_goes_on_once_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("a small disk of its own can be mounted by root alone")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        monkeypatch.chdir(disk)
        Path("ballast").write_bytes(bytes(80_000))
        words = [sys.executable, "-m", "study", *SMALL]
        done = subprocess.run(words, capture_output=True, text=True, timeout=200)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        sentence = done.stderr.strip().splitlines()[-1].split("\r")[-1]
        assert re.fullmatch(r"cannot .*outputs/mine.*: No space left on device\.", sentence)
        assert Store(MINE).survey().damages == []
        Path("ballast").unlink()
        done = subprocess.run(words, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        assert open_study(MINE).count("status = 'ok'") == 2
    finally:
        monkeypatch.chdir(tmp_path)
        subprocess.run(["umount", disk], check=True)
