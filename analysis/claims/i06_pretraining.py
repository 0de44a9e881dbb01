"""I6: pre-training by restricted Boltzmann machines is said to give good initial weights."""

from __future__ import annotations

import functools

import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import linear_level, paired, tuned, ways, where, whole
from analysis.words import joined, points, signed, verb

DEPTHS = (3, 6)

STEPS = 200

PROBED = 8
"""Probe steps of the experiments: others train some of the same networks and measure them elsewhere."""

DRAWN = ("xavier_normal", "he_normal")

RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

LENGTHENED = (
    "The list of rates ended at 1, and all 6 conditions of ledger_rbm and ledger_rbm_ordinary chose that, so that "
    "it was not known whether they were at their best; 3 and 10 were added for every side of a comparison alike, "
    "after the results of the shorter list had been seen and before any at 3 or 10 was, but for the drawn starts "
    "of depth 3 at 3, which are in ledger_training, too."
)
"""Why the rules about pre-training were amended."""

POINT = 0.01
"""Accuracy that counts as a gain: one point."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh pre-trained against drawn starts: accuracy after fine-tuning, and the gradient at the start."""
    found = ways(study, pretrained(study, data))
    gains, kept = [], []
    for depth in DEPTHS:
        for init in DRAWN:
            label = f"against {init}, depth {depth}"
            part = found[found["depth"] == depth]
            rbm, drawn = (part[part["init"] == one] for one in ("rbm", init))
            gain = paired(rbm, drawn, "score")["difference"]
            gains.append(outcomes.above(label, gain, POINT))
            more = paired(rbm, drawn, "ratio")["difference"]
            kept.append(outcomes.above_ranked(label, more, 0.0))
    parts = (
        Part("more accurate by more than a point", tuple(gains), decision.for_every(gains),
             "test accuracy gained"),
        Part("more of the gradient reaches the first layer", tuple(kept), decision.for_every(kept),
             "decades more kept"),
    )  # fmt: skip
    said = (
        "Fine-tuned, pre-trained networks reach "
        f"{points(min(one.estimate for one in gains))} to {points(max(one.estimate for one in gains))} "
        "points of test accuracy against drawn starts; at the start they keep "
        f"{signed(min(one.estimate for one in kept), '+', 2)} to "
        f"{signed(max(one.estimate for one in kept), '+', 2)} decades more of the gradient.{unlearnt(found)}"
    )
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(_figure, found, linear_level(study, data, STEPS)),
        "Sigmoid networks of 3 and 6 layers, pre-trained (rbm) or from drawn weights: test accuracy after "
        f"{STEPS} updates at each one's best rate, and the signal gradient in the first over the last hidden "
        f"layer before them. Dots are seeds ({found['seed'].nunique()}), bars 95 % Student intervals. "
        f"{int((found['status'] == 'diverged').sum())} networks diverged and count as guessing.",
    )


def pretrained(study: Study, data: str) -> pd.DataFrame:
    """Return pre-trained and drawn sigmoid networks, each condition at its best rate.

    Raises:
        NoEvidence: there are none, or not of every start and depth.
    """
    settings = {
        "activation": "sigmoid", "depth": DEPTHS, "steps": STEPS, "probe__steps": PROBED,
        "data": data, "optim__lr": RATES,
    }  # fmt: skip
    sides = [
        tuned(study, where(**settings, init="rbm", init__sampled=True, init__epochs=10)),
        tuned(study, where(**settings, init=DRAWN)),
    ]
    return whole(pd.concat(sides, ignore_index=True), init=("rbm", *DRAWN), depth=DEPTHS)


def unlearnt(found: pd.DataFrame) -> str:
    """Return sentences on the depths at which no start learns anything, or some start does not."""
    chance = float(found["chance"].iloc[0])
    means = found.groupby(["depth", "init"])["score"].mean()
    best = means.groupby("depth").max()
    stuck = best.index[best <= chance + POINT]
    told = ""
    if len(stuck):
        told = (
            f" At {joined([f'depth {depth}' for depth in stuck])} no start trains: the best mean is "
            f"{100 * best[stuck].max():.1f} % (chance {100 * chance:.0f} %), so that accuracy compares nothing "
            "there."
        )
    for depth in best.index.difference(stuck):
        here = means[depth]
        idle, others = here[here <= chance + POINT], here[here > chance + POINT]
        if len(idle):
            reached = [f"{init} ({100 * mean:.1f} %)" for init, mean in others.items()]
            told += (
                f" At depth {depth} {joined(list(idle.index))} {verb(len(idle), 'does', 'do')} not train: the best "
                f"mean is {100 * idle.max():.1f} % (chance {100 * chance:.0f} %), whereas "
                f"{joined(reached)} {verb(len(reached), 'does', 'do')}."
            )
    return told


def _figure(found: pd.DataFrame, linear: float) -> Figure:
    looks = panels.looks_of(("rbm", *DRAWN))
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""],
            ["after fine-tuning", "at the start"],
            (2.9, 2.4),
            sharey=False,
            gap=0.85,
            left=0.75,
        )
        left, right = axes[0]
        handles = panels.scores(left, found, "init", looks, linear)
        panels.means(right, found, "depth", "ratio", "init", looks)
        right.axhline(0.0, color=panels.GREY, linewidth=0.8)
        right.set_xlabel("depth")
        right.set_ylabel("decades of the gradient kept")
        layout.legend_above(figure, [*panels.handles(looks), *handles])
    return figure


CLAIM = Claim(
    id="I6",
    sentence="Pre-training layer by layer with RBMs (DBN), then fine-tuning, gives good initial weights.",
    notes=("002",),
    says=(
        "Note 002: pairs of neighbouring layers are trained as RBMs in turn, which optimizes the initial "
        "weights; since they are set well, fine-tuning needs only small adjustments."
    ),
    experiments=("ledger_rbm", "ledger_rbm_ordinary", "ledger_linear"),
    quantity=(
        "Test accuracy after 200 updates, at the rate of 0.03, 0.1, 0.3, 1, 3 and 10 that tuning seeds choose on "
        "the validation split; and log10 of the signal gradient in the first over the last hidden layer at step "
        "0. Both pre-trained less drawn, paired by seed."
    ),
    rule=(
        "Sigmoid, depth 3 and 6, ten seeds each; good means better than the drawn starts xavier_normal and "
        "he_normal, so four comparisons a part. Accuracy: the mean gain exceeds one point (paired one-sided "
        "t-test at 5 %), and stands against the claim if it is below one point. Gradient: more decades are "
        "kept (paired t-test above 0; where a gradient is exactly 0, a sign test). A part is supported if "
        "all four pass (intersection-union), refuted if some show the contrary (Holm) and none passes, "
        "conditional if both occur. The claim is supported if both parts are, refuted if both are refuted, "
        "else conditional, or inconclusive if a part is and none contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "Pre-trained weights are a better start of a deep sigmoid network than drawn ones.",
        "conditional": "Pre-trained weights are the better start of a sigmoid network in some respects or "
        "depths, not in all.",
        "refuted": "Pre-trained weights do not make a better start of a sigmoid network than drawn ones.",
    },
    limits=(
        "The literature pre-trains on binary digits. Bernoulli RBMs that are shown the grey values of mnist1d "
        "themselves learn next to nothing, since these vary too little; here they are shown binary samples "
        "of them, drawn anew each epoch, for ten epochs at scikit-learn's other defaults, which are not "
        "tuned. All 4,000 samples have labels, whereas pre-training pays most where labels are few; 200 "
        "updates of fine-tuning at rates up to 10: a depth at which no start trains in that time compares "
        "nothing, and deeper networks, for which pre-training is said to matter, are not trained here."
    ),
    amendments=(Amendment("1554c0d026bb", "bd2c00abaee0", LENGTHENED),),
)
