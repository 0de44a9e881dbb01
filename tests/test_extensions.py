"""Functions of the user's own: they run like ours, are known by their code, and fail in one sentence."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from small import cells, files_under

from analysis.advice import next_step
from analysis.frames import Study
from analysis.labels import labels
from study import extensions
from study.__main__ import main
from study.activations import ACTIVATIONS
from study.app import CONF
from study.errors import SettingError
from study.settings import GROUPS, canonical_condition
from study.source_code import source_code
from study.store import Store, final_commits

ROOT = Path(CONF).parent

SMALL = [
    *("device=cpu", "data=digits", "data.train_size=100", "width=8", "batch_size=16", "steps=3"),
    *("seeds=2", "probe.samples=16", "depth=2"),
]

IMPORTS = """
import torch
from torch.nn import functional as F
from study.activations import ACTIVATIONS, Traits
from study.initializers import INITIALIZERS, LayerDraw
"""

UNITS = (
    IMPORTS
    + '''
@ACTIVATIONS.register(Traits(largest_slope=0.25))
def my_sigmoid(z):
    """As ours."""
    return torch.sigmoid(z)

@ACTIVATIONS.register(Traits(learnable=("beta",)))
def swish(z, *, beta: float = 1.0):
    return z * torch.sigmoid(beta * z)

@INITIALIZERS.register()
def my_xavier(draw, *, gain: float = 1.0):
    return gain * (2.0 / (draw.fan_in + draw.fan_out)) ** 0.5 * draw.weight
'''
)

ELU = (
    IMPORTS
    + '''
@ACTIVATIONS.register()
def elu(z, *, alpha: float = 1.0):
    """The exponential linear unit."""
    return F.elu(z, alpha)
'''
)


def command(
    folder: Path, *arguments: str, paths: Sequence[Path] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m study`` in a folder, small settings after the arguments."""
    given = [argument.split("=")[0] for argument in arguments]
    more = [one for one in SMALL if one.split("=")[0] not in given and "--help" not in given]
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "study", *arguments, *more],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *paths]))},
        capture_output=True,
        text=True,
        check=False,
    )


def trained(folder: Path, *arguments: str, paths: Sequence[Path] = ()) -> str:
    """Run a command that must succeed and return what it said."""
    done = command(folder, *arguments, paths=paths)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(folder: Path, *arguments: str, paths: Sequence[Path] = (), writes: bool = False) -> str:
    """Run a command that must be refused in one sentence and return it."""
    before = files_under(folder)
    done = command(folder, *arguments, paths=paths)
    assert done.returncode == 2
    if not writes:
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert files_under(folder) == before
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def table(study: Path, name: str) -> pd.DataFrame:
    """Return one table of a study's committed records."""
    files = [
        str(study / entry["path"])
        for commit in Store(study).read_commits()
        for table, entry in commit.files.items()
        if table == name
    ]
    return duckdb.read_parquet(files).df()


def plan_of(study: Path) -> dict[str, Any]:
    """Return a study's only plan."""
    [path] = (study / "plans").iterdir()
    plan: dict[str, Any] = json.loads(path.read_text())
    return plan


def codes(study: Path) -> list[str]:
    """Return the codes in the settings of a study's networks, each once."""
    found = [json.loads(text) for text in table(study, "cells")["settings"]]
    groups = [one[group] for one in found for group in GROUPS]
    return sorted({group["code"] for group in groups if "code" in group})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the study of our functions and their copies in a user's file."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "my_units.py").write_text(UNITS)
    said = trained(
        *(folder, "--use", str(folder / "my_units.py"), "--multirun", "name=both", "depth=2,3"),
        *("activation=sigmoid,my_sigmoid,swish", "init=xavier_normal,my_xavier"),
        "hydra.launcher.workers=2",
    )
    assert "24 networks in outputs/both: 24 ok." in said
    return folder / "outputs/both"


def test_a_copy_of_ours_in_a_users_file_gives_the_same_numbers_bit_for_bit(both: Path) -> None:
    known = table(both, "cells")
    apart = ["cell", "activation", "init", "settings"]
    by_place: dict[tuple[int, int], dict[tuple[str, str], str]] = {}
    for row in known.itertuples():
        name = (row.activation, row.init)
        by_place.setdefault((row.depth, row.seed), {})[name] = row.cell
    assert len(by_place) == 4
    for name in ("cells", "curves", "layers"):
        rows = table(both, name).drop(columns=[c for c in apart if c != "cell" and name != "cells"],
                                      errors="ignore")  # fmt: skip
        for of_name in by_place.values():
            texts = {
                rows[rows["cell"] == of_name[activation, init]]
                .drop(columns=apart, errors="ignore")
                .to_csv(index=False, float_format="%r")
                for activation in ("sigmoid", "my_sigmoid")
                for init in ("xavier_normal", "my_xavier")
            }
            assert len(texts) == 1
            assert len(texts.pop().splitlines()) > 1


def test_a_learned_argument_is_trained_and_recorded(both: Path) -> None:
    rows = table(both, "layers").merge(table(both, "cells"), on="cell")
    slopes = rows[(rows["activation"] == "swish") & rows["act_slope"].notna()]
    assert (slopes.loc[slopes["step"] == 0, "act_slope"] == 1.0).all()
    assert (slopes.loc[slopes["step"] == 3, "act_slope"] != 1.0).all()
    assert len(slopes) == 4 * (4 * 1 + 4 * 2)  # probe steps, cells, hidden layers
    assert rows.loc[rows["activation"] != "swish", "act_slope"].isna().all()


def test_the_plan_says_what_was_used_and_what_was_typed_and_no_folder(both: Path) -> None:
    plan = plan_of(both)
    [code] = codes(both)
    assert re.fullmatch("[0-9a-f]{12}", code)
    assert plan["extensions"] == [{"file": "my_units.py", "code": code}]
    assert plan["command"][3:6] == ["--use", str(both.parents[1] / "my_units.py"), "--multirun"]
    del plan["command"]
    assert str(both.parents[1]) not in json.dumps(plan)
    for text in table(both, "cells")["settings"]:
        settings = json.loads(text)
        assert settings["activation"].get("code") == (
            None if settings["activation"]["name"] == "sigmoid" else code
        )
        assert settings["init"].get("code") == (
            None if settings["init"]["name"] == "xavier_normal" else code
        )


@pytest.mark.long
def test_one_process_writes_the_same_records_as_two_and_resumes_them(
    both: Path, tmp_path: Path
) -> None:
    (tmp_path / "renamed.py").write_text(f"# mine\n{UNITS}")
    line = [
        *("--use", "renamed", "--multirun", "name=both", "depth=2,3"),
        *("activation=sigmoid,my_sigmoid,swish", "init=xavier_normal,my_xavier"),
    ]
    trained(tmp_path, *line, "hydra.launcher.workers=1")
    one = tmp_path / "outputs/both"
    names = [path.name for path in sorted((both / "records").iterdir())]
    assert [path.name for path in sorted((one / "records").iterdir())] == names
    assert plan_of(one)["extensions"] == [{"module": "renamed", "code": codes(both)[0]}]
    [lost, *_] = (one / "commits").iterdir()
    lost.unlink()
    assert "to train in 1 pack" in trained(tmp_path, *line)
    assert "all finished already" in trained(tmp_path, *line)
    assert [path.name for path in sorted((one / "records").iterdir())] == names
    assert len(list((one / "plans").iterdir())) == 1


def test_an_edit_makes_new_networks_and_a_comment_does_not(tmp_path: Path) -> None:
    units, helper = tmp_path / "my_units.py", tmp_path / "slopes.py"
    units.write_text(ELU.replace("F.elu(z, alpha)", "F.elu(z, alpha * slopes.SCALE)"))
    units.write_text(f"import slopes\n{units.read_text()}")
    helper.write_text("SCALE = 1.0\n")
    line = ("--use", "my_units.py", "activation=elu", "name=edited", "hydra.launcher.workers=1")
    study = tmp_path / "outputs/edited"
    assert "2 networks to train" in trained(tmp_path, *line)
    first = codes(study)

    text = units.read_text().replace('"""The exponential linear unit."""', '"""Other words."""')
    units.write_text(f"# a comment\n\n{text}".replace("F.elu(z,", "F.elu(  z ,"))
    helper.write_text("SCALE = 1.00  # as it was\n")
    assert "all finished already" in trained(tmp_path, *line)

    helper.write_text("SCALE = 0.5\n")
    assert "2 networks to train" in trained(tmp_path, *line)
    second = codes(study)
    assert len(second) == 2
    assert set(first) < set(second)

    shown = Study(study)
    assert set(shown.cells["activation"]) == {f"elu (code {code[:6]})" for code in second}
    assert shown.cells["activation"].nunique() == 2
    means = table(study, "layers").merge(table(study, "cells"), on="cell")
    means = means[(means["layer"] == 1) & (means["step"] == 0) & (means["seed"] == 0)]
    assert means["h_mean"].nunique() == 2


@pytest.mark.long
def test_a_planned_pack_is_left_when_one_of_its_functions_was_edited(tmp_path: Path) -> None:
    units = tmp_path / "my_units.py"
    units.write_text(UNITS)
    line = [
        *("--use", "my_units.py", "--multirun", "init=xavier_normal,my_xavier", "name=mixed"),
        "hydra.launcher.workers=1",
    ]
    trained(tmp_path, *line)
    study = tmp_path / "outputs/mixed"
    [commit] = (study / "commits").iterdir()  # one pack: initializers share it
    commit.unlink()
    [first] = {pack["id"] for pack in plan_of(study)["packs"]}

    units.write_text(UNITS.replace("2.0 /", "3.0 /"))
    assert "4 networks to train in 1 pack" in trained(tmp_path, *line)
    assert "all finished already" in trained(tmp_path, *line)
    final = final_commits(Store(study).read_commits())
    assert len(final) == 4
    assert first not in {commit.pack for commit in final.values()}
    waiting = next_step(Study(study))
    assert "2 networks are missing" in waiting
    assert "unless your own functions were edited since" in waiting

    units.write_text(UNITS)
    assert "2 finished before, 2 to train in 1 pack" in trained(tmp_path, *line)
    assert len(final_commits(Store(study).read_commits())) == 6
    assert first not in {path.stem for path in (study / "commits").iterdir()}


IDS: list[tuple[str, str, dict[str, Any], str]] = [
    ("tanh", "xavier_normal", {}, "4cf1faa2c8c6e68e2234"),
    ("leaky_relu", "torch_default", {"depth": 2}, "ea1686952c49f606ed67"),
    (
        *("prelu", "orthogonal", {"optim": {"name": "adam", "lr": 0.01}, "data": "moons"}),
        "21e9c82005f7ffbaebcb",
    ),
    (
        *("relu", "normal", {"data": {"name": "gaussian", "dim": 8}, "steps": 0}),
        "b58deee0ff00a3bf99f5",
    ),
]
"""Networks of functions that come with this program, with the ids that they had before there were others."""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty working folder; what is loaded in it is forgotten at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(extensions, "_loaded", [])
    modules = set(sys.modules)
    before = {group: set(registry) for group, registry in GROUPS.items()}
    yield tmp_path
    for group, registry in GROUPS.items():
        for name in set(registry) - before[group]:
            registry.remove(name)
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


Cli = Callable[..., int]


@pytest.fixture
def cli(
    fresh: Path, hydra_restore_singletons: None, monkeypatch: pytest.MonkeyPatch
) -> tuple[Cli, list[dict[str, Any]]]:
    """Return ``python -m study`` as a function, and the conditions that it would have run."""
    arrived: list[dict[str, Any]] = []

    def run_conditions(conditions: list[dict[str, Any]], *_more: Any) -> list[dict[str, int]]:
        arrived.extend(conditions)
        return [{"cells": 1, "ok": 1, "diverged": 0, "failed": 0} for _ in conditions]

    module = types.ModuleType("study.sweep")
    module.run_conditions = run_conditions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "study.sweep", module)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["study", *arguments])
        try:
            return main()
        except SystemExit as end:
            return int(end.code or 0)

    return run, arrived


def test_networks_of_ours_have_the_ids_of_this_numerics_version(fresh: Path) -> None:
    Path("my_units.py").write_text(UNITS)
    for load in ((), ("my_units.py",)):
        extensions.load_all(load)
        for activation, init, more, expected in IDS:
            [cell] = cells(activation, init, **more)
            assert cell.id == expected
            assert all("code" not in cell.settings[group] for group in GROUPS)
    assert "code" in cells("my_sigmoid")[0].settings["activation"]


OPTIONS = [
    "--multirun activation=elu,relu depth=2,3",
    "--multirun activation=elu activation.alpha=0.5,1,2 depth=2,3",
    "--multirun activation=glob(*) init=glob(my_*)",
    "--multirun init=my_xavier init.gain=1,2 width=4,8",
    "--multirun activation=elu,swish ++activation.alpha=1 depth=2",
    "activation=elu activation.alpha=3",
]


@pytest.mark.parametrize("line", OPTIONS)
def test_an_own_function_is_an_option_like_ours_for_our_composer_and_hydras(
    line: str, cli: tuple[Cli, list[dict[str, Any]]]
) -> None:
    run, arrived = cli
    Path("my_units.py").write_text(UNITS)
    Path("elus.py").write_text(ELU)
    found = []
    for plugins in ([], ["hydra/launcher=basic", "hydra/sweeper=basic"]):
        arrived.clear()
        assert run("--use", "my_units.py", "--use=elus", *line.split(), *plugins) == 0
        found.append(json.dumps(arrived))
    assert found[0] == found[1]
    names = {one["activation"]["name"] for one in arrived} | {
        one["init"]["name"] for one in arrived
    }
    if "glob" in line:
        assert {"elu", "swish", "my_sigmoid", "relu", "my_xavier"} <= names
    if line == OPTIONS[1]:
        assert [one["activation"] for one in arrived[::2]] == [
            {"name": "elu", "alpha": alpha} for alpha in (0.5, 1, 2)
        ]


def test_the_help_page_lists_own_functions_and_their_settings(
    cli: tuple[Cli, list[dict[str, Any]]], capfd: pytest.CaptureFixture[str]
) -> None:
    run, _ = cli
    Path("elus.py").write_text(ELU)
    assert run("--use", "elus.py", "--help") == 0
    page = capfd.readouterr().out
    assert "\nactivation: bipolar_sigmoid, centred_sigmoid, elu, gelu, identity, " in page
    assert "\n  activation.*    alpha (elu); negative_slope (leaky_relu); " in page
    assert "python -m study --use my_units.py --multirun activation=elu,relu" in page


def test_a_users_own_file_of_settings_wins_over_the_defaults(
    cli: tuple[Cli, list[dict[str, Any]]],
) -> None:
    run, arrived = cli
    Path("elus.py").write_text(ELU)
    Path("own/activation").mkdir(parents=True)
    Path("own/activation/elu.yaml").write_text("name: elu\nalpha: 7.0\n")
    assert run("--use", "elus.py", "--config-dir=own", "activation=elu") == 0
    assert arrived[0]["activation"] == {"name": "elu", "alpha": 7.0}


def function(decorator: str, signature: str, body: str = "return z") -> str:
    return f"{IMPORTS}\n@{decorator}\ndef {signature}:\n    {body}\n"


PLAIN = "ACTIVATIONS.register()"

MISTAKES: list[tuple[str, str, list[str]]] = [
    ("--use", "", ["cannot read the command line: --use needs a Python file or", "my_units.py"]),
    ("--use=", "", ["cannot read the command line: --use needs"]),
    ("--use --multirun", "", ["cannot read the command line: --use needs"]),
    ("--uze my_units.py", "", ["--uze", "did you mean '--use'?"]),
    ("--us my_units.py", "", ["--us", "did you mean '--use'?"]),
    ("--use my_unit.py", ELU, ["there is no such file (did you mean 'my_units.py'?)"]),
    ("--use nowhere/my_units.py", "", ["--use nowhere/my_units.py: there is no such file"]),
    ("--use my_unit", ELU, ["there is no module 'my_unit'", "named with its .py"]),
    ("--use ./my_units", ELU, ["--use ./my_units: there is no such file"]),
    ("--use .", ELU, ["--use .: it is a folder; name a Python file"]),
    ("--use data.txt", ELU, ["--use data.txt: it is no Python file, whose name ends in .py"]),
    ("--use json", "", ["--use json: it registers nothing", "@ACTIVATIONS.register()"]),
    ("--use my_units.py", "x = 1\n", ["--use my_units.py: it registers nothing"]),
    ("--use my_units", "x = 1\n", ["--use my_units: it registers nothing"]),
    ("--use my_units.py", "x = 1\ndef f(:\n", ["SyntaxError: ", "(my_units.py, line 2)"]),
    ("--use my_units", "x = 1\ndef f(:\n", ["SyntaxError: ", "(my_units.py, line 2)"]),
    (
        "--use my_units.py",
        "x = 1\n1 / 0\n",
        ["ZeroDivisionError: division", "(my_units.py, line 2)"],
    ),
    ("--use my_units", "x = 1\n1 / 0\n", ["ZeroDivisionError: division", "(my_units.py, line 2)"]),
    ("--use my_units.py", "import sys\nsys.exit(3)\n", ["SystemExit: 3 (my_units.py, line 2)"]),
    ("--use my_units.py", "import nowhere\n", ["No module named 'nowhere' (my_units.py, line 1)"]),
    ("--use my_units.py", "import broken\n", ["KeyError: 'a' (broken.py, line 1)"]),
    ("--use my_units.py", "import json\njson.loads('{')\n", ["(my_units.py, line 2)"]),
    ("--use my_units.py", "a = '\0'\n", ["SyntaxError: source code"]),
    (
        "--use my_units.py",
        function(PLAIN, "tanh(z)"),
        [
            "activation 'tanh' a second time, as my_units.py (line 7) does: study.activations has one"
        ],
    ),
    (
        "--use my_units.py --use more_units.py",
        ELU,
        [
            "activation 'elu' a second time, as more_units.py (line 7) does: my_units.py (line 7) has"
        ],
    ),
    ("--use my_units.py", function("ACTIVATIONS.register", "elu(z)"), ["needs its brackets"]),
    (
        "--use my_units.py",
        function(PLAIN, "elu(z, *, alpha)"),
        ["'elu': its keyword argument 'alpha' is a setting and needs a default", "has none"],
    ),
    (
        "--use my_units.py",
        function(PLAIN, "elu(z, *, mode='a')"),
        ["'mode' is a setting", "has 'a'"],
    ),
    ("--use my_units.py", function(PLAIN, "elu(z, *, code=1)"), ["argument 'code' something else"]),
    ("--use my_units.py", function(PLAIN, "null(z)"), ["'null': a name has letters"]),
    ("--use my_units.py", function(PLAIN, "φ(z)"), ["'φ': a name has letters"]),
    (
        "--use my_units.py",
        function("ACTIVATIONS.register(Traits(learnable=('b',)))", "elu(z, *, a=1.0)"),
        ["'elu': it has no keyword argument 'b' that could be learned", "are a"],
    ),
    (
        "--use my_units.py activation=ellu",
        ELU,
        ["centred_sigmoid, elu, gelu", "did you mean 'elu'?"],
    ),
    (
        "--use my_units.py activation=relu activation.alpha=2",
        ELU,
        ["no setting 'activation.alpha' with activation=relu, only with activation=elu"],
    ),
    ("--use my_units.py activation=elu activation.code=a", ELU, ["no setting 'activation.code'"]),
    (
        "activation=elu",
        ELU,
        ["cannot use activation=elu: allowed are bipolar_sigmoid, centred_sigmoid, gelu"],
    ),
]


@pytest.mark.parametrize(("line", "text", "fragments"), MISTAKES)
def test_a_mistake_gets_one_sentence_and_writes_nothing(
    line: str,
    text: str,
    fragments: list[str],
    cli: tuple[Cli, list[dict[str, Any]]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, arrived = cli
    for name in ("my_units.py", "more_units.py"):
        Path(name).write_text(text, encoding="utf-8")
    Path("data.txt").write_text("1")
    Path("broken.py").write_text("{}['a']\n")
    before = files_under(Path())
    registered = {group: list(registry) for group, registry in GROUPS.items()}
    assert run(*line.split()) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.endswith(".\n")
    for fragment in fragments:
        assert fragment in printed.err
    assert not arrived
    assert files_under(Path()) == before
    if not any(extension.functions for extension in extensions.loaded()):
        assert {group: list(registry) for group, registry in GROUPS.items()} == registered


def test_the_command_itself_refuses_a_file_and_a_code_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "my_units.py").write_text(ELU)
    (tmp_path / "broken.py").write_text("import my_units\n1 / 0\n")
    told = refused(tmp_path, "--use", "broken.py", "depth=2")
    assert (
        told
        == "cannot use --use broken.py: ZeroDivisionError: division by zero (broken.py, line 2)."
    )
    told = refused(tmp_path, "--use", "my_units.py", "activation=elu", "+activation.code=abc")
    assert told.startswith("cannot set activation.code=abc: there is no such setting, allowed are ")


def test_a_network_of_an_unknown_code_cannot_be_asked_for(fresh: Path) -> None:
    Path("elus.py").write_text(ELU)
    extensions.load_all(["elus.py"])
    asked = {"depth": 2, "data": {"name": "digits"}, "optim": {"name": "sgd"}}
    asked |= {"init": {"name": "zeros"}, "activation": {"name": "elu", "code": "0" * 12}}
    with pytest.raises(SettingError, match=r"activation\.code=0+: there is no such setting"):
        canonical_condition(asked)


def test_the_same_file_named_twice_is_loaded_once(fresh: Path) -> None:
    Path("elus.py").write_text(ELU)
    Path("users.py").write_text("import elus\n")
    Path("late.py").write_text(
        UNITS.replace("return torch.sigmoid(z)", "import other; return torch.sigmoid(z)")
    )
    Path("other.py").write_text(ELU.replace("elu(z,", "celu(z,"))
    extensions.load_all(["elus.py", "./elus.py", "elus", str(fresh / "elus.py")])
    assert [one.functions for one in extensions.loaded()] == [(("activation", "elu"),)]
    # a module that is only named within a function has not been run
    extensions.load_all(["late.py", "other.py"])
    assert "celu" in ACTIVATIONS


def test_a_file_with_the_name_of_a_library_is_still_the_users(fresh: Path) -> None:
    Path("json.py").write_text(ELU)
    Path("study.py").write_text(ELU.replace("elu(z,", "celu(z,"))
    extensions.load_all(["json.py", "study.py"])
    assert {"elu", "celu"} <= set(ACTIVATIONS)
    assert json.loads("1") == 1
    assert sys.modules["json"] is json


FAULTY = (
    IMPORTS
    + """
@ACTIVATIONS.register()
def inner(z):
    return F.elu(z, "steep")

class Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("no way back")

@ACTIVATIONS.register()
def no_way(z):
    return Cut.apply(z)

@ACTIVATIONS.register()
def mixing(z):
    return torch.softmax(z, 0)

@ACTIVATIONS.register()
def late(z):
    if z.shape[1] == 16:
        raise RuntimeError("too many")
    return torch.relu(z)

@INITIALIZERS.register()
def short(draw):
    return draw.weight[1:]

@INITIALIZERS.register()
def lost(draw):
    return {}[draw.layer]
"""
)


def test_a_function_that_fails_is_named_with_its_line_and_stops_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "my_units.py").write_text(FAULTY)
    done = command(
        *(tmp_path, "--use", "my_units.py", "--multirun", "name=faulty", "seeds=1"),
        *("activation=inner,no_way,mixing,late,relu", "init=short,lost,he_normal"),
        "hydra.launcher.workers=2",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    rows = table(tmp_path / "outputs/faulty", "cells").set_index(["activation", "init"])
    lines = {text: at for at, text in enumerate(FAULTY.splitlines(), start=1)}
    expected = {
        ("inner", "he_normal"): ("TypeError", "inner", '    return F.elu(z, "steep")'),
        ("no_way", "he_normal"): (
            *("RuntimeError: no way back", "backward"),
            '        raise RuntimeError("no way back")',
        ),
        ("late", "he_normal"): (
            *("RuntimeError: too many", "late"),
            '        raise RuntimeError("too many")',
        ),
        ("relu", "lost"): ("KeyError: 1", "lost", "    return {}[draw.layer]"),
    }
    for place, (said, name, text) in expected.items():
        assert rows.loc[place, "status"] == "failed"
        error = rows.loc[place, "error"]
        assert error.startswith(said)
        assert error.endswith(f" ({name}, line {lines[text]}) in my_units.py")
        assert str(tmp_path) not in error
    assert "activation=mixing mixes entries of z" in rows.loc[("mixing", "he_normal"), "error"]
    assert "init=short gave weights (7, 64)" in rows.loc[("relu", "short"), "error"]
    assert rows.loc[("relu", "he_normal"), "status"] == "ok"
    assert (rows["status"] == "ok").sum() == 1


def test_a_file_that_changes_while_networks_train_ends_the_run(tmp_path: Path) -> None:
    # every import appends to the file: a worker finds another one than its parent did
    growing = "\nwith open(__file__, 'a') as file:\n    file.write('x = 1\\n')\n"
    (tmp_path / "my_units.py").write_text(ELU + growing)
    line = ("--use", "my_units.py", "--multirun", "activation=elu", "depth=2,3", "name=grown")
    told = refused(tmp_path, *line, "hydra.launcher.workers=2", writes=True)
    assert "cannot go on with --use my_units.py: it was changed while networks were being" in told
    assert not list((tmp_path / "outputs/grown/commits").iterdir())


def test_a_worker_refuses_another_code(fresh: Path) -> None:
    Path("elus.py").write_text(ELU)
    extensions.load_all(["elus.py"])
    [known] = extensions.loaded()
    extensions.load_again([known])
    with pytest.raises(SettingError, match=r"cannot go on with --use elus\.py: it was changed"):
        extensions.load_again([replace(known, code="0" * 12)])


def package(folder: Path, text: str, point: str = "units = my_package.units") -> Path:
    """Write an installed package that declares itself, and return the folder it is installed in."""
    place = folder / "site-packages"
    (place / "my_package").mkdir(parents=True)
    (place / "my_package/__init__.py").write_text("")
    (place / "my_package/scale.py").write_text("SCALE = 1.0\n")
    (place / "my_package/units.py").write_text(text)
    info = place / "my_package-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[gradient_pathologies]\n{point}\n")
    return place


@pytest.mark.long
def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    scaled = ELU.replace("F.elu(z, alpha)", "F.elu(z, alpha * SCALE)")
    place = package(tmp_path / "lib", f"from .scale import SCALE\n{scaled}")
    work = tmp_path / "work"
    work.mkdir()
    line = ("--multirun", "activation=elu,tanh", "name=found", "hydra.launcher.workers=2")
    trained(work, *line, paths=[place])
    study = work / "outputs/found"
    [code] = codes(study)
    assert plan_of(study)["extensions"] == [
        {"package": "my-package 1.5", "module": "my_package.units", "code": code}
    ]
    assert "all finished already" in trained(
        *(work, "--use", "my_package.units", *line), paths=[place]
    )
    # the package's other modules count where they are installed, too
    (place / "my_package/scale.py").write_text("SCALE = 2.5\n")
    assert "2 finished before, 2 to train" in trained(work, *line, paths=[place])
    # a plan says what was used, not what there was
    trained(work, "activation=tanh", "name=other", "hydra.launcher.workers=1", paths=[place])
    assert "extensions" not in plan_of(work / "outputs/other")


@pytest.mark.parametrize(
    ("text", "point", "said"),
    [
        ("1 / 0\n", "units = my_package.units", "ZeroDivisionError: division by zero (units.py, line 1)"),
        ("", "units = my_package.nowhere", "there is no module 'my_package.nowhere'"),
        ("x = 1\n", "units = my_package.units", "it registers nothing"),
        (ELU, "units = my_package.units:elu", "names a module and nothing in it"),
    ],
)  # fmt: skip
def test_a_package_that_cannot_be_used_is_named(
    text: str,
    point: str,
    said: str,
    cli: tuple[Cli, list[dict[str, Any]]],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, arrived = cli
    place = package(tmp_path_factory.mktemp("lib"), text, point)
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    assert run("depth=2") == 2
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(
        f"cannot use the installed package my-package 1.5 (entry point {point}): "
    )
    assert said in printed.err
    assert not arrived
    assert files_under(Path()) == {}


def code_of(text: str, name: str = "units", path: str = "units.py") -> str:
    return source_code(name, Path(path), text.encode()).code


SAME = [
    ("x = 1.0\n", "x=1.0 # one\n\n"),
    ("x = 'a'\n", 'x = (\n    "a"\n)\n'),
    ('def f(z):\n    """Words."""\n    return z\n', "def f( z, ):\n    return z\n"),
    ('"""Words."""\nx = 1\n', "# words\nx = 1\n"),
    ("x = 0.001\n", "x = 1e-3\n"),
]
OTHER = [
    ("x = 1\n", "x = 1.0\n"),
    ("x = 1\n", "y = 1\n"),
    ("x = 'a'\n", "x = 'b'\n"),
    ("def f(z, *, a=1.0): return z\n", "def f(z, *, a=2.0): return z\n"),
    ("x = {**a}\n", "x = {None: a}\n"),
    ("x = a + b * c\n", "x = (a + b) * c\n"),
    ("x = None\n", "x = ...\n"),
    ("def f(z): 'doc'\n", "def f(z): 'doc'; return 'doc'\n"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_decides_nothing_does_not_count(one: str, other: str) -> None:
    assert code_of(one) == code_of(other, "renamed", "renamed.py")


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_may_decide_a_number_counts(one: str, other: str) -> None:
    assert code_of(one) != code_of(other)


def test_the_code_of_a_text_is_the_same_in_every_python() -> None:
    text = (
        'import math\ndef f(z, *, a: float = 1.5, **more):\n    t = f"{a!r:>{3}} {z}" + u"b"\n'
        "    match t:\n        case {'a': 1, **rest}:\n            return [*rest, (n := 3)]\n"
        "    return lambda x, /, y=2: {**more, 'x': ...}\n"
    )
    assert code_of(text) == "57e44ed2a891"


def test_modules_of_the_users_count_and_libraries_do_not(fresh: Path) -> None:
    Path("pack/sub").mkdir(parents=True)
    for name, text in {
        "units.py": "import math, torch, study\ndef f():\n    import lazy\nfrom pack import first\n",
        "lazy.py": "import units, slow as other\n",
        "slow.py": "x = 1\n",
        "pack/__init__.py": "",
        "pack/first.py": "from . import second\nfrom .sub.third import x\n",
        "pack/second.py": "y = 1\n",
        "pack/sub/__init__.py": "",
        "pack/sub/third.py": "x = 1\n",
        "alone.py": "x = 1\n",
    }.items():
        Path(name).write_text(text)
    path = fresh / "units.py"

    def found() -> tuple[str, set[str]]:
        made_of = source_code("units", path, path.read_bytes())
        return made_of.code, {one.relative_to(fresh).as_posix() for one in made_of.files}

    code, files = found()
    assert files == {
        *("units.py", "lazy.py", "slow.py", "pack/__init__.py", "pack/first.py"),
        *("pack/second.py", "pack/sub/__init__.py", "pack/sub/third.py"),
    }
    assert "lazy" not in sys.modules  # looking ran nothing
    for name in sorted(files):
        before = Path(name).read_text()
        Path(name).write_text(f"{before}z = 5\n")
        assert found()[0] != code
        Path(name).write_text(before)
    assert found()[0] == code


@pytest.mark.long
def test_an_own_data_set_and_optimizer_work_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np, torch\n"
        "from study.datasets import DATASETS, Traits\n"
        "from study.optimizers import OPTIMIZERS\n"
        "@DATASETS.register(Traits(train=100, validation=50, test=50))\n"
        "def stripes(*, period: float = 1.0):\n"
        "    x = np.random.default_rng(0).uniform(-2, 2, (200, 3)).astype(np.float32)\n"
        "    return x, (x[:, 0] // period % 2).astype(np.int32)\n"
        "@DATASETS.register()\n"
        "def unmade():\n"
        "    return {}['file'], 1\n"
        "@OPTIMIZERS.register()\n"
        "def nesterov(groups, lr, *, momentum: float = 0.9):\n"
        "    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True)\n"
    )
    line = ("--use", "mine.py", "--multirun", "data.train_size=null", "hydra.launcher.workers=1")
    said = trained(
        *(tmp_path, *line, "data=stripes,digits", "optim=nesterov", "optim.lr=0.1,0.2"),
        *("name=striped", "optim.momentum=0.5"),
    )
    assert "8 networks in outputs/striped: 8 ok." in said
    settings = [
        json.loads(text) for text in table(tmp_path / "outputs/striped", "cells")["settings"]
    ]
    assert {one["data"]["name"] for one in settings if "code" in one["data"]} == {"stripes"}
    assert {one["optim"]["momentum"] for one in settings if "code" in one["optim"]} == {0.5}
    told = refused(tmp_path, "--use", "mine.py", "data=unmade", "name=unmade")
    assert told == "cannot make data=unmade: KeyError: 'file' (mine.py, line 10)."


def test_versions_of_a_function_are_told_apart_in_labels() -> None:
    names = ["elu", "elu", "relu", "elu"]
    found = pd.DataFrame(
        {
            "activation.name": names,
            "activation.code": ["3f2a9c1b0d2e", "77e41c000000", None, None],
            "activation.alpha": [1.0, 1.0, None, 0.5],
        }
    )
    assert list(labels(found, "activation")) == [
        *("elu (code 3f2a9c, alpha 1)", "elu (code 77e41c, alpha 1)", "relu"),
        "elu (built in, alpha 0.5)",
    ]
    assert labels(found[:3], "activation")[0] == "elu (code 3f2a9c)"
    assert list(labels(found[:1], "activation")) == ["elu"]


def test_a_function_that_is_to_come_with_this_program_is_one_and_a_file(tmp_path: Path) -> None:
    for part in ("study", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "study/activations.py").open("a", encoding="utf-8") as source:
        source.write("\n\n@ACTIVATIONS.register()\ndef brand_new(z, *, bend: float = 1.0):\n")
        source.write("    return torch.tanh(bend * z)\n")
    (tmp_path / "conf/activation/brand_new.yaml").write_text("name: brand_new\nbend: 1.0\n")
    done = subprocess.run(
        *([sys.executable, "-m", "study", "--multirun", "activation=brand_new", "name=new",
           "activation.bend=1,2", "hydra.launcher.workers=1", *SMALL],),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 networks in outputs/new: 4 ok." in done.stdout
    assert codes(tmp_path / "outputs/new") == []


RANDOM = (
    IMPORTS
    + """
@ACTIVATIONS.register()
def noisy(z):
    return z + torch.randn_like(z)

@INITIALIZERS.register()
def drawn(draw: LayerDraw):
    return torch.nn.init.kaiming_normal_(torch.empty(draw.fan_out, draw.fan_in))

@INITIALIZERS.register()
def given(draw: LayerDraw):
    return draw.weight / draw.fan_in
"""
)


def test_functions_that_draw_random_numbers_of_their_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / "random_units.py").write_text(RANDOM)
    words = ("--multirun", "activation=relu,noisy", "init=drawn,given", "name=random")
    done = subprocess.run(
        [sys.executable, "-m", "study", "--use", "random_units.py", *words, *SMALL],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "8 networks in outputs/random: 2 ok, 6 failed." in done.stdout
    assert "activation=noisy gives other values for the same z" in done.stdout
    assert "init=drawn gives other weights for the same draws" in done.stdout


def test_a_data_set_that_differs_from_call_to_call_is_refused(tmp_path: Path) -> None:
    (tmp_path / "random_data.py").write_text(
        "import numpy as np\n"
        "from study.datasets import DATASETS, Traits\n"
        "@DATASETS.register(Traits(train=100, validation=20, test=20))\n"
        "def loose():\n"
        "    random = np.random.default_rng()\n"
        "    return random.normal(size=(140, 3)), random.integers(0, 2, 140)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "study", "--use", "random_data.py", "data=loose", "batch_size=16"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "cannot use data=loose: it gives other samples at every call; give its random numbers a "
        "fixed seed.\n"
    )
    assert not (tmp_path / "outputs").exists()
