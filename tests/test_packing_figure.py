"""The same networks in two studies: what is equal, what differs, and what cannot be compared."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import figures, open_study
from analysis.findings import packing_finding
from analysis.report import write_report
from study.running import Running
from study.sweep import run_conditions
from tests import sample


def conditions(name: str) -> list[dict[str, Any]]:
    """Return three conditions, one of which has no number for a loss."""
    inits = ({"name": "he_normal"}, {"name": "zeros"}, {"name": "normal", "std": 1e80})
    optim = {"name": "sgd", "lr": 0.1}
    return [
        sample.condition(depth=3, activation="relu", init=init, optim=optim) | {"name": name}
        for init in inits
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("twice")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run_conditions(conditions("many"), ["test"], Running(workers=1))
        run_conditions(conditions("alone"), ["test"], Running(workers=1, pack_size=1))
    return place / "outputs"


def test_networks_alone_and_packed_are_equal_at_every_step_and_nan_is_equal_to_nan(
    folder: Path,
) -> None:
    study = open_study(folder / "many", folder / "alone")
    drawing = figures.packing.drawing(study)
    assert len(drawing.table) == 9 * 7  # networks × steps 0 … 6
    assert drawing.table["batch_loss"].isna().any()
    assert (drawing.table["difference"] == 0).all()
    assert "in packs of 9, in alone in packs of 1" in drawing.caption
    broken = int(drawing.table["batch_loss"].isna().sum())
    assert (
        f"{63 - broken} of 63 losses are equal to the last bit, {broken} are no number in either "
        "(diverged)."
    ) in drawing.caption
    [finding] = packing_finding(drawing.table)
    assert finding.text.startswith("All 63 batch losses of 9 networks that were trained twice")
    assert f"or no number in either run ({broken}, of networks that diverged)" in finding.text
    [axis] = drawing.figure.axes
    assert any("equal to the last bit" in text.get_text() for text in axis.texts)


def test_a_difference_is_relative_to_the_larger_and_a_lost_number_is_infinite(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(folder / "many", folder / "alone")
    study.sql("SELECT 1")  # the other study's losses are read by now
    other = study.execute("SELECT * FROM other_curves ORDER BY cell, step").df()
    known = other["other_batch_loss"].notna()
    first, second = other.index[known][:2]
    other.loc[first, "other_batch_loss"] *= 1.25
    other.loc[second, "other_batch_loss"] = np.nan
    study.connection.register("other_curves", other)
    table = figures.packing.drawing(study).table.set_index(["cell", "step"])["difference"]
    changed = [table.loc[tuple(other.loc[row, ["cell", "step"]])] for row in (first, second)]
    assert changed[0] == pytest.approx(0.2, rel=1e-12)
    assert np.isinf(changed[1])
    assert (table > 0).sum() == 2
    [finding] = packing_finding(figures.packing.drawing(study).table)
    assert "2 differ, first at step" in finding.text
    assert "by up to 0.2 of their size" in finding.text


def test_without_another_study_or_a_network_in_common_the_figure_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(figures.NotApplicable, match="--against"):
        figures.packing(open_study(folder / "many"))
    monkeypatch.chdir(tmp_path)
    others = [one | {"seed": 7, "name": "others"} for one in conditions("others")]
    run_conditions(others, ["test"], Running(workers=1))
    with pytest.raises(figures.NotApplicable, match="others shares no measured network"):
        figures.packing(open_study(folder / "many", tmp_path / "outputs" / "others"))


@pytest.mark.usefixtures("unpainted")
def test_the_page_shows_it_with_its_query(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "many"
    shutil.copytree(folder / "many", copy)
    study = open_study(copy, folder / "alone")
    report = write_report(study)
    assert any("trained twice" in text for text in report.findings)
    query = (copy / "report" / "queries" / "packing.sql").read_text(encoding="utf-8")
    written = pd.read_csv(copy / "report" / "tables" / "packing.csv")
    assert len(study.sql(query).df()) == len(written)
    assert 'open_study("outputs/many", against="outputs/alone")' in query
