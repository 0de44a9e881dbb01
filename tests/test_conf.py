"""The settings under conf/: every experiment is the sweep it says, every option is known."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from study import app
from study.app import CONF, main
from study.settings import COMMON_PARAMETERS, GROUPS, canonical_condition

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")

SIX = ["sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu"]
EIGHT = [
    *("torch_default", "lecun_normal", "xavier_normal", "he_normal", "orthogonal"),
    *("normal_small", "normal_unit", "xavier_uniform"),
]

AXES: dict[str, dict[str, Sequence[Any]]] = {
    "smoke": {"depth": [2, 4], "activation": SIX[:3:2], "init": ["xavier_normal", "he_normal"]},
    "standard_start": {
        "depth": [2, 4, 8, 16, 32],
        "activation": [*SIX, "identity"],
        "init": ["normal_small", "torch_default", "xavier_normal", "he_normal", "normal_unit"],
    },
    "standard_training": {
        "depth": [2, 4, 8, 32],
        "activation": SIX,
        "init": ["torch_default", "xavier_normal", "he_normal"],
        "lr": [0.03, 0.1, 0.3, 1.0],
    },
    "standard_linear": {
        "depth": [1],
        "activation": ["identity"],
        "init": ["torch_default"],
        "lr": [0.03, 0.1, 0.3, 1.0],
    },
    "full": {
        "depth": [2, 4, 8, 16, 32, 64],
        "activation": SIX,
        "init": EIGHT,
        "lr": [0.01, 0.03, 0.1, 0.3, 1.0],
    },
    "theory_check": {
        "depth": [2, 8, 16, 32],
        "activation": SIX,
        "init": [
            *("normal_small", "lecun_normal", "xavier_normal"),
            *("he_normal", "orthogonal", "normal_unit"),
        ],
    },
    "born_dead": {
        "depth": [2, 4, 8, 16, 32, 64],
        "width": [2, 3, 4, 6, 8],
        "activation": ["relu"],
        "init": ["he_normal"],
    },
    "speed": {"depth": [2, 4, 8, 16, 32, 64], "activation": SIX, "init": EIGHT, "lr": [0.1]},
}
RATES = [0.03, 0.1, 0.3, 1.0, 3.0]
AXES |= {
    "reference_start": AXES["standard_start"],
    "reference_training": AXES["standard_training"] | {"lr": RATES},
    "reference_linear": AXES["standard_linear"] | {"lr": RATES},
    "reference_alone": {"depth": [8, 32], "activation": SIX, "init": ["he_normal"], "lr": [0.1]},
}

# name, data, width, seeds, steps, batch size
PLAIN: dict[str, tuple[str, str, int | str, int, int, int]] = {
    "smoke": ("smoke", "digits", 16, 2, 20, 32),
    "standard_start": ("standard_grid", "mnist1d", 64, 20, 0, 128),
    "standard_training": ("standard_grid", "mnist1d", 64, 5, 200, 128),
    "standard_linear": ("standard_grid", "mnist1d", 64, 5, 200, 128),
    "full": ("full", "mnist1d", 256, 10, 1000, 128),
    "theory_check": ("theory_check", "mnist1d", 256, 10, 0, 128),
    "born_dead": ("born_dead", "mnist1d", "swept", 200, 0, 128),
    "speed": ("speed", "mnist1d", 64, 5, 500, 128),
    "reference_start": ("reference_records", "mnist1d", 64, 30, 0, 128),
    "reference_training": ("reference_records", "mnist1d", 64, 10, 500, 128),
    "reference_linear": ("reference_records", "mnist1d", 64, 10, 500, 128),
    "reference_alone": ("reference_alone_records", "mnist1d", 64, 2, 500, 128),
}

EXPERIMENTS = sorted(Path(CONF, "experiment").glob("*.yaml"))

LEDGER = [path.stem for path in EXPERIMENTS if path.stem.startswith("ledger_")]
"""Held against the claims that need them in tests/claims."""

Conditions = list[dict[str, Any]]


@pytest.fixture
def conditions_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Conditions]:
    """Return a function that runs a command line and gives what arrives at `study.sweep`."""
    arrived: Conditions = []

    def run_conditions(conditions: Conditions, *_more: Any) -> list[dict[str, int]]:
        arrived.extend(conditions)
        return [{"cells": 1, "ok": 1, "diverged": 0, "failed": 0} for _ in conditions]

    module = types.ModuleType("study.sweep")
    module.run_conditions = run_conditions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "study.sweep", module)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Conditions:
        monkeypatch.setattr(sys, "argv", ["study", *arguments])
        assert main() == 0
        return arrived

    return run


def test_every_experiment_is_tested_here() -> None:
    assert {path.stem for path in EXPERIMENTS} - set(LEDGER) == set(AXES) == set(PLAIN)


@pytest.mark.parametrize(
    "experiment",
    # the same rules for all; every fourth stands for the others
    [
        pytest.param(one, marks=[pytest.mark.long] * (place % 4 > 0))
        for place, one in enumerate(LEDGER)
    ],
)
def test_an_experiment_of_the_ledger_goes_to_its_study_with_seeds_enough(
    experiment: str, conditions_of: Callable[..., Conditions]
) -> None:
    conditions = conditions_of(f"+experiment={experiment}")
    cells = set()
    for one in conditions:
        assert one["name"] == "ledger"
        assert one["seeds"] >= 10
        rates = {c["optim"]["lr"] for c in conditions}
        assert (one["tuning_seeds"] >= 3) == (one["steps"] > 0 and one["tuning_seeds"] > 0)
        assert len(rates) == 1 or one["tuning_seeds"] or experiment == "ledger_dying"
        settings, seeds = canonical_condition(
            {key: value for key, value in one.items() if key not in ("name", "device", "retry")}
        )
        cells |= {(str(settings), seed) for seed in seeds}
    count = sum(one["seeds"] + one["tuning_seeds"] for one in conditions)
    assert len(cells) == count


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_opens_with_the_command_that_runs_it(path: Path) -> None:
    header, command, *_ = path.read_text().splitlines()
    assert header == "# @package _global_"  # Hydra reads it on the first lines only
    assert command == f"# python -m study +experiment={path.stem}"


@pytest.mark.parametrize("experiment", sorted(AXES))
def test_an_experiment_is_the_whole_sweep_it_says(
    experiment: str, conditions_of: Callable[..., Conditions]
) -> None:
    conditions = conditions_of(f"+experiment={experiment}")
    axes = AXES[experiment]
    found = [
        {
            "depth": one["depth"],
            "activation": one["activation"]["name"],
            "init": one["init"]["name"],
            "lr": one["optim"]["lr"],
            "width": one["width"],
        }
        for one in conditions
    ]
    for axis, values in axes.items():
        assert list(dict.fromkeys(one[axis] for one in found)) == list(values)
    assert len({tuple(one.values()) for one in found}) == len(conditions)
    assert len(conditions) == math.prod(len(values) for values in axes.values())
    plain = {
        (
            *(c["name"], c["data"]["name"], "swept" if "width" in axes else c["width"]),
            *(c["seeds"], c["steps"], c["batch_size"]),
        )
        for c in conditions
    }
    assert plain == {PLAIN[experiment]}
    canonical_condition(conditions[0])
    canonical_condition(conditions[-1])


def test_the_command_line_wins_over_the_experiment(
    conditions_of: Callable[..., Conditions],
) -> None:
    conditions = conditions_of("+experiment=smoke", "depth=3", "seeds=1", "data=moons")
    assert {(c["depth"], c["seeds"], c["data"]["name"]) for c in conditions} == {(3, 1, "moons")}


def test_the_defaults_are_the_documented_ones(conditions_of: Callable[..., Conditions]) -> None:
    [condition] = conditions_of()
    groups = {group: condition.pop(group)["name"] for group in GROUPS}
    assert groups == {"activation": "relu", "init": "he_normal", "data": "mnist1d", "optim": "sgd"}
    assert condition == {
        "name": "default",
        **{"depth": 8, "width": 64, "seed": 0, "seeds": 5, "steps": 300, "batch_size": 128},
        "tuning_seeds": 0,
        **{"bias": True, "norm": "none", "dropout": 0.0, "device": "auto", "dtype": "float32"},
        "retry": "failed",
        "probe": {"steps": 20, "samples": 512},
    }


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_files_and_registered_functions_are_the_same(group: str) -> None:
    paths = Path(CONF, group).glob("*.yaml")
    files: dict[str, Any] = {path.stem: OmegaConf.load(path) for path in paths}
    assert set(files) == set(GROUPS[group])
    for name, written in files.items():
        parameters = GROUPS[group][name].parameters
        assert written.name == name
        assert set(written) == {"name", *COMMON_PARAMETERS.get(group, {}), *parameters}
        assert {key: written[key] for key in parameters} == pytest.approx(parameters)


def _names(config: Any, prefix: str = "") -> list[str]:
    names = []
    for key, value in config.items():
        names += _names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


def test_the_help_page_names_every_setting() -> None:
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("config", return_hydra_config=True)
    page = config.hydra.help.template
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    groups = {group: plain.pop(group) for group in GROUPS}
    plain.pop("hydra")
    for name in [*_names(plain), *(f"{group}.*" for group in groups)]:
        assert f"\n  {name} " in page, name
    for group in groups:
        [told] = re.findall(rf"^  {group}\.\*(.*?)^  \w", page, re.MULTILINE | re.DOTALL)
        for path in Path(CONF, group).glob("*.yaml"):
            for parameter in set(OmegaConf.load(path)) - {"name"}:
                assert re.search(rf"\b{parameter}\b", told), parameter


def test_the_help_page_names_the_settings_of_an_option_that_a_user_adds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "activation"
    shutil.copytree(Path(CONF, "activation"), folder)
    (folder / "mine.yaml").write_text("name: mine\nbend: 1.0\n")
    (folder / "yours.yaml").write_text("name: yours\nbend: 1.0\nnegative_slope: 0.2\n")
    monkeypatch.setattr(app, "CONF", str(tmp_path))
    told = " ".join(app.options_of("activation").split())
    for one in ("negative_slope (leaky_relu, yours)", "bend (mine, yours)", "slope (prelu)"):
        assert one in told.split("; ")
    for path in folder.glob("*.yaml"):
        path.write_text(f"name: {path.stem}\ncommon: 1\n")
    assert app.options_of("activation") == "common"


WITHOUT_TORCH = """
import sys
from study.__main__ import main
for line in ("--help", "--hydra-help", "--cfg job", "--cfg job +experiment=full"):
    sys.argv = ["study", *line.split()]
    try:
        assert main() == 0
    except SystemExit as end:
        assert not end.code
    print("torch imported:", "torch" in sys.modules)
"""


def test_help_and_settings_are_shown_from_any_folder_without_importing_torch(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_TORCH],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(CONF).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.count("torch imported: False") == 4
    assert "python -m study --multirun depth=2,8,32" in done.stdout
    assert "width: 256" in done.stdout
    assert list(tmp_path.iterdir()) == []
