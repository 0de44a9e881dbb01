"""The report: one offline page with findings, figures and tables, made from a study's records alone."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd

from analysis import figures, style
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
from analysis.provenance import provenance
from study.errors import StoreError

MOST_VARIANTS = 4
"""Parts of a study that are drawn; a page with more is read by nobody."""

PAGE = "index.html"


@dataclass(frozen=True)
class Shown:
    """A figure on the page."""

    slug: str
    title: str
    caption: str
    alt: str
    image: str


@dataclass
class Section:
    """The figures of one part of the study.

    Attributes:
        title: what the part is.
        shown: its figures in order.
        left_out: title and reason of each figure that does not apply.
        findings: what they show: label of the part and sentence.
    """

    title: str
    shown: list[Shown] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    findings: list[tuple[str, Finding]] = field(default_factory=list)


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
    with _replacing(study.folder / "report") as folder:
        (folder / "figures").mkdir()
        (folder / "tables").mkdir()
        sections = list(_sections(study, folder, tell))
        parts = _parts(study, folder)
        findings = _findings(study, sections, parts)
        counts = {status: int((study.cells["status"] == status).sum()) for status in STATUSES}
        html = _template().render(
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


@contextmanager
def _replacing(place: Path) -> Iterator[Path]:
    """Give a new folder beside ``place`` that takes its place if nothing goes wrong.

    Raises:
        StoreError: it cannot be written there.
    """
    try:
        new = Path(tempfile.mkdtemp(prefix="report.new-", dir=place.parent))
        new.chmod(0o755)
        try:
            yield new
            old = Path(tempfile.mkdtemp(prefix="report.old-", dir=place.parent))
            if place.exists():
                os.replace(place, old / place.name)
            os.replace(new, place)
            shutil.rmtree(old)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the report to {place}: {why}.") from error


def _sections(study: Study, folder: Path, tell: Callable[[str], None]) -> Iterator[Section]:
    """Draw every part of the study."""
    many = len(study.starts) > 1 or len(study.trained) > 1
    for kind, title, drawers, variants in (
        ("start", "At the start", figures.START, study.starts),
        ("training", "In training", figures.TRAINING, study.trained),
        ("appendix", "Appendix, at the start", _appendix("start"), study.starts),
        ("appendix", "Appendix, in training", _appendix("training"), study.trained),
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
                    section.shown.append(_store(drawing, drawer.__name__ + suffix, folder))
            found: list[Finding] = []
            if kind == "start":
                found = start_findings(tables)
            elif kind == "training":
                found = training_findings(tables, variant)
            section.findings = [
                (
                    variant.label,
                    Finding(one.text, one.figure + (suffix if one.figure in tables else "")),
                )
                for one in found
            ]
            yield section
        if not variants and kind != "appendix":
            yield Section(title, left_out=[_nothing(kind)])
    tell("coverage")
    section = Section("What was run")
    section.shown.append(_store(figures.coverage(study), "coverage", folder))
    yield section


def _appendix(kind: str) -> tuple[Callable[..., figures.Drawing], ...]:
    """Return the figures of the appendix that are of fresh weights or of trained networks."""
    return tuple(drawer for of, drawer in figures.APPENDIX if of == kind)


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


def _store(drawing: figures.Drawing, slug: str, folder: Path) -> Shown:
    """Write a figure and its table, and return how the page shows them."""
    style.save(drawing.figure, folder / "figures", slug)
    drawing.table.to_csv(folder / "tables" / f"{slug}.csv", index=False, lineterminator="\n")
    data = base64.b64encode((folder / "figures" / f"{slug}.svg").read_bytes()).decode()
    return Shown(
        slug, drawing.title, drawing.caption, drawing.alt, f"data:image/svg+xml;base64,{data}"
    )


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


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html")
