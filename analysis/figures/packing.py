"""Packing: the same networks in other packs, or on another device, step by step."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis import layout, style
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, networks
from analysis.frames import Study, Variant
from analysis.labels import in_order
from analysis.words import several

QUERY = """SELECT cell, activation, init, depth, lr, seed, step, batch_loss, other_batch_loss
FROM curves JOIN other_curves USING (cell, step) JOIN networks USING (cell)
ORDER BY cell, step"""

LEAST = 1e-17
"""Below the last bit of a float64: where the lane of those that are equal is drawn."""


def table(study: Study) -> pd.DataFrame:
    """Return the batch losses of networks that two studies share, with their relative difference.

    Columns: ``cell, activation, init, depth, lr, seed, step``, ``batch_loss, other_batch_loss`` and
    ``difference``: |a − b| / max(|a|, |b|), 0 where both are the same or neither is a number,
    infinite where one alone is none.

    Raises:
        NotApplicable: there is no other study, or it shares no network with this one.
    """
    if study.against is None:
        raise NotApplicable(
            "it needs a second study with some of the same networks (--against outputs/<name>)"
        )
    study.asked.append(QUERY)
    both = study.execute(QUERY).df()
    if both.empty:
        raise NotApplicable(f"{study.against.name} shares no measured network with this study")
    one, other = both["batch_loss"].to_numpy(float), both["other_batch_loss"].to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(one - other) / np.maximum(np.abs(one), np.abs(other))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    difference[same] = 0.0
    return both.assign(difference=np.where(np.isnan(difference), np.inf, difference))


@FigureFunction
def packing(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the relative difference of batch losses against the step, a panel a depth.

    Args:
        study: an opened study with a second one ``against`` it.
        variant: not used: every network that both studies hold is drawn.

    Raises:
        NotApplicable: there is no second study, or it shares no network with this one.
    """
    drawn = table(study)
    assert study.against is not None
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    depths = sorted(int(depth) for depth in drawn["depth"].unique())
    colours = style.colours(activations)
    largest = drawn["difference"].replace(np.inf, np.nan).max()
    with style.house_style():
        figure, axes = layout.panel_grid(
            [""], [f"depth {depth}" for depth in depths], (2.6, 2.0), left=0.8
        )
        for depth, axis in zip(depths, axes[0], strict=True):
            _panel(axis, drawn[drawn["depth"] == depth], colours)
        first = axes[0, 0]
        first.set_yscale("log")
        first.set_ylim(LEAST / 10, max(10 * largest, 1e-5) if np.isfinite(largest) else 1e-5)
        ticks = [10.0**power for power in range(-15, 1, 3)]
        shown = [tick for tick in ticks if tick <= first.get_ylim()[1]]
        powers = [f"$10^{{{int(np.log10(tick))}}}$" for tick in shown]
        first.set_yticks([LEAST, *shown], labels=["equal", *powers])
        first.yaxis.set_minor_locator(style.matplotlib.ticker.NullLocator())
        first.set_ylabel("relative difference of the batch loss")
        layout.legend_above(
            figure, [Line2D([], [], color=colours[one], label=one) for one in activations]
        )
    return Drawing(
        "Do a network's numbers depend on its neighbours?",
        _caption(study, drawn),
        "Line charts of the relative difference of the batch loss between two runs of the same "
        "networks against the step, one panel a depth.",
        figure,
        drawn,
    )


def _panel(axis: Axes, part: pd.DataFrame, colours: dict[str, str]) -> None:
    places = {step: index for index, step in enumerate(sorted(part["step"].unique()))}
    for (activation, _), line in part.groupby(["activation", "cell"], sort=True):
        height = line["difference"].clip(lower=LEAST).replace(np.inf, np.nan)
        axis.plot(
            line["step"].map(places), height, color=colours[str(activation)], linewidth=1.0,
            marker=".", markersize=3, alpha=0.8,
        )  # fmt: skip
    # steps are log-spaced at probe steps and every one between: their order is what counts
    wanted = np.linspace(0, len(places) - 1, min(4, len(places))).round().astype(int)
    steps = list(places)
    axis.set_xticks(wanted, labels=[f"{steps[index]:,}" for index in wanted])
    axis.set_xlabel("step")
    if not (part["difference"] > 0).any():
        axis.text(
            0.5, 0.5, "equal to the last bit\nat every step", transform=axis.transAxes, ha="center",
            va="center", color="#555555",
        )  # fmt: skip


def _caption(study: Study, drawn: pd.DataFrame) -> str:
    assert study.against is not None
    cells = drawn["cell"].unique()
    sizes = [_sizes(one, set(cells)) for one in (study, study.against)]
    numbers = drawn["batch_loss"].notna()
    equal = int((drawn["difference"] == 0).where(numbers, False).sum())
    neither = int((drawn["difference"] == 0).sum()) - equal
    broken = int(np.isinf(drawn["difference"]).sum())
    text = (
        f"The same {networks(len(cells))} trained in two studies: here in packs of {sizes[0]}, in "
        f"{study.against.name} in packs of {sizes[1]}; relative difference of the batch loss at the "
        f"{several(drawn['step'].nunique(), 'step')} that both hold, a line a network. "
        f"{equal:,} of {len(drawn):,} losses are equal to the last bit"
    )
    text += f", {neither:,} are no number in either (diverged)" if neither else ""
    text += f", {broken:,} are a number in one study alone" if broken else ""
    return (
        f"{text}. On a CPU networks whose width is a multiple of the vector length are equal; at other "
        "widths and on a GPU the last bits differ, and a chaotic deep network amplifies them as it "
        "trains: statistics over seeds hold, the path of a single network does not."
    )


def _sizes(study: Study, cells: set[str]) -> str:
    """Return how many networks the packs of some cells hold, ``"1"`` or ``"18 to 24"``."""
    found = sorted({study.pack_sizes[cell] for cell in cells if cell in study.pack_sizes})
    if not found:
        return "unknown size"
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
