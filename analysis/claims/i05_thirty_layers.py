"""I5: He's start is said to train a 30-layer ReLU network that Xavier's does not."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import networks, paired, tuned, where, whole
from analysis.words import joined

DEPTH = 30

STEPS = 1000

INITS = ("xavier_normal", "he_normal")

RATES = (0.003, 0.01, 0.03, 0.1, 0.3)

FIXED = 0.03
"""The middle of the rates."""

WINDOW = 20
"""Updates over which the loss of the batches is averaged."""

TARGET = 0.9
"""Of the loss of guessing, ln K: below it a network has left its plateau."""

HALF = 0.5

PARTS = {"best": "each start at its best rate", "fixed": f"both at the rate {FIXED}"}


def judge(study: Study, data: str) -> Evidence:
    """Count the networks of both starts that reach the loss, at their best rates and at a fixed one."""
    settings = {"activation": "relu", "init": INITS, "depth": DEPTH, "steps": STEPS, "data": data}
    sides = {
        "best": tuned(study, where(**settings, optim__lr=RATES)),
        "fixed": networks(study, where(**settings, optim__lr=FIXED)),
    }
    every = pd.concat(
        [_times(study, whole(one, init=INITS)).assign(rates=name) for name, one in sides.items()],
        ignore_index=True,
    )
    tests = tuple(_test(every[every["rates"] == name], text) for name, text in PARTS.items())
    verdict = decision.for_every(tests)
    said = " ".join(_told(every[every["rates"] == name], text) for name, text in PARTS.items())
    if set(every.loc[every["rates"] == "best", "lr"]) == {FIXED}:
        said += (
            f" Both starts chose the rate {FIXED:g}: the two choices are the same networks, and the second adds "
            "nothing to the first."
        )
    lost = int((every.drop_duplicates("cell")["status"] == "diverged").sum())
    return Evidence(
        (Part("", tests, verdict, "of the seeds arrive more often with He's start"),),
        every,
        every["cell"].nunique(),
        said,
        functools.partial(_figure, every),
        f"Share of {every['seed'].nunique()} seeds whose batch loss, averaged over {WINDOW} updates, has "
        f"fallen below {TARGET:g} of that of guessing, against updates; depth {DEPTH}, ReLU. A line that "
        f"stays at 0 is a start that does not train in {STEPS} updates, one that rises late a start that "
        f"only delays. {lost} networks diverged and count as never having arrived.",
    )


def _times(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return the networks with ``updates`` until the loss is reached, infinite where it never is."""
    query = (
        "SELECT cell, min(step) AS updates\nFROM (\n"
        "SELECT cell, step, avg(batch_loss) OVER recent AS loss, "
        "count(batch_loss) OVER recent AS losses\nFROM curves WHERE cell IN (SELECT unnest(?))\n"
        f"WINDOW recent AS (PARTITION BY cell ORDER BY step ROWS {WINDOW - 1} PRECEDING))\n"
        "JOIN cells USING (cell)\n"
        f"WHERE losses = {WINDOW} AND loss < {TARGET} * ln(classes)\nGROUP BY cell ORDER BY cell"
    )
    study.asked.append(query.replace("(SELECT unnest(?))", "(… the networks above …)"))
    reached = study.execute(query, [list(found["cell"])]).df().set_index("cell")["updates"]
    updates = found["cell"].map(reached).astype(float).fillna(math.inf)
    return found.assign(updates=updates.mask(found["status"] == "diverged", math.inf))


def _arrived(found: pd.DataFrame, init: str) -> np.ndarray:
    arrived: np.ndarray = np.isfinite(found[found["init"] == init]["updates"].to_numpy(dtype=float))
    return arrived


def _test(found: pd.DataFrame, label: str) -> decision.Outcome:
    """Return the test that most seeds arrive with He's start and that most do not with Xavier's."""
    he, xavier = _arrived(found, "he_normal"), _arrived(found, "xavier_normal")
    test = outcomes.both(
        label, [outcomes.share_above("", he, HALF), outcomes.share_below("", xavier, HALF)]
    )
    difference, low, high = _newcombe(he, xavier)
    return replace(test, estimate=difference, low=low, high=high, margins=())


def _newcombe(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Return the difference of two shares with its 95 % interval. Source: Newcombe 1998, method 10."""
    shares = [float(hits.mean()) for hits in (one, other)]
    ends = [
        stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
        for hits in (one, other)
    ]
    difference = shares[0] - shares[1]
    down = math.hypot(shares[0] - ends[0].low, ends[1].high - shares[1])
    up = math.hypot(ends[0].high - shares[0], shares[1] - ends[1].low)
    return difference, difference - down, difference + up


def _told(found: pd.DataFrame, label: str) -> str:
    words = []
    for init in INITS:
        part = found[found["init"] == init]
        median = np.median(part["updates"])
        when = f"after a median of {median:.0f} updates" if np.isfinite(median) else "most never"
        rate = " and ".join(f"{one:g}" for one in sorted(part["lr"].unique()))
        words.append(
            f"{int(_arrived(found, init).sum())} of {len(part)} arrive with {init} ({when}, rate {rate})"
        )
    xavier, he = (found[found["init"] == init] for init in INITS)
    pairs = paired(xavier, he, "updates")
    # of two that never arrive none is ahead
    ahead = np.nan_to_num(np.sign(pairs["difference"]))
    sooner = outcomes.more_often("", ahead)
    return (
        f"{label[0].upper()}{label[1:]}, {joined(words)}; He's is ahead in {int((ahead > 0).sum())} of "
        f"{len(ahead)} seeds, Xavier's in {int((ahead < 0).sum())} (sign test, p {sooner.p_for:.2g})."
    )


def _figure(every: pd.DataFrame) -> Figure:
    looks = panels.looks_of(INITS)
    with style.house_style():
        figure, axes = layout.panel_grid([""], list(PARTS.values()), (3.2, 2.2), left=0.75, gap=0.4)
        for axis, name in zip(axes[0], PARTS, strict=True):
            for init, (colour, _) in looks.items():
                part = every[(every["rates"] == name) & (every["init"] == init)]
                times = np.sort(part["updates"].to_numpy(dtype=float))
                times = times[np.isfinite(times)]
                heights = np.arange(1, len(times) + 1) / len(part)
                axis.step(
                    [0, *times, STEPS], [0, *heights, heights[-1] if len(times) else 0],
                    where="post", color=colour, linewidth=2.2,
                )  # fmt: skip
            axis.set_ylim(-0.03, 1.05)
            axis.set_xlim(0, STEPS)
            axis.yaxis.set_major_formatter(style.percent())
            axis.set_xlabel("updates")
        axes[0, 0].set_ylabel("seeds that have arrived")
        layout.legend_above(
            figure,
            [
                Line2D([], [], color=colour, linewidth=2.2, label=init)
                for init, (colour, _) in looks.items()
            ],
        )
    return figure


CLAIM = Claim(
    id="I5",
    sentence="He's start trains a 30-layer ReLU network that Xavier's does not.",
    notes=(),
    says=(
        "Beyond the notes, which only give the two rules: He et al. 2015, figure 3, with a convolutional "
        'network of 30 layers, of which Xavier\'s start "completely stalls the learning".'
    ),
    experiments=("ledger_thirty",),
    quantity=(
        "Updates until the loss of the training batches, averaged over the last 20, is below 0.9 ln K, that "
        "of guessing being ln K; depth 30, ReLU, censored at 1000 updates; a network that diverged never "
        "arrives."
    ),
    rule=(
        "xavier_normal and he_normal, ten seeds each, at two choices of the rate: each start at the rate of "
        "0.003, 0.01, 0.03, 0.1 and 0.3 that tuning seeds choose on the validation split, and both at 0.03, "
        "the middle one. At a choice the claim holds if more than half of the seeds arrive with He's start "
        "and fewer than half with Xavier's (exact binomial tests at 5 %, both must pass), and fails if fewer "
        "than half arrive with He's or more than half with Xavier's (p doubled). Supported if it holds at "
        "both choices (intersection-union), refuted if it fails at one (Holm) and holds at none, conditional "
        "if both occur. Who arrives sooner is shown with a sign test and decides nothing: it tells delayed "
        "from impossible where Xavier's start arrives, too."
    ),
    judge=judge,
    lessons={
        "supported": "Thirty layers of ReLU train from He's start and not from Xavier's, at its best rate "
        "either.",
        "conditional": "Whether thirty layers of ReLU train from He's start alone depends on the learning "
        "rate.",
        "refuted": "It is not so that thirty layers of ReLU train from He's start and do not from Xavier's.",
    },
    limits=(
        "Dense layers of width 64 and 1000 updates by plain SGD; the source's network is convolutional, and "
        "its training was far longer. Leaving the plateau is not the same as a good accuracy."
    ),
)
