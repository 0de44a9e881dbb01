"""A1: ReLU leaves half of the units active, and is said to act like dropout."""

from __future__ import annotations

import functools
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, Part
from analysis.ledger.select import ORDINARY, networks, paired, tuned, where
from analysis.ledger.series import LISTED, TRAINED, average, hidden, only
from analysis.words import points, signed

LOW, HIGH = 0.45, 0.55

START_DEPTHS, DEPTHS = (4, 8, 16, 32), (2, 3, 8, 32)

SIDES = (("tanh", 0.0), ("tanh", 0.5), ("relu", 0.0), ("relu", 0.5))


def judge(study: Study, data: str) -> Evidence:
    """Weigh active shares at the start and after training, and ReLU's train–test gap against dropout's."""
    start = networks(
        study, where(activation="relu", init=ORDINARY, depth=START_DEPTHS, steps=0, data=data)
    )
    start = start.assign(share=average(start, hidden(study, start, "active_share"), "active_share"))
    end = tuned(study, where(activation="relu", init=ORDINARY, depth=DEPTHS, data=data, **TRAINED))
    last = hidden(study, end, "active_share", f"step = {TRAINED['steps']}")
    # what diverged has no unit that is of use
    end = end.assign(share=average(end, last, "active_share")).fillna({"share": 0.0})
    halves = []
    for found, depths in ((start, START_DEPTHS), (end, DEPTHS)):
        halves.append(
            [
                outcomes.within(
                    f"{init}, depth {depth}",
                    only(found, init=init, depth=depth)["share"],
                    LOW,
                    HIGH,
                )
                for init in ORDINARY
                for depth in depths
            ]
        )
    gaps = tuned(
        study,
        where(
            activation=["tanh", "relu"], init="he_normal", depth=3, steps=500, data=data,
            data__train_size=500, dropout=[0.0, 0.5],
        ),
        {"dropped": "coalesce(dropout, 0.0)"},
        ("activation", "init", "depth", "dropped"),
    )  # fmt: skip
    like, by_dropout = _like_dropout(gaps)
    parts = (
        Part("At the start", tuple(halves[0]), decision.for_every(halves[0]), "active share"),
        Part("After training", tuple(halves[1]), decision.for_every(halves[1]), "active share"),
        Part("Like dropout on the train–test gap", (like,), decision.for_every([like]),
             "gap beyond half of dropout's effect"),
    )  # fmt: skip
    before, after = ([test.estimate for test in tests] for tests in halves)
    lost = int((pd.concat([end, gaps])["status"] == "diverged").sum())
    mean = gaps.groupby(["activation", "dropped"])["gap"].mean()
    said = (
        f"At the start {min(before):.1%} to {max(before):.1%} of ReLU's units are active, after training "
        f"{min(after):.1%} to {max(after):.1%}. Dropout changes tanh's train–test gap by "
        f"{points(by_dropout.estimate)} points, ReLU in tanh's place by "
        f"{points(mean['relu', 0.0] - mean['tanh', 0.0])}; training accuracy is {_split(gaps, 'training')}, test "
        f"accuracy {_split(gaps, 'score')}; {lost} networks diverged."
    )
    return Evidence(
        parts,
        pd.concat(
            [start.assign(part="start"), end.assign(part="trained"), gaps.assign(part="gap")],
            ignore_index=True,
        ),
        len(start) + len(end) + len(gaps),
        said,
        functools.partial(_draw, start, end, gaps),
        "Share of active units (z > 0), mean over the hidden layers, at the start and after "
        f"{TRAINED['steps']} updates at the best rate: mean and 95 % Student interval over "
        f"{start['seed'].nunique()} seeds; dotted: the margins around one half. Right: training less test "
        f"accuracy after 500 updates on 500 samples, a faint dot a seed; {lost} networks diverged.",
    )


def _split(gaps: pd.DataFrame, column: str) -> str:
    means = gaps.groupby(["activation", "dropped"])[column].mean()
    return (
        f"{means['tanh', 0.0]:.0%} with tanh, {means['tanh', 0.5]:.0%} with tanh and dropout and "
        f"{means['relu', 0.0]:.0%} with ReLU"
    )


def _like_dropout(gaps: pd.DataFrame) -> tuple[decision.Outcome, decision.Outcome]:
    tanh, dropped, relu = (
        only(gaps, activation=activation, dropped=share) for activation, share in SIDES[:3]
    )
    drop = paired(dropped, tanh, "gap")
    effects = drop.merge(paired(relu, tanh, "gap"), on="seed", suffixes=("_dropout", "_relu"))
    by_dropout = outcomes.below("dropout on tanh", effects["difference_dropout"], 0.0)
    like = outcomes.below(
        "ReLU against tanh, depth 3",
        effects["difference_relu"] - effects["difference_dropout"] / 2,
        0.0,
    )
    # without an effect of dropout there is nothing to be like; a diverged network has no gap
    doubt = 1.0 if (gaps["status"] == "diverged").any() else by_dropout.p_for
    like = replace(like, p_for=max(like.p_for, doubt), p_against=max(like.p_against, doubt))
    return like, by_dropout


def _draw(start: pd.DataFrame, end: pd.DataFrame, gaps: pd.DataFrame) -> Figure:
    colours, markers = style.colours(ORDINARY), style.markers(ORDINARY)
    with style.house_style():
        names = ["At the start", "After training", "Train–test gap"]
        figure, axes = layout.panel_grid(
            [""], names, (2.5, 2.4), sharex=False, sharey=False, gap=0.62, bottom=0.62
        )
        for axis, found in zip(axes[0, :2], (start, end), strict=True):
            for init in ORDINARY:
                part = found[found["init"] == init]
                panels.line(axis, part, "depth", "share", colours[init], markers[init])
            for bound in (LOW, HIGH):
                axis.axhline(bound, color=panels.GREY, linewidth=0.9, linestyle=":")
            panels.ticks(axis, sorted(found["depth"].unique()))
            axis.set_ylim(0, 1)
            axis.yaxis.set_major_formatter(style.percent())
            axis.set_xlabel("depth")
        axes[0, 0].set_ylabel("active share of the units")
        own = style.colours(["tanh", "relu"])
        for place, (activation, share) in enumerate(SIDES):
            part = only(gaps, activation=activation, dropped=share)
            panels.seeds(axes[0, 2], place, 100 * part["gap"], own[activation])
        labels = [f"{name}\n+ dropout" if share else name for name, share in SIDES]
        axes[0, 2].set_xticks(range(len(SIDES)), labels=labels)
        axes[0, 2].set_ylabel("gap in points")
        axes[0, 2].set_ylim(bottom=min(0.0, axes[0, 2].get_ylim()[0]))
        handles = [panels.handle(init, colours[init], markers[init]) for init in ORDINARY]
        handles += panels.level_handles({"½ ± 0.05": 0.5})
        layout.legend_above(figure, handles)
    return figure


CLAIM = Claim(
    id="A1",
    sentence="ReLU leaves half of the units active, which acts like dropout.",
    notes=("000",),
    says=(
        "Note 000 lists sparse activation as an advantage: as the gradient is 0 or 1, half of the nodes "
        "survive by chance, an effect similar to dropout's."
    ),
    experiments=("ledger_start", "ledger_training", "ledger_dropout"),
    quantity=(
        "Share of z > 0 over probe samples and units, mean over the hidden layers of a network, at step 0 and "
        f"after {TRAINED['steps']} updates at the rate that tuning seeds choose on the validation split; "
        "training less test accuracy (gap) after 500 updates on 500 samples at depth 3 with he_normal, at each "
        "side's own best rate, for tanh, tanh with dropout 0.5 and ReLU, paired by seed."
    ),
    rule=(
        "Three parts, ten seeds each. (1) Start: torch_default, xavier_normal, he_normal and orthogonal at "
        "depth 4, 8, 16 and 32; (2) after training: the same at depth 2, 3, 8 and 32; a diverged network has "
        "the share 0. Each supported if the mean share is within 0.45 and 0.55 in every condition (two "
        "one-sided t-tests at 5 %, intersection-union), refuted if it is outside in some (Holm) and inside "
        "beyond doubt in none, conditional if both occur. (3) Like dropout: the change of the gap from tanh to "
        "ReLU, less half of its change from tanh to tanh with dropout; supported if its mean is below 0 "
        "(one-sided t-test), which is at least half of dropout's effect, refuted if above; inconclusive unless "
        "dropout itself lowers the gap (t-test at 5 %), and if a network of this part diverged. The claim is "
        "supported if all parts are, refuted if all are, conditional if one is or they contradict each other, else inconclusive."
    ),
    judge=judge,
    lessons={
        "supported": "Half of ReLU's units are active before and after training, and the train–test gap shrinks "
        "at least half as much as by dropout.",
        "conditional": "That half of ReLU's units are active and that it acts like dropout do not both hold "
        "everywhere.",
        "refuted": "ReLU's active share is not one half, and it does not act like dropout.",
    },
    limits=(
        f"Dense networks of width 64; a margin of {signed(HIGH - 0.5, digits=2)} around one half; the gap is "
        "compared with tanh's, as the notes name no other network to compare with. An equal gap is not the "
        "same mechanism: dropout draws other units for every batch. Nor is a small gap a merit: where "
        "dropout lowers the training accuracy more than it raises the test accuracy, in 500 updates on 500 "
        "samples, most of its effect on the gap is underfitting. "
        f"After training: {LISTED}"
    ),
)  # fmt: skip
