"""A3: ReLU is said to converge faster than sigmoid, and by the lecture six times as fast as tanh."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, paired, tuned, where
from analysis.ledger.series import (
    ENOUGH,
    LISTED,
    SPAN,
    TARGETS,
    TRAINED,
    arrivals,
    common_target,
    losses,
    only,
    span,
)

DEPTHS = (2, 3)

RIVALS = ("sigmoid", "tanh")

ALEXNET = 6.0


def judge(study: Study, data: str) -> Evidence:
    """Weigh how many times as many updates a rival of ReLU takes to a loss, each at its best rate."""
    found = tuned(
        study,
        where(activation=["relu", *RIVALS], init=ORDINARY, depth=DEPTHS, data=data, **TRAINED),
    )
    smooth = losses(study, found)
    timed = arrivals(found, smooth)
    tests: dict[str, list[decision.Outcome]] = {rival: [] for rival in RIVALS}
    tables, targets = [], {}
    for rival, depth in itertools.product(RIVALS, DEPTHS):
        relu, other = (only(timed, activation=one, depth=depth) for one in ("relu", rival))
        target = targets[rival, depth] = common_target(pd.concat([relu, other]))
        for init in ORDINARY:
            pairs = paired(only(other, init=init), only(relu, init=init), f"to_{target}").rename(
                columns={"one": "updates_rival", "other": "updates_relu"}
            )
            with np.errstate(invalid="ignore"):
                ratio = pairs["updates_rival"] / pairs["updates_relu"]
            tables.append(
                pairs.assign(rival=rival, depth=depth, init=init, target=target, ratio=ratio)
            )
            tests[rival].append(
                outcomes.median_above(f"{init}, depth {depth}, to {target:g} nats", ratio, 1.0)
            )
    table = pd.concat(tables, ignore_index=True).drop(columns="difference")
    parts = tuple(
        Part(f"Faster than {rival}", tuple(tests[rival]), decision.for_every(tests[rival]),
             f"updates of {rival} over ReLU's, median")
        for rival in RIVALS
    )  # fmt: skip
    said = " ".join(_sentence(rival, tests[rival], table) for rival in RIVALS)
    lost = int((found["status"] == "diverged").sum())
    by = ["activation", "init", "depth", "step"]
    means = smooth.merge(found, on="cell").groupby(by, as_index=False)["loss"].mean()
    return Evidence(
        parts,
        table,
        len(found),
        f"{said} {lost} networks diverged at their best rate.",
        functools.partial(_draw, means, targets),
        f"Training loss, a mean over {SPAN} successive batches, at each condition's best rate: the mean over "
        f"{found['seed'].nunique()} seeds, a line an initializer. Grey: the losses to which updates are "
        f"counted; {lost} networks diverged.",
    )


def _sentence(rival: str, tests: list[decision.Outcome], table: pd.DataFrame) -> str:
    part = table[table["rival"] == rival]
    never = [int(np.isinf(part[f"updates_{one}"]).sum()) for one in ("rival", "relu")]
    ratios = [test.estimate for test in tests if not math.isnan(test.estimate)] or [math.nan]
    holds = sum(test.low <= ALEXNET <= test.high for test in tests)
    return (
        f"{rival.capitalize()} takes {span(_times(min(ratios)), _times(max(ratios)))} times ReLU's updates to "
        f"the same loss (medians), and AlexNet's {ALEXNET:g} lies in the interval of {holds} of {len(tests)} "
        f"conditions; of {len(part)} times each {rival} never arrives {never[0]}, ReLU {never[1]}."
    )


def _times(ratio: float) -> str:
    if math.isnan(ratio):
        return "an unknown number of"
    return "∞" if math.isinf(ratio) else f"{ratio:.2g}"


def _draw(means: pd.DataFrame, targets: dict[tuple[str, int], float]) -> Figure:
    names = ["relu", *RIVALS]
    colours = style.colours(names)
    with style.house_style():
        figure, axes = layout.panel_grid([""], [f"depth {depth}" for depth in DEPTHS], (3.0, 2.5))
        for depth, axis in zip(DEPTHS, axes[0], strict=True):
            for name, init in itertools.product(names, ORDINARY):
                part = means[
                    (means["activation"] == name)
                    & (means["init"] == init)
                    & (means["depth"] == depth)
                ]
                axis.plot(
                    part["step"], part["loss"], color=colours[name], linewidth=1.2, alpha=0.85
                )
            for target in {targets[rival, depth] for rival in RIVALS}:
                axis.axhline(target, color=panels.GREY, linewidth=0.9, linestyle=":")
            axis.set_xlabel("updates")
        axes[0, 0].set_ylabel("training loss (nats)")
        handles = [panels.handle(name, colours[name], "") for name in names]
        layout.legend_above(figure, [*handles, *panels.level_handles({"target": 0.0})])
    return figure


CLAIM = Claim(
    id="A3",
    sentence="ReLU converges faster than sigmoid, and than tanh.",
    notes=("003", "004"),
    says=(
        "Note 004 shows AlexNet's figure and takes its dashed line for sigmoid; in the paper it is tanh, which a "
        "convolutional network of four layers with ReLU outruns six times (25 % training error). Note 003: ReLU "
        "converges fast as its slope is 1, where sigmoid and tanh slow down."
    ),
    experiments=("ledger_training",),
    quantity=(
        f"Updates until the batch loss, a mean over {SPAN} successive updates, is down to a target: the lowest "
        f"of {', '.join(f'{one:g}' for one in TARGETS)} nats that at least {ENOUGH:.0%} of the networks of both "
        "activations at that depth reach (one target for all initializers; the highest if there is none). Rival's updates over ReLU's, "
        f"paired by seed; infinite if the rival never arrives in {TRAINED['steps']} updates or diverges, 0 if "
        "ReLU does, and counted for neither if both do. Each at the rate that tuning seeds choose on the "
        "validation split."
    ),
    rule=(
        "Two parts, sigmoid and tanh, each over torch_default, xavier_normal, he_normal and orthogonal at depth "
        "2 and 3, ten seeds each. Supported if the median ratio is above 1 in every condition (one-sided sign "
        "tests at 5 %, intersection-union); refuted if it is below 1 in some (Holm over the part) and above in "
        "none; conditional if both occur. The claim is supported if both parts are, refuted if both are, "
        "conditional if one is or they contradict each other, else inconclusive. That the ratio is 6 is not part of the verdict: it is told where the 95 % "
        "interval of the median holds 6."
    ),
    judge=judge,
    lessons={
        "supported": "At its best rate ReLU needs fewer updates than sigmoid and tanh to the same training loss.",
        "conditional": "Whether ReLU needs fewer updates depends on the rival, the start or the depth.",
        "refuted": "ReLU does not need fewer updates to the same training loss than sigmoid or tanh.",
    },
    limits=(
        f"Dense networks of width 64 and {TRAINED['steps']} updates, a training loss for AlexNet's training "
        "error; rates are chosen by validation accuracy, not by speed; updates are counted from the middle of "
        f"the first {SPAN} that are down to the target, so that ratios near the start come out nearer to 1. {LISTED}"
    ),
)  # fmt: skip
