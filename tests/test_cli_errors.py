"""Every mistake on the command line ends in one sentence, exit code 2 and nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from study.__main__ import main
from study.activations import ACTIVATIONS
from study.app import CONF
from study.errors import SettingError
from study.initializers import INITIALIZERS
from study.running import Running

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")

Cli = Callable[..., int]


class FakeSweep:
    """Stands for `study.sweep`: remembers its calls and does as it is told."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.failed = 0
        self.error: BaseException | None = None

    def run_conditions(
        self, conditions: list[dict], command: list[str], running: Running
    ) -> list[dict[str, int]]:
        self.calls.append({"conditions": conditions, "command": command, **vars(running)})
        if self.error:
            raise self.error
        return [{"cells": 1, "ok": 1, "diverged": 0, "failed": self.failed} for _ in conditions]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> FakeSweep:
    fake = FakeSweep()
    module = types.ModuleType("study.sweep")
    module.run_conditions = fake.run_conditions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "study.sweep", module)
    return fake


@pytest.fixture
def cli(sweep: FakeSweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Return ``python -m study`` as a function of its arguments, run in an empty folder."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["study", *arguments])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return run


FIRST = min(path.stem for path in Path(CONF, "activation").glob("*.yaml"))
"""The activation that Hydra lists first: whoever adds one may change it."""

MISTAKES: list[tuple[str, list[str]]] = [
    ("depht=3", ["cannot set 'depht=3'", "did you mean 'depth'?"]),
    ("-m depht=3,4", ["cannot set 'depht=3,4'", "did you mean 'depth'?"]),
    ("lr=0.1", ["did you mean 'optim.lr'?"]),
    ("probe.stps=3", ["did you mean 'probe.steps'?"]),
    ("activaton=relu", ["did you mean 'activation'?"]),
    ("optim.momentum=0.9", ["with optim=sgd, only with optim=momentum"]),
    ("-m optim=momentum,adam optim.momentum=0.9", ["with optim=adam, only with optim=momentum"]),
    (
        "+experiment=full init.gain=2",
        ["with init=torch_default, only with init=he_", "init=he_normal"],
    ),
    ("activation=rellu", [f"cannot use activation=rellu: allowed are {FIRST}, ", "mean 'relu'?"]),
    ("-m activation=relu,tahn", ["cannot use activation=tahn: allowed are", "mean 'tanh'?"]),
    ("-m activation=glob(zz*)", [f"cannot use activation=glob(zz*): allowed are {FIRST}, "]),
    ("activation=3", [f"cannot use activation=3: allowed are {FIRST}, "]),
    ("activation=null", [f"cannot use activation=null: allowed are {FIRST}, "]),
    ("activation=[relu,tanh]", [f"cannot use activation=[relu,tanh]: allowed are {FIRST}, "]),
    ("+activation=relu", ["write activation=… without the plus"]),
    ("+depth=3", ["write depth=… without the plus"]),
    ("~depth", ["cannot remove '~depth'"]),
    ("~activation", ["cannot remove '~activation'"]),
    ("+experiment=smok", ["cannot use experiment=smok", "did you mean 'smoke'?"]),
    ("+experiment=smok depth=2,3", ["did you mean 'smoke'?"]),
    ("experiment=smoke", ["write +experiment=smoke"]),
    ("-m +experiment=smoke,full", ["an experiment is a sweep itself"]),
    ("depth=1,2", ["'depth=1,2' in a single run: add --multirun"]),
    ("depth=range(1,3)", ["'depth=range(1,3)' in a single run: add --multirun"]),
    ("-m depth=range(5,5)", ["'depth=range(5,5)' has no values"]),
    ("-m depth=range(1,5,0)", ["must not be zero"]),
    ("-m depth=glob(*)", ["'depth=glob(*)' has no values"]),
    ("-m depth=interval(1,2)", ["cannot sweep over an interval"]),
    ("-m name=a,b", ["cannot sweep over name=a,b"]),
    ("-m device=cpu,auto", ["cannot sweep over device=cpu,auto"]),
    ("depth", ["cannot read 'depth': a setting is written key=value"]),
    ("depth=1;2", ["cannot read 'depth=1;2'"]),
    ("depth=[1", ["cannot read 'depth=[1'"]),
    ("depth=rang(1,3)", ["cannot read 'depth=rang(1,3)'", "Unknown function 'rang'"]),
    ("depth=???", ["??? stands for a value that is missing"]),
    ("name=${oc.env:HOME}", ["cannot use 'name=${oc.env:HOME}'"]),
    ("hydra.run.dir=../../escape", ["cannot set hydra.run.dir=../../escape", "outputs/<name>"]),
    ("-m hydra.sweep.dir=../../escape", ["cannot set hydra.sweep.dir=../../escape"]),
    ("hydra.run={dir:escape}", ["cannot set hydra.run={dir:escape}"]),
    ("hydra.output_subdir=.hydra", ["cannot set hydra.output_subdir=.hydra", "job_folders"]),
    ("hydra.job.chdir=true", ["cannot set hydra.job.chdir=true"]),
    ("hydra.job.env_set.X=1", ["cannot set hydra.job.env_set.X=1: of Hydra's own settings only"]),
    ("hydra.launcher.worker=2", ["did you mean 'hydra.launcher.workers'?"]),
    ("hydra.launcher.workers=abc", ["cannot set 'hydra.launcher.workers=abc'", "Integer"]),
    ("hydra.launcher.workers=0", ["cannot use hydra.launcher.workers=0", "at least 1"]),
    ("hydra.launcher.pack_size=0", ["cannot use hydra.launcher.pack_size=0", "at least 1"]),
    ("-m hydra.launcher.workers=0", ["cannot use hydra.launcher.workers=0", "at least 1"]),
    ("-m hydra.sweeper.max_batch_size=0", ["max_batch_size must be at least 1, got 0"]),
    ("hydra/launcher=packt", ["cannot use hydra/launcher=packt", "did you mean 'packed'?"]),
    ("hydra.launcher.dry_run=maybe", ["cannot set 'hydra.launcher.dry_run=maybe'", "bool"]),
    ("hydra.launcher.dryrun=true", ["did you mean 'hydra.launcher.dry_run'?"]),
    ("--multrun depth=1,2", ["--multrun", "did you mean '--multirun'?"]),
    ("depth=1 -m width=2", ["width=2", "before or after all settings"]),
    ("--cfg job -m", ["Only one of --run, --multirun"]),
    ("--config-dir nowhere", ["nowhere' not found"]),
]


@pytest.mark.parametrize(("line", "fragments"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_gets_one_sentence_and_writes_nothing(
    line: str, fragments: list[str], cli: Cli, sweep: FakeSweep, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(*line.split(" ")) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.endswith(".\n")
    for fragment in fragments:
        assert fragment in printed.err
    assert not sweep.calls
    assert list(Path("..").rglob("*")) == [Path("../work")]


@pytest.mark.parametrize("mode", ["--run", "--multirun"])
def test_an_error_of_the_study_is_told_once_in_both_modes(
    mode: str, cli: Cli, sweep: FakeSweep, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep.error = SettingError("cannot use depth=0: it must be\n at least 1.")
    assert cli(mode, "depth=0") == 2
    assert capfd.readouterr() == ("", "cannot use depth=0: it must be at least 1.\n")


@pytest.mark.parametrize("mode", ["--run", "--multirun"])
def test_a_bug_keeps_its_traceback(mode: str, cli: Cli, sweep: FakeSweep) -> None:
    sweep.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        cli(mode, "depth=2")


@pytest.mark.parametrize("mode", ["--run", "--multirun"])
def test_an_interrupt_is_one_line_and_exit_code_130(
    mode: str, cli: Cli, sweep: FakeSweep, capfd: pytest.CaptureFixture[str]
) -> None:
    for said, told in (
        ("2 of 72 packs finished and kept", "2 of 72 packs finished and kept"),
        ("", "what is finished is kept"),
    ):
        sweep.error = KeyboardInterrupt(said)
        assert cli(mode, "depth=2") == 130
        sentence = f"interrupted: {told}; the same command continues the study.\n"
        assert capfd.readouterr() == ("", sentence)


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
@pytest.mark.parametrize("mode", ["--run", "--multirun"])
def test_the_exit_code_says_whether_a_cell_failed(
    mode: str, failed: int, code: int, cli: Cli, sweep: FakeSweep
) -> None:
    sweep.failed = failed
    assert cli(mode, "depth=2") == code
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("depth=2", "default"),
        ("-m depth=2,3", "default"),
        ("name=mine", "mine"),
        ("name=2024", "2024"),
        ("+experiment=smoke", "smoke"),
        ("+experiment=smoke name=null", "smoke"),
        ("+experiment=smoke name=null hydra.mode=RUN", "smoke"),
        ("+experiment=standard_linear", "standard_grid"),
    ],
)
def test_a_study_is_named_by_the_user_the_experiment_or_default(
    line: str, name: str, cli: Cli, sweep: FakeSweep
) -> None:
    assert cli(*line.split(" ")) == 0
    [call] = sweep.calls
    assert {condition["name"] for condition in call["conditions"]} == {name}
    assert call["command"] == ["python", "-m", "study", *line.split(" ")]


@pytest.mark.parametrize("key", ["workers", "pack_size"])
@pytest.mark.parametrize("mode", ["--run", "--multirun"])
def test_settings_of_the_launcher_reach_the_sweep(
    mode: str, key: str, cli: Cli, sweep: FakeSweep
) -> None:
    assert cli(mode, f"hydra.launcher.{key}=3") == 0
    assert sweep.calls[0][key] == 3


@pytest.mark.parametrize("mode", ["--run", "--multirun"])
def test_a_dry_run_reaches_the_sweep_writes_no_folders_and_is_no_failure(
    mode: str, cli: Cli, sweep: FakeSweep
) -> None:
    sweep.failed = 1
    asked = ("hydra.launcher.dry_run=true", "hydra.launcher.job_folders=true")
    assert cli(mode, "depth=2", *asked) == 0
    assert cli(mode, "depth=2") == 1
    assert [call["dry_run"] for call in sweep.calls] == [True, False]
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("line", ["", "--multirun", "-m hydra.launcher.workers=2"])
def test_without_settings_the_default_condition_is_named_and_run(
    line: str, cli: Cli, sweep: FakeSweep, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(*line.split()) == 0
    assert len(sweep.calls) == 1
    [notice] = capfd.readouterr().out.splitlines()
    assert "this is the default condition, into outputs/default: depth=8 width=64 " in notice
    assert "activation=relu init=he_normal data=mnist1d optim=sgd steps=300 seeds=5" in notice
    for setting in ("depth=2", "name=mine", "+experiment=smoke"):
        assert cli(*line.split(), setting) == 0
    assert capfd.readouterr().out == ""


ROOT = Path(CONF).parent


def command(*arguments: str, root: Path = ROOT, python: Sequence[str] = ()) -> tuple[int, str]:
    """Run ``python -m study`` of a folder and return its exit code and its only line of errors."""
    done = subprocess.run(
        [sys.executable, *python, "-m", "study", *arguments],
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return done.returncode, line


@pytest.mark.usefixtures("cli")
def test_a_python_without_the_packages_gets_one_sentence() -> None:
    code, line = command("depth=2", python=["-S"])  # without site-packages
    assert code == 2
    assert line == (
        f"cannot run: {sys.executable} has no package 'hydra'; run `make install` and use "
        ".venv/bin/python."
    )
    assert list(Path().iterdir()) == []


def test_a_package_missed_late_gets_the_same_sentence_and_one_of_ours_is_a_bug(
    cli: Cli, sweep: FakeSweep, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep.error = ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert cli("depth=2") == 2
    assert "has no package 'torch'; run `make install`" in capfd.readouterr().err
    sweep.error = ModuleNotFoundError("No module named 'study.x'", name="study.x")
    with pytest.raises(ModuleNotFoundError):
        cli("depth=2")


@pytest.mark.usefixtures("cli")
@pytest.mark.parametrize(
    ("kind", "file", "name"),
    [("activation", "activations", "tanh"), ("init", "initializers", "zeros")],
)
@pytest.mark.parametrize("mode", ["--run", "--multirun"])
def test_a_name_registered_twice_gets_one_sentence(
    mode: str, kind: str, file: str, name: str, tmp_path: Path
) -> None:
    for part in ("study", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "study" / f"{file}.py").open("a", encoding="utf-8") as source:
        source.write(f"\n\n@{file.upper()}.register()\ndef {name}(z):\n    return z\n")
    code, line = command(mode, "depth=2", root=tmp_path)
    assert code == 2
    assert line.startswith(f"cannot register {kind} '{name}' a second time, as study.{file} does: ")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("registry", [ACTIVATIONS, INITIALIZERS], ids=["activation", "init"])
def test_a_taken_name_is_refused_by_the_registry_and_keeps_its_function(registry: Any) -> None:
    [taken, *_] = registry
    before = registry[taken]

    def another() -> None: ...

    another.__name__ = taken
    with pytest.raises(SettingError, match=f"'{taken}' a second time"):
        registry.register()(another)
    assert registry[taken] is before


@pytest.mark.parametrize("line", ["hydra.run.dir=.", "hydra.output_subdir=null"])
def test_hydras_folders_may_be_set_to_what_they_are(line: str, cli: Cli) -> None:
    assert cli(line) == 0


def test_job_folders_lie_in_the_study(cli: Cli) -> None:
    assert cli("-m", "depth=2,3", "hydra.launcher.job_folders=true") == 0
    jobs = Path("outputs/default/jobs")
    assert sorted(jobs.glob("*/.hydra/config.yaml")) == [
        jobs / number / ".hydra/config.yaml" for number in "01"
    ]


def _experiment(folder: Path, text: str) -> str:
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment/own.yaml").write_text(f"# @package _global_\n{text}\n")
    return f"--config-dir={folder}"


@pytest.mark.parametrize("mode", ["--run", "--multirun"])
@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("width: ${nowhere}", "'nowhere'"),
        ("data: {extra: '???'}", "cannot run without a value for 'data.extra'"),
        ("width: [", 'own.yaml", line 3'),
        ("hydra: {sweep: {dir: escape}}", "cannot set hydra.sweep.dir=escape"),
        ("hydra: {job: {chdir: true}}", "cannot set hydra.job.chdir=True"),
    ],
)
def test_a_mistake_in_a_users_own_experiment_gets_one_sentence(
    mode: str,
    text: str,
    fragment: str,
    cli: Cli,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    own = _experiment(tmp_path / "own", text)
    assert cli(own, mode, "+experiment=own") == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert fragment in error
    assert list(Path().iterdir()) == []


def test_an_experiment_without_a_name_lends_its_own(
    cli: Cli, sweep: FakeSweep, tmp_path: Path
) -> None:
    own = _experiment(
        tmp_path / "own", "hydra: {mode: MULTIRUN, sweeper: {params: {depth: '2,3'}}}"
    )
    assert cli(own, "+experiment=own") == 0
    assert [condition["name"] for condition in sweep.calls[0]["conditions"]] == ["own", "own"]
