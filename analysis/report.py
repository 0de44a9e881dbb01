"""The report: one offline page with findings, figures and tables, made from a study's records alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis import figures
from analysis.drawing import Result, Task, draw_all
from analysis.findings import (
    Finding,
    merged,
    outcome_findings,
    packing_finding,
    part_table,
    parts_finding,
    start_findings,
    training_findings,
)
from analysis.findings.outcomes import failures
from analysis.frames import Study, Variant
from analysis.page import MOST_VARIANTS, PAGE, Section, Writer, replacing, template
from analysis.provenance import provenance
from analysis.score import STATUSES
from analysis.words import joined, several
from study.errors import StoreError


@dataclass(frozen=True)
class Report:
    """A report as written.

    Attributes:
        page: the HTML page.
        findings: its sentences.
        notes: what it leaves out, in sentences.
        figures: how many figures there are.
        counts: networks by status.
    """

    page: Path
    findings: list[str]
    notes: list[str]
    figures: int
    counts: dict[str, int]


def write_report(
    study: Study, tell: Callable[[str], None] = lambda _: None, processes: int = 1
) -> Report:
    """Render figures, tables and page into ``<study>/report/``, replacing an earlier report as a whole.

    Args:
        study: an opened study.
        tell: called with the name of each figure as its turn comes.
        processes: how many may draw a large study; with more than one, the program that calls this
            must guard its beginning by ``if __name__ == "__main__"``, as `multiprocessing` asks.

    Raises:
        StoreError: the folder cannot be written, or the study holds no network yet.
    """
    if study.cells.empty:
        raise StoreError(f"cannot report on {study.folder}: no network is planned in it.")
    with replacing(study.folder / "report", "report") as folder:
        drawn = max(len(study.starts), len(study.trained))
        shown = min(drawn, MOST_VARIANTS)
        planned = list(_planned(study))
        tasks = [task for one in planned for task in one.tasks]
        results = draw_all(study, folder, shown, tasks, tell, processes)
        sections = [_filled(one, results) for one in planned]
        writer = Writer(study, folder, shown)
        parts = part_table(study.trained if len(study.trained) > 1 else [])
        if not parts.empty:
            writer.table("variants", parts)
            writer.query("variants", ["SELECT * FROM networks WHERE training IS NOT NULL"])
        findings = _findings(study, sections, parts)
        counts = {status: int((study.cells["status"] == status).sum()) for status in STATUSES}
        html = template("report.html").render(
            name=study.name,
            scope=scope(study),
            counts={status: f"{count:,}" for status, count in counts.items()},
            total=f"{len(study.cells):,}",
            sections=sections,
            findings=findings,
            parts=parts.astype(object).where(parts.notna(), "").to_dict("records"),
            failures=failures(study.cells),
            provenance=provenance(study),
            notes=_notes(study),
        )
        (folder / PAGE).write_text(html, encoding="utf-8", newline="\n")
    return Report(
        study.folder / "report" / PAGE,
        [finding.text for finding in findings],
        _notes(study),
        sum(len(section.shown) for section in sections),
        counts,
    )


@dataclass
class Planned:
    """A section of the page and what is to be drawn in it.

    Attributes:
        section: the section, empty yet.
        tasks: its figures.
        variant: the part of the study that its findings are of.
        suffix: what stands behind the names of its figures.
    """

    section: Section
    tasks: list[Task] = field(default_factory=list)
    variant: Variant | None = None
    suffix: str = ""


def _planned(study: Study) -> Iterator[Planned]:
    """Yield the sections of the page in their order."""
    many = len(study.starts) > 1 or len(study.trained) > 1
    yield Planned(Section("overview", "At a glance"), [Task("overview", "", 0, "overview")])
    for kind, title, drawers, variants in (
        ("start", "At the start", figures.START, study.starts),
        ("training", "In training", figures.TRAINING, study.trained),
    ):
        for number, variant in enumerate(variants[:MOST_VARIANTS]):
            suffix = f"-{number + 1}" if len(variants) > 1 else ""
            named = f"{title}{f': {variant.label}' if many and variant.label else ''}"
            tasks = [
                Task(drawer.__name__, kind, number, drawer.__name__ + suffix) for drawer in drawers
            ]
            yield Planned(Section(kind, named), tasks, variant, suffix)
        if not variants:
            yield Planned(Section(kind, title, left_out=[_nothing(kind)]))
    yield Planned(Section("coverage", "What was run"), [Task("coverage", "", 0, "coverage")])
    appendix = [
        Task(drawer.__name__, kind, 0, drawer.__name__)
        for kind, drawers, variants in (
            ("start", figures.START_APPENDIX, study.starts),
            ("training", figures.TRAINING_APPENDIX, study.trained),
        )
        if variants
        for drawer in drawers
    ]
    yield Planned(Section("appendix", "Appendix"), appendix)


def _filled(planned: Planned, results: dict[str, Result]) -> Section:
    """Return a section with its figures and what they show."""
    section, tables = planned.section, {}
    for task in planned.tasks:
        result = results[task.slug]
        if result.shown is None:
            section.left_out.append((task.figure.replace("_", " "), result.reason))
        else:
            section.shown.append(result.shown)
            tables[task.figure] = result.table
    found: list[Finding] = []
    if section.kind == "start" and planned.variant:
        found = start_findings(tables)
    elif section.kind == "training" and planned.variant:
        found = training_findings(tables, planned.variant)
    elif "packing" in tables:
        found = packing_finding(tables["packing"])
    label = planned.variant.label if planned.variant else ""
    section.findings = [
        (label, Finding(one.text, one.figure + (planned.suffix if one.figure in tables else "")))
        for one in found
    ]
    return section


def scope(study: Study) -> str:
    """Say in one sentence what a study varies and how often each condition was repeated."""
    cells = study.networks
    varied = [
        several(cells[name].nunique(), noun)
        if cells[name].nunique() > 1
        else f"{noun} {cells[name].iloc[0]}"
        for name, noun in (
            ("activation", "activation"),
            ("init", "initializer"),
            ("data", "data set"),
            ("optim", "optimizer"),
            ("width", "width"),
        )
    ]
    trained = cells[cells["steps"] > 0]
    text = joined(varied)
    text = f"{text[0].upper()}{text[1:]}."
    if len(cells) > len(trained):
        text += f" At the start: {_extent(cells[cells['steps'] == 0])}."
    if len(trained):
        steps = joined([f"{int(one):,}" for one in sorted(trained["steps"].unique())])
        rates = sorted(trained["lr"].unique())
        tried = several(len(rates), "learning rate")
        ends = f"{rates[0]:g} to {rates[-1]:g}" if len(rates) > 1 else f"{rates[0]:g}"
        text += f" Trained for {steps} steps at {tried}, {ends}: {_extent(trained)}."
    return text


def _extent(cells: pd.DataFrame) -> str:
    """Say which depths, how many activations, initializers and seeds some networks have."""
    deep = cells[cells["depth"] >= 2]
    deep = deep if len(deep) else cells
    depths = joined([str(depth) for depth in sorted(int(one) for one in cells["depth"].unique())])
    return (
        f"depth {depths}, {several(deep['activation'].nunique(), 'activation')} × "
        f"{several(deep['init'].nunique(), 'initializer')}, up to "
        f"{several(int(cells['seed'].nunique()), 'seed')}"
    )


def _findings(study: Study, sections: list[Section], parts: pd.DataFrame) -> list[Finding]:
    """Return all findings in the order of the page."""
    found = []
    for kind, variants in (("start", study.starts), ("training", study.trained)):
        of_kind = [one for part in sections if part.kind == kind for one in part.findings]
        found += merged(of_kind, len(variants[:MOST_VARIANTS]))
    appendix = [one for part in sections if part.kind == "appendix" for _, one in part.findings]
    return [*found, *parts_finding(parts), *outcome_findings(study.cells), *appendix]


def _nothing(kind: str) -> tuple[str, str]:
    if kind == "start":
        return ("Every figure of this part", "no measured network has a hidden layer")
    return ("Every figure of this part", "no network was trained (steps = 0)")


def _notes(study: Study) -> list[str]:
    """Say what the page leaves out."""
    notes = list(study.damages)
    for name, variants in (("start", study.starts), ("training", study.trained)):
        if len(variants) > MOST_VARIANTS:
            left = "; ".join(variant.label for variant in variants[MOST_VARIANTS:])
            notes.append(
                f"Of {len(variants)} parts of the sweep ({name}) the {MOST_VARIANTS} with most "
                f"networks are drawn; left out: {left}."
            )
    return notes
