"""``python -m benchmarks.readme README.md``: what the README says about speed and diagnosis, from JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.readme import write
from study.errors import StoreError

BEGIN, END = "<!-- speed: begin (make bench) -->", "<!-- speed: end -->"

DIAGNOSIS_BEGIN = "<!-- diagnosis: begin (make bench-diagnosis) -->"
DIAGNOSIS_END = "<!-- diagnosis: end -->"

SCALE_BEGIN, SCALE_END = "<!-- scale: begin (make bench-sweep) -->", "<!-- scale: end -->"

CLUSTER = "cluster.md"
"""The page that says what large sweeps cost."""

RESULTS = Path(__file__).parent / "results"

PEERS = {
    "careful": "one network at a time",
    "vmapped": "torch.func",
    "jax": "JAX",
    "jax + compile": "JAX with compiling",
    "jax_map": "JAX, cell by cell",
}


MIDDLE = 64
"""The width of the rows that are shown, where it was timed."""


def read(name: str) -> dict[str, Any]:
    """Return a result of the benchmark.

    Raises:
        StoreError: there is none.
    """
    path = RESULTS / name
    if not path.is_file():
        raise StoreError(f"cannot quote {name}: there is none; run make bench first.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def shown(ratio: dict[str, float] | None) -> str:
    """Return a ratio with its range."""
    if ratio is None:
        return ""
    return f"{ratio['median']:.2f} ({ratio['least']:.2f}–{ratio['most']:.2f})"


def engine(found: dict[str, Any]) -> list[str]:
    """Return what was measured of packs on one core: a table and how to read it."""
    settings, versions = found["settings"], found["environment"]
    widths = {row["width"] for row in found["rows"]}
    rows = [row for row in found["rows"] if row["width"] == MIDDLE or MIDDLE not in widths]
    names = [name for name in PEERS if any(name in row["over_product"] for row in rows)]
    heads = ["depth × width", "activation", *(PEERS[name] for name in names)]
    heads += ["bare products", "probing"]
    lines = [
        f"Time over this program's, above 1 this program is ahead: {settings['cells']} networks, "
        f"{settings['steps']} steps of batch {settings['batch_size']} on {settings['data']} with probes "
        f"and evaluation, one core; median (range) of {settings['rounds']} interleaved rounds, torch "
        f"{versions['torch'].split('+')[0]}, JAX {versions['jax'] or 'not installed'}. *Probing* is its "
        f"share of the rest. All {len(found['rows'])} shapes are in "
        "[benchmarks/results/engine-cpu.json](benchmarks/results/engine-cpu.json).",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
    ]
    for row in rows:
        ratios = [row["over_product"].get(name) for name in names]
        floor = {
            name: 1 / row["product_over_floor"][other]
            for name, other in (("median", "median"), ("least", "most"), ("most", "least"))
        }
        cells = [
            f"{row['depth']} × {row['width']}",
            row["activation"],
            *(shown(ratio) for ratio in (*ratios, floor)),
            f"{row['probing_share']['median']:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def launchers(found: dict[str, Any]) -> list[str]:
    """Return what was measured of whole commands."""
    return [
        f"- Hydra's {one['launcher']} launcher, one network a job, on {one['cores']} "
        f"core{'s' if one['cores'] > 1 else ''}: {shown(one['over_product'])} times as long as "
        f"`python -m study`, whole commands of {one['networks']} networks, the launcher's extrapolated "
        f"from {' and '.join(map(str, one['sample_jobs']))} jobs."
        for one in found["launchers"]
    ]


def gpu(found: dict[str, Any]) -> str:
    """Return what was measured on a GPU."""
    if not found["run"]:
        return f"- On a GPU nothing was timed: {found['reason']}."
    return (
        f"- `+experiment=speed` with its report on {found['environment']['device_name']}: "
        f"{found['product_s']:.0f} s for {found['networks']:,} networks, {found['over_floor']:.1f} times "
        f"the card's own floor; one network a job under Hydra's basic launcher would take "
        f"{found['over_product']:.0f} times as long, extrapolated from a sample."
    )


def text() -> str:
    """Return the README's section.

    Raises:
        StoreError: nothing was measured yet.
    """
    cpu = read("engine-cpu.json")
    return "\n".join([*engine(cpu), "", *launchers(cpu), gpu(read("engine-gpu.json"))])


def diagnosis() -> str:
    """Return how often the labels are right, on the part of the bench that thresholds were not set on.

    Raises:
        StoreError: it was not measured yet.
    """
    found = read("diagnosis.json")["reporting"]
    heads = list(found["labels"])
    lines = [
        "| planted | networks | " + " | ".join(heads) + " | no label |",
        "|---" * (len(heads) + 3) + "|",
    ]
    for kind, row in found["kinds"].items():
        cells = [kind, row["networks"], *(row[head] or "" for head in [*heads, "none"])]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    shares = [
        f"{label} {row['found']} of {row['networks']}" for label, row in found["labels"].items()
    ]
    healthy, unplanted = found["healthy"], found["unplanted"]
    lines += [
        "",
        f"Found of those that were planted: {', '.join(shares)}. False alarms: "
        f"{healthy['with_a_label']} of {healthy['networks']} healthy networks has any label. Of "
        f"{unplanted['learned']} starts from the grid that learn in ten times the steps in float64, "
        f"{unplanted['learned_with_a_label']} has one; of {unplanted['learned_nothing']} that learn "
        f"nothing, {unplanted['learned_nothing_with_a_label']} have; {unplanted['between']} are between.",
    ]
    return "\n".join(lines)


SCALE = (
    ("conditions", "conditions (100 seeds each)", "{:,.0f}"),
    ("packs", "packs", "{:,.0f}"),
    ("files", "files: records and commits", "{:,.0f}"),
    ("record_bytes", "records, MB (8 probe steps of 40 updates)", "{:,.0f}"),
    ("commit_bytes", "commits, MB", "{:,.1f}"),
    ("plan_bytes", "the plan, MB", "{:,.1f}"),
    ("ids_s", "planning: ids of all networks, s", "{:,.1f}"),
    ("packs_s", "planning: which are missing, and packs, s", "{:,.1f}"),
    ("plan_written_s", "planning: the plan written, s", "{:,.1f}"),
    ("planned_memory_bytes", "planning: memory, MB", "{:,.0f}"),
    ("hashes_s", "the same command again: every hash, s", "{:,.1f}"),
    ("nothing_missing_s", "the same command again: what is missing, s", "{:,.1f}"),
    ("surveyed_memory_bytes", "the same command again: memory, MB", "{:,.0f}"),
    ("status_s", "`python -m study status`, s", "{:,.1f}"),
    ("worker_ms_a_pack_of_others", "a job passing a pack that another has done, ms", "{:,.1f}"),
    ("opened_s", "the analysis opens the study, s", "{:,.1f}"),
    ("networks_s", "the analysis reads all networks, s", "{:,.1f}"),
    ("one_query_s", "one query over all rows of `layers`, s", "{:,.1f}"),
    ("opened_memory_bytes", "the analysis: memory, MB", "{:,.0f}"),
)
"""What is shown of a large sweep: quantity, its words, and its format; bytes in MB."""


def scale() -> str:
    """Return what large sweeps cost beside their training.

    Raises:
        StoreError: it was not measured yet.
    """
    found = read("scale-cpu.json")
    sizes = found["sizes"]
    lines = [
        f"Measured on {found['environment']['cores']} cores and a local disk without training anything; "
        "curves and layers of every pack are those of one real pack (`make bench-sweep`).",
        "",
        f"| networks | {' | '.join(format(size['networks'], ',') for size in sizes)} |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for name, words, pattern in SCALE:
        unit = 1e6 if name.endswith("_bytes") else 1.0
        cells = [pattern.format(size[name] / unit) if name in size else "—" for size in sizes]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the sections that a file has marks for; return 0, or 2 after the user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme",
        description="Write what the benchmark measured into a file, between its marks.",
    )
    parser.add_argument("file", type=Path, help="the file with the marks")
    file = parser.parse_args(arguments).file
    if file.name == CLUSTER:
        return write(file, SCALE_BEGIN, SCALE_END, scale)
    return write(file, BEGIN, END, text) or write(file, DIAGNOSIS_BEGIN, DIAGNOSIS_END, diagnosis)


if __name__ == "__main__":
    sys.exit(main())
