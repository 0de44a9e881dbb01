"""The report: the same bytes from the same records, offline, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import drawing, figures, open_study, style
from analysis.__main__ import main
from analysis.frames import Study
from analysis.report import write_report
from analysis.statistics import student_interval
from study.errors import StoreError
from tests import sample

ROOT = Path(__file__).parent.parent

SHOWN = [
    figures.overview, *figures.START, *figures.TRAINING, figures.coverage, *figures.START_APPENDIX,
    figures.gradient_over_training,
]  # fmt: skip
"""Figures that the sample has: all but the one that needs a second study."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = sample.make(
        tmp_path_factory.mktemp("sample"), command=("python", "-m", "study", "x=<b>1&2</b>")
    )
    write_report(Study(path))
    return path


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a report by its relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def tree(folder: Path) -> list[str]:
    """Return the relative paths of everything below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_fresh_process_makes_the_same_bytes_from_a_copy_elsewhere(folder, tmp_path):
    copy = tmp_path / "quite" / "elsewhere" / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("report"))
    done = subprocess.run(
        [sys.executable, "-m", "analysis", str(copy)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "TZ": "Asia/Seoul"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = digests(folder / "report")
    assert {Path(name).suffix for name in expected} == {".html", ".svg", ".png", ".csv", ".sql"}
    assert digests(copy / "report") == expected


@pytest.mark.long
def test_several_processes_draw_the_same_bytes(folder, tmp_path, monkeypatch):
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("report"))
    monkeypatch.setattr(drawing, "MANY_NETWORKS", 1)
    told = []
    write_report(Study(copy), told.append, processes=2)
    assert digests(copy / "report") == digests(folder / "report")
    assert [slug for slug in told if slug in ("overview", "atlas", "coverage")] == [
        "overview", "atlas", "coverage",
    ]  # fmt: skip


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.references += [value for key, value in attrs if key in ("src", "href") and value]
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag == "img":
            self.images.append(found)


@pytest.fixture(scope="module")
def page(folder):
    text = (folder / "report" / "index.html").read_text(encoding="utf-8")
    parsed = _Page()
    parsed.feed(text)
    return text, parsed


def test_the_page_asks_nothing_of_a_network_and_every_link_leads_somewhere(folder, page):
    _, parsed = page
    for reference in parsed.references:
        if reference.startswith("#"):
            assert reference[1:] in parsed.ids
        elif not reference.startswith("data:image/svg+xml;base64,"):
            assert (folder / "report" / reference).is_file(), reference
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert len(parsed.images) == len(SHOWN)
    assert all(image["alt"] for image in parsed.images)


def test_the_page_names_no_machine_and_what_users_typed_cannot_become_markup(folder, page):
    text, parsed = page
    assert str(folder.parent) not in text
    assert "python -m study &#39;x=&lt;b&gt;1&amp;2&lt;/b&gt;&#39;" in text
    assert "b" not in parsed.tags


def test_every_table_holds_what_its_figure_draws(folder):
    study = Study(folder)
    for drawer in SHOWN:
        written = pd.read_csv(folder / "report" / "tables" / f"{drawer.__name__}.csv")
        drawn = drawer.drawing(study).table.reset_index(drop=True)
        pd.testing.assert_frame_equal(written, drawn, check_dtype=False, rtol=1e-8, atol=0)


def test_every_query_finds_the_rows_that_its_figure_was_made_from(folder):
    study = open_study(folder)
    queries = folder / "report" / "queries"
    assert {path.stem for path in queries.iterdir()} >= {
        path.stem for path in (folder / "report" / "figures").iterdir()
    }
    for path in queries.iterdir():
        for query in path.read_text(encoding="utf-8").split(";\n"):
            if query.strip():
                assert len(study.sql(query).df()), path.name
    # the atlas from its query alone, without the product's statistics
    rows = study.sql((queries / "atlas.sql").read_text(encoding="utf-8")).df()
    last = rows[rows["layer"] == rows["depth"] - 1].set_index("cell")["signal_grad_rms"]
    rows["decades"] = np.log10(rows["signal_grad_rms"] / rows["cell"].map(last).to_numpy())
    drawn = pd.read_csv(folder / "report" / "tables" / "atlas.csv")
    for _, row in drawn[drawn["networks"] == 3].iterrows():
        same = rows[
            (rows[["activation", "init", "depth", "layer"]] == row[:4].to_list()).all(axis=1)
        ]
        assert row["mean"] == pytest.approx(same["decades"].mean(), rel=1e-8, abs=1e-8)


def test_the_numbers_in_the_findings_are_those_of_the_records(folder, page):
    text, _ = page
    con = Study(folder).connection
    logs = con.execute(
        "SELECT avg(log10(l1.signal_grad_rms / l4.signal_grad_rms)) FROM layers l1 "
        "JOIN layers l4 USING (cell, step) JOIN cells USING (cell) WHERE step = 0 AND l1.layer = 1 "
        "AND l4.layer = 4 AND depth = 5 AND init = 'he_normal' AND lr = 0.03 "
        "AND activation IN ('sigmoid', 'identity') GROUP BY activation ORDER BY activation DESC"
    ).fetchall()
    passed = [f"10^{value:.1f}".replace("-", "−") for (value,) in logs]
    each = con.execute(
        "SELECT log10(l1.signal_grad_rms / l4.signal_grad_rms) FROM layers l1 JOIN layers l4 "
        "USING (cell, step) JOIN cells USING (cell) WHERE step = 0 AND l1.layer = 1 AND l4.layer = 4 "
        "AND depth = 5 AND init = 'he_normal' AND lr = 0.03 AND activation = 'sigmoid'"
    ).fetchall()
    interval = student_interval([value for (value,) in each])
    ends = [f"10^{value:.1f}".replace("-", "−") for value in (interval.low, interval.high)]
    assert (
        f"At depth 5 with he_normal, sigmoid passes {passed[0]} [{ends[0]}, {ends[1]}] of the "
        "signal&#39;s gradient from the last hidden layer to the first; the same weights without an "
        f"activation pass {passed[1]}."
    ) in text
    (best,) = con.execute(
        "SELECT max(a) FROM (SELECT avg(final_test_accuracy) a FROM cells WHERE status = 'ok' "
        "AND depth > 1 GROUP BY activation, init, depth, lr, init_std)"
    ).fetchone()
    stated = re.search(
        r"The best condition by validation accuracy is .*?: ([\d.]+)% of the test split", text
    )
    # the best rate is chosen on the validation split, so the best on test may be missed, not passed
    assert stated is not None
    assert float(stated[1]) <= round(100 * best, 1)
    assert "24" in re.findall(r"<dt>diverged</dt><dd>(\d+)</dd>", text)


def test_a_report_that_cannot_be_finished_leaves_the_old_one_as_it_was(
    folder, tmp_path, monkeypatch
):
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    before, names = digests(copy), tree(copy)

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(style, "save", broken)
    with pytest.raises(
        StoreError, match=r"^cannot write the report to .*: No space left on device\.$"
    ):
        write_report(Study(copy))
    assert (digests(copy), tree(copy)) == (before, names)


def test_a_study_of_one_untrained_network_has_a_page_that_says_what_is_not_drawn(tmp_path):
    one = sample.condition(
        depth=6, activation="tanh", init="he_normal", optim={"name": "sgd", "lr": 0.1}, steps=0,
        seeds=1,
    )  # fmt: skip
    found = write_report(Study(sample.make(tmp_path, [one])))
    text = found.page.read_text(encoding="utf-8")
    assert "no network was trained (steps = 0)" in text
    # beside those of the start: overview, coverage; without networks that are narrow enough to be born dead
    assert found.figures == 2 + len(figures.START) + len(figures.START_APPENDIX) - 1
    assert found.counts == {"ok": 1, "diverged": 0, "failed": 0, "missing": 0}


@pytest.mark.long
@pytest.mark.usefixtures("unpainted")
def test_more_parts_than_a_page_holds_are_named(tmp_path):
    many = [
        sample.condition(
            depth=3, activation="relu", init="he_normal", optim={"name": "sgd", "lr": 0.1}, steps=1,
            seeds=1, width=width,
        )
        for width in (4, 5, 6, 7, 8)
    ]  # fmt: skip
    found = write_report(Study(sample.make(tmp_path, many)))
    assert "left out: width=8." in found.page.read_text(encoding="utf-8")
    assert (found.page.parent / "figures" / "atlas-4.svg").is_file()


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("absent", r"^cannot open .*absent: there is no study in it\.\n$"),
        ("empty", r"^cannot open .*empty: there is no study in it\.\n$"),
        ("file", r"^cannot open .*file: there is no study in it\.\n$"),
    ],
)
def test_what_is_no_study_gets_one_sentence_and_nothing_is_written(
    folder, tmp_path, capsys, what, expected
):
    place = tmp_path / what
    if what == "empty":
        place.mkdir()
    elif what == "file":
        place.write_text("x")
    before = tree(tmp_path)
    assert main([str(place)]) == 2
    said = capsys.readouterr()
    assert re.match(expected, said.err), said.err
    assert said.out == ""
    assert tree(tmp_path) == before


@pytest.mark.usefixtures("unpainted")
def test_the_last_lines_say_what_was_found_where_it_is_and_what_to_try(folder, tmp_path, capsys):
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    assert main([str(copy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Found:"
    assert lines[1].startswith("  - At depth 5")
    assert (
        lines[-2]
        == f"Report: {copy.as_posix()}/report/index.html ({len(SHOWN)} figures, each with its table)"
    )
    assert lines[-1] == (
        "Next: the largest rate tried is the best for 4 of 4 conditions above chance: "
        "python -m study --multirun 'x=<b>1&2</b>' optim.lr=1,3"
    )


def test_analysis_never_loads_what_trains(folder):
    code = (
        "import sys\nfrom analysis.frames import Study\nimport analysis.report\n"
        "print([m for m in ('torch', 'study.training', 'study.network') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_sampled_bytes_are_not_all_the_same_figure(folder):
    sizes = [path.stat().st_size for path in (folder / "report" / "figures").glob("*.png")]
    assert len(set(sizes)) == len(sizes)
    assert np.min(sizes) > 5_000
