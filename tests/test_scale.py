"""Large studies: what is simulated is a study, and what DuckDB aggregates is what frames give."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.aggregates import grouped, intervals, log_intervals, relative
from analysis.figures.by_step import layers_at, positions
from analysis.figures.slope import slopes
from analysis.frames import Study, among
from analysis.statistics import log_statistics, student_intervals
from benchmarks import report_scale
from benchmarks.simulation import Size, conditions, result_of, simulate
from study.cell import cells_of
from study.packing import plan_packs
from study.records import tables
from study.settings import canonical_condition
from study.store import ARROW_SCHEMAS, Store

SMALL = Size(
    "simulated", (2, 5), ("relu", "sign"), ("he_normal",), 2, (2, 9), ("relu", "sigmoid"),
    ("normal_small", "normal_unit"), (0.1, 1.0), 3, probes=5,
)  # fmt: skip

AXES = ["activation", "init", "depth", "lr", "step", "layer"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "simulated"
    assert simulate(path, SMALL) == 4 * 2 + 16 * 3 + 2 * 3
    return path


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return Study(folder)


def frame(query: str, study: Study) -> pd.DataFrame:
    """Return the rows that a query finds."""
    return study.sql(query).df()


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(found)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-9, atol=1e-12)


def test_a_simulated_study_is_a_study_with_every_kind_of_number(study: Study, folder: Path) -> None:
    assert study.count("status IN ('ok', 'diverged')") == 62
    assert study.count("status = 'diverged'") > 0
    assert study.count("status = 'missing'") == 0
    ((rows, zeros, broken, absent),) = study.sql(
        "SELECT count(*), count(*) FILTER (signal_grad_rms = 0), "
        "count(*) FILTER (isnan(signal_grad_rms)), count(*) FILTER (z_p50 IS NULL) FROM layers"
    ).fetchall()
    assert rows == 4 * (2 + 5) + 6 * 19 + 24 * 5 * (2 + 9)
    assert min(zeros, broken, absent) > 0
    for commit in Store(folder).read_commits():
        for table, path in Store(folder).verify(commit).items():
            assert pd.read_parquet(path).columns.tolist() == ARROW_SCHEMAS[table].names


def test_a_pack_is_simulated_the_same_at_every_call() -> None:
    many = conditions(SMALL)[1]
    packs = plan_packs(cells_of(map(canonical_condition, many)), "cpu")
    for table, rows in tables(result_of(packs[0])).items():
        again = tables(result_of(packs[0]))[table]
        assert rows.to_pandas().equals(again.to_pandas())


@pytest.mark.parametrize("value", ["signal_grad_rms", "update_norm"])
def test_logs_are_aggregated_as_a_frame_of_the_rows_is(study: Study, value: str) -> None:
    rows = study.rows("training = 1", [value], "true")
    expected = log_statistics(frame(rows, study), AXES, value)
    assert expected["nonfinite"].any()
    same(log_intervals(study, rows, AXES, value), expected)


def test_means_are_aggregated_as_a_frame_of_the_rows_is(study: Study) -> None:
    rows = study.rows("training = 1", ["z_collapse"], "true")
    same(
        intervals(study, rows, AXES, "z_collapse"),
        student_intervals(frame(rows, study), AXES, "z_collapse"),
    )


def test_relative_is_each_networks_own_last_hidden_layer_of_the_same_step(study: Study) -> None:
    rows = study.rows("true", ["signal_grad_rms"], "layer < depth")
    plain = frame(rows, study).set_index(["cell", "step", "layer"]).sort_index()
    found = frame(relative(rows, "signal_grad_rms"), study)
    found = found.set_index(["cell", "step", "layer"])["relative"].sort_index()
    expected = []
    for (cell, step, _), row in plain.iterrows():
        last = plain["signal_grad_rms"][cell, step, row["depth"] - 1]
        own = row["signal_grad_rms"]
        expected.append(0.0 if own == 0 else own / last)
    assert expected.count(0.0)
    np.testing.assert_array_equal(found, expected)


def test_the_slope_is_the_least_squares_line_of_the_layers_that_are_numbers_above_zero(
    study: Study,
) -> None:
    powers = {
        "shrinks": ([1e-5, 1e-4, 1e-3, 1e-2], -1.0),
        "one zero": ([0.0, 1e-4, 1e-3, 1e-2], -1.0),
        "one infinite": ([1e3, 1e2, 1e1, np.inf], 1.0),
        "two left": ([0.0, np.nan, 1e-3, 1e-2], np.nan),
    }
    rows = " UNION ALL ".join(
        f"SELECT '{name}' AS cell, 'relu' AS activation, 'zeros' AS init, 5 AS depth, {layer} AS layer, "
        f"'{number}'::DOUBLE AS signal_grad_rms"
        for name, (numbers, _) in powers.items()
        for layer, number in enumerate(numbers, 1)
    )
    found = frame(slopes(rows), study).set_index("cell")["slope"]
    for name, (_, expected) in powers.items():
        assert found[name] == pytest.approx(expected, nan_ok=True), name


def test_positions_keep_the_layers_that_are_drawn(study: Study) -> None:
    rows = study.rows("training = 1", ["weight_norm"], "true")
    drawn = grouped(
        study, positions(rows, [2, 9]), ["depth", "layer", "position"], {"n": "count(*)"}
    )
    named = {depth: part.set_index("layer")["position"] for depth, part in drawn.groupby("depth")}
    assert {depth: part.to_dict() for depth, part in named.items()} == {
        depth: layers_at(depth) for depth in (2, 9)
    }


def test_networks_are_found_by_their_ids_alone(study: Study) -> None:
    some = study.cells.sample(5, random_state=1)
    assert study.count(among(some)) == 5
    rows = frame(study.rows(among(some), ["weight_norm"]), study)
    assert set(rows["cell"]) == set(some["cell"])
    assert study.count(among(some.head(0))) == 0


def test_another_process_goes_on_with_a_study_without_reading_its_records_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Study(folder)
    query = "SELECT * FROM layers JOIN networks USING (cell) ORDER BY ALL"
    expected = first.sql(query).df()
    sent = pickle.dumps(first)
    monkeypatch.setattr(Store, "verify", lambda *_: pytest.fail("verified once more"))
    monkeypatch.setattr(Store, "read_plans", lambda *_: pytest.fail("planned once more"))
    pd.testing.assert_frame_equal(pickle.loads(sent).sql(query).df(), expected)


def test_nothing_of_the_databases_own_is_left_where_one_works(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study.execute("SET memory_limit = '60MB'")
    study.execute(
        "SELECT sum(i) FROM (SELECT i FROM range(9000000) t(i) ORDER BY hash(i)) t(i)"
    ).df()
    assert list(tmp_path.iterdir()) == []


def test_the_benchmark_measures_a_process_and_those_it_starts() -> None:
    assert report_scale.memory(1 << 22) == 0
    assert report_scale.memory(os.getpid()) > 10_000_000
    assert os.getpid() in report_scale.family(os.getppid())
