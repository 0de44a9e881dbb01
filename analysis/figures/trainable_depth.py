"""How deep each condition trains against how deep theory says that it can."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import layout, score, style
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, networks, trained
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.predictions import predictions

TITLE = "Does theory say how deep a network can be trained?"

SCALES = 6.0
"""Depth scales ξ that can be trained through. Source: Schoenholz et al. 2017, section 5."""

XI = {
    "xi_correlation": r"6 $\xi_c$: two inputs keep apart",
    "xi_gradient": r"6 $|\xi_\nabla|$: the gradient keeps its size",
}
"""By the attribute of `study.theory.MeanField`, what its axis is called."""

AXES = ["activation", "init"]

STRIP = 2.4
"""Width, in doublings, of the strip for scales beyond the axis."""


def table(study: Study, variant: Variant) -> pd.DataFrame:
    """Return of every activation and initializer how deep it trains and what the theory says.

    Columns: ``activation, init``; ``trains``, the greatest depth tried up to which every one learns, at its
    best rate, more than a guess beyond doubt (0 where none does); ``fails``, the next depth tried (NaN where
    all train; a depth of which networks are missing, and which may yet learn, counts as not tried);
    ``xi_correlation``, ``xi_gradient`` (the latter negative where gradients grow; infinite where
    there is no such scale; NaN where the theory does not speak of the condition), of the deepest networks.
    """
    scores = score.table(variant.cells)
    best = scores[scores["best"]].sort_values("depth")
    fields = {
        (one.activation, one.init): one.field
        for one in sorted(predictions(study, variant), key=lambda one: one.depth)
    }
    rows = []
    for (activation, init), part in best.groupby(AXES, sort=False):
        # what networks that are missing would have learned is not known
        part = part[part["above_chance"] | (part["missing"] == 0)]
        if part.empty:
            continue
        failed = part.loc[~part["above_chance"], "depth"]
        fails = float(failed.min()) if len(failed) else math.nan
        below = part.loc[part["depth"] < fails, "depth"] if len(failed) else part["depth"]
        field = fields.get((activation, init))
        rows.append(
            {
                "activation": activation,
                "init": init,
                "trains": int(below.max()) if len(below) else 0,
                "fails": fails,
                **{name: math.nan if field is None else getattr(field, name) for name in XI},
            }
        )
    return pd.DataFrame(rows, columns=[*AXES, "trains", "fails", *XI])


@FigureFunction
def trainable_depth(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the depth that trains against six depth scales of mean-field theory.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network was trained, at one depth alone, or the theory speaks of none.
    """
    variant = trained(study, variant)
    depths = sorted(int(depth) for depth in variant.cells["depth"].unique() if depth >= 2)
    if len(depths) < 2:
        raise NotApplicable("what depth trains is seen at two depths at least")
    drawn = table(study, variant)
    known = drawn[drawn["xi_correlation"].notna()]
    if known.empty:
        raise NotApplicable("the theory speaks of no condition of this study")
    activations = in_order(known["activation"], style.ACTIVATIONS)
    inits = in_order(known["init"], style.INITIALIZERS)
    colours, markers = style.colours(activations), style.markers(inits)
    spans = [SCALES * known[name].abs() for name in XI]
    finite = np.concatenate([span[np.isfinite(span)] for span in spans])
    low, top = math.log2(depths[0]) - 0.8, math.log2(depths[-1]) + 0.8
    left = min(low, math.log2(max(float(finite.min()), 0.25)) - 0.3) if len(finite) else low
    right = min(max(top, math.log2(float(finite.max())) + 0.3) if len(finite) else top, top + 2)
    with style.house_style():
        figure, axes = layout.panel_grid([""], [""] * len(XI), (3.6, 3.2), left=0.65, bottom=0.6)
        for axis, (name, label) in zip(axes[0], XI.items(), strict=True):
            axis.plot([left, right], [left, right], color="black", linewidth=0.8)
            _points(axis, known, name, (colours, markers), (left, right), depths)
            powers = list(range(math.ceil(left), math.floor(right) + 1, 2))
            axis.set_xticks(
                [*powers, right + STRIP / 2], labels=[*(f"{2.0**p:g}" for p in powers), "more, ∞"]
            )
            axis.set_xlim(left, right + STRIP)
            axis.axvspan(right + 0.1, right + STRIP, color="#F3F3F3", zorder=0)
            axis.set_xlabel(label)
        axes[0, 0].set_yticks([math.log2(depth) for depth in depths], labels=map(str, depths))
        axes[0, 0].set_ylim(low - 0.3, top + 0.3)
        axes[0, 0].set_ylabel("depth")
        handles = [Line2D([], [], color=colours[a], linewidth=3, label=a) for a in activations]
        handles += [
            Line2D([], [], color="black", marker=markers[i], linestyle="none", label=i)
            for i in inits
        ]
        layout.legend_above(
            figure, handles, "bar: from the greatest depth that trains to the next one tried, which "
            "does not; arrow: all or none train",
        )  # fmt: skip
    return Drawing(
        TITLE,
        _caption(known, drawn, variant),
        "Two scatter plots of the depth that trains against six correlation and six gradient depth scales.",
        figure,
        drawn,
    )


def _caption(known: pd.DataFrame, drawn: pd.DataFrame, variant: Variant) -> str:
    text = (
        "Of each activation and initializer, how deep it trains at its best rate (every depth up to the mark "
        f"learns more than a guess beyond doubt; {networks(len(variant.cells))}) against six depth scales of "
        "mean-field theory: left ξ_c, over which the correlation of two inputs nears its fixed point by e, "
        "which Schoenholz et al. 2017 tie to trainable depth at about 6 ξ_c; right ξ_∇ = −1/ln χ(q*), over "
        "which the gradient's mean square falls, or grows, by e. Where a bar crosses the line the theory is "
        "right; the shaded strip at the right is for longer scales and those without end, "
        "as that of ReLU's correlations. "
    )
    for name, what in (("xi_correlation", "6 ξ_c"), ("xi_gradient", "6 ξ_∇")):
        agree = [agrees(row, name) for _, row in known.iterrows()]
        text += f"With {what} {sum(agree)} of {len(agree)} conditions agree. "
    text += "Trained longer, deeper networks may yet learn: the scale is of starts. "
    if silent := len(drawn) - len(known):
        text += f"Of {silent} more the theory does not speak. "
    tried = variant.cells.loc[variant.cells["depth"] >= 2, AXES].drop_duplicates()
    if absent := len(tried) - len(drawn):
        text += f"Of {absent} more networks are missing."
    return text.strip()


def agrees(row: pd.Series, name: str) -> bool:
    """Return whether six scales lie between the depth that trains and the next one tried."""
    span = SCALES * abs(row[name])
    return bool(row["trains"] <= span and (math.isnan(row["fails"]) or span < row["fails"]))


def _points(
    axis: Axes,
    known: pd.DataFrame,
    name: str,
    looks: tuple[dict[str, str], dict[str, str]],
    ends: tuple[float, float],
    depths: list[int],
) -> None:
    colours, markers = looks
    left, right = ends
    spans = SCALES * known[name].abs()
    places = np.log2(spans.clip(lower=2.0 ** (left + 0.1)))
    places = places.where(places <= right, right + STRIP / 2)
    bottom, top = math.log2(depths[0]) - 0.8, math.log2(depths[-1]) + 0.8
    shown = known.assign(place=places.round(1))
    # those at one place side by side
    rank = (
        shown.groupby("place").cumcount()
        - (shown.groupby("place")["place"].transform("size") - 1) / 2
    )
    step = np.where(shown["place"] > right, 0.2, 0.13)
    for (_, row), place in zip(shown.iterrows(), shown["place"] + rank * step, strict=True):
        colour = colours[row["activation"]]
        low = bottom if row["trains"] == 0 else math.log2(row["trains"])
        high = top if math.isnan(row["fails"]) else math.log2(row["fails"])
        axis.plot([place, place], [low, high], color=colour, linewidth=1.6, alpha=0.8)
        for end, arrow in (
            (low, "v" if row["trains"] == 0 else ""),
            (high, "^" if high == top else ""),
        ):
            if arrow:
                axis.plot(place, end, arrow, color=colour, markersize=4)
        axis.plot(
            place, low if row["trains"] else high, markers[row["init"]], color=colour, markersize=5.5,
            markeredgecolor="white", markeredgewidth=0.4,
        )  # fmt: skip
