"""G1: deep sigmoid networks lose the gradient layer by layer."""

from __future__ import annotations

import functools

from analysis.frames import Study
from analysis.ledger import decision, drawing, outcomes
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, networks, ways, where, whole
from analysis.words import signed

DEPTHS = (8, 16, 32)

STEEP = -0.1
"""Decades per layer: eight layers then lose most of one."""


def judge(study: Study, data: str) -> Evidence:
    """Weigh the slopes of sigmoid networks, with those of the same weights without an activation beside."""
    chosen = where(
        activation=["sigmoid", "identity"], init=ORDINARY, depth=DEPTHS, steps=0, data=data
    )
    found = whole(
        networks(study, chosen), activation=["sigmoid", "identity"], init=ORDINARY, depth=DEPTHS
    )
    found = ways(study, found)
    sigmoid = found[found["activation"] == "sigmoid"]
    tests = tuple(
        outcomes.below_ranked(f"{init}, depth {depth}", part["slope"], STEEP)
        for (init, depth), part in sigmoid.groupby(["init", "depth"])
    )
    verdict = decision.for_every(tests)
    slopes = [test.estimate for test in tests]
    control = found[found["activation"] == "identity"].groupby(["init", "depth"])["slope"].mean()
    said = (
        f"Every layer passes on 10^{signed(min(slopes), '+', 2)} to 10^{signed(max(slopes), '+', 2)} of the "
        f"gradient. The same weights without an activation pass 10^{signed(control.min(), '+', 2)} to "
        f"10^{signed(control.max(), '+', 2)}."
    )
    return Evidence(
        (Part("", tests, verdict, "decades per layer, from output to input"),),
        found,
        len(found),
        said,
        functools.partial(
            drawing.lines, found, "depth", "ratio", "log10 of the first over the last hidden layer",
            "activation", "init",
        ),
        "log10 of the signal gradient in the first over the last hidden layer at the start, against depth: "
        f"mean and 95 % Student interval over {found['seed'].nunique()} seeds. Sigmoid falls in a straight "
        "line, which is a loss by the same factor in every layer; identity, the same weights without an "
        "activation, is the control.",
    )  # fmt: skip


CLAIM = Claim(
    id="G1",
    sentence="In a deep sigmoid network the gradient shrinks layer by layer towards the input.",
    notes=("000", "001", "002", "003", "004"),
    says=(
        "All five notes give it as the reason why deep networks did not train: a product of many numbers "
        "below 1 comes out near 0."
    ),
    experiments=("ledger_start",),
    quantity=(
        "Slope of log10 of the signal gradient (RMS over samples and units of ∂L/∂z) at step 0 over the "
        "hidden layers, from output to input, in decades per layer; one number a seed."
    ),
    rule=(
        "Sigmoid with torch_default, xavier_normal, he_normal and orthogonal at depth 8, 16 and 32, ten seeds "
        "each. Supported if the mean slope is below −0.1 in every one of them (one-sided t-tests at 5 %, "
        "intersection-union); refuted if it is above −0.1 in some (Holm over all) and below in none "
        "(Holm); conditional if both occur. Where a slope is not finite a sign test of the median replaces "
        "the t-test, and −∞, where nothing arrives, counts as below."
    ),
    judge=judge,
    lessons={
        "supported": "A sigmoid loses a constant factor of the gradient in every layer, whatever the ordinary "
        "start.",
        "conditional": "A sigmoid loses the gradient layer by layer with some ordinary starts, not with all.",
        "refuted": "A sigmoid does not lose the gradient layer by layer.",
    },
    limits="Its slopes had been seen when the rule was last worded; the margin is the one set before. Dense networks of width 64 without normalization.",
)
