"""A4: a layer whose units are all dead is said to stop learning for good."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import layers, networks, where
from analysis.ledger.series import ON_ALL_SAMPLES, only
from analysis.words import points

KILLED = (1, 2, 3)

MARGIN = 0.02

OPTIMIZERS = {
    "plain SGD": ("sgd", 0.0),
    "momentum": ("momentum", 0.0),
    "weight decay": ("sgd", 0.001),
    "momentum and weight decay": ("momentum", 0.001),
}

MOVED = "largest gradient or update at or below the dead layer"

GRADIENT = "largest gradient at or below the dead layer"


def judge(study: Study, data: str) -> Evidence:
    """Look for anything but 0 at and below a dead layer, at every probe step."""
    condition = where(
        activation="relu", init="killed", init__layer=KILLED, depth=5, steps=100, data=data,
        optim=["sgd", "momentum"], optim__lr=0.1, optim__weight_decay=[0.0, 0.001],
    )  # fmt: skip
    more = {
        "killed": "CAST(settings->>'$.init.layer' AS INTEGER)",
        "optimizer": "optim",
        "decay": "weight_decay",
    }
    found = networks(study, f"{condition} AND {ON_ALL_SAMPLES}", more)
    found, rows = _sizes(study, found)
    parts = []
    for name, (optimizer, decay) in OPTIMIZERS.items():
        own = only(found, optimizer=optimizer, decay=decay)
        column = "gradient" if decay else "moved"
        tests = [
            outcomes.all_zero(f"{name}, dead layer {layer}", only(own, killed=layer)[column])
            for layer in KILLED
        ]
        title = (
            f"With {name} nothing below gets a gradient"
            if decay
            else f"With {name} nothing below moves"
        )
        unit = GRADIENT if decay else MOVED
        parts.append(Part(title, tuple(tests), decision.for_every(tests), unit))
    plain = only(found, optimizer="sgd", decay=0.0)
    learnt = [
        outcomes.within(
            f"plain SGD, dead layer {layer}",
            (part := only(plain, killed=layer))["score"] - part["chance"],
            -MARGIN,
            MARGIN,
        )
        for layer in KILLED
    ]
    parts.append(
        Part("The whole network stays at chance", tuple(learnt), decision.for_every(learnt),
             "test accuracy above chance")
    )  # fmt: skip
    still = int((plain["moved"] == 0).sum())
    decayed = found[found["decay"] > 0]
    said = (
        f"With plain SGD {still} of {len(plain)} networks have nothing but exact zeros at and below their dead "
        f"layer at every probe step; {int((found['alive'] > 0).sum())} of all {len(found)} networks ever have "
        "a unit of it alive again. Weight decay shrinks the dead weights to "
        f"{decayed['shrunk'].mean():.1%} of their norm, without a gradient. Test accuracy ends "
        f"{points(float((plain['score'] - plain['chance']).mean()))} points from chance."
    )
    return Evidence(
        tuple(parts),
        found,
        len(found),
        said,
        functools.partial(_draw, rows.loc[rows["optimizer"] == "sgd", DRAWN]),
        "Networks of five layers, of which one has no unit that is alive on any training sample: the size of "
        "the update of each layer's weights at each probe step (median over "
        f"{found['seed'].nunique()} seeds), for each dead layer (red frame) with plain SGD and with weight "
        "decay. White with a 0: exactly 0 in every network.",
    )


def _sizes(study: Study, found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return networks with what their layers up to the dead one do, and those rows of all layers."""
    rows = layers(
        study,
        found["cell"],
        "weight_grad_norm, bias_grad_norm, update_norm, weight_norm, dead_units",
        "true",
    )
    rows = rows.merge(found[["cell", "seed", "killed", "optimizer", "decay"]], on="cell")
    below = rows[rows["layer"] <= rows["killed"]]
    gradient = below[["weight_grad_norm", "bias_grad_norm"]].astype(float).max(axis=1, skipna=False)
    # the last step has no update
    update = below["update_norm"].astype(float).where(below["step"] < below["step"].max(), 0.0)
    by_cell = below.assign(gradient=gradient, update=update, moved=np.maximum(gradient, update))
    largest = by_cell.groupby("cell")[["gradient", "update", "moved"]].agg(
        lambda values: values.max(skipna=False)
    )
    dead = rows[rows["layer"] == rows["killed"]].copy()
    dead["alive"] = dead["units"] - dead["dead_units"].astype(float)
    dead["norm"] = dead["weight_norm"].astype(float)
    own = dead.groupby("cell").agg(
        alive=("alive", "max"), first=("norm", "first"), last=("norm", "last")
    )
    own["shrunk"] = own["last"] / own["first"]
    return found.join(largest, on="cell").join(own[["alive", "shrunk"]], on="cell"), rows


DRAWN = ["decay", "killed", "layer", "step", "update_norm"]


def _draw(rows: pd.DataFrame) -> Figure:
    shown = {"plain SGD": 0.0, "weight decay": 0.001}
    rows = rows[rows["step"] < rows["step"].max()]
    steps = sorted(rows["step"].unique())
    sizes = rows["update_norm"].astype(float)
    positive = sizes[sizes > 0]
    norm = style.matplotlib.colors.LogNorm(
        positive.min() if len(positive) else 0.1, positive.max() if len(positive) else 1.0
    )
    colours = style.matplotlib.colormaps["viridis_r"]
    with style.house_style():
        names = [f"dead layer {layer}" for layer in KILLED]
        figure, axes = layout.panel_grid(list(shown), names, (2.1, 1.5), bottom=0.5)
        for row, decay in zip(axes, shown.values(), strict=True):
            for killed, axis in zip(KILLED, row, strict=True):
                part = rows[(rows["killed"] == killed) & (rows["decay"] == decay)]
                grid = part.pivot_table(
                    index="layer", columns="step", values="update_norm", aggfunc="median"
                ).reindex(index=range(1, 6), columns=steps)
                largest = part.pivot_table(
                    index="layer", columns="step", values="update_norm", aggfunc="max"
                ).reindex(index=range(1, 6), columns=steps)
                values = grid.to_numpy(dtype=float)
                axis.set_facecolor(style.MISSING_FACE)
                image = np.ma.masked_where(~(values > 0), values)
                axis.imshow(image, cmap=colours, norm=norm, aspect="auto", origin="lower",
                            extent=(-0.5, len(steps) - 0.5, 0.5, 5.5))  # fmt: skip
                for layer, column in zip(*np.nonzero(largest.to_numpy() == 0), strict=True):
                    axis.add_patch(
                        style.plt.Rectangle((column - 0.5, layer + 0.5), 1, 1, color="white")
                    )
                    axis.text(column, layer + 1, "0", ha="center", va="center", fontsize=7)
                frame = style.plt.Rectangle(
                    (-0.5, killed - 0.5),
                    len(steps),
                    1,
                    fill=False,
                    edgecolor=style.FAULT,
                    linewidth=1.6,
                )
                axis.add_patch(frame)
                axis.grid(False)
                axis.set_yticks(range(1, 6))
                axis.set_xlim(-0.5, len(steps) - 0.5)
                shown_steps = range(0, len(steps), 3)
                axis.set_xticks(shown_steps, labels=[str(steps[one]) for one in shown_steps])
        for axis in axes[-1]:
            axis.set_xlabel("updates done")
        for row in axes:
            row[0].set_ylabel("layer")
        layout.bar_above(
            figure,
            style.matplotlib.cm.ScalarMappable(norm, colours),
            "norm of the update of the weights (0: exactly 0 in every network; red frame: the dead layer)",
        )
    return figure


CLAIM = Claim(
    id="A4",
    sentence="If every unit of a layer is dead, learning stops for good.",
    notes=("000",),
    says=(
        "Note 000, as ReLU's drawback (“knockout problem”): if by bad luck all gradients of a layer become 0, no "
        "more learning takes place."
    ),
    experiments=("ledger_killed",),
    quantity=(
        "Norms of ∂L/∂W, ∂L/∂b (float64) and of the realised update of W in the dead layer and every layer "
        "below it, at all probe steps of 100 updates at rate 0.1; the largest of a network counts, NaN is no 0. "
        "Test accuracy less chance at the end."
    ),
    rule=(
        "ReLU networks of five layers whose layer 1, 2 or 3 is dead on the whole training set, ten seeds each. "
        "Five parts, each for every dead layer: with plain SGD, and with momentum, all these gradients and "
        "updates are exactly 0 in every network; with weight decay, and with both, the gradients are (decay "
        "shrinks weights without learning); with plain SGD the mean test accuracy is within 2 points of chance "
        "(two one-sided t-tests at 5 %). A part is supported if it holds for all dead layers, refuted if it "
        "fails for some and holds for none, conditional if both occur, inconclusive where numbers are missing "
        "or not finite. The claim is supported if all parts are, refuted if all are, conditional if one is or they contradict each other, else inconclusive."
    ),
    judge=judge,
    lessons={
        "supported": "Nothing below a dead layer ever moves by a gradient again, and the network stays at chance.",
        "conditional": "A dead layer does not stop all learning for good, whatever the optimizer and the layer.",
        "refuted": "Layers below a dead one learn again.",
    },
    limits=(
        "A layer that is dead by construction, z below −1 on every training sample, from the start on: momentum "
        "has nothing in store that could move it, as it would have had the layer died later. The bias of the "
        "output layer still learns how frequent classes are."
    ),
)  # fmt: skip
