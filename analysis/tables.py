"""The views of a study, those of `study.schema.EVERY_TABLE`, over verified records only."""

from __future__ import annotations

import re
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import duckdb

from study.errors import StoreError, encodable
from study.schema import EVERY_TABLE, READABLE, TABLES
from study.store import ARROW_SCHEMAS, Commit, Store, final_commits

MEMORY = "512MB"
"""What DuckDB may hold in a process; what it needs beyond goes to the disk."""

_TYPES = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN"}
"""DuckDB's names of the schema's kinds."""


@dataclass(frozen=True)
class Records:
    """The records of a study, found whole.

    Attributes:
        files: paths of the Parquet files by table, in order of packs.
        schemas: the schema version of each of them.
        superseded: path and cell of rows that do not count, since the cell was run again.
        commits: what was committed and is whole, in order of packs.
        damages: what is damaged and left out, ``<path>: <what is wrong with it>``.
    """

    files: dict[str, list[str]]
    schemas: dict[str, list[int]]
    superseded: list[tuple[str, str]]
    commits: list[Commit]
    damages: list[str]


def verify(folder: str | Path) -> Records:
    """Check every record of a study against its commit and return where they are.

    Args:
        folder: ``outputs/<study name>``.

    Raises:
        StoreError: there is no study, or it is of a schema version that is not read.
    """
    folder = Path(folder)
    store = Store(folder)
    if not store.commits.is_dir():
        raise StoreError(f"cannot open {folder}: there is no study in it.")
    survey = store.survey()
    final = final_commits(survey.commits)
    found = {
        pack: {table: str(path.absolute()) for table, path in paths.items()}
        for pack, paths in survey.paths.items()
    }
    superseded = [
        (found[commit.pack][table], cell)
        for commit in survey.commits
        for cell in commit.statuses
        if final[cell].pack != commit.pack
        for table in TABLES
    ]
    files: dict[str, list[str]] = {table: [] for table in EVERY_TABLE}
    schemas: dict[str, list[int]] = {table: [] for table in EVERY_TABLE}
    for commit in survey.commits:
        for table, path in found[commit.pack].items():
            files[table].append(path)
            schemas[table].append(commit.schema)
    return Records(files, schemas, superseded, survey.commits, survey.damages)


def connect(records: Records) -> duckdb.DuckDBPyConnection:
    """Return a connection with the views of `study.schema.EVERY_TABLE` over verified records."""
    connection = duckdb.connect()
    for setting, value in (
        # an average over two threads has other last bits from run to run
        ("threads", 1),
        ("memory_limit", MEMORY),
        # made when it is needed, where its files are in nobody's way
        (
            "temp_directory",
            Path(tempfile.gettempdir()) / f"gradient-pathologies-{uuid.uuid4().hex}",
        ),
        # a large study has thousands of files, and every query looks into each
        ("parquet_metadata_cache", True),
        ("enable_progress_bar", False),
    ):
        connection.execute(f"SET {setting} = '{str(value).replace(chr(39), 2 * chr(39))}'")
    connection.execute("CREATE TEMP TABLE superseded (filename VARCHAR, cell VARCHAR)")
    if records.superseded:
        connection.executemany("INSERT INTO superseded VALUES (?, ?)", records.superseded)
    for table, files in records.files.items():
        if not files:
            connection.register(f"no_{table}", ARROW_SCHEMAS[table].empty_table())
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM no_{table}")
            continue
        if table not in TABLES:  # nothing supersedes a measurement
            source = ", ".join(map(_quoted, files))
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet([{source}])")
            continue
        versions = records.schemas[table]
        parts = [
            _select(table, version, chosen)
            for version in READABLE
            if (chosen := [f for f, of in zip(files, versions, strict=True) if of == version])
        ]
        connection.execute(f"CREATE VIEW {table} AS {' UNION ALL '.join(parts)}")
    return connection


def _quoted(file: str) -> str:
    """Return a file's path as DuckDB takes it literally.

    Raises:
        StoreError: it cannot take it.
    """
    if encodable(file) != file:
        raise StoreError(
            f"cannot read {file}: a part of its path is no UTF-8, so rename the folder it lies in."
        )
    file = re.sub(r"([*?[])", r"[\1]", file)  # else a pattern, for which other files may stand
    return "'" + file.replace("'", "''") + "'"


def _select(table: str, version: int, files: list[str]) -> str:
    """Return a query for what counts in files of one schema version, with every column of the present one."""
    columns = ", ".join(
        one.name if one.since <= version else f"CAST(NULL AS {_TYPES[one.kind]}) AS {one.name}"
        for one in TABLES[table]
    )
    source = ", ".join(map(_quoted, files))
    return (
        f"SELECT {columns} FROM read_parquet([{source}], filename = true) "
        "ANTI JOIN superseded USING (filename, cell)"
    )
