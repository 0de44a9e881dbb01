"""What mended a label: conditions one setting apart, and depth trained against depth scales."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sample

from analysis import figures
from analysis.__main__ import main as analyse
from analysis.diagnosis import diagnose
from analysis.diagnosis.mends import mends, written
from analysis.figures.trainable_depth import agrees
from analysis.findings.training import training_findings
from analysis.frames import Study
from study.theory import mean_field


def condition(init: str, depth: int, rate: float) -> dict:
    return sample.condition(
        activation="relu", init={"name": init}, depth=depth, steps=60, seeds=3, width=24,
        optim={"name": "sgd", "lr": rate}, data={"name": "digits"}, probe={"steps": 6, "samples": 64},
    )  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    crossed = [
        condition(init, depth, rate)
        for init in ("he_normal", "normal_small")
        for depth in (2, 6)
        for rate in (1e-9, 0.1)
    ]
    return Study(sample.make(tmp_path_factory.mktemp("mends"), crossed))


def test_a_label_is_mended_by_the_setting_that_was_spoilt(study: Study) -> None:
    table = mends(study, study.trained[0]).set_index(["label", "change"])
    # a rate next to nothing stalls every start, and the other rate mends those that are well
    assert table.loc[("stalled", "lr"), "to"] == "0.1"
    # weights of 0.01 lose the gradient of six layers, and larger weights keep it
    assert table.loc[("vanishing", "init"), "to"] == "he_normal"
    assert written(table.reset_index().query("change == 'lr'").iloc[0]) == "optim.lr=0.1"


def test_every_mend_is_counted_from_the_labels_of_its_conditions(study: Study) -> None:
    variant = study.trained[0]
    labels = diagnose(study).groupby("cell")["label"].agg(set)
    axes = ["activation", "init", "depth", "lr"]
    networks = study.networks.assign(
        given=[labels.get(cell, set()) for cell in study.networks["cell"]]
    )
    for row in mends(study, variant).itertuples():
        conditions = mended = 0
        for key, part in networks.groupby(axes):
            mine = dict(zip(axes, key, strict=True))
            to = row.to if row.change in ("activation", "init") else float(row.to)
            others = mine | {row.change: to}
            ill = sum(row.label in given for given in part["given"]) >= len(part) / 2
            changed = networks[np.all([networks[a] == others[a] for a in axes], axis=0)]
            if not ill or changed.empty or others == mine:
                continue
            if row.change == "depth" and to > mine["depth"]:
                continue
            conditions += 1
            mended += not any(changed["given"])
        assert (row.conditions, row.mended) == (conditions, mended)


def test_the_figure_the_sentence_and_the_terminal_say_the_same(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = study.trained[0]
    drawing = figures.mends.drawing(study)
    row = drawing.table.iloc[0]
    assert f"{row['label']}: " in drawing.caption
    tables = {
        name: getattr(figures, name).drawing(study).table for name in ("trainability", "mends")
    }
    [told] = [one.text for one in training_findings(tables, variant) if one.figure == "mends"]
    assert analyse(["diagnose", str(study.folder)]) == 0
    printed = capsys.readouterr().out
    for _, row in drawing.table.iterrows():
        assert f"{written(row)} in {row['mended']} of {row['conditions']}" in printed
    most = drawing.table.loc[drawing.table["conditions"].idxmax(), "label"]
    assert f"most conditions have {most};" in told


def test_nothing_is_mended_where_nothing_is_ill(tmp_path: Path) -> None:
    well = Study(sample.make(tmp_path, [condition("he_normal", 2, 0.1)]))
    assert mends(well, well.trained[0]).empty
    assert mends(well, None).empty
    with pytest.raises(figures.NotApplicable, match="healthy one beside"):
        figures.mends(well)


def test_the_depth_that_trains_is_held_against_the_scales_of_its_own_theory(study: Study) -> None:
    table = figures.trainable_depth.drawing(study).table.set_index("init")
    field = mean_field("relu", 2.0, depth=6)
    assert table.loc["he_normal", "xi_correlation"] == math.inf == field.xi_correlation
    assert abs(table.loc["he_normal", "xi_gradient"]) > 1e6
    # of weights 0.01 wide χ is 24 · 1e-4 / 2
    expected = -1 / math.log(24e-4 / 2)
    assert table.loc["normal_small", "xi_gradient"] == pytest.approx(expected, rel=1e-3)
    assert table.loc["he_normal", "trains"] == 6
    assert math.isnan(table.loc["he_normal", "fails"])
    assert table.loc["normal_small", "fails"] in (2.0, 6.0)


@pytest.mark.parametrize(
    ("trains", "fails", "xi", "expected"),
    [
        (4, 8.0, 1.0, True), (4, 8.0, 0.5, False), (4, 8.0, 1.4, False), (32, math.nan, 6.0, True),
        (32, math.nan, math.inf, True), (8, 32.0, math.inf, False), (0, 2.0, 0.1, True),
        (4, 8.0, -1.0, True),
    ],
)  # fmt: skip
def test_theory_agrees_where_six_scales_end_between_what_trains_and_what_does_not(
    trains: int, fails: float, xi: float, expected: bool
) -> None:
    assert agrees(pd.Series({"trains": trains, "fails": fails, "xi": xi}), "xi") == expected


def test_one_seed_of_three_does_not_give_its_condition_a_label(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = study.trained[0]
    well = diagnose(study)
    ill = variant.cells[variant.cells["init.name"] == "normal_small"].groupby(
        ["depth", "lr"], as_index=False
    )

    def labelled(seeds: int) -> pd.DataFrame:
        cells = ill.head(seeds)["cell"]
        rows = well.iloc[[0]].drop(columns="cell").assign(label="dead")
        return pd.concat([rows.assign(cell=cell) for cell in cells], ignore_index=True)

    monkeypatch.setattr("analysis.diagnosis.mends.diagnose", lambda *_: labelled(1))
    assert mends(study, variant).empty
    monkeypatch.setattr("analysis.diagnosis.mends.diagnose", lambda *_: labelled(2))
    found = mends(study, variant)
    assert set(found["label"]) == {"dead"}
    assert found.loc[found["change"] == "init", "to"].tolist() == ["he_normal"]
