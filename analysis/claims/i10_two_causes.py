"""I10: the wrong non-linearity and a stupid start are said to have been the causes (Hinton)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import ORDINARY, linear_level, tuned, where, whole
from analysis.ledger.series import WIDENED
from analysis.words import joined, signed

DEPTHS = (8, 32)

ACTIVATIONS = ("sigmoid", "tanh", "relu")

STEPS = 200

PROBED = 8
"""Probe steps of the experiment: others train some of the same networks and measure them elsewhere."""

RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

TENTH = 0.1
"""Share of the variance from which a factor counts as a cause."""

CAUSES = ("activation", "start")


def judge(study: Study, data: str) -> Evidence:
    """Divide the variance of accuracy between activation, start, their interaction and the seeds."""
    chosen = where(
        activation=ACTIVATIONS, init=ORDINARY, depth=DEPTHS, steps=STEPS, probe__steps=PROBED,
        data=data, optim__lr=RATES,
    )  # fmt: skip
    found = whole(tuned(study, chosen), activation=ACTIVATIONS, init=ORDINARY, depth=DEPTHS)
    tables = {depth: _factorial(found[found["depth"] == depth]) for depth in DEPTHS}
    tests = {
        effect: [
            outcomes.above(
                f"depth {depth}",
                outcomes.pseudo_values(functools.partial(_total, at), scores),
                TENTH,
            )
            for depth, scores in tables.items()
        ]
        for at, effect in enumerate(CAUSES)
    }
    unit = "of the variance of test accuracy"
    parts = (
        Part("the non-linearity is a cause", tuple(tests["activation"]),
             decision.for_every(tests["activation"]), unit),
        Part("the start is a cause", tuple(tests["start"]), decision.for_every(tests["start"]), unit),
    )  # fmt: skip
    told = {depth: shares(scores) for depth, scores in tables.items()}
    said = " ".join(
        f"At depth {depth} the activation accounts for {signed(100 * one[0], digits=0)} % of the variance "
        f"of test accuracy, the start for {signed(100 * one[1], digits=0)} %, their interaction for "
        f"{signed(100 * one[2], digits=0)} %."
        for depth, one in told.items()
    )
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(_figure, found, tests, told, linear_level(study, data, STEPS)),
        "Left: shares of the variance of test accuracy over activations, starts and seeds (two-way analysis "
        "of variance, seeds as blocks): what each accounts for alone and, light, in interaction, with the 95 % "
        "interval of both; the dashed line is what counts as a cause. Right: the accuracies, at "
        f"each condition's best rate after {STEPS} updates, {found['seed'].nunique()} seeds with means and "
        f"95 % Student intervals, {joined([f'depth {depth}' for depth in DEPTHS])}. "
        f"{int((found['status'] == 'diverged').sum())} networks diverged and count as guessing.",
    )


def _factorial(found: pd.DataFrame) -> np.ndarray:
    """Return accuracies ``[seed, activation, start]`` of the seeds that have all of them.

    Raises:
        NoEvidence: fewer than two seeds do.
    """
    columns = pd.MultiIndex.from_product([ACTIVATIONS, ORDINARY])
    wide = found.pivot(index="seed", columns=["activation", "init"], values="score")
    wide = wide.reindex(columns=columns).dropna()
    if len(wide) < 2:
        raise NoEvidence("fewer than two seeds have every activation and start")
    return wide.to_numpy().reshape(len(wide), len(ACTIVATIONS), len(ORDINARY))


def shares(scores: np.ndarray) -> tuple[float, float, float]:
    """Return what two factors and their interaction account for of a variance, without bias: ω².

    Source: Hays 1963, Statistics for Psychologists, ω² of a fixed effect. Seeds are blocks: what they
    differ by as a whole is no variance here.

    Args:
        scores: ``[block, level of the first factor, level of the second]``.

    Returns:
        Shares of the first factor, of the second and of the interaction, of the variance within blocks; all
        0 where nothing varies. They may come out below 0.
    """
    blocks, first, second = scores.shape
    within = scores - scores.mean(axis=(1, 2), keepdims=True)
    cells = within.mean(axis=0)
    one, other = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    squares = np.array(
        [
            blocks * second * float((one**2).sum()),
            blocks * first * float((other**2).sum()),
            blocks * float(((cells - one - other) ** 2).sum()),
        ]
    )
    rest = float(((within - cells) ** 2).sum())
    degrees = np.array([first - 1, second - 1, (first - 1) * (second - 1)])
    error = rest / ((blocks - 1) * (first * second - 1))
    total = float(squares.sum()) + rest + error
    if total <= 1e-20:
        return 0.0, 0.0, 0.0
    found = (squares - degrees * error) / total
    return float(found[0]), float(found[1]), float(found[2])


def _total(cause: int, scores: np.ndarray) -> float:
    """Return what a factor accounts for, alone and in interaction: Sobol's total index."""
    found = shares(scores)
    return found[cause] + found[2]


def _figure(
    found: pd.DataFrame,
    tests: Mapping[str, Sequence[decision.Outcome]],
    told: Mapping[int, tuple[float, float, float]],
    linear: float,
) -> Figure:
    looks = panels.looks_of(ORDINARY)
    greys = {"activation": "#222222", "start": "#777777", "both together": "#C8C8C8"}
    with style.house_style():
        titles = ["shares of variance", *(f"depth {depth}" for depth in DEPTHS)]
        figure, axes = layout.panel_grid(
            [""], titles, (2.6, 2.6), sharex=False, sharey=False, gap=0.7, left=0.7
        )
        left = axes[0, 0]
        for number, cause in enumerate(CAUSES):
            for place, (test, parts) in enumerate(zip(tests[cause], told.values(), strict=True)):
                at = place + 0.34 * (number - 0.5)
                alone, together = max(parts[number], 0.0), max(parts[2], 0.0)
                left.bar(at, alone, 0.3, color=greys[cause])
                left.bar(at, together, 0.3, bottom=alone, color=greys["both together"])
                left.plot([at, at], [test.low, test.high], color="#D55E00", linewidth=1.6)
        left.axhline(TENTH, color="black", linestyle="--", linewidth=0.9)
        left.axhline(0.0, color="black", linewidth=0.8)
        left.set_xticks(range(len(DEPTHS)), labels=[f"depth {depth}" for depth in DEPTHS])
        left.grid(False, axis="x")
        left.yaxis.set_major_formatter(style.percent())
        handles = []
        low, high = found["score"].min(), found["score"].max()
        for axis, depth in zip(axes[0, 1:], DEPTHS, strict=True):
            part = found[found["depth"] == depth]
            part = part.assign(place=part["activation"].map(ACTIVATIONS.index))
            panels.means(axis, part, "place", "score", "init", looks)
            axis.set_xticks(range(len(ACTIVATIONS)), labels=list(ACTIVATIONS))
            handles = panels.levels(
                axis, {"chance": found["chance"].iloc[0], "linear model": linear}
            )
            axis.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
            axis.yaxis.set_major_formatter(style.percent())
        axes[0, 1].set_ylabel("test accuracy")
        patches = [Patch(color=colour, label=name) for name, colour in greys.items()]
        layout.legend_above(figure, [*patches, *panels.handles(looks), *handles])
    return figure


CLAIM = Claim(
    id="I10",
    sentence="The wrong non-linearity and a stupid start were why deep networks failed (Hinton).",
    notes=("002",),
    says=(
        "Note 002 quotes Hinton: the wrong type of non-linearity (the sigmoid) was used, and the weights were "
        "initialized in a stupid way; also labelled data too few by thousands and computers too slow by "
        "millions."
    ),
    experiments=("ledger_training", "ledger_linear"),
    quantity=(
        "Test accuracy after 200 updates, at the rate of 0.01, 0.03, 0.1, 0.3, 1 and 3 that tuning seeds choose "
        "on the validation split, for every activation and start: shares of its variance (ω² of a two-way "
        "analysis of variance with seeds as blocks) that activation, start and their interaction account "
        "for; of a factor its own share and that of the interaction together (Sobol's total index)."
    ),
    rule=(
        "Sigmoid, tanh and ReLU, each from torch_default, xavier_normal, he_normal and orthogonal, at depth 8 "
        "and 32, ten seeds. Two parts: the activation, and the start, accounts for more than a tenth of the "
        "variance, alone and in interaction with the other, at both depths (one-sided t-tests at 5 % on the "
        "jackknife's pseudo-values over seeds; against it, for less than a tenth). A part is supported if it "
        "passes at both depths (intersection-union), refuted if it fails at one (Holm) and passes at none, "
        "conditional if both occur. The claim is supported if both parts are, refuted if both are refuted, "
        "else conditional, or inconclusive if a part is and none contradicts. Alone and in interaction are "
        "shown apart, which decides nothing: where the interaction is large, neither cause can be told "
        "without the other."
    ),
    judge=judge,
    lessons={
        "supported": "Activation and start each account for more than a tenth of how the accuracy of deep networks varies, "
        "at both depths.",
        "conditional": "Activation and start do not both account for more than a tenth of how the accuracy of deep "
        "networks varies, at every depth.",
        "refuted": "Neither the activation nor the start accounts for more than a tenth of how the accuracy of "
        "deep networks varies, at every depth.",
    },
    limits=(
        "Shares depend on which levels are compared: these starts are ordinary ones of today, of which "
        "torch_default has the variance of the old heuristic that Glorot and Bengio 2010 found wanting; with "
        "a more stupid one the start's share would be larger. Data and speed, Hinton's other two causes, do "
        "not vary here. At best rates, dense layers, 200 updates."
    ),
    amendments=(
        Amendment(
            "26fcfa5b519f",
            "87931a9de288",
            WIDENED,
        ),
    ),
)
