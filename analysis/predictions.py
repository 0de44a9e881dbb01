"""What mean-field theory predicts of the networks of a study, and how far they stray from it.

The theory needs no record but one: how alike the samples are in layer 1, which decides how much the seeds of
a condition may differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analysis.frames import Study, Variant
from study.errors import StudyError
from study.theory import MeanField, predict
from study.theory.moments import moments

USUAL_SEEDS = 1.96
"""Standard deviations within which 19 of 20 seeds fall."""


DIGITS = 4
"""Decimals of predicted decades: the theory is right to two or three."""


@dataclass(frozen=True)
class Prediction:
    """The theory of one condition.

    Attributes:
        activation: its label in the study.
        init: likewise.
        depth: layers that carry weights.
        field: what is predicted.
        samples: of a batch, over which gradients are averaged.
        probe_samples: of the probe set, on which units are judged.
        alike: correlation of two samples' z in layer 1, measured: its mean over seeds; None where no seed
            has one.
    """

    activation: str
    init: str
    depth: int
    field: MeanField
    samples: int
    probe_samples: int
    alike: float | None

    def spread(self, layer: int) -> float:
        """Return the standard deviation over seeds of what `relative` predicts, in decades."""
        if self.samples == 1:
            return self.field.log10_spread(layer, self.depth - 1)
        if self.alike is None:
            return math.nan
        first = 1 / self.samples + (1 - 1 / self.samples) * min(max(self.alike, 0.0), 1.0)
        return self.field.log10_spread(layer, self.depth - 1, self.samples, first)

    def relative(self, layer: int) -> float:
        """Return log10 of a layer's gradient by that of the last hidden layer."""
        return self.field.log10_gradient_ratio(layer, self.depth - 1)

    def weights(self, layer: int) -> float:
        """Return log10 of a layer's ‖∂L/∂W‖ by that of the last hidden layer, of one sample.

        The product of the norms of ∂L/∂z and of what the layer is fed. Of a batch the gradient is a mean over
        samples, which cancel each other in some layers more than in others: the theory knows nothing of it.
        """
        last = self._norms(self.depth - 1)
        if last == -math.inf:
            return math.nan
        return self._norms(layer) - last + self.relative(layer)

    def _norms(self, layer: int) -> float:
        """Return log10 of √(units · ‖fed‖²) of a layer."""
        field = self.field
        assert field.widths is not None
        fed = math.log(field.q0) if field.q0 > 0 else -math.inf
        if layer > 1:
            fed = moments(field.phi, float(field.log_q[layer - 2])).log_square
        size = math.log(field.widths[layer]) + math.log(field.widths[layer - 1]) + fed
        return size / (2 * math.log(10))

    def collapse(self) -> list[float]:
        """Return the collapse of z over the probe set in every layer, from that of layer 1 as measured."""
        if self.alike is None or self.probe_samples < 2:
            return [math.nan] * self.depth
        alike = min(max(self.alike, 0.0), 1.0)
        first = 1 / self.probe_samples + (1 - 1 / self.probe_samples) * alike
        return [float(one) for one in self.field.collapse(first, self.probe_samples)]


def predictions(study: Study, variant: Variant) -> list[Prediction]:
    """Return the theory of every condition of a variant that it speaks of.

    Left out are networks without a hidden layer, weights that are not centred at 0, and functions of the
    user's own that are not loaded.
    """
    found = study.execute(
        "SELECT networks.activation, networks.init, networks.depth, min(cells.settings), "
        "any_value(cells.inputs), any_value(coalesce(cells.classes, 1)), "
        "any_value(cells.batch_size), any_value(cells.probe_samples), "
        "avg((layers.z_collapse - 1 / cells.probe_samples) / (1 - 1 / cells.probe_samples)) "
        "FILTER (isfinite(layers.z_collapse)) "
        "FROM networks JOIN cells USING (cell) JOIN layers USING (cell) "
        f"WHERE {variant.where} AND layers.step = 0 AND layers.layer = 1 AND networks.depth >= 2 "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return list(_predicted(found))


def _predicted(rows: list[tuple]) -> Iterator[Prediction]:  # type: ignore[type-arg]
    for activation, init, depth, settings, inputs, outputs, samples, probed, alike in rows:
        try:
            field = predict(json.loads(settings), inputs, outputs)
        except StudyError:
            continue
        # of a probe set of one sample nothing is known of two
        known = alike if alike is not None and math.isfinite(alike) else None
        yield Prediction(activation, init, int(depth), field, int(samples), int(probed), known)


def by_layer(predicted: list[Prediction], spread: bool) -> pd.DataFrame:
    """Return predictions layer by layer.

    Args:
        predicted: what `predictions` returns.
        spread: whether to predict how far seeds stray, which takes longer.

    Returns:
        Columns ``activation, init, depth, layer``, ``predicted`` (log10 of the signal gradient by that of the
        last hidden layer) and, if asked for, ``spread`` (its standard deviation over seeds, in decades).
    """
    rows = []
    for one in predicted:
        for layer in range(1, one.depth):
            row = {
                "activation": one.activation,
                "init": one.init,
                "depth": one.depth,
                "layer": layer,
                "predicted": round(one.relative(layer), DIGITS),
            }
            if spread:
                row["spread"] = round(one.spread(layer), DIGITS)
            rows.append(row)
    columns = ["activation", "init", "depth", "layer", "predicted", *(["spread"] if spread else [])]
    return pd.DataFrame(rows, columns=columns)
