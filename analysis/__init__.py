"""Reads a study's records: verified, through SQL. Never trains.

from analysis import open_study
con = open_study("outputs/mine")
con.sql("SELECT activation, depth, count(*) FROM cells GROUP BY ALL").df()
"""

from analysis.tables import open_study

__all__ = ["open_study"]
