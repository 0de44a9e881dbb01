"""How far the diagnosis can be trusted: recall of every label, and false alarms on healthy networks.

Run: python -m benchmarks.diagnosis

Trains the bench (minutes; it goes on where it was stopped) into outputs/diagnosis_bench, and the networks of
its unplanted kind once more, in float64 and ten times as long, into outputs/diagnosis_bench_long. Prints one
table of the part on which thresholds were set and one of the part that counts, and writes
benchmarks/results/diagnosis.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnosis import LABELS, THRESHOLDS, diagnose
from analysis.frames import Study
from benchmarks.diagnosis.networks import Planted, each_kind, networks
from study import extensions
from study.cell import Cell
from study.execution import environment
from study.settings import canonical_condition
from study.sweep import run_conditions

RESULTS = Path(__file__).parent.parent / "results" / "diagnosis.json"
STARTS = str(Path(__file__).parent / "planted.py")
NAME, LONG = "diagnosis_bench", "diagnosis_bench_long"

LONG_STEPS = 2000

LEARNED, NOTHING = 0.7, 0.98
"""Shares of a constant answer's loss: below the first a long training learned, above the second nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, diagnose and print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.diagnosis",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument(
        "--part", choices=("setting", "reporting", "both"), default="both", help="which table"
    )
    chosen = parser.parse_args(arguments)
    extensions.load_all([STARTS])
    bench = networks()
    command = ["python", "-m", "benchmarks.diagnosis"]
    run_conditions(_conditions(bench, NAME), command=command)
    unplanted = [one for one in bench if one.kind == "unplanted"]
    run_conditions(_conditions(unplanted, LONG, **IN_LONG), command=command)
    table = judged(bench, Study(Path("outputs") / NAME), Study(Path("outputs") / LONG))
    parts = {"setting": False, "reporting": True}
    results: dict[str, Any] = {}
    for name, reported in parts.items():
        results[name] = summary(table[table["reported"] == reported])
        if chosen.part in (name, "both"):
            show(name, results[name])
    if chosen.part == "both":
        found = {
            "kinds": dict(each_kind()),
            "thresholds": vars(THRESHOLDS),
            "environment": environment("cpu"),
            **results,
        }
        chosen.write.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"Written to {chosen.write.name}.")
    return 0


IN_LONG: dict[str, Any] = {"dtype": "float64", "steps": LONG_STEPS}


def _conditions(bench: Sequence[Planted], name: str, **more: Any) -> list[dict[str, Any]]:
    return [{**one.condition, **more, "name": name, "device": "cpu"} for one in bench]


def cell_of(condition: dict[str, Any]) -> str:
    """Return the id of a condition's only network."""
    settings, [seed] = canonical_condition(condition)
    return Cell.of(settings, seed).id


def judged(bench: Sequence[Planted], study: Study, long: Study) -> pd.DataFrame:
    """Return a row a network: ``kind, reported, expected, healthy, given``; labels as sets.

    ``healthy`` is None where a network is neither surely healthy nor surely ill, which the unplanted may be.
    """
    given = diagnose(study).groupby("cell")["label"].agg(set).to_dict()
    outcome = _outcomes(long)
    rows = []
    for one in bench:
        healthy: bool | None = one.kind == "healthy"
        if one.kind == "unplanted":
            healthy = outcome.get(cell_of({**one.condition, **IN_LONG}))
        rows.append(
            {
                "kind": one.kind,
                "reported": one.reported,
                "expected": set(one.expected),
                "healthy": healthy,
                "given": given.get(cell_of(one.condition), set()),
                "condition": one.condition,
            }
        )
    return pd.DataFrame(rows)


def _outcomes(long: Study) -> dict[str, bool | None]:
    """Return by network whether a long training in float64 learned; None where it learned a little."""
    found = long.execute(
        "SELECT cell, any_value(cells.status), min(train_loss) FILTER (step = 0), "
        "min(train_loss) FILTER (step = networks.steps), any_value(ln(cells.classes)) "
        "FROM cells JOIN networks USING (cell) JOIN curves USING (cell) GROUP BY cell"
    ).fetchall()
    outcome: dict[str, bool | None] = {}
    for cell, status, first, last, guess in found:
        share = last / min(first, guess)
        if status != "ok" or not share < NOTHING:
            outcome[cell] = False
        else:
            outcome[cell] = True if share < LEARNED else None
    return outcome


def summary(part: pd.DataFrame) -> dict[str, Any]:
    """Return recall by label, false alarms on healthy networks, and what became of the unplanted."""
    healthy = part[part["kind"] == "healthy"]
    recall = {}
    for label in LABELS:
        asked = part[[label in expected for expected in part["expected"]]]
        hits = int(sum(label in given for given in asked["given"]))
        alarms = int(sum(label in given for given in healthy["given"]))
        recall[label] = {
            "networks": len(asked),
            "found": hits,
            "healthy": len(healthy),
            "false_alarms": alarms,
        }
    kinds = {
        kind: {label: int(sum(label in given for given in of["given"])) for label in LABELS}
        | {"none": int(sum(not given for given in of["given"])), "networks": len(of)}
        for kind, of in part.groupby("kind", sort=False)
    }
    unplanted = part[part["kind"] == "unplanted"]
    learned = unplanted[unplanted["healthy"].isin([True])]
    nothing = unplanted[unplanted["healthy"].isin([False])]
    return {
        "labels": recall,
        "healthy": {
            "networks": len(healthy),
            "with_a_label": int(sum(bool(given) for given in healthy["given"])),
        },
        "kinds": kinds,
        "unplanted": {
            "learned": len(learned),
            "learned_with_a_label": int(sum(bool(given) for given in learned["given"])),
            "learned_nothing": len(nothing),
            "learned_nothing_with_a_label": int(sum(bool(given) for given in nothing["given"])),
            "between": len(unplanted) - len(learned) - len(nothing),
        },
    }


def show(name: str, found: dict[str, Any]) -> None:
    """Print the tables of one part."""
    print(f"\nPart for {name}")
    print(f"{'label':12}{'recall':>16}{'false alarms':>20}")
    for label, row in found["labels"].items():
        share = f"{row['found']}/{row['networks']}"
        alarms = f"{row['false_alarms']}/{row['healthy']}"
        print(f"{label:12}{share:>16}{alarms:>20}")
    row = found["healthy"]
    print(f"healthy networks with any label: {row['with_a_label']} of {row['networks']}")
    row = found["unplanted"]
    print(
        f"unplanted: of {row['learned']} that learned in float64 and {LONG_STEPS} steps "
        f"{row['learned_with_a_label']} have a label; of {row['learned_nothing']} that learned nothing "
        f"{row['learned_nothing_with_a_label']} have; {row['between']} are between"
    )
    heads = [*LABELS, "none"]
    print(f"{'planted':16}{'networks':>9}" + "".join(f"{head[:9]:>10}" for head in heads))
    for kind, row in found["kinds"].items():
        print(f"{kind:16}{row['networks']:>9}" + "".join(f"{row[head]:>10}" for head in heads))


if __name__ == "__main__":
    raise SystemExit(main())
