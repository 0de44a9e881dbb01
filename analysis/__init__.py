"""Reads a study's records: verified, through SQL. Never trains.

from analysis import open_study
con = open_study("outputs/mine")
con.sql("SELECT activation, depth, count(*) FROM cells GROUP BY ALL").df()

In a notebook each figure of the report is a function of a study:

from analysis import figures
from analysis.frames import Study
figures.atlas(Study("outputs/mine")).figure
"""

from analysis.tables import open_study

__all__ = ["open_study"]
