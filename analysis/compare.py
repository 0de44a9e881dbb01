"""The comparison: one offline page on two activations or initializers, made from a study's records alone."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.comparison import KINDS, ORDERS, Pair, best_pairs, comparable, find_pair
from analysis.figures import NotApplicable
from analysis.figures import compare as figures
from analysis.findings import Finding, merged
from analysis.findings.compare import comparison_findings
from analysis.frames import Study, Variant, among
from analysis.labels import in_order
from analysis.page import MOST_VARIANTS, PAGE, Section, Writer, replacing, template
from analysis.provenance import provenance
from analysis.score import MEASURED, STATUSES
from analysis.words import joined
from study.errors import StoreError

LONGEST_NAME = 60
"""Characters of a label in a folder's name; file systems end at 255 bytes."""


@dataclass(frozen=True)
class Comparison:
    """A comparison as written.

    Attributes:
        page: the HTML page.
        findings: its sentences.
        notes: what it leaves out, in sentences.
        figures: how many figures there are.
    """

    page: Path
    findings: list[str]
    notes: list[str]
    figures: int


def write_comparison(
    study: Study, one: str, other: str, tell: Callable[[str], None] = lambda _: None
) -> Comparison:
    """Render figures, tables and page into ``<study>/compare/<one>-<other>/``, replacing earlier ones.

    Args:
        study: an opened study.
        one: an activation or initializer, as `analysis.comparison.find_pair` takes it.
        other: another of the same kind.
        tell: called with the name of each figure before it is drawn.

    Raises:
        SettingError: the names cannot be compared.
        StoreError: the study holds no condition of both, or the folder cannot be written.
    """
    if study.cells.empty:
        raise StoreError(f"cannot compare in {study.folder}: no network is planned in it.")
    pair = find_pair(study, one, other)
    trained, starts = (comparable(parts, pair) for parts in (study.trained, study.starts))
    # networks that were started are measured; those to be trained may all be missing
    if not any(
        pair.shared(part.cells)["status"].isin(MEASURED).any() for part in [*trained, *starts]
    ):
        raise StoreError(_nothing_in_common(study, pair))
    place = study.folder / "compare" / folder_name(study, pair)
    notes = _notes(study, trained, starts)
    with replacing(place, "comparison") as folder:
        writer = Writer(study, folder, min(max(len(trained), len(starts)), MOST_VARIANTS))
        sections = []
        for kind, title, drawers, variants in (
            ("training", "In training", figures.TRAINING, trained),
            ("start", "At the start", figures.START, starts),
        ):
            sections += _sections(pair, kind, title, drawers, variants, writer, tell)
        findings = _findings(sections, len(trained), len(starts))
        cells = pd.concat([pair.shared(part.cells) for part in (*trained, *starts)])
        cells = cells.drop_duplicates("cell")
        html = template("compare.html").render(
            name=study.name,
            one=pair.one,
            other=pair.other,
            counts={status: f"{(cells['status'] == status).sum():,}" for status in STATUSES},
            total=f"{len(cells):,}",
            sections=sections,
            findings=findings,
            pairs=sorted(path.name for path in (folder / "tables").glob("pairs*.csv")),
            provenance=provenance(study),
            notes=notes,
        )
        (folder / PAGE).write_text(html, encoding="utf-8", newline="\n")
    return Comparison(
        place / PAGE,
        [finding.text for finding in findings],
        notes,
        sum(len(section.shown) for section in sections),
    )


def folder_name(study: Study, pair: Pair) -> str:
    """Return the name of a comparison's folder: letters, digits and ``_.+-`` alone.

    Args:
        study: an opened study.
        pair: what is compared; labels that would be called alike get a hash behind them.
    """
    names = [_safe(label) for label in study.cells[pair.kind].unique()]
    return "-".join(_unique(label, names) for label in (pair.one, pair.other))


def _safe(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", label).strip("_.") or "_"


def _unique(label: str, names: Sequence[str]) -> str:
    safe = _safe(label)
    # some file systems do not tell Relu from relu
    alike = sum(name.casefold() == safe.casefold() for name in names)
    if alike == 1 and len(safe) <= LONGEST_NAME:
        return safe
    return f"{safe[:LONGEST_NAME]}.{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def _nothing_in_common(study: Study, pair: Pair) -> str:
    across = KINDS[pair.across]
    ran = [
        joined(in_order(pair.side(study.cells, side)[pair.across], ORDERS[pair.across]))
        for side in ("one", "other")
    ]
    return (
        f"cannot compare {pair.one} with {pair.other}: {study.folder} holds no two finished networks with "
        f"hidden layers that differ in the {KINDS[pair.kind]} alone, same {across}, depth and seed "
        f"({pair.one} was run with {ran[0]}; {pair.other} with {ran[1]})."
    )


def _sections(
    pair: Pair,
    kind: str,
    title: str,
    drawers: Sequence[Callable[..., figures.Drawing]],
    variants: Sequence[Variant],
    writer: Writer,
    tell: Callable[[str], None],
) -> list[Section]:
    """Draw the comparable parts of one kind."""
    if not variants:
        why = _why_none(writer.study, kind)
        return [Section(kind, title, left_out=[("Every figure of this part", why)])]
    made = []
    for number, variant in enumerate(variants[:MOST_VARIANTS], start=1):
        suffix = f"-{number}" if len(variants) > 1 else ""
        section = Section(kind, f"{title}: {variant.label}" if variant.label else title)
        tables: dict[str, pd.DataFrame] = {}
        for drawer in drawers:
            name = drawer.__name__
            tell(name + suffix)
            try:
                shown, tables[name] = writer.draw(
                    functools.partial(drawer, writer.study, pair, variant),
                    name + suffix,
                    among(pair.shared(variant.cells)),
                )
            except NotApplicable as reason:
                section.left_out.append((name.replace("_", " "), str(reason)))
                continue
            section.shown.append(shown)
        if "paired_difference" in tables:
            writer.table(f"pairs{suffix}", best_pairs(variant.cells, pair))
        section.findings = [
            (variant.label, Finding(found.text, found.figure + suffix))
            for found in comparison_findings(tables, pair, variant)
        ]
        made.append(section)
    return made


def _why_none(study: Study, kind: str) -> str:
    if kind == "training" and not study.trained:
        return "no network was trained (steps = 0)"
    return "no condition of both was run with the same seed"


def _findings(sections: Sequence[Section], trained: int, starts: int) -> list[Finding]:
    """Return all findings in the order of the page."""
    found = []
    for kind, parts in (("training", trained), ("start", starts)):
        of_kind = [one for part in sections if part.kind == kind for one in part.findings]
        found += merged(of_kind, min(parts, MOST_VARIANTS))
    return found


def _notes(study: Study, trained: Sequence[Variant], starts: Sequence[Variant]) -> list[str]:
    """Say which parts of the study the page leaves out."""
    notes = list(study.damages)
    for name, every, compared in (
        ("training", study.trained, trained),
        ("start", study.starts, starts),
    ):
        several = len(every) > 1
        absent = [part.label for part in every if part not in compared] if several else []
        left = [part.label for part in compared[MOST_VARIANTS:]]
        if absent and compared:
            notes.append(
                f"Not compared ({name}), since the two have no condition and seed in common there: "
                f"{'; '.join(absent)}."
            )
        if left:
            notes.append(
                f"Of {len(compared)} parts of the sweep ({name}) the {MOST_VARIANTS} with most networks "
                f"are drawn; left out: {'; '.join(left)}."
            )
    return notes
