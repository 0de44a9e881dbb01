"""I9: depth with regularization is said to make the outcome depend less on the initial weights."""

from __future__ import annotations

import functools
import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import CONDITION, linear_level, networks, tuned, where, whole
from analysis.ledger.series import span
from analysis.words import joined

DEPTHS = (2, 8, 16)

DECAYS = (0.0, 0.001, 0.01)

STEPS = 300

PROBED = 3
"""Probe steps of the experiment: others train some of the same networks and measure them elsewhere."""

RATES = (0.1, 0.3, 1.0, 3.0, 10.0)

LEARNT = 0.05
"""Accuracy above chance from which a network counts as trained."""

MOST = 0.8
"""Share of seeds that must train if the start is not to matter."""

ENOUGH = 10
"""Trained networks from which there is a spread to speak of."""


def judge(study: Study, data: str) -> Evidence:
    """Count the seeds that train, and weigh the spread of those that do, against a shallow network."""
    chosen = where(
        activation="relu", init="torch_default", depth=DEPTHS, steps=STEPS, probe__steps=PROBED,
        data=data, optim__weight_decay=DECAYS, optim__lr=RATES,
    )  # fmt: skip
    found = tuned(study, chosen, {"decay": "weight_decay"}, (*CONDITION, "decay"))
    found = whole(found, depth=DEPTHS, decay=DECAYS)
    found = found.assign(trained=found["score"] > found["chance"] + LEARNT)
    shallow = _of(found, DEPTHS[0], 0.0)
    shares, spreads = [], []
    for depth in DEPTHS[1:]:
        for decay in DECAYS[1:]:
            label, deep = f"depth {depth}, decay {decay:g}", _of(found, depth, decay)
            shares.append(outcomes.share_above(label, deep["trained"].to_numpy(), MOST))
            spreads.append(_spread(label, deep, shallow, shares[-1]))
    parts = (
        Part("most seeds train", tuple(shares), decision.for_every(shares), "of the seeds train"),
        Part("those that do spread less than in two layers", tuple(spreads),
             decision.for_every(spreads), "log10 of the ratio of standard deviations"),
    )  # fmt: skip
    told = [
        f"{int(deep['trained'].sum())} of {len(deep)} at depth {depth} with decay {decay:g}"
        for depth in DEPTHS[1:]
        for decay in DECAYS[1:]
        for deep in [_of(found, depth, decay)]
    ]
    bare = [
        f"{int(deep['trained'].sum())} of {len(deep)} at depth {depth}"
        for depth in DEPTHS[1:]
        for deep in [_of(found, depth, 0.0)]
    ]
    said = (
        f"Of deep networks with weight decay {joined(told)} train, of two layers without "
        f"{int(shallow['trained'].sum())} of {len(shallow)}; without decay, of as deep ones {joined(bare)}. "
        f"{_factors(spreads)}"
    )
    said += _at_any_rate(networks(study, chosen, {"decay": "weight_decay"}))
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(_figure, found, linear_level(study, data, 200)),
        f"Test accuracy of every network ({shallow['seed'].nunique()} seeds a condition) after {STEPS} "
        "updates at its condition's best rate, by depth and weight decay. Above each: how many train, and "
        "the standard deviation of those that do, in points. Open marks: networks that do not; they all end "
        f"near chance, which is no small spread. {int((found['status'] == 'diverged').sum())} diverged and "
        "count among them.",
    )


def _of(found: pd.DataFrame, depth: int, decay: float) -> pd.DataFrame:
    return found[(found["depth"] == depth) & (found["decay"] == decay)]


def _spread(
    label: str, deep: pd.DataFrame, shallow: pd.DataFrame, share: decision.Outcome
) -> decision.Outcome:
    """Return the test that the spread of one condition is smaller than that of the other.

    Over the seeds of which both train. Where too few deep networks do there is no spread: the outcome then
    depends on the start, and what stands against it is the share.
    """
    if deep["trained"].sum() < ENOUGH:
        return decision.Outcome(
            label, math.inf, math.inf, math.inf, len(deep), 1.0, share.p_against, math.nan, (0.0,)
        )
    both = deep[deep["trained"]].merge(shallow[shallow["trained"]], on="seed")
    values = both[["score_x", "score_y"]].to_numpy(dtype=float)
    if len(values) < ENOUGH or not values.std(axis=0).all():
        return decision.Outcome(
            label, math.nan, -math.inf, math.inf, len(values), 1.0, 1.0, 0.0, (0.0,)
        )
    return outcomes.below(label, outcomes.pseudo_values(_log_ratio, values), 0.0)


def _log_ratio(values: np.ndarray) -> float:
    one, other = values.std(axis=0, ddof=1)
    return math.log10(one / other)


def _at_any_rate(every: pd.DataFrame) -> str:
    """Return a sentence on how many train at the rate that trains most: few tuning seeds choose roughly.

    Args:
        every: the networks for evidence, of all rates.
    """
    trained = every.assign(trained=every["score"] > every["chance"] + LEARNT)
    most = trained.groupby(["depth", "decay", "lr"])["trained"].agg(["sum", "count", "mean"])
    most = most.sort_values("mean").groupby(["depth", "decay"]).tail(1).droplevel("lr")

    def told(depth: int, decays: tuple[float, ...]) -> str:
        best = most.loc[depth].loc[list(decays)].sort_values("mean").iloc[-1]
        return f"{best['sum']:.0f} of {best['count']:.0f} at depth {depth}"

    said = (
        " At whichever of the rates trains most, with decay "
        f"{joined([told(depth, DECAYS[1:]) for depth in DEPTHS[1:]])} train, without "
        f"{joined([told(depth, (0.0,)) for depth in DEPTHS[1:]])}."
    )
    idle = [f"depth {depth}" for depth in DEPTHS[1:] if most.loc[depth]["mean"].max() < 0.5]
    if idle:
        said += (
            f" At {joined(idle)} this start does not train half of the networks with any decay or rate, and that, "
            "more than the decay, is what is weighed there."
        )
    return said


def _factors(spreads: list[decision.Outcome]) -> str:
    known = [10**test.estimate for test in spreads if math.isfinite(test.estimate)]
    if not known:
        return "Too few train for a spread."
    return (
        f"In {len(known)} of {len(spreads)} deep conditions enough train for a spread of test accuracy: over "
        f"the seeds of which both train it is {span(f'{min(known):.2g}', f'{max(known):.2g}')} times that of "
        "two layers."
    )


def _figure(found: pd.DataFrame, linear: float) -> Figure:
    colours = dict(zip(DECAYS, ("#999999", "#56B4E9", "#0072B2"), strict=True))
    with style.house_style():
        columns = [f"depth {depth}" for depth in DEPTHS]
        figure, axes = layout.panel_grid([""], columns, (2.3, 2.7), left=0.75)
        for axis, depth in zip(axes[0], DEPTHS, strict=True):
            handles = panels.levels(
                axis, {"chance": found["chance"].iloc[0], "linear model, 200 updates": linear}
            )
            for place, decay in enumerate(DECAYS):
                part = _of(found, depth, decay).sort_values("seed")
                away = np.linspace(-0.27, 0.27, len(part))
                for trained, face in ((True, colours[decay]), (False, "none")):
                    kind = part["trained"].to_numpy() == trained
                    axis.plot(
                        place + away[kind], part["score"][kind], "o", markersize=3.6,
                        markerfacecolor=face, markeredgecolor=colours[decay], linestyle="none",
                    )  # fmt: skip
                rest = part.loc[part["trained"], "score"]
                spread = f"SD {100 * rest.std():.1f}" if len(rest) > 1 else "no SD"
                axis.annotate(
                    f"{len(rest)}/{len(part)}\n{spread}", (place, 1.0), xycoords=("data", "axes fraction"),
                    ha="center", va="top", fontsize=8,
                )  # fmt: skip
            axis.set_xticks(range(len(DECAYS)), labels=[f"{decay:g}" for decay in DECAYS])
            axis.set_xlim(-0.5, len(DECAYS) - 0.5)
            axis.set_xlabel("weight decay")
            axis.grid(False, axis="x")
        low, high = axes[0, 0].get_ylim()
        # room for the words above the dots
        axes[0, 0].set_ylim(low, high + 0.22 * (high - low))
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        axes[0, 0].set_ylabel("test accuracy")
        looks = (("#333333", "trains"), ("none", "does not"))
        marks = [
            Line2D(
                [], [], marker="o", markerfacecolor=face, markeredgecolor="#333333", linestyle="none",
                markersize=4.5, label=label,
            )
            for face, label in looks
        ]  # fmt: skip
        layout.legend_above(figure, [*marks, *handles])
    return figure


CLAIM = Claim(
    id="I9",
    sentence=(
        "A deep network with regularization depends less on its initial weights than a shallow one."
    ),
    notes=("004",),
    says=(
        "Note 004: a model of few layers varies much with the start of its weights; rather than fewer layers, "
        "a deep network with regularization makes start and training stable."
    ),
    experiments=("ledger_regularized", "ledger_linear"),
    quantity=(
        "Test accuracy after 300 updates, at the rate of 0.1, 0.3, 1, 3 and 10 that tuning seeds choose on the "
        "validation split: the share of seeds that train, which is above chance by more than 5 points, and "
        "the standard deviation over those that do."
    ),
    rule=(
        "ReLU from torch_default, depth 8 and 16 with weight decay 0.001 and 0.01, against depth 2 without; "
        "thirty seeds each. Two parts, over four conditions each, at 5 %. Share: more than 80 % of the seeds "
        "train (exact binomial test; against it, fewer). Spread: log10 of the standard deviation of test "
        "accuracy by that of depth 2 is below 0, over the seeds of which both train, at least ten (one-sided "
        "t-test on the jackknife's pseudo-values; against it, above 0). Where fewer than ten deep networks "
        "train there is no spread: stuck ones all end near chance, and the test of the share stands against "
        "this part, too. A part is supported if all four conditions pass (intersection-union), refuted if "
        "some show the contrary (Holm) and none passes, conditional if both occur. The claim is supported if "
        "both parts are, refuted if both are refuted, else conditional, or inconclusive if a part is and none "
        "contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "Deep networks with weight decay train from nearly every start and end closer together "
        "than shallow ones.",
        "conditional": "Depth with weight decay makes the outcome depend less on the start in some respects "
        "or settings, and not in all.",
        "refuted": "Depth with weight decay does not make the outcome depend less on the start.",
    },
    limits=(
        "A seed also decides the split and the order of batches, and so the spread is not the start's alone; "
        "that of the finite test set is in it, too, on both sides. Regularization is weight decay; 300 "
        "updates by plain SGD. The start is torch_default alone: where "
        "its deep networks hardly train in that time at rates up to 10, with decay or without, that decides "
        "against the claim by itself, and of starts that do train at depth, such as He's, nothing is shown here. "
        "Where few seeds train, the three that choose the rate choose it roughly: at another one more may train."
    ),
    amendments=(
        Amendment(
            "c0028adf4fb2",
            "795af334d3ff",
            "The list of rates ended at 1, and 7 of the 9 conditions of ledger_regularized chose that, so that it was "
            "not known whether they were at their best; 3 and 10 were added for every depth and decay alike, after "
            "the results of the shorter list had been seen and before any at 3 or 10 was.",
        ),
    ),
)
