"""The report: one offline page with findings, figures and tables, made from a study's records alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import figures
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


def write_report(study: Study, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Render figures, tables and page into ``<study>/report/``, replacing an earlier report as a whole.

    Args:
        study: an opened study.
        tell: called with the name of each figure before it is drawn.

    Raises:
        StoreError: the folder cannot be written, or the study holds no network yet.
    """
    if study.cells.empty:
        raise StoreError(f"cannot report on {study.folder}: no network is planned in it.")
    with replacing(study.folder / "report", "report") as folder:
        drawn = max(len(study.starts), len(study.trained))
        writer = Writer(study, folder, tell, min(drawn, MOST_VARIANTS))
        sections = list(_sections(study, writer))
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


def _sections(study: Study, writer: Writer) -> Iterator[Section]:
    """Draw every part of the study."""
    many = len(study.starts) > 1 or len(study.trained) > 1
    section = Section("overview", "At a glance")
    _fill(section, writer, (figures.overview,), None, "")
    yield section
    for kind, title, drawers, variants in (
        ("start", "At the start", figures.START, study.starts),
        ("training", "In training", figures.TRAINING, study.trained),
    ):
        for number, variant in enumerate(variants[:MOST_VARIANTS], start=1):
            suffix = f"-{number}" if len(variants) > 1 else ""
            named = f"{title}{f': {variant.label}' if many and variant.label else ''}"
            section = Section(kind, named)
            tables = _fill(section, writer, drawers, variant, suffix)
            found = (
                start_findings(tables) if kind == "start" else training_findings(tables, variant)
            )
            section.findings = [
                (
                    variant.label,
                    Finding(one.text, one.figure + (suffix if one.figure in tables else "")),
                )
                for one in found
            ]
            yield section
        if not variants:
            yield Section(kind, title, left_out=[_nothing(kind)])
    section = Section("coverage", "What was run")
    _fill(section, writer, (figures.coverage,), None, "")
    yield section
    section = Section("appendix", "Appendix")
    for drawers, variants in (
        (figures.START_APPENDIX, study.starts),
        (figures.TRAINING_APPENDIX, study.trained),
    ):
        if variants:
            tables = _fill(section, writer, drawers, variants[0], "")
            if "packing" in tables:
                section.findings = [("", one) for one in packing_finding(tables["packing"])]
    yield section


def _fill(
    section: Section,
    writer: Writer,
    drawers: Sequence[figures.FigureFunction],
    variant: Variant | None,
    suffix: str,
) -> dict[str, pd.DataFrame]:
    """Draw figures into a section and return their tables by figure."""
    tables: dict[str, pd.DataFrame] = {}
    for drawer in drawers:
        try:
            shown, table = writer.draw(
                functools.partial(drawer.drawing, writer.study, variant),
                drawer.__name__ + suffix,
                "true" if variant is None else variant.where,
            )
        except figures.NotApplicable as reason:
            section.left_out.append((drawer.__name__.replace("_", " "), str(reason)))
            continue
        section.shown.append(shown)
        tables[drawer.__name__] = table
    return tables


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
    depths = sorted(int(depth) for depth in cells["depth"].unique())
    trained = cells[cells["steps"] > 0]
    rates = sorted(trained["lr"].unique())
    text = joined(varied)
    text = f"{text[0].upper()}{text[1:]}; depth {joined([str(depth) for depth in depths])}"
    if len(trained):
        text += (
            f"; trained for {joined([f'{int(one):,}' for one in sorted(trained['steps'].unique())])} "
            f"steps at {several(len(rates), 'learning rate')}"
            + (f", {rates[0]:g} to {rates[-1]:g}" if len(rates) > 1 else f", {rates[0]:g}")
        )
    return f"{text}; up to {several(int(cells['seed'].nunique()), 'seed')} a condition."


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
    notes = []
    for name, variants in (("start", study.starts), ("training", study.trained)):
        if len(variants) > MOST_VARIANTS:
            left = "; ".join(variant.label for variant in variants[MOST_VARIANTS:])
            notes.append(
                f"Of {len(variants)} parts of the sweep ({name}) the {MOST_VARIANTS} with most "
                f"networks are drawn; left out: {left}."
            )
    return notes
