"""A6: leaky and parametric ReLU are said to mend dying and vanishing, yet not always to be better."""

from __future__ import annotations

import functools
import itertools

import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import networks, paired, tuned, ways, where
from analysis.ledger.series import TRAINED, WIDENED, only, reference
from analysis.words import points, signed

DEPTHS = (2, 8, 32)

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Over which accuracy is averaged; the best one is sought beyond them, too."""

POINT = 0.01

NOTHING = -20.0
"""Decades that stand for a gradient of 0."""

KINDS = ("leaky_relu 0.01", "leaky_relu 0.25", "prelu")

MORE = {"leak": "coalesce(CAST(settings->>'$.activation.negative_slope' AS DOUBLE), -1)"}

BY = ("activation", "leak", "init", "depth")


def judge(study: Study, data: str) -> Evidence:
    """Weigh leaks against ReLU: the gradient at the start, all rates together, and the best rate."""
    usual = {"init": "he_normal", "depth": DEPTHS, "data": data, **TRAINED}
    condition = (
        f"(({where(activation=['relu', 'prelu'], **usual)}) OR "
        f"({where(activation='leaky_relu', activation__negative_slope=[0.01, 0.25], **usual)}))"
    )
    best = _named(ways(study, tuned(study, condition, MORE, BY)))
    best["ratio"] = best["ratio"].fillna(NOTHING).clip(lower=NOTHING)
    every = _named(networks(study, condition, MORE))
    over_rates = (
        every[every["lr"].isin(RATES)]
        .groupby(["kind", "depth", "seed"], as_index=False)
        .agg(score=("score", "mean"), cell=("cell", "first"))
    )
    gradient, rates, better = [], [], []
    for kind, depth in itertools.product(KINDS, DEPTHS):
        label = f"{kind}, depth {depth}"
        if depth > 2:
            gradient.append(outcomes.above(label, _less_relu(best, kind, depth, "ratio"), 0.0))
        rates.append(outcomes.above(label, _less_relu(over_rates, kind, depth, "score"), 0.0))
        better.append(outcomes.below(label, _less_relu(best, kind, depth, "score"), POINT))
    parts = (
        Part("Mends vanishing", tuple(gradient), decision.for_every(gradient),
             "decades of the gradient kept more than by ReLU"),
        Part("Mends dying: learns at more rates", tuple(rates), decision.for_every(rates),
             "accuracy over five rates, less ReLU's"),
        Part("Yet is not always better", tuple(better), decision.for_some(better),
             "accuracy at the best rate, less ReLU's"),
    )  # fmt: skip
    kept, gained, ahead = ([test.estimate for test in part.tests] for part in parts)
    lost = int((every["status"] == "diverged").sum())
    said = (
        f"A leak keeps {signed(min(kept), '+', 2)} to {signed(max(kept), '+', 2)} decades of the gradient more "
        f"than ReLU. Over the five rates up to 1 it gains {points(min(gained))} to {points(max(gained))} points, at the best "
        f"rates {points(min(ahead))} to {points(max(ahead))}; {lost} of {len(every)} networks diverged."
    )
    return Evidence(
        parts,
        pd.concat(
            [best.assign(part="best rate"), every.assign(part="all rates")], ignore_index=True
        ),
        len(every),
        said,
        functools.partial(_draw, best, every, reference(study, data, best)),
        f"Test accuracy after {TRAINED['steps']} updates against the learning rate, networks that "
        "diverged at chance, and the gradient that reaches the first hidden layer, over that at the last one, "
        f"against depth (right): mean and 95 % Student interval over {best['seed'].nunique()} seeds; "
        "he_normal.",
    )


def _named(found: pd.DataFrame) -> pd.DataFrame:
    leaky = found["activation"] == "leaky_relu"
    names = "leaky_relu " + found["leak"].map("{:g}".format)
    return found.assign(kind=found["activation"].mask(leaky, names))


def _less_relu(found: pd.DataFrame, kind: str, depth: int, column: str) -> pd.Series:
    ours, relu = (only(found, kind=one, depth=depth) for one in (kind, "relu"))
    return paired(ours, relu, column)["difference"]


def _draw(best: pd.DataFrame, every: pd.DataFrame, levels: dict[str, float]) -> Figure:
    kinds = ["relu", *KINDS]
    colours, markers = style.colours(kinds), style.markers(kinds)
    with style.house_style():
        names = [*(f"depth {depth}" for depth in DEPTHS), "gradient kept"]
        figure, axes = layout.panel_grid(
            [""], names, (2.0, 2.3), sharex=False, sharey=False, gap=0.6
        )
        for depth, axis in zip(DEPTHS, axes[0], strict=False):
            for kind in kinds:
                part = every[(every["kind"] == kind) & (every["depth"] == depth)]
                panels.line(axis, part, "lr", "score", colours[kind], markers[kind])
            panels.levels(axis, levels)
            axis.set_ylim(0, 1.05 * max(every["score"].max(), *levels.values()))
            panels.ticks(axis, sorted(every["lr"].unique())[::2], base=10)
            axis.set_xlabel("learning rate")
            axis.yaxis.set_major_formatter(style.percent())
        for kind in kinds:
            part = best[(best["kind"] == kind) & (best["depth"] > 2)]
            panels.line(axes[0, 3], part, "depth", "ratio", colours[kind], markers[kind])
        axes[0, 3].set_xticks(DEPTHS[1:])
        axes[0, 3].set_xlabel("depth")
        axes[0, 3].set_ylabel("log10 of first over last layer")
        axes[0, 0].set_ylabel("test accuracy")
        handles = [panels.handle(kind, colours[kind], markers[kind]) for kind in kinds]
        layout.legend_above(figure, [*handles, *panels.level_handles(levels)])
    return figure


CLAIM = Claim(
    id="A6",
    sentence="Leaky and parametric ReLU mend dying and vanishing, yet are not always better than ReLU.",
    notes=("003", "004"),
    says=(
        "Note 003: leaky ReLU solves vanishing to some degree, but is not better in any case; note 004 proposes "
        "leaky and parametric ReLU as what replaces ReLU, which dies where a rate or a start is badly chosen."
    ),
    experiments=("ledger_leaky", "ledger_prelu", "ledger_training", "ledger_linear"),
    quantity=(
        "Leaky ReLU with slope 0.01 and 0.25 and PReLU (from 0.25) less ReLU, he_normal, paired by seed: log10 "
        "of the signal gradient in the first over the last hidden layer at step 0 (at least −20); test accuracy after "
        f"{TRAINED['steps']} updates, mean over the rates 0.01, 0.03, 0.1, 0.3 and 1 (diverged: chance); test "
        "accuracy at the rate of these and 3 that tuning seeds choose on the validation split. That a leaky unit has no slope "
        "of 0 is true by definition and no evidence."
    ),
    rule=(
        "Three parts, ten seeds each; one-sided t-tests at 5 %. (1) Vanishing: at depth 8 and 32; (2) dying, by "
        "what it costs: robustness against the rate, at depth 2, 8 and 32. Each is supported if the mean "
        "difference is above 0 for every kind and depth (intersection-union), refuted if it is below 0 for some "
        "(Holm) and above for none, conditional if both occur. (3) Not always better: supported if at the best "
        "rates the mean gain is below 1 point for some kind and depth 2, 8 or 32 (Holm over all nine), refuted "
        "if it is above 1 point in every one. The claim is supported if all parts are, refuted if all are, "
        "conditional if one is or they contradict each other, else inconclusive."
    ),
    judge=judge,
    lessons={
        "supported": "A leak keeps more of the gradient and learns at more rates, and at the best rate it is not "
        "always worth a point.",
        "conditional": "Of what is said of leaks not all holds: it depends on slope and depth.",
        "refuted": "A leak neither keeps more of the gradient nor learns at more rates, but pays at the best rate.",
    },
    limits=(
        "Dense networks of width 64 from He's start, which is made for slope 0: a leak then lets signals grow. "
        "Robustness against the rate has other causes than dying, too."
    ),
    amendments=(
        Amendment(
            "22719a1522ce",
            "c7112676bddd",
            f"{WIDENED} The best rate is sought among all six; the mean is still over the first "
            "five, since how many rates it is over is what it measures.",
        ),
    ),
)  # fmt: skip
