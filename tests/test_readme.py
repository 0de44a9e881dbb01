"""Whatever the README says to type, works; whatever it lists, is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
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


MEASURE_COMMANDS = commands("python -m study measure")
STATUS_COMMANDS = commands("python -m study status")
STUDY_COMMANDS = [
    words
    for words in commands("python -m study")
    if "--use" not in words and words not in MEASURE_COMMANDS + STATUS_COMMANDS
]
OWN_COMMANDS = [words for words in commands("python -m study") if "--use" in words]


def run(words: list[str], folder: Path, root: Path | str = ROOT) -> str:
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
    targets = {words[1] for words in commands("make")}
    assert targets == {"report", "test", "ledger", "replicate"}
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


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
        for status in STATUS_COMMANDS:
            assert "networks in outputs/mine: " in run(status, tmp_path)
        query, notebook = [block for block in blocks("python") if 'study("outputs/mine")' in block]
        assert "decades" in run(["python", "-c", query], tmp_path)
        assert "activation" in run(["python", "-c", notebook], tmp_path)
        assert (tmp_path / "atlas.png").stat().st_size > 10_000


def test_the_commands_that_measure_work_as_written_and_list_the_tasks_of_the_readme(tmp_path):
    listing, *measuring = MEASURE_COMMANDS
    said = run(listing, tmp_path)
    rows = re.findall(r"^\| `(\w+)` \| .*\|$", README.split("## Measured once")[1], re.MULTILINE)
    tasks = rows[: rows.index("tanh_identity") + 1]
    assert tasks == re.findall(r"^  (\w+)$", said, re.MULTILINE)
    assert not list(tmp_path.iterdir())
    for words in measuring:
        said = run(words, tmp_path)
        assert len(re.findall(r"^\w+ on cpu: [\d,]+ rows in outputs/", said, re.MULTILINE)) >= 1
    query = "print(len(open_study('outputs/mine').sql('FROM measurements').df()))"
    code = f"from analysis import open_study; {query}"
    # initializers × depths × seeds × (difference and bound)
    assert run(["python", "-c", code], tmp_path).strip() == str(2 * 5 * 3 * 2)


def own_file() -> str:
    """Return the README's example of a user's own file."""
    (code,) = [block for block in blocks("python") if "@ACTIVATIONS.register" in block]
    return code


def test_the_example_of_own_functions_works_as_written(tmp_path):
    (name,) = re.findall(r"in a file of your own, here `(\w+\.py)`", README)
    (tmp_path / name).write_text(own_file(), encoding="utf-8")
    first, second = OWN_COMMANDS
    said = run([*first, *SMALL.split()], tmp_path)
    assert "24 networks in outputs/elu: 24 ok." in said
    said = run([*second, *SMALL.split()], tmp_path)
    assert "2 networks in outputs/alpha: 2 ok" in said
    (report,) = [line for line in commands("python -m analysis") if line[3] == "outputs/elu"]
    assert "Report: outputs/elu/report/index.html" in run(report, tmp_path)
    (why,) = [block for block in blocks("python") if 'study("outputs/elu")' in block]
    assert "error" in run(["python", "-c", why], tmp_path)
    (compare,) = commands("python -m analysis compare")
    said = run(compare, tmp_path)
    assert "Comparison: outputs/elu/compare/elu-relu/index.html" in said
    code = (
        "from analysis import open_study; print([row for name in ('elu', 'alpha') for row in "
        "open_study('outputs/' + name).execute(\"SELECT DISTINCT init, settings->'$.activation.alpha', "
        "h_mean FROM cells JOIN layers USING (cell) WHERE activation = 'elu' AND depth = 2 AND layer = 1 AND "
        'step = 0 ORDER BY ALL").fetchall()])'
    )
    rows = eval(run(["python", "-c", code], tmp_path))
    assert [(init, float(alpha)) for init, alpha, _ in rows] == [
        ("he_fan_out", 1.0), ("he_normal", 1.0), ("he_normal", 0.5), ("he_normal", 2.0),
    ]  # fmt: skip
    assert len({mean for *_, mean in rows}) == 4


def test_the_example_of_an_entry_point_works_as_written(tmp_path):
    (block,) = blocks("toml")
    ((group, points),) = tomllib.loads(block)["project"]["entry-points"].items()
    ((name, module),) = points.items()
    path = tmp_path / "installed" / f"{module.replace('.', '/')}.py"
    path.parent.mkdir(parents=True)
    path.write_text(own_file(), encoding="utf-8")
    info = tmp_path / "installed" / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
    command = [word for word in OWN_COMMANDS[1] if word not in ("--use", "my_units.py")]
    paths = os.pathsep.join([str(ROOT), str(path.parent.parent)])
    assert "2 networks in outputs/alpha: 2 ok." in run([*command, *SMALL.split()], tmp_path, paths)


SHIPPED = [
    (
        *("activation", ACTIVATIONS),
        "sigmoid centred_sigmoid bipolar_sigmoid tanh relu leaky_relu prelu gelu silu sine sign identity",
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
