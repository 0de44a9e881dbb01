"""I3: the rules of Xavier and He as a lecture note gives them, beside the published ones."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import measurements
from analysis.ledger.series import span
from analysis.words import joined

SOURCES = {
    "note": "the note's sentence, word by word",
    "lecture": "the code that it retells",
}

RULES = {"xavier": "Xavier", "he": "He"}

SAME = 1e-9
"""Relative difference up to which two numbers are one but for rounding."""


def judge(study: Study, data: str) -> Evidence:
    """Compare mean and standard deviation of the weights, layer by layer."""
    del data
    found = measurements(study, "start_rules")
    table = _beside(found)
    parts = []
    for source, name in SOURCES.items():
        tests = []
        for rule, author in RULES.items():
            part = table[(table["source"] == source) & (table["rule"] == rule)]
            for row in part.itertuples():
                label = f"{author}, {row.fan_in} → {row.fan_out}"
                tests.append(replace(outcomes.settled(label, [row.same], row.size), each="shape"))
        if not tests:
            raise NoEvidence(f"the task start_rules lacks the rules of: {name}")
        parts.append(
            Part(
                name,
                tuple(tests),
                decision.for_every(tests),
                "times the published size of a weight",
            )
        )
    said = f"{_told(table, 'note', 'Word by word')} {_told(table, 'lecture', 'As code')}"
    drawn = _drawn(found, table)
    return Evidence(
        tuple(parts),
        pd.concat([table, drawn], ignore_index=True),
        0,
        said,
        functools.partial(_figure, table, drawn),
        "Size of a weight (root mean square) by that of the published rule, for layers of several shapes; "
        "the line at 1 is Glorot and Bengio 2010 and He et al. 2015. Dots: what the study itself draws, mean "
        "of ten seeds. Off the line: another rule.",
    )


def _beside(found: pd.DataFrame) -> pd.DataFrame:
    """Return a row a rule, source and shape: ``size`` by the published one, and whether it is the ``same``.

    That is 1 if mean and standard deviation are the published ones, 0 if not, NaN where one is unknown.
    """
    keys = ["fan_in", "fan_out", "rule", "source"]
    given = found[found["rule"].isin(RULES) & (found["source"] != "study")]
    wide = given.pivot(index=keys, columns="quantity", values="value").reset_index()
    published = wide[wide["source"] == "published"].drop(columns="source")
    both = wide[wide["source"] != "published"].merge(
        published, on=keys[:-1], how="left", suffixes=("", " published")
    )
    right = both["standard deviation published"]
    apart = np.maximum(
        (both["mean"] - both["mean published"]).abs(), (both["standard deviation"] - right).abs()
    )
    size = np.hypot(both["mean"], both["standard deviation"]) / right
    same = (apart <= SAME * right).astype(float).mask(apart.isna() | right.isna())
    return both.assign(size=size, same=same).sort_values(keys, kind="stable")


def _told(table: pd.DataFrame, source: str, how: str) -> str:
    part = table[table["source"] == source]
    words = []
    for rule, name in RULES.items():
        own = part[part["rule"] == rule]
        right = int((own["same"] == 1).sum())
        words.append(
            f"{name}'s rule is the published one on {right} of {len(own)} shapes (weights "
            f"{span(_times(own['size'].min()), _times(own['size'].max()))} times as large)"
        )
    return f"{how}, {joined(words)}."


def _times(size: float) -> str:
    return f"{float(f'{size:.2g}'):,.10g}"


def _drawn(found: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the size of the weights that the study draws, by that of the published rule."""
    own = found[(found["source"] == "study") & (found["quantity"] == "standard deviation")]
    own = own.assign(rule=own["rule"].str.removesuffix("_normal"))
    own = own[own["rule"].isin(RULES)]
    means = own.groupby(["fan_in", "fan_out", "rule", "source"])["value"].mean().reset_index()
    right = table.drop_duplicates(["fan_in", "fan_out", "rule"])
    right = right[["fan_in", "fan_out", "rule", "standard deviation published"]]
    means = means.merge(right, on=["fan_in", "fan_out", "rule"])
    return means.assign(size=means["value"] / means["standard deviation published"])


def _figure(table: pd.DataFrame, drawn: pd.DataFrame) -> Figure:
    looks = {"note": (style.FAULT, "X"), "lecture": ("#0072B2", "o")}
    shapes = sorted(set(zip(table["fan_in"], table["fan_out"], strict=True)))
    place = {shape: number for number, shape in enumerate(shapes)}
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], list(RULES.values()), (3.2, 2.6), left=0.8, bottom=0.75
        )
        for axis, rule in zip(axes[0], RULES, strict=True):
            axis.axhline(1.0, color="black", linewidth=1.0, linestyle="--", zorder=1)
            for source, (colour, marker) in looks.items():
                part = table[(table["source"] == source) & (table["rule"] == rule)]
                at = [place[shape] for shape in zip(part["fan_in"], part["fan_out"], strict=True)]
                axis.plot(at, part["size"], marker, color=colour, markersize=8, linestyle="none")
            part = drawn[drawn["rule"] == rule]
            at = [place[shape] for shape in zip(part["fan_in"], part["fan_out"], strict=True)]
            axis.plot(at, part["size"], ".", color=panels.GREY, markersize=5, linestyle="none")
            axis.set_yscale("log")
            axis.margins(y=0.1)
            axis.set_xticks(
                range(len(shapes)), labels=[f"{a}→{b}" for a, b in shapes], rotation=35, ha="right"
            )
            axis.set_xlim(-0.5, len(shapes) - 0.5)
        figure.supxlabel("fan_in → fan_out", fontsize=9, y=0.01)
        axes[0, 0].set_ylabel("weights, by the published size")
        handles = [
            Line2D(
                [],
                [],
                color=colour,
                marker=marker,
                markersize=8,
                linestyle="none",
                label=SOURCES[one],
            )
            for one, (colour, marker) in looks.items()
        ]
        handles += [
            Line2D([], [], color="black", linestyle="--", linewidth=1.0, label="published"),
            Line2D(
                [], [], color=panels.GREY, marker=".", linestyle="none", label="drawn by the study"
            ),
        ]
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="I3",
    sentence=(
        "Xavier's start takes a number between fan_in and fan_out and divides it by √fan_in, He's by "
        "√(fan_in/2)."
    ),
    notes=("002",),
    says=(
        'Note 002, "to put it simply": an arbitrary number between the number of inputs (fan_in) and that '
        "of outputs (fan_out), divided by the root of fan_in for Xavier and of fan_in/2 for He."
    ),
    experiments=(),
    tasks=("start_rules",),
    quantity=(
        "Mean and standard deviation of a layer's weights by the note's rule, against those published: mean 0 "
        "and variance 2/(fan_in + fan_out) (Glorot and Bengio 2010, eq. 12) or 2/fan_in (He et al. 2015, eq. "
        "10)."
    ),
    rule=(
        "Two readings, each for Xavier and He on six shapes (64→64, 64→256, 256→64, 784→10, 10→784, 1→100): "
        "the note's sentence word by word, a number uniform between fan_in and fan_out; and the code that it "
        "retells, standard normal numbers in a matrix of that shape. A rule is the published one on a shape "
        "if mean and standard deviation are, up to 1e-9 of the published deviation; NaN leaves it open. A "
        "reading is supported if that is so for both rules on every shape, refuted if on none, conditional if "
        "on some. The claim is supported if both readings are, refuted if both are refuted, else conditional, "
        "or inconclusive if a reading is and none contradicts."
    ),
    judge=judge,
    lessons={
        "supported": "The note's rules are the published ones.",
        "conditional": "The note's rules are the published ones only if read in one way, or on some shapes.",
        "refuted": "The note's rules are not the published ones.",
    },
    limits=(
        "Of a rule for random numbers mean and standard deviation are compared, not the shape of the "
        "distribution. The lecture's code is known from what the note retells."
    ),
)
