"""A13: ReLU in the hidden layers is said to raise accuracy over sigmoid."""

from __future__ import annotations

import functools
import itertools

import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, paired, tuned, where
from analysis.ledger.series import TRAINED, WIDENED, only, reference
from analysis.words import points

DEPTHS = (2, 3, 8, 32)

POINT = 0.01


def judge(study: Study, data: str) -> Evidence:
    """Weigh the accuracy of ReLU against sigmoid, each at its best rate."""
    found = tuned(
        study,
        where(activation=["relu", "sigmoid"], init=ORDINARY, depth=DEPTHS, data=data, **TRAINED),
    )
    tests = []
    for init, depth in itertools.product(ORDINARY, DEPTHS):
        relu, sigmoid = (
            only(found, activation=one, init=init, depth=depth) for one in ("relu", "sigmoid")
        )
        gains = paired(relu, sigmoid, "score")["difference"]
        tests.append(outcomes.above(f"{init}, depth {depth}", gains, POINT))
    by_depth = {
        depth: [one.estimate for one in tests if one.label.endswith(f"depth {depth}")]
        for depth in DEPTHS
    }
    lost = found[found["status"] == "diverged"].groupby("activation").size()
    said = (
        "ReLU's mean gain over sigmoid in points of test accuracy, over four starts: "
        + "; ".join(
            f"{points(min(gains))} to {points(max(gains))} at depth {depth}"
            for depth, gains in by_depth.items()
        )
        + f". At the best rates {lost.get('relu', 0)} networks with ReLU and {lost.get('sigmoid', 0)} with "
        "sigmoid diverged."
    )
    return Evidence(
        (
            Part(
                "", tuple(tests), decision.for_every(tests), "test accuracy, ReLU's less sigmoid's"
            ),
        ),
        found,
        len(found),
        said,
        functools.partial(_draw, found, reference(study, data, found)),
        f"Test accuracy after {TRAINED['steps']} updates against depth, each condition at its best rate: mean "
        f"and 95 % Student interval over {found['seed'].nunique()} seeds, a panel an initializer. Networks that "
        "diverged are at chance.",
    )


def _draw(found: pd.DataFrame, heights: dict[str, float]) -> Figure:
    names = ("sigmoid", "relu")
    colours, markers = style.colours(names), style.markers(names)
    with style.house_style():
        figure, axes = layout.panel_grid([""], list(ORDINARY), (1.8, 2.2))
        for init, axis in zip(ORDINARY, axes[0], strict=True):
            for name in names:
                part = only(found, activation=name, init=init)
                panels.line(axis, part, "depth", "score", colours[name], markers[name])
            panels.levels(axis, heights)
            panels.ticks(axis, DEPTHS)
            axis.set_xlabel("depth")
        axes[0, 0].set_ylim(0, 1.08 * max(found["score"].max(), *heights.values()))
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        axes[0, 0].set_ylabel("test accuracy")
        handles = [panels.handle(name, colours[name], markers[name]) for name in names]
        layout.legend_above(figure, [*handles, *panels.level_handles(heights)])
    return figure


CLAIM = Claim(
    id="A13",
    sentence="ReLU in the hidden layers raises accuracy over sigmoid.",
    notes=("002",),
    says=(
        "Note 002: ReLU in the hidden layers and sigmoid only in the output layer raises accuracy very much over "
        "sigmoid everywhere."
    ),
    experiments=("ledger_training", "ledger_linear"),
    quantity=(
        f"Test accuracy after {TRAINED['steps']} updates with ReLU less that with sigmoid in the hidden layers, "
        "paired by seed, each at the rate that tuning seeds choose on the validation split of 0.01, 0.03, 0.1, "
        "0.3, 1 and 3; a network that diverged has chance."
    ),
    rule=(
        "torch_default, xavier_normal, he_normal and orthogonal at depth 2, 3, 8 and 32, ten seeds each. "
        "Supported if the mean gain exceeds 1 point in every condition (one-sided t-tests at 5 %, "
        "intersection-union); refuted if it is below 1 point in some (Holm over all) and above in none; "
        "conditional, with its depths and starts, if both occur."
    ),
    judge=judge,
    lessons={
        "supported": "ReLU in the hidden layers is worth more than a point at every depth and start.",
        "conditional": "What ReLU is worth over sigmoid depends on depth and start.",
        "refuted": "ReLU in the hidden layers is not worth a point over sigmoid.",
    },
    limits=(
        "The output is the same for both, a softmax with cross-entropy, where the note has one sigmoid unit for "
        f"two classes. Dense networks of width 64, {TRAINED['steps']} updates."
    ),
    amendments=(
        Amendment(
            "1679f7a6e73a",
            "2fcd2cca8d90",
            WIDENED,
        ),
    ),
)  # fmt: skip
