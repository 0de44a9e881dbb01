"""The report: one offline page with findings, figures and tables, made from a study's records alone."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis import figures, style
from analysis.figures.coverage import STATUSES
from analysis.figures.trainability import linear_accuracy
from analysis.findings import Finding, start_findings, training_findings
from analysis.frames import Study, Variant
from study import __version__
from study.errors import StoreError
from study.store import Store

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
        findings: what they show, in sentences.
    """

    title: str
    shown: list[Shown] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """A report as written.

    Attributes:
        page: the HTML page.
        findings: its sentences.
        figures: how many figures there are.
        counts: networks by status.
    """

    page: Path
    findings: list[str]
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
        counts = {status: int((study.cells["status"] == status).sum()) for status in STATUSES}
        html = _template().render(
            name=study.name,
            counts={status: f"{count:,}" for status, count in counts.items()},
            total=f"{len(study.cells):,}",
            sections=sections,
            provenance=_provenance(study),
            notes=_notes(study),
        )
        (folder / PAGE).write_text(html, encoding="utf-8", newline="\n")
    return Report(
        study.folder / "report" / PAGE,
        [finding.text for section in sections for finding in section.findings],
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
            section.findings = _findings(kind, tables, variant, suffix)
            yield section
        if not variants:
            yield Section(title, left_out=[_nothing(kind)])
    tell("coverage")
    section = Section("What was run")
    section.shown.append(_store(figures.coverage(study), "coverage", folder))
    yield section


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


def _findings(
    kind: str, tables: dict[str, pd.DataFrame], variant: Variant, suffix: str
) -> list[Finding]:
    if kind == "start":
        found = start_findings(tables)
    else:
        classes = variant.cells["classes"].dropna()
        chance = 1 / classes.iloc[0] if len(classes) else float("nan")
        found = training_findings(tables, chance, linear_accuracy(variant))
    label = f"[{variant.label}] " if variant.label else ""
    return [Finding(label + one.text, one.figure + suffix) for one in found]


def _notes(study: Study) -> list[str]:
    """Say what the page leaves out."""
    notes = []
    for name, variants in (("start", study.starts), ("training", study.trained)):
        if len(variants) > MOST_VARIANTS:
            left = ", ".join(variant.label for variant in variants[MOST_VARIANTS:])
            notes.append(
                f"Of {len(variants)} parts of the sweep ({name}) the {MOST_VARIANTS} with most "
                f"networks are drawn; left out: {left}."
            )
    return notes


def _provenance(study: Study) -> dict[str, Any]:
    """Return commands, environments and a digest of the records: where the numbers come from."""
    store = Store(study.folder)
    commits = sorted(store.read_commits(), key=lambda commit: commit.pack)
    hashes = "".join(
        entry["sha256"] for commit in commits for _, entry in sorted(commit.files.items())
    )
    environments = {
        ", ".join(
            str(commit.environment.get(key))
            for key in ("system", "device_name", "capability", "python", "torch", "numpy")
        )
        for commit in commits
    }
    return {
        "commands": sorted({" ".join(plan["command"]) for plan in store.read_plans()}),
        "environments": sorted(environments),
        "packs": f"{len(commits):,}",
        "digest": hashlib.sha256(hashes.encode()).hexdigest()[:16],
        "program": __version__,
    }


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
