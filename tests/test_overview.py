"""The overview says of every condition what the records say, and shows what is lost or not there."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from analysis import figures, open_study
from analysis.frames import Study
from tests import sample

LINES = ["gradient", "collapse", "test"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.make(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return open_study(folder)


def written(axis: Axes) -> dict[tuple[int, int], str]:
    """Return the text of every box of a panel by column and line."""
    return {
        (round(text.get_position()[0]), round(text.get_position()[1])): text.get_text()
        for text in axis.texts
    }


def test_every_number_is_that_of_the_records(study: Study) -> None:
    drawn = figures.overview.drawing(study).table.set_index(["activation", "init", "depth"])
    for activation, init, std in (("relu", "he_normal", None), ("sigmoid", "normal", 0.05)):
        label = init if std is None else f"normal (std {std})"
        row = drawn.loc[(activation, label, 5)]
        chosen = (
            f"activation = '{activation}' AND init = '{init}' AND depth = 5 "
            f"AND init_std IS NOT DISTINCT FROM {std or 'NULL'}"
        )
        starts = study.execute(
            "SELECT seed, layer, any_value(signal_grad_rms), any_value(z_collapse) "
            f"FROM layers JOIN cells USING (cell) WHERE step = 0 AND {chosen} GROUP BY ALL"
        ).fetchall()
        rms = {(seed, layer): value for seed, layer, value, _ in starts}
        decades = [np.log10(rms[seed, 1] / rms[seed, 4]) for seed in range(3)]
        assert row["gradient"] == pytest.approx(np.mean(decades), rel=1e-12, abs=1e-14)
        collapse = [value for _, layer, _, value in starts if layer == 4]
        assert row["collapse"] == pytest.approx(np.mean(collapse), rel=1e-12)
        scores: dict[float, list[tuple[float, float]]] = {}
        for lr, validation, test in study.execute(
            f"SELECT lr, final_validation_accuracy, final_test_accuracy FROM cells WHERE {chosen}"
        ).fetchall():
            scores.setdefault(lr, []).append((validation, test))
        means = {lr: np.mean([one for one, _ in found]) for lr, found in scores.items()}
        best = min(lr for lr in means if means[lr] == max(means.values()))
        assert row["score"] == pytest.approx(np.mean([test for _, test in scores[best]]), rel=1e-12)


def test_what_is_no_number_zero_or_lost_is_written_as_that(study: Study) -> None:
    drawing = figures.overview.drawing(study)
    axes = dict(
        zip(
            itertools.product(
                ("sigmoid", "relu", "identity"),
                ("zeros", "normal (std 0.05)", "normal (std 1e+80)", "he_normal"),
            ),
            drawing.figure.axes,
            strict=True,
        )
    )
    assert [one.get_text() for one in drawing.figure.axes[0].get_yticklabels()][:3] == LINES
    zeros = written(axes["relu", "zeros"])
    assert zeros[1, 0] == "zero"  # depth 5: nothing arrives
    broken = written(axes["relu", "normal (std 1e+80)"])
    assert broken[1, 2] == "×"  # all diverged
    assert (0, 2) not in written(axes["identity", "he_normal"])  # never trained
    table = drawing.table.set_index(["activation", "init", "depth"])
    assert table.loc[("relu", "normal (std 1e+80)", 5), "lost"] == 3


def test_networks_that_are_planned_and_not_run_are_dots(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sample"
    shutil.copytree(folder, copy)
    for path in (copy / "commits").iterdir():
        cells = json.loads(path.read_text())["statuses"]
        held = {row["cell"] for row in _records(copy, path.stem) if row["steps"]}
        if held & set(cells):
            path.unlink()
    study = open_study(copy)
    drawing = figures.overview.drawing(study)
    texts = [text.get_text() for axis in drawing.figure.axes for text in axis.texts]
    assert "…" in texts
    assert "not run yet" in drawing.caption


def _records(folder: Path, pack: str) -> list[dict]:
    import pyarrow.parquet as pq

    (place,) = folder.glob(f"records/{pack}.*")
    return pq.read_table(place / "cells.parquet", columns=["cell", "steps"]).to_pylist()
