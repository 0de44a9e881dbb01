"""The product against its peers and against the bare matrix products.

Run: python -m benchmarks

On one core, probes and evaluation included, the candidates in turn in every round. First every peer must
give the product's numbers; then one table is printed and benchmarks/results/engine-cpu.json written.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.agreement import check_all
from benchmarks.arguments import whole
from benchmarks.equality import UnequalError
from benchmarks.launchers import compare_launchers, print_launchers
from benchmarks.timing import (
    ALWAYS,
    FASTER_THAN_WALL,
    JAX_FORMS,
    ONCE_A_DEPTH,
    Clock,
    Row,
    Shape,
    compare,
)
from benchmarks.workload import ACTIVATIONS, CELLS, STEPS, keep_to, pin_to_one_core, usable_cores
from study.execution import environment, exact_arithmetic
from study.probe import probe_steps
from study.settings import PROBE_DEFAULTS

RESULTS = Path(__file__).parent / "results" / "engine-cpu.json"

DEPTHS, WIDTHS = (2, 8, 32), (32, 64, 128)

ROUNDS = 3

MIDDLE = 64
"""The width at which every peer and every activation is timed."""

LARGEST = 32 * 64**2
"""Depth × width² up to which shapes are timed unless they are asked for: one larger takes ten minutes."""

COLUMNS = {
    "careful": "careful loop",
    "vmapped": "torch.func",
    "jax": "JAX",
    "jax + compile": "JAX+compile",
    "jax_map": "JAX mapped",
}

TARGETS: dict[str, dict[str, Any]] = {
    "ahead of JAX with its compilation": {"ratio": "jax + compile", "at_least": 1.0},
    "within 10 % of compiled JAX": {"ratio": "jax", "at_least": 1 / 1.1},
    "within 1.6 of the bare products, ReLU and tanh": {"ratio": "floor", "at_most": 1.6},
    "probing at most 15 % of training": {"ratio": "probing", "at_most": 0.15},
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"Cannot run the benchmark: {message}.\n")


def listed(read: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Return what reads values separated by commas, each once."""
    return lambda text: list(dict.fromkeys(read(one) for one in text.split(",")))


def depth(text: str) -> int:
    """Read a depth that has a hidden layer."""
    if whole(text) < 2:
        raise argparse.ArgumentTypeError("a depth of 1 has no hidden layer to measure")
    return int(text)


def activation(text: str) -> str:
    """Read an activation that every peer knows."""
    if text not in ACTIVATIONS:
        raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(ACTIVATIONS)}")
    return text


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--depths", type=listed(depth), help="such as 2,8,32, the default")
    add("--widths", type=listed(whole), help="such as 32,64,128, the default")
    add("--activations", type=listed(activation), help="of relu, tanh, gelu, prelu")
    add("--steps", type=whole, help=f"training steps ({STEPS})")
    add("--cells", type=whole, default=CELLS, help=f"networks of a pack ({CELLS})")
    add("--rounds", type=whole, help=f"rounds ({ROUNDS})")
    add("--write", type=Path, help="where the JSON goes")
    add(
        "--quick",
        action="store_true",
        help="a first look in minutes, without launchers: unless told otherwise depth 8, width 64, ReLU, "
        "100 steps, one round, and nothing written",
    )
    chosen = parser.parse_args(words)
    defaults: dict[str, Any] = {"steps": STEPS, "rounds": ROUNDS, "write": RESULTS}
    if chosen.quick:
        defaults = {"depths": [8], "widths": [MIDDLE], "activations": ["relu"]}
        defaults |= {"steps": 100, "rounds": 1, "write": None}
    for name, value in defaults.items():
        setattr(chosen, name, getattr(chosen, name) or value)
    RESULTS.parent.mkdir(exist_ok=True)  # git keeps no empty folder
    if chosen.write is not None and not chosen.write.parent.is_dir():
        parser.error(f"cannot write {chosen.write}: there is no such folder")
    return chosen


def shapes_of(chosen: argparse.Namespace) -> list[Shape]:
    """Return the rows: all combinations if any was asked for, else those of the default table.

    By default ReLU is timed at every width, the others at the middle one, GELU and PReLU at depth 8 alone;
    shapes that take longest are left to whoever asks for them.
    """
    asked = chosen.depths or chosen.widths or chosen.activations
    every = [
        Shape(depth, width, activation)
        for activation in chosen.activations or ACTIVATIONS
        for depth in chosen.depths or DEPTHS
        for width in chosen.widths or WIDTHS
    ]
    if asked:
        return every
    return [
        shape
        for shape in every
        if shape.depth * shape.width**2 <= LARGEST
        and (shape.activation == "relu" or shape.width == MIDDLE)
        and (shape.activation in ("relu", "tanh") or shape.depth == 8)
    ]


def peers_at(shape: Shape, peers: Sequence[str]) -> list[str]:
    """Return the peers that are timed at a shape."""
    everyone = shape.width == MIDDLE and shape.activation == "relu"
    return [name for name in peers if everyone or name in ALWAYS]


def shown(ratio: dict[str, float] | None) -> str:
    """Return a ratio with its range."""
    if ratio is None:
        return "–"
    return f"{ratio['median']:.2f} ({ratio['least']:.2f}–{ratio['most']:.2f})"


def print_head(chosen: argparse.Namespace) -> None:
    """Print what the table shows, and its first line."""
    print(
        f"One core, {chosen.cells} networks, batch 128, {chosen.steps} steps with probes and evaluation. "
        f"Product: ms of processor time a network and step.\nPeers: their time over the product's, above 1 "
        f"the product is ahead; median (range) of {chosen.rounds}."
    )
    if chosen.steps < STEPS:
        print(
            f"Below {STEPS} steps probes and the evaluation at the end weigh more than in a study."
        )
    titles = [*COLUMNS.values(), "product/bare", "probing/rest"]
    print("depth width activation  product" + "".join(f"{title:>18}" for title in titles))


def print_row(row: dict[str, Any]) -> None:
    """Print a line of the table."""
    ratios = [row["over_product"].get(name) for name in COLUMNS]
    ratios += [row["product_over_floor"], row["probing_share"]]
    print(
        f"{row['depth']:5} {row['width']:5} {row['activation']:10}"
        f"{row['ms']['product']['median']:9.3f}"
        + "".join(f"{shown(ratio):>18}" for ratio in ratios),
        flush=True,
    )


def medians(rows: Sequence[dict[str, Any]], ratio: str) -> dict[str, float]:
    """Return a ratio's medians by row."""
    found = {}
    for row in rows:
        name = f"{row['activation']} {row['depth']} × {row['width']}"
        if ratio == "floor":
            if row["activation"] in ("relu", "tanh"):
                found[name] = row["product_over_floor"]["median"]
        elif ratio == "probing":
            found[name] = row["probing_share"]["median"]
        elif ratio in row["over_product"]:
            found[name] = row["over_product"][ratio]["median"]
    return {name: value for name, value in found.items() if not math.isnan(value)}


def judge(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Print whether the targets are met, by the worst row, and return it."""
    judged = {}
    for title, target in TARGETS.items():
        found = medians(rows, target["ratio"])
        if not found:
            continue
        most = "at_most" in target
        worst = (max if most else min)(found, key=lambda name: found[name])
        bound = target["at_most" if most else "at_least"]
        missed = [name for name, v in found.items() if (v > bound if most else v < bound)]
        judged[title] = {**target, "worst": found[worst], "at": worst, "missed": missed}
        print(
            f"{title}: {'MISSED in ' + str(len(missed)) if missed else 'met in all'} of {len(found)} rows; "
            f"worst {found[worst]:.2f} at {worst}, where {bound:.2f} is the bound."
        )
    return judged


def main() -> int:
    """Run the benchmark, print the table, write the JSON; 1 where the numbers differ."""
    chosen = arguments()
    shapes = shapes_of(chosen)
    cores = usable_cores()
    pin_to_one_core()
    has_jax = importlib.util.find_spec("jax") is not None
    peers = [name for name in (*ALWAYS, *ONCE_A_DEPTH) if has_jax or name not in JAX_FORMS]
    if not has_jax:
        print("JAX is not installed, so it is left out: pip install 'gradient-pathologies[bench]'.")
    clock = Clock()
    with exact_arithmetic("cpu"):
        try:
            agreed = check_all(shapes, peers)
        except UnequalError as error:
            print(f"No timings: {error}.", file=sys.stderr)
            return 1
        print(
            f"Every peer agrees with the product: at step 0 to "
            f"{max(one['start'] for one in agreed):.0e}, loss after 20 steps to "
            f"{max(one['last_loss_nats'] for one in agreed):.0e} nats.",
            flush=True,
        )
        print_head(chosen)
        rows = []
        for shape in shapes:
            row = Row(shape, chosen.steps, chosen.cells, peers_at(shape, peers), clock)
            rows.append(compare(row, chosen.rounds))
            print_row(rows[-1])
    if clock.most_threads > FASTER_THAN_WALL:
        print(f"More than one thread ran: {clock.most_threads:.2f} s of processor time a second.")
    judged = judge(rows)
    keep_to(cores)
    launchers = [] if chosen.quick else compare_launchers(chosen.rounds)
    print_launchers(launchers)
    if chosen.write is not None:
        found = {
            "settings": settings_of(chosen),
            "environment": versions(),
            "processor_seconds_a_second": clock.most_threads,
            "agreement": agreed,
            "rows": rows,
            "targets": judged,
            "launchers": launchers,
        }
        chosen.write.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"Written to {chosen.write.name}.")
    return 0


def settings_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return what was asked for."""
    return {
        "steps": chosen.steps,
        "cells": chosen.cells,
        "rounds": chosen.rounds,
        "batch_size": 128,
        "probe_steps": probe_steps(chosen.steps, PROBE_DEFAULTS["steps"]),
        "data": "mnist1d",
        "threads": 1,
        "cores": 1,
    }


def versions() -> dict[str, Any]:
    """Return what the numbers were made with; no names of machines."""
    found = environment("cpu")
    for package in ("jax", "jaxlib", "hydra-core", "hydra-joblib-launcher", "joblib"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


if __name__ == "__main__":
    sys.exit(main())
