"""The ledger's page: one table of verdicts, then a section a claim with its figure, written as a whole."""

from __future__ import annotations

import base64
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import style
from analysis.claims import FAMILY_NAMES
from analysis.frames import Study
from analysis.ledger import kept
from analysis.ledger.again import Again
from analysis.ledger.drawing import VERDICT_COLOURS
from analysis.ledger.entries import (
    Entry,
    commands,
    deciding_part,
    entries,
    settled_by,
    table,
)
from analysis.ledger.outcomes import WORDS, Outcome
from analysis.page import PAGE, Writer, replacing, template
from analysis.provenance import provenance
from analysis.words import several
from study.errors import StoreError

LEARNT = 0.01
"""Score above chance, at the best rate, from which a condition counts as having learnt."""

PICTURE = 150.0
"""Width of the small picture of an effect in pixels."""


@dataclass(frozen=True)
class Ledger:
    """A ledger as written.

    Attributes:
        page: the HTML page.
        entries: what is in it.
        again: the same claims on other networks.
    """

    page: Path
    entries: list[Entry]
    again: list[Again]


@dataclass(frozen=True)
class Picture:
    """An estimate with its interval and margins, in pixels from the left.

    Attributes:
        low: end of the interval.
        high: likewise.
        place: of the estimate.
        margins: of the bounds that it was compared with.
        colour: of the verdict.
    """

    low: float
    high: float
    place: float
    margins: tuple[float, ...]
    colour: str


def write_ledger(
    study: Study,
    data: str,
    only: Sequence[str] = (),
    others: Sequence[tuple[Study, str]] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Ledger:
    """Judge claims and write page, figures, tables and queries into ``<study>/ledger/``.

    Args:
        study: an opened study.
        data: name of the data set on which accuracy is judged.
        only: ids of the claims; default all.
        others: studies in which the same claims are judged again, with their data sets.
        tell: called with the id of each claim as its turn comes.

    Raises:
        StoreError: the folder cannot be written, or no claim has any evidence in the study.
    """
    judged = entries(study, data, only, tell)
    if not any(one.evidence for one in judged):
        raise StoreError(
            f"cannot write a ledger of {study.folder}: it holds no records of any claim's experiments; "
            f"{judged[0].claim.id} needs {' && '.join(commands(judged[0].claim))}."
        )
    again = [
        Again.of(f"{other.name} ({name})", entries(other, name, only, tell))
        for other, name in others
    ]
    said = {
        "name": study.name,
        "data": data,
        "again": [one.kept() for one in again],
        "provenance": provenance(study),
    }
    with replacing(study.folder / "ledger", "ledger") as folder:
        writer = Writer(study, folder)
        for entry in judged:
            if entry.evidence is not None:
                writer.table(entry.claim.id, entry.evidence.table)
                writer.query(entry.claim.id, entry.queries)
        verdicts = table(judged)
        for one in again:
            verdicts[one.name] = [one.words.get(name) or "" for name in verdicts["id"]]
        writer.table("ledger", verdicts)
        kept.write(folder, judged, said)
        _render(folder)
    return Ledger(study.folder / "ledger" / PAGE, judged, again)


def redraw(source: Path, place: Path) -> Ledger:
    """Draw the figures and the page of a ledger that was kept, without its records.

    Args:
        source: the kept ledger's folder.
        place: where the new one goes; may be the same.

    Raises:
        StoreError: there is no ledger, or it cannot be written.
    """
    kept.read(source)
    with replacing(place, "ledger") as folder:
        for inside in ("tables", "queries"):
            shutil.copytree(source / inside, folder / inside, dirs_exist_ok=True)
        shutil.copy(source / kept.FILE, folder)
        judged, again = _render(folder)
    return Ledger(place / PAGE, judged, again)


def _render(folder: Path) -> tuple[list[Entry], list[Again]]:
    """Draw figures and page from what is kept in a folder."""
    judged, said = kept.read(folder)
    again = [Again(**one) for one in said["again"]]
    images = {}
    for entry in judged:
        if entry.evidence is None:
            continue
        slug = entry.claim.id
        figure = entry.evidence.draw()
        style.save(figure, folder / "figures", slug)
        images[slug] = (_image(folder, slug), float(figure.get_figwidth()))
        # the page has it, and thirty more beside their PNGs are too much to publish
        (folder / "figures" / f"{slug}.svg").unlink()
    families = [
        (name, [one for one in judged if one.claim.family == family])
        for family, name in FAMILY_NAMES.items()
    ]
    html = template("ledger.html").render(
        **{key: said[key] for key in ("name", "data", "provenance")},
        families=[(name, found) for name, found in families if found],
        counts={word: sum(one.word == word for one in judged) for word in WORDS},
        again=again,
        judged=judged,
        missing=sum(one.word is None for one in judged),
        colours=VERDICT_COLOURS,
        images=images,
        pictures={one.claim.id: picture(one) for one in judged if one.deciding},
        width=PICTURE,
        commands=commands,
        effect=effect,
        rates=rates,
        hangs_on=hangs_on,
        number=number,
        settled_by=settled_by,
        several=several,
    )
    (folder / PAGE).write_text(html, encoding="utf-8", newline="\n")
    return judged, again


def rates(entry: Entry) -> str:
    """Say for how many conditions the rate chosen is at an end of those tried; nothing if for none.

    Of conditions that learn nothing at any rate the best one is a matter of chance: they are counted apart.
    """
    table = None if entry.evidence is None else entry.evidence.table
    if table is None or not {"rated", "place"} <= set(table.columns):
        return ""
    rated = table.dropna(subset=["rated"])
    rated = rated.assign(above=rated["score"] - rated["chance"]).groupby("rated")
    chosen = rated.agg(place=("place", "first"), above=("above", "mean"))
    ends = [(end, int((chosen["place"] == end).sum())) for end in ("largest", "smallest")]
    told = " and ".join(f"the {end} for {count}" for end, count in ends if count)
    if not told:
        return ""
    idle = int(((chosen["place"] != "between") & (chosen["above"] <= LEARNT)).sum())
    return (
        f"The best of the rates tried is {told} of {len(chosen)} conditions"
        + (f" ({idle} of these learn nothing at any rate)" if idle else "")
        + ": a better one may lie beyond."
    )


def picture(entry: Entry) -> Picture | None:
    """Return the small picture of an entry's effect; None where there is nothing to show."""
    test = entry.deciding
    if test is None or entry.word is None:
        return None
    known = [
        one for one in (test.low, test.high, test.estimate, *test.margins) if math.isfinite(one)
    ]
    if not known or not math.isfinite(test.estimate):
        return None
    low, high = min(known), max(known)
    room = 0.12 * (high - low) or 1.0

    def place(value: float) -> float:
        inside = min(max(value, low - room), high + room)
        return round(PICTURE * (inside - low + room) / (high - low + 2 * room), 1)

    return Picture(
        place(test.low),
        place(test.high),
        place(test.estimate),
        tuple(place(one) for one in test.margins),
        VERDICT_COLOURS[entry.word],
    )


def number(value: float) -> str:
    """Return a number as text with three digits, ``"−0.62"``."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.3g}".replace("-", "−")


def effect(test: Outcome | None) -> str:
    """Return a test's estimate with its interval as text."""
    if test is None:
        return ""
    if test.low == test.high or not math.isfinite(test.low + test.high):
        return number(test.estimate)
    return f"{number(test.estimate)} [{number(test.low)}, {number(test.high)}]"


def hangs_on(entry: Entry) -> str:
    """Return part and condition of the test on which a verdict hangs; empty if it is the only one."""
    if entry.evidence is None or entry.deciding is None:
        return ""
    return ": ".join(
        one for one in (deciding_part(entry.evidence).name, entry.deciding.label) if one
    )


def _image(folder: Path, slug: str) -> str:
    """Return the smaller of a figure's two files as a ``data:`` address."""
    found = {
        kind: (folder / "figures" / f"{slug}.{ending}").read_bytes()
        for kind, ending in (("svg+xml", "svg"), ("png", "png"))
    }
    kind = min(found, key=lambda one: len(found[one]))
    return f"data:image/{kind};base64,{base64.b64encode(found[kind]).decode()}"
