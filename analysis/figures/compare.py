"""Two activations, or two initializers, against each other: each figure is drawn of one part of a study."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import layout, style
from analysis.comparison import (
    AHEAD,
    BEHIND,
    KINDS,
    ORDERS,
    RISK,
    UNDECIDED,
    UNJUDGED,
    Pair,
    best_pairs,
    best_scores,
    differences,
    judged,
)
from analysis.figures.base import Drawing, NotApplicable, networks
from analysis.figures.trainability import Looks, score_lines
from analysis.figures.trainability import caption as score_caption
from analysis.frames import Study, Variant, among
from analysis.labels import in_order
from analysis.score import MEASURED, linear_score, score_of
from analysis.statistics import log_statistics, student_intervals
from analysis.words import joined, several, signed, verb
from study.schema import column

GREY = "#777777"

STILL = 0.01
"""Quantities between 0 and 1 that differ by less, on average over the layers, are not drawn."""

UNITS = {
    "dead_share": "dead units",
    "saturated_share": "saturated",
    "z_collapse": "collapse of z",
}
"""Quantities of a layer between 0 and 1, and what a row of panels calls them."""


def paired_difference(study: Study, pair: Pair, variant: Variant) -> Drawing:
    """Draw the paired difference of the test score at the best rates against depth.

    Args:
        study: an opened study.
        pair: what is compared.
        variant: one of ``study.trained``.

    Raises:
        NotApplicable: no network of either is finished.
    """
    _refuse_unfinished(variant, pair)
    score = score_of(variant.cells)
    point = "0.01" if score.regression else "1 % of the test split"
    drawn = differences(variant.cells, pair)
    panels = in_order(drawn[pair.across], ORDERS[pair.across])
    depths = sorted(drawn["depth"].unique())
    looks, limit = _looks(study, pair), _limit(drawn)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], panels, (max(1.6, 0.55 * len(depths)), 2.9), left=0.75
        )
        for label, axis in zip(panels, axes[0], strict=True):
            _differences(axis, drawn[drawn[pair.across] == label], depths, looks, limit)
        axes[0, 0].set_ylabel(f"{pair.one} less {pair.other},\npoints of test {score.name}")
        layout.legend_above(figure, _verdicts(pair, looks, drawn, len(panels) * len(depths)))
    judgement = drawn["p"].notna().sum()
    lost = int(drawn["lost"].sum())
    return Drawing(
        f"Where is {pair.one} ahead of {pair.other}?",
        f"{score.name.capitalize()} on the whole test split after the last update, {pair.one} less "
        f"{pair.other}, in points (1 point is {point}). Each is at its own best learning rate, chosen on the "
        "validation split; networks of the same seed share split, batches and underlying normal draws "
        f"and make a pair. {_compared(variant, pair)} Mark: mean over the pairs of a condition; bar: its "
        "95 % Student interval, which is that of one condition alone (a bar may leave its panel)"
        + (
            f"; coloured: beyond doubt even so, by paired t-tests corrected for the {judgement} "
            f"conditions tested (Holm, {RISK:.0%})"
            if judgement
            else ""
        )
        + ". "
        + (
            f"×n: n pairs of which a network diverged, failed or is missing ({several(lost, 'pair')}); "
            "the mean is of the others, and not judged. "
            if lost
            else ""
        )
        + (
            "With one seed there is no interval, and nothing can be told from chance. "
            if not judgement and not lost
            else ""
        )
        + _edges(drawn, pair)
        + "Depths stand at even distances whatever their numbers.",
        f"Dot plots of the difference in test {score.name}, {pair.one} less {pair.other}, against depth, one "
        f"panel an {KINDS[pair.across]}: {_alt(drawn, pair)}.",
        figure,
        drawn,
    )


def both_scores(study: Study, pair: Pair, variant: Variant) -> Drawing:
    """Draw the test score of both at their best rates against depth.

    Args:
        study: an opened study.
        pair: what is compared.
        variant: one of ``study.trained``.

    Raises:
        NotApplicable: no network of either is finished.
    """
    _refuse_unfinished(variant, pair)
    drawn = best_scores(variant.cells, pair)
    panels = in_order(drawn[pair.across], ORDERS[pair.across])
    score, linear = score_of(variant.cells), linear_score(variant.cells)
    return Drawing(
        "How well does each do?",
        f"{score_caption(drawn, score, linear, f'{pair.one} and {pair.other}')} "
        f"{_compared(variant, pair)}",
        f"Line charts of the test {score.name} of {pair.one} and {pair.other} against depth, one panel an "
        f"{KINDS[pair.across]}.",
        score_lines(drawn, _looks(study, pair), pair.across, panels, score, linear),
        drawn,
    )


def signal_ratio(study: Study, pair: Pair, variant: Variant) -> Drawing:
    """Draw how much of the signal gradient reaches each layer of both, at the deepest depth both have.

    Args:
        study: an opened study.
        pair: what is compared.
        variant: one of ``study.starts``.

    Raises:
        NotApplicable: no depth that both have has two hidden layers.
    """
    cells, depth = _deepest(variant.cells, pair)
    if depth < 3:
        raise NotApplicable("a gradient changes on its way through at least two hidden layers")
    layers = _relative(study, cells)
    by = [pair.kind, *pair.condition, "layer"]
    drawn = log_statistics(layers, by, "relative")
    drawn = drawn.merge(_ratios(layers, pair), on=[*pair.condition, "layer"], how="left")
    panels = in_order(drawn[pair.across], ORDERS[pair.across])
    looks = _looks(study, pair)
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], panels, (2.3, 2.3), sharey=False, left=0.85, gap=0.42, pad=16
        )
        for label, axis in zip(panels, axes[0], strict=True):
            _gradients(axis, drawn[drawn[pair.across] == label], pair, looks, depth)
        axes[0, 0].set_ylabel("log10 of the signal gradient,\nlast hidden layer = 0")
        layout.legend_above(
            figure,
            [*_lines(looks), *_fault_handles(drawn)],
            f"above a panel: {pair.one} divided by {pair.other} at layer 1",
        )
    meaning = column("layers", "signal_grad_rms").label
    return Drawing(
        "How much of the gradient reaches each layer?",
        f"{meaning[0].upper()}{meaning[1:]} at the start, relative to the last hidden layer, at depth "
        f"{depth}, the deepest that both have: mean and 95 % Student interval of log10 over seeds "
        f"({networks(len(cells))}; each panel has its own axis, layer 1 is next to the input). A line "
        "that falls towards layer 1 vanishes, one that rises explodes. Above a panel: the mean over "
        f"pairs of the same seed of {pair.one} divided by {pair.other} at layer 1 (its 95 % interval is "
        "in the table), in the colour of whichever passes more beyond doubt, by paired t-tests of log10 "
        f"corrected for their number (Holm, {RISK:.0%}). {_absent(variant, pair, depth)}".rstrip(),
        f"Line charts of the relative signal gradient of {pair.one} and {pair.other} against the layer "
        f"at depth {depth}, one panel an {KINDS[pair.across]}.",
        figure,
        drawn,
    )


def units_at_start(study: Study, pair: Pair, variant: Variant) -> Drawing:
    """Draw dead units, saturation and collapse of both before training, where they differ.

    Args:
        study: an opened study.
        pair: what is compared.
        variant: one of ``study.starts``.

    Raises:
        NotApplicable: they differ in none of these.
    """
    cells, depth = _deepest(variant.cells, pair)
    return _units(
        study, pair, cells, 0, f"at the start, at depth {depth}, the deepest that both have"
    )


def units_after_training(study: Study, pair: Pair, variant: Variant) -> Drawing:
    """Draw dead units, saturation and collapse of both after training, where they differ.

    Args:
        study: an opened study.
        pair: what is compared.
        variant: one of ``study.trained``.

    Raises:
        NotApplicable: they differ in none of these, or no pair is finished.
    """
    _refuse_unfinished(variant, pair)
    pairs = best_pairs(variant.cells, pair)
    pairs = pairs[~pairs["lost"]]
    if pairs.empty:
        raise NotApplicable("at the best rates no pair of networks is finished")
    pairs = pairs[pairs["depth"] == pairs["depth"].max()]
    chosen = {*pairs["cell_one"], *pairs["cell_other"]}
    cells = variant.cells[variant.cells["cell"].isin(chosen)]
    return _units(
        study,
        pair,
        cells,
        int(cells["steps"].iloc[0]),
        f"after the last update, each at its own best rate, at depth {int(cells['depth'].iloc[0])}, the "
        "deepest of which a pair is finished",
    )


TRAINING = (paired_difference, both_scores, units_after_training)
"""Figures of trained networks, in the order of the page."""

START = (signal_ratio, units_at_start)
"""Figures of fresh weights, in the order of the page."""


def _looks(study: Study, pair: Pair) -> Looks:
    """Return how both look in every figure of the study."""
    every = in_order(study.cells[pair.kind], ORDERS[pair.kind])
    colours, markers = style.colours(every), style.markers(every)
    both = (pair.one, pair.other)
    return Looks(
        pair.kind,
        {label: colours[label] for label in both},
        {label: markers[label] for label in both},
    )


def _lines(looks: Looks) -> list[Artist]:
    return [
        Line2D([], [], color=colour, linewidth=2, label=label)
        for label, colour in looks.colours.items()
    ]


def _refuse_unfinished(variant: Variant, pair: Pair) -> None:
    """Refuse a part of which no network of either is finished.

    Raises:
        NotApplicable: there is nothing to draw.
    """
    if not pair.shared(variant.cells)["status"].isin(MEASURED).any():
        raise NotApplicable("no trained network of either is finished yet")


def _compared(variant: Variant, pair: Pair) -> str:
    """Say what is compared: depths, the other factor, seeds and rates."""
    cells = pair.shared(variant.cells)
    seeds = sorted(cells["seed"].unique())
    few = len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1))
    shown = f"{seeds[0]} to {seeds[-1]}" if few else joined([str(seed) for seed in seeds])
    rates = [
        joined([f"{rate:g}" for rate in sorted(pair.side(cells, side)["lr"].unique())])
        for side in ("one", "other")
    ]
    tried = (
        f"rates tried {rates[0]} for both"
        if rates[0] == rates[1]
        else f"rates tried {rates[0]} for {pair.one} but {rates[1]} for {pair.other}"
    )
    across = joined(in_order(cells[pair.across], ORDERS[pair.across]))
    depths = joined([str(depth) for depth in sorted(cells["depth"].unique())])
    text = f"Compared: depth {depths} with {across}, {verb(len(seeds), 'seed', 'seeds')} {shown}, {tried}."
    return text + _alone(variant, pair)


def _alone(variant: Variant, pair: Pair) -> str:
    """Say how many networks of either have no partner."""
    either = variant.cells[variant.cells[pair.kind].isin([pair.one, pair.other])]
    alone = int((either["depth"] >= 2).sum()) - len(pair.shared(variant.cells))
    if not alone:
        return ""
    return f" Left out: {networks(alone)} whose condition and seed only one of the two has."


def _edges(drawn: pd.DataFrame, pair: Pair) -> str:
    """Say in how many conditions a best rate is at the edge of those tried."""
    words = []
    for side, label in (("one", pair.one), ("other", pair.other)):
        above = drawn[drawn[f"above_chance_{side}"]]
        edge = above[f"place_{side}"].isin(["largest", "smallest"])
        if edge.any():
            words.append(
                f"{label} in {edge.sum()} of {several(len(above), 'condition')} above chance"
            )
    if not words:
        return ""
    return (
        f"The best rate is the largest or smallest tried, so that a better one may lie beyond, for "
        f"{joined(words)}. "
    )


def _alt(drawn: pd.DataFrame, pair: Pair) -> str:
    counts = drawn["verdict"].value_counts()
    return (
        f"{pair.one} ahead beyond doubt in {counts.get(AHEAD, 0)}, behind in {counts.get(BEHIND, 0)} of "
        f"{several(len(drawn), 'condition')}"
    )


def _limit(drawn: pd.DataFrame) -> float:
    """Return how far the axis goes in points, so that a wide interval does not flatten the means."""
    means = drawn["mean"].abs().to_numpy(dtype=float)
    if not np.isfinite(means).any():
        return 1.0
    # what is left of lost pairs has an interval that says little and is wide
    whole = drawn.loc[drawn["lost"] == 0, ["low", "high"]].abs().to_numpy(dtype=float)
    ends = np.append(whole[np.isfinite(whole)], np.nanmax(means))
    return 100 * max(0.01, 1.15 * min(float(ends.max()), 3 * float(np.nanmax(means))))


def _differences(
    axis: Axes, part: pd.DataFrame, depths: list[int], looks: Looks, limit: float
) -> None:
    """Draw the differences of one panel, above 0 on one's ground and below on the other's."""
    one, other = looks.colours.values()
    axis.axhspan(0, limit, color=one, alpha=0.06, linewidth=0)
    axis.axhspan(-limit, 0, color=other, alpha=0.06, linewidth=0)
    axis.axhline(0, color="black", linewidth=0.9)
    shapes = {
        AHEAD: ("^", one),
        BEHIND: ("v", other),
        UNDECIDED: ("o", GREY),
        UNJUDGED: ("o", "white"),
    }
    for row in part.to_dict("records"):
        place, mean = depths.index(row["depth"]), 100 * row["mean"]
        marker, face = shapes[row["verdict"]]
        colour = GREY if face == "white" else face
        if np.isfinite(row["low"]):
            axis.plot([place] * 2, [100 * row["low"], 100 * row["high"]], color=colour)
        axis.plot(
            place,
            mean,
            marker,
            color=colour,
            markerfacecolor=face,
            markersize=7 if marker != "o" else 5,
        )
        known = bool(np.isfinite(mean))
        words = [signed(mean, "+")] * known + [f"×{row['lost']}"] * (row["lost"] > 0)
        axis.annotate(
            "\n".join(words), (place, mean if known else 0), xytext=(6 * known, 0),
            textcoords="offset points", ha="left" if known else "center", va="center",
            fontsize=7.5 if known else 9, color=style.FAULT if row["lost"] else "black", zorder=4,
            bbox={"facecolor": "white", "alpha": 0.8, "pad": 0.6, "linewidth": 0},
        )  # fmt: skip
    for place, depth in enumerate(depths):
        if depth not in set(part["depth"]):
            axis.axvspan(
                place - 0.3, place + 0.3, facecolor=style.MISSING_FACE, hatch=style.MISSING_HATCH,
                edgecolor="#BBBBBB", linewidth=0,
            )  # fmt: skip
    axis.grid(False, axis="x")
    axis.set_xticks(range(len(depths)), labels=[str(depth) for depth in depths])
    axis.set_xlim(-0.4, len(depths) - 0.15)
    axis.set_ylim(-limit, limit)
    axis.set_xlabel("depth")


def _verdicts(pair: Pair, looks: Looks, drawn: pd.DataFrame, places: int) -> list[Artist]:
    """Return the legend of the differences: what occurs."""
    one, other = looks.colours.values()
    counts = drawn["verdict"].value_counts()
    entries = {
        AHEAD: (f"{pair.one} ahead", "^", one, one),
        BEHIND: (f"{pair.other} ahead", "v", other, other),
        UNDECIDED: ("undecided", "o", GREY, GREY),
        UNJUDGED: ("not judged, ×n: n pairs lost", "o", GREY, "white"),
    }
    handles: list[Artist] = [
        Line2D(
            [], [], color=colour, marker=marker, markerfacecolor=face, linestyle="none",
            label=f"{label} ({counts.get(verdict, 0)})",
        )
        for verdict, (label, marker, colour, face) in entries.items()
        if verdict in counts or verdict in (AHEAD, BEHIND)
    ]  # fmt: skip
    if len(drawn) < places:
        handles.append(
            Patch(
                facecolor=style.MISSING_FACE, hatch=style.MISSING_HATCH, edgecolor="#BBBBBB",
                label="not in the sweep of both",
            )
        )  # fmt: skip
    return handles


def _deepest(cells: pd.DataFrame, pair: Pair) -> tuple[pd.DataFrame, int]:
    """Return the paired networks of the greatest depth that both have, and that depth."""
    shared = pair.shared(cells)
    depth = int(shared["depth"].max())
    return shared[shared["depth"] == depth], depth


def _absent(variant: Variant, pair: Pair, depth: int) -> str:
    """Say which labels of the other factor are compared at smaller depths alone."""
    shared = pair.shared(variant.cells)
    deep = set(shared.loc[shared["depth"] == depth, pair.across])
    shallow = in_order(set(shared[pair.across]) - deep, ORDERS[pair.across])
    return f"Not run for both at this depth: {joined(shallow)}." if shallow else ""


def _relative(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the signal gradient of every hidden layer relative to the last, at the start."""
    layers = study.layers(among(cells), ["signal_grad_rms"], "step = 0 AND layer < depth")
    last = layers.loc[layers["layer"] == layers["depth"] - 1].set_index("cell")["signal_grad_rms"]
    with np.errstate(divide="ignore", invalid="ignore"):
        layers["relative"] = layers["signal_grad_rms"] / layers["cell"].map(last)
    # 0/0 says less than that nothing arrives
    layers.loc[layers["signal_grad_rms"] == 0, "relative"] = 0.0
    return layers


def _ratios(layers: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """Return log10 of the ratio of both at layer 1, judged as differences are.

    Columns: ``condition``, ``layer`` and those of `analysis.comparison.judged` with ``ratio_`` before
    them; ``lost`` counts pairs in which either is exactly 0 or no number.
    """
    first = layers[layers["layer"] == 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        first = first.assign(decades=np.log10(first["relative"].to_numpy(dtype=float)))
    pairs = pair.matched(first[[*pair.condition, "seed", pair.kind, "decades"]])
    ok = np.isfinite(pairs["decades_one"]) & np.isfinite(pairs["decades_other"])
    decades = (pairs["decades_one"] - pairs["decades_other"]).where(ok)
    found = judged(pairs.assign(difference=decades, lost=~ok), pair)
    names = {name: f"ratio_{name}" for name in found if name not in pair.condition}
    return found.rename(columns=names).assign(layer=1)


def _gradients(axis: Axes, part: pd.DataFrame, pair: Pair, looks: Looks, depth: int) -> None:
    axis.axhline(0, color="black", linewidth=0.6)
    for place, (label, colour) in enumerate(looks.colours.items()):
        rows = part[part[pair.kind] == label]
        axis.plot(rows["layer"], rows["mean"], color=colour, linewidth=2.2 - 0.8 * place)
        axis.fill_between(
            rows["layer"], rows["low"], rows["high"], color=colour, alpha=0.25, linewidth=0
        )
        for name, height, marker in (("zeros", 0.03 + 0.06 * place, "v"),
                                     ("nonfinite", 0.97 - 0.06 * place, "x")):  # fmt: skip
            faulty = rows.loc[rows[name] > 0, "layer"]
            axis.plot(
                faulty, [height] * len(faulty), marker, transform=axis.get_xaxis_transform(),
                color=colour, markersize=4, clip_on=False,
            )  # fmt: skip
    finite = part[["mean", "low", "high"]].to_numpy(dtype=float)
    finite = np.append(finite[np.isfinite(finite)], 0.0)
    # a decade at least, for noise not to look like a change
    middle, half = (finite.max() + finite.min()) / 2, max(0.5, 0.62 * np.ptp(finite))
    axis.set_ylim(middle - half, middle + half)
    layout.layer_ticks(axis, depth - 1)
    axis.set_xlim(1, depth - 1)
    axis.set_xlabel("layer")
    first = part[part["layer"] == 1].iloc[0]
    ratio, one, other = first["ratio_mean"], *looks.colours.values()
    axis.annotate(
        f"layer 1: $×10^{{{signed(ratio, '+')}}}$" if np.isfinite(ratio) else "no ratio", (1, 1),
        xycoords="axes fraction", xytext=(0, 1.5), textcoords="offset points", ha="right", va="bottom",
        fontsize=8, color={AHEAD: one, BEHIND: other}.get(first["ratio_verdict"], "black"),
    )  # fmt: skip


def _fault_handles(drawn: pd.DataFrame) -> list[Artist]:
    marks = {"zeros": ("v", "exactly 0"), "nonfinite": ("x", "infinite or NaN")}
    return [
        Line2D(
            [], [], color="black", marker=marker, linestyle="none", label=f"{label} in some network"
        )
        for name, (marker, label) in marks.items()
        if drawn[name].any()
    ]


def _units(study: Study, pair: Pair, cells: pd.DataFrame, step: int, when: str) -> Drawing:
    layers = study.layers(
        among(cells),
        ["dead_units", "saturated_share", "z_collapse"],
        f"layer < depth AND step = {step}",
    )
    layers["dead_share"] = layers["dead_units"].astype(float) / layers["units"]
    by = ["quantity", pair.kind, *pair.condition, "layer"]
    long = layers.melt(by[1:], list(UNITS), "quantity", "share").astype({"share": float})
    drawn = student_intervals(long, by, "share")
    left_out = {
        quantity: why for quantity in UNITS if (why := _why_not(drawn, quantity, pair)) is not None
    }
    rows = [quantity for quantity in UNITS if quantity not in left_out]
    reasons = "; ".join(f"{UNITS[quantity]}, {why}" for quantity, why in left_out.items())
    if not rows:
        raise NotApplicable(reasons)
    drawn = drawn[drawn["quantity"].isin(rows)].reset_index(drop=True)
    panels = in_order(drawn[pair.across], ORDERS[pair.across])
    looks = _looks(study, pair)
    with style.house_style():
        figure, axes = layout.panel_grid([UNITS[row] for row in rows], panels, (1.95, 1.35))
        for quantity, line in zip(rows, axes, strict=True):
            for label, axis in zip(panels, line, strict=True):
                part = drawn[(drawn["quantity"] == quantity) & (drawn[pair.across] == label)]
                _shares(axis, part, looks)
        deepest = int(drawn["layer"].max())
        layout.layer_ticks(axes[0, 0], deepest)
        axes[0, 0].set_xlim(0.6, deepest + 0.4)
        axes[0, 0].set_ylim(-0.04, 1.04)
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        for axis in axes[-1]:
            axis.set_xlabel("layer")
        layout.legend_above(figure, _lines(looks))
    return Drawing(
        "What becomes of the units at the start?" if step == 0 else "What became of the units?",
        f"Layer by layer {when}: {joined([_MEANINGS[row] for row in rows])}; mean and 95 % Student "
        f"interval over seeds ({networks(len(cells))})."
        + (f" Not drawn: {reasons}." if left_out else ""),
        f"Line charts of {joined([UNITS[row] for row in rows])} of {pair.one} and {pair.other} against "
        f"the layer, one panel an {KINDS[pair.across]}.",
        figure,
        drawn,
    )


_MEANINGS = {
    "dead_share": "the share of units whose slope is exactly 0 on every sample of the probe set (dead)",
    "saturated_share": "the share of slopes below 1 % of the largest (saturated)",
    "z_collapse": "the share of the mean pre-activation in its mean square (collapse: 1 where every "
    "sample looks the same)",
}


def _why_not(drawn: pd.DataFrame, quantity: str, pair: Pair) -> str | None:
    """Return why a quantity is not drawn, None if it is."""
    of_one = drawn[drawn["quantity"] == quantity]
    means = of_one.groupby([pair.across, pair.kind])["mean"].mean().unstack(pair.kind)
    undefined = [label for label in (pair.one, pair.other) if means[label].isna().all()]
    if undefined:
        return f"which {joined(undefined)} {verb(len(undefined), 'does', 'do')} not have"
    if means.max(axis=None) == 0:
        return "of which there are none"
    if not (means[pair.one] - means[pair.other]).abs().ge(STILL).any():
        return f"which differ by less than {STILL:.0%} on average over the layers"
    return None


def _shares(axis: Axes, part: pd.DataFrame, looks: Looks) -> None:
    if part["mean"].isna().all():
        layout.not_run(axis, "not defined")
        return
    # the limits are set once for all panels
    axis.set_autoscale_on(False)
    for place, (label, colour) in enumerate(looks.colours.items()):
        rows = part[part[looks.column] == label]
        axis.plot(rows["layer"], rows["mean"], color=colour, linewidth=2.2 - 0.8 * place)
        axis.fill_between(
            rows["layer"], rows["low"], rows["high"], color=colour, alpha=0.25, linewidth=0
        )
