"""How many narrow ReLU networks are dead before they are trained, and how many theory says there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.figures.base import THEORY, Drawing, FigureFunction, NotApplicable, networks
from analysis.frames import Study, Variant
from analysis.predictions import predictions
from analysis.statistics import wilson
from study.theory.dead import dead_share, least_born_dead, most_born_dead

TITLE = "How many networks are dead before the first step?"

WIDEST = 16
"""Units beyond which a layer is never born dead: one in 65,536 at most."""


def table(study: Study) -> pd.DataFrame:
    """Return the share of ReLU networks with a dead layer at the start, by width and depth.

    Columns: ``panel`` (initializer, data and whether there are biases), ``init, data, bias, width, depth,
    networks, dead`` (networks in which no sample of the probe set activates any unit of some hidden layer),
    ``share, low, high`` (95 % Wilson interval), ``predicted`` (from how alike samples are, layer by layer),
    ``least`` and ``most`` (the bounds). NaN where the theory does not speak, and where a bound does not hold:
    the lower one with biases, both if weights are not drawn around 0.
    """
    found = study.execute(
        "SELECT init, data, bias, width, depth, count(*) AS networks, "
        "count(*) FILTER (dead) AS dead FROM ("
        "SELECT networks.init, networks.data, networks.bias, networks.width, networks.depth, cell, "
        "bool_or(layers.dead_units = layers.units) AS dead "
        "FROM networks JOIN cells USING (cell) JOIN layers USING (cell) "
        "WHERE cells.activation = 'relu' AND networks.width <= ? AND networks.depth >= 2 "
        # half of what a normalized unit gets lies above its mean; dropout begins as a network without it
        "AND coalesce(cells.norm, 'none') = 'none' AND coalesce(cells.dropout, 0) = 0 "
        "AND start IS NOT NULL AND layers.step = 0 AND layers.layer < networks.depth "
        "GROUP BY ALL) GROUP BY ALL ORDER BY ALL",
        [WIDEST],
    ).df()
    if found.empty:
        return found
    low, high = wilson(found["dead"].to_numpy(), found["networks"].to_numpy())
    told = _predicted(study)
    keys = [
        (row.init, row.data, bool(row.bias), int(row.width), int(row.depth))
        for row in found.itertuples()
    ]
    nothing = (np.nan, True)
    drawn = [told.get(key, nothing) for key in keys]
    centred = [key in told for key in keys]
    return found.assign(
        panel=_panels(found),
        share=found["dead"] / found["networks"],
        low=low,
        high=high,
        predicted=[share for share, _ in drawn],
        least=[
            least_born_dead(key[3], key[4]) if known and not shifted else np.nan
            for key, known, (_, shifted) in zip(keys, centred, drawn, strict=True)
        ],
        most=[
            most_born_dead(key[3], key[4]) if known else np.nan
            for key, known in zip(keys, centred, strict=True)
        ],
    )


def _panels(found: pd.DataFrame) -> pd.Series:
    """Return the initializer of every row, with data and biases where they vary."""
    panel = found["init"].astype(str)
    if found["data"].nunique() > 1:
        panel += ", " + found["data"].astype(str)
    if found["bias"].nunique() > 1:
        panel += np.where(found["bias"], "", ", no biases")
    return panel


def _predicted(study: Study) -> dict[tuple[str, str, bool, int, int], tuple[float, bool]]:
    """Return the theory's share of dead networks, and whether biases are drawn, by what they depend on.

    A layer is dead when all its units are; layers die one after the other, as unlike as their samples still
    are.
    """
    found = {}
    for variant in study.starts:
        [data], [bias] = variant.cells["data"].unique(), variant.cells["bias"].unique()
        for one in predictions(study, variant):
            widths = one.field.widths
            if one.field.phi.name != "relu" or widths is None or one.alike is None:
                continue
            if not one.field.weight_variance.all():  # weights of 0 are dead for sure
                continue
            width, samples = widths[1], one.probe_samples
            first = 1 / samples + (1 - 1 / samples) * min(max(one.alike, 0.0), 1.0)
            dead = dead_share(one.field, first, samples) ** width
            share = float(-np.expm1(np.log1p(-dead).sum()))
            key = (one.init, str(data), bool(bias), width, one.depth)
            found[key] = (share, bool(one.field.bias_variance.any()))
    return found


@FigureFunction
def born_dead(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the share of narrow ReLU networks that are dead before training, against depth.

    Args:
        study: an opened study.
        variant: not used: widths are compared, which divide a study into variants.

    Raises:
        NotApplicable: no ReLU network was measured that is narrow enough to be born dead.
    """
    drawn = table(study)
    if drawn.empty:
        raise NotApplicable(f"no ReLU network of at most {WIDEST} units a layer was measured")
    widths = sorted(drawn["width"].unique())
    colours = style.depth_colours([int(width) for width in widths])
    panels = list(dict.fromkeys(drawn["panel"]))
    with style.house_style():
        figure, axes = layout.panel_grid([""], panels, (4.4, 3.2), left=0.75)
        for panel, axis in zip(panels, axes[0], strict=True):
            for width in widths:
                part = drawn[(drawn["panel"] == panel) & (drawn["width"] == width)]
                _line(axis, part, colours[int(width)])
            axis.set_xlabel("depth (layers with weights)")
        first: Axes = axes[0, 0]
        first.set_xscale("log", base=2)
        depths = sorted(drawn["depth"].unique())
        first.set_xticks(depths, labels=[str(depth) for depth in depths])
        first.xaxis.set_minor_locator(style.matplotlib.ticker.NullLocator())
        first.yaxis.set_major_formatter(style.percent())
        first.set_ylim(-0.02, 1.02)
        first.set_ylabel("networks born dead")
        handles = [
            *(
                Line2D([], [], color=colours[int(w)], marker="o", label=f"width {w}")
                for w in widths
            ),
            Line2D([], [], **THEORY, label="mean-field estimate"),
            Line2D([], [], color="#999999", linewidth=5, alpha=0.4, label="bounds of Lu et al."),
        ]
        layout.legend_above(figure, handles)
    return Drawing(
        TITLE,
        "Share of ReLU networks in which no sample of the probe set activates any unit of some hidden "
        "layer, before training: such a network gives every input the same output and can never learn "
        f"({networks(int(drawn['networks'].sum()))}; bars: 95 % Wilson intervals). Shaded: between the lower "
        "bound, for one input and no biases, and the upper bound (Lu et al. 2019), where they hold. "
        "Dotted: estimated from how alike the samples of the probe set are in each layer, by mean-field "
        "theory, which knows nothing of how much few units differ from their mean.",
        "Lines of the share of networks born dead against depth, one for each width, with bounds.",
        figure,
        drawn,
    )


def _line(axis: Axes, part: pd.DataFrame, colour: tuple[float, float, float]) -> None:
    axis.fill_between(
        part["depth"], part["least"], part["most"], color=colour, alpha=0.18, linewidth=0
    )
    axis.plot(part["depth"], part["predicted"], **{**THEORY, "color": colour})
    axis.vlines(part["depth"], part["low"], part["high"], color=colour, linewidth=1.4)
    axis.plot(
        part["depth"], part["share"], "o", color=colour, markersize=5, markeredgecolor="white"
    )
