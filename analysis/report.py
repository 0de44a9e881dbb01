"""The report: one offline page with findings, figures and tables, made from a study's records alone."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd

from analysis import figures, style
from analysis.accuracy import STATUSES
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
from analysis.provenance import provenance
from analysis.words import joined, several
from study.errors import StoreError

MOST_VARIANTS = 4
"""Parts of a study that are drawn; a page with more is read by nobody."""

PAGE = "index.html"

LARGEST_DRAWING = 400_000
"""Bytes of an SVG file that is put into the page; of a larger one the page shows the PNG."""


@dataclass(frozen=True)
class Shown:
    """A figure on the page.

    Attributes:
        slug: its id and the name of its files.
        title: the question it answers.
        caption: what it shows.
        alt: what it shows, for those who cannot see it.
        image: the picture as a ``data:`` address.
        width: of the figure in inches.
    """

    slug: str
    title: str
    caption: str
    alt: str
    image: str
    width: float


@dataclass
class Section:
    """The figures of one part of the study.

    Attributes:
        kind: ``"overview"``, ``"start"``, ``"training"``, ``"appendix"`` or ``"coverage"``.
        title: what the part is.
        shown: its figures in order.
        left_out: title and reason of each figure that does not apply.
        findings: what they show: label of the part and sentence.
    """

    kind: str
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
    with replacing(study.folder / "report") as folder:
        writer = Writer(study, folder, tell)
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


@contextmanager
def replacing(place: Path) -> Iterator[Path]:
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


class Writer:
    """Writes figures with their tables and queries into a report's folder.

    Args:
        study: the study that is drawn.
        folder: the report's folder.
        tell: called with the name of each figure before it is drawn.
    """

    def __init__(self, study: Study, folder: Path, tell: Callable[[str], None]) -> None:
        self.study, self.folder, self.tell = study, folder, tell
        for name in ("figures", "tables", "queries"):
            (folder / name).mkdir()

    def draw(
        self, drawer: figures.FigureFunction, variant: Variant | None, slug: str
    ) -> tuple[Shown, pd.DataFrame]:
        """Draw a figure, write its files and return how the page shows it, and its table.

        Raises:
            NotApplicable: the figure has nothing to show.
        """
        self.tell(slug)
        self.study.asked.clear()
        drawing = drawer.drawing(self.study, variant)
        where = "" if variant is None else f"\nWHERE {variant.where}"
        asked = self.study.asked or [f"SELECT *\nFROM networks{where}\nORDER BY cell"]
        width = float(drawing.figure.get_figwidth())
        style.save(drawing.figure, self.folder / "figures", slug)
        self.table(slug, drawing.table)
        self.query(slug, asked)
        shown = Shown(slug, drawing.title, drawing.caption, drawing.alt, self._image(slug), width)
        return shown, drawing.table

    def table(self, slug: str, table: pd.DataFrame) -> None:
        """Write a table as CSV."""
        # twelve digits: the last ones of a mean depend on the processor that took it
        path = self.folder / "tables" / f"{slug}.csv"
        table.to_csv(path, index=False, lineterminator="\n", float_format="%.12g")

    def query(self, slug: str, queries: Sequence[str]) -> None:
        """Write the queries behind a table."""
        text = ";\n\n".join(dict.fromkeys(queries))
        head = f'-- analysis.open_study("outputs/{self.study.name}").sql(…)\n'
        path = self.folder / "queries" / f"{slug}.sql"
        path.write_text(f"{head}{text};\n", encoding="utf-8", newline="\n")

    def _image(self, slug: str) -> str:
        svg = (self.folder / "figures" / f"{slug}.svg").read_bytes()
        if len(svg) <= LARGEST_DRAWING:
            return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
        png = (self.folder / "figures" / f"{slug}.png").read_bytes()
        return f"data:image/png;base64,{base64.b64encode(png).decode()}"


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
            shown, table = writer.draw(drawer, variant, drawer.__name__ + suffix)
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
        for name, noun in (
            ("activation", "activation"),
            ("init", "initializer"),
            ("data", "data set"),
            ("optim", "optimizer"),
        )
    ]
    depths = sorted(int(depth) for depth in cells["depth"].unique())
    trained = cells[cells["steps"] > 0]
    rates = sorted(trained["lr"].unique())
    text = f"{joined(varied)}; depth {joined([str(depth) for depth in depths])}"
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


def template(name: str) -> jinja2.Template:
    """Return a page's template, everything in it escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
