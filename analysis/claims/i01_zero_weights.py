"""I1: weights that are all zero are said to make every gradient zero."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import layers, networks, where, whole
from analysis.words import joined

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu", "identity")

DEPTHS = (2, 4)

STEPS = 20

KINDS = {
    "weights below the output": ("weight_grad_norm", True),
    "biases below the output": ("bias_grad_norm", True),
    "weights of the output": ("weight_grad_norm", False),
    "biases of the output": ("bias_grad_norm", False),
}
"""Kinds of parameters: their column, and whether they belong to hidden layers."""


def judge(study: Study, data: str) -> Evidence:
    """Look for gradients that are not exactly 0, by kind of parameter and activation."""
    chosen = where(activation=ACTIVATIONS, init="zeros", depth=DEPTHS, steps=STEPS, data=data)
    found = whole(networks(study, chosen), activation=ACTIVATIONS, depth=DEPTHS)
    norms = _norms(study, found)
    start = norms[norms["step"] == 0]
    parts = []
    for kind in KINDS:
        tests = []
        for activation in ACTIVATIONS:
            values = start[start["activation"] == activation].groupby("seed")[kind].agg(_largest)
            holds = (values == 0).astype(float).mask(values.isna())
            tests.append(outcomes.settled(activation, holds))
        parts.append(
            Part(kind, tuple(tests), decision.for_every(tests), "of seeds have no gradient")
        )
    awake = {
        part.name: [test.label for test in part.tests if test.verdict == "refuted"]
        for part in parts
    }
    told = [f"{kind} with {_names(found)}" for kind, found in awake.items() if found]
    last = norms[norms["step"] == STEPS]
    still = [
        activation
        for activation in ACTIVATIONS
        if (last[last["activation"] == activation]["weights below the output"] == 0).all()
    ]
    said = (
        f"With all weights 0 a gradient reaches {joined(told) or 'no parameter'}. After {STEPS} updates "
        f"the weights below the output still have none with {_names(still)}."
    )
    return Evidence(
        tuple(parts),
        norms,
        len(found),
        said,
        functools.partial(_figure, norms),
        "Norm of the gradient of each kind of parameter, by activation: at the start and after "
        f"{STEPS} updates, in networks of {' and '.join(map(str, DEPTHS))} layers whose weights and biases "
        f"all start at 0; the largest of {found['seed'].nunique()} seeds and of the layers of that kind. "
        "White with a 0: exactly 0 in every one of them.",
    )


def _names(activations: list[str]) -> str:
    if len(activations) == len(ACTIVATIONS):
        return "every activation"
    return joined(activations) or "none"


def _largest(norms: pd.Series) -> float:
    """Return the largest norm; where none is above 0 and one is not known, that is not known either."""
    found = float(norms.max())
    return found if found > 0 else float(norms.max(skipna=False))


def _norms(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network and step: of each kind of parameter the largest norm of a layer."""
    rows = layers(study, found["cell"], "weight_grad_norm, bias_grad_norm", f"step IN (0, {STEPS})")
    rows = rows.merge(found[["cell", "activation", "depth", "seed"]], on="cell")
    hidden = rows["layer"] < rows["depth"]
    columns = {}
    for kind, (column, below) in KINDS.items():
        part = rows[hidden == below]
        columns[kind] = part.groupby(["cell", "step"])[column].agg(_largest)
    table = pd.concat(columns, axis=1).reset_index()
    return found[["cell", "activation", "depth", "seed"]].merge(table, on="cell")


def _figure(norms: pd.DataFrame) -> Figure:
    titles = {0: "at the start", STEPS: f"after {STEPS} updates"}
    every = norms[list(KINDS)].to_numpy(dtype=float)
    positive = np.log10(every[np.isfinite(every) & (every > 0)])
    ends = (positive.min(), positive.max()) if len(positive) else (-1.0, 0.0)
    shades = Normalize(ends[0] - 0.5, ends[1] + 0.5)
    colours = style.matplotlib.colormaps["Blues"]
    with style.house_style():
        figure, axes = layout.panel_grid(
            [f"depth {depth}" for depth in DEPTHS], list(titles.values()), (3.3, 2.0), left=1.0,
            bottom=0.55, gap=0.22,
        )  # fmt: skip
        for row, depth in zip(axes, DEPTHS, strict=True):
            for axis, step in zip(row, titles, strict=True):
                part = norms[(norms["depth"] == depth) & (norms["step"] == step)]
                table = part.groupby("activation")[list(KINDS)].agg(_largest)
                for y, activation in enumerate(ACTIVATIONS):
                    for x, kind in enumerate(KINDS):
                        value = float(table.loc[activation, kind])
                        _tile(axis, x, y, value, colours, shades)
                axis.set_xlim(-0.5, len(KINDS) - 0.5)
                axis.set_ylim(len(ACTIVATIONS) - 0.5, -0.5)
                axis.set_xticks(range(len(KINDS)), labels=[_short(kind) for kind in KINDS])
                axis.set_yticks(range(len(ACTIVATIONS)), labels=list(ACTIVATIONS))
                axis.grid(False)
                axis.tick_params(length=0)
    return figure


def _short(kind: str) -> str:
    return kind.replace(" below the output", "\nbelow").replace(" of the output", "\nof output")


def _tile(axis: Axes, x: int, y: int, value: float, colours: Colormap, shades: Normalize) -> None:
    zero, known = value == 0, np.isfinite(value)
    shade = shades(np.log10(value)) if known and not zero else 0.0
    face = "white" if zero else colours(shade) if known else style.MISSING_FACE
    axis.add_patch(
        Rectangle(
            (x - 0.47, y - 0.45), 0.94, 0.9, facecolor=face, edgecolor="#BBBBBB", linewidth=0.6
        )
    )
    text = "0" if zero else f"{value:.1g}".replace("-", "−") if known else "not known"
    dark = known and not zero and shade > 0.6
    axis.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")


CLAIM = Claim(
    id="I1",
    sentence="If all weights start at zero, every gradient is zero.",
    notes=("002",),
    says=(
        "Note 002: with 0 as the start backpropagation multiplies by 0, so that everything behind becomes 0 "
        "and the final gradient is 0."
    ),
    experiments=("ledger_zeros",),
    quantity=(
        "Norms of ∂L/∂W and ∂L/∂b at step 0, of every layer, in float64: whether they are exactly 0. "
        "Weights and biases start at 0."
    ),
    rule=(
        "Sigmoid, tanh, ReLU, leaky ReLU, PReLU, GELU and identity at depth 2 and 4, ten seeds each. Four "
        "parts, by kind of parameter: weights below the output layer, biases below it, the output's weights, "
        "its biases. For an activation a part holds if the norm is exactly 0 in every layer of the kind, "
        "depth and seed, and fails if one is not; a norm that is NaN leaves it open unless another fails. A "
        "part is supported if it holds for every activation, refuted if it holds for none, conditional if "
        "both occur. The claim is supported if all four parts are, refuted if all are refuted, else "
        "conditional, or inconclusive if a part is and none contradicts. What has a gradient after 20 updates "
        "is shown and decides nothing."
    ),
    judge=judge,
    lessons={
        "supported": "All-zero weights leave no parameter a gradient.",
        "conditional": "All-zero weights silence some parameters and leave others a gradient; the four kinds "
        "tell which.",
        "refuted": "All-zero weights leave every kind of parameter a gradient.",
    },
    limits=(
        "Biases start at 0, too, as is usual. The note says nothing of biases; its reason, a product with "
        "the zero weights above, is about the layers below the output."
    ),
)
