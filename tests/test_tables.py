"""From a run to SQL: the records come back, are not trained twice, and damage is found."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from analysis import open_study
from study.errors import StoreError
from study.publish import publish
from study.schema import SCHEMA_VERSION, TABLES
from study.store import Store
from study.sweep import run_conditions

CONDITION = {
    "name": "mine", "device": "cpu", "depth": 4, "width": 8, "steps": 5, "batch_size": 16,
    "seeds": 3, "probe": {"steps": 4, "samples": 32}, "activation": {"name": "relu"},
    "init": {"name": "he_normal"}, "data": {"name": "digits"}, "optim": {"name": "sgd", "lr": 0.1},
}  # fmt: skip


@pytest.fixture
def study_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs" / "mine"


def test_a_run_is_read_back_with_one_row_per_cell_step_and_layer(study_folder):
    summaries = run_conditions([CONDITION], ["test"])
    assert summaries == [{"cells": 3, "ok": 3, "diverged": 0, "failed": 0}]
    con = open_study(study_folder)
    assert con.execute("SELECT count(*), min(status) FROM cells").fetchone() == (3, "ok")
    assert con.execute("SELECT count(*) FROM curves").fetchone() == (3 * 6,)
    (steps,) = con.execute("SELECT count(DISTINCT step) FROM layers").fetchone()
    assert con.execute("SELECT count(*) FROM layers").fetchone() == (3 * steps * 4,)
    assert con.execute(
        "SELECT count(*) FROM layers WHERE layer = 4 AND h_mean IS NOT NULL"
    ).fetchone() == (0,)


def test_finished_cells_are_not_trained_again_and_new_seeds_only_add(study_folder):
    run_conditions([CONDITION], ["test"])
    before = sorted(path.name for path in (study_folder / "commits").iterdir())
    run_conditions([CONDITION], ["test"])
    assert sorted(path.name for path in (study_folder / "commits").iterdir()) == before
    run_conditions([{**CONDITION, "seeds": 4}], ["test"])
    assert len(list((study_folder / "commits").iterdir())) == len(before) + 1


def test_a_cell_that_diverges_leaves_its_neighbours_bit_for_bit(study_folder):
    wild = {**CONDITION, "init": {"name": "normal", "std": 1e30}}
    run_conditions([CONDITION, {**CONDITION, "init": {"name": "normal", "std": 0.2}}], ["test"])
    run_conditions([{**CONDITION, "name": "wild"}, {**wild, "name": "wild"}], ["test"])
    con = open_study(study_folder.parent / "wild")
    assert con.execute("SELECT count(*) FROM cells WHERE status = 'diverged'").fetchone() == (3,)
    query = "SELECT l.* FROM layers l JOIN cells USING (cell) WHERE init = 'he_normal' ORDER BY ALL"
    expected = open_study(study_folder).execute(query).fetchall()
    assert con.execute(query).fetchall() == expected


def as_version_3(folder, target):
    """Write a study's records as a program of schema version 3 would have, and return the folder."""
    old, new = Store(folder), Store(target)
    new.create()
    for plan in old.read_plans():
        new.write_plan({**plan, "schema": 3})
    for commit in old.read_commits():
        tables = {}
        for name, path in old.verify(commit).items():
            kept = [column.name for column in TABLES[name] if column.since <= 3]
            tables[name] = pq.read_table(path).select(kept)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("study.store.SCHEMA_VERSION", 3)
            new.commit(
                commit.pack, commit.attempt, tables, commit.statuses, commit.environment, 0.0
            )
    return target


LATER = {name: [c.name for c in columns if c.since > 3] for name, columns in TABLES.items()}


def test_records_of_version_3_have_typed_nulls_and_go_on_in_the_present_one(study_folder):
    run_conditions([CONDITION], ["test"])
    older = as_version_3(study_folder, study_folder.parent / "older")
    types = {name: open_study(study_folder).sql(f"SELECT * FROM {name}").types for name in TABLES}
    for mixed in (False, True):
        if mixed:  # three networks are there, one more is trained
            asked = {**CONDITION, "name": "older", "seeds": 4, "norm": "none"}
            run_conditions([asked], ["test"])
            versions = {commit.schema for commit in Store(older).read_commits()}
            assert versions == {3, SCHEMA_VERSION}
        con = open_study(older)
        for name, columns in TABLES.items():
            found = con.sql(f"SELECT * FROM {name}")
            assert found.columns == [column.name for column in columns]
            assert found.types == types[name]
            for column in LATER[name]:
                if column in ("clip_value", "clip_to_one"):  # NULL where nothing is clipped
                    continue
                counted = f"count({column}), count(DISTINCT cell) FILTER ({column} IS NOT NULL)"
                known, cells = con.execute(f"SELECT {counted} FROM {name}").fetchone()
                assert (known > 0, cells) == (mixed, int(mixed))
        count = con.execute("SELECT count(*), count(DISTINCT seed) FROM cells").fetchone()
        assert count == (3 + mixed, 3 + mixed)
        shared = ", ".join(c.name for c in TABLES["layers"] if c.since <= 3)
        query = f"SELECT {shared} FROM layers JOIN cells USING (cell) WHERE seed < 3 ORDER BY ALL"
        assert con.execute(query).fetchall() == open_study(study_folder).execute(query).fetchall()
        assert set(con.cells["norm"]) == {"none"}


def test_a_study_of_both_versions_is_published_whole(study_folder, tmp_path):
    run_conditions([CONDITION], ["test"])
    older = as_version_3(study_folder, study_folder.parent / "older")
    run_conditions([{**CONDITION, "name": "older", "seeds": 4}], ["test"])
    publish(older, tmp_path / "published")
    for folder in (older, tmp_path / "published"):
        found = open_study(folder).execute(
            "SELECT count(*), count(same_sign_inputs), count(DISTINCT cell) FROM layers"
        )
        rows, known, cells = found.fetchone()
        assert (cells, known * 4) == (4, rows)


@pytest.mark.parametrize("table", ["cells", "curves", "layers"])
def test_one_flipped_bit_is_named_and_costs_its_pack_alone(study_folder, table, capsys):
    both = [CONDITION, {**CONDITION, "depth": 3}]
    run_conditions(both, ["test"])
    whole = open_study(study_folder).sql("FROM layers ORDER BY ALL").fetchall()
    path, _ = sorted((study_folder / "records").glob(f"*/{table}.parquet"))
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.warns(UserWarning, match=f"{table}.parquet: it is damaged, its commit says"):
        study = open_study(study_folder)
    assert sorted(study.cells["status"]) == ["missing"] * 3 + ["ok"] * 3
    left = study.sql("FROM layers").fetchall()
    assert set(left) < set(whole)
    assert len({row[0] for row in left}) == 3
    # and the same command makes it again, to the byte
    capsys.readouterr()
    run_conditions(both, ["test"])
    printed = capsys.readouterr()
    assert f"{table}.parquet: it is damaged" in printed.err
    assert "6 networks: 3 finished before, 3 to train in 1 pack." in printed.out
    assert path.read_bytes() == content
    assert open_study(study_folder).sql("FROM layers ORDER BY ALL").fetchall() == whole


def test_a_folder_without_a_study_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(StoreError, match="there is no study"):
        open_study(tmp_path / "nothing")
