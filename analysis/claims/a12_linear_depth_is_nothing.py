"""A12: without a non-linearity depth is said to add nothing."""

from __future__ import annotations

import functools

import pandas as pd
from matplotlib.figure import Figure

from analysis import layout, style
from analysis.frames import Study
from analysis.ledger import decision, outcomes, panels
from analysis.ledger.claim import Claim, Evidence, NoEvidence, Part
from analysis.ledger.select import ORDINARY, measurements, paired, tuned, where
from analysis.ledger.series import LISTED, TRAINED, only
from analysis.words import points

POINT = 0.01

DEEP = 8

DIFFERENCE, BOUND = "relative difference of outputs", "rounding bound"


def judge(study: Study, data: str) -> Evidence:
    """Weigh the product of matrices, eight linear layers and one hidden ReLU layer against one matrix."""
    measured = measurements(study, "linear_product")
    # NaN is shown, not skipped
    largest = measured.groupby(["init", "depth", "repeat", "quantity"])["value"].agg(
        lambda values: values.max(skipna=False)
    )
    wide = largest.unstack().reset_index()
    if not {DIFFERENCE, BOUND} <= set(wide.columns):
        raise NoEvidence("the task linear_product measured no difference or no bound")
    # by as much as what rounding allows is exceeded; NaN stays NaN
    excess = (wide[DIFFERENCE] - wide[BOUND]).clip(lower=0.0)
    product = [
        outcomes.all_zero(f"{init}, depth {depth}", part)
        for (init, depth), part in excess.groupby([wide["init"], wide["depth"]])
    ]
    linear = tuned(
        study,
        where(activation="identity", init="xavier_normal", depth=[1, DEEP], data=data, **TRAINED),
    )
    relu = tuned(study, where(activation="relu", init=ORDINARY, depth=2, data=data, **TRAINED))
    one = only(linear, depth=1)
    same = outcomes.within(
        f"depth {DEEP} less depth 1",
        paired(only(linear, depth=DEEP), one, "score")["difference"],
        -POINT,
        POINT,
    )
    more = [
        outcomes.above(init, paired(only(relu, init=init), one, "score")["difference"], POINT)
        for init in ORDINARY
    ]
    parts = (
        Part("Layers multiply to one matrix", tuple(product), decision.for_every(product),
             "difference beyond rounding"),
        Part("Linear layers are worth no point", (same,), decision.for_every([same]), "test accuracy"),
        Part("One hidden ReLU layer is", tuple(more), decision.for_every(more),
             "test accuracy, less the linear model's"),
    )  # fmt: skip
    gains = [test.estimate for test in more]
    lost = int((pd.concat([linear, relu])["status"] == "diverged").sum())
    said = (
        f"Outputs of linear networks and of their layers' product differ by at most {wide[DIFFERENCE].max():.1g} "
        f"of the largest output ({int((wide[DIFFERENCE] <= wide[BOUND]).sum())} of {len(wide)} within what "
        f"rounding allows). Trained, eight linear layers change the accuracy of one, {one['score'].mean():.1%}, "
        f"by {points(same.estimate)} points, one hidden ReLU layer by {points(min(gains))} to "
        f"{points(max(gains))}; {lost} networks diverged."
    )
    return Evidence(
        parts,
        pd.concat([linear, relu, wide.assign(part="product")], ignore_index=True),
        len(linear) + len(relu),
        said,
        functools.partial(_draw, wide, linear, relu),
        "Left: difference between the outputs of a linear network and of the one matrix that its layers "
        "multiply to, relative to the largest output, a dot a network (differences of exactly 0 at the bottom), "
        f"and what rounding allows. Right: test accuracy after {TRAINED['steps']} updates at the best rate, a "
        f"faint dot a seed ({one['seed'].nunique()}), mean and 95 % Student interval.",
    )


def _draw(wide: pd.DataFrame, linear: pd.DataFrame, relu: pd.DataFrame) -> Figure:
    colours = style.colours(["identity", "relu"])
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], ["Product of the layers", "Trained"], (3.0, 2.4), sharex=False, sharey=False,
            gap=0.75, bottom=0.72, left=0.75,
        )  # fmt: skip
        left, right = axes[0]
        positive = wide.loc[wide[DIFFERENCE] > 0, DIFFERENCE]
        floor = (positive.min() if len(positive) else wide[BOUND].min()) / 3
        left.plot(wide["depth"], wide[DIFFERENCE].clip(lower=floor), "o", color=colours["identity"],
                  alpha=0.35, markersize=4, markeredgewidth=0)  # fmt: skip
        bound = wide.groupby("depth")[BOUND].min()
        left.plot(bound.index, bound, "k--", linewidth=0.9)
        left.set_yscale("log")
        panels.ticks(left, sorted(wide["depth"].unique()))
        left.set_xlabel("depth")
        left.set_ylabel("difference of outputs")
        rows = [("linear,\ndepth 1", only(linear, depth=1), "identity"),
                (f"linear,\ndepth {DEEP}", only(linear, depth=DEEP), "identity")]  # fmt: skip
        rows += [(f"ReLU,\n{init}", only(relu, init=init), "relu") for init in ORDINARY]
        for place, (_, part, name) in enumerate(rows):
            panels.seeds(right, place, part["score"], colours[name])
        right.set_xticks(
            range(len(rows)), labels=[name.replace("_", "\n") for name, *_ in rows], fontsize=7
        )
        heights = {
            "chance": float(linear["chance"].iloc[0]),
            "linear model": float(only(linear, depth=1)["score"].mean()),
        }
        panels.levels(right, heights)
        right.set_ylim(0, 1.1 * max(linear["score"].max(), relu["score"].max()))
        right.yaxis.set_major_formatter(style.percent())
        right.set_ylabel("test accuracy")
        handles = [
            panels.handle("no activation", colours["identity"], linestyle="none"),
            panels.handle("one hidden ReLU layer", colours["relu"], linestyle="none"),
            panels.handle("rounding allows", "black", "", linestyle=(0, (6, 2))),
        ]
        layout.legend_above(figure, [*handles, *panels.level_handles(heights)])
    return figure


CLAIM = Claim(
    id="A12",
    sentence="Without a non-linearity depth adds nothing.",
    notes=("003", "004"),
    says=(
        "Note 003 writes two linear layers as one linear function; note 004: n linear layers are the same as one, "
        "their product, so that a deep network needs an activation function."
    ),
    experiments=("ledger_linear", "ledger_training"),
    tasks=("linear_product",),
    quantity=(
        "Largest difference between the outputs of layers without activations and of their product (float64), "
        "less a proven bound on what rounding may do; test accuracy after "
        f"{TRAINED['steps']} updates of networks of identity units at depth 8 less depth 1, and of networks with "
        "one hidden ReLU layer less depth 1, paired by seed, each at the rate that tuning seeds choose on the "
        "validation split."
    ),
    rule=(
        "Three parts, ten seeds each. (1) Exact: for torch_default and xavier_normal at every depth from 2 to 32 "
        "that was measured no network differs by more than rounding allows; supported if so, refuted if at "
        "every depth some do, conditional if at some depths, inconclusive where numbers are missing. (2) Eight "
        "layers are worth no point: the mean difference is within ±1 point (two one-sided t-tests at 5 %), "
        "refuted if it is beyond. (3) A hidden ReLU layer is: for torch_default, xavier_normal, he_normal and "
        "orthogonal the mean difference exceeds 1 point (one-sided t-tests, intersection-union), refuted if it "
        "is below for some (Holm) and above for none, conditional if both occur. The claim is supported if all "
        "parts are, refuted if all are, conditional if one is or they contradict each other, else inconclusive."
    ),
    judge=judge,
    lessons={
        "supported": "Linear layers multiply to one: eight do what one does, and one ReLU layer does more.",
        "conditional": "Linear layers may multiply to one matrix, and yet not train alike, or a ReLU layer may not "
        "be worth more.",
        "refuted": "Linear depth is not one matrix, changes what is learned, and a ReLU layer adds nothing.",
    },
    limits=(
        f"{TRAINED['steps']} updates: what linear networks can compute is the same at every depth, how fast they "
        "learn it is not. The linear networks begin from xavier_normal. "
        f"{LISTED}"
    ),
)  # fmt: skip
