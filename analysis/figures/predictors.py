"""Predictors: which number, known before the first update, tells which networks will train."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from analysis import layout, style
from analysis.aggregates import grouped
from analysis.figures.base import Drawing, FigureFunction, NotApplicable, networks, trained
from analysis.frames import Study, Variant, among
from analysis.labels import in_order
from analysis.score import CONDITION, LEARNT, score_of
from analysis.statistics import area_interval, roc_areas
from analysis.words import joined, several, verb

TITLE = "What, known at the start, tells which networks will train?"

BINS = 8
"""Groups of about equally many networks whose share that trained is drawn."""

INK = "#333333"

COLUMNS = ["signal_grad_rms", "z_collapse", "dead_units", "weight_grad_norm", "weight_norm"]


@dataclass(frozen=True)
class Predictor:
    """A number of a network before its first update.

    Attributes:
        name: what it is called, in the table too.
        direction: 1 where the larger is said to train, −1 where the smaller is.
        axis: what is written below its bins.
    """

    name: str
    direction: int
    axis: str


PREDICTORS = (
    Predictor("gradient change", -1, "|log10| of signal gradient, layer 1 / last hidden"),
    Predictor("collapse", -1, "z_collapse of the last hidden layer"),
    Predictor("dead share", -1, "dead share of hidden units"),
    Predictor("relative update", 1, "log10 of lr·‖g‖²/‖W‖²"),
    Predictor("learning rate", 1, "lr"),
    Predictor("depth", -1, "depth"),
)


def measured(study: Study, cells: pd.DataFrame, where: str | None = None) -> pd.DataFrame:
    """Return the predictors of every network and whether it trained.

    Args:
        study: an opened study.
        cells: rows of ``study.cells`` of one trained variant, all of them with hidden layers.
        where: an SQL condition on ``networks`` that finds them; default by their ids.

    Returns:
        A row a network that is ok or diverged: the columns of ``cells``, ``trained`` (test score
        beyond `LEARNT` above chance; one that diverged has not trained) and one column for each of
        `PREDICTORS`. ``relative update`` is in decades. There ±∞ stands for a gradient or an update
        of exactly 0, and NaN for what is not finite. ``dead share`` is NaN, too, where units of no
        network of the activation are dead at the start.
    """
    cells = cells[cells["status"].isin(["ok", "diverged"])]
    score = score_of(cells)
    above = cells[score.test] > score.chance + LEARNT
    cells = cells.assign(trained=above & (cells["status"] == "ok")).set_index("cell", drop=False)
    begun = _beginnings(study, study.rows(where or among(cells), COLUMNS)).set_index("cell")
    first, last, share = begun["first"], begun["last"], begun["dead_share"]
    mortal = share.groupby(cells["activation"].reindex(share.index)).transform("max") > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(np.log10(first / last))
        update = (
            np.log10(cells["lr"])
            + 2 * np.log10(begun["weight_grad_norm"])
            - 2 * np.log10(begun["weight_norm"])
        )
    # 0/0 says less than that nothing arrives; a ratio of numbers that are none is none
    ratio = ratio.where(np.isfinite(first) & np.isfinite(last)).mask(first == 0, math.inf)
    return cells.assign(
        **{
            "gradient change": ratio,
            "collapse": begun["collapse"].where(np.isfinite(begun["collapse"])),
            "dead share": share.where(mortal),
            "relative update": update.where(update < math.inf),
            "learning rate": cells["lr"],
            "depth": cells["depth"],
            "mortal": mortal,
        }
    ).reset_index(drop=True)


def _beginnings(study: Study, rows: str) -> pd.DataFrame:
    """Return what the layers of each network come to at step 0.

    Args:
        study: an opened study.
        rows: a query for all layers of networks with hidden layers, with `COLUMNS`.

    Returns:
        ``cell``; ``first`` and ``last``: the signal gradient of the first and the last hidden layer;
        ``collapse`` of the last; ``dead_share`` of the hidden units; ``weight_grad_norm`` and
        ``weight_norm`` over all layers. Where a layer is no number, so is the network.
    """
    found = {
        "first": "max(signal_grad_rms) FILTER (layer = 1)",
        "last": "max(signal_grad_rms) FILTER (layer = depth - 1)",
        "collapse": "max(z_collapse) FILTER (layer = depth - 1)",
        "dead_share": "CASE WHEN count(dead_units) = count(*) - 1 THEN sum(dead_units) END "
        "/ sum(units) FILTER (layer < depth)",
    }
    for name in ("weight_grad_norm", "weight_norm"):
        # squares are kept within float64
        largest = f"max({name}) OVER (PARTITION BY cell)"
        scale = f"CASE WHEN {largest} > 0 AND isfinite({largest}) THEN {largest} ELSE 1 END"
        rows = f"SELECT *, {scale} AS {name}_scale FROM ({rows})"
        found[name] = f"sqrt(sum(({name} / {name}_scale) ** 2)) * max({name}_scale)"
    return grouped(study, rows, ["cell"], found)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Return the area under the ROC curve of every predictor, and the share that trained by its bins.

    What is not finite ranks as the least likely to train, below every number, and an exact zero of
    the gradient or of the update as the most vanished: below every finite number, above what is
    none. Ties count half.

    Args:
        found: as `measured` returns it.

    Returns:
        Rows with ``bin`` ``all``, the predictors with the largest area first and those of some
        networks only behind them: ``predictor``, ``says`` (``larger trains`` or ``smaller
        trains``), ``networks``, ``trained``, ``area, low, high`` (95 % interval, conditions as
        clusters), ``behind, behind_low, behind_high`` (the largest area less this one on the same
        networks, paired; NaN for that one and for predictors of some networks only). Then a row a
        bin, ``1`` … `BINS` from small values on, ``zero`` and ``nonfinite``: ``networks``,
        ``trained``, ``share`` and the values ``smallest``, ``middle`` (median) and ``largest``.
    """
    clusters = found.groupby(CONDITION, sort=True).ngroup().to_numpy()
    scores, parts = {}, {}
    for predictor in PREDICTORS:
        part = found[found["mortal"]] if predictor.name == "dead share" else found
        score = _score(part[predictor.name], predictor.direction)
        if score.nunique() > 1 and part["trained"].nunique() > 1:
            scores[predictor], parts[predictor] = score, part
    everywhere = [one for one in scores if len(parts[one]) == len(found)]
    rows = {}
    for predictor, score in scores.items():
        part = parts[predictor]
        of_part = clusters[found.index.get_indexer(part.index)]
        areas = roc_areas(score.to_numpy()[:, None], part["trained"], of_part)
        low, high = area_interval(areas.areas[0], areas.covariance[0, 0], areas.clusters)
        rows[predictor] = {
            "predictor": predictor.name,
            "says": "larger trains" if predictor.direction > 0 else "smaller trains",
            "bin": "all", "networks": len(part), "trained": int(part["trained"].sum()),
            "area": areas.areas[0], "low": low, "high": high,
        }  # fmt: skip
    # an area among other networks is no rival of the others
    order = sorted(rows, key=lambda one: (one not in everywhere, -rows[one]["area"]))
    compared = [one for one in order if one in everywhere]
    if compared:
        together = np.column_stack([scores[one] for one in compared])
        areas = roc_areas(together, found["trained"], clusters)
        for place, predictor in enumerate(compared[1:], start=1):
            rows[predictor] |= _behind(areas.areas, areas.covariance, areas.clusters, place)
    frame = [rows[one] for one in order]
    for predictor in order:
        frame += _bins(parts[predictor], predictor)
    columns = ["predictor", "says", "bin", "networks", "trained", "area", "low", "high", "behind",
               "behind_low", "behind_high", "share", "smallest", "middle", "largest"]  # fmt: skip
    return pd.DataFrame(frame).reindex(columns=columns)


def _score(values: pd.Series, direction: int) -> pd.Series:
    """Return places in the ranking, high where a network is said to train."""
    # one below −∞, where exact zeros stand
    return (direction * values).rank(method="dense").fillna(0.0)


def _behind(
    areas: np.ndarray, covariance: np.ndarray, clusters: int, place: int
) -> dict[str, float]:
    """Return how far an area is behind the first, with its paired 95 % interval."""
    difference = float(areas[0] - areas[place])
    variance = covariance[0, 0] + covariance[place, place] - 2 * covariance[0, place]
    # two rankings that agree, or both are perfect, have no luck to judge the difference by
    half = math.nan
    if variance > 0:
        half = float(stats.t.ppf(0.975, clusters - 1)) * math.sqrt(variance)
    return {
        "behind": difference, "behind_low": difference - half, "behind_high": difference + half,
    }  # fmt: skip


def _bins(part: pd.DataFrame, predictor: Predictor) -> list[dict[str, object]]:
    """Return the share of networks that trained in quantile bins of a predictor."""
    values = part[predictor.name].astype(float)
    finite = values[np.isfinite(values)]
    labels = pd.Series("nonfinite", index=values.index).mask(np.isinf(values), "zero")
    if len(finite):
        distinct = np.unique(finite)
        if len(distinct) > BINS:
            distinct = np.unique(np.quantile(finite, np.arange(BINS) / BINS))
        places = np.searchsorted(distinct, finite, side="right")
        # an edge that is no value of its own may leave a bin empty
        labels[finite.index] = [
            str(place) for place in pd.Series(places).rank(method="dense").astype(int)
        ]
    rows = []
    for label in [*map(str, range(1, BINS + 1)), "zero", "nonfinite"]:
        chosen = part[labels == label]
        if chosen.empty:
            continue
        inside = (
            values[chosen.index] if label not in ("zero", "nonfinite") else pd.Series([math.nan])
        )
        rows.append(
            {
                "predictor": predictor.name, "bin": label, "networks": len(chosen),
                "says": "larger trains" if predictor.direction > 0 else "smaller trains",
                "trained": int(chosen["trained"].sum()), "share": chosen["trained"].mean(),
                "smallest": inside.min(), "middle": inside.median(), "largest": inside.max(),
            }
        )  # fmt: skip
    return rows


@FigureFunction
def predictors(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw areas under ROC curves, and beside each the share that trained against the predictor.

    Args:
        study: an opened study.
        variant: one of ``study.trained``; default the first.

    Raises:
        NotApplicable: no network with a hidden layer was trained, all or none of them trained, or
            no predictor differs among them.
    """
    variant = trained(study, variant)
    deep = variant.cells[variant.cells["depth"] >= 2]
    found = measured(study, deep, f"{variant.where} AND depth >= 2")
    learnt = int(found["trained"].sum())
    if learnt in (0, len(found)):
        which = "none" if not learnt else "all"
        raise NotApplicable(
            f"{which} of the {networks(len(found))} learnt something, so that nothing tells them apart"
        )
    drawn = table(found)
    if drawn.empty:
        raise NotApplicable("no predictor differs from network to network")
    areas = drawn[drawn["bin"] == "all"].set_index("predictor")
    known = {one.name: one for one in PREDICTORS}
    chosen = [known[name] for name in areas.index]
    with style.house_style():
        figure, axes = layout.panel_grid(
            [f"{one.name} ({areas.at[one.name, 'says']})" for one in chosen],
            ["area under the ROC curve, 95 % interval", "share of networks that trained"],
            (3.6, 0.72),
            left=0.2, gap=0.5, pad=14, sharex=False, sharey=False,
        )  # fmt: skip
        for one, (left, right) in zip(chosen, axes, strict=True):
            _area(left, areas.loc[one.name], last=one is chosen[-1])
            of_bins = drawn[(drawn["predictor"] == one.name) & (drawn["bin"] != "all")]
            _shares(right, of_bins, learnt / len(found), one)
    return Drawing(
        TITLE,
        _caption(found, deep, areas),
        f"Dot plot of the area under the ROC curve of {several(len(chosen), 'predictor')} with "
        "intervals, and beside each the share of networks that trained by its quantile bins.",
        figure,
        drawn,
    )


def _area(axis: Axes, row: pd.Series, last: bool) -> None:
    axis.set_autoscale_on(False)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.grid(False, axis="y")
    axis.axvline(0.5, color="#777777", linewidth=0.9, linestyle=":")
    axis.plot([row["low"], row["high"]], [0.4, 0.4], color=INK, linewidth=2)
    axis.plot(row["area"], 0.4, "o", color=INK, markersize=6)
    text = f"{row['area']:.2f}"
    if np.isfinite(row["low"]):
        text += f" [{row['low']:.2f}, {row['high']:.2f}]"
    text += f" · n = {int(row['networks']):,}"
    right = row["area"] > 0.5
    axis.text(
        0.99 if right else 0.01,
        0.72,
        text,
        ha="right" if right else "left",
        va="center",
        fontsize=8,
    )
    axis.set_yticks([])
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", ".25", ".5", ".75", "1"] if last else [])


def _shares(axis: Axes, bins: pd.DataFrame, overall: float, predictor: Predictor) -> None:
    axis.set_autoscale_on(False)
    axis.set_ylim(-0.05, 1.1)
    axis.grid(False, axis="x")
    axis.set_yticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    axis.axhline(overall, color="#777777", linewidth=0.9, linestyle="--")
    finite = bins[~bins["bin"].isin(["zero", "nonfinite"])]
    axis.plot(range(len(finite)), finite["share"], "o-", color=INK, markersize=4.5)
    labels: dict[float, str] = dict(enumerate(map(_short, finite["middle"])))
    for label, marker, name in (("zero", "v", "exactly 0"), ("nonfinite", "x", "no number")):
        share = bins.loc[bins["bin"] == label, "share"]
        if len(share):
            place = max(labels, default=-1.0) + 1.5
            axis.plot(place, share.iloc[0], marker, color=style.FAULT, markersize=5)
            labels[place] = name
    axis.set_xlim(-0.6, max(BINS + 1.0, *labels) + 0.6)
    axis.set_xticks(list(labels), labels=list(labels.values()), fontsize=7)
    axis.tick_params(axis="x", length=2, pad=1.5)
    axis.text(
        1, 1.0, predictor.axis, transform=axis.transAxes, ha="right", va="bottom", fontsize=7,
        color="#555555",
    )  # fmt: skip


def _short(value: float) -> str:
    """Return a number of at most five characters, as far as that goes."""
    if value and abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
    return f"{value:.2g}".replace("-", "−") if abs(value) < 100 else f"{value:.0f}"


def _caption(found: pd.DataFrame, deep: pd.DataFrame, areas: pd.DataFrame) -> str:
    learnt, diverged = int(found["trained"].sum()), int((found["status"] == "diverged").sum())
    lost = len(deep) - len(found)
    constant = [
        one.name for one in PREDICTORS if one.name not in areas.index and one.name != "dead share"
    ]
    text = (
        f"Of {networks(len(found))} with hidden layers, at all rates, {learnt:,} trained: their test "
        f"accuracy is more than {LEARNT:.0%} above chance"
        + (f"; {diverged:,} diverged and did not" if diverged else "")
        + (f"; {lost:,} failed or missing ones are left out" if lost else "")
        + ". Left: the chance that a network that trained had the better number at step 0 than one "
        "that did not, ties half; 0.5 (dotted) is a guess, below it the predictor says the opposite "
        "of what is written beside it. Interval: 95 %, networks of one condition (activation, "
        "initializer and depth; all its rates and seeds) as a cluster (Obuchowski 1997), on the "
        "logit scale"
        + (" (none where it cannot be known)" if areas["low"].isna().any() else "")
        + ". Right: the share that trained in bins of about equally many networks, below each its "
        "median; dashed: the share of all. A line that rises and falls again is a predictor that no "
        "single direction describes. g and W are the weight gradient and the weights of all layers, "
        "without biases: lr·‖g‖²/‖W‖² is the loss that one small step of gradient descent removes, by "
        "the size of the weights. What is no number ranks as the least likely to train; a gradient of "
        "exactly 0 as the most vanished; at depth 2 layer 1 is the last hidden one and the gradient change "
        "is 0."
    )
    if "dead share" in areas.index:
        immortal = len(found) - int(areas.at["dead share", "networks"])
        if immortal:
            named = in_order(found.loc[found["mortal"], "activation"], style.ACTIVATIONS)
            text += (
                f" The dead share is judged among networks with {joined(named)} alone: units of no "
                "other are dead at the start."
            )
    else:
        text += " The dead share is left out: it does not tell any of the networks apart."
    if constant:
        text += (
            f" Left out, since {verb(len(constant), 'it does', 'they do')} not vary: "
            f"{joined(constant)}."
        )
    return text
