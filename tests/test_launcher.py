"""The packed launcher and sweeper: quick, and never another result than Hydra's own."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra import version
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from hydra.test_utils.launcher_common_tests import LauncherTestSuite
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import (
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from hydra_plugins.packed_launcher._compose import Composer
from study.activations import ACTIVATIONS
from study.app import CONF
from study.settings import GROUPS

pytestmark = pytest.mark.usefixtures("hydra_restore_singletons")

EXPERIMENTS = sorted(path.stem for path in Path(CONF, "experiment").glob("*.yaml"))

HydraAt = Callable[..., Hydra]


# Hydra's suite was written for the working directories of version 1.1, of which 1.3 warns
@pytest.mark.filterwarnings("ignore:Future Hydra versions will no longer change working directory")
@pytest.mark.parametrize(("launcher_name", "overrides"), [("packed", [])])
class TestPackedLauncherRunsAnyTask(LauncherTestSuite):
    """A task without ``packed`` runs one by one: Hydra's own suite for launchers passes."""


class Task:
    """A task with a packed form, which remembers what it was given."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.lost = 0

    def __call__(self, config: DictConfig) -> None:
        raise AssertionError("a packed task is not run job by job")

    def packed(self, configs: Sequence[dict[str, Any]], **more: Any) -> list[int]:
        self.calls.append({"configs": list(configs), **more})
        return list(range(len(configs) - self.lost))


@pytest.fixture
def hydra_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HydraAt]:
    """Return a maker of Hydra over a folder of settings, working in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def make(folder: str | Path = CONF) -> Hydra:
        GlobalHydra.instance().clear()
        version.setbase("1.3")
        return Hydra.create_main_hydra2("study", create_config_search_path(str(folder)))

    yield make
    GlobalHydra.instance().clear()


@pytest.fixture
def own_hydra(hydra_at: HydraAt, tmp_path: Path) -> Callable[[str], Hydra]:
    """Return a maker of Hydra over one configuration given as text."""

    def make(text: str) -> Hydra:
        (tmp_path / "config.yaml").write_text(text)
        return hydra_at(tmp_path)

    return make


def sweep(hydra: Hydra, task: Any, *overrides: str) -> list[list[JobReturn]]:
    """Run a multirun with the packed plugins."""
    returned: list[list[JobReturn]] = hydra.multirun("config", task, list(overrides))
    return returned


def master(hydra: Hydra, *overrides: str) -> DictConfig:
    return hydra.compose_config("config", list(overrides), RunMode.MULTIRUN)


def hydras_own(hydra: Hydra, config: DictConfig, job: Sequence[str]) -> Any:
    """Return what a task gets when Hydra composes the job, as a plain resolved dict."""
    composed = hydra.config_loader.load_sweep_config(config, list(job))
    with open_dict(composed):
        del composed["hydra"]
    return OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)


def exactly(config: Any) -> str:
    """Return the config so that types and order count too: 1, 1.0 and True are equal in Python."""
    return json.dumps(config)


def jobs_of(config: DictConfig) -> list[list[str]]:
    """Return the jobs of a composed sweep, as the sweeper would."""
    params = [f"{key}={value}" for key, value in config.hydra.sweeper.params.items()]
    axes = OverridesParser.create().parse_overrides([*params, *config.hydra.overrides.task])
    [jobs] = BasicSweeper.split_arguments(axes, None)
    return jobs


@pytest.mark.parametrize(
    "experiment",
    [
        # sweeps of the ledger are much alike
        pytest.param(one, marks=[pytest.mark.long] * one.startswith("ledger_"))
        for one in EXPERIMENTS
    ],
)
def test_the_short_way_equals_hydras_own_compose(experiment: str, hydra_at: HydraAt) -> None:
    hydra = hydra_at()
    config = master(hydra, f"+experiment={experiment}")
    jobs = jobs_of(config)
    # the last differs from the first, which the others are put together from, in every axis
    sample = [*random.Random(0).sample(jobs, min(3, len(jobs))), jobs[-1]]
    composer = Composer(hydra.config_loader, config)
    for number, job in enumerate([*sample, *sample]):
        assert exactly(composer.compose(job, number)) == exactly(hydras_own(hydra, config, job))


@pytest.mark.parametrize(
    "job",
    [
        ["depth=3", "optim.lr=1e-3", "bias=false", "optim.clip_norm=null", "dtype=float64"],
        ["depth=3.0", "width='8'", 'name="a b"', "probe.samples=all", "optim.lr=inf"],
        ["depth=8", "++depth=3"],
        ["++depth=3", "depth=8"],
        ["+optim.extra=1", "optim.extra=2", "depth=3"],
        ["optim={lr: 0.5, clip_norm: [1, 2]}", "optim.lr=0.1"],
        ["optim.lr=0.1", "optim={lr: 0.5}"],
        ["~data.label_noise", "depth=3"],
        ["probe=7", "depth=3"],
        ["depth=[1,2]", "width=4"],
        ["width=${depth}", "depth=3"],
        ["name='\\${depth}'", "depth=3"],
        ["optim=momentum", "optim.momentum=0.5", "optim.lr=0.2"],
        ["optim.momentum=0.5", "optim=momentum"],
        ["activation=[relu,tanh]", "depth=2"],
        ["+experiment=smoke", "depth=3"],
        [],
    ],
    ids=" ".join,
)
def test_overrides_of_every_kind_give_hydras_own_result(job: list[str], hydra_at: HydraAt) -> None:
    hydra = hydra_at()
    config = master(hydra)
    composer = Composer(hydra.config_loader, config)
    for _ in range(2):  # the second time from what the first left behind
        assert exactly(composer.compose(job, 0)) == exactly(hydras_own(hydra, config, job))


OPTIONS = {group: sorted(GROUPS[group]) for group in GROUPS}

VALUES = {
    "depth": ["3", "3.0", "[1,2]", "'8'"],
    "optim.lr": ["1e-3", "inf", "null"],
    "optim.momentum": ["0.5"],
    "activation.negative_slope": ["0.3", "a"],
    "++data.noise": ["0.5"],
    "+optim.extra": ["1"],
    "~init.gain": [""],
    "probe": ["7", "{steps: 3}"],
    "optim": ["{lr: 0.5}"],
    "+experiment": ["smoke", "full"],
}
"""Settings that exist with some options, or with none."""


@st.composite
def jobs_of_a_sweep(draw: st.DrawFn) -> list[list[str]]:
    """Draw some jobs that differ in options and in some settings."""
    groups = draw(st.lists(st.sampled_from(sorted(OPTIONS)), unique=True, min_size=1))
    keys = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=3))
    axes = [st.sampled_from([f"{group}={one}" for one in OPTIONS[group]]) for group in groups]
    axes += [st.sampled_from([f"{key}={one}".rstrip("=") for one in VALUES[key]]) for key in keys]
    order = draw(st.permutations(axes))
    return draw(st.lists(st.tuples(*order).map(list), min_size=2, max_size=4))


def result_or_error(compose: Callable[[], Any]) -> str:
    try:
        return exactly(compose())
    except (HydraException, OmegaConfBaseException) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("examples", [4, pytest.param(200, marks=pytest.mark.long)])
def test_any_sweep_over_groups_and_values_gives_hydras_own_results_and_errors(
    examples: int, hydra_at: HydraAt
) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(jobs=jobs_of_a_sweep())
    def check(jobs: list[list[str]]) -> None:
        check_sweep(jobs, hydra_at())

    check()


def check_sweep(jobs: list[list[str]], hydra: Hydra) -> None:
    """Check that our composer gives what Hydra's own gives, job after job."""
    config = master(hydra)
    composer = Composer(hydra.config_loader, config)
    for number, job in enumerate(jobs):
        ours = result_or_error(lambda job=job, number=number: composer.compose(job, number))
        assert ours == result_or_error(lambda job=job: hydras_own(hydra, config, job)), job


@pytest.mark.parametrize("first", ["relu", "leaky_relu"])
def test_a_setting_that_only_some_options_have_is_set_there_and_refused_elsewhere(
    first: str, hydra_at: HydraAt
) -> None:
    hydra = hydra_at()
    config = master(hydra)
    composer = Composer(hydra.config_loader, config)
    composer.compose([f"activation={first}", "init=zeros", "depth=3"], 0)
    job = ["activation=leaky_relu", "init=he_normal", "activation.negative_slope=0.3"]
    assert exactly(composer.compose(job, 1)) == exactly(hydras_own(hydra, config, job))
    with pytest.raises(ConfigCompositionException, match="negative_slope"):
        composer.compose(["activation=relu", *job[1:]], 2)


# in each the option b of `two` comes out otherwise, or sets more, beside the option b of `one`
DEPENDENT = {
    "an option has defaults": {
        "config.yaml": "defaults: [one: a, two: a, three: a, _self_]",
        "one/b.yaml": "defaults: [/three@_global_.more: b, _self_]\nx: 2",
    },
    "an option has another package": {
        "config.yaml": "defaults: [one: a, two: a, _self_]\none: {v: 0}",
        "one/b.yaml": "# @package two\nx: 7\nz: 1",
    },
    "an option waits for a value": {"two/b.yaml": "y: ${one.x}"},
    "a default waits for both choices": {
        "config.yaml": "defaults: [one: a, two: a, optional three: '${one}${two}', _self_]",
        "three/bb.yaml": "z: 3",
    },
    "a value waits for a choice": {
        "config.yaml": "defaults: [one: a, two: a, _self_]\nz: ${one.x}${two.y}",
    },
    "an option is deleted": {"job": "~two.y"},
    "a group lies in another one": {
        "config.yaml": "defaults: [one: a, two: a, one/three: a, _self_]",
        "job": "one/three=b",
    },
    "the folder of an option is found by a setting": {
        "config.yaml": "defaults: [one: a, two: a, _self_]\nhydra: {searchpath: ['file://more']}",
        "more/two/b.yaml": "y: 9",
        "two/b.yaml": "",
    },
}


@pytest.mark.parametrize("kind", list(DEPENDENT))
def test_options_that_depend_on_each_other_give_hydras_own_result(
    kind: str, hydra_at: HydraAt, tmp_path: Path
) -> None:
    hydra_at()  # makes the working folder
    folder = tmp_path / "work"
    files = {
        "config.yaml": "defaults: [one: a, two: a, _self_]\nz: 0",
        **{f"{group}/{option}.yaml": f"{key}: {number}" for group, key in
           (("one", "x"), ("two", "y"), ("three", "w"), ("one/three", "w"))
           for number, option in enumerate("ab")},
    } | DEPENDENT[kind]  # fmt: skip
    more = files.pop("job", "")
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if text:
            (folder / path).write_text(text)
        else:
            (folder / path).unlink(missing_ok=True)
    hydra = hydra_at(folder)
    config = master(hydra)
    composer = Composer(hydra.config_loader, config)
    for number, (one, two) in enumerate(["aa", "ab", "ba", "bb"]):
        job = [f"one={one}", f"two={two}", *([more] if more else [])]
        ours = result_or_error(lambda job=job, number=number: composer.compose(job, number))
        assert ours == result_or_error(lambda job=job: hydras_own(hydra, config, job)), job


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("{a: 1, b: '${a}'}", ["a=2"]),
        ("{a: 1, b: [{c: '${a}'}]}", ["a=2"]),
        ("{a: '???', b: 1}", ["a=2", "b=3"]),
        ("{a: null, b: {c: null}}", ["a=2", "b.c=x"]),
        ("{a: {b: null}}", ["a.b=${oc.env:HOME}"]),
        ("{a: [1, 2], b: {'0': 1}}", ["b.0=2"]),
        ("{a.b: 1, a: {b: 2}}", ["a.b=3"]),
        ("{a: 1, b: '${hydra:job.num}'}", ["a=2"]),
    ],
)
def test_settings_that_depend_on_each_other_give_hydras_own_result(
    text: str, job: list[str], own_hydra: Callable[[str], Hydra]
) -> None:
    hydra = own_hydra(text)
    config = master(hydra)
    number = 5
    composed = Composer(hydra.config_loader, config).compose(job, number)
    if "hydra:" in text:
        assert composed == {"a": 2, "b": number}
    else:
        assert exactly(composed) == exactly(hydras_own(hydra, config, job))


@pytest.mark.parametrize(
    ("text", "job", "error"),
    [
        ("{a: 1}", ["b=2"], ConfigCompositionException),
        ("{a: 1}", ["a.b=2"], ConfigCompositionException),
        ("{a: 1}", ["+a=2"], ConfigCompositionException),
        ("{a: 1}", ["a@b=2"], ConfigCompositionException),
        ("{a: 1}", ["b=2", "~nothing"], ConfigCompositionException),
        ("{a.b: 1}", ["a.b=2"], ConfigCompositionException),
        ("{a: 1}", ["a=1", "a"], OverrideParseException),
        ("{a: 1}", ["a=1", "nothing/here=2"], ConfigCompositionException),
        ("{a: '???', b: 1}", ["b=2"], MissingMandatoryValue),
        ("{a: 1, b: '${c}'}", ["a=2"], InterpolationKeyError),
    ],
)
def test_what_hydra_refuses_is_refused_with_hydras_own_error(
    text: str, job: list[str], error: type[Exception], own_hydra: Callable[[str], Hydra]
) -> None:
    hydra = own_hydra(text)
    config = master(hydra)
    with pytest.raises(error) as ours:
        Composer(hydra.config_loader, config).compose(job, 0)
    with pytest.raises(error) as theirs:
        hydras_own(hydra, config, job)
    assert str(ours.value) == str(theirs.value)


@dataclass
class Typed:
    a: int = 1


@dataclass(frozen=True)
class Frozen:
    a: Any = 1


def test_a_typed_setting_converts_its_value(own_hydra: Callable[[str], Hydra]) -> None:
    hydra = own_hydra("defaults: [schema, _self_]")
    ConfigStore.instance().store(name="schema", node=Typed)
    config = master(hydra)
    composer = Composer(hydra.config_loader, config)
    assert exactly(composer.compose(["a='3'"], 0)) == '{"a": 3}'
    with pytest.raises(ConfigCompositionException, match="Error merging override a=x"):
        composer.compose(["a=x"], 0)


def test_a_read_only_setting_stays_as_it_is(own_hydra: Callable[[str], Hydra]) -> None:
    hydra = own_hydra("defaults: [schema, _self_]")
    ConfigStore.instance().store(name="schema", node=Frozen)
    config = master(hydra)
    with pytest.raises(ConfigCompositionException, match="Error merging override a=2"):
        Composer(hydra.config_loader, config).compose(["a=2"], 0)


def test_hydra_composes_once_per_choice_of_groups(
    hydra_at: HydraAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    hydra, task = hydra_at(), Task()
    compose, composed = hydra.config_loader.load_sweep_config, []

    def counted(config: DictConfig, job: list[str]) -> DictConfig:
        composed.append(job)
        return compose(config, job)

    monkeypatch.setattr(hydra.config_loader, "load_sweep_config", counted)
    [jobs] = sweep(hydra, task, "activation=relu,tanh", "depth=range(1,21)", "width=4,8")
    assert len(jobs) == 80
    assert composed == [["activation=relu"], ["activation=tanh"]]
    composed.clear()
    [jobs] = sweep(
        hydra, task, "activation=relu,tanh,gelu", "init=zeros,he_normal,normal", "depth=2,3"
    )
    assert len(jobs) == 18
    # the first job, and each other option beside the first's option of the other group
    beside_zeros = {
        frozenset((f"activation={one}", "init=zeros")) for one in ("relu", "tanh", "gelu")
    }
    beside_relu = {frozenset(("activation=relu", f"init={one}")) for one in ("he_normal", "normal")}
    assert {frozenset(job) for job in composed} == beside_zeros | beside_relu
    assert len(composed) == 5


def test_all_jobs_go_to_the_task_in_one_call_and_in_order(hydra_at: HydraAt) -> None:
    hydra, task = hydra_at(), Task()
    [jobs] = sweep(
        hydra, task, "depth=range(2,4)", "activation=glob(s*)", "hydra.launcher.workers=3"
    )
    [call] = task.calls
    names = sorted(name for name in ACTIVATIONS if name.startswith("s"))
    expected = [(depth, name) for depth in (2, 3) for name in names]
    assert [(one["depth"], one["activation"]["name"]) for one in call["configs"]] == expected
    assert call["overrides"] == [[f"depth={d}", f"activation={name}"] for d, name in expected]
    assert (call["workers"], call["dry_run"]) == (3, False)
    assert [job.return_value for job in jobs] == list(range(2 * len(names)))
    assert all("hydra" not in config for config in call["configs"])
    assert list(Path().iterdir()) == []


def test_jobs_do_not_share_what_they_may_change(hydra_at: HydraAt) -> None:
    task = Task()
    sweep(hydra_at(), task, "depth=2,3")
    first, second = task.calls[0]["configs"]
    first["optim"]["lr"] = "changed"
    assert second["optim"]["lr"] == 0.1


def test_a_batch_size_splits_the_call(hydra_at: HydraAt) -> None:
    task = Task()
    batches = sweep(hydra_at(), task, "depth=1,2,3", "hydra.sweeper.max_batch_size=2")
    assert [len(call["configs"]) for call in task.calls] == [2, 1]
    assert [len(batch) for batch in batches] == [2, 1]


def test_an_error_in_the_last_job_is_found_before_the_first_runs(hydra_at: HydraAt) -> None:
    task = Task()
    with pytest.raises(ConfigCompositionException, match=r"optim\.momentum"):
        sweep(hydra_at(), task, "optim=momentum,sgd", "optim.momentum=0.5")
    assert not task.calls


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("depth=range(3,3)", "'depth=range(3,3)' has no values to sweep over"),
        ("hydra.sweeper.max_batch_size=0", "max_batch_size must be at least 1, got 0"),
    ],
)
def test_a_sweep_of_nothing_is_refused(override: str, message: str, hydra_at: HydraAt) -> None:
    with pytest.raises(HydraException) as refused:
        sweep(hydra_at(), Task(), override)
    assert message in str(refused.value)


def test_a_task_that_loses_a_result_is_a_bug(hydra_at: HydraAt) -> None:
    task = Task()
    task.lost = 1
    with pytest.raises(RuntimeError, match="2 jobs were given, 1 values came back"):
        sweep(hydra_at(), task, "depth=1,2")


def test_under_another_launcher_the_sweeper_composes_first(hydra_at: HydraAt) -> None:
    ran: list[DictConfig] = []
    with pytest.raises(ConfigCompositionException, match=r"optim\.momentum"):
        sweep(
            *(hydra_at(), ran.append, "hydra/launcher=basic"),
            *("optim=momentum,sgd", "optim.momentum=0.5"),
        )
    assert not ran


def test_job_folders_are_hydras_own_and_hold_the_result(hydra_at: HydraAt) -> None:
    class TaskWithFolders(Task):
        def jobs_dir(self, config: dict[str, Any]) -> str:
            return f"outputs/{config['name']}/jobs"

    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    [jobs] = sweep(
        *(hydra_at(), TaskWithFolders(), "depth=2,3", "name=mine"),
        "hydra.launcher.job_folders=true",
    )
    assert [job.return_value for job in jobs] == [0, 1]
    for number, depth in enumerate((2, 3)):
        folder = Path("outputs/mine/jobs", str(number))
        written = OmegaConf.load(folder / ".hydra/config.yaml")
        assert (written.depth, written.name) == (depth, "mine")
        assert OmegaConf.load(folder / ".hydra/overrides.yaml") == [f"depth={depth}", "name=mine"]
        assert (folder / "study.log").read_text().endswith(f"{number}\n")
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
    assert [path.name for path in Path().iterdir()] == ["outputs"]


def test_a_dry_run_is_the_tasks_to_do_and_has_no_folders(hydra_at: HydraAt) -> None:
    task = Task()
    sweep(
        *(hydra_at(), task, "depth=2,3", "hydra.launcher.dry_run=true"),
        "hydra.launcher.job_folders=true",
    )
    assert task.calls[0]["dry_run"] is True
    assert list(Path().iterdir()) == []


def test_job_folders_without_a_place_of_their_own_go_where_hydra_puts_them(
    hydra_at: HydraAt,
) -> None:
    sweep(hydra_at(), Task(), "depth=2,3", "hydra.launcher.job_folders=true", "hydra.sweep.dir=x")
    assert sorted(path.name for path in Path("x").iterdir()) == ["0", "1"]
