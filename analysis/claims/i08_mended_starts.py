"""I8: LSUV and batch normalization are said to mend the start, too."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import (
    CONDITION,
    layers,
    linear_level,
    paired,
    tuned,
    ways,
    where,
    whole,
)
from analysis.ledger.series import WIDENED
from analysis.words import joined, points

DEPTHS = (8, 32)

STEPS = 200

PROBED = 8
"""Probe steps of the experiments: others train some of the same networks and measure them elsewhere."""

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

DECADE = 1.0

POINT = 0.01

STARTS = {
    ("lsuv", "none"): "LSUV",
    ("xavier_normal", "batch"): "batch norm, Xavier",
    ("he_normal", "batch"): "batch norm, He",
    ("xavier_normal", "layer"): "layer norm, Xavier",
    ("he_normal", "layer"): "layer norm, He",
    ("xavier_normal", "none"): "Xavier",
    ("he_normal", "none"): "He",
}
"""Initializer and normalization, by what they are called here."""

MENDED = ("LSUV", "batch norm, Xavier", "batch norm, He")
"""What the note names."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh the gradient at the start, and what is learnt at best rates beside He's start."""
    settings = {
        "activation": "relu", "depth": DEPTHS, "steps": STEPS, "probe__steps": PROBED, "data": data,
        "optim__lr": RATES,
    }  # fmt: skip
    more = {"normalized": "coalesce(norm, 'none')"}
    sides = [
        where(**settings, init="lsuv"),
        where(**settings, init=["xavier_normal", "he_normal"], norm=["none", "batch", "layer"]),
    ]
    found = pd.concat(
        [tuned(study, one, more, (*CONDITION, "normalized")) for one in sides], ignore_index=True
    )
    names = [STARTS[key] for key in zip(found["init"], found["normalized"], strict=True)]
    found = ways(study, found.assign(start=names))
    whole(found, start=(*MENDED, "He"), depth=DEPTHS)
    kept, learnt, equal = [], [], []
    for start in MENDED:
        for depth in DEPTHS:
            part = found[found["depth"] == depth]
            own, he = (part[part["start"] == one] for one in (start, "He"))
            label = f"{start}, depth {depth}"
            kept.append(outcomes.within_ranked(label, own["ratio"], -DECADE, DECADE))
            learnt.append(outcomes.above(label, own["score"] - own["chance"], POINT))
            equal.append(outcomes.above(label, paired(own, he, "score")["difference"], -POINT))
    parts = (
        Part("keeps the gradient within a factor of ten", tuple(kept), decision.for_every(kept),
             "log10 of the gradient, first over last hidden layer"),
        Part("learns", tuple(learnt), decision.for_every(learnt), "test accuracy above chance"),
        Part("as well as He's start", tuple(equal), decision.for_every(equal),
             "test accuracy gained"),
    )  # fmt: skip
    growth = 10 ** found[found["start"].isin(MENDED)].groupby(["start", "depth"])["slope"].mean()
    told = [f"{growth[start, DEPTHS[-1]]:.2f} with {start}" for start in MENDED]
    said = (
        f"At depth {DEPTHS[-1]} the signal gradient changes towards the input by a factor a layer of "
        f"{joined(told)}. Against He's start test accuracy differs by "
        f"{points(min(one.estimate for one in equal))} to {points(max(one.estimate for one in equal))} points."
    )
    profile = _profile(study, found)
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(_figure, found, profile, linear_level(study, data, STEPS)),
        f"ReLU. Left: signal gradient of every layer by that of the last hidden one at depth {DEPTHS[-1]}, "
        f"mean of the logarithms over {found['seed'].nunique()} seeds; the band is a factor of ten either "
        f"way. Right: test accuracy after {STEPS} updates at each one's best rate, with 95 % Student "
        "intervals. Solid: as drawn; dashed: batch normalization; dotted: layer normalization. "
        f"{int((found['status'] == 'diverged').sum())} networks diverged and count as guessing.",
    )


def _profile(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return by start and layer of the deepest networks the mean decades above the last hidden layer."""
    deep = found[found["depth"] == DEPTHS[-1]]
    rows = layers(study, deep["cell"], "signal_grad_rms", "step = 0")
    rows = rows[rows["layer"] < DEPTHS[-1]].merge(deep[["cell", "start"]], on="cell")
    last = rows[rows["layer"] == DEPTHS[-1] - 1].set_index("cell")["signal_grad_rms"]
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.log10(rows["signal_grad_rms"] / rows["cell"].map(last))
    rows = rows.assign(decades=decades)
    return rows[np.isfinite(decades)].groupby(["start", "layer"])["decades"].mean().reset_index()


def _looks() -> dict[str, tuple[str, str, Any]]:
    """Return colour, marker and line style of each start."""
    inits = style.colours(sorted({init for init, _ in STARTS}))
    dashes = {"none": ("-", "o"), "batch": ("--", "s"), "layer": (":", "^")}
    return {
        name: (inits[init], dashes[norm][1], dashes[norm][0])
        for (init, norm), name in STARTS.items()
    }


def _figure(found: pd.DataFrame, profile: pd.DataFrame, linear: float) -> Figure:
    present = set(found["start"])
    looks = {name: look for name, look in _looks().items() if name in present}
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], ["gradient at the start", "after training"], (3.2, 2.9), sharex=False, sharey=False,
            gap=0.85, left=0.75,
        )  # fmt: skip
        left, right = axes[0]
        left.axhspan(-DECADE, DECADE, color="#1B7837", alpha=0.15, linewidth=0)
        for name, (colour, _, dashes) in looks.items():
            part = profile[profile["start"] == name]
            left.plot(part["layer"], part["decades"], color=colour, linestyle=dashes, linewidth=1.9)
        layout.layer_ticks(left, DEPTHS[-1] - 1)
        left.set_xlabel(f"layer of {DEPTHS[-1]}")
        left.set_ylabel("log10 of the gradient, by the last")
        marks = {name: look[:2] for name, look in looks.items()}
        handles = panels.scores(right, found, "start", marks, linear)
        layout.legend_above(
            figure,
            [
                *(
                    panels.handle(name, colour, marker, linestyle=dashes, markersize=5)
                    for name, (colour, marker, dashes) in looks.items()
                ),
                *handles,
            ],
        )
    return figure


CLAIM = Claim(
    id="I8",
    sentence="Layer-sequential unit variance (LSUV) and batch normalization mend the start as well.",
    notes=("002",),
    says=(
        "Note 002: there is no perfect theory of starts yet and research goes on; it names batch "
        "normalization and LSUV."
    ),
    experiments=("ledger_lsuv", "ledger_norm", "ledger_linear"),
    quantity=(
        "ReLU at depth 8 and 32: log10 of the signal gradient in the first over the last hidden layer at step "
        "0; test accuracy after 200 updates, at the rate of 0.01, 0.03, 0.1, 0.3, 1 and 3 that tuning seeds "
        "choose on the validation split, less chance, and less that of he_normal without normalization, "
        "paired by seed."
    ),
    rule=(
        "LSUV, and batch normalization from xavier_normal and from he_normal, at depth 8 and 32, ten seeds "
        "each: six conditions. Three parts. The gradient stays within one decade (two one-sided t-tests "
        "against ±1; where one is exactly 0 or infinite, sign tests on the median). It learns: mean accuracy "
        "is above chance by more than one point (one-sided t-test). As well as He's start: less than one "
        "point below it (paired one-sided t-test of the difference above −1 point). Each part at 5 %: "
        "supported if all six pass (intersection-union), refuted if some show the contrary (Holm) and none "
        "passes, conditional if both occur. The claim is supported if all three parts are, refuted if all are "
        "refuted, else conditional, or inconclusive if a part is and none contradicts. Layer normalization, "
        "which the note does not name, and Xavier's start alone are shown and decide nothing."
    ),
    judge=judge,
    lessons={
        "supported": "LSUV and batch normalization keep ReLU's gradient and train as well as He's start.",
        "conditional": "What LSUV and batch normalization do for the gradient at the start and for training "
        "is not the same, or not at every depth.",
        "refuted": "Neither LSUV nor batch normalization mends the start of ReLU networks.",
    },
    limits=(
        "ReLU, dense layers of width 64, plain SGD; normalization between affine map and activation. Batch "
        "normalization also acts in training, which the accuracy does not tell apart from the start."
    ),
    amendments=(
        Amendment(
            "3e704b5c0164",
            "10508e65f54e",
            WIDENED,
        ),
    ),
)
