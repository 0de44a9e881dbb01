"""G6: ReLU is said to solve vanishing gradients."""

from __future__ import annotations

import functools

import pandas as pd

from analysis.frames import Study
from analysis.ledger import decision, drawing, outcomes
from analysis.ledger.claim import Amendment, Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, networks, paired, tuned, ways, where, whole
from analysis.ledger.series import WIDENED
from analysis.words import signed

DEPTH = 32

STEPS = 200

DECADE = 1.0
"""What counts as no change over 32 layers: a factor of ten either way."""

LEARNT = 0.01
"""Accuracy above chance that counts as having learnt."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh ReLU against sigmoid at the start, against no change, and in training."""
    chosen = where(activation=["sigmoid", "relu"], init=ORDINARY, depth=DEPTH, steps=0, data=data)
    found = whole(
        networks(study, chosen), activation=["sigmoid", "relu"], init=ORDINARY, depth=[DEPTH]
    )
    found = ways(study, found)
    less, same, trains = [], [], []
    for init in ORDINARY:
        part = found[found["init"] == init]
        relu, sigmoid = (part[part["activation"] == one] for one in ("relu", "sigmoid"))
        pairs = paired(relu, sigmoid, "ratio")
        less.append(outcomes.above_ranked(init, pairs["difference"], 0.0))
        same.append(outcomes.within_ranked(init, relu["ratio"], -DECADE, DECADE))
    chosen = where(
        activation="relu", init=ORDINARY, depth=DEPTH, steps=STEPS, probe__steps=8,
        probe__samples=256, data=data,
    )  # fmt: skip
    trained = whole(tuned(study, chosen), init=ORDINARY)
    for init in ORDINARY:
        part = trained[trained["init"] == init]
        trains.append(outcomes.above(init, part["score"] - part["chance"], LEARNT))
    parts = (
        Part("ReLU loses less than sigmoid", tuple(less), decision.for_every(less), "decades more kept"),
        Part("keeps the gradient within a factor of ten", tuple(same), decision.for_every(same),
             "log10 of the gradient, first over last hidden layer"),
        Part("and trains", tuple(trains), decision.for_every(trains), "test accuracy above chance"),
    )  # fmt: skip
    kept = [test for test in same if test.verdict == "supported"]
    said = (
        f"At depth {DEPTH} ReLU keeps {signed(min(one.estimate for one in less), '+')} to "
        f"{signed(max(one.estimate for one in less), '+')} decades more than sigmoid. It keeps the gradient "
        f"within a factor of ten with {', '.join(one.label for one in kept) or 'no ordinary start'}, and "
        "trains with "
        f"{', '.join(one.label for one in trains if one.verdict == 'supported') or 'none of them'}."
    )
    return Evidence(
        parts,
        pd.concat([found.assign(part="start"), trained.assign(part="training")], ignore_index=True),
        len(found) + len(trained),
        said,
        functools.partial(drawing.forest, parts, ""),
        f"Three questions at depth {DEPTH}, an estimate with its 95 % interval for each ordinary start, over "
        f"{found['seed'].nunique()} seeds: how many decades more of the gradient ReLU keeps than sigmoid "
        "(paired by seed), whether it keeps it within a factor of ten, and what it learns in "
        f"{STEPS} steps at its best rate ({int((trained['status'] == 'diverged').sum())} networks diverged and "
        "count as chance).",
    )


CLAIM = Claim(
    id="G6",
    sentence="ReLU solves the vanishing gradient.",
    notes=("000", "001", "003", "004"),
    says=(
        "Note 000 lists it as ReLU's first advantage; 001 says that ReLU is used now and solved it; 003 calls "
        "it the function that will, and 004 says that its gradient stays 1 however large the input is."
    ),
    experiments=("ledger_start", "ledger_training"),
    quantity=(
        "log10 of the signal gradient in the first over the last hidden layer at step 0, depth 32, ReLU less "
        "sigmoid paired by seed, and ReLU's own; test accuracy less chance after 200 steps, at the rate that "
        "tuning seeds choose on the validation split of 0.01, 0.03, 0.1, 0.3, 1 and 3."
    ),
    rule=(
        "Three parts, each over torch_default, xavier_normal, he_normal and orthogonal with ten seeds, each "
        "supported if it holds for every one (intersection-union at 5 %), refuted if it fails for some (Holm) "
        "and holds for none, conditional if both occur: ReLU keeps more than sigmoid (paired t-test above 0); "
        "it keeps the gradient within one decade (two one-sided t-tests against ±1); its mean accuracy at the "
        "best rate is above chance by more than 1 point (t-test). Where a ratio is not finite sign tests of the "
        "median replace the t-tests. The claim is supported if all three parts "
        "are, refuted if all are refuted, else conditional, or inconclusive if a part is and none contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "ReLU keeps the gradient through 32 layers with any ordinary start.",
        "conditional": "Whether ReLU does all three, lose less than sigmoid, keep the gradient and train, depends on "
        "the start.",
        "refuted": "ReLU by itself does not keep the gradient.",
    },
    limits="Dense networks of width 64; 200 steps.",
    amendments=(
        Amendment(
            "0c6e7d22014d",
            "310daa88f6f9",
            WIDENED,
        ),
    ),
)
