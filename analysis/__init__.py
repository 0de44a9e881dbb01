"""Reads a study's records: verified, through SQL. Never trains.

from analysis import open_study
con = open_study("outputs/mine")
con.sql("SELECT activation, depth, count(*) FROM cells GROUP BY ALL").df()

In a notebook each figure of the report is a function of a study:

from analysis import figures
from analysis.frames import Study
figures.atlas(Study("outputs/mine")).figure
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.tables import open_study

__all__ = ["open_study"]


def __getattr__(name: str) -> Any:
    # not at the top: a Python without the packages must get as far as the sentence that says so
    if name == "open_study":
        from analysis.tables import open_study

        return open_study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
