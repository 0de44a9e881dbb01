"""Trainability: accuracy against depth at the best rate, and the map depth × learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis import style
from analysis.figures.base import Drawing, NotApplicable, legend_above, networks
from analysis.frames import Study, Variant, best_rates, in_order
from analysis.statistics import student_interval, student_intervals

AXES = ["activation", "init", "depth", "lr"]


def table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy of every condition and rate.

    Args:
        cells: rows of ``Study.cells`` of one trained variant.

    Returns:
        `AXES`, mean and 95 % interval over the networks that are ok, ``networks``, the counts
        ``diverged``, ``failed`` and ``missing``, and whether the rate is the condition's ``best``
        by validation.
    """
    cells = cells[cells["depth"] >= 2]
    accuracy = cells.assign(value=cells["final_test_accuracy"].where(cells["status"] == "ok"))
    found = student_intervals(accuracy, AXES, "value")
    for status in ("diverged", "failed", "missing"):
        counts = (cells["status"] == status).groupby([cells[key] for key in AXES]).sum()
        found[status] = counts.to_numpy()
    best = best_rates(cells)[AXES].drop_duplicates().assign(best=True)
    found = found.merge(best, on=AXES, how="left")
    found["best"] = found["best"].eq(True)
    return found


def linear_accuracy(variant: Variant) -> float:
    """Return the test accuracy of a linear model (depth 1) at its best rate, NaN if none was run."""
    linear = variant.cells[variant.cells["depth"] == 1]
    if linear.empty:
        return float("nan")
    # without a hidden layer there is no activation: any of them is the linear model
    best = best_rates(linear)
    return student_interval(best.loc[best["status"] == "ok", "final_test_accuracy"]).mean


def trainability(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw best-rate test accuracy against depth, a panel per initializer, a line per activation.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with a hidden layer was trained.
    """
    variant = _trained(study, variant)
    drawn = table(variant.cells)
    drawn = drawn[drawn["best"]]
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    depths = sorted(drawn["depth"].unique())
    colours, markers = style.colours(activations), style.markers(activations)
    chance = 1 / variant.cells["classes"].dropna().iloc[0]
    linear = linear_accuracy(variant)
    with style.house_style():
        figure, axes = style.panel_grid([""], inits, (3.3, 2.9), top=0.9)
        for init, axis in zip(inits, axes[0], strict=True):
            axis.axhline(chance, color="#777777", linewidth=0.9, linestyle=":")
            if np.isfinite(linear):
                axis.axhline(linear, color="#777777", linewidth=0.9, linestyle="--")
            for place, activation in enumerate(activations):
                part = drawn[(drawn["init"] == init) & (drawn["activation"] == activation)]
                _line(axis, part, depths, place / max(1, len(activations) - 1) - 0.5)
                axis.lines[-1].set(color=colours[activation], marker=markers[activation])
                _faults(axis, part, depths, colours[activation], chance)
            axis.set_xticks(range(len(depths)), labels=[str(depth) for depth in depths])
            axis.set_xlim(-0.4, len(depths) - 0.6)
            axis.set_xlabel("depth")
        top = max(_top(drawn), chance, linear if np.isfinite(linear) else 0.0)
        axes[0, 0].set_ylim(0, min(1.0, 1.15 * top))
        axes[0, 0].yaxis.set_major_formatter(style.percent())
        axes[0, 0].set_ylabel("test accuracy at the best rate")
        legend_above(figure, _legend(activations, drawn, linear))
    lost = int(drawn[["diverged", "failed", "missing"]].sum().sum())
    return Drawing(
        "What trains, and how deep?",
        "Accuracy on the whole test split after the last update, each condition at the learning rate "
        "with the best accuracy on the validation split: mean and 95 % Student interval over seeds "
        f"({networks(int(drawn['networks'].sum()) + lost)}"
        + (
            f", of which {lost} diverged, failed or are missing: a cross, with how many"
            if lost
            else ""
        )
        + f"). Dotted: chance, {chance:.0%}"
        + (f"; dashed: a linear model, {linear:.1%}" if np.isfinite(linear) else "")
        + ". A network on the dotted line has learnt nothing; one below the dashed line has gained "
        "nothing from its depth.",
        "Line charts of test accuracy against depth, one line an activation, one panel an initializer.",
        figure,
        drawn,
    )


def rate_map(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the map depth × learning rate of test accuracy, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: fewer than two rates were trained.
    """
    variant = _trained(study, variant)
    drawn = table(variant.cells)
    if drawn["lr"].nunique() < 2:
        raise NotApplicable("a map over rates needs at least two learning rates")
    activations = in_order(drawn["activation"], style.ACTIVATIONS)
    inits = in_order(drawn["init"], style.INITIALIZERS)
    depths, rates = sorted(drawn["depth"].unique()), sorted(drawn["lr"].unique())
    chance = 1 / variant.cells["classes"].dropna().iloc[0]
    norm = style.matplotlib.colors.Normalize(chance, max(_top(drawn), chance + 0.01))
    with style.house_style():
        figure, axes = style.panel_grid(
            activations, inits, (0.5 + 0.45 * len(depths), 0.1 + 0.3 * len(rates)),
            row_colours=style.colours(activations), top=1.0,
        )  # fmt: skip
        for activation, row in zip(activations, axes, strict=True):
            for init, axis in zip(inits, row, strict=True):
                part = drawn[(drawn["activation"] == activation) & (drawn["init"] == init)]
                _map_panel(axis, part, depths, rates, norm)
        for axis in axes[-1]:
            axis.set_xlabel("depth")
        for axis in axes[:, 0]:
            axis.set_ylabel("rate", labelpad=1)
        height = figure.get_figheight()
        bar = figure.add_axes((0.35, 1 - 0.28 / height, 0.45, 0.12 / height))
        figure.colorbar(
            style.matplotlib.cm.ScalarMappable(norm, style.matplotlib.colormaps["viridis"]),
            cax=bar, orientation="horizontal", format=style.percent(),
        )  # fmt: skip
        bar.grid(False)
        figure.text(0.34, 1 - 0.22 / height, "test accuracy, from chance", ha="right", va="center")
    lost = int(drawn["diverged"].sum())
    return Drawing(
        "Which learning rates train which depth?",
        f"Accuracy on the whole test split by depth and learning rate, mean over the seeds that did not "
        f"diverge ({networks(int(drawn['networks'].sum()) + lost)}, {lost} of them diverged). Framed: "
        f"the rate chosen on the validation split. ×n: n networks diverged; black: all of them did; "
        f"hatched: not run. Darkest blue is chance. Look for the rate that a deeper network needs.",
        "Heat maps of test accuracy by depth and learning rate, activations by initializers.",
        figure,
        drawn,
    )


def _trained(study: Study, variant: Variant | None) -> Variant:
    variant = variant or next(iter(study.trained), None)
    if variant is None or (variant.cells["depth"] < 2).all():
        raise NotApplicable("no network with a hidden layer was trained (steps = 0)")
    if variant.cells["classes"].isna().all():
        raise NotApplicable("no trained network is finished yet")
    return variant


def _top(drawn: pd.DataFrame) -> float:
    values = drawn[["mean", "high"]].to_numpy(dtype=float)
    return float(np.nanmax(values)) if np.isfinite(values).any() else 0.0


def _line(axis: Axes, part: pd.DataFrame, depths: list[int], shift: float) -> None:
    """Draw mean and interval against depth; the line is the last one added."""
    places = np.array([depths.index(depth) for depth in part["depth"]]) + 0.24 * shift
    bars = [part["mean"] - part["low"], part["high"] - part["mean"]]
    found = axis.errorbar(places, part["mean"], yerr=np.nan_to_num(np.array(bars)), fmt="none")
    axis.plot(places, part["mean"], markersize=4.5, markeredgecolor="white", markeredgewidth=0.4)
    axis.lines[-1].set_label("_")
    found[2][0].set(linewidth=1.0, alpha=0.7)


def _faults(axis: Axes, part: pd.DataFrame, depths: list[int], colour: str, chance: float) -> None:
    """Mark the conditions of which networks are lost even at the best rate."""
    axis.collections[-1].set_color(colour)
    for _, row in part.iterrows():
        lost = int(row["diverged"] + row["failed"] + row["missing"])
        if lost:
            height = row["mean"] if np.isfinite(row["mean"]) else chance
            axis.annotate(
                f"×{lost}", (depths.index(row["depth"]), height), xytext=(7, 5),
                textcoords="offset points", color=colour, fontsize=8, fontweight="bold",
            )  # fmt: skip


def _legend(activations: list[str], drawn: pd.DataFrame, linear: float) -> list[Line2D]:
    colours, markers = style.colours(activations), style.markers(activations)
    handles = [Line2D([], [], color=colours[a], marker=markers[a], label=a) for a in activations]
    handles.append(Line2D([], [], color="#777777", linestyle=":", label="chance"))
    if np.isfinite(linear):
        handles.append(Line2D([], [], color="#777777", linestyle="--", label="linear model"))
    if drawn[["diverged", "failed", "missing"]].to_numpy().any():
        mark = Line2D([], [], color="black", marker="$×n$", linestyle="none", markersize=11)
        mark.set_label("n lost")
        handles.append(mark)
    return handles


def _map_panel(
    axis: Axes, part: pd.DataFrame, depths: list[int], rates: list[float], norm: Callable[[float], Any]
) -> None:
    if part.empty:
        style.not_run(axis)
        return
    axis.grid(False)
    axis.set_facecolor(style.MISSING_FACE)
    axis.patch.set_hatch(style.MISSING_HATCH)
    axis.patch.set_edgecolor("#BBBBBB")
    axis.set_xticks(range(len(depths)), labels=[str(depth) for depth in depths])
    axis.set_yticks(range(len(rates)), labels=[f"{rate:g}" for rate in rates])
    axis.set_xlim(-0.5, len(depths) - 0.5)
    axis.set_ylim(-0.5, len(rates) - 0.5)
    viridis = style.matplotlib.colormaps["viridis"]
    for _, row in part.iterrows():
        x, y = depths.index(row["depth"]), rates.index(row["lr"])
        if np.isfinite(row["mean"]):
            face = tuple(viridis(float(norm(row["mean"]))))
        elif row["diverged"] or row["failed"]:
            face = (0.0, 0.0, 0.0, 1.0)
        else:
            continue
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=face, linewidth=0))
        if row["best"] and np.isfinite(row["mean"]):
            # white on black, to be seen on every colour of the map
            for edge, thickness in (("black", 2.4), ("white", 1.2)):
                axis.add_patch(
                    Rectangle(
                        (x - 0.45, y - 0.42),
                        0.9,
                        0.84,
                        fill=False,
                        edgecolor=edge,
                        linewidth=thickness,
                    )
                )
        if row["diverged"]:
            bright = np.dot(face[:3], (0.3, 0.59, 0.11)) > 0.5
            axis.text(
                x, y, f"×{row['diverged']:.0f}", ha="center", va="center", fontsize=8,
                color="black" if bright else "white",
            )  # fmt: skip
