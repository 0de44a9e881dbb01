"""A9: large initial weights are said to saturate units, and saturated units to stop learning."""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import networks, paired, tuned, where
from analysis.ledger.series import TRAINED, average, hidden, only, reference

NAMES = ("sigmoid", "tanh")

DEPTHS = (8, 16, 32)

SPREADS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

TRAINED_SPREADS = SPREADS[:6]

LARGE = 0.25
"""Twice what Xavier has at this width: from here on a spread counts as large."""

KEPT = 0.25

MORE = {"std": "init_std"}

BY = ("activation", "init", "depth", "std")


def judge(study: Study, data: str) -> Evidence:
    """Weigh saturation and accuracy against the spread of the initial weights."""
    start = networks(
        study,
        where(activation=NAMES, init="normal", init__std=SPREADS, depth=DEPTHS, steps=0, data=data),
        MORE,
    )
    rows = hidden(study, start, "saturated_share")
    start = start.assign(saturated=average(start, rows, "saturated_share"))
    condition = where(
        activation=NAMES, init="normal", init__std=TRAINED_SPREADS, depth=4, data=data, **TRAINED
    )
    end = tuned(study, condition, MORE, BY)
    trials = _best_spreads(study, condition)
    saturates, falls, stops, best = [], [], [], {}
    for name, depth in itertools.product(NAMES, DEPTHS):
        slopes = _slopes(only(start, activation=name, depth=depth), "saturated")
        saturates.append(outcomes.above(f"{name}, depth {depth}", slopes, 0.0))
    for name in NAMES:
        part = only(end, activation=name)
        spread = best[name] = trials[name]
        falls.append(outcomes.below(name, _slopes(part[part["std"] >= LARGE], "score"), 0.0))
        large = only(part, std=TRAINED_SPREADS[-1])
        pairs = paired(large, only(part, std=spread), "score")
        chance = float(part["chance"].iloc[0])
        left = (pairs["one"] - chance) - KEPT * (pairs["other"] - chance)
        stops.append(
            outcomes.below(f"{name}, {TRAINED_SPREADS[-1]:g} against {spread:g}", left, 0.0)
        )
    parts = (
        Part("Large weights saturate", tuple(saturates), decision.for_every(saturates),
             "share of saturated slopes for twice the spread"),
        Part("Accuracy falls with a large spread", tuple(falls), decision.for_every(falls),
             "test accuracy for twice the spread"),
        Part("In the end learning nearly stops", tuple(stops), decision.for_every(stops),
             "gain over chance beyond a quarter of the best spread's"),
    )  # fmt: skip
    saturated = start.groupby(["activation", "std"])["saturated"].mean()
    scores = end.groupby(["activation", "std"])["score"].mean()
    lost = int((end["status"] == "diverged").sum())
    said = (
        " ".join(
            f"With {name} {saturated[name, SPREADS[0]]:.0%} of slopes are saturated at a spread of "
            f"{SPREADS[0]:g} and {saturated[name, SPREADS[-1]]:.0%} at {SPREADS[-1]:g}; the best rate reaches "
            f"{scores[name, best[name]]:.1%} from {best[name]:g} and "
            f"{scores[name, TRAINED_SPREADS[-1]]:.1%} from {TRAINED_SPREADS[-1]:g}."
            for name in NAMES
        )
        + f" Of the trained networks {lost} diverged."
    )
    return Evidence(
        parts,
        pd.concat([start.assign(part="start"), end.assign(part="trained")], ignore_index=True),
        len(start) + len(end),
        said,
        functools.partial(_draw, start, end, reference(study, data, end)),
        "Left: share of hidden units' slopes below 1 % of the largest at the start, against the standard "
        "deviation of the initial weights (Xavier's would be 0.125). Right: test accuracy of networks of depth 4 "
        f"after {TRAINED['steps']} updates at each spread's best rate. Mean and 95 % Student interval over "
        f"{start['seed'].nunique()} seeds; {lost} networks diverged.",
    )


def _best_spreads(study: Study, condition: str) -> dict[str, float]:
    """Return for each activation the spread that is best for the tuning seeds, at its own best rate."""
    trials = networks(study, condition, MORE, tuning=True)
    means = trials.groupby(["activation", "std", "lr"])["validation"].mean()
    reached = means.groupby(level=[0, 1]).max()
    # the largest itself is what is compared
    others = reached[reached.index.get_level_values(1) < TRAINED_SPREADS[-1]]
    return {name: float(others.loc[name].idxmax()) for name in NAMES if name in others.index}


def _slopes(found: pd.DataFrame, column: str) -> list[float]:
    """Return least-squares slopes against log2 of the spread, one a seed."""
    return [
        # of equal numbers rounding leaves a slope
        round(float(np.polyfit(np.log2(part["std"]), part[column].astype(float), 1)[0]), 12)
        for _, part in found.groupby("seed")
        if part["std"].nunique() > 1
    ]


def _draw(start: pd.DataFrame, end: pd.DataFrame, heights: dict[str, float]) -> Figure:
    colours, markers = style.colours(NAMES), style.markers(NAMES)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""],
            ["At the start", "After training"],
            (2.9, 2.4),
            sharex=False,
            sharey=False,
            gap=0.75,
        )
        for name in NAMES:
            for depth, dashes in zip(DEPTHS, ("-", *panels.LINE_STYLES), strict=False):
                part = start[(start["activation"] == name) & (start["depth"] == depth)]
                panels.line(
                    axes[0, 0],
                    part,
                    "std",
                    "saturated",
                    colours[name],
                    markers[name],
                    linestyle=dashes,
                )
            part = end[end["activation"] == name]
            panels.line(axes[0, 1], part, "std", "score", colours[name], markers[name])
        panels.levels(axes[0, 1], heights)
        axes[0, 1].set_ylim(0, 1.08 * max(end["score"].max(), *heights.values()))
        for axis, spreads in zip(axes[0], (SPREADS, TRAINED_SPREADS), strict=True):
            axis.set_xscale("log", base=2)
            axis.set_xticks(spreads, labels=[str(Fraction(one)) for one in spreads])
            axis.minorticks_off()
            axis.set_xlabel("standard deviation of the weights")
            axis.yaxis.set_major_formatter(style.percent())
        axes[0, 0].set_ylim(-0.03, 1.03)
        axes[0, 0].set_ylabel("saturated slopes")
        axes[0, 1].set_ylabel("test accuracy")
        handles = [panels.handle(name, colours[name], markers[name]) for name in NAMES]
        handles += [
            panels.handle(f"depth {depth} (left)", panels.GREY, "", linestyle=dashes)
            for depth, dashes in zip(DEPTHS, ("-", *panels.LINE_STYLES), strict=False)
        ]
        layout.legend_above(figure, [*handles, *panels.level_handles(heights)])
    return figure


CLAIM = Claim(
    id="A9",
    sentence="Saturated units stop learning: from large initial weights it nearly stops.",
    notes=("004",),
    says=(
        "Note 004: where sigmoid is flat its gradient is near 0, the weights before that gate hardly learn, and "
        "with wrongly initialized weights there may be next to no learning from the start on; tanh dies so, too. "
        "That wrong means large is of the lecture."
    ),
    experiments=("ledger_scale", "ledger_saturation", "ledger_linear"),
    quantity=(
        "Share of hidden units' slopes below 1 % of the activation's largest, on the probe set at step 0, mean "
        f"over hidden layers; test accuracy after {TRAINED['steps']} updates at depth 4, at the rate that tuning "
        "seeds choose for each spread on the validation split of 0.03, 0.1, 0.3, 1 and 3. Trends are "
        "least-squares slopes against log2 of the standard deviation of normal weights, one number a seed."
    ),
    rule=(
        "Sigmoid and tanh, ten seeds each; one-sided t-tests at 5 %. Three parts. (1) The trend of saturation is "
        "above 0 over standard deviations 0.0625 … 8 at depth 8, 16 and 32; (2) the trend of accuracy is below "
        "0 over 0.25 … 2, from twice Xavier's on; (3) from 2 the gain over chance is below a quarter of that from the spread below 2 "
        "which is best for the tuning seeds, paired by seed. Each is supported if it holds for both activations "
        "(and every depth; intersection-union), refuted if the contrary does for some (Holm) and it holds "
        "beyond doubt for none, conditional if both occur. The claim is supported if all parts are, refuted if "
        "all are, conditional if one is or they contradict each other, else inconclusive. A network that diverged has the accuracy of chance."
    ),
    judge=judge,
    lessons={
        "supported": "Large initial weights saturate sigmoid and tanh units, and no rate makes up for it.",
        "conditional": "What is said of large weights, saturation and learning does not all hold for both "
        "activations.",
        "refuted": "Large initial weights neither saturate units nor keep a network from learning.",
    },
    limits=(
        "Saturation and accuracy are both shown against the weights: that one causes the other is not tested. "
        "Large weights also make the function of the start chaotic. Dense networks of width 64."
    ),
)  # fmt: skip
