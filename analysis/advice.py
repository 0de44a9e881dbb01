"""What to run next: the step that a study's records ask for most."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator

from analysis.figures.trainability import at_edge
from analysis.frames import GROUPS, Plan, Study
from analysis.score import linear_model, table
from analysis.words import several

EXAMPLES = (
    "python -m study --multirun depth=2,8,32 activation=sigmoid,relu init=xavier_normal,he_normal "
    "seeds=5 name=mine",
    "python -m study +experiment=standard_start",
    "python -m study +experiment=standard_training",
)

ENOUGH_SEEDS = 5


def next_step(study: Study) -> str:
    """Return what to run next and why: what failed or is missing, else never what was run already.

    Args:
        study: an opened study.
    """
    failed = set(study.cells.loc[study.cells["status"] == "failed", "cell"])
    if failed:
        command = next(one.command for one in reversed(study.plans) if failed & set(one.cells))
        count = several(len(failed), "network")
        return f"mend what made {count} fail, as told above, and run again: {command}"
    absent = set(study.cells.loc[study.cells["status"] == "missing", "cell"])
    if absent:
        commands = [plan.command for plan in study.plans if absent & set(plan.cells)]
        are = "is" if len(absent) == 1 else "are"
        missing = (
            f"{several(len(absent), 'network')} {are} missing; {commands[0]} goes on with them"
        )
        return f"{missing}{_if_unedited(study, absent)}."
    known = {plan.command for plan in study.plans}
    for why, command in (*_steps(study), *(("", example) for example in EXAMPLES)):
        if command not in known:
            name = "outputs/mine" if "name=mine" in command else ""
            look = f" && python -m analysis {name}" if name else ""
            return f"{why}{command}{look}"
    return "python -m study --help lists what else can be varied."


def _if_unedited(study: Study, cells: set[str]) -> str:
    """Return what must hold for cells to be gone on with: functions of the user's own decide their ids."""
    found = [one for plan in study.plans for cell, one in plan.cells.items() if cell in cells]
    if any("code" in one[group] for one in found for group in GROUPS):
        return ", unless your own functions were edited since"
    return ""


def _steps(study: Study) -> Iterator[tuple[str, str]]:
    """Give the steps that would answer what the study leaves open, the most urgent first."""
    plan = _training_plan(study)
    if plan is None:
        return
    cells = next(part.cells for part in study.trained if (part.cells["depth"] >= 2).any())
    scores = table(cells)
    best = scores[scores["best"]]
    rates = sorted(cells["lr"].unique())
    if len(rates) == 1:
        around = ",".join(
            f"{rate:g}" for rate in (_step(rates[0], -1), rates[0], _step(rates[0], 1))
        )
        yield "each condition needs its own rate: ", crossed(plan.command, {"optim.lr": around})
    edge = best[at_edge(best)]
    above = edge[edge["place"] == "largest"]
    if not edge.empty:
        largest = 2 * len(above) >= len(edge)
        last = rates[-1] if largest else rates[0]
        beyond = sorted(
            (_step(last, 1), _step(last, 2)) if largest else (_step(last, -2), _step(last, -1))
        )
        rate = ",".join(f"{rate:g}" for rate in beyond)
        side = "largest" if largest else "smallest"
        count = len(above) if largest else len(edge) - len(above)
        which = (
            f"the {side} rate tried is the best for {count} of "
            f"{several(int(best['above_chance'].sum()), 'condition')} above chance: "
        )
        yield which, crossed(plan.command, {"optim.lr": rate})
    if linear_model(cells).empty:
        linear = {"depth": "1", "activation": "identity"}
        yield "to compare with a linear model: ", crossed(plan.command, linear)
    if cells["seed"].nunique() < ENOUGH_SEEDS:
        yield "for narrower intervals: ", crossed(plan.command, {"seeds": str(ENOUGH_SEEDS)})


def _training_plan(study: Study) -> Plan | None:
    """Return the plan that trained most networks with hidden layers."""

    def trained(plan: Plan) -> int:
        return sum(one["steps"] > 0 and one["depth"] >= 2 for one in plan.cells.values())

    plans = [plan for plan in study.plans if trained(plan)]
    return max(plans, key=trained) if plans else None


def _step(rate: float, steps: int) -> float:
    """Return the rate so many steps away in 0.1, 0.3, 1, 3, 10 …"""
    place = round(2 * math.log10(rate)) + steps if rate > 0 else steps - 2
    return float(f"{3 if place % 2 else 1}e{place // 2}")


def crossed(command: str, values: dict[str, str]) -> str:
    """Return a command with some settings set to other values.

    Args:
        command: as typed.
        values: setting and new value, or values with commas between them.
    """
    words = [word for word in shlex.split(command) if word.split("=")[0] not in values]
    sweeps = any("," in value for value in values.values())
    if sweeps and not {"--multirun", "-m"} & set(words[3:]) and not _is_experiment(words):
        words.insert(3, "--multirun")
    return shlex.join([*words, *(f"{key}={value}" for key, value in values.items())])


def _is_experiment(words: list[str]) -> bool:
    return any(word.startswith("+experiment=") for word in words)
