"""The store: how records reach the disk, and how they are found and checked again.

A study's folder holds
    plans/<number>.json            which cells make up which pack
    records/<pack>.<digest>/       cells.parquet, curves.parquet, layers.parquet; of what was measured once,
                                   see `study.tasks`, measurements.parquet alone
    commits/<pack>.json            rows, bytes and SHA-256 of these files, the cells and their status
    leases/                        which process is at which pack now, see `study.leases`
    checkpoints/                   how far a long pack has come, see `study.checkpoint`
    staging/                       what is being written; of no meaning to a reader
    damaged/                       commits that were found damaged and whose cells have run again since

A pack is written to staging, synced, renamed to ``records/`` and only then committed, by a hard link
that cannot replace an earlier commit. The folder of a pack's records carries the digest of their
content, so that two writers of one pack never touch each other's files: the first commit counts.
Plans are numbered, and a number is given once: of two processes that plan at the same time one finds
its number taken, and plans again with what the other one planned.
Plans and commits carry the digest of their own text. Readers start from commits and check every hash
before a file is used; what is damaged is named and left out, and the rest stays readable.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from study import files
from study.errors import StoreError
from study.schema import (
    DIGESTS_SINCE,
    EVERY_TABLE,
    MEASURED,
    READABLE,
    SCHEMA_VERSION,
    STATUSES,
    TABLES,
)

_TYPES = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}

ARROW_SCHEMAS = {
    table: pa.schema([(column.name, _TYPES[column.kind]) for column in columns])
    for table, columns in EVERY_TABLE.items()
}

SECONDS_FORGOTTEN = 7 * 86400.0
"""After this long what lies in staging is no process's any more, on whatever machine it ran."""


@dataclass(frozen=True)
class Commit:
    """One committed pack, or what one task measured, as its file says.

    Attributes:
        pack: the pack's id; of measurements that of `study.measuring.Measurement`.
        attempt: how many times its cells were run before.
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


class DamageError(StoreError):
    """A file of a study is not what was written; its message is ``<path>: <what is wrong with it>``."""


@dataclass(frozen=True)
class Survey:
    """What a study's folder holds, every hash checked.

    Attributes:
        commits: those whose files are all whole, ordered by pack.
        paths: the files of each, by pack and table.
        plans: those that are whole, in the order in which they were made.
        next_plan: the number of the plan that would come next.
        damages: what is damaged, a sentence's beginning each: ``<path>: <what is wrong with it>``.
        damaged_commits: the commits that are left out for it.
    """

    commits: list[Commit]
    paths: dict[str, dict[str, Path]]
    plans: list[dict[str, Any]]
    next_plan: int
    damages: list[str] = field(default_factory=list)
    damaged_commits: list[Path] = field(default_factory=list)


@contextlib.contextmanager
def naming(folder: Path, doing: str) -> Iterator[None]:
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
        self.leases = self.folder / "leases"
        self.checkpoints = self.folder / "checkpoints"
        self.staging = self.folder / "staging"
        self.damaged = self.folder / "damaged"

    def checkpoint_of(self, pack: str) -> Path:
        """Return where a pack keeps how far it has come."""
        return self.checkpoints / f"{pack}.pt"

    @property
    def _needed(self) -> tuple[Path, ...]:
        return (self.plans, self.records, self.commits, self.staging)

    def create(self) -> None:
        """Make the folders, and clear staging of what was forgotten there.

        Raises:
            StoreError: a folder cannot be made or written to.
        """
        with naming(self.folder, "write to the study's folder"):
            for folder in self._needed:
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.staging) as file:
                now = os.fstat(file.fileno()).st_mtime
            files.sync(self.folder)
        for entry in os.scandir(self.staging):
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < now - SECONDS_FORGOTTEN:
                    _remove(Path(entry.path))

    def check_writable(self) -> None:
        """Refuse a folder that cannot be made, without making it.

        Raises:
            StoreError: a file stands in the way or the folder may not be written.
        """
        for folder in self._needed:
            place = folder.absolute()
            while not place.exists():
                place = place.parent
            if not place.is_dir():
                raise StoreError(
                    f"cannot write to {self.folder}: {place.name} is a file, not a folder."
                )
            if not os.access(place, os.W_OK | os.X_OK):
                raise StoreError(f"cannot write to {self.folder}: permission denied.")

    def write_plan(self, plan: Mapping[str, Any], number: int | None = None) -> bool:
        """Store a plan under a number, in one step.

        Args:
            plan: as `study.packing.plan_document` makes it.
            number: `Survey.next_plan` of the survey that the plan was made from; None: the next.

        Returns:
            False if the number was taken meanwhile: the plan was made without knowing what stands there.

        Raises:
            StoreError: the disk is full or the file cannot be written.
        """
        content = _signed(plan)
        with naming(self.folder, "write the plan to"):
            while True:
                place = self.plans / _plan_name(number or self._next_plan())
                if files.publish(place, content, self.staging):
                    return True
                if number is not None:
                    return False

    def _plan_files(self) -> list[Path]:
        """Return the plans' files in the order in which they were made; before numbers it is not known."""
        found = self.plans.glob("*.json")
        return sorted(found, key=lambda path: (_plan_number(path), path.name))

    def _next_plan(self) -> int:
        return max((_plan_number(path) for path in self.plans.glob("*.json")), default=0) + 1

    def read_plans(self) -> list[dict[str, Any]]:
        """Return the plans that are whole, in the order in which they were made.

        Raises:
            StoreError: a plan is of a schema version that is not read.
        """
        return [plan for plan, _ in self._each_plan() if plan is not None]

    def _each_plan(self) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for path in self._plan_files():
            try:
                plan = self._read_json(path)
                if not _is_plan(plan):
                    raise DamageError(f"{path}: it is damaged")
                yield plan, ""
            except DamageError as damage:
                yield None, str(damage)

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

        A pack that another process has committed meanwhile stays as that one wrote it, unless it is
        damaged.

        Raises:
            StoreError: the disk is full or a file cannot be written; nothing is committed.
        """
        with naming(self.folder, f"store pack {pack} in"):
            staged = Path(tempfile.mkdtemp(prefix=f"{pack}.", dir=self.staging))
            staged.chmod(files.MODE | (files.MODE & 0o444) >> 2)  # who may read may enter
            try:
                entries = self._stage_tables(staged, tables)
                place = self.records / f"{pack}.{_content(entries)}"
                self._move_records(staged, place, entries)
                for table, entry in entries.items():
                    entry["path"] = f"{self.records.name}/{place.name}/{table}.parquet"
                content = _signed(
                    {
                        "schema": SCHEMA_VERSION,
                        "pack": pack,
                        "attempt": attempt,
                        "statuses": dict(statuses),
                        "files": entries,
                        "environment": dict(environment),
                        "wall_s": wall_s,
                    }
                )
                path = self.commits / f"{pack}.json"
                if not files.publish(path, content, self.staging) and self.committed(pack) is None:
                    files.replace(path, content, self.staging)
            finally:
                shutil.rmtree(staged, ignore_errors=True)

    def _stage_tables(
        self, staged: Path, tables: Mapping[str, pa.Table]
    ) -> dict[str, dict[str, Any]]:
        """Write and sync the tables of a pack; return rows, bytes and hash of each."""
        entries = {}
        for name, table in tables.items():
            floats = [f.name for f in table.schema if pa.types.is_floating(f.type)]
            others = [name for name in table.schema.names if name not in floats]
            buffer = pa.BufferOutputStream()
            pq.write_table(
                table,
                buffer,
                compression="zstd",
                compression_level=self.compression,
                # bytes of equal weight side by side: a fifth smaller, without loss
                use_dictionary=others,
                column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
                # no statistics for floats: DuckDB filters NaN wrongly by them
                write_statistics=others,
            )
            # the hash is of what was meant, whatever the disk makes of it
            content = buffer.getvalue().to_pybytes()
            files.write(staged / f"{name}.parquet", content)
            entries[name] = {
                "rows": table.num_rows,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        files.sync(staged)
        return entries

    def _move_records(self, staged: Path, place: Path, entries: Mapping[str, Any]) -> None:
        """Move staged records to their place; what an interrupted run left there serves if whole."""
        if place.exists():
            if all(_matches(place / f"{name}.parquet", entry) for name, entry in entries.items()):
                files.sync(self.records)  # it may be there and not on the disk yet
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
        files.sync(self.records)

    def set_aside(self, path: Path) -> None:
        """Move a damaged commit, whose cells have run again, out of the way.

        Raises:
            StoreError: it cannot be moved.
        """
        with naming(self.folder, "set aside"):
            self.damaged.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.replace(path, self.damaged / path.name)

    def _read_json(self, path: Path) -> dict[str, Any]:
        """Return the content of a plan or commit, without its digest.

        Raises:
            DamageError: it is not what was written.
            StoreError: it has a schema version that is not read.
        """
        try:
            text = files.read(path)
            content = json.loads(text)
            version = content["schema"]
            signature = content.pop("sha256", None)
        # a text of brackets alone is too deep to be read
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamageError(f"{path}: it is damaged") from error
        if type(version) is not int or version < 1:
            raise DamageError(f"{path}: it is damaged")
        if version not in READABLE:
            raise StoreError(
                f"cannot read {path}: it has schema version {version}, this program reads "
                f"{', '.join(map(str, READABLE[:-1]))} and {READABLE[-1]}."
            )
        if signature is None and version < DIGESTS_SINCE:
            # plans were named by the digest of their text, commits had none
            named = path.parent == self.plans
            intact = not named or path.stem == hashlib.sha256(text).hexdigest()[:16]
        else:
            intact = signature == _digest(content)
        if not intact:
            raise DamageError(f"{path}: it is damaged, or was edited")
        return dict(content)

    def _read_commit(self, path: Path) -> Commit:
        """Return a commit.

        Raises:
            DamageError: it is not what was written.
            StoreError: it has a schema version that is not read.
        """
        content = self._read_json(path)
        if not _is_commit(content) or content["pack"] != path.stem:
            raise DamageError(f"{path}: it is damaged")
        return Commit(**{key: content[key] for key in Commit.__dataclass_fields__})

    def read_commits(self) -> list[Commit]:
        """Return all commits, ordered by pack, without looking at the records.

        Raises:
            StoreError: a commit is damaged or of a schema version that is not read.
        """
        return [self._read_commit(path) for path in sorted(self.commits.glob("*.json"))]

    def committed(self, pack: str, whole: bool = True) -> Commit | None:
        """Return the commit of a pack if there is one.

        Args:
            pack: the pack's id.
            whole: whether all its files must be whole, too.
        """
        path = self.commits / f"{pack}.json"
        if not path.exists():
            return None
        try:
            commit = self._read_commit(path)
            if whole:
                self.verify(commit)
        except StoreError:
            return None
        return commit

    def survey(self) -> Survey:
        """Return what the study holds; every hash is checked, and what is damaged is left out.

        Raises:
            StoreError: a plan or commit has a schema version that is not read.
        """
        commits: list[Commit] = []
        damages: list[tuple[Path, str]] = []
        for path in sorted(self.commits.glob("*.json")):
            try:
                commits.append(self._read_commit(path))
            except DamageError as damage:
                damages.append((path, str(damage)))
        paths: dict[str, dict[str, Path]] = {}
        whole = []
        # hashing leaves the other threads their turn
        with ThreadPoolExecutor() as pool:
            for commit, found in zip(commits, pool.map(self._whole, commits), strict=True):
                if isinstance(found, DamageError):
                    damages.append((self.commits / f"{commit.pack}.json", str(found)))
                else:
                    whole.append(commit)
                    paths[commit.pack] = found
        plans = list(self._each_plan())
        return Survey(
            commits=whole,
            paths=paths,
            plans=[plan for plan, _ in plans if plan is not None],
            next_plan=self._next_plan(),
            damages=[why for _, why in damages] + [why for _, why in plans if why],
            damaged_commits=[path for path, _ in damages],
        )

    def _whole(self, commit: Commit) -> dict[str, Path] | DamageError:
        try:
            return self.verify(commit)
        except DamageError as damage:
            return damage

    def verify(self, commit: Commit) -> dict[str, Path]:
        """Return the paths of a commit's tables after checking size and hash of each.

        Raises:
            DamageError: a file is missing or is not what was committed.
        """
        paths = {}
        records = self.records.resolve()
        for table, entry in commit.files.items():
            path = self.folder / entry["path"]
            inside = path.resolve().is_relative_to(records)
            if not inside or not _matches(path, entry):
                state = "damaged" if inside and path.is_file() else "missing"
                raise DamageError(
                    f"{path}: it is {state}, its commit says {entry['bytes']} bytes with SHA-256 "
                    f"{entry['sha256'][:12]}…"
                )
            paths[table] = path
        return paths


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _plan_name(number: int) -> str:
    return f"{number:06d}.json"


def _plan_number(path: Path) -> int:
    """Return a plan's number, 0 for one of the time when they were named by their digest."""
    # a digest of digits alone is longer
    return int(path.stem) if path.stem.isdecimal() and len(path.stem) < 16 else 0


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _signed(content: Mapping[str, Any]) -> bytes:
    """Return the text of a plan or commit, with the digest of its content."""
    plain = json.loads(json.dumps({k: v for k, v in content.items() if k != "sha256"}))
    return json.dumps({**plain, "sha256": _digest(plain)}, indent=1).encode()


def _is_commit(content: Mapping[str, Any]) -> bool:
    """Return whether a commit of an earlier version, which has no digest, can be one."""
    wanted: dict[str, Any] = {
        "pack": str, "attempt": int, "statuses": dict, "files": dict, "environment": dict,
        "wall_s": (int, float),
    }  # fmt: skip
    if not all(isinstance(content.get(key), kind) for key, kind in wanted.items()):
        return False
    known = (set(TABLES), set(MEASURED))
    return (
        set(content["files"]) in known
        and all(status in STATUSES for status in content["statuses"].values())
        and all(_is_entry(entry) for entry in content["files"].values())
    )


def _is_entry(entry: Any) -> bool:
    wanted = {"path": str, "rows": int, "bytes": int, "sha256": str}
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), kind) for key, kind in wanted.items())
        and "\0" not in entry["path"]
    )


def _is_plan(content: Mapping[str, Any]) -> bool:
    """Return whether a plan of an earlier version, which has no digest, can be one."""
    wanted = {"numerics": int, "device": str, "command": list, "conditions": list, "packs": list}
    if not all(isinstance(content.get(key), kind) for key, kind in wanted.items()):
        return False
    conditions = len(content["conditions"])
    return (
        all(isinstance(word, str) for word in content["command"])
        and all(isinstance(one, dict) for one in content["conditions"])
        and all(
            isinstance(pack, dict)
            and isinstance(pack.get("id"), str)
            and isinstance(pack.get("attempt"), int)
            and isinstance(pack.get("cells"), list)
            and pack["cells"]
            and all(
                isinstance(cell, list)
                and len(cell) == 2
                and all(type(number) is int for number in cell)
                and 0 <= cell[0] < conditions
                for cell in pack["cells"]
            )
            for pack in content["packs"]
        )
    )


def _content(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a digest of the content of all tables."""
    text = "".join(f"{name}{entry['sha256']}" for name, entry in sorted(entries.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _matches(path: Path, entry: Mapping[str, Any]) -> bool:
    try:
        # the size first: it costs nothing
        if path.stat().st_size != entry["bytes"]:
            return False
        return files.sha256_of(path) == (entry["bytes"], entry["sha256"])
    except OSError:
        return False


def final_commits(commits: Sequence[Commit]) -> dict[str, Commit]:
    """Return, for every cell, the commit that counts.

    Usually there is one. A cell that was run again counts as in its last attempt; of two commits of one
    attempt, which only two processes at once can write, the first by pack id counts.
    """
    chosen: dict[str, Commit] = {}
    for commit in sorted(commits, key=lambda one: (-one.attempt, one.pack)):
        for cell in commit.statuses:
            chosen.setdefault(cell, commit)
    return chosen
