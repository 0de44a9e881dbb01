"""G4: a threshold on gradients is said to cure explosion."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import linear_level, networks, paired, tuned, where, whole
from analysis.ledger.series import span
from analysis.statistics import student_interval
from analysis.words import joined, points

ACTIVATIONS, DEPTHS = ("relu", "tanh"), (8, 16)

RATES = (0.0001, 0.001, 0.01, 0.1)

PLAIN = "left as they are"

MENDS: dict[str, dict[str, float]] = {
    PLAIN: {},
    "set to 1": {"optim__clip_to_one": 1.0},
    "clipped by value": {"optim__clip_value": 0.1},
    "clipped by norm": {"optim__clip_norm": 1.0},
}

COLOURS = dict(zip(MENDS, ("#222222", "#B2182B", "#0072B2", "#009E73"), strict=True))
MARKERS = dict(zip(MENDS, "osD^", strict=True))

POINT = 0.01
"""Accuracy that counts as a difference."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh each mend at the largest rate against nothing, and at its best rate against a lower rate."""
    every, best = {}, {}
    for mend, settings in MENDS.items():
        chosen = where(
            activation=ACTIVATIONS, init="normal", init__std=0.25, depth=DEPTHS, steps=200,
            probe__steps=8, probe__samples=256, data=data, **{"optim__lr": RATES, **settings},
        )  # fmt: skip
        every[mend] = whole(
            networks(study, chosen), activation=ACTIVATIONS, depth=DEPTHS, lr=RATES
        ).assign(mend=mend)
        best[mend] = tuned(study, chosen).assign(mend=mend)
    parts = []
    for name, mends in (("set to 1", ["set to 1"]), ("clipped", list(MENDS)[2:])):
        survives, learns, matches = [], [], []
        for mend in mends:
            for activation in ACTIVATIONS:
                for depth in DEPTHS:
                    label = f"{mend}, {activation}, depth {depth}"
                    survives.append(
                        outcomes.share_below(label, _lost(every[mend], activation, depth), 0.5)
                    )
                    fast = _difference(every, mend, activation, depth, RATES[-1])
                    learns.append(outcomes.above(label, fast, POINT))
                    tuned_ = _difference(best, mend, activation, depth, None)
                    matches.append(outcomes.above(label, tuned_, -POINT))
        parts += [
            Part(f"{name}: fewer than half diverge at rate {RATES[-1]:g}", tuple(survives),
                 decision.for_every(survives), "share of networks that diverge"),
            Part(f"{name}: learns at rate {RATES[-1]:g} what nothing does", tuple(learns),
                 decision.for_every(learns), "test accuracy less that of gradients as they are"),
            Part(f"{name}: at its best rate no worse than a lower rate alone", tuple(matches),
                 decision.for_every(matches), "test accuracy less that of gradients as they are"),
        ]  # fmt: skip
    whole_map = pd.concat(every.values(), ignore_index=True)
    fast = whole_map[whole_map["lr"] == RATES[-1]]
    lost = fast.assign(lost=fast["status"] == "diverged").groupby("mend")["lost"].sum()
    reached = {mend: one["score"].mean() for mend, one in best.items()}
    said = (
        f"At rate {RATES[-1]:g} there diverge, of {len(fast) // len(MENDS)} networks each, "
        + ", ".join(f"{lost[mend]} {mend}" for mend in MENDS)
        + f". At the best rate of each, accuracy is, against gradients {PLAIN} (best at "
        + span(*(f"{end(best[PLAIN]['lr']):g}" for end in (min, max)))
        + "), "
        + ", ".join(
            f"{points(reached[mend] - reached[PLAIN])} points {mend}" for mend in list(MENDS)[1:]
        )
        + "."
    )
    calm = [one for one in ACTIVATIONS if not _diverged(every[PLAIN], one)]
    spared = (
        f" With {joined(calm)} no network diverges as it is: there is no divergence to cure, only "
        "accuracy to win or lose."
        if calm
        else ""
    )
    return Evidence(
        tuple(parts),
        pd.concat([whole_map.assign(at="all rates"), *(one.assign(at="best rate") for one in best.values())],
                  ignore_index=True),
        len(whole_map),
        said + spared,
        functools.partial(draw, whole_map, linear_level(study, data, 200)),
        "Test accuracy after 200 steps against learning rate, from a start at which gradients explode "
        f"(fan_in · Var W = 4): mean and 95 % Student interval over {whole_map['seed'].nunique()} seeds; a "
        "diverged network counts as chance, and a number beside a mark says how many diverged. Where the black "
        "line falls at the right, a mend cures if its own is up there; where the black one rises to the right "
        f"training does not explode.{spared} What a mend adds to a lower rate is how far its best point is above the "
        "black one's.",
    )  # fmt: skip


def _lost(of: pd.DataFrame, activation: str, depth: int) -> np.ndarray:
    here = (of["activation"] == activation) & (of["depth"] == depth) & (of["lr"] == RATES[-1])
    return (of.loc[here, "status"] == "diverged").to_numpy()


def _diverged(of: pd.DataFrame, activation: str) -> int:
    return int(((of["activation"] == activation) & (of["status"] == "diverged")).sum())


def _difference(
    of: dict[str, pd.DataFrame], mend: str, activation: str, depth: int, rate: float | None
) -> pd.Series:
    sides = []
    for name in (mend, PLAIN):
        part = of[name][(of[name]["activation"] == activation) & (of[name]["depth"] == depth)]
        sides.append(part if rate is None else part[part["lr"] == rate])
    return paired(sides[0], sides[1], "score")["difference"]


def draw(found: pd.DataFrame, linear: float) -> Figure:
    """Draw accuracy against rate, a line a mend, a panel a condition."""
    places = np.arange(len(RATES))
    with style.house_style():
        figure, axes = layout.panel_grid(
            [f"depth {depth}" for depth in DEPTHS], ACTIVATIONS, (3.0, 1.9)
        )
        for depth, row in zip(DEPTHS, axes, strict=True):
            for activation, axis in zip(ACTIVATIONS, row, strict=True):
                here = found[(found["activation"] == activation) & (found["depth"] == depth)]
                axis.axhline(
                    float(here["chance"].mean()), color="#555555", linestyle=":", linewidth=0.9
                )
                if np.isfinite(linear):
                    axis.axhline(linear, color="#555555", linestyle="--", linewidth=0.9)
                for shift, mend in enumerate(MENDS):
                    _mend(axis, here[here["mend"] == mend], places + 0.07 * (shift - 1.5), mend)
                axis.set_xticks(places, labels=[f"{rate:g}" for rate in RATES])
                axis.yaxis.set_major_formatter(style.percent())
                if depth == DEPTHS[-1]:
                    axis.set_xlabel("learning rate")
            row[0].set_ylabel("test accuracy")
        handles = [
            Line2D([], [], color=COLOURS[one], marker=MARKERS[one], label=f"gradients {one}")
            for one in MENDS
        ]
        handles.append(
            Line2D([], [], color="#555555", linestyle=":", linewidth=0.9, label="chance")
        )
        if np.isfinite(linear):
            handles.append(
                Line2D([], [], color="#555555", linestyle="--", linewidth=0.9, label="linear model")
            )
        layout.legend_above(figure, handles)
    return figure


def _mend(axis: Axes, part: pd.DataFrame, places: np.ndarray, mend: str) -> None:
    rows = [part[part["lr"] == rate] for rate in RATES]
    spans = [student_interval(row["score"]) for row in rows]
    means = np.array([one.mean for one in spans])
    axis.errorbar(
        places, means, yerr=[means - [one.low for one in spans], [one.high for one in spans] - means],
        color=COLOURS[mend], marker=MARKERS[mend], markersize=4.5, linewidth=1.2, capsize=0,
    )  # fmt: skip
    for place, mean, row in zip(places, means, rows, strict=True):
        lost = int((row["status"] == "diverged").sum())
        if lost:
            axis.annotate(
                str(lost), (place, mean), xytext=(5, 4), textcoords="offset points", ha="left",
                fontsize=8, color=COLOURS[mend],
            )  # fmt: skip


CLAIM = Claim(
    id="G4",
    sentence="A threshold on gradients, beyond which they are set to 1 or clipped, cures explosion.",
    notes=("000",),
    says=(
        'Note 000: exploding gradients are handled simply by a threshold, as in "set it to 1 beyond some '
        'value". Taken at its word that loses the sign of large negative entries; clipping by value or by '
        "norm, which keep it, are ours to add."
    ),
    experiments=(
        "ledger_explode",
        "ledger_explode_one",
        "ledger_explode_value",
        "ledger_explode_norm",
        "ledger_linear",
    ),
    quantity=(
        "Share of networks that diverge at rate 0.1, and test accuracy after 200 steps (chance where it "
        "diverged) of ReLU and tanh networks of depth 8 and 16 from N(0, 0.25²) weights, fan_in · Var W = "
        "4, less that of the network of the same seed whose gradients are left as they are: at rate 0.1, "
        "and each at the rate that tuning seeds choose on the validation split of 0.0001, 0.001, 0.01 and "
        "0.1. Mends: entries beyond ±1 set to 1, entries clipped to ±0.1, gradient clipped to norm 1."
    ),
    rule=(
        "Ten seeds. For setting to 1, and for clipping (by value and by norm together), three parts each "
        "over the four conditions: fewer than half of the networks diverge at rate 0.1 (exact binomial "
        "test; more than half stands against it); at rate 0.1 the mean difference is above 1 point "
        "(paired one-sided t-tests; below 1 point stands against it); at the best rates it is above −1 "
        "point (likewise). Each part is supported if it holds in all (intersection-union at 5 %), refuted "
        "if it fails in some (Holm) and holds in none (Holm), conditional if both occur. The claim is "
        "supported or refuted if all six parts are, else conditional, or inconclusive if a part is and "
        "nothing contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "A threshold cures explosion at a rate that fails without one, whether it keeps the sign "
        "or not.",
        "conditional": "Whether a threshold cures explosion depends on the kind of threshold and the network; "
        "hold it against a lower rate.",
        "refuted": "A threshold on gradients does not cure explosion.",
    },
    limits=(
        "One threshold each (1, 0.1 and 1), not tuned: where no entry is beyond it a rule changes "
        "nothing. The best rate is nearly everywhere the largest of the list, 0.1, so that what is slow there, as "
        "clipping by norm, may only want a larger one. One scale of exploding weights, 200 steps. The ratio of gradients between layers is not "
        "mended, only the size of the step is."
    ),
)
