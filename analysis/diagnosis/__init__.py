"""What is wrong with a network: labels, the evidence for each, and what usually mends it."""

from analysis.diagnosis.labels import LABELS, Label
from analysis.diagnosis.rules import THRESHOLDS, Thresholds, diagnose

__all__ = ["LABELS", "THRESHOLDS", "Label", "Thresholds", "diagnose"]
