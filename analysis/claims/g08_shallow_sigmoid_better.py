"""G8: sigmoid networks of two or three layers are said to do well, and deeper ones worse."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import style
from analysis.frames import Study
from analysis.ledger import decision, drawing, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, linear_level, paired, tuned, where, whole
from analysis.ledger.series import RATES, WIDENED
from analysis.words import several, share

SHALLOW, DEEP = (2, 3), (8, 32)

STEPS = 200

WELL = 0.1
"""Accuracy above chance that counts as doing well."""

POINT = 0.01
"""Accuracy that counts as a difference."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh what shallow sigmoid networks reach, and how much less deeper ones do."""
    chosen = where(
        activation="sigmoid", init=ORDINARY, depth=[*SHALLOW, *DEEP], steps=STEPS, probe__steps=8,
        probe__samples=256, data=data, optim__lr=RATES,
    )  # fmt: skip
    found = whole(tuned(study, chosen), init=ORDINARY, depth=[*SHALLOW, *DEEP])
    well, worse = [], []
    for init in ORDINARY:
        here = found[found["init"] == init]
        shallow = here[here["depth"].isin(SHALLOW)]
        for depth in SHALLOW:
            part = here[here["depth"] == depth]
            well.append(
                outcomes.above(f"{init}, depth {depth}", part["score"] - part["chance"], WELL)
            )
        mean = shallow.groupby("seed").agg(score=("score", "mean"), cell=("cell", "first"))
        for depth in DEEP:
            pairs = paired(mean.reset_index(), here[here["depth"] == depth], "score")
            worse.append(outcomes.above(f"{init}, depth {depth}", pairs["difference"], POINT))
    parts = (
        Part("two and three layers do well", tuple(well), decision.for_every(well),
             "test accuracy above chance"),
        Part("deeper ones do worse", tuple(worse), decision.for_every(worse),
             "test accuracy of two and three layers less that of the deeper"),
    )  # fmt: skip
    linear = linear_level(study, data, STEPS)
    means = found.groupby("depth")["score"].mean()
    lost = int((found["status"] == "diverged").sum())
    beats = sum(
        part["score"].mean() > linear
        for (_, depth), part in found.groupby(["init", "depth"])
        if depth in SHALLOW
    )
    said = (
        "At its best rate sigmoid reaches, averaged over starts, "
        + ", ".join(f"{100 * means[depth]:.1f} % at depth {depth}" for depth in means.index)
        + (
            f"; {share(beats, len(well), 'shallow condition')} lie above a linear model's {100 * linear:.1f} %"
            if np.isfinite(linear)
            else ""
        )
        + "."
    )
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(draw, found, linear),
        f"Test accuracy after {STEPS} steps against depth, each condition at the rate that tuning seeds choose: "
        f"mean and 95 % Student interval over {found['seed'].nunique()} seeds; "
        f"{several(lost, 'network')} diverged and count as chance. The claim has the lines high at the left "
        "and low at the right.",
    )


def draw(found: pd.DataFrame, linear: float) -> Figure:
    """Draw accuracy against depth, a line an initializer."""
    levels = {"chance": float(found["chance"].mean())}
    if np.isfinite(linear):
        levels["linear model"] = linear
    figure = drawing.lines(
        found, "depth", "score", "test accuracy", "init", marks=levels, logx=True
    )
    [axis] = figure.axes
    panels.ticks(axis, [*SHALLOW, *DEEP])
    axis.yaxis.set_major_formatter(style.percent())
    return figure


CLAIM = Claim(
    id="G8",
    sentence="Sigmoid networks of two or three layers do well, and deeper ones worse.",
    notes=("002",),
    says="Note 002: two or three layers perform well, but too deep a network performs worse instead.",
    experiments=("ledger_training", "ledger_linear"),
    quantity=(
        "Test accuracy of sigmoid networks after 200 steps (chance where it diverged) at the rate that tuning "
        "seeds choose on the validation split of 0.01, 0.03, 0.1, 0.3, 1 and 3, by depth 2, 3, 8 and 32."
    ),
    rule=(
        "torch_default, xavier_normal, he_normal and orthogonal, ten seeds. Two parts, each supported if it "
        "holds in every condition (intersection-union at 5 %), refuted if it fails in some (Holm) and holds in "
        "none (Holm), conditional if both occur: at depth 2 and at depth 3 mean accuracy is above chance by "
        "more than 10 points (one-sided t-tests; by less stands against it); the mean over depth 2 and 3 is "
        "above that of depth 8, and that of depth 32, by more than 1 point (one-sided t-tests paired by seed; "
        "by less stands against it). The claim is supported or refuted if both parts are, else conditional, or "
        "inconclusive if a part is and nothing contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "Sigmoid networks learn with two or three layers and lose accuracy with more.",
        "conditional": "Whether shallow sigmoid networks do well and deeper ones worse depends on start and "
        "depth.",
        "refuted": "Sigmoid networks of two or three layers do not do well, nor deeper ones worse.",
    },
    limits=(
        '200 steps of plain SGD with rates up to 3: what learns slowly counts as not learnt. "Well" is 10 '
        "points above chance, not a good score; a linear model's is drawn beside."
    ),
    amendments=(
        Amendment(
            "4abdd54ff869",
            "e377206c5bf6",
            WIDENED,
        ),
    ),
)
