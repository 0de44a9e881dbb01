"""A2: ReLU is said to take a sixth of sigmoid's time."""

from __future__ import annotations

import functools
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import measurements
from analysis.ledger.series import span

FAST, SLOW, SAID = 4.0, 2.0, 6.0

WAYS = (("forward", "given"), ("forward", "new"), ("forward and backward", "new"))

NAMES = ("forward\n(memory reused)", "forward\n(new memory)", "forward and backward\n(new memory)")


def judge(study: Study, data: str) -> Evidence:
    """Weigh how many times as long sigmoid takes, round by round."""
    del data
    times = measurements(study, "activation_timing")
    keys = ["device", "pass", "memory", "size", "repeat"]
    wide = times.pivot_table(index=keys, columns="activation", values="value")
    if not {"relu", "sigmoid"} <= set(wide.columns):
        raise NoEvidence("the task timed no ReLU or no sigmoid")
    relative = wide.div(wide["relu"], axis=0).reset_index()
    tests = tuple(
        replace(
            outcomes.ratio_above(
                f"{device}, {passes}, {memory} memory, {size:,} numbers",
                part["sigmoid"],
                FAST,
                SLOW,
            ),
            each="round",
        )
        for (device, passes, memory, size), part in relative.groupby(keys[:-1])
    )
    ratios = [test.estimate for test in tests]
    around = sum(test.low <= SAID <= test.high for test in tests)
    fast = sum(test.estimate >= FAST for test in tests)
    said = (
        f"Sigmoid takes {span(f'{min(ratios):.2g}', f'{max(ratios):.2g}')} times as long as ReLU, at least {FAST:g} times "
        f"in {fast} of {len(tests)} ways to time it; the 95 % interval holds {SAID:g} in {around} of them."
    )
    return Evidence(
        (Part("", tests, decision.for_every(tests), "times as long as ReLU"),),
        relative,
        0,
        said,
        functools.partial(_draw, relative),
        "Time of an activation over that of ReLU on the same float32 numbers, one thread, against how many "
        f"there are: geometric mean and 95 % Student interval over {relative['repeat'].nunique()} rounds. "
        f"Dotted: the {SAID:g} times of the note; dashed and dash-dotted: the bounds of the rule.",
    )


def _draw(relative: pd.DataFrame) -> Figure:
    names = [name for name in style.ACTIVATIONS if name in relative.columns and name != "relu"]
    devices = sorted(relative["device"].unique())
    colours, markers = style.colours(names), style.markers(names)
    heights = {f"{SAID:g} times": SAID, f"{FAST:g} times": FAST, f"{SLOW:g} times": SLOW}
    with style.house_style():
        figure, axes = layout.panel_grid(devices, NAMES, (2.2, 2.2), bottom=0.55)
        for device, row in zip(devices, axes, strict=True):
            for (passes, memory), axis in zip(WAYS, row, strict=True):
                part = relative[
                    (relative["device"] == device)
                    & (relative["pass"] == passes)
                    & (relative["memory"] == memory)
                ]
                # what the claim is about lies above the rest
                for name in reversed(names):
                    strong = {} if name == "sigmoid" else {"linewidth": 0.9, "alpha": 0.7}
                    panels.line(
                        axis,
                        part,
                        "size",
                        name,
                        colours[name],
                        markers[name],
                        geometric=True,
                        **strong,
                    )
                panels.levels(axis, heights)
                axis.set_xscale("log", base=2)
                axis.set_yscale("log", base=2)
        bottom, top = axes[0, 0].get_ylim()
        axes[0, 0].set_ylim(min(bottom, 0.8), max(top, 8.0))
        axes[0, 0].yaxis.set_major_formatter(
            style.matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}")
        )
        for row in axes:
            row[0].set_ylabel("time over ReLU's")
        for axis in axes[-1]:
            axis.set_xlabel("numbers")
        handles = [panels.handle(name, colours[name], markers[name]) for name in names]
        layout.legend_above(figure, [*handles, *panels.level_handles(heights)])
    return figure


CLAIM = Claim(
    id="A2",
    sentence="ReLU computes six times as fast as sigmoid.",
    notes=("000",),
    says=(
        "Note 000 lists it as an advantage of ReLU: six times as fast as sigmoid, which has to compute an "
        "exponential."
    ),
    experiments=(),
    tasks=("activation_timing",),
    quantity=(
        "Time of sigmoid over time of ReLU on the same standard normal float32 numbers, of one round; geometric "
        "mean over rounds, for each device, size of the tensor, pass (forward; forward and backward) and memory "
        "of the result (taken by the call; there already, forward only)."
    ),
    rule=(
        "Supported if the geometric mean of the ratio is above 4 in every combination (one-sided t-tests on "
        "logarithms over rounds at 5 %, intersection-union); refuted if it is below 2 in some (Holm over all) "
        "and above 4 beyond doubt in none; conditional, as a table, if both occur. Between 2 and 4 a "
        "combination speaks for neither side. The unit is the round, within which activations take turns."
    ),
    judge=judge,
    lessons={
        "supported": "ReLU by itself takes less than a quarter of sigmoid's time, however it is timed.",
        "conditional": "How much faster ReLU is than sigmoid depends on size, pass, memory and device.",
        "refuted": "ReLU is not several times as fast as sigmoid: nowhere beyond doubt four times, somewhere less than twice.",
    },
    limits=(
        "One library on one machine, one thread on a CPU; rounds on one machine are no sample of machines, and "
        "other work on it widens the intervals. The "
        "time of a whole network is mostly that of its matrix products, which are the same for both."
    ),
)  # fmt: skip
