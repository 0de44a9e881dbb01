"""Bad input, end to end: one sentence that names the setting, and not a byte written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import condition, files_under

from study.__main__ import main
from study.errors import SettingError, StudyError
from study.running import Running
from study.settings import canonical_condition, study_name
from study.sweep import run_conditions

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")

SMALL = [
    *("name=mine", "device=cpu", "data=digits", "depth=2", "width=4", "steps=2", "batch_size=8"),
    *("seeds=1", "probe.steps=2", "probe.samples=8", "hydra.launcher.workers=1"),
]

Cli = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working folder, two levels below the test's own."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    return tmp_path


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return ``python -m study``, run in this process with small settings after its arguments."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    def run(*arguments: str) -> int:
        names = [argument.split("=")[0] for argument in arguments]
        kept = [one for one in SMALL if one.split("=")[0] not in names]
        monkeypatch.setattr(sys, "argv", ["study", *arguments, *kept])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return run


def refuse(
    line: str, fragments: list[str], cli: Cli, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Hold a command line to exit code 2, one sentence with these fragments, and nothing written."""
    before = files_under(folder)
    assert cli(*line.split()) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.endswith(".\n")
    for fragment in fragments:
        assert fragment in printed.err
    assert files_under(folder) == before


MISTAKES = [
    ("depth=0", ["cannot use depth=0: ", "a whole number of at least 1"]),
    ("-m depth=2,0", ["cannot use depth=0: ", "a whole number of at least 1"]),
    ("depth=2.5", ["cannot use depth=2.5: ", "a whole number of at least 1"]),
    ("optim.lr=-1", ["cannot use optim.lr=-1: ", "a finite number of at least 0"]),
    ("optim.lr=nan", ["cannot use optim.lr=nan: ", "a finite number of at least 0"]),
    ("optim.lr=inf", ["cannot use optim.lr=inf: ", "a finite number of at least 0"]),
    ("optim.lr=fast", ["cannot use optim.lr=fast: ", "a finite number of at least 0"]),
    ("optim.clip_norm=0", ["cannot use optim.clip_norm=0: ", "above 0 or null"]),
    ("optim=adam optim.beta1=1", ["cannot use optim.beta1=1: ", "at least 0 and below 1"]),
    ("optim.clip_value=0", ["cannot use optim.clip_value=0: ", "above 0 or null"]),
    ("optim.clip_to_one=-1", ["cannot use optim.clip_to_one=-1: ", "above 0 or null"]),
    (
        "optim.clip_norm=2 optim.clip_to_one=0.5",
        [
            "cannot use optim.clip_norm=2 with optim.clip_to_one=0.5: at most one of clip_norm, clip_value"
        ],
    ),
    ("norm=instance", ["cannot use norm=instance: ", "none, batch, layer"]),
    ("norm=batch batch_size=1", ["cannot use batch_size=1 with norm=batch: ", "at least 2"]),
    ("norm=batch probe.samples=1", ["cannot use probe.samples=1 with norm=batch: "]),
    ("dropout=1", ["cannot use dropout=1: ", "at least 0 and below 1"]),
    ("name=../escape", ["cannot use name=../escape: ", "folder under outputs/"]),
    ("-m name=../escape hydra.launcher.job_folders=true", ["cannot use name=../escape: "]),
    ("name=/tmp/escape", ["cannot use name=/tmp/escape: ", "folder under outputs/"]),
    ("name=.hidden", ["cannot use name=.hidden: ", "does not begin with '.'"]),
    ("batch_size=1001", ["cannot use batch_size=1001: ", "only 1000 samples"]),
    ("data.train_size=1001", ["cannot use data.train_size=1001: ", "has 1000 training samples"]),
    ("data.label_noise=1.5", ["cannot use data.label_noise=1.5: ", "at most 1"]),
    ("data=diabetes data.label_noise=0.1", ["cannot use data.label_noise=0.1: ", "a regression"]),
    ("data=mnist data.train_size=50001", ["cannot use data.train_size=50001: ", "has 50000"]),
    ("probe.steps=1", ["cannot use probe.steps=1: ", "at least 2"]),
    ("probe.samples=most", ["cannot use probe.samples=most: ", "'all'"]),
    ("seed=-1", ["cannot use seed=-1: ", "a whole number of at least 0"]),
    ("seed=9007199254740992 seeds=2", ["cannot use seed + seeds=9007199254740993: "]),
    ("seeds=1000001", ["cannot use seeds=1000001: ", "at most 1000000"]),
    ("activation.name=[relu]", ["cannot use activation=['relu']: allowed are sigmoid, "]),
    ("bias=maybe", ["cannot use bias=maybe: ", "true or false"]),
    ("dtype=float16", ["cannot use dtype=float16: ", "float32, float64", "did you mean"]),
    ("device=gpu", ["cannot use device=gpu: ", "auto, cpu, cuda"]),
]


@pytest.mark.parametrize(("line", "fragments"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_value_that_is_not_allowed_is_named_with_what_is(
    line: str,
    fragments: list[str],
    cli: Cli,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    refuse(line, fragments, cli, folder, capfd)


@pytest.mark.parametrize("mode", ["", "--multirun "])
def test_a_gpu_that_is_not_there_is_refused(
    mode: str,
    cli: Cli,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refuse(f"{mode}device=cuda", ["cannot use device=cuda: ", "device=cpu"], cli, folder, capfd)


@pytest.mark.parametrize("mode", ["", "--multirun "])
def test_a_data_set_that_cannot_be_fetched_is_refused_before_anything_runs(
    mode: str,
    cli: Cli,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def fail(*_address: Any, **_more: Any) -> Any:
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", fail)
    for name in ("SCIKIT_LEARN_DATA", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("empty")))
    told = [
        "cannot load data=fashion_mnist: there is no whole copy",
        "openml.org cannot be reached",
    ]
    refuse(f"{mode}data=fashion_mnist", told, cli, folder, capfd)


@pytest.mark.parametrize("place", ["outputs", "outputs/mine", "outputs/mine/records"])
def test_a_file_in_the_place_of_a_folder_is_named(
    place: str, cli: Cli, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text("mine")
    refuse("depth=2", ["cannot write to ", Path(place).name], cli, folder, capfd)


@pytest.mark.parametrize(
    ("line", "fragments"),
    [
        ("activation=rellu", ["cannot use activation=rellu: ", "did you mean 'relu'?"]),
        ("--multirun depth=2,0 optim.lr=0.1,nan", ["cannot use optim.lr=nan: "]),
    ],
)
def test_the_command_itself_ends_in_one_sentence_and_exit_code_2(
    line: str, fragments: list[str], folder: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "study", *line.split(), *SMALL[1:3]],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for fragment in fragments:
        assert fragment in done.stderr
    assert files_under(folder) == {"a": None, "a/b": None}


def test_what_the_command_line_cannot_ask_for_is_refused_all_the_same(folder: Path) -> None:
    good = condition() | {"name": "mine", "device": "cpu"}
    bad: list[tuple[list[dict[str, Any]], str]] = [
        ([good | {"activation": {"name": "rellu"}}], r"activation=rellu: .*did you mean 'relu'"),
        ([good | {"init": {"name": "he_normal", "gian": 2}}], r"init\.gian=2: .*'gain'"),
        ([good | {"depth": True}], "depth=True: it must be a whole number"),
        ([good | {"optim": {"name": "sgd", "lr": "0.1"}}], r"optim\.lr=0\.1: it must be"),
        ([good | {"width": None}], "width=None: it must be a whole number"),
        ([good | {"probe": None}], r"probe=None: .*probe\.steps, probe\.samples"),
        ([good | {"hidden": 3}], "hidden=3: there is no such setting"),
        ([good, good | {"name": "other"}], r"sweep over name \(mine, other\)"),
        ([good, good | {"device": "auto"}], r"sweep over device \(auto, cpu\)"),
    ]
    for conditions, sentence in bad:
        with pytest.raises(StudyError, match=sentence) as caught:
            run_conditions(conditions, ["test"], Running(workers=1))
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)
    assert files_under(folder) == {"a": None, "a/b": None}


def outcome(function: Callable[[Any], Any], value: Any) -> tuple[Any, str]:
    """Return what a function makes of a value, or the sentence with which it refuses it."""
    try:
        return function(value), ""
    except SettingError as error:
        return None, str(error)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=120) | st.integers() | st.none())
def test_a_name_is_refused_or_names_a_folder_right_under_outputs(name: Any) -> None:
    accepted, sentence = outcome(study_name, name)
    assert "\n" not in sentence
    if not sentence:
        place = Path("outputs", accepted)
        assert os.path.normpath(place) == str(place)
        assert place.parent == Path("outputs")


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([1]),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.just(10**400),
)  # fmt: skip
PATHS = [
    *("depth", "width", "steps", "batch_size", "seed", "seeds", "bias", "dtype", "probe"),
    *("activation", "init", "data", "optim", "optim.lr", "optim.weight_decay", "optim.clip_norm"),
    *("data.label_noise", "data.train_size", "init.gain", "probe.steps", "probe.samples"),
    *("activation.name", "data.name", "norm", "dropout", "optim.clip_value", "optim.clip_to_one"),
]


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.sampled_from(PATHS), ANYTHING)
def test_any_value_of_any_setting_is_taken_or_refused_by_its_name(path: str, value: Any) -> None:
    asked = condition()
    group, _, key = path.partition(".")
    asked[group] = {**asked[group], key: value} if key else value
    accepted, sentence = outcome(canonical_condition, asked)
    if sentence:
        assert group in sentence
    else:
        # what is accepted is canonical already
        canonical, seeds = accepted
        again = {**canonical, "seed": seeds[0], "seeds": len(seeds)}
        assert canonical_condition(again) == (canonical, seeds)
