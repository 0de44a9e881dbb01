"""Columns of ``layers`` with numbers made by hand, where no training gives them at will."""

from __future__ import annotations

from analysis.frames import Study

QUANTILES = {
    "z_p01": -2.3, "z_p05": -1.6, "z_p25": -0.7, "z_p50": 0.0, "z_p75": 0.7, "z_p95": 1.6, "z_p99": 2.3,
}  # fmt: skip
"""Standard deviations from the mean, about those of a normal distribution."""


def replace(study: Study, **expressions: str) -> None:
    """Give ``layers`` of an opened study columns by SQL, in the place of those that are there."""
    con = study.connection
    there = con.table("layers").columns
    made = f"made_{next(iter(expressions))}"
    con.execute(f"CREATE TEMP TABLE {made} AS SELECT {_listed(there, expressions)} FROM layers")
    con.execute("DROP VIEW layers")
    con.execute(f"CREATE TEMP VIEW layers AS SELECT * FROM {made}")


def _listed(there: list[str], expressions: dict[str, str]) -> str:
    kept = [name for name in there if name not in expressions]
    return ", ".join([*kept, *(f"{sql} AS {name}" for name, sql in expressions.items())])


def with_quantiles(study: Study) -> None:
    """Give ``layers`` the quantiles that z would have if it were normal."""
    deviation = "sqrt(greatest(z_second_moment - z_mean * z_mean, 0))"
    replace(study, **{name: f"z_mean + {z} * {deviation}" for name, z in QUANTILES.items()})


def with_fates(study: Study) -> None:
    """Give ``layers`` counts of units born dead and revived that agree with its dead units."""
    so_far = "(dead_units) OVER (PARTITION BY cell, layer ORDER BY step)"
    replace(
        study,
        born_dead_units=f"min{so_far}",
        revived_units=f"least(units - dead_units, max{so_far} - dead_units)",
    )
