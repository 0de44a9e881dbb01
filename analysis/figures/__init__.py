"""The figures of the report, each a function of an opened study that returns a matplotlib figure."""

from analysis.figures.activation_shapes import activation_shapes
from analysis.figures.atlas import atlas
from analysis.figures.base import Drawing, FigureFunction, NotApplicable
from analysis.figures.born_dead import born_dead
from analysis.figures.by_layer import collapse, signal_by_layer, weight_by_layer
from analysis.figures.coverage import coverage
from analysis.figures.dead_units import dead_units
from analysis.figures.distribution_of_z import distribution_of_z
from analysis.figures.gradient_over_training import gradient_over_training
from analysis.figures.gradients_by_layer import gradients_by_layer
from analysis.figures.mends import mends
from analysis.figures.overview import overview
from analysis.figures.packing import packing
from analysis.figures.pathology_map import labels_at_start, labels_in_training
from analysis.figures.phase_diagram import phase_diagram
from analysis.figures.predictors import predictors
from analysis.figures.rate_map import rate_map
from analysis.figures.saturated import saturated
from analysis.figures.second_moment import second_moment
from analysis.figures.slope import slope
from analysis.figures.theory_errors import theory_errors
from analysis.figures.theory_slope import theory_slope
from analysis.figures.trainability import trainability
from analysis.figures.trainable_depth import trainable_depth
from analysis.figures.unit_fates import unit_fates
from analysis.figures.update_ratio import update_ratio

START: tuple[FigureFunction, ...] = (
    atlas,
    labels_at_start,
    gradients_by_layer,
    signal_by_layer,
    weight_by_layer,
    slope,
    theory_slope,
    phase_diagram,
    collapse,
    theory_errors,
)
"""Figures of fresh weights, in the order of the report."""

TRAINING: tuple[FigureFunction, ...] = (
    trainability,
    trainable_depth,
    labels_in_training,
    mends,
    predictors,
    rate_map,
    dead_units,
    unit_fates,
    saturated,
    update_ratio,
)
"""Figures of trained networks, in the order of the report."""

START_APPENDIX: tuple[FigureFunction, ...] = (
    second_moment,
    distribution_of_z,
    born_dead,
    activation_shapes,
)
"""Further figures of fresh weights, in the order of the report."""

TRAINING_APPENDIX: tuple[FigureFunction, ...] = (gradient_over_training, packing)
"""Further figures of trained networks, in the order of the report."""

__all__ = [
    "START",
    "START_APPENDIX",
    "TRAINING",
    "TRAINING_APPENDIX",
    "Drawing",
    "FigureFunction",
    "NotApplicable",
    "activation_shapes",
    "atlas",
    "born_dead",
    "collapse",
    "coverage",
    "dead_units",
    "distribution_of_z",
    "gradient_over_training",
    "gradients_by_layer",
    "labels_at_start",
    "labels_in_training",
    "mends",
    "overview",
    "packing",
    "phase_diagram",
    "predictors",
    "rate_map",
    "saturated",
    "second_moment",
    "signal_by_layer",
    "slope",
    "theory_errors",
    "theory_slope",
    "trainability",
    "trainable_depth",
    "unit_fates",
    "update_ratio",
    "weight_by_layer",
]
