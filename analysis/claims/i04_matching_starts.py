"""I4: Xavier's start is said to suit tanh and He's ReLU, at depth."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, networks, ways, where, whole
from analysis.statistics import student_interval
from analysis.words import joined, signed
from study.theory import predict

DEPTH = 32

ACTIVATIONS = ("tanh", "relu", "sigmoid", "gelu")

DECADE = 1.0

SUITED = (("tanh", "xavier_normal"), ("relu", "he_normal"))

SWAPPED = (("tanh", "he_normal"), ("relu", "xavier_normal"))


def judge(study: Study, data: str) -> Evidence:
    """Weigh the two cells that are said to suit, the two swapped ones, and show the whole factorial."""
    chosen = where(activation=ACTIVATIONS, init=ORDINARY, depth=DEPTH, steps=0, data=data)
    more = {"settings": "settings", "inputs": "inputs"}
    found = whole(networks(study, chosen, more), activation=ACTIVATIONS, init=ORDINARY)
    found = ways(study, found).merge(_predicted(found), on=["activation", "init"])
    found = found.drop(columns="settings")
    suited = [_weighed(outcomes.within_ranked, found, *cell) for cell in SUITED]
    swapped = [_weighed(outcomes.outside, found, *cell) for cell in SWAPPED]
    unit = "log10 of the gradient, first over last hidden layer"
    parts = (
        Part("Suited: within a factor of ten", tuple(suited), decision.for_every(suited), unit),
        Part("Swapped: beyond a factor of ten", tuple(swapped), decision.for_every(swapped), unit),
    )
    every = [
        _weighed(outcomes.within_ranked, found, one, init)
        for one in ACTIVATIONS
        for init in ORDINARY
    ]
    within = [test.label for test in every if test.verdict == "supported"]
    ways_told = [
        f"{signed(test.estimate, '+')} decades for {test.label}" for test in (*suited, *swapped)
    ]
    said = (
        f"Through {DEPTH} layers the gradient changes by {joined(ways_told)}. Of the {len(every)} cells of "
        f"the factorial {len(within)} keep it within a factor of ten"
        + (f": {joined(within)}." if within else ".")
    )
    lost = int((~np.isfinite(found["ratio"])).sum())
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(_figure, found),
        f"Change of the signal gradient from the last hidden layer to the first at depth {DEPTH}: every seed "
        f"({found['seed'].nunique()} a cell), mean and 95 % Student interval; the shaded band is a factor of "
        f"ten either way, a ring what mean-field theory predicts. {lost} networks in which nothing arrives "
        "stand at the left edge.",
    )


def _weighed(
    test: Callable[[str, ArrayLike, float, float], decision.Outcome],
    found: pd.DataFrame,
    activation: str,
    init: str,
) -> decision.Outcome:
    cell = found[(found["activation"] == activation) & (found["init"] == init)]
    return test(f"{activation} with {init}", cell["ratio"], -DECADE, DECADE)


def _predicted(found: pd.DataFrame) -> pd.DataFrame:
    """Return what mean-field theory says of each cell: decades from the last hidden layer to the first."""
    rows = []
    for (activation, init), part in found.groupby(["activation", "init"]):
        one = part.iloc[0]
        outputs = 1 if math.isnan(float(one["classes"])) else int(one["classes"])
        field = predict(json.loads(one["settings"]), int(one["inputs"]), outputs)
        predicted = round(field.log10_gradient_ratio(1, DEPTH - 1), 4)
        rows.append({"activation": activation, "init": init, "predicted": predicted})
    return pd.DataFrame(rows)


def _figure(found: pd.DataFrame) -> Figure:
    looks = panels.looks_of(ORDINARY)
    with style.house_style():
        figure, axes = layout.panel_grid([""], ACTIVATIONS, (2.1, 1.5), left=1.15, bottom=0.55)
        for axis, activation in zip(axes[0], ACTIVATIONS, strict=True):
            axis.axvspan(-DECADE, DECADE, color="#1B7837", alpha=0.18, linewidth=0)
            axis.axvline(0.0, color="#555555", linewidth=0.8)
            for place, (init, (colour, marker)) in enumerate(looks.items()):
                cell = found[(found["activation"] == activation) & (found["init"] == init)]
                values = cell["ratio"].to_numpy(dtype=float)
                finite = values[np.isfinite(values)]
                axis.plot(
                    finite, np.full(len(finite), place), ".", color=colour, alpha=0.4, markersize=4
                )
                lost = len(values) - len(finite)
                axis.plot(
                    [0.01] * lost, [place] * lost, "<", color=style.FAULT,
                    transform=axis.get_yaxis_transform(), clip_on=False,
                )  # fmt: skip
                mean = student_interval(finite)
                axis.plot([mean.low, mean.high], [place, place], color=colour, linewidth=2)
                axis.plot(
                    mean.mean, place, marker, color=colour, markersize=6, markeredgecolor="white",
                    markeredgewidth=0.5,
                )  # fmt: skip
                axis.plot(
                    cell["predicted"].iloc[0], place, "o", markersize=10, markerfacecolor="none",
                    markeredgecolor="black", markeredgewidth=0.9,
                )  # fmt: skip
            axis.set_yticks(range(len(ORDINARY)), labels=list(ORDINARY))
            axis.set_ylim(len(ORDINARY) - 0.5, -0.5)
            axis.grid(False, axis="y")
        figure.supxlabel("decades, first over last hidden layer", fontsize=9, y=0.01)
        handles = [
            Patch(color="#1B7837", alpha=0.18, label="within a factor of ten"),
            Line2D(
                [], [], marker="o", markersize=9, markerfacecolor="none", markeredgecolor="black",
                linestyle="none", label="mean-field theory",
            ),
        ]  # fmt: skip
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="I4",
    sentence="Xavier's start suits tanh and He's suits ReLU in deep networks.",
    notes=(),
    says=(
        "Beyond the notes: 002 gives the two rules and does not say which activation each is for. Glorot and "
        "Bengio 2010 derive theirs for an activation that is linear around 0, He et al. 2015 theirs for ReLU."
    ),
    experiments=("ledger_start",),
    quantity=(
        "log10 of the signal gradient in the first over the last hidden layer at step 0, depth 32; one number "
        "a seed."
    ),
    rule=(
        "Ten seeds a cell, two parts. Suited: the mean lies within one decade (two one-sided t-tests against "
        "±1 at 5 %) for tanh with xavier_normal and for ReLU with he_normal. Swapped: it lies beyond one "
        "decade (either side, one-sided t-test, p doubled) for tanh with he_normal and for ReLU with "
        "xavier_normal. Where a seed's gradient is exactly 0 or infinite, sign tests on the median take the "
        "place of the t-tests. A part is supported if both of its cells pass (intersection-union), refuted if "
        "a cell shows the contrary (Holm over the two) and none passes, conditional if both occur. The claim "
        "is supported if both parts are, refuted if both are refuted, else conditional, or inconclusive if a "
        "part is and none contradicts. The other cells of the factorial (sigmoid, GELU; torch_default, "
        "orthogonal) and the mean-field prediction are shown and decide nothing."
    ),
    judge=judge,
    lessons={
        "supported": "Each start keeps the gradient through 32 layers with its own activation and loses it "
        "with the other's.",
        "conditional": "Suiting an activation and failing the other's do not go together for both starts.",
        "refuted": "Neither does each start keep the gradient with its own activation nor lose it with the "
        "other's.",
    },
    limits=(
        "Size of the gradient at the start, not training; width 64, where seeds stray from the theory of wide "
        "layers by some tenths of a decade. Too large a start may keep tanh's gradient while its units "
        "saturate. He et al.'s and Glorot and Bengio's variances, with normal weights."
    ),
)
