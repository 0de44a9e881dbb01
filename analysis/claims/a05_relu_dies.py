"""A5: ReLU units are said to die easily, the more the larger the step."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import networks, where
from analysis.ledger.series import ON_ALL_SAMPLES, hidden, only

DEPTHS = (2, 4, 8)

INITS = ("he_normal", "torch_default")

RATES = (0.03, 0.1, 0.3, 1.0, 3.0)

EASILY, MOST = 0.05, 0.4


def judge(study: Study, data: str) -> Evidence:
    """Weigh the share of units that died in training against the rate."""
    condition = where(
        activation="relu", init=INITS, depth=DEPTHS, optim__lr=RATES, steps=300, data=data
    )
    found = networks(study, f"{condition} AND {ON_ALL_SAMPLES}")
    found = _with_deaths(study, found)
    trend, easily, most = [], [], []
    for init, depth in itertools.product(INITS, DEPTHS):
        part = only(found, init=init, depth=depth)
        slopes = [
            # of equal numbers rounding leaves a slope
            round(float(np.polyfit(np.log10(one["lr"]), one["died"], 1)[0]), 12)
            for _, one in part.groupby("seed")
            if one["lr"].nunique() > 1
        ]
        trend.append(outcomes.above(f"{init}, depth {depth}", slopes, 0.0))
        for rate in RATES:
            label = f"{init}, depth {depth}, rate {rate:g}"
            died = only(part, lr=rate)["died"]
            easily.append(outcomes.above(label, died, EASILY))
            most.append(outcomes.above(label, died, MOST))
    parts = (
        Part("A larger step kills more", tuple(trend), decision.for_every(trend),
             "share of units for ten times the rate"),
        Part("Units die easily", tuple(easily), decision.for_every(easily), "share of units that died"),
        Part("Up to 40 % die", tuple(most), decision.for_some(most), "share of units that died"),
    )  # fmt: skip
    means = found.groupby(["lr", "init", "depth"])["died"].mean()
    largest = means.idxmax()
    there = only(found, lr=largest[0], init=largest[1], depth=largest[2])
    gone = int((there["status"] == "diverged").sum())
    passed = [rate for rate in RATES if means[rate].max() > MOST]
    revived = float(found["revived"].sum() / max((found["revived"] + found["dead"]).sum(), 1))
    lost = int((found["status"] == "diverged").sum())
    said = (
        f"At rate {RATES[0]:g} {means[RATES[0]].min():.1%} to {means[RATES[0]].max():.1%} of the units die, at "
        f"rate {RATES[-1]:g} {means[RATES[-1]].min():.1%} to {means[RATES[-1]].max():.1%}; most, "
        f"{means.max():.1%}, with {largest[1]} at depth {largest[2]} and rate {largest[0]:g}, where {gone} of "
        f"{len(there)} networks diverged. "
        + (
            f"The mean passes 40 % at rate {passed[0]:g} first. "
            if passed
            else "No mean passes 40 %. "
        )
        + f"Of the units that were ever seen dead {revived:.1%} are alive at the end; {lost} of {len(found)} "
        "networks diverged."
    )
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(_draw, found),
        "Share of the hidden units that were alive in training and are dead on the whole training set after "
        f"300 updates, against the learning rate: mean and 95 % Student interval over "
        f"{found['seed'].nunique()} seeds. Red: networks that diverged, of which the last numbers are taken "
        f"({lost} in all).",
    )


def _with_deaths(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return networks with the share of their hidden units that died, at the last step that has numbers."""
    rows = hidden(
        study, found, "dead_units, born_dead_units, revived_units", "dead_units IS NOT NULL"
    )
    whole = rows.groupby(["cell", "step"]).agg(
        layers=("layer", "count"), units=("units", "sum"), dead=("dead_units", "sum"),
        born=("born_dead_units", "sum"), revived=("revived_units", "sum"),
    ).reset_index()  # fmt: skip
    depth = whole["cell"].map(found.set_index("cell")["depth"])
    last = whole[whole["layers"] == depth - 1].groupby("cell").last()
    last["died"] = (last["dead"] - last["born"]).astype(float) / last["units"]
    # what has no number at all, as a loss that is infinite at the start, has lost no unit that it had
    return found.join(last[["died", "dead", "revived"]], on="cell").fillna(
        {"died": 0.0, "dead": 0, "revived": 0}
    )


def _draw(found: pd.DataFrame) -> Figure:
    colours, markers = style.colours(INITS), style.markers(INITS)
    heights = {"40 % (the lecture)": MOST, "5 % (easily)": EASILY}
    with style.house_style():
        figure, axes = layout.panel_grid([""], [f"depth {depth}" for depth in DEPTHS], (2.2, 2.4))
        for depth, axis in zip(DEPTHS, axes[0], strict=True):
            part = found[found["depth"] == depth]
            for place, init in enumerate(INITS):
                own = part[part["init"] == init]
                panels.line(axis, own, "lr", "died", colours[init], markers[init])
                lost = own[own["status"] == "diverged"].groupby("lr").size()
                for rate, count in lost.items():
                    axis.text(
                        rate, 0.98 - 0.07 * place, f"{count} div.", color=style.FAULT, fontsize=7,
                        ha="right", va="top", transform=axis.get_xaxis_transform(),
                    )  # fmt: skip
            panels.levels(axis, heights)
            panels.ticks(axis, RATES, base=10)
            axis.set_xlabel("learning rate")
        axes[0, 0].set_ylim(-0.02, 1.0)
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        axes[0, 0].set_ylabel("hidden units that died")
        handles = [panels.handle(init, colours[init], markers[init]) for init in INITS]
        layout.legend_above(figure, [*handles, *panels.level_handles(heights)])
    return figure


CLAIM = Claim(
    id="A5",
    sentence="ReLU units die easily in training, the more the larger the step, up to 40 % of a network.",
    notes=("003", "004"),
    says=(
        "Note 004: ReLU is prone to die; a large gradient can update the weights to where a unit is never active "
        "again. Note 003 has it the other way: rare, but possible. The 40 % are of the lecture behind note 004."
    ),
    experiments=("ledger_dying",),
    quantity=(
        "Hidden units that are dead on the whole training set (z ≤ 0 on every sample) after 300 updates of plain "
        "SGD, less those dead at every probe step, over all hidden units; of a network that diverged, at the "
        "last probe step at which all layers have numbers. Trend: least-squares slope of this share on log10 of "
        "the rate, one number a seed."
    ),
    rule=(
        "he_normal and torch_default at depth 2, 4 and 8, rates 0.03, 0.1, 0.3, 1 and 3, ten seeds each; "
        "one-sided t-tests at 5 %. Three parts. (1) Trend: supported if the mean slope is above 0 for every "
        "start and depth (intersection-union), refuted if it is below 0 for some (Holm) and above for none, "
        "conditional if both occur. (2) Easily: the mean share exceeds 5 % for every start, depth and rate; "
        "supported, refuted and conditional likewise: where it is below 5 %, note 003 is right. (3) 40 %: "
        "supported if the mean share exceeds 40 % in some condition (Holm over all 30), refuted if it is below "
        "in every one. The claim is supported if all parts are, refuted if all are, conditional if one is or they contradict each other, else inconclusive."
    ),
    judge=judge,
    lessons={
        "supported": "ReLU units die at every rate tried, more at larger ones, and more than 40 % at some.",
        "conditional": "Of what is said of dying ReLU units not all holds at every rate, depth and start.",
        "refuted": "ReLU units do not die easily in training: rare, but possible, as note 003 has it.",
    },
    limits=(
        "Dense networks of width 64, 300 updates; a unit that is dead at a probe step may have moved between two "
        "of them, and one that is dead on the training set may be alive on others. A network that diverged soon had little "
        "time for units to die, so that its share is a lower bound."
    ),
)  # fmt: skip
