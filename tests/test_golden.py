"""Studies that earlier programs wrote are read and gone on with; what a later one wrote is left alone."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small import condition, files_under

from analysis import open_study
from analysis.__main__ import main as analyse
from study.__main__ import main
from study.errors import StudyError
from study.publish import main as publish
from study.schema import READABLE, SCHEMA_VERSION, TABLES
from study.store import Store
from study.sweep import Running, run_conditions

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")

GOLDEN = Path(__file__).parent / "golden"

SCORES = {
    "bc7fc714195b5a73fbad": (0, 2.6549552268981933, 0.10774410774410774),
    "24f52242bacdfaedce3d": (1, 2.4363777141571044, 0.1111111111111111),
}
"""Seed, final loss on the training and accuracy on the validation split, as they were printed then."""

SETTINGS = [
    *("name=golden", "device=cpu", "depth=3", "width=4", "steps=3", "batch_size=8", "seeds=2"),
    *("probe.steps=2", "probe.samples=8", "init=he_normal", "data=digits", "optim=sgd"),
    *("optim.lr=0.1", "activation=relu,tanh", "hydra.launcher.executor=inline"),
]


def conditions(name: str) -> list[dict[str, Any]]:
    return [
        condition(
            activation, "he_normal", name=name, device="cpu", depth=3, width=4, steps=3,
            batch_size=8, seeds=2, probe={"steps": 2, "samples": 8},
        )
        for activation in ("relu", "tanh")
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = files_under(GOLDEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    assert files_under(GOLDEN) == before


def copy(version: int) -> Path:
    target = Path("outputs/golden")
    shutil.copytree(GOLDEN / f"schema{version}", target)
    return target


def test_there_is_one_of_every_version_that_is_read_and_one_that_is_newer() -> None:
    assert {path.name for path in GOLDEN.glob("schema*")} == {
        f"schema{version}" for version in (*READABLE, 99)
    }
    assert SCHEMA_VERSION < 99


@pytest.mark.parametrize("version", READABLE)
def test_an_earlier_study_is_read_with_the_numbers_that_it_had(version: int) -> None:
    study = open_study(GOLDEN / f"schema{version}")
    assert study.damages == []
    assert {commit.schema for commit in study.commits} == {version}
    query = (
        "SELECT cell, seed, final_train_loss, final_validation_accuracy FROM cells "
        "WHERE activation = 'relu' AND status = 'ok'"
    )
    found = study.execute(query).fetchall()
    assert {cell: tuple(rest) for cell, *rest in found} == SCORES
    query = "SELECT signal_grad_rms FROM layers WHERE cell LIKE 'bc7f%' AND step = 3 AND layer = 1"
    assert study.execute(query).fetchall() == [(0.6430943551803925,)]
    # what was planned and not run before it was stopped
    assert sorted(study.cells["status"]) == ["missing", "missing", "ok", "ok"]
    for name in TABLES:
        columns = [column.name for column in TABLES[name]]
        assert study.sql(f"SELECT * FROM {name}").columns == columns


@pytest.mark.parametrize("version", READABLE)
def test_an_earlier_study_goes_on_and_what_it_held_stays_as_it_is(
    version: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(version)
    before = {path: content for path, content in files_under(folder).items() if content}
    run_conditions(conditions("golden"), ["test"], Running(executor="inline"))
    assert "4 networks: 2 finished before, 2 to train in 1 pack." in capsys.readouterr().out
    after = files_under(folder)
    assert {path: after[path] for path in before} == before
    # the missing pack is that which the earlier program had planned
    assert {commit.pack for commit in Store(folder).read_commits()} == {
        "37383d1958f99972",
        "31e47f6f02f0be31",
    }
    run_conditions(conditions("whole"), ["test"], Running(executor="inline"))
    shared = {
        name: ", ".join(column.name for column in TABLES[name] if column.since <= version)
        for name in TABLES
    }
    rows = [
        [
            repr(open_study(place).execute(f"SELECT {which} FROM {name} ORDER BY ALL").fetchall())
            for name, which in shared.items()
        ]
        for place in (folder, Path("outputs/whole"))
    ]
    assert rows[0] == rows[1]


Cli = Callable[[list[str], pytest.MonkeyPatch], int]


def studied(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["study", *words])
    try:
        return main()
    except SystemExit as end:
        return int(end.code or 0)


READERS: dict[str, Cli] = {
    "study": lambda words, patch: studied(["--multirun", *SETTINGS], patch),
    "measure": lambda words, patch: studied(["measure", "rescaling", "name=golden"], patch),
    "status": lambda words, patch: studied(["status", "outputs/golden"], patch),
    "analysis": lambda words, patch: analyse(["outputs/golden"]),
    "publish": lambda words, patch: publish(["outputs/golden", "published"]),
}


@pytest.mark.parametrize("left", ["commits", "plans"])
@pytest.mark.parametrize("reader", list(READERS))
def test_a_later_study_is_refused_by_name_and_not_a_byte_of_it_changes(
    reader: str, left: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copy(99)
    for path in folder.glob("plans/*" if left == "commits" else "commits/*"):
        path.unlink()
    before = files_under(Path())
    assert READERS[reader]([], monkeypatch) == 2
    told = capfd.readouterr()
    [named] = (folder / left).iterdir()
    assert told.err == (
        f"cannot read {named}: it has schema version 99, this program reads 3, 4 and 5.\n"
    )
    assert files_under(Path()) == before


def test_what_a_later_program_commits_meanwhile_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copy(SCHEMA_VERSION)
    newer = GOLDEN / "schema99/commits/37383d1958f99972.json"
    commit = Store.commit

    def overtaken(store: Store, pack: str, *arguments: Any) -> None:
        text = newer.read_text().replace("37383d1958f99972", pack)
        (folder / "commits" / f"{pack}.json").write_text(text)
        commit(store, pack, *arguments)

    monkeypatch.setattr(Store, "commit", overtaken)
    with pytest.raises(StudyError, match="it has schema version 99"):
        run_conditions(conditions("golden"), ["test"], Running(executor="inline"))
    assert '"schema": 99' in (folder / "commits/31e47f6f02f0be31.json").read_text()
