"""Whatever the README says to type, works; whatever it lists, is there."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from study.activations import ACTIVATIONS
from study.datasets import DATASETS
from study.initializers import INITIALIZERS
from study.optimizers import OPTIMIZERS
from study.schema import markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

SMALL = "data=digits data.train_size=100 width=4 batch_size=16 steps=1 seeds=1 probe.samples=16"
"""The README's commands are run as they stand with these settings after them, to take seconds."""


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands(start: str) -> list[list[str]]:
    """Return the README's shell commands that begin with these words, without their comments."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith(start)]


STUDY_COMMANDS = [words for words in commands("python -m study") if "name=elu" not in words]


def run(words: list[str], folder: Path, root: Path = ROOT) -> str:
    """Run a Python command of the README in a folder and return what it printed."""
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def name_of(words: list[str]) -> str:
    """Return the study that a command writes."""
    (name,) = [
        text.split("=")[1] for text in words if text.startswith(("name=", "+experiment="))
    ] or ["default"]
    return "standard_grid" if name.startswith("standard_") else name


def test_there_are_commands_to_test():
    assert len(STUDY_COMMANDS) >= 7
    assert len(commands("make")) == 2


@pytest.mark.parametrize("words", STUDY_COMMANDS, ids=lambda words: "_".join(words[3:])[:50])
def test_a_study_command_runs_and_its_study_can_be_reported(words, tmp_path):
    said = run([*words, *SMALL.split()], tmp_path)
    name = name_of(words)
    assert re.search(rf"^[\d,]+ networks? in outputs/{name}: ", said, re.MULTILINE), said
    reports = [line for line in commands("python -m analysis") if line[3] == f"outputs/{name}"]
    for report in reports:
        said = run(report, tmp_path)
        assert f"Report: outputs/{name}/report/index.html" in said
    if name == "mine":
        (code,) = [block for block in blocks("python") if "open_study" in block]
        assert "decades" in run(["python", "-c", code], tmp_path)


def without_function(source: str, code: str) -> str:
    """Return a module without the function that ``code`` defines: whoever tried it may have kept it."""
    (name,) = re.findall(r"^def (\w+)", code, re.MULTILINE)
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            lines = source.splitlines(keepends=True)
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            return "".join([*lines[: first - 1], *lines[node.end_lineno :]])
    return source


def test_the_example_activation_and_initializer_work_as_written(tmp_path):
    for part in ("study", "conf", "analysis", "hydra_plugins"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for code in blocks("python"):
        for kind in ("ACTIVATIONS", "INITIALIZERS"):
            if f"@{kind}.register" in code:
                path = tmp_path / "study" / f"{kind.lower()}.py"
                source = without_function(path.read_text(encoding="utf-8"), code)
                path.write_text(f"{source}\n\n{code}", encoding="utf-8")
    named = dict(re.findall(r"`(conf/\w+/\w+\.yaml)`:\n\n```yaml\n(.*?)```", README, re.DOTALL))
    assert len(named) == 2
    for path, text in named.items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    (command,) = [words for words in commands("python -m study") if "name=elu" in words]
    said = run([*command, *SMALL.split()], tmp_path, tmp_path)
    assert "8 networks in outputs/elu: 8 ok." in said
    other = [
        "python",
        "-m",
        "study",
        "activation=elu",
        "activation.alpha=0.5",
        "depth=2",
        "name=elu",
    ]
    run([*other, *SMALL.split()], tmp_path, tmp_path)
    code = (
        "from analysis import open_study; con = open_study('outputs/elu'); "
        "print(con.execute(\"SELECT init, settings->'$.activation.alpha', h_mean FROM cells "
        "JOIN layers USING (cell) WHERE activation = 'elu' AND depth = 2 AND layer = 1 AND step = 0 "
        'ORDER BY ALL").fetchall())'
    )
    rows = eval(run(["python", "-c", code], tmp_path, tmp_path))
    assert [(init, float(alpha)) for init, alpha, _ in rows] == [
        ("he_fan_out", 1.0), ("he_normal", 0.5), ("he_normal", 1.0),
    ]  # fmt: skip
    assert len({mean for *_, mean in rows}) == 3


SHIPPED = [
    (
        *("activation", ACTIVATIONS),
        "sigmoid tanh relu leaky_relu prelu gelu silu sine sign identity",
    ),
    (
        *("init", INITIALIZERS),
        "zeros constant normal normal_small normal_unit lecun_normal xavier_uniform xavier_normal "
        "he_uniform he_normal orthogonal torch_default",
    ),
    (
        *("data", DATASETS),
        "digits mnist1d moons spirals gaussian mnist fashion_mnist cifar10 diabetes",
    ),
    ("optim", OPTIMIZERS, "sgd momentum adagrad rmsprop adam"),
]
"""What this program brings along, in order; whoever uses it may have registered more."""


@pytest.mark.parametrize(
    ("setting", "registry", "shipped"), SHIPPED, ids=[setting for setting, *_ in SHIPPED]
)
def test_the_table_of_settings_lists_what_is_registered(setting, registry, shipped):
    (row,) = re.findall(rf"^\| `{setting}` \| (.*?)[;|]", README, re.MULTILINE)
    listed = row.replace(" ", "").split(",")
    assert set(shipped.split()) <= set(listed)
    assert [name for name in registry if name in listed] == listed


def test_make_knows_what_the_readme_says_of_it():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    report = makefile.split("\nreport:")[1].split("\n\n")[0]
    for words in commands("python -m study +experiment=standard"):
        assert words[3] in report


def test_links_and_pictures_of_the_readme_are_there():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_the_documented_schema_is_the_schema():
    assert (ROOT / "docs" / "schema.md").read_text(encoding="utf-8") == markdown()
