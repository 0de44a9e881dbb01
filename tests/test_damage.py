"""Damaged files of a study: named, left out, and made again by the same command, to the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small import condition, files_under

from analysis import open_study
from analysis.__main__ import main as analyse
from study import status
from study.__main__ import main
from study.schema import TABLES
from study.store import Store
from study.sweep import Running, run_conditions

MINE = Path("outputs/mine")

INLINE = Running(executor="inline")


def conditions(**more: Any) -> list[dict[str, Any]]:
    """Return a sweep of two packs of three networks."""
    shape = {
        "width": 4, "steps": 3, "seeds": 3, "batch_size": 8, "device": "cpu", "name": "mine",
        "probe": {"steps": 2, "samples": 8},
    }  # fmt: skip
    return [condition("relu", "he_normal", depth=depth, **{**shape, **more}) for depth in (2, 3)]


def rows(folder: Path = MINE) -> list[str]:
    """Return all rows as text, in which NaN equals NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = open_study(folder)
    return [
        f"{name} {row}"
        for name in TABLES
        for row in study.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall()
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study of two packs, from two plans."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for one in conditions():
            run_conditions([one], ["test"], INLINE)
    return place


@pytest.fixture(scope="module")
def whole(made: Path) -> list[str]:
    return rows(made / MINE)


@pytest.fixture(autouse=True)
def _here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(made / MINE, tmp_path / MINE)
    monkeypatch.chdir(tmp_path)


Damage = Callable[[Path], None]


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("inside")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link_outside(path: Path) -> None:
    kept = Path("elsewhere") / path.name
    kept.parent.mkdir()
    shutil.move(path, kept)
    path.symlink_to(kept.absolute())


def a_link_in_a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


DAMAGES: tuple[Damage, ...] = (
    torn, empty, flipped, longer, zeroed, a_folder, a_pipe, a_link_in_a_circle, a_link_to_nothing,
    a_device,
)  # fmt: skip


def packs() -> tuple[str, str]:
    """Return the packs of depth 2 and 3."""
    first, second = (
        json.loads(path.read_text())["packs"][0]["id"] for path in sorted(MINE.glob("plans/*.json"))
    )
    return first, second


def record(pack: str, table: str = "layers") -> Path:
    [path] = MINE.glob(f"records/{pack}.*/{table}.parquet")
    return path


def commit(pack: str) -> Path:
    return MINE / "commits" / f"{pack}.json"


def check(
    named: Path, whole: list[str], capsys: pytest.CaptureFixture[str], lost: int = 3, why: str = ""
) -> None:
    """Check that what is damaged is named and left out, and that the same command makes it again."""
    if lost:
        with pytest.warns(UserWarning, match=str(named)) as warned:
            study = open_study(MINE)
        assert len(warned) == 1
        assert why in str(warned[0].message)
        assert list(study.cells["status"]).count("missing") == lost
        assert list(study.cells["status"]).count("ok") == 6 - lost
        left = rows()
        assert set(left) < set(whole)
        assert sum(row.startswith("cells ") for row in left) == 6 - lost
    status.main([str(MINE)])
    assert f"  damaged: {named}: " in capsys.readouterr().out
    run_conditions(conditions(), ["test"], INLINE)
    printed = capsys.readouterr()
    assert f"cannot read {named}: it is " in printed.err
    if lost:
        outlook = f"6 networks: {6 - lost} finished before, {lost} to train in 1 pack."
        assert outlook in printed.out
    assert rows() == whole


def healthy(capsys: pytest.CaptureFixture[str]) -> None:
    """Check that nothing is said of damage any more, and nothing left to do."""
    capsys.readouterr()
    assert Store(MINE).survey().damages == []
    run_conditions(conditions(), ["test"], INLINE)
    printed = capsys.readouterr()
    assert "nothing to do" in printed.out
    assert "cannot read" not in printed.err


@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize("damage", [*DAMAGES, a_link_outside, os.unlink])
def test_a_damaged_record_costs_its_pack_alone(
    damage: Damage, table: str, whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(packs()[0], table)
    content = path.read_bytes()
    damage(path)
    check(path, whole, capsys)
    healthy(capsys)
    assert record(packs()[0], table).read_bytes() == content
    assert not path.is_symlink()


@pytest.mark.parametrize("kind", ["folder", "link outside", "link in a circle", "file"])
def test_a_damaged_folder_of_records_costs_its_pack_alone(
    kind: str, whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = record(packs()[0]).parent
    shutil.move(folder, "elsewhere")
    if kind == "link outside":
        folder.symlink_to(Path("elsewhere").absolute())
    elif kind == "link in a circle":
        folder.symlink_to(folder.name)
    elif kind == "file":
        folder.write_text("in the way")
    check(folder / "cells.parquet", whole, capsys)
    healthy(capsys)


def test_swapped_records_are_both_named(
    whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (record(pack) for pack in packs())
    shutil.move(one, "kept")
    shutil.move(other, one)
    shutil.move("kept", other)
    with pytest.warns(UserWarning, match="it is damaged, its commit says") as warned:
        assert set(open_study(MINE).cells["status"]) == {"missing"}
    assert len(warned) == 2
    run_conditions(conditions(), ["test"], INLINE)
    assert rows() == whole
    healthy(capsys)


def edited(change: Callable[[dict[str, Any]], Any]) -> Damage:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content, indent=1))

    return edit


def failing(content: dict[str, Any]) -> None:
    for cell in content["statuses"]:
        content["statuses"][cell] = "failed"


EDITS: dict[str, Damage] = {
    "status": edited(failing),
    "attempt": edited(lambda one: one.update(attempt=1)),
    "hash": edited(lambda one: one["files"]["cells"].update(sha256="0" * 64)),
    "rows": edited(lambda one: one["files"]["cells"].update(rows=4)),
    "environment": edited(lambda one: one["environment"].update(torch="1.0")),
    "time": edited(lambda one: one.update(wall_s=0)),
    "one more key": edited(lambda one: one.update(note="mine")),
    "no digest": edited(lambda one: one.pop("sha256")),
    "version": edited(lambda one: one.update(schema=99)),
    "version before digests": edited(lambda one: one.update(schema=4)),
}


@pytest.mark.parametrize("edit", list(EDITS))
def test_an_edited_commit_is_named_and_costs_its_pack_alone(
    edit: str, whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = commit(packs()[0])
    content = path.read_bytes()
    EDITS[edit](path)
    check(path, whole, capsys)
    healthy(capsys)
    assert json.loads(path.read_text())["files"] == json.loads(content)["files"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_commit_costs_its_pack_alone(
    damage: Damage, whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = commit(packs()[0])
    damage(path)
    check(path, whole, capsys)
    healthy(capsys)


def test_swapped_commits_are_both_named(
    whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (commit(pack) for pack in packs())
    shutil.move(one, "kept")
    shutil.move(other, one)
    shutil.move("kept", other)
    with pytest.warns(UserWarning, match=r"json: it is damaged") as warned:
        assert set(open_study(MINE).cells["status"]) == {"missing"}
    assert len(warned) == 2
    run_conditions(conditions(), ["test"], INLINE)
    assert rows() == whole
    healthy(capsys)


def test_a_commit_under_another_name_is_named_and_left_alone(whole: list[str]) -> None:
    shutil.copy(commit(packs()[0]), commit("0" * 16))
    with pytest.warns(UserWarning, match=f"{'0' * 16}.json: it is damaged"):
        open_study(MINE)
    run_conditions(conditions(), ["test"], INLINE)
    assert rows() == whole
    assert Store(MINE).survey().damages == [f"{commit('0' * 16)}: it is damaged"]


@pytest.mark.parametrize("finished", [True, False], ids=["all finished", "one pack missing"])
@pytest.mark.parametrize("damage", [*DAMAGES, os.unlink])
def test_a_damaged_plan_is_named_and_costs_nothing_that_was_committed(
    damage: Damage, finished: bool, whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = MINE / "plans" / "000001.json"
    if not finished:
        commit(packs()[0]).unlink()
    committed = {one.name for one in MINE.glob("commits/*")}
    damage(path)
    with pytest.warns(UserWarning, match=f"{path}: it is "):
        assert list(open_study(MINE).cells["status"]) == ["ok"] * (6 if finished else 3)
    check(path, whole, capsys, 0)
    assert {one.name for one in MINE.glob("commits/*")} >= committed
    assert len(list(MINE.glob("commits/*"))) == 2


NUMBERS = ("000003", "999999999999999", "9999999999999999", "٣", "1", "0", "-1", "plan")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_plan_under_another_number_is_named_and_planning_goes_on(
    number: str, whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = MINE / "plans" / "000001.json"
    renamed = path.with_name(f"{number}.json")
    path.rename(renamed)
    damages = Store(MINE).survey().damages
    assert any(one.startswith(f"{renamed}: it is damaged") for one in damages)
    assert f"{path}: it is missing" in damages
    run_conditions(conditions(seeds=4), ["test"], INLINE)
    assert set(whole) < set(rows())
    assert list(open_quietly().cells["status"]) == ["ok"] * 8
    # three of them now, and a fourth comes after the third
    run_conditions(conditions(seeds=5), ["test"], INLINE)
    assert list(open_quietly().cells["status"]) == ["ok"] * 10


def open_quietly() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_study(MINE)


def test_swapped_plans_are_both_named() -> None:
    one, other = sorted(MINE.glob("plans/*"))
    shutil.move(one, "kept")
    shutil.move(other, one)
    shutil.move("kept", other)
    damages = Store(MINE).survey().damages
    assert damages == [f"{path}: it is damaged, or was renamed" for path in (one, other)]


def test_packs_of_a_plan_that_was_lost_run_as_they_were_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = Running(executor="inline", pack_size=3)
    wanted = conditions(seeds=10, name="through")[:1]
    run_conditions(wanted, ["test"], small)
    folder = Path("outputs/through")
    before = files_under(folder / "records")
    plan = folder / "plans" / "000001.json"
    packs_of = {len(seeds): pack for pack, seeds in _seeds(plan).items() if {2, 5} & seeds}
    # the five left would otherwise be divided into two and three
    assert sorted(packs_of) == [2, 3]
    for pack in packs_of.values():
        (folder / "commits" / f"{pack}.json").unlink()
    empty(plan)
    run_conditions(wanted, ["test"], small)
    assert files_under(folder / "records") == before


def _seeds(plan: Path) -> dict[str, set[int]]:
    listed = json.loads(plan.read_text())["packs"]
    return {one["id"]: {seed for _, seed in one["cells"]} for one in listed}


def test_damage_that_another_command_can_mend_stays_named(
    capsys: pytest.CaptureFixture[str], whole: list[str]
) -> None:
    first, second = conditions()
    path = record(packs()[0])
    flipped(path)
    run_conditions([{**second, "seeds": 4}], ["test"], INLINE)
    assert f"cannot read {path}: it is damaged" in capsys.readouterr().err
    assert [one.partition(":")[0] for one in Store(MINE).survey().damages] == [str(path)]
    run_conditions([first], ["test"], INLINE)
    assert Store(MINE).survey().damages == []
    assert set(whole) < set(rows())


def test_a_damaged_commit_whose_networks_ran_in_other_packs_is_set_aside() -> None:
    run_conditions(conditions(name="other"), ["test"], INLINE)
    path = commit(packs()[0])
    flipped(record(packs()[0]))
    run_conditions(conditions(), ["test"], Running(executor="inline", pack_size=1))
    assert Store(MINE).survey().damages == []
    assert not path.exists()
    assert [one.name.partition(".")[0] for one in (MINE / "damaged").iterdir()] == [path.stem]
    assert list(open_study(MINE).cells["status"]) == ["ok"] * 6


def test_a_commit_that_another_process_has_mended_meanwhile_is_not_set_aside() -> None:
    store = Store(MINE)
    store.set_aside(commit(packs()[0]))
    assert store.survey().damages == []
    assert len(store.survey().commits) == 2


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["leases", "checkpoints"])
def test_a_damaged_lease_or_checkpoint_stops_nothing(
    kind: str, damage: Damage, whole: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = packs()[0]
    commit(pack).unlink()
    path = MINE / kind / f"{pack}.{'json' if kind == 'leases' else 'pt'}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b'{"pack": "of a time when there was another file here"}')
    damage(path)
    if path.is_file() or path.is_dir() or path.is_fifo():
        os.utime(path, (1e9, 1e9))
    if path.is_symlink():
        os.utime(path, (1e9, 1e9), follow_symlinks=False)
    run_conditions(conditions(), ["test"], Running(executor="inline", checkpoint_s=0))
    assert rows() == whole
    assert not os.path.lexists(path)


@pytest.mark.parametrize("time", [1e9, 4e9], ids=["past", "future"])
@pytest.mark.parametrize(
    "owner",
    [
        {"pid": 0}, {"pid": -1}, {"pid": 10**30}, {"pid": 2**31}, {"pid": "1"}, {"machine": 3},
        {"machine": None}, {"job": "\x1b[31m"}, {"started": 3}, {},
    ],
    ids=str,
)  # fmt: skip
def test_a_lease_that_makes_no_sense_holds_for_its_time_and_no_longer(
    owner: dict[str, Any], time: float, whole: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from study.leases import Leases, machine

    store = Store(MINE)
    store.leases.mkdir(exist_ok=True)
    content = {"machine": machine(), "pid": os.getpid(), "started": None, "job": "", **owner}
    path = store.leases / "pack.json"
    path.write_text(json.dumps(content))
    leases = Leases(store.leases, store.staging)
    assert leases.take("pack") is None or owner == {}
    status.main([str(MINE)])
    assert "\x1b" not in capsys.readouterr().out
    os.utime(path, (time, time))
    with leases.take("pack") as lease:  # type: ignore[union-attr]
        assert lease is not None
    status.main([str(MINE)])


# ------------------------------------------------------------------ end to end

WORDS = [
    *("--multirun", "name=there", "device=cpu", "data=digits", "width=4", "steps=3", "seeds=2"),
    *("batch_size=8", "probe.steps=2", "probe.samples=8", "depth=3,4"),
    "hydra.launcher.executor=inline",
]


@pytest.mark.slow
@pytest.mark.usefixtures("hydra_restore_singletons")
@pytest.mark.parametrize(
    ("glob", "damage"),
    [
        ("records/*/layers.parquet", flipped),
        pytest.param("commits/*.json", EDITS["status"], marks=pytest.mark.long),
    ],
)
def test_the_commands_name_what_is_damaged_and_the_report_shows_it_missing(
    glob: str, damage: Damage, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(sys, "argv", ["study", *WORDS])
    folder = Path("outputs/there")
    assert main() == 0
    before = rows(folder)
    path = sorted(folder.glob(glob))[0]
    pack = path.stem if path.suffix == ".json" else path.parent.name.partition(".")[0]
    shutil.copytree(folder, "bare/there")
    Path(f"bare/there/commits/{pack}.json").unlink()
    damage(path)
    capfd.readouterr()
    assert analyse([folder.as_posix()]) == 0
    note = f"cannot read {path}: it is "
    assert f"Note: {note}" in capfd.readouterr().out
    assert note in (folder / "report/index.html").read_text()
    # it is the report of a study in which the pack has not run yet, but for the note
    assert analyse(["bare/there"]) == 0
    for kind in ("tables", "figures"):
        there, bare = (
            files_under(place / "report" / kind) for place in (folder, Path("bare/there"))
        )
        assert there == bare
    capfd.readouterr()
    assert main() == 0
    assert note in capfd.readouterr().err
    assert rows(folder) == before
