"""A7: PReLU is said to learn a slope that fits."""

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
from analysis.ledger.select import paired, tuned, where
from analysis.ledger.series import LISTED, TRAINED, average, hidden, only, reference
from analysis.words import points, signed

DEPTHS = (2, 8, 32)

SLOPES = (0.01, 0.1, 0.25, 0.4)

START, MOVED, POINT = 0.25, 0.05, 0.01


def judge(study: Study, data: str) -> Evidence:
    """Weigh how far slopes moved, and PReLU against leaky ReLU with each fixed slope."""
    usual = {"init": "he_normal", "depth": DEPTHS, "data": data, **TRAINED}
    learned = tuned(study, where(activation="prelu", **usual))
    fixed = tuned(
        study,
        where(activation="leaky_relu", activation__negative_slope=SLOPES, **usual),
        {"slope": "CAST(settings->>'$.activation.negative_slope' AS DOUBLE)"},
        ("activation", "slope", "init", "depth"),
    )
    ends = hidden(study, learned, "act_slope", f"step = {TRAINED['steps']}")
    ends["act_slope"] = ends["act_slope"].astype(float)
    ends["square"] = (ends["act_slope"] - START) ** 2
    # a slope that is no number has not moved to one that fits
    moved = np.sqrt(np.nan_to_num(average(learned, ends, "square"), nan=0.0, posinf=0.0))
    learned = learned.assign(moved=moved, slope=average(learned, ends, "act_slope"))
    moves, fits = [], []
    for depth in DEPTHS:
        part = only(learned, depth=depth)
        moves.append(outcomes.above(f"depth {depth}", part["moved"], MOVED))
    for slope, depth in itertools.product(SLOPES, DEPTHS):
        pairs = paired(only(learned, depth=depth), only(fixed, slope=slope, depth=depth), "score")
        fits.append(
            outcomes.above(f"against {slope:g}, depth {depth}", pairs["difference"], -POINT)
        )
    parts = (
        Part("Slopes are learned", tuple(moves), decision.for_every(moves),
             f"distance from {START:g} (RMS over layers)"),
        Part("No fixed slope is a point better", tuple(fits), decision.for_every(fits),
             "test accuracy, less leaky ReLU's"),
    )  # fmt: skip
    means = learned.groupby("depth")["slope"].mean()
    near = [_nearest(float(means[depth])) for depth in DEPTHS]
    by_label = {test.label: test.estimate for test in fits}
    said = (
        "PReLU's slopes end at "
        + ", ".join(f"{signed(means[depth], digits=2)} (depth {depth})" for depth in DEPTHS)
        + " on average. Against leaky ReLU with the slope that it starts from it gains "
        + ", ".join(points(by_label[f"against {START:g}, depth {depth}"]) for depth in DEPTHS)
        + " points, against the fixed slope nearest to what it learned "
        + ", ".join(
            points(by_label[f"against {slope:g}, depth {depth}"])
            for slope, depth in zip(near, DEPTHS, strict=True)
        )
        + f"; {int((learned['status'] == 'diverged').sum())} of its networks diverged."
    )
    return Evidence(
        parts,
        pd.concat([learned, fixed], ignore_index=True),
        len(learned) + len(fixed),
        said,
        functools.partial(_draw, learned, fixed, ends, reference(study, data, learned)),
        f"Left: the slope that each hidden layer learned in {TRAINED['steps']} updates, by its place; dotted: "
        f"where it began. Right: test accuracy of leaky ReLU against its fixed slope and, as a band, of PReLU, "
        f"at each one's best rate: mean and 95 % Student interval over {learned['seed'].nunique()} seeds.",
    )


def _nearest(slope: float) -> float:
    return min(SLOPES, key=lambda one: abs(one - slope) if np.isfinite(slope) else one)


def _draw(
    learned: pd.DataFrame, fixed: pd.DataFrame, ends: pd.DataFrame, heights: dict[str, float]
) -> Figure:
    shades = style.depth_colours(DEPTHS)
    colours = style.colours(["prelu", "leaky_relu"])
    with style.house_style():
        names = ["Learned slopes", *(f"Accuracy, depth {depth}" for depth in DEPTHS)]
        figure, axes = layout.panel_grid(
            [""], names, (2.1, 2.3), sharex=False, sharey=False, gap=0.6
        )
        first = axes[0, 0]
        placed = ends.assign(place=(ends["layer"] - 1) / (ends["depth"] - 2).clip(lower=1))
        for depth in DEPTHS:
            part = placed[(placed["depth"] == depth) & np.isfinite(placed["act_slope"])]
            colour = style.matplotlib.colors.to_hex(shades[depth])
            panels.line(first, part, "place", "act_slope", colour, "oDs"[DEPTHS.index(depth)])
        first.axhline(START, color=panels.GREY, linewidth=0.9, linestyle=(0, (1, 3)))
        first.set_xticks([0, 1], labels=["first", "last hidden layer"])
        first.get_xticklabels()[1].set_horizontalalignment("right")
        first.set_ylabel("slope below 0")
        top = 1.05 * max(fixed["score"].max(), learned["score"].max(), *heights.values())
        for depth, axis in zip(DEPTHS, axes[0, 1:], strict=True):
            part = only(fixed, depth=depth)
            panels.line(axis, part, "slope", "score", colours["leaky_relu"], "P")
            own = only(learned, depth=depth)
            wide = pd.concat([own.assign(at=0.0), own.assign(at=0.42)])
            panels.line(axis, wide, "at", "score", colours["prelu"], "")
            panels.levels(axis, heights)
            axis.set_ylim(0, top)
            axis.yaxis.set_major_formatter(style.percent())
            axis.set_xticks(SLOPES, labels=[f"{one:g}" for one in SLOPES])
            axis.set_xlabel("fixed slope")
        handles = [
            panels.handle(f"slopes at depth {depth}", style.matplotlib.colors.to_hex(shades[depth]),
                          "oDs"[DEPTHS.index(depth)])
            for depth in DEPTHS
        ]  # fmt: skip
        handles += [
            panels.handle("prelu", colours["prelu"], ""),
            panels.handle("leaky_relu", colours["leaky_relu"], "P"),
        ]
        layout.legend_above(figure, [*handles, *panels.level_handles(heights)])
    return figure


CLAIM = Claim(
    id="A7",
    sentence="Parametric ReLU learns a slope that fits.",
    notes=("004",),
    says="Note 004: in training it can learn the right slope a of y = ax for numbers below 0.",
    experiments=("ledger_prelu", "ledger_leaky", "ledger_linear"),
    quantity=(
        f"Root mean square over hidden layers of the learned slope less {START:g}, where it began, after "
        f"{TRAINED['steps']} updates (0 where it is no number); test accuracy less that of leaky ReLU with the "
        "fixed slope 0.01, 0.1, 0.25 and 0.4, paired by seed; he_normal; each at the rate that tuning seeds "
        "choose on the validation split."
    ),
    rule=(
        "Two parts, depth 2, 8 and 32, ten seeds each; one-sided t-tests at 5 %. (1) Learned: the mean distance "
        "is above 0.05 at every depth; (2) fits: against every fixed slope and at every depth the mean "
        "difference is above −1 point, so that no fixed slope is a point better. Each is supported if it holds "
        "for every one (intersection-union), refuted if the contrary does for some (Holm) and it holds beyond "
        "doubt for none, conditional if both occur. The claim is supported if both parts are, refuted if both "
        "are, conditional if one is or they contradict each other, else inconclusive. Which slope was learned, and the gain over the slope from which it "
        "began and over the fixed one nearest to what was learned, is told beside."
    ),
    judge=judge,
    lessons={
        "supported": "PReLU moves its slopes, and no fixed slope is a point better.",
        "conditional": "Slopes being learned and slopes that fit are two things: not both hold everywhere.",
        "refuted": "PReLU hardly moves its slopes, and a fixed one is better.",
    },
    limits=(
        f"One slope a layer; {TRAINED['steps']} updates, in which a slope has little time to move; dense "
        "networks of width 64. No leaky network has just the slope that was learned: the nearest of four is "
        f"taken. {LISTED}"
    ),
)  # fmt: skip
