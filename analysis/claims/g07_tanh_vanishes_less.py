"""G7: tanh is said to vanish too, but less than sigmoid."""

from __future__ import annotations

import functools

import numpy as np

from analysis.frames import Study
from analysis.ledger import decision, drawing, outcomes
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, networks, paired, ways, where, whole
from analysis.words import joined, share, signed

ACTIVATIONS = ("sigmoid", "tanh")

DEPTHS = (8, 16, 32)

STEEP = -0.1
"""Decades per layer, as for sigmoid in G1."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh tanh's slopes against a margin, and its ratios against sigmoid's."""
    chosen = where(
        activation=[*ACTIVATIONS, "identity"], init=ORDINARY, depth=DEPTHS, steps=0, data=data
    )
    found = whole(networks(study, chosen), activation=ACTIVATIONS, init=ORDINARY, depth=DEPTHS)
    found = ways(study, found)
    vanishes, less = [], []
    for init in ORDINARY:
        for depth in DEPTHS:
            here = found[(found["init"] == init) & (found["depth"] == depth)]
            sigmoid, tanh = (here[here["activation"] == one] for one in ACTIVATIONS)
            name = f"{init}, depth {depth}"
            vanishes.append(outcomes.below_ranked(name, tanh["slope"], STEEP))
            kept = paired(tanh, sigmoid, "ratio")["difference"]
            less.append(outcomes.above_ranked(name, kept, 0.0))
    parts = (
        Part("tanh vanishes", tuple(vanishes), decision.for_every(vanishes),
             "decades per layer, from output to input"),
        Part("less than sigmoid", tuple(less), decision.for_every(less),
             "decades that tanh keeps more, first over last hidden layer"),
    )  # fmt: skip
    lasting = [one.label for one in vanishes if one.verdict == "supported"]
    said = (
        f"tanh passes on 10^{signed(min(one.estimate for one in vanishes), '+', 2)} to "
        f"10^{signed(max(one.estimate for one in vanishes), '+', 2)} of the gradient in every layer and vanishes "
        f"in {share(len(lasting), len(vanishes), 'condition')}"
        + (f" ({joined(lasting)})" if 0 < len(lasting) < len(vanishes) else "")
        + f". It keeps {signed(min(one.estimate for one in less), '+')} to "
        f"{signed(max(one.estimate for one in less), '+')} decades more than sigmoid."
    )
    return Evidence(
        parts,
        found,
        len(found),
        said,
        functools.partial(
            drawing.lines, found, "depth", "ratio", "log10 of the first over the last hidden layer",
            "activation", "init", {"unchanged": 0.0},
        ),
        "log10 of the signal gradient in the first over the last hidden layer at the start, against depth: "
        f"mean and 95 % Student interval over {found['seed'].nunique()} seeds. Tanh vanishes where its line "
        "falls, and less than sigmoid where it lies higher; identity, the same weights without an activation, "
        f"is the control. {int((~np.isfinite(found['ratio'])).sum())} networks have no finite ratio.",
    )  # fmt: skip


CLAIM = Claim(
    id="G7",
    sentence="tanh vanishes too, since its derivative is at most 1, but less than sigmoid, whose is smaller.",
    notes=("003", "004"),
    says=(
        "Note 003: the derivatives of sigmoid and tanh are at most 1, so that the gradient comes nearer 0 "
        "towards the input. Note 004: tanh's derivative is the larger, but its saturated units still stop "
        "learning. That tanh therefore vanishes less is what the two say together."
    ),
    experiments=("ledger_start",),
    quantity=(
        "Slope of log10 of the signal gradient at step 0 over the hidden layers of tanh networks, from output "
        "to input, in decades per layer; and log10 of it in the first over the last hidden layer, tanh less "
        "sigmoid, paired by seed."
    ),
    rule=(
        "torch_default, xavier_normal, he_normal and orthogonal at depth 8, 16 and 32, ten seeds. Two parts, "
        "each supported if it holds in all twelve (intersection-union at 5 %), refuted if it fails in some "
        "(Holm) and holds in none (Holm), conditional if both occur: tanh's mean slope is below −0.1 "
        "(one-sided t-tests; above −0.1 stands against it); tanh keeps more than sigmoid (paired one-sided "
        "t-tests above 0; below 0 stands against it). Where a number is not finite a sign test of the median "
        "replaces the t-test. The claim is supported or refuted if both parts are, else conditional, or "
        "inconclusive if a part is and nothing contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "tanh loses the gradient layer by layer with every ordinary start, but less than sigmoid.",
        "conditional": "Whether tanh vanishes depends on the start and the depth: a derivative of at most 1 "
        "does not decide it.",
        "refuted": "tanh does not vanish with ordinary starts, nor does it keep more than sigmoid.",
    },
    limits="Dense networks of width 64 before training; saturation in training is another claim.",
)
