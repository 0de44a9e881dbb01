"""The store: how records reach the disk, and how they are found and checked again.

A study's folder holds
    plans/<number>.json            which cells make up which pack
    records/<pack>.<digest>/       cells.parquet, curves.parquet, layers.parquet; of what was measured once,
                                   see `study.tasks`, measurements.parquet alone
    commits/<pack>.json            rows, bytes and SHA-256 of these files, the cells and their status
    leases/                        which process is at which pack now, see `study.leases`
    orders/                        what jobs of a cluster are to run, see `study.cluster`
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
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

PATH = re.compile(r"records/[0-9A-Za-z_-]+\.[0-9a-f]+/[a-z]+\.parquet")
"""Where a table's file can be, from the study's folder."""

SHA256 = re.compile("[0-9a-f]{64}")

LARGEST = 2**62
"""No count reaches it."""

DEEPEST = 16
"""How deep what is told of a study can be nested."""

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
        damaged_commits: the commits that are left out for it, with their networks, if these are known.
        damaged_plans: whether it is not known of every pack that it was planned.
    """

    commits: list[Commit]
    paths: dict[str, dict[str, Path]]
    plans: list[dict[str, Any]]
    next_plan: int
    damages: list[str] = field(default_factory=list)
    damaged_commits: dict[Path, set[str] | None] = field(default_factory=dict)
    damaged_plans: bool = False


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
        self.orders = self.folder / "orders"
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
            # what a run that was killed had named and not synced is relied on from here on
            for folder in (*self._needed, self.folder):
                files.sync(folder)
            for folder in (self.folder.parent, self.folder.parent.parent):
                with contextlib.suppress(PermissionError):  # one may be entered and not listed
                    files.sync(folder)
            for entry in files.names(self.staging):
                with contextlib.suppress(OSError):
                    if entry.lstat().st_mtime < now - SECONDS_FORGOTTEN:
                        _remove(entry)

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
        with naming(self.folder, "write the plan to"):
            while True:
                chosen = number or self._survey_plans()[1]
                content = _signed({**plan, "number": chosen})
                if files.publish(self.plans / _plan_name(chosen), content, self.staging):
                    return True
                if number is not None:
                    return False

    def _plan_files(self) -> list[Path]:
        """Return the plans' files in the order in which they were made; before numbers it is not known."""
        found = self._listed(self.plans)
        return sorted(found, key=lambda path: (_plan_number(path), path.name))

    def _survey_plans(self) -> tuple[list[dict[str, Any]], int, list[str]]:
        """Return the plans that are whole, the number that would come next, and what is damaged.

        Raises:
            StoreError: a plan is of a schema version that is not read.
        """
        paths = self._plan_files()
        found = list(self._each_plan(paths))
        whole = [plan for plan, _ in found if plan is not None]
        numbers = {_plan_number(path) for path, (plan, _) in zip(paths, found, strict=True) if plan}
        taken = {path.name for path in paths}
        # by plans that are whole: any number can be the name of what is damaged
        following = max(numbers, default=0) + 1
        lost = [n for n in range(1, following) if _plan_name(n) not in taken]
        while _plan_name(following) in taken:
            following += 1
        damages = [why for _, why in found if why]
        damages += [f"{self.plans / _plan_name(number)}: it is missing" for number in lost]
        return whole, following, damages

    def _listed(self, folder: Path) -> list[Path]:
        """Return the plans or commits that stand in a folder, in order of their names.

        Raises:
            StoreError: it cannot be listed; what it holds is not known.
        """
        with naming(folder, "read"):
            return files.names(folder, ".json")

    def read_plans(self) -> list[dict[str, Any]]:
        """Return the plans that are whole, in the order in which they were made.

        Raises:
            StoreError: a plan is of a schema version that is not read.
        """
        return self._survey_plans()[0]

    def _each_plan(self, paths: Iterable[Path]) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for path in paths:
            try:
                plan = self._read_json(path)
                if plan.pop("number", _plan_number(path)) != _plan_number(path):
                    raise DamageError(f"{path}: it is damaged, or was renamed")
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
        if os.path.lexists(place):
            if not place.is_symlink() and all(
                self._is_whole(place / f"{name}.parquet", entry) for name, entry in entries.items()
            ):
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

        To be called with the lease of its pack, as another process may commit that one meanwhile.

        Raises:
            StoreError: it cannot be moved.
        """
        with naming(self.folder, "set aside"):
            if self.committed(path.stem) is None and os.path.lexists(path):
                self.damaged.mkdir(exist_ok=True)
                os.rename(path, self.damaged / f"{path.stem}.{uuid.uuid4().hex[:8]}.json")
                files.sync(self.commits)

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
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamageError(f"{path}: it is damaged") from error
        except OSError as error:
            _refuse_shortage(path, error)
            raise DamageError(f"{path}: it is damaged ({error.strerror or error})") from error
        try:
            digest = _digest(content)
            # a version that was another one when the digest was taken
            known = ({**content, "schema": one} for one in READABLE)
            changed = version not in READABLE and signature in map(_digest, known)
        except (ValueError, RecursionError) as error:
            raise DamageError(f"{path}: it is damaged") from error
        if type(version) is not int or version < 1 or changed:
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
            intact = signature == digest
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
        return [self._read_commit(path) for path in self._listed(self.commits)]

    def committed(self, pack: str, whole: bool = True) -> Commit | None:
        """Return the commit of a pack if there is one.

        Args:
            pack: the pack's id.
            whole: whether all its files must be whole, too.

        Raises:
            StoreError: it is of a schema version that is not read.
        """
        path = self.commits / f"{pack}.json"
        if not os.path.lexists(path):
            return None
        try:
            commit = self._read_commit(path)
            if whole:
                self.verify(commit)
        except DamageError:
            return None
        return commit

    def survey(self) -> Survey:
        """Return what the study holds; every hash is checked, and what is damaged is left out.

        Raises:
            StoreError: a plan or commit has a schema version that is not read.
        """
        commits: list[Commit] = []
        damages: list[tuple[Path, set[str] | None, str]] = []
        for path in self._listed(self.commits):
            try:
                commits.append(self._read_commit(path))
            except DamageError as damage:
                damages.append((path, None, str(damage)))
        paths: dict[str, dict[str, Path]] = {}
        whole = []
        # hashing leaves the other threads their turn
        with ThreadPoolExecutor() as pool:
            for commit, found in zip(commits, pool.map(self._whole, commits), strict=True):
                if isinstance(found, DamageError):
                    path = self.commits / f"{commit.pack}.json"
                    # measurements are no networks that others could stand for
                    told = set(commit.statuses) if commit.statuses else None
                    damages.append((path, told, str(found)))
                else:
                    whole.append(commit)
                    paths[commit.pack] = found
        plans, following, unknown = self._survey_plans()
        return Survey(
            commits=whole,
            paths=paths,
            plans=plans,
            next_plan=following,
            damages=[why for *_, why in damages] + unknown,
            damaged_commits={path: told for path, told, _ in damages},
            damaged_plans=bool(unknown),
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
        for table, entry in commit.files.items():
            path = self.folder / entry["path"]
            if not self._is_whole(path, entry):
                state = "damaged" if os.path.lexists(path) else "missing"
                raise DamageError(
                    f"{path}: it is {state}, its commit says {entry['bytes']} bytes with SHA-256 "
                    f"{entry['sha256'][:12]}…"
                )
            paths[table] = path
        if commit.schema < DIGESTS_SINCE and not commit.measured:
            _check_against(commit, paths, self.commits / f"{commit.pack}.json")
        return paths

    def _is_whole(self, path: Path, entry: Mapping[str, Any]) -> bool:
        """Return whether a table's file is there, among the records, and what its commit says."""
        try:
            inside = path.resolve().is_relative_to(self.records.resolve())
        except (OSError, RuntimeError):  # links in a circle
            return False
        return inside and _matches(path, entry)


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
    number = int(path.stem) if path.stem.isdecimal() and len(path.stem) < 16 else 0
    return number if path.name == _plan_name(number) else 0


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _signed(content: Mapping[str, Any]) -> bytes:
    """Return the text of a plan or commit, with the digest of its content."""
    plain = json.loads(json.dumps({k: v for k, v in content.items() if k != "sha256"}))
    return json.dumps({**plain, "sha256": _digest(plain)}, indent=1).encode()


def _is_commit(content: Mapping[str, Any]) -> bool:
    """Return whether a commit of an earlier version, which has no digest, can be one."""
    wanted = {"pack": str, "statuses": dict, "files": dict, "environment": dict}
    if not all(isinstance(content.get(key), kind) for key, kind in wanted.items()):
        return False
    known = (set(TABLES), set(MEASURED))
    return (
        set(content["files"]) in known
        and _is_count(content.get("attempt"))
        and type(content.get("wall_s")) in (int, float)
        and 0 <= content["wall_s"] < LARGEST
        and all(status in STATUSES for status in content["statuses"].values())
        and all(_is_entry(entry) for entry in content["files"].values())
        and _is_plain(content["environment"])
        and _is_count(content["environment"].get("significant_bits", 0))
    )


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(path := entry.get("path"), str)
        and PATH.fullmatch(path) is not None
        and _is_count(entry.get("rows"))
        and _is_count(entry.get("bytes"))
        and isinstance(digest := entry.get("sha256"), str)
        and SHA256.fullmatch(digest) is not None
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _is_plain(value: Any, deep: int = 0) -> bool:
    """Return whether a value can be a setting: finite numbers, words, and what holds them."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return deep < DEEPEST and all(_is_plain(one, deep + 1) for one in inner)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < LARGEST
    return value is None or isinstance(value, str)


def _is_plan(content: Mapping[str, Any]) -> bool:
    """Return whether a plan of an earlier version, which has no digest, can be one."""
    wanted = {"device": str, "command": list, "conditions": list, "packs": list}
    if not all(isinstance(content.get(key), kind) for key, kind in wanted.items()):
        return False
    conditions = len(content["conditions"])
    return (
        _is_count(content.get("numerics"))
        and all(isinstance(word, str) for word in content["command"])
        and all(_is_condition(one) for one in content["conditions"])
        and all(
            isinstance(pack, dict)
            and isinstance(pack.get("id"), str)
            and _is_count(pack.get("attempt"))
            and isinstance(pack.get("cells"), list)
            and pack["cells"]
            and all(
                isinstance(cell, list)
                and len(cell) == 2
                and _is_count(cell[0])
                and type(cell[1]) is int
                and abs(cell[1]) < LARGEST
                and cell[0] < conditions
                for cell in pack["cells"]
            )
            for pack in content["packs"]
        )
    )


def _is_condition(value: Any) -> bool:
    """Return whether a value has what every condition has."""
    return (
        isinstance(value, dict)
        and _is_plain(value)
        and isinstance(probe := value.get("probe"), dict)
        and all(_is_count(probe.get(key)) for key in ("steps", "samples"))
        and all(_is_count(value.get(key)) for key in ("depth", "width", "steps", "batch_size"))
        and all(
            isinstance(group := value.get(key), dict) and isinstance(group.get("name"), str)
            for key in ("activation", "init", "data", "optim")
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
    except OSError as error:
        _refuse_shortage(path, error)
        return False


def _refuse_shortage(path: Path, error: OSError) -> None:
    """Refuse to call damaged what this process could not open for want of its own.

    Raises:
        StoreError: that was it.
    """
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise StoreError(f"cannot read {path}: {error.strerror}.") from error


def _check_against(commit: Commit, paths: Mapping[str, Path], place: Path) -> None:
    """Hold a commit of an earlier version, which has no digest, against the records it names.

    Raises:
        DamageError: it tells of other networks, of another end of theirs, or of files of others.
    """
    # the folder is named after the pack and what is in it
    folder = f"records/{commit.pack}.{_content(commit.files)}"
    if any(entry["path"] != f"{folder}/{name}.parquet" for name, entry in commit.files.items()):
        raise DamageError(f"{place}: it is damaged, or was edited")
    rows = {name: pq.read_metadata(path).num_rows for name, path in paths.items()}
    cells = pq.read_table(paths["cells"], columns=["cell", "status"]).to_pylist()
    if {row["cell"]: row["status"] for row in cells} != commit.statuses or rows != {
        name: entry["rows"] for name, entry in commit.files.items()
    }:
        raise DamageError(f"{place}: it is damaged, or was edited")


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
