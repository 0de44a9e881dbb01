"""The store: how records reach the disk, and how they are found and checked again.

A study's folder holds
    plans/<digest>.json            which cells make up which pack
    records/<pack>.<digest>/       cells.parquet, curves.parquet, layers.parquet; of what was measured once,
                                   see `study.tasks`, measurements.parquet alone
    commits/<pack>.json            rows, bytes and SHA-256 of these files, the cells and their status
    staging/                       what is being written; of no meaning to a reader

A pack is written to staging, synced, renamed to ``records/`` and only then committed, by a hard link
that cannot replace an earlier commit. The folder of a pack's records carries the digest of their
content, so that two writers of one pack never touch each other's files: the first commit counts.
Readers start from commits and check every hash before a file is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from study.errors import StoreError
from study.schema import EVERY_TABLE, MEASURED, READABLE, SCHEMA_VERSION, TABLES

_TYPES = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}

ARROW_SCHEMAS = {
    table: pa.schema([(column.name, _TYPES[column.kind]) for column in columns])
    for table, columns in EVERY_TABLE.items()
}


def _mode() -> int:
    """Return the permissions that this process gives a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _mode()


@dataclass(frozen=True)
class Commit:
    """One committed pack, or what one task measured, as its file says.

    Attributes:
        pack: the pack's id; of measurements that of `study.measuring.Measurement`.
        attempt: how many times its cells failed before.
        statuses: status of every cell by id; none of measurements.
        files: path relative to the study's folder, rows, bytes and SHA-256, by table.
        environment: versions, device and data that the numbers came from.
        wall_s: how long the pack took.
        schema: the schema version of its records.
    """

    pack: str
    attempt: int
    statuses: dict[str, str]
    files: dict[str, dict[str, Any]]
    environment: dict[str, Any]
    wall_s: float
    schema: int

    @property
    def measured(self) -> bool:
        """Whether it holds measurements, and no networks."""
        return set(self.files) == set(MEASURED)


def _sync(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _naming(folder: Path, doing: str) -> Iterator[None]:
    """Turn an operating system's error into one sentence with the path it names."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise StoreError(f"cannot {doing} {place}: {error.strerror or error}.") from error


class Store:
    """A study's folder.

    Args:
        folder: ``outputs/<study name>``.
        compression: level of zstd.
    """

    def __init__(self, folder: Path, compression: int = 9) -> None:
        self.folder = Path(folder)
        self.compression = compression
        self.plans = self.folder / "plans"
        self.records = self.folder / "records"
        self.commits = self.folder / "commits"
        self.staging = self.folder / "staging"

    def create(self) -> None:
        """Make the folders.

        Raises:
            StoreError: a folder cannot be made or written to.
        """
        with _naming(self.folder, "write to the study's folder"):
            for folder in (self.plans, self.records, self.commits, self.staging):
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.staging):
                pass
            _sync(self.folder)

    def check_writable(self) -> None:
        """Refuse a folder that cannot be made, without making it.

        Raises:
            StoreError: a file stands in the way or the folder may not be written.
        """
        for folder in (self.plans, self.records, self.commits, self.staging):
            place = folder.absolute()
            while not place.exists():
                place = place.parent
            if not place.is_dir():
                raise StoreError(
                    f"cannot write to {self.folder}: {place.name} is a file, not a folder."
                )
            if not os.access(place, os.W_OK | os.X_OK):
                raise StoreError(f"cannot write to {self.folder}: permission denied.")

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Store a plan under the digest of its content; the same plan twice is one file."""
        text = json.dumps(plan, sort_keys=True)
        path = self.plans / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
        with _naming(self.folder, "write the plan to"):
            if not path.exists():
                self._publish(path, text)

    def read_plans(self) -> list[dict[str, Any]]:
        """Return all plans, ordered by file name.

        Raises:
            StoreError: a plan is damaged or of a schema version that is not read.
        """
        return [self._read_json(path) for path in sorted(self.plans.glob("*.json"))]

    def commit(
        self,
        pack: str,
        attempt: int,
        tables: Mapping[str, pa.Table],
        statuses: Mapping[str, str],
        environment: Mapping[str, Any],
        wall_s: float,
    ) -> None:
        """Store a pack's records, then its commit.

        A pack that another process has committed meanwhile stays as that one wrote it.

        Raises:
            StoreError: the disk is full or a file cannot be written; nothing is committed.
        """
        with _naming(self.folder, f"store pack {pack} in"):
            staged = Path(tempfile.mkdtemp(prefix=f"{pack}.", dir=self.staging))
            staged.chmod(_MODE | (_MODE & 0o444) >> 2)  # who may read may enter
            try:
                files = self._stage_tables(staged, tables)
                place = self.records / f"{pack}.{_content(files)}"
                self._move_records(staged, place, files)
                for table, entry in files.items():
                    entry["path"] = f"{self.records.name}/{place.name}/{table}.parquet"
                text = json.dumps(
                    {
                        "schema": SCHEMA_VERSION,
                        "pack": pack,
                        "attempt": attempt,
                        "statuses": dict(statuses),
                        "files": files,
                        "environment": dict(environment),
                        "wall_s": wall_s,
                    },
                    indent=1,
                )
                self._publish(self.commits / f"{pack}.json", text)
            finally:
                shutil.rmtree(staged, ignore_errors=True)

    def _stage_tables(
        self, staged: Path, tables: Mapping[str, pa.Table]
    ) -> dict[str, dict[str, Any]]:
        """Write and sync the tables of a pack; return rows, bytes and hash of each."""
        files = {}
        for name, table in tables.items():
            path = staged / f"{name}.parquet"
            floats = [f.name for f in table.schema if pa.types.is_floating(f.type)]
            others = [name for name in table.schema.names if name not in floats]
            pq.write_table(
                table,
                path,
                compression="zstd",
                compression_level=self.compression,
                # bytes of equal weight side by side: a fifth smaller, without loss
                use_dictionary=others,
                column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
                # no statistics for floats: DuckDB filters NaN wrongly by them
                write_statistics=others,
            )
            _sync(path)
            files[name] = {
                "rows": table.num_rows,
                "bytes": path.stat().st_size,
                "sha256": _hash(path),
            }
        _sync(staged)
        return files

    def _move_records(self, staged: Path, place: Path, files: Mapping[str, Any]) -> None:
        """Move staged records to their place; what an interrupted run left there serves if whole."""
        if place.exists():
            if all(_matches(place / f"{name}.parquet", entry) for name, entry in files.items()):
                return
            os.replace(place, Path(tempfile.mkdtemp(dir=self.staging)) / "damaged")
        with contextlib.suppress(FileExistsError):
            try:
                os.rename(staged, place)
            except OSError as error:
                # another writer of the same content was first
                if not place.is_dir():
                    raise
                raise FileExistsError(place) from error
        _sync(self.records)

    def _publish(self, path: Path, text: str) -> None:
        """Give a text its name in one step, unless the name is taken."""
        with tempfile.NamedTemporaryFile("w", dir=self.staging, delete=False) as file:
            file.write(text)
            file.flush()
            # a temporary file is its owner's alone; a study is as readable as the rest of the folder
            os.chmod(file.name, _MODE)
            os.fsync(file.fileno())
        try:
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
        finally:
            os.unlink(file.name)
        _sync(path.parent)

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_bytes())
            version = content["schema"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"cannot read {path}: it is damaged; delete this file to have its cells run again."
            ) from error
        if version not in READABLE:
            raise StoreError(
                f"cannot read {path}: it has schema version {version}, this program reads "
                f"{' and '.join(map(str, READABLE))}."
            )
        return content

    def read_commits(self) -> list[Commit]:
        """Return all commits, ordered by pack, without looking at the records.

        Raises:
            StoreError: a commit is damaged or of a schema version that is not read.
        """
        found = []
        for path in sorted(self.commits.glob("*.json")):
            content = self._read_json(path)
            try:
                commit = Commit(**{key: content[key] for key in Commit.__dataclass_fields__})
                whole = commit.measured or set(commit.files) == set(TABLES)
                intact = commit.pack == path.stem and whole
            except (KeyError, TypeError):
                intact = False
            if not intact:
                raise StoreError(
                    f"cannot read {path}: it is damaged; delete this file to have its cells run again."
                )
            found.append(commit)
        return found

    def verify_all(self, commits: Sequence[Commit]) -> None:
        """Check size and hash of every file of these commits.

        Raises:
            StoreError: see `verify`; of several the first in the order given.
        """
        # hashing leaves the other threads their turn
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(self.verify, commits):
                pass

    def verify(self, commit: Commit) -> dict[str, Path]:
        """Return the paths of a commit's tables after checking size and hash of each.

        Raises:
            StoreError: a file is missing or is not what was committed.
        """
        paths = {}
        for table, entry in commit.files.items():
            path = self.folder / entry["path"]
            inside = path.resolve().is_relative_to(self.records.resolve())
            if not inside or not _matches(path, entry):
                state = "damaged" if inside and path.is_file() else "missing"
                again = "it measured" if commit.measured else "its cells run"
                raise StoreError(
                    f"cannot read {path}: it is {state}, its commit says {entry['bytes']} bytes with "
                    f"SHA-256 {entry['sha256'][:12]}…; delete {self.commits.name}/{commit.pack}.json "
                    f"to have {again} again."
                )
            paths[table] = path
        return paths


def _content(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a digest of the content of all tables."""
    text = "".join(f"{name}{entry['sha256']}" for name, entry in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _matches(path: Path, entry: Mapping[str, Any]) -> bool:
    try:
        return path.stat().st_size == entry["bytes"] and _hash(path) == entry["sha256"]
    except OSError:
        return False


def final_commits(commits: Sequence[Commit]) -> dict[str, Commit]:
    """Return, for every cell, the commit that counts.

    Usually there is one. A cell that failed and was run again counts as in its last attempt; of two
    commits of one attempt, which only two processes at once can write, the first by pack id counts.
    """
    chosen: dict[str, Commit] = {}
    for commit in sorted(commits, key=lambda one: (-one.attempt, one.pack)):
        for cell in commit.statuses:
            chosen.setdefault(cell, commit)
    return chosen
