"""A8: sigmoid's positive outputs are said to give a unit's gradients one sign, so that training zig-zags."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import paired, tuned, where
from analysis.ledger.series import (
    SPAN,
    TARGETS,
    arrivals,
    average,
    common_target,
    hidden,
    losses,
    only,
)

DEPTHS = (3, 5)

STEPS = 300

NAMES = ("sigmoid", "centred_sigmoid", "bipolar_sigmoid", "tanh", "relu")

SIGMOID, CENTRED = NAMES[:2]

ONE_SIGN, EVERY_SAMPLE = 0.5, 0.99


def judge(study: Study, data: str) -> Evidence:
    """Weigh signs, cosines of successive updates, and updates to a loss."""
    found = tuned(
        study,
        where(
            activation=NAMES, init="xavier_normal", depth=DEPTHS, steps=STEPS, data=data,
            probe__steps=12, probe__samples=256,
        ),
    )  # fmt: skip
    found = _with_signs(study, found)
    found = arrivals(found, losses(study, found))
    signs, cosines, slower, targets = [], [], [], {}
    for depth in DEPTHS:
        sigmoid, centred = (only(found, activation=one, depth=depth) for one in (SIGMOID, CENTRED))
        # what diverged before anything was seen shows no sign
        samples, batch = (sigmoid[one].fillna(0.0) for one in ("of_samples", "of_units"))
        signs.append(outcomes.above(f"one sample, depth {depth}", samples, EVERY_SAMPLE))
        signs.append(outcomes.above(f"batch of 128, depth {depth}", batch, ONE_SIGN))
        # of medians: the cosine of a network without two updates is NaN
        difference = paired(centred, sigmoid, "cosine")["difference"]
        cosines.append(outcomes.median_above(f"depth {depth}", difference, 0.0))
        target = targets[depth] = common_target(pd.concat([sigmoid, centred]))
        times = paired(sigmoid, centred, f"to_{target}")
        with np.errstate(invalid="ignore"):
            ratio = times["one"] / times["other"]
        slower.append(outcomes.median_above(f"depth {depth}, to {target:g} nats", ratio, 1.0))
    parts = (
        Part("A unit's gradients have one sign", tuple(signs), decision.for_every(signs),
             "share of samples, or of units"),
        Part("Updates zig-zag", tuple(cosines), decision.for_every(cosines),
             "cosine of σ − ½ less sigmoid's, median"),
        Part("Learning is slow", tuple(slower), decision.for_every(slower),
             "updates of sigmoid over those of σ − ½, median"),
    )  # fmt: skip
    means = found.groupby("activation")[["of_samples", "of_units", "cosine"]].mean()
    found["updates"] = [row[f"to_{targets[row['depth']]}"] for row in found.to_dict("records")]
    medians = found.groupby(["depth", "activation"])["updates"].median()
    said = (
        f"With sigmoid {means.loc[SIGMOID, 'of_samples']:.0%} of samples, but {means.loc[SIGMOID, 'of_units']:.0%} "
        "of units in a batch, have weight gradients of one sign (σ − ½: "
        f"{means.loc[CENTRED, 'of_samples']:.0%} and {means.loc[CENTRED, 'of_units']:.0%}; ReLU: "
        f"{means.loc['relu', 'of_samples']:.0%} and {means.loc['relu', 'of_units']:.0%}). The cosine of "
        f"successive updates is {_number(means.loc[SIGMOID, 'cosine'])} (σ − ½: "
        f"{_number(means.loc[CENTRED, 'cosine'])}"
        + "".join(
            f"; {name}: {_number(means.loc[name, 'cosine'])}"
            for name in ("tanh", "relu")
            if name in means.index
        )
        + "). Median updates to "
        + "; to ".join(
            f"{targets[depth]:g} nats at depth {depth}: "
            + ", ".join(
                f"{name} {_updates(medians[depth, name])}"
                for name in NAMES
                if (depth, name) in medians.index
            )
            for depth in DEPTHS
        )
        + "."
    )
    lost = int((found["status"] == "diverged").sum())
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(_draw, found),
        "Activations of one shape with outputs that are positive (sigmoid; ReLU) and around 0, each at its best "
        "rate. Left: units all of whose weight gradients over a batch have one sign, in layers fed by the "
        "activation; middle: cosine of successive updates of these layers; right: updates to the training loss "
        f"{', '.join(f'{targets[depth]:g} at depth {depth}' for depth in DEPTHS)} (∞: never in {STEPS}, or "
        f"diverged). A faint dot a seed ({found['seed'].nunique()}), mean and 95 % Student interval, right "
        f"the median; {lost} networks diverged.",
    )


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−") if np.isfinite(value) else "unknown"


def _updates(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "∞"


def _with_signs(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return networks with shares of one sign and cosines, over the hidden layers that are fed by one."""
    rows = hidden(study, found, "same_sign_units, same_sign_inputs, update_cosine", "layer > 1")
    rows = rows.assign(share=rows["same_sign_units"].astype(float) / rows["units"])
    return found.assign(
        of_samples=average(found, rows, "same_sign_inputs"),
        of_units=average(found, rows, "share"),
        cosine=average(found, rows, "update_cosine"),
    )


def _draw(found: pd.DataFrame) -> Figure:
    present = [name for name in NAMES if name in set(found["activation"])]
    colours = style.colours(present)
    quantities = {
        "of_units": "units with gradients\nof one sign",
        "cosine": "cosine of successive updates",
        "updates": "updates to the loss",
    }
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], ["One sign?", "Zig-zag?", "Slow?"], (2.7, 2.4), sharex=False, sharey=False,
            gap=0.72, left=0.8,
        )  # fmt: skip
        for (column, label), axis in zip(quantities.items(), axes[0], strict=True):
            ticks = []
            for place, name in enumerate(present):
                for depth, marker, shift in zip(DEPTHS, "os", (-0.18, 0.18), strict=True):
                    part = found[(found["activation"] == name) & (found["depth"] == depth)]
                    if column == "updates":
                        _times(axis, place + shift, part[column], colours[name], marker)
                    else:
                        panels.seeds(axis, place + shift, part[column], colours[name], marker)
                ticks.append(
                    {"centred_sigmoid": "σ − ½", "bipolar_sigmoid": "2σ − 1"}.get(name, name)
                )
            axis.set_xticks(range(len(ticks)), labels=ticks)
            axis.set_ylabel(label)
        axes[0, 0].set_ylim(-0.03, 1.03)
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        axes[0, 1].axhline(0, color=panels.GREY, linewidth=0.9)
        axes[0, 2].set_ylim(0, 1.12 * STEPS)
        places = [0, 100, 200, 300]
        axes[0, 2].set_yticks([*places, 1.06 * STEPS + 10], labels=[*map(str, places), "∞"])
        handles = [
            panels.handle(f"depth {depth}", panels.GREY, marker, linestyle="none")
            for depth, marker in zip(DEPTHS, "os", strict=True)
        ]
        layout.legend_above(figure, handles)
    return figure


def _times(axis: Axes, place: float, times: pd.Series, colour: str, marker: str) -> None:
    never = 1.06 * STEPS + 10
    shown = np.where(np.isfinite(times), times, never)
    axis.plot(np.full(len(shown), place - 0.1), shown, "o", color=colour, markersize=3, alpha=0.3,
              markeredgewidth=0)  # fmt: skip
    # of half that never arrive the median is infinite, too, and no number between the two
    axis.plot(
        place + 0.08, min(float(np.median(times)), never), marker, color=colour, markersize=5.5
    )


CLAIM = Claim(
    id="A8",
    sentence="Sigmoid's positive outputs give all of a unit's weight gradients one sign, so that updates zig-zag "
    "and learning is slow.",
    notes=("004",),
    says=(
        "Note 004: as sigmoid's values are never negative, all weights are updated in the same direction, in a "
        "zig-zag, which slows learning down much; tanh mends that."
    ),
    experiments=("ledger_zigzag",),
    quantity=(
        "In hidden layers fed by the activation, mean over layers and probe steps: share of samples whose inputs "
        "of the layer have one sign (for these all of a unit's gradients have, of that sample), share of units "
        "whose gradients over a batch of 128 have one sign, and cosine of successive realised updates. Updates "
        f"until the batch loss, a mean over {SPAN} successive ones, is down to the lowest target of "
        f"{', '.join(f'{one:g}' for one in TARGETS)} nats "
        "that at least 75 % of the networks of sigmoid and σ − ½ at that depth reach, or the highest (infinite: never, or "
        "diverged). Each activation at the rate that tuning seeds choose on the validation split."
    ),
    rule=(
        f"Depth 3 and 5, xavier_normal, {STEPS} updates, ten seeds each; 5 %. Three parts, each supported if all "
        "of its tests pass (intersection-union), refuted if the contrary is shown in some (Holm) and it holds "
        "beyond doubt in none, conditional if both occur. (1) One sign: sigmoid's mean share of samples is "
        "above 99 %, and of units in a batch above 50 % (one-sided t-tests). (2) Zig-zag: the cosine with "
        "sigmoid is below that with σ − ½, which has the same derivative and outputs around 0 (sign test, "
        "paired by seed). (3) Slow: sigmoid takes more updates than σ − ½ (sign test on paired ratios; pairs in "
        "which neither arrives count for neither). The claim is supported if all parts are, refuted if all are, "
        "conditional if one is or they contradict each other, else inconclusive. 2σ − 1, which also halves the decay, tanh and ReLU, whose outputs are "
        "positive too, are shown beside."
    ),
    judge=judge,
    lessons={
        "supported": "Positive outputs alone, at the same derivative, give gradients one sign, turn updates about "
        "and slow learning down.",
        "conditional": "Positive outputs do not do all that is said of them: one sign, zig-zag and slowness come "
        "apart.",
        "refuted": "At the same derivative positive outputs neither give a unit's gradients one sign nor turn "
        "updates about nor slow learning down.",
    },
    limits=(
        "That all gradients of one sample have one sign is true by definition of sigmoid; of a batch it is not. "
        "σ − ½ differs from σ by a shift that a bias could undo, so that both can compute the same functions. "
        "Cosines depend on the rate, and each activation has its own. Dense networks of width 64."
    ),
)  # fmt: skip
