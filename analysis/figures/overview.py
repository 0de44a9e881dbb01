"""Overview: what becomes of every condition, in one table of colours and numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from analysis import layout, style
from analysis.figures.atlas import table as gradient_table
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, condition_grid, networks
from analysis.figures.by_layer import table as layer_table
from analysis.figures.dead_units import table as dead_table
from analysis.frames import Study, Variant
from analysis.score import score_of
from analysis.score import table as score_table
from analysis.words import signed

CONDITION = ["activation", "init", "depth"]

DEAD = 0.005
"""A mean share of dead units that shows as 1 %."""

Painter = Callable[[pd.Series], tuple[tuple[float, float, float, float], str] | None]


def table(study: Study) -> pd.DataFrame:
    """Return what the first part of a study came to, a row a condition.

    Columns: ``activation, init, depth``; ``gradient``: decades of the signal gradient from the last
    hidden layer to the first at the start, with ``zeros`` and ``nonfinite``, networks in which it is
    exactly 0 or no number; ``collapse`` of z in the last hidden layer at the start; ``score`` on the
    test split at the best rate, with ``networks`` that are ok, ``lost`` (diverged or failed) and
    ``missing``; ``dead``: share of the hidden units that are dead at the end of training at the best
    rate. NaN where not measured.
    """
    found = pd.DataFrame(columns=CONDITION)
    if study.starts:
        start = study.starts[0]
        whole = gradient_table(study, start)
        gradient = whole[whole["layer"] == 1].rename(columns={"mean": "gradient"})
        deep = layer_table(study, start, "z_collapse", log=False)
        last = deep[deep["layer"] == deep["depth"] - 1].rename(columns={"mean": "collapse"})
        found = gradient[[*CONDITION, "gradient", "zeros", "nonfinite"]].merge(
            last[[*CONDITION, "collapse"]], on=CONDITION
        )
    if study.trained and (study.trained[0].cells["depth"] >= 2).any():
        training = study.trained[0]
        study.asked.append(
            f"SELECT *\nFROM networks\nWHERE {training.where} AND best\nORDER BY cell"
        )
        scores = score_table(training.cells)
        best = scores[scores["best"]].rename(columns={"mean": "score"})
        best = best.assign(lost=best["diverged"] + best["failed"])
        found = found.merge(
            best[[*CONDITION, "score", "networks", "lost", "missing"]], on=CONDITION, how="outer"
        )
        dead = dead_table(study, f"{training.where} AND best")
        dead = dead[dead["step"] == dead.groupby(CONDITION)["step"].transform("max")]
        shares = dead.groupby(CONDITION)["dead_share"].mean().rename("dead").reset_index()
        found = found.merge(shares, on=CONDITION, how="left")
    columns = [
        "gradient",
        "zeros",
        "nonfinite",
        "collapse",
        "score",
        "networks",
        "lost",
        "missing",
        "dead",
    ]
    return found.reindex(columns=[*CONDITION, *columns]).sort_values(CONDITION, ignore_index=True)


@FigureFunction
def overview(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw a small table of colours per activation × initializer, a column a depth.

    Args:
        study: an opened study; its first parts are drawn.
        variant: not used.

    Raises:
        NotApplicable: no network has hidden layers.
    """
    drawn = table(study)
    if drawn.empty:
        raise NotApplicable("no measured network has a hidden layer")
    depths = sorted(int(depth) for depth in drawn["depth"].unique())
    painters = _painters(study, drawn)
    with style.house_style():
        grid = condition_grid(
            drawn, (0.42 * len(depths), 0.19 * len(painters)), gap=0.14, left=0.75, bottom=0.42
        )
        figure, axes = grid.figure, grid.axes
        for _, axis, part in grid.panels(drawn):
            _panel(axis, part, depths, painters)
        for axis in axes[:, 0]:
            axis.set_yticks(range(len(painters)), labels=list(painters))
        for axis in axes[-1]:
            axis.set_xticks(range(len(depths)), labels=[str(depth) for depth in depths])
            axis.set_xlabel("depth")
    return Drawing(
        "What becomes of every condition?",
        _caption(study, painters),
        "Grid of small tables, activations by initializers: for each depth the decades of the signal "
        "gradient, the collapse and what training came to.",
        figure,
        drawn,
    )


def _painters(study: Study, drawn: pd.DataFrame) -> dict[str, Painter]:
    """Return for each line of the small tables what paints and labels its boxes."""
    viridis, reds = (style.matplotlib.colormaps[name] for name in ("viridis", "PuRd"))
    greys = style.matplotlib.colormaps["Greys"]
    decades = style.decades_norm(drawn["gradient"].to_numpy(dtype=float))

    def gradient(row: pd.Series) -> tuple[tuple[float, float, float, float], str] | None:
        if row["depth"] == 2:  # the first hidden layer is the last
            return style.diverging()(0.5), "–"
        if np.isfinite(row["gradient"]):
            colour = style.diverging()(float(decades(row["gradient"])))
            return colour, signed(row["gradient"], "+")
        if row["zeros"] > 0:
            return style.diverging()(0.0), "zero"
        return ((0.0, 0.0, 0.0, 1.0), "NaN") if row["nonfinite"] > 0 else None

    def collapse(row: pd.Series) -> tuple[tuple[float, float, float, float], str] | None:
        if np.isfinite(row["collapse"]):
            return greys(0.75 * row["collapse"]), f"{row['collapse']:.2f}"
        return ((0.0, 0.0, 0.0, 1.0), "NaN") if row["nonfinite"] > 0 else None

    found: dict[str, Painter] = {}
    if study.starts:
        found |= {"gradient": gradient, "collapse": collapse}
    if drawn["networks"].notna().any():
        judged = score_of(study.trained[0].cells)
        bottom = judged.chance if np.isfinite(judged.chance) else 0.0
        top = max([bottom + 0.01, *drawn["score"].dropna()])
        scale = Normalize(bottom, top)

        def score(row: pd.Series) -> tuple[tuple[float, float, float, float], str] | None:
            if np.isfinite(row["score"]):
                text = f"{row['score']:{'.2f' if judged.regression else '.0%'}}".replace("-", "−")
                colour = viridis(float(np.clip(scale(row["score"]), 0, 1)))
                return colour, text + ("×" if row["lost"] else "")
            if row["lost"] > 0:
                return (0.0, 0.0, 0.0, 1.0), "×"
            return ((1.0, 1.0, 1.0, 1.0), "…") if row["missing"] > 0 else None

        found["test"] = score
    if (drawn["dead"] >= DEAD).any():

        def dead(row: pd.Series) -> tuple[tuple[float, float, float, float], str] | None:
            return (
                (reds(0.8 * row["dead"]), f"{row['dead']:.0%}")
                if np.isfinite(row["dead"])
                else None
            )

        found["dead"] = dead
    return found


def _panel(axis: Axes, part: pd.DataFrame, depths: list[int], painters: dict[str, Painter]) -> None:
    if part.empty:
        layout.not_run(axis)
        axis.set_ylim(len(painters) - 0.5, -0.5)
        return
    image = np.ones((len(painters), len(depths), 4))
    image[:] = style.matplotlib.colors.to_rgba(style.MISSING_FACE)
    for _, row in part.iterrows():
        column = depths.index(int(row["depth"]))
        for line, paint in enumerate(painters.values()):
            if (painted := paint(row)) is None:
                continue
            colour, text = painted
            image[line, column] = colour
            bright = float(np.dot(colour[:3], (0.299, 0.587, 0.114))) > 0.55
            axis.text(
                column, line, text, ha="center", va="center", fontsize=7,
                color="black" if bright else "white",
            )  # fmt: skip
    axis.grid(False)
    axis.imshow(image, aspect="auto", interpolation="nearest")
    axis.set_xlim(-0.5, len(depths) - 0.5)
    axis.set_ylim(len(painters) - 0.5, -0.5)
    axis.tick_params(length=0)


def _caption(study: Study, painters: dict[str, Painter]) -> str:
    parts = []
    if "gradient" in painters:
        count = len(study.starts[0].cells)
        label = study.starts[0].label
        parts.append(
            f"At the start ({networks(count)}{f', {label}' if label else ''}): gradient – decades that "
            "the signal gradient gains (+, red) or loses (−, blue) from the last hidden layer to the "
            "first, mean over seeds, zero where nothing arrives, – at depth 2, whose first hidden layer "
            "is its last; collapse – share of the last hidden layer's z that is the same for every sample."
        )
    if "test" in painters:
        judged = score_of(study.trained[0].cells)
        label = study.trained[0].label
        count = study.count(f"{study.trained[0].where} AND best AND depth >= 2")
        parts.append(
            f"In training ({networks(count)}{f', {label}' if label else ''}): test – {judged.name} on "
            "the test split at each condition's own best learning rate, mean over seeds, dark "
            f"is chance, {judged.written_chance}, bright the best of the study; × – some diverged or "
            "failed, × alone – all did"
            + ("; … – not run yet." if study.count("training = 1 AND status = 'missing'") else ".")
        )
    if "dead" in painters:
        parts.append("Dead – share of the hidden units that are dead at the end of that training.")
    parts.append("Grey: not in the sweep. A condition trains where its test line is bright.")
    return " ".join(parts)
