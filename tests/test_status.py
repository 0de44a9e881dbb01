"""``python -m study status``: what of a study is done, running, failed, missing and damaged."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import FAULTS, commits, driven, started, sweep_of, until
from small import files_under

from study import status
from study.__main__ import main
from study.errors import StoreError
from study.store import Store
from study.sweep import Running, run_conditions

FOLDER = Path("outputs/mine")

INLINE = Running("inline")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    """Return the exit code of the command and what it says; it may write nothing."""
    before = files_under(Path("outputs")) if Path("outputs").exists() else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["study", "status", *more])
        capsys.readouterr()
        code = main()
    assert before == (files_under(Path("outputs")) if Path("outputs").exists() else {})
    out, err = capsys.readouterr()
    assert bool(out) != bool(err)
    return code, out + err


def interrupted_after(packs: int, conditions: list[dict[str, Any]]) -> None:
    """Run a sweep of which only so many packs are committed."""
    run_conditions(conditions, ["python", "-m", "study", "depth=2,3", "a b"], INLINE)
    for path in sorted(FOLDER.glob("commits/*.json"))[packs:]:
        path.unlink()


def test_a_study_that_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    run_conditions(sweep_of(), ["test"], INLINE)
    assert told(capsys, "outputs/mine") == (
        0,
        "12 networks in outputs/mine: 12 ok.\n"
        "Packs: 4 committed.\n"
        "Next: python -m analysis outputs/mine\n",
    )


def test_a_study_with_something_missing_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupted_after(3, sweep_of())
    assert told(capsys, "outputs/mine") == (
        1,
        "12 networks in outputs/mine: 9 ok, 3 missing.\n"
        "Packs: 3 committed, 1 missing.\n"
        "To go on, run again:\n"
        "  python -m study depth=2,3 'a b'\n",
    )
    code, text = told(capsys, "--json", "outputs/mine")
    found = json.loads(text)
    assert code == 1
    assert found["networks"] == {"ok": 9, "diverged": 0, "failed": 0, "running": 0, "missing": 3}
    assert found["packs"] == {"committed": 3, "running": 0, "missing": 1}
    assert found["commands"] == ["python -m study depth=2,3 'a b'"]
    assert (found["failures"], found["running"], found["rest_s"]) == ([], [], None)


def test_what_failed_is_told_with_its_reason_its_place_and_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, faulty: None
) -> None:
    monkeypatch.delenv("NO_FAULTS", raising=False)
    [one, *_] = sweep_of()
    init = {"name": "marked", "start": float(FAULTS["raise"])}
    midst = {"activation": {"name": "fragile", "kind": float(FAULTS["memory"]), "calls": 1.0}}
    run_conditions(
        [one, one | {"init": init}, one | midst | {"init": {"name": "marked", "mark": 1.0}}],
        ["test"],
        INLINE,
    )
    code, text = told(capsys, "outputs/mine")
    assert code == 1
    first, packs, *rest, end = text.splitlines()
    assert first == "9 networks in outputs/mine: 3 ok, 6 failed."
    assert packs == "Packs: 2 committed."
    assert end == "The study's command tries what failed again, unless retry=none is set."
    assert len(rest) == 4
    whys = (
        r"  3 failed: RuntimeError: no luck today \(fail, line \d+\) in faulty\.py",
        r"  3 failed: it ran out of memory \(fail, line \d+\) in faulty\.py: lower "
        r"hydra\.launcher\.pack_size .*",
    )
    for activation, why in zip(("relu", "fragile"), whys, strict=True):
        [place] = [place for place, line in enumerate(rest) if re.fullmatch(why, line)]
        assert rest[place + 1] == (
            f"    for example depth=2 width=8 activation={activation} init=marked optim=sgd lr=0.1 seed=0"
        )


def test_what_is_damaged_is_named_and_its_networks_are_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_conditions(sweep_of(), ["test"], INLINE)
    damaged = sorted(FOLDER.glob("records/*/curves.parquet"))[0]
    damaged.write_bytes(b"nothing")
    code, text = told(capsys, "outputs/mine")
    assert code == 1
    lines = text.splitlines()
    assert lines[0] == "12 networks in outputs/mine: 9 ok, 3 missing."
    assert lines[2].startswith(f"  damaged: {damaged}: it is damaged, its commit says ")
    assert lines[3:] == ["To go on, run again:", "  test"]
    for path in FOLDER.glob("plans/*"):
        path.write_text("{")
    code, text = told(capsys, "outputs/mine")
    assert code == 1
    assert text.splitlines()[-1] == (
        "To have what is damaged made again, run the study's command again."
    )


def test_where_there_is_no_study_one_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    run_conditions(sweep_of(), ["test"], INLINE)
    Path("outputs/zzzz").touch()
    nothing = "there is no study in it"
    for folder, why in {
        "outputs/mien": f"{nothing} (did you mean 'outputs/mine'?)",
        "outputs/quite/another": nothing,
        "outputs": nothing,
        "outputs/zzzz": nothing,
        "": nothing,
    }.items():
        code, text = told(capsys, folder)
        assert (code, text) == (2, f"cannot tell the status of {Path(folder)}: {why}.\n")
    for words in (["outputs/mine", "more"], ["--jason", "outputs/mine"], ["--json"], []):
        code, text = told(capsys, *words)
        assert code == 2
        assert text.startswith(
            f"cannot read '{' '.join(['status', *words])}': behind status stands one"
        )
        assert text.count("\n") == 1
    for words in (["--help"], ["outputs/mine", "-h"]):
        assert told(capsys, *words) == (0, status.HELP + "\n")


def test_while_a_sweep_runs_it_says_who_is_at_what_and_how_long_the_rest_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    short, endless = sweep_of(steps=3), sweep_of(steps=100_000)[:2]
    running = Running("processes", 2, checkpoint_s=0.1)
    run_conditions(short[:1], ["test"], INLINE)
    with driven([*short, *endless], running) as command:
        held, kept = FOLDER / "leases", FOLDER / "checkpoints"
        until(lambda: held.is_dir() and len(list(held.iterdir())) == 2 and kept.is_dir())
        until(lambda: len(list(kept.iterdir())) == 2)
        # others are watching: the sweep goes on writing meanwhile
        with started("-m", "study", "status", "outputs/mine") as watch:
            assert watch.end() == 1
            text = watch.out.read_text()
        with started("-m", "study", "status", "outputs/mine", "--json") as watch:
            assert watch.end() == 1
            found = json.loads(watch.out.read_text())
        workers = command.workers()
        command.kill(whole=True)
    # the two long ones go first
    first, packs, *rest = text.splitlines()
    assert first == "18 networks in outputs/mine: 3 ok, 6 running, 9 missing."
    assert packs == "Packs: 1 committed, 2 running, 3 missing."
    for line in rest[:2]:
        assert re.fullmatch(
            r"  running: pack [0-9a-f]{16} \(3 networks\) by process \d+ here, last heard of \d+ s ago, "
            r"last checkpoint \d+ s ago",
            line,
        )
    assert rest[2:] == ["What is missing may be about to run; should it not, run again:", "  test"]
    assert {one["pid"] for one in found["running"]} == set(workers)
    assert all(one["networks"] == 3 for one in found["running"])
    # and once it is killed, nobody is at them
    code, text = told(capsys, "outputs/mine")
    assert code == 1
    assert text.startswith(
        "18 networks in outputs/mine: 3 ok, 15 missing.\nPacks: 1 committed, 5 missing.\nTo go on"
    )


def test_a_failed_pack_that_is_tried_again_is_running_and_not_failed(
    monkeypatch: pytest.MonkeyPatch, faulty: None
) -> None:
    monkeypatch.delenv("NO_FAULTS", raising=False)
    [one, *_] = sweep_of(init={"name": "marked", "start": float(FAULTS["raise"])})
    run_conditions([one], ["test"], INLINE)
    monkeypatch.setenv("NO_FAULTS", "1")
    seen = []

    def watch(*arguments: Any) -> None:
        [packs, room, _tell] = arguments
        with room.leases.take(packs[0].id):
            seen.append(status.status(FOLDER))
        raise KeyboardInterrupt

    monkeypatch.setattr("study.sweep.run_packs", watch)
    with pytest.raises(KeyboardInterrupt):
        run_conditions([one], ["test"], INLINE)
    [found] = seen
    assert found.networks == {"ok": 0, "diverged": 0, "failed": 0, "running": 3, "missing": 0}
    assert not found.failures
    # interrupted, it is failed as before, and its lease is given back
    assert status.status(FOLDER).networks["failed"] == 3


def test_the_rest_takes_as_long_as_the_pace_of_late_says(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_after(3, sweep_of())
    store = Store(FOLDER)
    survey = store.survey()
    now = (FOLDER / "commits").stat().st_mtime + 100
    monkeypatch.setattr(status.time, "time", lambda: now)
    for age, commit in zip((60, 30, 10), survey.commits, strict=True):
        os.utime(FOLDER / "commits" / f"{commit.pack}.json", (now - age, now - age))
    # six networks in a minute: the first pack's began nobody knows when
    assert status._rest_s(store, survey.commits, 3) == pytest.approx(30)
    os.utime(FOLDER / "commits" / f"{survey.commits[0].pack}.json", (0, 0))
    assert status._rest_s(store, survey.commits, 3) == pytest.approx(30)
    assert status._rest_s(store, survey.commits[:2], 3) is None
    assert status._rest_s(store, [], 3) is None


def test_times_are_told_in_their_largest_units() -> None:
    spans = {0.4: "0 s", 99: "99 s", 100: "2 min", 5970: "100 min", 6300: "1 h 45 min"}
    spans[5970] = "1 h 40 min"
    assert {seconds: status._span(seconds) for seconds in spans} == spans


def test_a_study_of_a_newer_schema_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    interrupted_after(3, sweep_of())
    [plan] = FOLDER.glob("plans/*")
    newer = json.loads(plan.read_text()) | {"schema": 99}
    del newer["sha256"]  # whatever a later version signs with
    plan.write_text(json.dumps(newer))
    code, text = told(capsys, "outputs/mine")
    assert code == 2
    assert "it has schema version 99" in text
    with pytest.raises(StoreError):
        status.status(FOLDER)
    assert len(commits(FOLDER)) == 3
