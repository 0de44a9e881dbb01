"""A published copy of a study: smaller, as true as it says, and drawn from like any study."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import files_under

from analysis import open_study
from study.publish import KEPT_BITS, main, publish, rounded
from study.running import Running
from study.schema import TABLES
from study.store import Store
from study.sweep import run_conditions
from tests import sample

# half a unit in the last kept place, relative to the smallest mantissa
RELATIVE = 2.0**-KEPT_BITS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.make(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def copy(folder: Path) -> Path:
    target = folder.parent / "published"
    publish(folder, target)
    return target


@pytest.mark.parametrize("table", list(TABLES))
def test_the_copy_holds_every_row_with_its_settings_and_its_numbers_rounded(
    folder: Path, copy: Path, table: str
) -> None:
    keys = {"cells": "cell", "curves": "cell, step", "layers": "cell, step, layer"}[table]
    probed = "WHERE test_loss IS NOT NULL" if table == "curves" else ""
    found = [
        open_study(place).execute(f"SELECT * FROM {table} {where} ORDER BY {keys}").fetchall()
        for place, where in ((folder, probed), (copy, ""))
    ]
    assert len(found[0]) == len(found[1]) > 0
    names = [column.name for column in TABLES[table]]
    inexact = 0
    for original, kept in zip(*found, strict=True):
        for name, one, other in zip(names, original, kept, strict=True):
            if isinstance(one, float) and math.isfinite(one):
                tolerance = RELATIVE if table == "layers" else 0
                assert other == pytest.approx(one, rel=tolerance, abs=0), name
                inexact += one != other
            else:
                assert repr(one) == repr(other), name
    assert (inexact > 0) == (table == "layers")


def test_the_copy_is_one_pack_an_environment_and_continues_like_the_study(
    folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commits = Store(copy).read_commits()
    # the sample's networks were trained on one data set, all here
    assert len(commits) == 1
    assert len(commits[0].statuses) == len(open_study(folder).cells)
    monkeypatch.chdir(folder.parent.parent)
    monkeypatch.setattr("study.sweep.OUTPUTS", folder.parent)
    run_conditions(
        [one | {"name": copy.name} for one in sample.conditions()], ["test"], Running(workers=1)
    )
    assert "all finished already: nothing to do." in capsys.readouterr().out


def test_the_same_study_is_published_as_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        publish(folder, tmp_path / name)
    first, second = (
        {path: data for path, data in files_under(tmp_path / name).items() if data is not None}
        for name in ("a", "b")
    )
    assert first == second


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("absent", "new", "cannot publish {}/absent: there is no study in it.\n"),
        ("sample", "sample", "cannot publish to {}/sample: it exists; remove it first.\n"),
    ],
)
def test_what_cannot_be_published_gets_one_sentence_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], source: str, target: str, said: str
) -> None:
    place = folder.parent
    before = files_under(place)
    assert main([str(place / source), str(place / target)]) == 2
    assert capsys.readouterr().err == said.format(place)
    assert files_under(place) == before


def test_a_copy_that_cannot_be_finished_leaves_nothing_behind(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("study.store.pq.write_table", full)
    assert main([str(folder), str(tmp_path / "copies" / "published")]) == 2
    assert "No space left on device." in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.name != "copies"] == []


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=False)


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.integers(1, 53))
def test_rounding_keeps_so_many_bits_and_what_is_no_number(values: list[float], bits: int) -> None:
    given_values = np.array(values)
    found = rounded(given_values, bits)
    same = ~np.isfinite(given_values) | (given_values == 0)
    np.testing.assert_array_equal(found[same], given_values[same])
    assert np.isfinite(found[np.isfinite(given_values)]).all()
    for before, after in zip(given_values[~same], found[~same], strict=True):
        assert abs(after - before) <= 2.0**-bits * abs(before)
        if bits == 53:
            assert after == before
    np.testing.assert_array_equal(rounded(found, bits), found)
