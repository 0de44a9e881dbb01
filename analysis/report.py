"""The report: one offline page with findings, figures and tables, made from a study's records alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import figures
from analysis.findings import (
    Finding,
    merged,
    outcome_findings,
    part_table,
    parts_finding,
    start_findings,
    training_findings,
)
from analysis.findings.outcomes import failures
from analysis.frames import STATUSES, Study, Variant
from analysis.page import MOST_VARIANTS, PAGE, Section, replacing, store, template
from analysis.provenance import provenance
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
        sections = list(_sections(study, folder, tell))
        parts = _parts(study, folder)
        findings = _findings(study, sections, parts)
        counts = {status: int((study.cells["status"] == status).sum()) for status in STATUSES}
        html = template("report.html").render(
            name=study.name,
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


def _sections(study: Study, folder: Path, tell: Callable[[str], None]) -> Iterator[Section]:
    """Draw every part of the study."""
    many = len(study.starts) > 1 or len(study.trained) > 1
    for kind, title, drawers, variants in (
        ("start", "At the start", figures.START, study.starts),
        ("training", "In training", figures.TRAINING, study.trained),
    ):
        for number, variant in enumerate(variants[:MOST_VARIANTS], start=1):
            suffix = f"-{number}" if len(variants) > 1 else ""
            section = Section(f"{title}{f': {variant.label}' if many and variant.label else ''}")
            tables: dict[str, pd.DataFrame] = {}
            for drawer in drawers:
                tell(drawer.__name__ + suffix)
                drawing = _draw(drawer, study, variant, section)
                if drawing is not None:
                    tables[drawer.__name__] = drawing.table
                    section.shown.append(store(drawing, drawer.__name__ + suffix, folder))
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
            yield Section(title, left_out=[_nothing(kind)])
    tell("coverage")
    section = Section("What was run")
    section.shown.append(store(figures.coverage(study), "coverage", folder))
    yield section


def _parts(study: Study, folder: Path) -> pd.DataFrame:
    """Write the table of the trained parts, if there are several, and return it."""
    table = part_table(study.trained if len(study.trained) > 1 else [])
    if not table.empty:
        table.to_csv(folder / "tables" / "variants.csv", index=False, lineterminator="\n")
    return table


def _findings(study: Study, sections: list[Section], parts: pd.DataFrame) -> list[Finding]:
    """Return all findings in the order of the page."""
    found = []
    for kind, variants in (("At the start", study.starts), ("In training", study.trained)):
        of_kind = [one for part in sections if part.title.startswith(kind) for one in part.findings]
        found += merged(of_kind, len(variants[:MOST_VARIANTS]))
    return [*found, *parts_finding(parts), *outcome_findings(study.cells)]


def _nothing(kind: str) -> tuple[str, str]:
    if kind == "start":
        return ("Every figure of this part", "no measured network has a hidden layer")
    return ("Every figure of this part", "no network was trained (steps = 0)")


def _draw(
    drawer: Callable[..., figures.Drawing], study: Study, variant: Variant, section: Section
) -> figures.Drawing | None:
    try:
        return drawer(study, variant)
    except figures.NotApplicable as reason:
        section.left_out.append((drawer.__name__.replace("_", " "), str(reason)))
        return None


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
