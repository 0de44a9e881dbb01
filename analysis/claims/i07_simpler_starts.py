"""I7: Xavier's and He's starts are said to be simpler and better than pre-training by RBMs."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.claims.i06_pretraining import DEPTHS, DRAWN, LENGTHENED, STEPS, pretrained, unlearnt
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import linear_level, measurements, paired
from analysis.words import points

TIMED = (4, 8, 16)
"""Depths at which starts are timed."""

DECADE = 1.0
"""Ten times as fast is what counts as simpler."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh drawn starts against pre-trained ones: accuracy at best rates, and the time that a start takes."""
    found = pretrained(study, data)
    times = _times(study)
    better, faster = [], []
    for init in DRAWN:
        for depth in DEPTHS:
            part = found[found["depth"] == depth]
            drawn, rbm = (part[part["init"] == one] for one in (init, "rbm"))
            gain = paired(drawn, rbm, "score")["difference"]
            better.append(outcomes.above(f"{init}, depth {depth}", gain, 0.0))
        for depth in TIMED:
            wide = times[times["depth"] == depth].pivot(
                index="repeat", columns="init", values="seconds"
            )
            decades = np.log10(wide["rbm"] / wide[init])
            test = outcomes.above(f"{init}, depth {depth}", decades, DECADE)
            faster.append(replace(test, each="round"))
    parts = (
        Part("simpler: ten times as fast to make", tuple(faster), decision.for_every(faster),
             "decades faster than pre-training"),
        Part("better: more accurate", tuple(better), decision.for_every(better),
             "test accuracy gained"),
    )  # fmt: skip
    said = (
        f"A drawn start is made {10 ** min(one.estimate for one in faster):,.0f} to "
        f"{10 ** max(one.estimate for one in faster):,.0f} times as fast as a pre-trained one, and reaches "
        f"{points(min(one.estimate for one in better))} to {points(max(one.estimate for one in better))} "
        f"points of test accuracy against it.{unlearnt(found)}"
    )
    return Evidence(
        parts,
        pd.concat([found.assign(part="training"), times.assign(part="time")], ignore_index=True),
        len(found),
        said,
        functools.partial(_figure, found, times, linear_level(study, data, STEPS)),
        "Left: time to make the start of a sigmoid network, "
        f"{times['repeat'].nunique()} rounds. Right: test accuracy after {STEPS} updates at each one's best "
        f"rate, {found['seed'].nunique()} seeds. Bars are 95 % Student intervals. "
        f"{int((found['status'] == 'diverged').sum())} networks diverged and count as guessing.",
    )


def _times(study: Study) -> pd.DataFrame:
    """Return seconds by ``init``, ``depth`` and ``repeat``.

    Raises:
        NoEvidence: a start or depth was not timed.
    """
    found = measurements(study, "start_cost")
    found = found[(found["quantity"] == "time") & (found["width"] == 64)]
    found = found[["init", "depth", "repeat", "value"]].rename(columns={"value": "seconds"})
    known = set(zip(found["init"], found["depth"], strict=True))
    if not {(init, depth) for init in ("rbm", *DRAWN) for depth in TIMED} <= known:
        raise NoEvidence("the task start_cost lacks a start or a depth")
    return found[found["init"].isin(["rbm", *DRAWN]) & found["depth"].isin(TIMED)]


def _figure(found: pd.DataFrame, times: pd.DataFrame, linear: float) -> Figure:
    looks = panels.looks_of(("rbm", *DRAWN))
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], ["making the start", "after training"], (2.9, 2.4), sharex=False, sharey=False,
            gap=0.85, left=0.75,
        )  # fmt: skip
        left, right = axes[0]
        panels.means(left, times, "depth", "seconds", "init", looks)
        left.set_yscale("log")
        left.set_xlabel("depth")
        left.set_ylabel("seconds")
        handles = panels.scores(right, found, "init", looks, linear)
        layout.legend_above(figure, [*panels.handles(looks), *handles])
    return figure


CLAIM = Claim(
    id="I7",
    sentence="Xavier's and He's starts are simpler than pre-training by RBMs, and better.",
    notes=("002",),
    says=(
        "Note 002: the RBM is rather complicated and happily not needed, since starts came that are simpler "
        "than it and perform better; it then names Xavier and He."
    ),
    experiments=("ledger_rbm", "ledger_rbm_ordinary", "ledger_linear"),
    tasks=("start_cost",),
    quantity=(
        "Seconds to make the start of a sigmoid network of 4, 8 and 16 layers, in rounds in which all starts "
        "take turns; log10 of those of pre-training (10 epochs) by those of a drawn start. Test accuracy "
        "after 200 updates at each one's best rate of 0.03, 0.1, 0.3, 1, 3 and 10 (tuning seeds, validation split), "
        "drawn less pre-trained, paired by seed."
    ),
    rule=(
        "xavier_normal and he_normal. Simpler: made more than ten times as fast, for both at depth 4, 8 and "
        "16 (one-sided t-tests on the logarithms over five rounds, at 5 %). Better: sigmoid networks of depth "
        "3 and 6, ten seeds, are more accurate than pre-trained ones (paired one-sided t-test above 0). A "
        "part is supported if all its tests pass (intersection-union), refuted if some show the contrary "
        "(below ten times; below 0; Holm) and none passes, conditional if both occur. The claim is supported "
        "if both parts are, refuted if both are refuted, else conditional, or inconclusive if a part is and "
        "none contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "A drawn start is had for next to nothing and trains to a better accuracy than a "
        "pre-trained one.",
        "conditional": "Simpler and better do not both hold of drawn starts throughout.",
        "refuted": "Drawn starts are neither simpler nor better than pre-trained ones.",
    },
    limits=(
        "Simpler is taken as faster to make, here on one thread; the machines timed are shown the grey values, "
        "those trained binary samples of them, which costs about as much. Sigmoid units for all, as RBMs need "
        "them, whereas Xavier and He are for tanh and ReLU. RBMs at scikit-learn's defaults, on samples of "
        "mnist1d and not on the binary digits of the literature; 200 updates at rates up to 10: a depth "
        "at which no start trains in that time tells nothing of which is better."
    ),
    amendments=(Amendment("097059d7de24", "21e00187492d", LENGTHENED),),
)
