"""The stacked engine against one network at a time and against the bare matrix products.

Run: python -m benchmarks.engine

One core, probes and evaluation included, the candidates in turn in every round. First the engine and
the sequential loop must give the same numbers; then a table is printed and
benchmarks/results/engine-cpu.json written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.equality import UnequalError, check
from benchmarks.timing import CELLS, NAMES, compare, networks
from study.execution import cores, environment, exact_arithmetic

RESULTS = Path(__file__).parent / "results" / "engine-cpu.json"

TARGETS = {"sequential_over_product": 2.0, "product_over_floor": 3.0}
"""At least, and at most, for ReLU at every depth."""


def shown(ratio: dict[str, float]) -> str:
    """Return a ratio with its range."""
    return f"{ratio['median']:.2f} ({ratio['least']:.2f}–{ratio['most']:.2f})"


def print_row(row: dict[str, Any]) -> None:
    """Print a line of the table."""
    times = "".join(f"{row['ms'][name]['median']:12.3f}" for name in NAMES)
    ratios = [
        row[name]
        for name in ("sequential_over_product", "product_over_floor", "usual_over_product")
    ]
    print(
        f"{row['depth']:5} {row['activation']:10} {row['cells']:5}{times}"
        + "".join(f"{shown(ratio):>20}" for ratio in ratios),
        flush=True,
    )


def judge(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """Print whether the targets are met, by the medians of the ReLU rows, and return it."""
    met = {}
    for name, target in TARGETS.items():
        medians = {r["depth"]: r[name]["median"] for r in rows if r["activation"] == "relu"}
        least = name == "sequential_over_product"
        met[name] = all((m >= target) if least else (m <= target) for m in medians.values())
        said = ", ".join(f"{median:.2f} at depth {depth}" for depth, median in medians.items())
        print(
            f"Target {name.replace('_', ' ')} {'at least' if least else 'at most'} {target:g}: "
            f"{'met' if met[name] else 'MISSED'} ({said})."
        )
    return met


def whole(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above zero")
    return int(text)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=whole, default=300, help="training steps (300)")
    parser.add_argument("--rounds", type=whole, default=3, help="rounds (3)")
    parser.add_argument("--cells", type=whole, help="networks of a pack (24 at depth 8, 12 at 32)")
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the JSON goes")
    parser.add_argument(
        "--quick", action="store_true", help="60 steps, one round, 8 networks; writes nothing"
    )
    chosen = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)  # git keeps no empty folder
    if not chosen.quick and not chosen.write.parent.is_dir():
        parser.error(f"cannot write {chosen.write}: there is no such folder.")
    if chosen.quick:
        chosen.steps, chosen.rounds, chosen.cells = 60, 1, 8
    return chosen


def agree(kinds: list[tuple[int, str]]) -> dict[str, float]:
    """Return the largest relative difference of engine and sequential loop by training format.

    He-ReLU at depth 32 multiplies rounding some 10⁵ times in 20 steps, so training is compared in
    float64 and over three steps; float32 is compared before the first update.
    """
    worst = {
        dtype: max(check(networks(*kind, steps, 3, dtype)) for kind in kinds)
        for dtype, steps in (("float64", 3), ("float32", 0))
    }
    print(
        f"Engine and sequential loop agree to {worst['float64']:.0e} over 3 steps in float64 and "
        f"to {worst['float32']:.0e} at step 0 in float32."
    )
    return worst


def table(kinds: list[tuple[int, str]], chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Time every kind of network and print its line as it comes."""
    print(
        "ms of processor time a network and step, one thread, width 64, batch 128, "
        f"{chosen.steps} steps with probes and evaluation; ratios: median (range) of {chosen.rounds}"
    )
    titles = "".join(f"{name:>12}" for name in (*NAMES[:2], "bmm only", "usual"))
    ratios = "".join(f"{n:>20}" for n in ("sequential/product", "product/bmm", "usual/product"))
    print("depth activation cells" + titles + ratios)
    rows = []
    for depth, activation in kinds:
        count = chosen.cells or CELLS[depth]
        rows.append(compare(depth, activation, chosen.steps, count, chosen.rounds))
        print_row(rows[-1])
    return rows


def main() -> int:
    """Run the benchmark, print the table, write the JSON; 1 where the numbers differ."""
    chosen = arguments()
    kinds = [(depth, activation) for activation in ("relu", "tanh") for depth in CELLS]
    with exact_arithmetic("cpu"):
        try:
            worst = agree(kinds)
        except UnequalError as error:
            print(f"No timings: {error}.", file=sys.stderr)
            return 1
        rows = table(kinds, chosen)
    if chosen.steps < 300:
        print("Below 300 steps the evaluation at the end weighs more than it does in a study.")
    met = judge(rows)
    if not chosen.quick:
        write(chosen, worst, rows, met)
    return 0


def write(
    chosen: argparse.Namespace,
    worst: dict[str, float],
    rows: list[dict[str, Any]],
    met: dict[str, bool],
) -> None:
    """Write settings, environment and everything measured as JSON."""
    found = {
        "settings": {
            "steps": chosen.steps,
            "rounds": chosen.rounds,
            "width": 64,
            "batch_size": 128,
            "data": "mnist1d",
            "threads": 1,
        },
        "environment": {**environment("cpu"), "cores": cores()},
        "largest_relative_difference": worst,
        "rows": rows,
        "targets": {name: {"bound": TARGETS[name], "met": met[name]} for name in TARGETS},
    }
    chosen.write.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"Written to {chosen.write.name}.")


if __name__ == "__main__":
    sys.exit(main())
