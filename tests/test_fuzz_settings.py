"""Fuzzed command lines and configuration files: one sentence or a valid run, and nothing else happens.

Everything goes through ``python -m study`` in this process. A run is valid if it can be planned: training is
left out, but for a few tiny ones. An audit hook, which Python calls before it opens a file, makes a folder
or starts a program, sees what a comparison of folders would miss.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import pickle
import re
import shutil
import signal
import socket
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from small import files_under

import study.execution
import study.sweep
from analysis import drawing, figures
from analysis.__main__ import main as analysis_main
from analysis.findings import Finding
from analysis.page import Section, Shown, template
from hydra_plugins.packed_launcher._core import FOLDER_OVERRIDES
from study.__main__ import main
from study.activations import ACTIVATIONS
from study.errors import SettingError
from study.guard import FOR_JOB_FOLDERS
from study.running import Running

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")

SECRET = "s3cr3t-of-the-environment"
"""The value of a variable that no command line can read."""

LONGEST = 120.0
"""Seconds after which an example hangs; on an idle core the slowest take two."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STUDY = re.compile(r"/outputs(/\w[\w.-]*(/.*)?)?$", re.ASCII)
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
CALLS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "pickle.find_class",
)


class HangError(BaseException):
    """Not an ``Exception``: no handler of the program takes it for its own."""


@dataclass
class Watch:
    """What an audit hook sees while it is awake."""

    cache: str = ""
    awake: bool = False
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.awake:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(flags, int) and flags & WRITES) or (
                mode and set(mode) & set("wax+")
            )
            if isinstance(path, int):
                return  # a descriptor: opened before
            if writes and not self.allowed(path):
                self.seen.append(f"{event} {path} {mode}")
        elif event in CHANGES:
            known = event == "os.mkdir" and os.path.isdir(arguments[0])  # changes nothing
            if not known and not self.allowed(arguments[0]):
                self.seen.append(f"{event} {arguments[:2]}")
        elif event in CALLS:
            self.seen.append(f"{event} {str(arguments)[:200]}")

    def allowed(self, path: Any) -> bool:
        """Return whether a path lies in the study's folder, or is a cache of data."""
        place = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
        if place.startswith((self.cache, "/dev/null")):
            return True
        return STUDY.match(place.removeprefix(os.getcwd())) is not None


WATCH = Watch()
_hooked: list[Watch] = []


@dataclass
class World:
    """Where the fuzzed command runs.

    Attributes:
        top: the test's folder; the working folder lies two levels below.
        own: the folder of the user's configuration files.
    """

    top: Path
    own: Path
    counts: Counter[int] = field(default_factory=Counter)

    def run(self, words: list[str]) -> tuple[int, str, str]:
        """Run the command and return exit code, output and errors; an exception is the test's failure."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
        err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        before, level = sys.argv, logging.root.level
        sys.argv = ["study", *words]
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        WATCH.seen.clear()
        WATCH.awake = True
        try:
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                warnings.simplefilter("always")
                try:
                    code = main()
                except SystemExit as end:
                    code = int(end.code or 0)
        finally:
            WATCH.awake = False
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            sys.argv = before
            logging.root.setLevel(level)
        self.counts[code] += 1
        for stream in (out, err):
            stream.flush()
        said, told = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
        return code, said, told

    def hold(self, words: list[str], *, secret: bool = True) -> tuple[int, str, str]:
        """Run the command and hold it to the promise: a sentence or a plan, and no trace of either."""
        before = files_under(self.top)
        code, said, told = self.run(words)
        assert WATCH.seen == []
        shutil.rmtree(self.top / "a" / "b" / "outputs", ignore_errors=True)
        assert files_under(self.top) == before
        assert code in (0, 2), (code, told)
        if code == 2:
            assert told.count("\n") == 1, told
            assert told.startswith("cannot "), told
            assert told.endswith(".\n"), told
            assert told[:-1].isprintable(), told
            assert len(told) < 3_100
        else:
            assert told == ""
            assert said
        assert "Traceback" not in told
        if secret:
            assert SECRET not in said + told
        return code, said, told


CANARY = """
import pathlib

here = pathlib.Path(__file__).parent
(here / "imported").write_text("imported")


def boom(*values, **more):
    (here / "called").write_text("called")


class Boom:
    def __init__(self, *values, **more):
        boom()
"""


class Bomb:
    """Leaves a trace when its pickle is read."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.mkdir, (Path(self.place),)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return a working folder, canaries and a program that plans and does not train."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "markup.py").write_text("1 / 0  # <b>\n")
    (inner / "bomb.pickle").write_bytes(pickle.dumps(Bomb(str(tmp_path / "unpickled"))))
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "canary_fuzz.py").write_text(CANARY)
    own = tmp_path / "own"
    own.mkdir()
    cache = tmp_path.parent / f"{tmp_path.name}-cache"
    cache.mkdir()
    monkeypatch.chdir(inner)
    monkeypatch.syspath_prepend(str(tmp_path / "canary"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("XDG_CACHE_HOME", "SCIKIT_LEARN_DATA"):
        monkeypatch.setenv(name, str(cache))
    monkeypatch.setenv("SECRET_OF_FUZZ", SECRET)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    def refuse(*_address: Any, **_more: Any) -> Any:
        raise ConnectionRefusedError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    run_conditions = study.sweep.run_conditions

    def plan(conditions: Any, command: Any, running: Running) -> Any:
        return run_conditions(conditions, command, dataclasses.replace(running, dry_run=True))

    monkeypatch.setattr(study.sweep, "run_conditions", plan)
    for module in (study.sweep, study.execution):
        monkeypatch.setattr(module, "start_server", lambda: None)

    def hang(*_signal: Any) -> None:
        raise HangError(f"no end after {LONGEST:g} s")

    previous = signal.signal(signal.SIGALRM, hang)
    WATCH.cache = str(cache)
    if not _hooked:
        sys.addaudithook(WATCH)  # for as long as the process lives, asleep but for this
        _hooked.append(WATCH)
    yield World(tmp_path, own)
    signal.signal(signal.SIGALRM, previous)
    sys.modules.pop("canary_fuzz", None)


MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "$\\frac{1}{$",
    "$x$",
    "&lt;b",
)
TEXTS = st.text(st.characters(exclude_categories=[]), max_size=12)
INTERPOLATIONS = (
    *("${oc.env:SECRET_OF_FUZZ}", "${oc.env:HOME}", "${oc.decode:${oc.env:SECRET_OF_FUZZ}}"),
    *("${oc.create:{_target_:canary_fuzz.boom}}", "${depth}", "${nowhere}", "${hydra:runtime.cwd}"),
    *("${options_of:../../..}", "${", "${}", "${depth", "${.}", "${..}", "${oc.decode:'[1'}"),
    *(
        "${now:%Y}",
        "${oc.select:hydra}",
        "${hydra:}",
        "${oc.dict.keys:hydra}",
        "${python_version:x}",
    ),
)
ESCAPED = (
    *("$\\{oc.env:SECRET_OF_FUZZ\\}", "x$\\{oc.env:SECRET_OF_FUZZ\\}", "[$\\{depth\\}]"),
    *("{a:$\\{oc.env:SECRET_OF_FUZZ\\}}", "a,$\\{oc.env:SECRET_OF_FUZZ\\}", "$\\{"),
    *("'${oc.env:SECRET_OF_FUZZ}'", "choice($\\{oc.env:SECRET_OF_FUZZ\\},2)"),
)
NODES = (
    *("{_target_:canary_fuzz.boom}", "{_target_:canary_fuzz.Boom,_args_:[1]}", "{_partial_:true}"),
    *("{_target_:os.system,_args_:['touch called']}", "[{_target_:canary_fuzz.boom}]"),
    *("{name:relu,_target_:canary_fuzz.boom}", "{a:{_target_:canary_fuzz.boom,_recursive_:true}}"),
)
PLACES = (
    *(
        "..",
        "../../escape",
        "/tmp/escape",
        "a/../../b",
        "outputs/../../x",
        ".",
        "/",
        "~",
        "\0",
        "a\0b",
    ),
    *("C:\\\\x", "//host/share", "file:///etc/passwd", "pkg://canary_fuzz", "nul", ".hidden", "-x"),
)
NUMBERS = (
    *("1e999", "-1e999", "nan", "inf", "-inf", "-0.0", "-0", str(10**40), "9" * 500, "9" * 5000),
    *("1e-400", "0x10", "1_000", "1e3", "0.5", "-1", "0", "1", "2", "3", "true", "null", "???"),
    *("9223372036854775808", "1000001", "1e18", "100000000000", "1.0000000001", "+1", "1__0"),
)
SWEEPS = (
    *(
        "1,2",
        "range(1,4)",
        "range(1,1000000000000)",
        "range(0,1,1e-300)",
        "range(1,inf)",
        "glob(*)",
    ),
    *(
        "range(5,5)",
        "range(1,5,0)",
        "range(nan,2)",
        "interval(0,1)",
        "choice(1,2,3)",
        "sort(3,1,2)",
    ),
    *(
        "shuffle(range(1,1e15))",
        "shuffle(1,2)",
        "tag(a,1,2)",
        "int(1.5)",
        "str(range(1,3))",
        "glob()",
    ),
    *(
        "relu,tanh",
        "glob([*],exclude=[*])",
        "sgd,nope",
        "range(1,3),4",
        "extend_list(1)",
        "json_str(1)",
    ),
)
ODD = (
    *(
        "",
        " ",
        "=",
        ",",
        "'",
        '"',
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ":",
        "\\",
        "\n",
        "\r\n",
        "\t",
        "\x1b[31m",
    ),
    *("[" * 400, "[" * 2000 + "]" * 2000, "{a:" * 300, "a" * 10_000, "=" * 2_000, "é" * 3_000),
    *("\ud800", "\udcff", "\u202e", "\u2028", "💥", "ⅷ", "a=b", "[1,2,3]", "{a:1}", "{}", "[]"),
    *("'quoted'", '"a\\"b"', "relu", "he_normal", "sgd", "moons", "all", "float64", "batch"),
)
VALUES = st.one_of(
    st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.sampled_from(ODD), st.sampled_from(MARKUP),
    st.sampled_from(INTERPOLATIONS + ESCAPED), st.sampled_from(NODES), st.sampled_from(PLACES),
    st.sampled_from(SWEEPS), TEXTS, st.integers().map(str), st.floats().map(repr),
)  # fmt: skip
SETTINGS = (
    *("depth", "width", "steps", "batch_size", "seed", "tuning_seeds", "bias", "norm"),
    *("dropout", "device", "dtype", "probe", "probe.steps", "probe.samples", "name", "name"),
    *("optim.lr", "optim.momentum", "optim.clip_norm", "optim.clip_value", "optim.weight_decay"),
    *("init.gain", "init.std", "data.label_noise", "data.train_size", "activation.name"),
    *("data.dim", "data.classes", "data.noise", "activation.slope", "init.layer", "init.epochs"),
)
GROUPS = ("activation", "init", "data", "optim")
HYDRA = (
    *(
        "hydra.run.dir",
        "hydra.sweep.dir",
        "hydra.sweep.subdir",
        "hydra.output_subdir",
        "hydra.job.chdir",
    ),
    *("hydra.searchpath", "hydra.callbacks", "hydra.job.env_set.X", "hydra.job.env_copy", "hydra"),
    *("hydra.job_logging", "hydra/job_logging", "hydra.verbose", "hydra.mode", "hydra/launcher"),
    *("hydra.launcher.workers", "hydra.launcher.pack_size", "hydra.launcher.job_folders"),
    *("hydra.launcher.x", "hydra.launcher._target_", "hydra.launcher._partial_", "hydra.launcher"),
    *(
        "hydra.sweeper.params",
        "hydra.sweeper.max_batch_size",
        "hydra.sweeper._args_",
        "hydra/sweeper",
    ),
    *(
        "hydra.sweeper.params.depth",
        "hydra.help.template",
        "hydra.job.name",
        "hydra.sweeper.params.x",
    ),
)
KEYS = st.one_of(
    st.sampled_from(SETTINGS), st.sampled_from(SETTINGS), st.sampled_from(GROUPS), st.sampled_from(HYDRA),
    st.sampled_from(("experiment", "experiment", "depht", "lr", "a.b.c", "data@x", "init@_global_")),
    st.sampled_from(("activation@optim", "@", "x@", "@x", "a:b", "depth.x", "optim", "probe.x", "0")),
    st.sampled_from(("activation/relu", "../conf", "hydra/../activation", "_target_", "__class__")),
    TEXTS,
)  # fmt: skip
CHOSEN = st.sampled_from((
    *("relu", "tanh", "sigmoid", "he_normal", "zeros", "lsuv", "rbm", "killed", "sgd", "adam", "digits"),
    *("moons", "spirals", "gaussian", "diabetes", "mnist", "smoke", "full", "../activation/relu"),
    *("packed", "basic", "nope", "../../../../etc/passwd", "config", "relu.yaml", "/etc/hostname"),
))  # fmt: skip
FLAGS = st.one_of(
    st.sampled_from((
        ["-m"], ["--multirun"], ["--run"], ["--cfg", "job"], ["--cfg", "all"], ["--cfg", "x"],
        ["--cfg", "job", "--resolve"], ["--cfg", "job", "--package", "optim"], ["--resolve"], ["--help"],
        ["--cfg", "job", "--package", "../x"], ["--hydra-help"], ["--info", "searchpath"], ["--info"],
        ["--info", "defaults-tree"], ["--version"], ["--shell-completion"], ["-sc", "install=bash"],
        ["--experimental-rerun", "bomb.pickle"], ["--use"], ["--use", ""], ["--use", "markup.py"],
        ["--config-path", "pkg://canary_fuzz"], ["--config-name", "../x"], ["--config-name", "\0"],
        ["-cd", ".."], ["-cn", "nope"], ["-cp", "/"], ["--", "depth=1"], ["-x"], ["--multi"],
    )),
    st.tuples(
        st.sampled_from(("--config-dir", "--config-path", "--config-name", "--use", "-cd", "--info")),
        st.one_of(st.sampled_from(PLACES + MARKUP + ODD), TEXTS),
    ).map(list).filter(lambda pair: pair != ["--use", "pkg://canary_fuzz"]),
)  # fmt: skip


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """Draw one word of a command line."""
    kind = draw(st.integers(0, 9))
    sign = draw(st.sampled_from(("", "", "", "", "", "+", "++", "~")))
    if kind == 0:
        return draw(st.one_of(VALUES, TEXTS))
    if kind == 1:
        group = draw(st.sampled_from((*GROUPS, "hydra/launcher", "hydra/sweeper")))
        return f"{sign}{group}={draw(CHOSEN)}"
    if kind == 2:
        return f"+experiment={draw(st.one_of(CHOSEN, VALUES))}"
    if kind in (3, 4, 5):
        return draw(st.sampled_from((
            "depth=2", "width=4", "steps=0", "seeds=2", "activation=tanh", "norm=batch", "probe.steps=5",
            "name=a.b-c_", "optim=adam", "activation=glob(*)", "++width=5", "bias=false", "depth=3,4",
            "hydra.launcher.job_folders=true", "dtype=float64",
        )))  # fmt: skip
    return f"{sign}{draw(KEYS)}={draw(VALUES)}"


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw the words behind ``python -m study``; training is small where they leave it open."""
    words = draw(st.lists(overrides(), min_size=1, max_size=6))
    if not any("data=" in word for word in words):
        words.append("data=digits")  # the default one takes seconds to make
    if draw(st.booleans()):
        words.append("hydra.launcher.dry_run=true")
    before = draw(st.sampled_from(([], [], ["-m"])))
    if draw(st.integers(0, 4)) == 0:
        flags = draw(FLAGS)
        return [*flags, *before, *words] if draw(st.booleans()) else [*before, *words, *flags]
    return [*before, *words]


BOMB = "\n".join(
    ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"b{one}: &a{one + 1} [{', '.join([f'*a{one}'] * 9)}]" for one in range(9)]
)
MERGED = "\n".join(
    ["a: &a0 {x: 1}"]
    + [f"b{one}: &a{one + 1} {{<<: [{', '.join([f'*a{one}'] * 9)}]}}" for one in range(9)]
)
DOUBLING = (
    *("width", "steps", "seed", "seeds", "batch_size", "tuning_seeds", "dropout", "norm", "dtype"),
    *("device", "bias", "probe.steps", "probe.samples", "optim.lr", "optim.weight_decay"),
    *("data.label_noise", "data.train_size", "activation.name", "init.name", "data.name", "name"),
)


def doubling() -> str:
    """Return settings each of which is the next one four times."""
    found: dict[str, Any] = {}
    for key, following in zip(("depth", *DOUBLING), (*DOUBLING, ""), strict=True):
        place = found
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = f"${{{following}}}" * 4 if following else "x"
    return yaml.safe_dump(found)


FILES = st.sampled_from((
    "a: !!python/object/apply:os.system ['touch called']",
    "depth: !!python/object/apply:canary_fuzz.boom []",
    "depth: !!python/name:canary_fuzz.boom",
    "depth: !!python/module:canary_fuzz",
    "depth: !!binary AAAA", "depth: !!set {a, b}", "depth: !!timestamp 2001-13-45", "? [a, b]\n: c",
    "hydra: {callbacks: {x: {_target_: canary_fuzz.Boom}}}",
    "hydra: {launcher: {x: {_target_: canary_fuzz.boom}}}",
    "hydra: {launcher: {_target_: canary_fuzz.boom}}",
    "hydra: {launcher: {_partial_: true}}", "hydra: {launcher: 3}", "hydra: {launcher: null}",
    "hydra: {sweeper: {_target_: canary_fuzz.boom}}",
    "hydra: {sweeper: {params: {_target_: canary_fuzz.boom}}}",
    "hydra: {mode: MULTIRUN, sweeper: {params: {depth: 'range(1,1000000000)'}}}",
    "hydra: {mode: MULTIRUN, sweeper: {params: {depth: '1,2', width: '1,2', steps: 'range(0,3)'}}}",
    "hydra: {mode: MULTIRUN, sweeper: {params: {hydra.output_subdir: .hydra, hydra/launcher: basic}}}",
    "hydra: {mode: MULTIRUN, sweeper: {params: {depth: '${oc.env:HOME}', name: '<b>', '': 1}}}",
    "hydra: {mode: MULTIRUN, sweeper: {params: [depth]}}", "hydra: {sweeper: {params: depth}}",
    "hydra: {mode: BOTH}", "hydra: {verbose: {a: 1}}", "hydra: {verbose: [null, 1]}", "hydra: 3",
    "hydra: {job_logging: {handlers: {x: {(): canary_fuzz.boom}}, root: {handlers: [x]}}}",
    "hydra: {hydra_logging: {formatters: {x: {(): canary_fuzz.boom}}, root: {handlers: []}}}",
    "hydra: {job_logging: {handlers: {x: {class: logging.FileHandler, filename: called}}, root: {}}}",
    "hydra: {job_logging: null}", "hydra: {hydra_logging: 3}", "hydra: {job_logging: {root: {}}}",
    "hydra: {run: {dir: ../../escape}}", "hydra: {run: {dir: '${now:%Y}'}}", "hydra: {run: null}",
    "hydra: {sweep: {dir: ../../escape, subdir: x}}", "hydra: {output_subdir: .hydra}",
    "hydra: {job: {chdir: true, env_set: {PATH: x}, env_copy: [NOPE]}}", "hydra: {job: {name: ../x}}",
    "hydra: {job: {env_copy: [SECRET_OF_FUZZ]}}", "hydra: {job: {config: {override_dirname: 3}}}",
    "hydra: {searchpath: ['pkg://canary_fuzz']}", "hydra: {searchpath: [/]}", "hydra: {searchpath: 3}",
    "hydra: {runtime: {output_dir: ../../escape, choices: {experiment: ../../x}}}",
    "hydra: {help: {template: '$X ${nowhere}'}}",
    "defaults: [canary_fuzz, /../../x]", "defaults: ['/activation: ../../../etc/passwd']",
    "defaults: [override hydra/job_logging: default]", "defaults: [override /data: moons]",
    "defaults: [override hydra/launcher: basic]", "defaults: [own]", "defaults: [/experiment/own]",
    "defaults: {a: b}", "defaults: [1, null, [a]]", "defaults: ['/activation@x: relu', _self_]",
    "defaults: [override /activation: '${oc.env:SECRET_OF_FUZZ}']", "defaults: [/hydra/callbacks: x]",
    BOMB, MERGED, doubling(), "a: &a [*a]", "a: &a {b: *a}", "depth: &a *a", "[" * 3_000,
    "a: " + "{b: " * 500 + "1" + "}" * 500, "depth: ${depth}", "depth: ${width}\nwidth: ${depth}",
    "depth: ${depth", "depth: ${oc.env:NOPE}", "name: ${oc.env:SECRET_OF_FUZZ}", "name: ${hydra:}",
    "depth: " + "9" * 5_000, "depth: 1e999", "depth: .nan", "depth: 0o17", "depth: 1:30:00",
    "depth: 2\ndepth: 3", "depth: '\ud800'", 'name: "\\ud800"', 'name: "\\0"', "name: <b>", "depth: x\ny",
    "name: [x]", "name: {a: b}", "activation: relu", "activation: null", "activation: [relu]", "probe: 3",
    "optim: {lr: fast}", "data: {name: 3}", "init: {name: ${oc.create:[1]}}", "1: 2", "null: 1", "a.b: 1",
    "", "null", "3", "[]", "- 1", "---\na: 1\n---\nb: 2", "%YAML 9.9\n---\na: 1",
    "# @package hydra.callbacks",
    "depth: 2", "depth: ${width}\nwidth: 4", "name: odd.name-\nsteps: 0", "seeds: ${oc.decode:'2'}",
))  # fmt: skip
LEAVES = st.one_of(
    st.sampled_from(INTERPOLATIONS + MARKUP + PLACES), TEXTS, st.none(), st.booleans(), st.integers(),
    st.floats(), st.just(10**400), st.dates(), st.binary(max_size=4),
)  # fmt: skip
MAPPINGS = st.dictionaries(
    st.one_of(
        st.sampled_from(tuple(key.partition(".")[0] for key in SETTINGS)), TEXTS, st.integers(),
        st.sampled_from((*GROUPS, "defaults", "hydra", "_target_", "_args_", "name", "experiment")),
    ),
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("name", "_target_", "lr", "steps", "dir", "launcher", "job", "run")) | TEXTS,
            inner, max_size=3,
        ),
        max_leaves=6,
    ),
    max_size=4,
)  # fmt: skip


def dumped(value: Any) -> bytes:
    """Return a value as YAML, or something like it where it cannot be."""
    try:
        return yaml.dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")
    except yaml.YAMLError:
        return repr(value).encode("utf-8", "surrogatepass")


CONTENTS = st.one_of(
    FILES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(FILES, min_size=2, max_size=3).map(
        lambda texts: "\n".join(texts).encode("utf-8", "surrogatepass")
    ),
    MAPPINGS.map(dumped),
    st.binary(max_size=60),
    st.text(st.characters(exclude_categories=[]), max_size=60).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    ),
)
HEADERS = st.sampled_from((
    *(b"# @package _global_\n",) * 5, b"", b"# @package hydra.callbacks\n", b"# @package _group_.x\n",
    b"# @package \xff\n", b"# @package\n", b"# @package a b\n", b"# @package hydra\n",
))  # fmt: skip
PLACED = st.sampled_from((
    *(("experiment/own.yaml", "+experiment=own"),) * 6,
    ("activation/own.yaml", "activation=own"), ("optim/own.yaml", "optim=own"),
    ("data/own.yaml", "data=own"), ("init/own.yaml", "init=own"), ("own/own.yaml", "+own=own"),
    ("hydra/launcher/own.yaml", "hydra/launcher=own"), ("hydra/job_logging/none.yaml", "depth=2"),
    ("hydra/callbacks/own.yaml", "+hydra/callbacks=own"), ("config.yaml", "depth=2"),
    ("config.yaml", "--config-path"), ("primary.yaml", "--config-name=primary"),
))  # fmt: skip
Files = tuple[str, str, bytes, list[str]]


@st.composite
def configurations(draw: st.DrawFn) -> Files:
    """Draw a configuration file, where it lies, what chooses it, and further words."""
    place, chooser = draw(PLACED)
    content = draw(HEADERS) + draw(CONTENTS)
    words = draw(st.lists(overrides(), max_size=1)) if draw(st.integers(0, 3)) == 0 else []
    words += draw(
        st.sampled_from(([], ["-m"], ["hydra.launcher.job_folders=true"], ["--cfg", "job"]))
    )
    words += draw(st.sampled_from(([], ["hydra.launcher.dry_run=true"])))
    if chooser not in ("data=own", "--config-path", "--config-name=primary"):
        words.append("data=digits")
    return place, chooser, content, words


def check_file(world: World, files: Files) -> tuple[int, str, str]:
    """Hold a command that reads a configuration file to the promise."""
    place, chooser, content, words = *files[:3], [*files[3]]
    shutil.rmtree(world.own)
    path = world.own / place
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    folder = "path" if chooser == "--config-path" else "dir"
    flags = [f"--config-{folder}={world.own}"]
    if chooser != "--config-path":
        (flags if chooser.startswith("-") else words).append(chooser)
    # Hydra takes settings in one row
    flags += [word for word in words if word in ("-m", "--cfg", "job")]
    words = [word for word in words if word not in ("-m", "--cfg", "job")]
    # a file may ask for a variable, so what it holds may be shown
    return world.hold([*flags, *words], secret=False)


ORDINARY = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate),
    "database": None,
}
"""Without shrinking: each try takes as long as a run; an example is short enough to be read as it is."""

QUICK = settings(max_examples=60, derandomize=True, **ORDINARY)
LONG = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "10000")), **ORDINARY)


@QUICK
@given(command_lines())
def _quick_lines(world: World, words: list[str]) -> None:
    world.hold(words)


@QUICK
@given(configurations())
def _quick_files(world: World, files: Files) -> None:
    check_file(world, files)


@LONG
@given(command_lines())
def _many_lines(world: World, words: list[str]) -> None:
    world.hold(words)


@LONG
@given(configurations())
def _many_files(world: World, files: Files) -> None:
    check_file(world, files)


def test_a_fuzzed_command_line_is_told_or_planned_and_nothing_else(world: World) -> None:
    _quick_lines(world)
    assert min(world.counts[0], world.counts[2]) > 3, world.counts  # some are valid


def test_a_fuzzed_configuration_file_is_told_or_planned_and_nothing_else(world: World) -> None:
    _quick_files(world)
    assert min(world.counts[0], world.counts[2]) > 3, world.counts


@pytest.mark.long
def test_ten_thousand_fuzzed_command_lines(world: World) -> None:
    _many_lines(world)


@pytest.mark.long
def test_ten_thousand_fuzzed_configuration_files(world: World) -> None:
    _many_files(world)


def test_what_the_launcher_adds_for_a_job_folder_is_what_the_guard_lets_pass() -> None:
    assert FOR_JOB_FOLDERS == FOLDER_OVERRIDES


FOUND = [
    ["depth=$\\{oc.env:SECRET_OF_FUZZ\\}"],
    ["-m", "name=a,$\\{oc.env:SECRET_OF_FUZZ\\}"],
    ["activation={name:$\\{oc.env:SECRET_OF_FUZZ\\}}"],
    ["depth=" + "9" * 5_000],
    ["depth=" + "[" * 300 + "]" * 300],
    ["=1"],
    ["name=\x1b[31mred"],
    ["depht=" + "x" * 10_000],
    ["x" * 10_000 + "=1"],
    ["--config-path", "\0"],
    ["--config-path", "pkg://canary_fuzz"],
    ["--config-dir", "a" * 5_000],
    ["--use", "a" * 5_000],
    ["--experimental-rerun", "bomb.pickle"],
    ["-m", "+hydra.launcher.x={_target_:canary_fuzz.boom}"],
    ["-m", "hydra.launcher._target_=canary_fuzz.boom"],
    ["-m", "+hydra.launcher._partial_=true"],
    ["-m", "+hydra.launcher._args_=[1]"],
    ["-m", "hydra.sweeper.params={_target_:canary_fuzz.boom}"],
    ["hydra.verbose={a:1}"],
    ["hydra.verbose=[1]"],
    ["-m", "depth=range(1,1000000000000)"],
    ["-m", "activation=range(1,1000000000000)"],
    ["-m", "depth=range(1,inf)"],
    ["-m", "depth=range(1,2000)", "width=range(1,2000)"],
    ["-m", "depth=1,2,3", "seeds=1000000"],
    ["data=gaussian", "data.dim=10000000000"],
    ["data=gaussian", "data.classes=100000000000000000000"],
]
"""Command lines that once had another end than a sentence, or worse."""


def test_hydras_own_sweeper_leaves_no_file_beside_the_study(world: World) -> None:
    """It writes one even where the settings are refused afterwards."""
    for words in (["data=digits"], ["data=digits", "hydra.launcher.dry_run=true"]):
        world.hold(["-m", "hydra/sweeper=basic", *words])


@pytest.mark.parametrize("words", FOUND, ids=[" ".join(words)[:60] for words in FOUND])
def test_a_command_line_that_was_found_is_refused(words: list[str], world: World) -> None:
    code, _, told = world.hold(words)
    assert code == 2
    assert "Error" not in told or "hydra.sweeper.params" in words[-1], told


OWN = ("experiment/own.yaml", "+experiment=own")
FOUND_FILES: list[tuple[str, str]] = [
    ("hydra: {callbacks: {x: {_target_: canary_fuzz.Boom}}}", "cannot set hydra.callbacks="),
    (
        "hydra: {job_logging: {handlers: {x: {(): canary_fuzz.boom}}, root: {handlers: [x]}}}",
        "cannot set hydra.job_logging=",
    ),
    (
        "hydra: {hydra_logging: {handlers: {x: {(): canary_fuzz.boom}}, root: {handlers: [x]}}}",
        "cannot set hydra.hydra_logging=",
    ),
    (
        "hydra: {mode: MULTIRUN, launcher: {workers: {_target_: canary_fuzz.boom}}}",
        "cannot ",
    ),
    (
        "hydra: {mode: MULTIRUN, sweeper: {_target_: canary_fuzz.boom}}",
        "cannot set hydra.sweeper._target_=canary_fuzz.boom",
    ),
    (
        "hydra: {mode: MULTIRUN, sweeper: {params: {_target_: canary_fuzz.boom}}}",
        "cannot set hydra.sweeper.params._target_=canary_fuzz.boom",
    ),
    (
        "hydra: {mode: MULTIRUN, sweeper: {params: {hydra.output_subdir: .hydra}}}",
        "cannot set hydra.sweeper.params.hydra.output_subdir=.hydra",
    ),
    (
        "hydra: {mode: MULTIRUN, sweeper: {params: {depth: 'range(1,1000000000)'}}}",
        "a sweep has at most 1,000,000 conditions",
    ),
    ("hydra: {run: {dir: ../../escape}}", "cannot set hydra.run.dir=../../escape"),
    ("hydra: {output_subdir: .hydra}", "cannot set hydra.output_subdir=.hydra"),
    ("hydra: {job: {env_set: {PATH: x}}}", "cannot set hydra.job.env_set="),
    ("hydra: {job: {env_copy: [SECRET_OF_FUZZ]}}", "cannot set hydra.job.env_copy="),
    ("hydra: {job: {env_copy: [NOPE]}}", "cannot compose the settings: KeyError"),
    ("hydra: {job: {name: ../x}}", "cannot set hydra.job.name=../x"),
    ("hydra: {verbose: [null]}", "cannot use hydra.verbose="),
    (BOMB, "more than 20,000 values"),
    (MERGED, "more than 20,000 values"),
    ("a: &a [*a]", "more than 20,000 values"),
    (doubling(), "more than 1,000 interpolations"),
    ("- 1", "it must hold settings"),
    ("depth: " + "9" * 5_000, "Exceeds the limit"),
    ("a: " + "x" * 300_000, "at most 200,000 bytes"),
    ("\udcff", "it is no text in UTF-8"),
]


@pytest.mark.parametrize("mode", [[], ["-m", "hydra.launcher.job_folders=true"]])
@pytest.mark.parametrize(
    ("text", "fragment"), FOUND_FILES, ids=[text[:50] for text, _ in FOUND_FILES]
)
def test_a_configuration_file_that_was_found_is_refused(
    text: str, fragment: str, mode: list[str], world: World
) -> None:
    content = b"# @package _global_\n" + text.encode("utf-8", "surrogateescape")
    code, _, told = check_file(world, (*OWN, content, [*mode, "data=digits"]))
    assert code == 2
    assert fragment in told


def test_more_folders_for_hydra_to_look_in_are_refused(world: World) -> None:
    content = b"hydra: {searchpath: ['pkg://canary_fuzz']}"
    for place, chooser in (
        ("config.yaml", "--config-path"),
        ("primary.yaml", "--config-name=primary"),
    ):
        code, _, told = check_file(world, (place, chooser, content, []))
        assert code == 2
        assert "hydra.searchpath cannot be set" in told


def test_a_configuration_file_may_still_do_what_files_are_for(world: World) -> None:
    for text in (
        "depth: ${width}\nwidth: 4",
        "steps: ${oc.decode:'2'}",
        "a: &a 3",
        "hydra: {mode: MULTIRUN, sweeper: {params: {depth: '1,2', activation: 'glob(re*)'}}}",
        "hydra: {launcher: {workers: 2, job_folders: true}}",
        "defaults: [override /data: moons]",
    ):
        content = (
            b"# @package _global_\n" + text.replace("a: &a 3", "depth: &a 3\nwidth: *a").encode()
        )
        code, said, told = check_file(world, (*OWN, content, ["data=digits"]))
        assert (code, told) == (0, "")
        assert "This was a dry run" in said


class Tags(HTMLParser):
    """The elements and attributes of a page, and the addresses they name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(key for key, _ in attrs)))
        self.addresses += [value or "" for key, value in attrs if key in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(name: str, text: str) -> str:
    """Return a page of a template with a text in every place that a study can put one."""
    shown = Shown("slug", text, text, text, "data:,", 5.0)
    section = Section("start", text, [shown], [(text, text)])
    more: dict[str, Any] = {
        "report.html": {"scope": text, "parts": [{text: text, "n": 1.5}], "failures": [(text, 3)]},
        "compare.html": {"one": text, "other": text, "pairs": ["pairs.csv"]},
    }[name]
    return template(name).render(
        name=text,
        total=text,
        counts={text: text},
        sections=[section],
        findings=[Finding(text, "slug")],
        notes=[text],
        provenance={
            "commands": [text], "environments": [text], "packs": text, "networks": text, "bits": None,
            "digest": text, "program": text,
        },
        **more,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["report.html", "compare.html"])
@settings(max_examples=100, derandomize=True, **ORDINARY)
@given(
    text=st.sampled_from(MARKUP + ODD + INTERPOLATIONS) | st.text("<>&\"'=/ax- !\0\n", max_size=30)
)
@example(text="'\"><svg onload=alert(1)>")
@example(text="--></title></style></script><script>alert(1)</script>")
def test_a_text_in_any_place_of_a_page_adds_no_element(name: str, text: str) -> None:
    plain, odd = Tags(page_of(name, "plain")), Tags(page_of(name, text))
    assert odd.found == plain.found
    assert odd.addresses == plain.addresses


BROKEN = """
from study.activations import ACTIVATIONS


@ACTIVATIONS.register()
def broken(z, *, größe=1.0):
    raise ValueError("<script>alert(1)</script> $x$ $\\\\frac{ \\x1b \\ud800 --> ]]> &")
"""
TINY = (
    *("device=cpu", "data=digits", "depth=2", "width=4", "steps=2", "batch_size=8", "seeds=2"),
    *("probe.steps=2", "probe.samples=8", "hydra.launcher.workers=1"),
)
FOLDERS = (
    "<script>alert(1)<!--",
    "<img src=x onerror=alert(1)> $x$ $\\frac{1}{$ '\"é",
    "-m..",
    "a\nb [1]*?",
)


@pytest.fixture
def study_of_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a study whose command and errors hold what a page could take for its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    (tmp_path / "<b>$x$.py").write_text(BROKEN)
    (tmp_path / "caf\udce9").mkdir()
    for words in (
        ["--use", "<b>$x$.py", "-m", "activation=broken,relu", "activation.name=broken,relu"],
        ["--config-dir", "caf\udce9", "-m", "activation=tanh,relu"],
    ):
        words = [word for word in words if not word.startswith("activation.name")]
        monkeypatch.setattr(sys, "argv", ["study", *words, "name=_a..b-", *TINY])
        assert main() == (1 if "--use" in words else 0)
    return tmp_path / "outputs" / "_a..b-"


@pytest.mark.slow
def test_a_study_of_odd_names_has_a_page_without_live_markup(
    study_of_odd_names: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study_of_odd_names
    monkeypatch.setattr(drawing, "cores", lambda: 1)
    unreadable = folder.rename(folder.with_name("\udcff"))
    assert analysis_main([str(unreadable)]) == 2
    assert "is no UTF-8, so rename the folder" in capsys.readouterr().err
    folder = unreadable.rename(folder)
    texts = []
    for number, name in enumerate(("_a..b-", *FOLDERS)):
        folder = folder.rename(folder.with_name(name))
        if number == 2:  # the figures do not depend on the folder, and have been looked at
            for kind in ("START", "TRAINING", "START_APPENDIX", "TRAINING_APPENDIX"):
                monkeypatch.setattr(figures, kind, ())
        assert analysis_main([str(folder)]) == 0
        assert capsys.readouterr().err.count("Traceback") == 0
        text = (folder / "report" / "index.html").read_text(encoding="utf-8")
        texts.append(Tags(text))
        for path in sorted((folder / "report").rglob("*.svg")):
            for element in ElementTree.parse(path).iter():
                assert element.tag.partition("}")[2] not in ("script", "foreignObject")
                for key, value in element.attrib.items():
                    assert not key.lower().startswith("on")
                    if key.endswith("href"):
                        assert value.startswith(("#", "data:image/"))
    made = {tag for page in ("base", "page", "report") for tag in TAG.findall(source(page))}
    for page in texts:
        assert {tag for tag, _ in page.found} <= made
        assert not [keys for _, keys in page.found if any(key.startswith("on") for key in keys)]
        assert all(one.startswith(("#", "data:image/", *PARTS)) for one in page.addresses)
        assert "<script>alert(1)</script>" in page.text  # of the error, to be read
    assert texts[0].found == texts[1].found


TAG = re.compile(r"<([a-z][a-z0-9]*)")
PARTS = ("figures/", "tables/", "queries/")


def source(page: str) -> str:
    """Return the text of a template."""
    return (Path(drawing.__file__).parent / "templates" / f"{page}.html").read_text()


@pytest.mark.parametrize(
    "name", ["<script>", "$x$", "a b", "-m", "é", "..", ".a", "a/b", "", "ａ", "a\n"]
)
def test_a_study_cannot_be_called_what_a_page_or_a_folder_would_take_otherwise(
    name: str, world: World
) -> None:
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    code, _, told = world.hold([f"name='{quoted}'", "data=digits"])
    assert code == 2
    assert "a study's name is its folder under outputs/" in told


@pytest.mark.parametrize("name", ["<script>", "$x$", "a b", "é", "a'b", "_"])
def test_a_function_cannot_be_called_what_a_page_would_take_otherwise(name: str) -> None:
    def odd(z: Any) -> Any:
        return z

    odd.__name__ = name
    with pytest.raises(SettingError, match="cannot register activation"):
        ACTIVATIONS.register()(odd)
