"""What every page is made of: figures with captions in sections, written beside it, replaced as a whole."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pandas as pd

from analysis import style
from analysis.figures import Drawing
from analysis.findings import Finding
from analysis.frames import Study
from study.errors import StoreError, printable

MOST_VARIANTS = 4
"""Parts of a study that are drawn; a page with more is read by nobody."""

PAGE = "index.html"

LARGEST_DRAWING = 300_000
"""Bytes of an SVG file that is put into a page of one part; of a larger one the page shows the PNG if
that is smaller. A page of several parts has as many times the figures, and takes smaller ones."""


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


@contextmanager
def replacing(place: Path, what: str) -> Iterator[Path]:
    """Give a new folder for a page that takes the place of ``place`` if nothing goes wrong.

    Args:
        place: the page's folder; the one around it is made if need be.
        what: what the page is, ``"report"``, for names of folders and the error.

    Yields:
        A folder beside ``place`` with empty ``figures``, ``tables`` and ``queries`` in it.

    Raises:
        StoreError: it cannot be written there.
    """
    try:
        around = place.parent
        made = not around.exists()
        around.mkdir(exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f"{what}.new-", dir=around))
        new.chmod(0o755)
        try:
            for inside in ("figures", "tables", "queries"):
                (new / inside).mkdir()
            yield new
            old = Path(tempfile.mkdtemp(prefix=f"{what}.old-", dir=around))
            if place.exists():
                os.replace(place, old / place.name)
            os.replace(new, place)
            shutil.rmtree(old)
        finally:
            shutil.rmtree(new, ignore_errors=True)
            if made:
                with contextlib.suppress(OSError):  # the page is in it
                    around.rmdir()
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write the {what} to {place}: {why}.") from error


class Writer:
    """Writes figures with their tables and queries into a report's folder.

    Args:
        study: the study that is drawn.
        folder: the report's folder.
        parts: how many parts of the study the page draws.
    """

    def __init__(self, study: Study, folder: Path, parts: int = 1) -> None:
        self.study, self.folder = study, folder
        self.largest = LARGEST_DRAWING // max(1, parts)

    def draw(
        self, draw: Callable[[], Drawing], slug: str, where: str = "true"
    ) -> tuple[Shown, pd.DataFrame]:
        """Draw a figure, write its files and return how the page shows it, and its table.

        Args:
            draw: draws it.
            slug: its id and the name of its files.
            where: an SQL condition that finds its networks in ``networks``.

        Raises:
            NotApplicable: the figure has nothing to show.
        """
        self.study.asked.clear()
        drawing = draw()
        asked = self.study.asked or [f"SELECT *\nFROM networks\nWHERE {where}\nORDER BY cell"]
        width = float(drawing.figure.get_figwidth())
        style.save(drawing.figure, self.folder / "figures", slug)
        self.table(slug, drawing.table)
        self.query(slug, asked)
        shown = Shown(slug, drawing.title, drawing.caption, drawing.alt, self._image(slug), width)
        return shown, drawing.table

    def table(self, slug: str, table: pd.DataFrame) -> None:
        """Write a table as CSV."""
        # nine digits: the last ones of a mean depend on the processor that took it
        path = self.folder / "tables" / f"{slug}.csv"
        table.to_csv(path, index=False, lineterminator="\n", float_format="%.9g")

    def query(self, slug: str, queries: Sequence[str]) -> None:
        """Write the queries behind a table."""
        asked = list(dict.fromkeys(queries))
        text = ";\n\n".join(asked)
        opened = f'"outputs/{printable(self.study.name)}"'
        if self.study.against is not None and "other_curves" in text:
            opened += f', against="outputs/{printable(self.study.against.name)}"'
        head = f"-- analysis.open_study({opened}).sql(…)\n"
        if len(asked) > 1:
            head += f"-- {len(asked)} queries, to be asked one by one\n"
        path = self.folder / "queries" / f"{slug}.sql"
        path.write_text(f"{head}{text};\n", encoding="utf-8", newline="\n")

    def _image(self, slug: str) -> str:
        svg = (self.folder / "figures" / f"{slug}.svg").read_bytes()
        png = (self.folder / "figures" / f"{slug}.png").read_bytes()
        if len(svg) <= max(self.largest, len(png)):
            return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
        return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def template(name: str) -> jinja2.Template:
    """Return a page's template from ``analysis/templates``; whatever is put into it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
