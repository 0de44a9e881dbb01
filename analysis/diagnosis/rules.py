"""When a network gets a label: rules on what was recorded of it at every probe step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.diagnosis.labels import LABELS
from analysis.frames import Study


@dataclass(frozen=True)
class Thresholds:
    """What the rules compare with, each in one place. Set on one half of the bench, reported on the other.

    Attributes:
        decades: that a gradient may gain or lose from the last hidden layer to the first beyond the band of
            seeds: within it, a rate that suits one layer still moves the other.
        sigmas: standard deviations that the band reaches: the mean-field spread of a batch's gradient over
            seeds at this depth and width, at most that of one sample of a ReLU network, Σ 5/n.
        dead_sigmas: standard deviations above one half of a layer's units. Weights and biases that are
            symmetric about 0 leave a unit silent on every sample with probability one half at most.
        saturated: share of a layer's slopes that are below 1 % of the largest.
        zeros: share of a layer's weight gradients that are exactly 0 beyond those of silent units.
        learned: share of the loss of a constant answer that a network must get rid of not to be stalled: a
            constant alone, fitted to the classes of a probe set of 256, gets rid of (K − 1) / 512 nats, 0.8 %
            for ten classes.
        moved: share of it that the loss of a stalled network may still move in the last three quarters of
            training.
    """

    decades: float = 1.5
    sigmas: float = 3.0
    dead_sigmas: float = 2.5
    saturated: float = 0.5
    zeros: float = 0.5
    learned: float = 0.01
    moved: float = 0.02


THRESHOLDS = Thresholds()

COLUMNS = ["cell", "label", "when", "since", "step", "layer", "value", "bound", "evidence"]

FOUND = ["cell", "label", "step", "layer", "value", "bound", "evidence"]
"""What a rule yields: a row a network, label and step at which it holds."""


def diagnose(
    study: Study, where: str = "true", thresholds: Thresholds = THRESHOLDS
) -> pd.DataFrame:
    """Return the labels of finished networks with their evidence.

    Args:
        study: an opened study.
        where: an SQL condition on ``networks``.
        thresholds: what the rules compare with.

    Returns:
        A row a network and label: ``cell, label``; ``when`` it holds: ``"start"`` (at step 0 and not at the
        last), ``"end"`` (at the last and not at 0), ``"both"`` or ``"between"``; ``since`` and ``step``, the
        first and the last probe step at which it holds; ``layer`` (NaN where none is meant), ``value`` and
        ``bound`` (what was measured and what it was compared with) and ``evidence`` in words, all of
        ``step``. A network without a row is healthy, or not finished.
    """
    measured = _measured(study, where)
    rows = [
        *_gradients(measured, thresholds),
        *_dead(measured, thresholds),
        *_saturated(measured, thresholds),
        *_symmetric(measured),
        *_underflow(measured, thresholds),
        *_in_training(study, where, thresholds),
    ]
    return _merged(pd.DataFrame(rows, columns=FOUND), _last_steps(study, where))


def _last_steps(study: Study, where: str) -> pd.Series:
    """Return the updates that each network was trained, by cell."""
    found = study.execute(f"SELECT cell, steps FROM networks WHERE {where}").df()
    return found.set_index("cell")["steps"]


def _measured(study: Study, where: str) -> pd.DataFrame:
    """Return a row a network and probe step, with the layers where most is wrong."""
    fan_in = "CASE WHEN layer = 1 THEN inputs ELSE lag(units) OVER below END"
    silent = "coalesce(dead_units, 0) / units"
    layers = (
        "SELECT cell, layers.step, layer, units, networks.depth, networks.width, signal_grad_rms, "
        "weight_grad_norm, saturated_share, twin_units, "
        f"dead_units / units AS dead, {fan_in} AS fan_in, {silent} AS silent, "
        f"CASE WHEN layer = 1 THEN 0 ELSE lag({silent}) OVER below END AS silent_below, grad_zeros "
        "FROM layers JOIN networks USING (cell) JOIN cells USING (cell) "
        f"WHERE {where} "
        "WINDOW below AS (PARTITION BY cell, layers.step ORDER BY layer)"
    )
    zeros = (
        "CASE WHEN weight_grad_norm > 0 AND isfinite(weight_grad_norm) THEN "
        "grad_zeros / (units * fan_in) - (1 - (1 - silent) * (1 - silent_below)) END"
    )

    def most(value: str, name: str) -> str:
        return f"max({value}) AS {name}, arg_max(layer, {value}) AS {name}_layer"

    # to SQL NaN is the largest number, which would hide those of other layers
    hidden = "CASE WHEN layer < depth AND isfinite({0}) THEN {0} END"
    return study.execute(
        "SELECT cell, step, depth, width, "
        "max(signal_grad_rms) FILTER (layer = 1) AS first, "
        "max(signal_grad_rms) FILTER (layer = depth - 1) AS last, "
        f"{most(hidden.format('dead'), 'dead')}, "
        f"{most(hidden.format('saturated_share'), 'saturated')}, "
        f"{most(hidden.format('twin_units'), 'twins')}, "
        f"{most(zeros, 'zeros')} "
        f"FROM ({layers}) GROUP BY cell, step, depth, width ORDER BY cell, step"
    ).df()


def band(depth: pd.Series, width: pd.Series) -> pd.Series:
    """Return the standard deviation over seeds of log10 of layer 1's gradient by the last hidden one's.

    That of one sample of a ReLU network that keeps its gradient, Var ln ‖δ‖² = Σ ln(1 + 5/n): a batch's
    strays less. Source: Hanin & Nica 2018.
    """
    variance = (depth - 2).clip(lower=0) * np.log1p(5.0 / width)
    return np.sqrt(variance) / (2 * math.log(10))


def _gradients(measured: pd.DataFrame, thresholds: Thresholds) -> Iterator[tuple]:  # type: ignore[type-arg]
    deep = measured[
        (measured["depth"] >= 3) & (measured["last"] > 0) & np.isfinite(measured["last"])
    ]
    deep = deep[np.isfinite(deep["first"])]
    with np.errstate(divide="ignore"):
        decades = np.log10(deep["first"]) - np.log10(deep["last"])
    bound = thresholds.decades + thresholds.sigmas * band(deep["depth"], deep["width"])
    for label, sign in (("vanishing", -1), ("exploding", 1)):
        chosen = sign * decades > bound
        for cell, step, value, limit in zip(
            deep["cell"][chosen],
            deep["step"][chosen],
            decades[chosen],
            sign * bound[chosen],
            strict=True,
        ):
            shown = "nothing" if value == -math.inf else f"10^{value:.1f}"
            text = f"{shown} of the last hidden layer's gradient, 10^{limit:.1f} allowed"
            yield cell, label, step, 1, value, limit, text


def _dead(measured: pd.DataFrame, thresholds: Thresholds) -> Iterator[tuple]:  # type: ignore[type-arg]
    bound = 0.5 + thresholds.dead_sigmas * np.sqrt(0.25 / measured["width"])
    # of few units all may be silent by chance, and still all of them are
    chosen = (measured["dead"] > bound) | (measured["dead"] == 1)
    for row, limit in zip(measured[chosen].itertuples(), bound[chosen], strict=True):
        what = "all units" if row.dead == 1 else f"{row.dead:.0%} of the units"
        text = f"{what} dead, {min(limit, 1):.0%} allowed"
        yield row.cell, "dead", row.step, row.dead_layer, row.dead, limit, text


def _saturated(measured: pd.DataFrame, thresholds: Thresholds) -> Iterator[tuple]:  # type: ignore[type-arg]
    limit = thresholds.saturated
    for row in measured[measured["saturated"] > limit].itertuples():
        text = f"{row.saturated:.0%} of the slopes below 1 % of the largest, {limit:.0%} allowed"
        yield row.cell, "saturated", row.step, row.saturated_layer, row.saturated, limit, text


def _symmetric(measured: pd.DataFrame) -> Iterator[tuple]:  # type: ignore[type-arg]
    for row in measured[measured["twins"] > 0].itertuples():
        text = f"{row.twins:.0f} of {row.width} units repeat another one"
        yield row.cell, "symmetric", row.step, row.twins_layer, row.twins, 0, text


def _underflow(measured: pd.DataFrame, thresholds: Thresholds) -> Iterator[tuple]:  # type: ignore[type-arg]
    limit = thresholds.zeros
    for row in measured[measured["zeros"] > limit].itertuples():
        text = f"{row.zeros:.0%} of the weight gradients are 0 as trained and not in float64"
        yield row.cell, "underflow", row.step, row.zeros_layer, row.zeros, limit, text


def _in_training(study: Study, where: str, thresholds: Thresholds) -> Iterator[tuple]:  # type: ignore[type-arg]
    """Yield what is wrong with the course of training: it broke, or nothing was learned."""
    broken = study.execute(
        "SELECT cell, first_bad_step, first_bad_layer FROM cells JOIN networks USING (cell) "
        f"WHERE {where} AND cells.status = 'diverged' ORDER BY cell"
    ).fetchall()
    for cell, step, layer in broken:
        text = "no finite number"
        yield cell, "diverged", step, math.nan if layer is None else layer, step, math.nan, text
    losses = study.execute(
        "SELECT cell, any_value(networks.steps) AS steps, "
        "any_value(CASE WHEN cells.task = 'regression' THEN 1.0 ELSE ln(cells.classes) END) "
        "AS guess, max(train_loss) FILTER (step = 0) AS first, "
        "max(train_loss) FILTER (step = networks.steps) AS last, "
        "max(train_loss) FILTER (4 * step >= networks.steps) "
        "- min(train_loss) FILTER (4 * step >= networks.steps) AS moved "
        "FROM curves JOIN networks USING (cell) JOIN cells USING (cell) "
        f"WHERE {where} AND cells.status = 'ok' AND networks.steps > 0 AND train_loss IS NOT NULL "
        "GROUP BY cell ORDER BY cell"
    ).df()
    constant = losses[["guess", "first"]].min(axis=1)
    bound = (1 - thresholds.learned) * constant
    chosen = (losses["last"] >= bound) & (losses["moved"] <= thresholds.moved * constant)
    for row, limit in zip(losses[chosen].itertuples(), bound[chosen], strict=True):
        text = f"training loss {row.first:.3g} at the start, {row.last:.3g} at the end"
        yield row.cell, "stalled", row.steps, math.nan, row.last, limit, text


def _merged(found: pd.DataFrame, last_steps: pd.Series) -> pd.DataFrame:
    """Return one row a network and label, in the order of networks and of gravity."""
    if found.empty:
        return pd.DataFrame(columns=COLUMNS)
    found = found.sort_values("step", kind="stable")
    rows = found.groupby(["cell", "label"], as_index=False).agg(
        since=("step", "first"),
        # what was seen last is the evidence
        **{name: (name, _last) for name in FOUND[2:]},
    )
    # weights that are no number stay so
    last = rows["cell"].map(last_steps)
    over = ((rows["step"] == last) & (last > 0)) | (rows["label"] == "diverged")
    rows["when"] = np.select(
        [(rows["since"] == 0) & over, rows["since"] == 0, over], ["both", "start", "end"], "between"
    )
    order = {label: place for place, label in enumerate(LABELS)}
    rows = rows.assign(grave=rows["label"].map(order)).sort_values(["cell", "grave"])
    return rows[COLUMNS].reset_index(drop=True)


def _last(values: pd.Series) -> object:
    # pandas' own "last" passes over NaN, of another step
    return values.iloc[-1]
