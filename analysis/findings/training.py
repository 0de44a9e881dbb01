"""What became of the networks in training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis import style
from analysis.diagnosis.mends import written
from analysis.figures.trainable_depth import SCALES, XI, agrees
from analysis.findings.finding import Finding
from analysis.frames import Variant
from analysis.labels import in_order
from analysis.score import AXES, CONDITION, LOST, Score, linear_score, score_of
from analysis.words import listed, several, share, verb

DEAD = 0.01
"""A smaller share of dead units is no finding."""


GUESS = 0.5
"""The area under the ROC curve of a guess."""


def training_findings(tables: Mapping[str, pd.DataFrame], variant: Variant) -> list[Finding]:
    """Return what became of the networks in training.

    Args:
        tables: by figure, those of ``trainability``, ``predictors``, ``rate_map``, ``dead_units``, ``mends``
            and ``trainable_depth``.
        variant: the networks.
    """
    score, linear = score_of(variant.cells), linear_score(variant.cells)
    beside = f"chance {score.written_chance}"
    if np.isfinite(linear):
        beside += f", a linear model {score.written(linear)}"
    if "trainability" not in tables:
        return _linear_alone(variant, beside)
    best = tables["trainability"]
    if best["networks"].sum() == 0:
        text = "No network with a hidden layer finished its training at the best rates."
        return [Finding(text, "trainability")]
    # of a condition none of whose networks is there, nothing can be said
    best = best[(best["networks"] + best["diverged"] + best["failed"] > 0) | (best["missing"] == 0)]
    found = [
        *_best(best, score, beside),
        *_reach(best),
        *_deepest(best, score, np.isfinite(linear)),
        *_edge(best),
    ]
    if "rate_map" in tables:
        found += _too_fast(tables["rate_map"])
    if "predictors" in tables:
        found += _telling(tables["predictors"])
    if "dead_units" in tables:
        found += _dying(tables["dead_units"])
    if "mends" in tables:
        found += _mended(tables["mends"])
    if "trainable_depth" in tables:
        found += _scales(tables["trainable_depth"])
    return found


def _mended(mends: pd.DataFrame) -> list[Finding]:
    """Say which one changed setting left no label, of the label that it was tried on most often."""
    most = mends.loc[mends["conditions"].idxmax(), "label"]
    row = mends[mends["label"] == most].iloc[0]
    text = (
        f"Of the labels that one changed setting took away, most conditions have {most}; what most often "
        f"leaves none is {written(row)} with all else the same, in {row['mended']} of "
        f"{several(int(row['conditions']), 'condition')}."
    )
    return [Finding(text, "mends")]


def _scales(depths: pd.DataFrame) -> list[Finding]:
    """Say how often theory knew how deep a condition trains."""
    known = depths[depths["xi_correlation"].notna()]
    if known.empty:
        return []
    hits = {name: sum(agrees(row, name) for _, row in known.iterrows()) for name in XI}
    deeper = sum(row["trains"] > SCALES * row["xi_correlation"] for _, row in known.iterrows())
    text = (
        f"Six correlation depth scales of mean-field theory lie between the depth that trains and the next "
        f"one tried in {hits['xi_correlation']} of {several(len(known), 'condition')}, six of the gradient's "
        f"in {hits['xi_gradient']}; {deeper} {verb(deeper, 'trains', 'train')} deeper than six ξ_c."
    )
    return [Finding(text, "trainable_depth")]


def _linear_alone(variant: Variant, beside: str) -> list[Finding]:
    """Say what a study of linear models alone found."""
    cells = variant.cells
    finished = int((cells["status"] == "ok").sum())
    if (cells["depth"] >= 2).any() or not finished:
        return []
    text = (
        f"{share(finished, len(cells), 'trained network').capitalize()} "
        f"{verb(finished, 'is', 'are')} finished; none has a hidden layer ({beside})."
    )
    return [Finding(text, "coverage")]


def finished(row: pd.Series) -> str:
    """Return ``" (1 of 5 networks finished)"`` where some are lost, else nothing."""
    lost = int(row[LOST].sum())
    total = int(row["networks"]) + lost
    return f" ({int(row['networks'])} of {several(total, 'network')} finished)" if lost else ""


def best_condition(best: pd.DataFrame) -> pd.Series | None:
    """Return the condition with the best validation score of those above chance, if there are any."""
    learnt = best[best["above_chance"]]
    return None if learnt.empty else learnt.loc[learnt["validation"].idxmax()]


def seeds(best: pd.DataFrame) -> str:
    """Return how many networks stand behind each condition, ``"3 to 5 networks each"``."""
    counts = best[["networks", *LOST]].sum(axis=1).astype(int)
    low, high = counts.min(), counts.max()
    return f"{several(high, 'network') if low == high else f'{low} to {high} networks'} each"


def _best(best: pd.DataFrame, score: Score, beside: str) -> list[Finding]:
    top = best_condition(best)
    if top is None:
        text = (
            f"No condition with a hidden layer is above chance beyond doubt at its best rate "
            f"({seeds(best)}; the 95 % interval by more than {score.margin}; {beside})."
        )
    else:
        passed = best["validation"] > top["validation"]
        of = (
            "Of the conditions above chance beyond doubt, the best"
            if passed.any()
            else "The best condition"
        )
        text = (
            f"{of} by validation {score.name} is {top['activation']} with {top['init']} at depth "
            f"{int(top['depth'])} and rate {top['lr']:g}{finished(top)}: {score.on_test(top['mean'])}"
            f"{_ends(top, score)} ({beside})."
        )
    return [Finding(text, "trainability")]


def _ends(row: pd.Series, score: Score) -> str:
    """Return the 95 % interval of a mean score, where there is one."""
    if not np.isfinite(row["low"]):
        return ""
    return f" [{score.written(row['low'])}, {score.written(row['high'])}]"


def _reach(best: pd.DataFrame) -> list[Finding]:
    """Say down to which depth each activation and initializer learns, each depth at its best rate."""
    if best["depth"].nunique() < 2:
        return []
    learnt = best[best["above_chance"]]
    reach = learnt.groupby(["activation", "init"])["depth"].max().reset_index()
    parts = [
        f"{int(depth)} for {listed(of_depth)}"
        for depth, of_depth in sorted(reach.groupby("depth"), reverse=True)
    ]
    tried = best[["activation", "init"]].drop_duplicates()
    never = tried.merge(reach, how="left")
    never = never[never["depth"].isna()]
    if len(never):
        parts.append(f"none for {listed(never)}")
    depths = ", ".join(str(int(depth)) for depth in sorted(best["depth"].unique()))
    text = f"The greatest depth (of {depths}) above chance at its best rate: {'. '.join(parts)}."
    return [Finding(text.replace(". none", "; none"), "trainability")]


def _how(judged: pd.DataFrame, score: Score) -> str:
    """Say how conditions were judged to be above chance."""
    text = f"the 95 % interval by more than {score.margin}"
    if (judged["networks"] == 1).any():
        text = f"by more than {score.margin}; of several networks, their 95 % interval"
    lost = judged[["diverged", "failed"]].to_numpy().any()
    return text + ("; networks that diverged or failed count as a guess" if lost else "")


def _deepest(best: pd.DataFrame, score: Score, linear: bool) -> list[Finding]:
    """Say what still learns at the greatest depth."""
    depth = int(best["depth"].max())
    deep = best[best["depth"] == depth]
    learns = deep[deep["above_chance"]]
    if not best["above_chance"].any():
        return []
    if learns.empty:
        text = (
            f"At depth {depth} no condition is above chance beyond doubt at its best rate "
            f"({seeds(deep)})"
        )
        return [Finding(f"{text}.", "trainability")]
    text = (
        f"At depth {depth}, {share(len(learns), len(deep), 'condition')} "
        f"{verb(len(learns), 'is', 'are')} above chance at the best rate ({_how(deep, score)}): "
        f"{listed(learns)}"
    )
    if linear:
        better = deep[deep["above_linear"]]
        nothing = "it is not" if len(deep) == 1 else "none is"
        text += (
            f"; {nothing} clearly above the linear model of the same seed (the 95 % interval of the "
            "difference)"
            if better.empty
            else "; above the linear model of the same seed (the 95 % interval of the difference): "
            + listed(better)
        )
    return [Finding(f"{text}.", "trainability")]


def _edge(best: pd.DataFrame) -> list[Finding]:
    """Say how many conditions might do better beyond the rates that were tried."""
    learnt = best[best["above_chance"] & (best["place"] != "only")]
    found = []
    for place, beyond in (("largest", "larger"), ("smallest", "smaller")):
        edge = learnt[learnt["place"] == place]
        if edge.empty:
            continue
        rates = sorted(edge["lr"].unique())
        which = f", {rates[0]:g}," if len(rates) == 1 else ""
        total = share(len(edge), len(learnt), "condition")
        text = (
            f"For {total} above chance the {place} rate tried{which} is the best: a {beyond} one may "
            "do better."
        )
        found.append(Finding(text, "trainability"))
    return found


def _too_fast(rates: pd.DataFrame) -> list[Finding]:
    """Say where a larger rate makes networks diverge that a smaller one trains."""
    ran = rates.assign(ran=rates["networks"] + rates["diverged"])
    by_rate = ran.groupby(["depth", "init", "lr"])[["diverged", "ran"]].sum().reset_index()
    spoilt = []
    for _, part in by_rate.groupby(["depth", "init"]):
        worst = part.loc[part["diverged"].idxmax()]
        safe = part[(part["lr"] < worst["lr"]) & (part["diverged"] == 0) & (part["ran"] > 0)]
        if worst["diverged"] and not safe.empty:
            spoilt.append((worst, safe["lr"].max()))
    if not spoilt:
        return []
    worst, safe_rate = max(spoilt, key=lambda one: (one[0]["diverged"], one[0]["depth"]))
    lost = ran[(ran[["depth", "init", "lr"]] == worst[["depth", "init", "lr"]]).all(axis=1)]
    counts = lost[lost["diverged"] > 0].set_index("activation")
    named = ", ".join(
        f"{counts.at[activation, 'diverged']:.0f} of {counts.at[activation, 'ran']:.0f} {activation}"
        for activation in in_order(counts.index, style.ACTIVATIONS)
    )
    text = (
        f"At depth {int(worst['depth'])} with {worst['init']}, rate {worst['lr']:g} makes networks "
        f"diverge ({named}); at rate {safe_rate:g} none does."
    )
    return [Finding(text, "rate_map")]


def _telling(drawn: pd.DataFrame) -> list[Finding]:
    """Say which number, known at the start, tells best which networks will train."""
    areas = drawn[drawn["bin"] == "all"]
    everywhere = areas[areas["networks"] == areas["networks"].max()]
    best = everywhere.iloc[0]
    if not best["low"] > GUESS:
        text = (
            f"None of {several(len(everywhere), 'number')} known at the start tells beyond doubt which "
            f"of {several(int(best['networks']), 'network')} train; the nearest to it is "
            f"{best['predictor']} ({best['says']}), area under the ROC curve {_area(best)}."
        )
        return [Finding(text, "predictors")]
    text = (
        f"Of {several(len(everywhere), 'number')} known at the start, {best['predictor']} "
        f"({best['says']}) tells best which of {several(int(best['networks']), 'network')} train (get "
        f"more than a guess): area under the ROC curve {_area(best)}"
    )
    if len(everywhere) > 1:
        second = everywhere.iloc[1]
        text += f"; next {second['predictor']}, {_area(second)}"
        if np.isfinite(second["behind_low"]):
            clear = second["behind_low"] > 0
            text += (
                f", behind by {second['behind']:.2f} [{_signed(second['behind_low'])}, "
                f"{_signed(second['behind_high'])}] on the same networks, which is "
                f"{'beyond' if clear else 'not beyond'} doubt"
            )
    alone = everywhere[everywhere["predictor"] == "depth"]
    if "depth" not in set(everywhere["predictor"].iloc[:2]) and len(alone):
        text += f"; depth alone, {_area(alone.iloc[0])}"
    return [Finding(f"{text}.", "predictors")]


def _area(row: pd.Series) -> str:
    """Return an area with its interval, ``"0.90 [0.82, 0.95]"``, as far as it has one."""
    if not np.isfinite(row["low"]):
        return f"{row['area']:.2f}"
    return f"{row['area']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _signed(number: float) -> str:
    return f"{round(number, 2) + 0.0:.2f}".replace("-", "−")


def _dying(dead: pd.DataFrame) -> list[Finding]:
    """Say where most units are dead at the end, and how many were born dead."""
    by_step = dead.groupby([*AXES, "step"])["dead_share"].mean().reset_index()
    ends = by_step.loc[by_step.groupby(AXES)["step"].idxmax()].dropna()
    if ends.empty or ends["dead_share"].max() < DEAD:
        return []
    worst = ends.loc[ends["dead_share"].idxmax()]
    born = by_step[(by_step[CONDITION] == worst[CONDITION]).all(axis=1)].iloc[0]
    text = (
        f"Most dead units, each condition at its best rate: {worst['activation']} with "
        f"{worst['init']} at depth {int(worst['depth'])} and rate {worst['lr']:g}, "
        f"{born['dead_share']:.0%} of the hidden units at the start"
    )
    if worst["step"] > 0:
        text += f" and {worst['dead_share']:.0%} after {several(int(worst['step']), 'step')}"
    return [Finding(f"{text}.", "dead_units")]
