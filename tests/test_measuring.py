"""``python -m study measure``: what was typed, what is stored, and what another reader finds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small import condition, files_under

from analysis import open_study
from analysis.__main__ import main as analyse
from analysis.provenance import provenance
from study import __main__ as command
from study import measuring
from study.errors import StoreError
from study.publish import publish
from study.running import Running
from study.schema import MEASUREMENTS
from study.store import Store
from study.sweep import run_conditions
from study.tasks import TASKS, Row

Cli = Callable[..., int]

FOLDER = Path("outputs/measurements")


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[int]]:
    """A task that notes how often it was run, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    runs: list[int] = []

    def counting(device: str, *, points: int = 3, width: float = 0.5) -> Iterator[Row]:
        """Counts its runs."""
        runs.append(points)
        for repeat in range(points):
            yield Row({"device": device, "a": 1}, "third", repeat / 3, "s", repeat)
        yield Row({"width": width}, "nothing", float("nan"))

    TASKS.register()(counting)
    yield runs
    TASKS.remove("counting")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["study", "measure", *words])
        return command.main()

    return run


def stored(folder: Path = FOLDER) -> list[tuple]:
    return open_study(folder).execute("SELECT * FROM measurements ORDER BY ALL").fetchall()


def test_what_a_task_yields_comes_back_by_sql_to_the_last_bit(cli: Cli) -> None:
    assert cli("counting") == 0
    rows = stored()
    assert rows[:-1] == [
        ("counting", '{"a":1,"device":"cpu"}', "third", repeat, repeat / 3, "s")
        for repeat in range(3)
    ]
    assert rows[-1][1:4] == ('{"width":0.5}', "nothing", 0)
    assert rows[-1][4] != rows[-1][4]
    names = open_study(FOLDER).sql("FROM measurements").columns
    assert names == [column.name for column in MEASUREMENTS]
    [commit] = Store(FOLDER).read_commits()
    assert commit.measured
    assert commit.statuses == {}
    assert commit.environment["task"] == "counting"
    assert commit.environment["parameters"] == {"points": 3, "width": 0.5}
    assert commit.environment["device"] == "cpu"


def test_a_task_is_not_run_again_unless_something_differs(
    cli: Cli, counting: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("counting") == 0
    before = files_under(Path("outputs"))
    assert cli("counting", "points=3", "width=5e-1", "name=measurements") == 0
    assert "counting on cpu: measured before, in outputs/measurements" in capsys.readouterr().out
    assert files_under(Path("outputs")) == before
    assert cli("counting", "points=2") == 0
    assert cli("counting", "name=other") == 0
    assert counting == [3, 2, 3]
    assert len(stored()) == 4 + 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["countin"], "cannot use task=countin: allowed are "),
        (["countin"], "(did you mean 'counting'?)"),
        (["counting", "point=3"], "measure counting has the settings points, width, name (did you"),
        (
            ["counting", "points=0"],
            "cannot use points=0.0: it must be a whole number of at least 1",
        ),
        (["counting", "points=many"], "cannot use points=many: it must be a whole number"),
        (["counting", "width=0"], "cannot use width=0.0: it must be a finite number above 0"),
        (["counting", "points=1", "points=2"], "cannot set 'points=2': points is set already"),
        (["counting", "name=../x"], "cannot use name=../x: a study's name is its folder"),
        (["counting", "--again"], "cannot read '--again': behind measure stand tasks"),
        (["rescaling", "decades=51"], "above 0 and at most 50"),
        (["points=3"], "cannot measure without a task: allowed are "),
        (["backprop_factors", "deepest=1"], "there is nothing to measure"),
        (["tanh_identity", "points=1e13"], "takes more memory than there is"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_sentence_and_nothing_written(
    cli: Cli, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert cli(*words) == 2
    out, told = capsys.readouterr()
    assert message in told
    assert told.startswith("cannot ")
    assert told.count("\n") == 1
    assert out == ""
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("words", [(), ("--help",), ("counting", "-h")])
def test_help_lists_every_task_with_what_it_measures(
    cli: Cli, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert cli(*words) == 0
    said = capsys.readouterr().out
    for name in TASKS:
        assert f"\n  {name}\n" in said
    assert "Counts its runs.\n      points=3 width=0.5" in said
    assert list(Path().iterdir()) == []


def test_a_task_that_times_is_run_on_each_device_and_kept_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "_devices", lambda: ["cpu", "cuda"])
    found = measuring.wanted(["activation_timing", "start_rules"], {})
    assert [(one.task, one.device) for one in found] == [
        ("activation_timing", "cpu"), ("activation_timing", "cuda"), ("start_rules", "cpu"),
    ]  # fmt: skip
    assert len({one.id for one in found}) == 3


def test_the_main_help_page_leads_there() -> None:
    page = (Path(measuring.__file__).parent.parent / "conf/config.yaml").read_text()
    assert "python -m study measure --help" in page


def test_an_interrupt_leaves_what_was_finished_and_nothing_of_the_rest(
    cli: Cli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(device: str) -> Iterator[Row]:
        yield Row({}, "one", 1.0)
        raise KeyboardInterrupt

    TASKS.register()(interrupted)
    try:
        assert cli("counting", "interrupted") == 130
    finally:
        TASKS.remove("interrupted")
    assert "interrupted: 1 finished and kept" in capsys.readouterr().err
    assert len(stored()) == 4
    assert list((FOLDER / "staging").iterdir()) == []


def test_a_damaged_record_is_named_by_every_reader_and_measured_again(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    cli("counting")
    [path] = FOLDER.glob("records/*/measurements.parquet")
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.warns(UserWarning, match=f"cannot read {path}: it is damaged"):
        open_study(FOLDER)
    with pytest.raises(StoreError, match=f"cannot publish {path}: it is damaged"):
        publish(FOLDER, Path("copy"))
    # a sweep into the same study names it, and leaves it to be measured again
    one = condition(name=FOLDER.name, device="cpu", steps=1)
    run_conditions([one], ["test"], Running(workers=1))
    assert f"cannot read {path}: it is damaged" in capsys.readouterr().err
    assert cli("counting") == 0
    assert f"cannot read {path}: it is damaged" in capsys.readouterr().err
    assert Store(FOLDER).survey().damages == []
    assert len(stored()) == 4


def test_a_commit_of_some_tables_of_a_pack_beside_measurements_is_damaged(cli: Cli) -> None:
    cli("counting")
    [path] = FOLDER.glob("commits/*.json")
    content = json.loads(path.read_text())
    content["files"]["cells"] = content["files"]["measurements"]
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="it is damaged"):
        Store(FOLDER).read_commits()


def test_a_study_of_networks_may_hold_measurements_and_is_what_it_was(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    run_conditions([condition(name="mine", device="cpu", steps=1)], ["test"], Running(workers=1))
    queries = [f"SELECT * FROM {table} ORDER BY ALL" for table in ("cells", "curves", "layers")]
    before = [repr(open_study("outputs/mine").execute(one).fetchall()) for one in queries]
    assert stored(Path("outputs/mine")) == []
    assert cli("counting", "name=mine") == 0
    study = open_study("outputs/mine")
    assert [repr(study.execute(one).fetchall()) for one in queries] == before
    assert len(stored(Path("outputs/mine"))) == 4
    assert provenance(study)["packs"] == "1 pack"
    capsys.readouterr()
    run_conditions([condition(name="mine", device="cpu", steps=1)], ["test"], Running(workers=1))
    assert "all finished already: nothing to do" in capsys.readouterr().out


def test_a_published_copy_holds_the_measurements_bit_for_bit_and_measures_nothing_again(
    cli: Cli, counting: list[int]
) -> None:
    run_conditions([condition(name="mine", device="cpu", steps=1)], ["test"], Running(workers=1))
    cli("counting", "name=mine")
    assert publish(Path("outputs/mine"), Path("outputs/copy")) == 1
    assert repr(stored(Path("outputs/copy"))) == repr(stored(Path("outputs/mine")))
    assert open_study("outputs/copy").count("status = 'ok'") == 1
    cli("counting", "name=copy")
    assert counting == [3]


def test_measurements_alone_make_no_report_and_say_so(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    cli("counting")
    capsys.readouterr()
    assert analyse([FOLDER.as_posix()]) == 2
    assert capsys.readouterr().err == (
        "cannot report on outputs/measurements: no network is planned in it.\n"
    )
    assert open_study(FOLDER).count("true") == 0
