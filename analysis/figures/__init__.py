"""The figures of the report, each a function of an opened study that returns a matplotlib figure."""

from analysis.figures.atlas import atlas
from analysis.figures.base import Drawing, FigureFunction, NotApplicable
from analysis.figures.by_layer import collapse, signal_by_layer, weight_by_layer
from analysis.figures.coverage import coverage
from analysis.figures.dead_units import dead_units
from analysis.figures.overview import overview
from analysis.figures.packing import packing
from analysis.figures.rate_map import rate_map
from analysis.figures.slope import slope
from analysis.figures.trainability import trainability

START: tuple[FigureFunction, ...] = (atlas, signal_by_layer, weight_by_layer, slope, collapse)
"""Figures of fresh weights, in the order of the report."""

TRAINING: tuple[FigureFunction, ...] = (trainability, rate_map, dead_units)
"""Figures of trained networks, in the order of the report."""

START_APPENDIX: tuple[FigureFunction, ...] = ()
"""Further figures of fresh weights, in the order of the report."""

TRAINING_APPENDIX: tuple[FigureFunction, ...] = (packing,)
"""Further figures of trained networks, in the order of the report."""

__all__ = [
    "START",
    "START_APPENDIX",
    "TRAINING",
    "TRAINING_APPENDIX",
    "Drawing",
    "FigureFunction",
    "NotApplicable",
    "atlas",
    "collapse",
    "coverage",
    "dead_units",
    "overview",
    "packing",
    "rate_map",
    "signal_by_layer",
    "slope",
    "trainability",
    "weight_by_layer",
]
