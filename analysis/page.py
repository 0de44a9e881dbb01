"""What every page is made of: figures with captions in sections, written beside it, replaced as a whole."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from analysis import style
from analysis.figures import Drawing
from analysis.findings import Finding
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


@contextmanager
def replacing(place: Path, what: str) -> Iterator[Path]:
    """Give a new folder for a page that takes the place of ``place`` if nothing goes wrong.

    Args:
        place: the page's folder; the one around it is made if need be.
        what: what the page is, ``"report"``, for names of folders and the error.

    Yields:
        A folder beside ``place`` with empty ``figures`` and ``tables`` in it.

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
            for inside in ("figures", "tables"):
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


def store(drawing: Drawing, slug: str, folder: Path) -> Shown:
    """Write a figure and its table, and return how the page shows them."""
    style.save(drawing.figure, folder / "figures", slug)
    drawing.table.to_csv(folder / "tables" / f"{slug}.csv", index=False, lineterminator="\n")
    data = base64.b64encode((folder / "figures" / f"{slug}.svg").read_bytes()).decode()
    return Shown(
        slug, drawing.title, drawing.caption, drawing.alt, f"data:image/svg+xml;base64,{data}"
    )


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
