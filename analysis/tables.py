"""The three views of a study: ``cells``, ``curves`` and ``layers``, over verified records only."""

from __future__ import annotations

from pathlib import Path

import duckdb

from study.errors import StoreError
from study.schema import TABLES
from study.store import ARROW_SCHEMAS, Store, final_commits


def connect(folder: str | Path) -> duckdb.DuckDBPyConnection:
    """Verify a study's store and return a connection with the views of `study.schema.TABLES`.

    Args:
        folder: ``outputs/<study name>``.

    Raises:
        StoreError: there is no study, or a commit or record is missing or damaged.
    """
    folder = Path(folder)
    store = Store(folder)
    if not store.commits.is_dir():
        raise StoreError(f"cannot open {folder}: there is no study in it.")
    commits = store.read_commits()
    final = final_commits(commits)
    paths = {commit.pack: store.verify(commit) for commit in commits}
    connection = duckdb.connect()
    # an average over two threads has other last bits from run to run
    connection.execute("SET threads = 1")
    superseded = [
        (str(paths[commit.pack][table].absolute()), cell)
        for commit in commits
        for cell in commit.statuses
        if final[cell].pack != commit.pack
        for table in TABLES
    ]
    connection.execute("CREATE TEMP TABLE superseded (filename VARCHAR, cell VARCHAR)")
    if superseded:
        connection.executemany("INSERT INTO superseded VALUES (?, ?)", superseded)
    for table in TABLES:
        files = [str(paths[commit.pack][table].absolute()) for commit in commits]
        if not files:
            connection.register(f"no_{table}", ARROW_SCHEMAS[table].empty_table())
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM no_{table}")
            continue
        source = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        connection.execute(
            f"CREATE VIEW {table} AS SELECT * EXCLUDE (filename) "
            f"FROM read_parquet([{source}], filename = true) "
            "ANTI JOIN superseded USING (filename, cell)"
        )
    return connection
