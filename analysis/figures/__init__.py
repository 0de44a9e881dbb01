"""The figures: each is a function of an opened study that returns a `Drawing`."""

from analysis.figures.atlas import atlas
from analysis.figures.base import Drawing, NotApplicable
from analysis.figures.by_layer import collapse, signal_by_layer, weight_by_layer
from analysis.figures.coverage import coverage
from analysis.figures.dead_units import dead_units
from analysis.figures.gradients_by_layer import gradients_by_layer
from analysis.figures.predictors import predictors
from analysis.figures.rate_map import rate_map
from analysis.figures.saturated import saturated
from analysis.figures.slope import slope
from analysis.figures.trainability import trainability
from analysis.figures.unit_fates import unit_fates
from analysis.figures.update_ratio import update_ratio

START = (atlas, gradients_by_layer, signal_by_layer, weight_by_layer, slope, collapse)
"""Figures of fresh weights, in the order of the report."""

TRAINING = (
    trainability,
    predictors,
    rate_map,
    dead_units,
    unit_fates,
    saturated,
    update_ratio,
)
"""Figures of trained networks, in the order of the report."""

__all__ = [
    "START",
    "TRAINING",
    "Drawing",
    "NotApplicable",
    "atlas",
    "collapse",
    "coverage",
    "dead_units",
    "gradients_by_layer",
    "predictors",
    "rate_map",
    "saturated",
    "signal_by_layer",
    "slope",
    "trainability",
    "unit_fates",
    "update_ratio",
    "weight_by_layer",
]
