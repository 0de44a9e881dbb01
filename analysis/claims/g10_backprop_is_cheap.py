"""G10: backpropagation is said to be far cheaper than perturbing each parameter."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import measurements
from analysis.statistics import student_interval

GROWTH = 0.9
"""Exponent of the saving over the number of parameters: 1 were it proportional."""

FEW = 10.0
"""Forward passes that backpropagation may cost, whatever the number of parameters."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh what a gradient costs in forward passes, by backpropagation and by perturbation."""
    del data
    costs = priced(measurements(study, "backprop_cost"))
    grows, few = [], []
    for (quantity, device), part in costs.groupby(["quantity", "device"]):
        name = f"{quantity}, {device}"
        slopes = np.array([_growth(one) for _, one in part.groupby("repeat")])
        if quantity == "FLOPs":
            growth = _exact(name, slopes, slopes >= GROWTH, float(slopes.min()))
            grows.append(replace(growth, each="fit"))
            passes = part["passes"].to_numpy()
            cost = _exact(name, passes, passes <= FEW, float(passes.max()))
            few.append(replace(cost, each="size"))
            continue
        growth = outcomes.above(name, slopes[np.isfinite(slopes)], GROWTH)
        grows.append(replace(growth, each="round"))
        for parameters, row in part.groupby("parameters"):
            known = row["passes"][np.isfinite(row["passes"])]
            cost = outcomes.below(f"{name}, {parameters:,} parameters", known, FEW)
            few.append(replace(cost, each="round"))
    parts = (
        Part("the saving grows with the number of parameters", tuple(grows), decision.for_every(grows),
             "exponent of the saving over the number of parameters"),
        Part("since backpropagation costs few forward passes at every size", tuple(few),
             decision.for_every(few), "forward passes"),
    )  # fmt: skip
    largest = costs[costs["parameters"] == costs["parameters"].max()]
    saving = largest.groupby(["quantity", "device"])["saving"].median()
    passes = costs.groupby(["quantity", "device"])["passes"].median()
    said = (
        f"At {largest['parameters'].iloc[0]:,} parameters backpropagation saves, against a forward pass for each "
        "of them and one more, a factor of "
        + ", ".join(f"{value:,.0f} ({name}, {device})" for (name, device), value in saving.items())
        + "; it costs "
        + ", ".join(f"{value:.1f} ({name}, {device})" for (name, device), value in passes.items())
        + " forward passes."
    )
    return Evidence(
        parts,
        costs,
        0,
        said,
        functools.partial(draw, costs),
        "What one gradient costs, in forward passes, against the number of parameters: forward and backward "
        "by backpropagation, and P + 1 forward passes where each of P parameters is perturbed. Time: mean and "
        f"95 % Student interval over {costs['repeat'].nunique()} rounds; FLOPs: exact. The distance between "
        "the lines is the saving.",
    )


def priced(rows: pd.DataFrame) -> pd.DataFrame:
    """Return per device, size and round the cost of forward and backward in forward passes, and the saving.

    Raises:
        NoEvidence: a pass was not measured at two sizes.
    """
    rows = rows.assign(quantity=rows["quantity"].replace({"flops": "FLOPs"}))
    table = rows.pivot_table(
        index=["quantity", "device", "parameters", "repeat"], columns="pass", values="value", dropna=False
    ).reset_index()  # fmt: skip
    table = table[table.set_index(["quantity", "device", "parameters", "repeat"]).index.isin(
        rows.set_index(["quantity", "device", "parameters", "repeat"]).index
    )]  # fmt: skip
    if not {"forward", "forward and backward"} <= set(table) or table["parameters"].nunique() < 2:
        raise NoEvidence("the task measured fewer than two sizes or passes")
    passes = table["forward and backward"] / table["forward"]
    return table.assign(passes=passes, saving=(table["parameters"] + 1) / passes)


def _growth(part: pd.DataFrame) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        saving = np.log10(part["saving"].to_numpy(dtype=float))
    if not np.isfinite(saving).all():
        return float("nan")
    return float(np.polyfit(np.log10(part["parameters"].to_numpy(dtype=float)), saving, 1)[0])


def _exact(name: str, values: np.ndarray, holds: np.ndarray, shown: float) -> decision.Outcome:
    known = bool(np.isfinite(values).all())
    return outcomes.exactly(name, holds if known else [], shown if known else np.nan)


def draw(costs: pd.DataFrame) -> Figure:
    """Draw the cost in forward passes against the number of parameters, a panel a device."""
    devices = sorted(costs["device"].unique())
    tones = {"time": ("#0072B2", "o"), "FLOPs": ("#009E73", "s")}
    with style.house_style():
        figure, axes = layout.panel_grid([""], devices, (3.6, 2.6), left=0.6)
        for device, axis in zip(devices, axes[0], strict=True):
            sizes = np.array(sorted(costs["parameters"].unique()), dtype=float)
            axis.plot(sizes, sizes + 1, color="#D55E00", marker="^", markersize=4.5)
            for quantity, (colour, marker) in tones.items():
                part = costs[(costs["device"] == device) & (costs["quantity"] == quantity)]
                spans = [
                    (size, student_interval(one["passes"]))
                    for size, one in part.groupby("parameters")
                ]
                if not spans:
                    continue
                places = [size for size, _ in spans]
                axis.plot(
                    places,
                    [one.mean for _, one in spans],
                    color=colour,
                    marker=marker,
                    markersize=4.5,
                )
                axis.fill_between(
                    places, [one.low for _, one in spans], [one.high for _, one in spans],
                    color=colour, alpha=0.2, linewidth=0,
                )  # fmt: skip
            axis.axhline(FEW, color="black", linestyle="--", linewidth=0.9)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel("parameters P")
        axes[0, 0].set_ylabel("forward passes a gradient")
        handles = [Line2D([], [], color="#D55E00", marker="^", label="perturbing each: P + 1")]
        handles += [
            Line2D([], [], color=colour, marker=marker, label=f"backpropagation, {quantity}")
            for quantity, (colour, marker) in tones.items()
        ]
        handles.append(
            Line2D(
                [],
                [],
                color="black",
                linestyle="--",
                linewidth=0.9,
                label=f"{FEW:g} forward passes",
            )
        )
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="G10",
    sentence="Backpropagation is far cheaper than computing the gradient by perturbing each parameter.",
    notes=("001",),
    says=(
        "Note 001: a step of gradient descent needs too many operations, and backpropagation reduced their "
        "number drastically. What it is held against the note leaves open; perturbing each parameter is ours."
    ),
    experiments=(),
    tasks=("backprop_cost",),
    quantity=(
        "Seconds and FLOPs of forward and backward pass over those of a forward pass (cost in forward passes), "
        "ReLU networks of depth 4, width 8 to 512; the saving is P + 1, the forward passes that perturbing "
        "each of P parameters takes, over that cost; its exponent is the slope of log saving over log P, one a "
        "round of the timing."
    ),
    rule=(
        "Two parts over FLOPs and time on each device measured. The exponent is above 0.9 (FLOPs: exact; time: "
        "one-sided t-test over the rounds; below 0.9 stands against it). The cost is below 10 forward passes "
        "at every width (FLOPs: exact; time: likewise, one-sided t-test a width). Each part is supported if "
        "all hold (intersection-union at 5 %), refuted if some fail (Holm) and none holds (Holm), conditional "
        "if both occur. The claim is supported or refuted if both parts are, else conditional, or inconclusive "
        "if a part is and nothing contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "A gradient by backpropagation costs a few forward passes, whatever the number of "
        "parameters.",
        "conditional": "What backpropagation saves depends on what is counted and on the size.",
        "refuted": "Backpropagation costs more forward passes as the parameters grow.",
    },
    limits=(
        "The forward passes of the perturbation are counted, not run. The unit is the round of timing on one "
        "machine; a round is no seed, and other work on the machine widens the intervals of times, not of FLOPs."
    ),
)
