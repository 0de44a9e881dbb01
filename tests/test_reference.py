"""The published study: its report, tables and README regenerate from its records to the byte."""

from __future__ import annotations

import math
import re
import shutil
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from small import files_under

from analysis import drawing, open_study, style
from analysis.__main__ import main
from analysis.claims import claims
from analysis.ledger.kept import read
from analysis.ledger.readme import BEGIN as VERDICTS_BEGIN
from analysis.ledger.readme import END as VERDICTS_END
from analysis.ledger.readme import table as verdicts
from analysis.readme import BEGIN, END
from analysis.readme import main as write_table

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "outputs" / "reference"
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
LARGEST = 30_000_000
DRAWN_WITH = ("duckdb", "matplotlib", "numpy", "pandas", "pillow", "scipy", "seaborn")

pinned = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
others = [name for name in DRAWN_WITH if version(name) != pinned[name]]


@pytest.mark.slow
@pytest.mark.skipif(bool(others), reason=f"other versions than were published with: {others}")
@pytest.mark.parametrize("painted", [0.1, pytest.param(1.0, marks=pytest.mark.long)])
def test_make_figures_leaves_every_byte_as_it_is(
    painted: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tables, captions, queries and pages; of the figures a share is painted, the rest is copied."""
    save = style.save

    def some(figure: Any, folder: Path, slug: str) -> None:
        if zlib.crc32(slug.encode()) % 100 < 100 * painted:
            save(figure, folder, slug)
            return
        style.plt.close(figure)
        for ending in (".svg", ".png"):
            shutil.copy(STUDY / "report" / "figures" / f"{slug}{ending}", folder)

    monkeypatch.setattr(style, "save", some)
    if painted < 1:  # where processes draw, they do not know of it
        monkeypatch.setattr(drawing, "MANY_NETWORKS", math.inf)
    for name in ("reference", "reference_alone"):
        shutil.copytree(
            ROOT / "outputs" / name,
            tmp_path / "outputs" / name,
            ignore=shutil.ignore_patterns("report"),
        )
    shutil.copy(ROOT / "README.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["outputs/reference", "--against", "outputs/reference_alone"]) == 0
    made = files_under(tmp_path / "outputs" / "reference" / "report")
    published = files_under(STUDY / "report")
    assert set(made) == set(published)
    assert [path for path, data in made.items() if published[path] != data] == []
    text = Path("README.md").read_text(encoding="utf-8")
    cleared = text[: text.index(BEGIN) + len(BEGIN)] + "\n" + text[text.index(END) :]
    Path("README.md").write_text(cleared, encoding="utf-8")
    assert write_table(["README.md", "outputs/reference"]) == 0
    assert Path("README.md").read_text(encoding="utf-8") == text


def test_the_published_study_is_small_whole_and_larger_than_the_standard_grid() -> None:
    sizes = [path.stat().st_size for path in STUDY.rglob("*") if path.is_file()]
    assert sum(sizes) < LARGEST
    assert (STUDY / "report" / "index.html").stat().st_size < 10_000_000
    study = open_study(STUDY)
    assert study.count("status = 'missing'") == 0
    assert study.count("status = 'failed'") == 0
    found = study.execute(
        "SELECT max(steps), count(DISTINCT seed) FROM networks WHERE steps > 0"
    ).fetchone()
    assert found == (500, 10)
    assert (
        study.count("start = 1 AND depth = 32 AND init = 'he_normal' AND activation = 'relu'") == 30
    )


def test_the_number_that_the_readme_opens_with_is_the_published_one() -> None:
    (told,) = re.findall(r"sigmoid network passes (10\^−[\d.]+) of the gradient", README)
    page = (STUDY / "report" / "index.html").read_text(encoding="utf-8")
    assert f"At depth 32 with xavier_normal, sigmoid passes {told} [" in page


def test_a_table_of_figures_needs_a_report_and_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks")
    assert write_table([str(page), str(STUDY)]) == 2
    assert "lacks the marks" in capsys.readouterr().err
    assert page.read_text() == "no marks"
    bare = tmp_path / "bare"
    shutil.copytree(STUDY, bare, ignore=shutil.ignore_patterns("report"))
    page.write_text(f"{BEGIN}{END}")
    assert write_table([str(page), str(bare)]) == 2
    assert "it has no report" in capsys.readouterr().err
    assert page.read_text() == f"{BEGIN}{END}"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(bool(others), reason=f"other versions than were published with: {others}")
def test_the_ledger_is_drawn_again_from_what_is_kept_to_the_byte(tmp_path: Path) -> None:
    published = files_under(STUDY / "ledger")
    shutil.copytree(
        STUDY / "ledger",
        tmp_path / "ledger",
        ignore=shutil.ignore_patterns("figures", "index.html"),
    )
    (tmp_path / "ledger" / "figures").mkdir()
    assert main(["ledger", "--redraw", str(tmp_path / "ledger")]) == 0
    made = files_under(tmp_path / "ledger")
    assert set(made) == set(published)
    assert [path for path, data in made.items() if published[path] != data] == []


def test_the_ledger_in_the_readme_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = Path("README.md").read_text(encoding="utf-8")
    made = verdicts(Path("outputs/reference/ledger"))
    assert f"{VERDICTS_BEGIN}\n\n{made}\n\n{VERDICTS_END}" in text
    judged, _ = read(STUDY / "ledger")
    assert {one.claim.id for one in judged} == set(claims())
    assert [one.claim.id for one in judged if one.word is None] == []
    assert all(
        "as fixed before its results were seen" in one.rule or "changed from" in one.rule
        for one in judged
    )
