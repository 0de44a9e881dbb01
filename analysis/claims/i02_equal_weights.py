"""I2: units of a layer that start with equal weights stay equal."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import layers, networks, where, whole
from analysis.words import joined

ACTIVATIONS = ("sigmoid", "tanh", "relu")

STEPS = 100

TOLERANCE = 1e-5
"""Of their norm, up to which two units' weights count as equal: that of ``twin_units``."""

MOVED = 10 * TOLERANCE
"""Of its norm a layer must have gone at least, or staying equal says nothing."""


def judge(study: Study, data: str) -> Evidence:
    """Count units that differ after training, in networks that moved."""
    chosen = where(
        activation=ACTIVATIONS, init="constant", init__value=0.1, depth=3, steps=STEPS, data=data
    )
    found = whole(networks(study, chosen), activation=ACTIVATIONS)
    table = _layers(study, found)
    alike = table.groupby("cell").agg(
        alike=("alike", lambda one: one.min(skipna=False)), path=("path", "max")
    )
    holds = (alike["alike"] == 1).astype(float)
    # a network that stayed where it was, or whose units are not known, says nothing
    holds = holds.mask(alike["alike"].isna() | ~(alike["path"] >= MOVED))
    tests = [
        outcomes.settled(activation, found[found["activation"] == activation]["cell"].map(holds))
        for activation in ACTIVATIONS
    ]
    went = table.groupby("activation")["path"].max()
    same = [test.label for test in tests if test.verdict == "supported"]
    said = (
        f"After {STEPS} updates all units of a layer still have the same weights with "
        f"{joined(same) or 'no activation'}, to {TOLERANCE:g} of their norm. In that time the layer that "
        "moved most went "
        + joined([f"{went[one]:.2g} of its norm with {one}" for one in ACTIVATIONS])
        + "."
    )
    return Evidence(
        (Part("", tuple(tests), decision.for_every(tests), "of networks keep their units equal"),),
        table,
        len(found),
        said,
        functools.partial(_figure, table),
        f"Every hidden layer of {len(found)} networks after {STEPS} updates, all weights 0.1 at the start: "
        "how far its weights went, a mark a seed. A red cross is a layer some of whose units differ at the end. "
        "Right of the dashed line without one: they learnt, and stayed one unit. A mark at the left edge is a "
        "layer that never moved.",
    )


def _layers(study: Study, found: pd.DataFrame) -> pd.DataFrame:
    """Return a row a network and hidden layer: ``alike``, the share of units that are one, and ``path``.

    The path is the sum of the norms of all updates, by the trapezoid rule over the probe steps, by the norm
    of the weights at the start.
    """
    rows = layers(study, found["cell"], "twin_units, weight_norm, update_norm", "true")
    rows = rows.merge(found[["cell", "activation", "depth", "seed"]], on="cell")
    rows = rows[rows["layer"] < rows["depth"]]
    made = []
    for (cell, layer), part in rows.groupby(["cell", "layer"]):
        first, last = part.iloc[0], part.iloc[-1]
        steps, updates = part["step"].to_numpy(), part["update_norm"].to_numpy(float, copy=True)
        # the last step has no next update
        updates[-1] = updates[-2]
        made.append(
            {
                "cell": cell,
                "activation": first["activation"],
                "seed": first["seed"],
                "layer": layer,
                "alike": (last["twin_units"] + 1) / last["units"],
                "path": np.trapezoid(updates, steps) / first["weight_norm"],
            }
        )
    return pd.DataFrame(made)


def _figure(table: pd.DataFrame) -> Figure:
    looks = panels.looks_of(ACTIVATIONS)
    rows = [(name, layer) for name in ACTIVATIONS for layer in sorted(table["layer"].unique())]
    moved = table.loc[np.isfinite(table["path"]) & (table["path"] > 0), "path"]
    with style.house_style():
        figure, axes = layout.panel_grid([""], [""], (5.0, 2.0), left=1.15)
        axis = axes[0, 0]
        for place, (name, layer) in enumerate(rows):
            part = table[(table["activation"] == name) & (table["layer"] == layer)]
            colour, marker = looks[name]
            for alike, sign in ((True, marker), (False, "x")):
                chosen = part[(part["alike"] == 1) == alike]
                still = chosen["path"] == 0
                there = np.full(len(chosen), float(place))
                axis.plot(
                    chosen["path"].where(~still), there, sign, markersize=6, alpha=0.7, linestyle="none",
                    color=colour if alike else style.FAULT, markeredgewidth=1.5 if sign == "x" else 0,
                )  # fmt: skip
                axis.plot(
                    [0.0] * int(still.sum()), there[still], "<", color=colour if alike else style.FAULT,
                    transform=axis.get_yaxis_transform(), clip_on=False,
                )  # fmt: skip
        axis.axvline(MOVED, color="black", linestyle="--", linewidth=0.9)
        axis.set_xscale("log")
        axis.set_xlim(min(MOVED / 10, moved.min() / 3) if len(moved) else MOVED / 10, None)
        axis.set_yticks(range(len(rows)), labels=[f"{name}, layer {layer}" for name, layer in rows])
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlabel("way of the layer's weights in training, by their norm at the start")
        handles = [
            Line2D([], [], color="#777777", marker="o", linestyle="none", label="all units equal"),
            Line2D(
                [], [], color=style.FAULT, marker="x", markeredgewidth=1.5, linestyle="none",
                label="some differ, or unknown",
            ),
            Line2D([], [], color="black", linestyle="--", linewidth=0.9, label="moved enough to tell"),
        ]  # fmt: skip
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="I2",
    sentence="Units of a layer that start with equal weights stay equal in training.",
    notes=(),
    says=(
        "Beyond the notes: 002 asks for starts that are not all 0 and does not say why another constant "
        "would not do."
    ),
    experiments=("ledger_equal",),
    quantity=(
        "Units of a hidden layer whose incoming weights and bias are those of an earlier unit, up to 1e-5 of "
        "their norm, after 100 updates; and the way of the layer's weights until then: the sum of the norms "
        "of all updates (trapezoid rule over the probe steps) by the norm of the weights at the start."
    ),
    rule=(
        "Sigmoid, tanh and ReLU, depth 3, every weight 0.1, rate 0.1, ten seeds each. For an activation it "
        "holds if in every seed and hidden layer all units but one have such an earlier unit, and fails if a "
        "seed has a layer in which one differs; a network none of whose hidden layers went at least 1e-4 of "
        "its norm, or whose units are not known, counts for neither and leaves it open. Supported if it holds "
        "for every activation, refuted if it fails for some and holds for none, conditional if both occur."
    ),
    judge=judge,
    lessons={
        "supported": "Units that start equal stay equal: such a layer is one unit, however wide.",
        "conditional": "Units that start equal stay equal with some activations and come apart with others.",
        "refuted": "Units that start equal come apart in training.",
    },
    limits=(
        "Equal to 1e-5: rounding in float32 may drive units apart later. Without dropout, which would tell "
        "them apart."
    ),
)
