"""A10: which activation suits is said to depend on the task."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Amendment, Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import tuned, where
from analysis.ledger.series import only
from analysis.statistics import student_interval
from analysis.words import joined

TASKS = ("mnist1d", "digits", "spirals", "diabetes")

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu", "sine")

INITS = ("xavier_normal", "he_normal")

DEPTHS = (3, 8)

POINT = 0.01


def judge(study: Study, data: str) -> Evidence:
    """Ask of every activation whether another one is better by a point on some task."""
    del data
    found = tuned(
        study,
        where(
            activation=NAMES, init=INITS, depth=DEPTHS, data=TASKS, steps=200, probe__steps=3,
            probe__samples=128,
        ),
        {"subject": "data"},
        ("subject", "activation", "init", "depth"),
    )  # fmt: skip
    lacking = [task for task in TASKS if task not in set(found["subject"])]
    if lacking:
        raise NoEvidence(
            f"it compares four data sets with each other, and the study lacks {joined(lacking)}"
        )
    # as a network that diverged: worse than the mean of all is not worse than nothing
    found["score"] = found["score"].clip(lower=0.0)
    scores = found.groupby(["depth", "subject", "seed", "activation"])["score"].mean().unstack()
    parts, winners = [], []
    for depth in DEPTHS:
        for task, name in itertools.product(TASKS, NAMES):
            only(found, depth=depth, subject=task, activation=name)
        tests = [_beaten(scores.loc[depth], name) for name in NAMES]
        # it depends on the task unless there is one that suits all of them
        suits = [replace(one, p_for=one.p_against, p_against=one.p_for) for one in tests]
        verdict = decision.opposite(decision.for_some(suits))
        if verdict.word == "inconclusive":
            # it hangs on the one that is furthest from being beaten, not on the first in the list
            weakest = max(tests, key=lambda one: one.p_for)
            verdict = replace(verdict, deciding=weakest, p=weakest.p_for)
        parts.append(
            Part(
                f"Depth {depth}",
                tuple(tests),
                verdict,
                "largest shortfall on a task: score behind another",
            )
        )
        best = scores.loc[depth].groupby("subject").mean().idxmax(axis=1)
        winners.append(f"at depth {depth} " + joined([f"{best[task]} on {task}" for task in TASKS]))
    ranks = scores.rank(axis=1, ascending=False).stack().rename("rank").reset_index()
    suiting = [
        f"{', '.join(part.verdict.refuted) or 'none'} ({part.name.lower()})" for part in parts
    ]
    said = (
        f"The best mean score has {'; '.join(winners)}. Within a point of the best on every task: "
        f"{'; '.join(suiting)}."
    )
    lost = int((found["status"] == "diverged").sum())
    return Evidence(
        tuple(parts),
        found.merge(ranks, on=["depth", "subject", "seed", "activation"]),
        len(found),
        said,
        functools.partial(_draw, ranks),
        "Rank of each activation by test accuracy (diabetes: R²) after 200 updates, the mean of two "
        "initializers each at its best rate: mean and 95 % Student interval of the rank over "
        f"{found['seed'].nunique()} seeds, 1 is best. Lines that cross are activations that suit other tasks; "
        f"{lost} networks diverged.",
    )


def _beaten(scores: pd.DataFrame, name: str) -> decision.Outcome:
    """Test that on some task another activation is better by a point, against within a point on all."""
    tests = []
    for task, part in scores.groupby("subject"):
        for other in NAMES:
            if other != name:
                behind = (part[other] - part[name]).dropna()
                tests.append(outcomes.above(f"{other} on {task}", behind, POINT))
    worst = max(tests, key=lambda one: one.estimate)
    return replace(
        worst,
        label=name,
        p_for=min(decision.holm([one.p_for for one in tests])),
        p_against=max(one.p_against for one in tests),
    )


def _draw(ranks: pd.DataFrame) -> Figure:
    colours, markers = style.colours(NAMES), style.markers(NAMES)
    with style.house_style():
        figure, axes = layout.panel_grid([""], [f"depth {depth}" for depth in DEPTHS], (3.2, 2.8))
        for depth, axis in zip(DEPTHS, axes[0], strict=True):
            for shift, name in zip(np.linspace(-0.15, 0.15, len(NAMES)), NAMES, strict=True):
                part = ranks[(ranks["depth"] == depth) & (ranks["activation"] == name)]
                rows = [student_interval(only(part, subject=task)["rank"]) for task in TASKS]
                places = np.arange(len(TASKS)) + shift
                axis.plot(
                    places, [one.mean for one in rows], color=colours[name], marker=markers[name],
                    markersize=5, linewidth=0.9,
                )  # fmt: skip
                axis.vlines(
                    places,
                    [one.low for one in rows],
                    [one.high for one in rows],
                    color=colours[name],
                )
            axis.set_xticks(range(len(TASKS)), labels=TASKS)
        axes[0, 0].set_ylim(len(NAMES) + 0.5, 0.5)
        axes[0, 0].set_yticks(range(1, len(NAMES) + 1))
        axes[0, 0].set_ylabel("rank (1 is best)")
        handles = [panels.handle(name, colours[name], markers[name]) for name in NAMES]
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="A10",
    sentence="Which activation suits depends on the task.",
    notes=("004",),
    says=(
        "Note 004: many studies propose the activation that is right for a task, such as periodic functions, "
        "GELU and SiLU."
    ),
    experiments=("ledger_tasks",),
    quantity=(
        "Test accuracy (diabetes: R², at least 0; diverged: chance or 0) after 200 updates, mean of xavier_normal and he_normal, each at the rate "
        "that tuning seeds choose on the validation split of 0.03, 0.1, 0.3, 1 and 3; for every activation the largest "
        "mean difference, paired by seed, by which another one is ahead of it on a task."
    ),
    rule=(
        "Sigmoid, tanh, ReLU, leaky ReLU, GELU, SiLU and sine on mnist1d, digits, spirals and diabetes, ten "
        "seeds each; two parts, depth 3 and 8. Refuted if some activation suits every task: one that no other "
        "is ahead of by as much as 1 point on any task (one-sided t-tests at 5 %, intersection-union over the "
        "24 comparisons; Holm over the seven activations). Supported if every activation is beaten: for each one "
        "another is ahead by more than 1 point on some task (Holm over its 24 comparisons, then "
        "intersection-union over the seven). Else inconclusive. The claim is supported if both parts are, "
        "refuted if both are, conditional if one is or they contradict each other, else inconclusive."
    ),
    judge=judge,
    lessons={
        "supported": "No activation is within a point of the best on all four tasks.",
        "conditional": "Whether one activation suits all tasks depends on depth.",
        "refuted": "One activation is within a point of the best on all four tasks.",
    },
    limits=(
        "Four small tasks, dense networks of width 64, plain SGD and 200 updates; sine with frequency 1. A point "
        "of R² is not a point of accuracy."
    ),
    amendments=(
        Amendment(
            "f4873ab215d1",
            "ca2aea212ed8",
            "The list of rates ended at 0.3, and 68 of the 112 conditions of ledger_tasks chose that, so that it was "
            "not known whether they were at their best; 1 and 3 were added for every activation alike, after the "
            "results of the shorter list had been seen and before any at 1 or 3 was.",
        ),
    ),
)  # fmt: skip
