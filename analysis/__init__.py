"""Reads a study's records: verified, through SQL, as figures and as a report. Never trains.

from analysis import figures, open_study
study = open_study("outputs/mine")
study.sql("SELECT activation, depth, count(*) FROM networks GROUP BY ALL").df()
figures.atlas(study)  # a matplotlib figure

Each figure of the report is a function of `analysis.figures`; ``figures.atlas.drawing(study)`` also
has its caption and the table of the numbers drawn.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.frames import Study

__all__ = ["open_study"]


def open_study(folder: str | Path, against: str | Path | None = None) -> Study:
    """Verify a study's records and return it, to be asked by SQL and drawn.

    Args:
        folder: ``outputs/<study name>``.
        against: another study with some of the same networks, for the figure `packing`.

    Warns:
        UserWarning: a commit or record is missing or damaged, and left out.

    Raises:
        StoreError: there is no study, or it is of a schema version that is not read.
    """
    # pandas and DuckDB, which --help must not wait for
    from analysis.commands.arguments import existing
    from analysis.frames import Study

    study = Study(existing(Path(folder)), None if against is None else existing(Path(against)))
    for damage in study.damages:
        warnings.warn(damage, stacklevel=2)
    return study
