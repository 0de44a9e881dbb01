"""A small copy of a study for publishing: one record of all packs, fewer digits, curves at probe steps.

``python -m study.publish outputs/mine outputs/published`` makes it. The copy is a study like any
other: its records have a commit with their hashes, and every figure is drawn from it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from study import files
from study.cell import canonical_json, digest
from study.errors import StoreError, StudyError
from study.schema import TABLES
from study.store import ARROW_SCHEMAS, Commit, Store, final_commits

KEPT_BITS = 12
"""Significant bits of a quantity of a layer: an error of at most 1.3e-4 or 5e-5 decades."""

SMALLEST = 19
"""Level of zstd: some seconds for a few per cent, of what is written once and kept."""

ORDER = {"cells": ("cell",), "curves": ("cell", "step"), "layers": ("cell", "step", "layer")}


def publish(source: Path, target: Path) -> int:
    """Write a small copy of a study and return how many networks it holds.

    Layers are rounded to `KEPT_BITS`. Curves keep every bit, at probe steps only, and so do final
    scores: rounding could break a tie between two learning rates.
    Packs that were made in the same environment become one. Measurements are copied as they are.

    Args:
        source: the study's folder.
        target: a folder that does not exist yet.

    Raises:
        StoreError: there is no study, it is damaged, or the target exists or cannot be written.
    """
    store = Store(source)
    if not store.commits.is_dir():
        raise StoreError(f"cannot publish {source}: there is no study in it.")
    if target.exists():
        raise StoreError(f"cannot publish to {target}: it exists; remove it first.")
    Store(target).check_writable()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # beside the target, which appears only once it is whole
        with tempfile.TemporaryDirectory(prefix=f"{target.name}.new-", dir=target.parent) as place:
            copy = Store(Path(place) / target.name, compression=SMALLEST)
            networks = _copy(store, copy)
            copy.staging.rmdir()  # git keeps no empty folders, and nothing is written here again
            os.rename(copy.folder, target)
            files.sync(target.parent)
    except OSError as error:
        raise StoreError(f"cannot publish to {target}: {error.strerror or error}.") from error
    return networks


def _copy(store: Store, copy: Store) -> int:
    """Write plans and rounded records of one store into another, and return how many networks it holds."""
    survey = store.survey()
    for damage in survey.damages:
        raise StoreError(f"cannot publish {damage}; run the study's command again first.")
    commits, paths = survey.commits, survey.paths
    final = final_commits(commits)
    copy.create()
    for plan in survey.plans:
        copy.write_plan(plan)
    groups: dict[str, list[Commit]] = {}
    for commit in commits:
        if any(final[cell] is commit for cell in commit.statuses):
            groups.setdefault(canonical_json(commit.environment), []).append(commit)
    for environment, group in sorted(groups.items()):
        chosen = {cell for commit in group for cell in commit.statuses if final[cell] is commit}
        statuses = {cell: final[cell].statuses[cell] for cell in sorted(chosen)}
        group.sort(key=lambda one: one.pack)
        tables = {
            table: _merged(
                table, [_of_cells(paths[commit.pack][table], final, commit) for commit in group]
            )
            for table in TABLES
        }
        copy.commit(
            digest(canonical_json([statuses, environment]), 16),
            max(commit.attempt for commit in group),
            tables,
            statuses,
            {**json.loads(environment), "significant_bits": KEPT_BITS},
            sum(commit.wall_s for commit in group),
        )
    for commit in commits:
        if commit.measured:
            tables = {name: pq.read_table(path) for name, path in paths[commit.pack].items()}
            copy.commit(commit.pack, 0, tables, {}, commit.environment, commit.wall_s)
    return len(final)


def _of_cells(path: Path, final: dict[str, Commit], commit: Commit) -> pa.Table:
    """Return the rows of those cells for which this commit counts."""
    table = _completed(pq.read_table(path), ARROW_SCHEMAS[path.stem])
    counted = [cell for cell in commit.statuses if final[cell] is commit]
    return table.filter(pc.is_in(table["cell"], pa.array(counted, pa.string())))


def _completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with every column of the schema, NULL in those that a record of an earlier one lacks."""
    there = set(table.column_names)
    return pa.table(
        [
            table[field.name] if field.name in there else pa.nulls(len(table), field.type)
            for field in schema
        ],
        schema=schema,
    )


def _merged(name: str, tables: Sequence[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables).combine_chunks()
    if name == "curves":
        return _sorted(name, table.filter(pc.is_valid(table["test_loss"])))
    for index, field in enumerate(table.schema):
        if name == "layers" and pa.types.is_floating(field.type):
            column = table[field.name]
            values = rounded(column.to_numpy(), KEPT_BITS)
            known = pa.array(values, mask=column.is_null().to_numpy())
            table = table.set_column(index, field, known)
    return _sorted(name, table)


def _sorted(name: str, table: pa.Table) -> pa.Table:
    return table.sort_by([(key, "ascending") for key in ORDER[name]])


def rounded(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Return numbers rounded to so many significant bits; 0, infinities and NaN stay.

    Args:
        values: any shape.
        bits: 1 … 53.
    """
    values = np.asarray(values, dtype=np.float64)
    mantissa, exponent = np.frexp(values)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    # the largest numbers would become infinite
    return np.where(np.isfinite(values) & np.isfinite(found), found, values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish a study; return 0, or 2 after an error the user can mend."""
    parser = argparse.ArgumentParser(
        prog="python -m study.publish",
        description="Write a small copy of a study: one record instead of one a pack, quantities of "
        f"layers rounded to {KEPT_BITS} significant bits, curves at probe steps only. Figures are "
        "drawn from it as from any study.",
    )
    parser.add_argument("source", type=Path, help="the study's folder, outputs/<name>")
    parser.add_argument("target", type=Path, help="the folder of the copy, which must not exist")
    chosen: Any = parser.parse_args(arguments)
    try:
        networks = publish(chosen.source, chosen.target)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    size = sum(path.stat().st_size for path in chosen.target.rglob("*") if path.is_file())
    measured = sum(commit.measured for commit in Store(chosen.target).read_commits())
    more = f" and {measured:,} measurements" if measured else ""
    print(f"{networks:,} networks{more} in {chosen.target.as_posix()}: {size / 1e6:.1f} MB.")
    if networks:
        print(f"Next: python -m analysis {chosen.target.as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
