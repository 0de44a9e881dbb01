"""What mean-field theory predicts of a network at its start, before anything is drawn or trained."""

from study.theory.field import MeanField, critical_weight_variance, mean_field
from study.theory.starts import predict

__all__ = ["MeanField", "critical_weight_variance", "mean_field", "predict"]
