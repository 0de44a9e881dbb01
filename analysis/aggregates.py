"""Statistics over networks, taken by DuckDB: rows of ``layers`` never become a frame.

A study of 100,000 networks has tens of millions of such rows, and a figure some thousand groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.frames import Study
from analysis.statistics import with_interval

# an infinite or a missing number is none, and neither is NaN
_FINITE = "CASE WHEN isfinite(value) THEN value END"
_LOG = "CASE WHEN value > 0 AND isfinite(value) THEN log10(value) END"

FAULTS = {
    "zeros": "count(*) FILTER (value = 0)",
    "nonfinite": "count(*) FILTER (value IS NULL OR NOT isfinite(value))",
}
"""Counts of the values of a group that a logarithm has no place for."""


def grouped(study: Study, rows: str, by: Sequence[str], found: Mapping[str, str]) -> pd.DataFrame:
    """Return aggregates of every group of the rows that a query finds, ordered by group.

    Args:
        study: an opened study.
        rows: a query, `analysis.frames.Study.rows`.
        by: columns that make a group.
        found: aggregates in SQL by the name of their column.

    Returns:
        A row a group: ``by`` and ``found``; NULL as NaN.
    """
    keys = ", ".join(by)
    columns = ", ".join(f"{sql} AS {name}" for name, sql in found.items())
    query = f"SELECT {keys}, {columns} FROM ({rows}) GROUP BY {keys} ORDER BY {keys}"
    return study.execute(query).df()


def intervals(
    study: Study, rows: str, by: Sequence[str], value: str, more: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return mean and 95 % Student interval of a value for every group.

    Args:
        study: an opened study.
        rows: a query with one row a network and group.
        by: columns that make a group.
        value: an expression in SQL; where it is not finite it is left out of the mean.
        more: further aggregates, of the columns of ``rows`` and of ``value``.

    Returns:
        What `analysis.statistics.student_intervals` returns, and ``more``.
    """
    return _intervals(study, rows, by, value, _FINITE, more or {})


def log_intervals(study: Study, rows: str, by: Sequence[str], value: str) -> pd.DataFrame:
    """Return what `analysis.statistics.log_statistics` does, of every group of a query's rows.

    Args:
        study: an opened study.
        rows: a query with one row a network and group.
        by: columns that make a group.
        value: an expression in SQL, not negative.
    """
    more = {"smallest": "min(kept)", "largest": "max(kept)", **FAULTS}
    return _intervals(study, rows, by, value, _LOG, more)


def _intervals(
    study: Study, rows: str, by: Sequence[str], value: str, kept: str, more: Mapping[str, str]
) -> pd.DataFrame:
    valued = f"SELECT *, CAST({value} AS DOUBLE) AS value FROM ({rows})"
    of_kept = {"mean": "avg(kept)", "std": "stddev_samp(kept)", "networks": "count(kept)"}
    table = grouped(study, f"SELECT *, {kept} AS kept FROM ({valued})", by, {**of_kept, **more})
    return with_interval(table)[[*by, "mean", "low", "high", "networks", *more]]


def relative(rows: str, quantity: str) -> str:
    """Return a query with ``relative`` beside the rows of another: a quantity by the last hidden layer's.

    Args:
        rows: a query for all hidden layers of its networks and steps.
        quantity: one of its columns, not negative.
    """
    # 0/0 says less than that nothing arrives
    share = f"CASE WHEN {quantity} = 0 THEN 0 ELSE {quantity} / last END"
    # a window would sort the rows, and without a name of their own they would be read twice
    return (
        f"WITH hidden AS MATERIALIZED ({rows}) SELECT *, {share} AS relative FROM hidden JOIN "
        f"(SELECT cell, step, {quantity} AS last FROM hidden WHERE layer = depth - 1) USING (cell, step)"
    )
