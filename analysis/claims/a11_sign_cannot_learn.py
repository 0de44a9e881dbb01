"""A11: a sign function cannot be trained by gradient descent."""

from __future__ import annotations

import functools

import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import layers, networks, where
from analysis.ledger.series import only

DEPTHS = (2, 3, 5)

STEPS = 50


def judge(study: Study, data: str) -> Evidence:
    """Look for anything but 0 below a sign function."""
    found = networks(
        study,
        where(
            activation="sign",
            init="xavier_normal",
            depth=DEPTHS,
            steps=STEPS,
            optim__lr=0.1,
            data=data,
        ),
    )
    rows = layers(
        study, found["cell"], "weight_grad_norm, bias_grad_norm, update_norm", "true"
    ).merge(found[["cell", "depth"]], on="cell")
    below = rows[rows["layer"] < rows["depth"]]
    # the last step has no update
    update = below["update_norm"].astype(float).where(below["step"] < STEPS, 0.0)
    sizes = below[["weight_grad_norm", "bias_grad_norm"]].astype(float).assign(update=update)
    largest = (
        sizes.max(axis=1, skipna=False)
        .groupby(below["cell"])
        .agg(lambda values: values.max(skipna=False))
    )
    found = found.assign(largest=found["cell"].map(largest))
    tests = tuple(
        outcomes.all_zero(f"depth {depth}", only(found, depth=depth)["largest"]) for depth in DEPTHS
    )
    score, chance = float(found["score"].mean()), float(found["chance"].iloc[0])
    said = (
        f"In {int((found['largest'] == 0).sum())} of {len(found)} networks every gradient and every update "
        f"below the output layer is exactly 0. The output layer, which has no sign function behind it, "
        f"reaches {score:.1%} by itself (chance {chance:.0%})."
    )
    return Evidence(
        (
            Part(
                "",
                tests,
                decision.for_every(tests),
                "largest gradient or update below a sign function",
            ),
        ),
        found,
        len(found),
        said,
        functools.partial(_draw, rows),
        "Norm of the gradient of each layer's weights, at every probe step (dots; the median over "
        f"{found['seed'].nunique()} seeds), in networks with a sign function behind each hidden layer. Red "
        "crosses: exactly 0 in every network at every probe step. Only the output layer has a gradient.",
    )


def _draw(rows: pd.DataFrame) -> Figure:
    colour = style.colours(["sign"])["sign"]
    norms = rows["weight_grad_norm"].astype(float)
    top = 1.15 * max(float(norms.max()), 1e-12)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], [f"depth {depth}" for depth in DEPTHS], (1.9, 2.0), sharex=False
        )
        for depth, axis in zip(DEPTHS, axes[0], strict=True):
            part = rows[rows["depth"] == depth]
            for layer, own in part.groupby("layer"):
                sizes = own["weight_grad_norm"].astype(float)
                if (sizes == 0).all():
                    axis.plot(layer, 0, "x", color=style.FAULT, markersize=8, markeredgewidth=2,
                              clip_on=False)  # fmt: skip
                    continue
                medians = sizes.groupby(own["step"]).median()
                axis.plot(
                    [layer] * len(medians), medians, "o", color=colour, alpha=0.6, markersize=5
                )
            axis.set_xticks(range(1, depth + 1))
            axis.set_xlim(0.5, depth + 0.5)
            axis.set_xlabel("layer")
        axes[0, 0].set_ylim(-0.04 * top, top)
        axes[0, 0].set_ylabel("norm of ∂L/∂W")
        layout.legend_above(
            figure,
            [
                panels.handle("gradient (a probe step)", colour, "o", linestyle="none"),
                panels.handle("exactly 0", style.FAULT, "x", linestyle="none", markeredgewidth=2),
            ],
        )
    return figure


CLAIM = Claim(
    id="A11",
    sentence="A network of sign functions cannot be trained by gradient descent.",
    notes=("001",),
    says=(
        "Note 001 lists the sign function among activations and says that sigmoid was used because "
        "backpropagation takes derivatives; that a sign function cannot be trained is what follows, not what it "
        "says."
    ),
    experiments=("ledger_sign",),
    quantity=(
        "Norms of ∂L/∂W, ∂L/∂b (float64) and of the realised update of W in every layer below the output "
        f"layer, at all probe steps of {STEPS} updates of plain SGD at rate 0.1; the largest of a network "
        "counts, NaN is no 0."
    ),
    rule=(
        "Networks with a sign function behind each hidden layer at depth 2, 3 and 5, xavier_normal, ten seeds "
        "each. Supported if all these norms are exactly 0 in every network; refuted if at no depth they are in "
        "every one; conditional if at some depths they are and at others not; inconclusive where numbers are "
        "missing or not finite. What the output layer alone learns is told beside."
    ),
    judge=judge,
    lessons={
        "supported": "Nothing below a sign function gets a gradient: gradient descent trains the output layer alone.",
        "conditional": "Whether a sign function lets a gradient through depends on depth.",
        "refuted": "Layers below a sign function do get a gradient.",
    },
    limits=(
        "The derivative of a step is 0 wherever it has one, so that this tests the program as much as the claim. "
        "Surrogate derivatives, with which such networks are trained, are another method."
    ),
)  # fmt: skip
