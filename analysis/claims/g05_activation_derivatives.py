"""G5: derivatives of activations are said to be half of the factors, and to cause the vanishing."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import ORDINARY, measurements, networks, paired, ways, where, whole
from analysis.statistics import student_interval

DEPTHS = (8, 16, 32)

HALF = 0.5

COUNTED = {
    "split": "σ' = h·(1 − h) as two factors",
    "whole": "σ' as one factor",
}

NOTED = {2: (2.0, 4.0), 1: (4.0, 7.0)}
"""Of the network of two layers in note 000, by layer: derivatives and factors."""


def judge(study: Study, data: str) -> Evidence:
    """Count factors on autograd's graph, and split what sigmoid loses into derivatives and weights."""
    counts = counted(measurements(study, "backprop_factors"))
    chosen = where(
        activation=["sigmoid", "identity"], init=ORDINARY, depth=DEPTHS, steps=0, data=data
    )
    found = whole(
        networks(study, chosen), activation=["sigmoid", "identity"], init=ORDINARY, depth=DEPTHS
    )
    split = divided(ways(study, found))
    noted, half = [], []
    for layer, (derivatives, factors) in NOTED.items():
        rows = counts[
            (counts["depth"] == 2) & (counts["layer"] == layer) & (counts["derivative"] == "split")
        ]
        name = f"{derivatives:g} of {factors:g}, weight of layer {layer} of 2"
        same = (rows["derivatives"] == derivatives) & (rows["factors"] == factors)
        noted.append(replace(_exact(name, rows, same), each="count"))
    for kind, name in COUNTED.items():
        rows = counts[(counts["layer"] == 1) & (counts["derivative"] == kind)]
        half.append(replace(_exact(name, rows, rows["share"] >= HALF), each="depth"))
    causes = tuple(
        outcomes.above_ranked(f"{init}, depth {depth}", part["share"], HALF)
        for (init, depth), part in split.groupby(["init", "depth"])
    )
    parts = (
        Part("the note's own counts", tuple(noted), decision.for_every(noted), "share of factors"),
        Part("at least half of the factors at every depth", tuple(half), decision.for_every(half),
             "share of factors"),
        Part("and they cause more than half of the vanishing", causes, decision.for_every(causes),
             "share of the decades lost"),
    )  # fmt: skip
    shares = {
        kind: counts.loc[(counts["layer"] == 1) & (counts["derivative"] == kind), "share"]
        for kind in COUNTED
    }
    said = (
        f"Of the factors {100 * shares['split'].min():.0f} to {100 * shares['split'].max():.0f} % are "
        "derivatives if σ' counts as the two that it is written with, "
        f"{100 * shares['whole'].min():.0f} to {100 * shares['whole'].max():.0f} % if it counts as one. Of the "
        f"decades that sigmoid loses they take {100 * min(one.estimate for one in causes):.0f} to "
        f"{100 * max(one.estimate for one in causes):.0f} %; beyond 100 % the weights by themselves would have "
        "let the gradient grow."
    )
    return Evidence(
        parts,
        pd.concat([counts.assign(part="factors"), split.assign(part="decades")], ignore_index=True),
        2 * len(split),
        said,
        functools.partial(draw, counts, split),
        "Left: share of activation derivatives among the factors between loss and first weight, counted on "
        "autograd's graph of sigmoid networks, exact. Right: decades of the signal gradient that sigmoid "
        "networks lose (below 0) or gain from the last hidden layer to the first, and how much of it is left "
        "when the same weights have no activation; the rest is that of the derivatives. Mean and 95 % Student "
        f"interval over {split['seed'].nunique()} seeds.",
    )


def _exact(name: str, rows: pd.DataFrame, holds: pd.Series) -> decision.Outcome:
    known = bool(len(rows)) and bool(np.isfinite(rows["share"]).all())
    share = float(rows["share"].min()) if known else np.nan
    return outcomes.exactly(name, holds if known else [], share)


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return depth, layer and way of counting with derivatives, factors and share, of sigmoid networks.

    Raises:
        NoEvidence: there are none with a sigmoid output, which is the note's.
    """
    rows = rows[(rows["activation"] == "sigmoid") & (rows["output"] == "sigmoid")]
    if rows.empty:
        raise NoEvidence("the task counted no factors of sigmoid networks")
    table = rows.pivot_table(
        index=["depth", "layer", "derivative"], columns="quantity", values="value", dropna=False
    ).reset_index()
    table = table.rename(columns={"activation derivatives": "derivatives"})
    table = table[["depth", "layer", "derivative", "derivatives", "factors"]]
    return table.assign(share=table["derivatives"] / table["factors"])


def divided(found: pd.DataFrame) -> pd.DataFrame:
    """Return per seed what the weights do by themselves, what derivatives add, and the share of the latter.

    The share is 0 where nothing vanishes, and 1 where nothing arrives through derivatives alone.
    """
    sides = [found[found["activation"] == one] for one in ("sigmoid", "identity")]
    both = paired(sides[0], sides[1], "ratio", ("init", "depth", "seed"))
    both = both.rename(columns={"one": "all", "other": "weights", "difference": "derivatives"})
    with np.errstate(invalid="ignore"):
        share = (both["derivatives"] / both["all"]).where(both["all"] < 0, 0.0)
    nothing = np.isneginf(both["all"]) & np.isfinite(both["weights"])
    return both.assign(share=share.mask(nothing, 1.0).mask(both["all"].isna()))


def draw(counts: pd.DataFrame, split: pd.DataFrame) -> Figure:
    """Draw the share of factors against depth, and the decades of weights and of derivatives."""
    tones = {"split": "#D55E00", "whole": "#882255"}
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], ["factors", "decades"], (3.3, 2.6), sharex=False, sharey=False, gap=1.0, left=0.7, bottom=0.95
        )  # fmt: skip
        left, right = axes[0]
        for kind, name in COUNTED.items():
            part = counts[(counts["layer"] == 1) & (counts["derivative"] == kind)]
            left.plot(part["depth"], part["share"], color=tones[kind], label=name)
        left.axhline(HALF, color="black", linestyle="--", linewidth=0.9)
        left.set_ylim(0, 1)
        left.yaxis.set_major_formatter(style.percent())
        left.set_xlabel("depth")
        left.set_ylabel("activation derivatives")
        keys = [(init, depth) for init in ORDINARY for depth in DEPTHS]
        places = np.arange(len(keys)) + np.repeat(np.arange(len(ORDINARY)) * 0.7, len(DEPTHS))
        for place, (init, depth) in zip(places, keys, strict=True):
            part = split[(split["init"] == init) & (split["depth"] == depth)]
            for offset, column, colour in ((-0.2, "all", "#D55E00"), (0.2, "weights", "#555555")):
                span = student_interval(part[column])
                right.bar(place + offset, span.mean, 0.4, color=colour)
                right.plot(
                    [place + offset] * 2, [span.low, span.high], color="black", linewidth=0.9
                )
        right.axhline(0, color="black", linewidth=0.8)
        right.set_xticks(places, labels=[str(depth) for _, depth in keys])
        right.grid(False, axis="x")
        right.set_ylabel("log10, first over last")
        for index, init in enumerate(ORDINARY):
            middle = places[len(DEPTHS) * index : len(DEPTHS) * (index + 1)].mean()
            right.annotate(
                init.replace("_", "\n"), (middle, 0), xycoords=("data", "axes fraction"),
                xytext=(0, -18), textcoords="offset points", ha="center", va="top", fontsize=8,
            )  # fmt: skip
        right.set_xlabel("depth and initializer", labelpad=26)
        handles: list[Artist] = [
            Line2D([], [], color=tones[kind], label=name) for kind, name in COUNTED.items()
        ]
        handles += [
            Line2D([], [], color="black", linestyle="--", linewidth=0.9, label="half"),
            Patch(color="#D55E00", label="sigmoid"),
            Patch(color="#555555", label="same weights, no activation"),
        ]
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="G5",
    sentence=(
        "At least half of the factors in the backpropagated product are activation derivatives, and they "
        "cause the vanishing."
    ),
    notes=("000",),
    says=(
        "Note 000 marks in the formula of a sigmoid network 2 of 4 factors in one layer and 4 of 7 in the next: "
        "more than 50 % come from differentiating the activation, and that is the cause of vanishing."
    ),
    experiments=("ledger_start",),
    tasks=("backprop_factors",),
    quantity=(
        "Factors on the path of autograd's graph from a squared error to a weight, sigmoid in every layer: how "
        "many are activation derivatives, σ' counted as h·(1 − h), two factors, or as one; for the weight of "
        "layer 1 at depth 2 to 32. And of the decades that the signal gradient loses from the last hidden "
        "layer to the first at step 0, the share that is not lost with the same weights without an activation "
        "(1 less identity's ratio over sigmoid's, in logarithms; 0 where sigmoid loses nothing)."
    ),
    rule=(
        "Three parts. Exact: of a two-layer network, σ' as two factors, 2 of 4 (layer 2) and 4 of 7 (layer 1) "
        "are derivatives. Exact: at every depth at least half are, by either way of counting; conditional if by "
        "one way alone. With torch_default, xavier_normal, he_normal and orthogonal at depth 8, 16 and 32, ten "
        "seeds paired: the mean share of decades is above 0.5 in each (one-sided t-tests at 5 %, "
        "intersection-union; a sign test of the median where a share is not finite); refuted if it is below "
        "0.5 in some (Holm) and above in none (Holm); conditional if both occur. The claim is supported or "
        "refuted if all three parts are, else conditional, or inconclusive if a part is and nothing contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "Activation derivatives are at least half of the factors, and lose most of the gradient.",
        "conditional": "How many of the factors are derivatives is a matter of counting; how much each kind "
        "loses must be measured.",
        "refuted": "Activation derivatives are neither half of the factors nor the cause of the vanishing.",
    },
    limits=(
        "How many factors there are says nothing of their size. The split by the identity control lets both "
        "networks have their own signals: it is of the whole product, not of single factors."
    ),
)
