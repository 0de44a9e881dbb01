"""The command line's task: what Hydra composes goes from here to `study.sweep`."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from study.cli_errors import explain_value_error, leave, parse_arguments
from study.errors import SettingError, StudyError, printable
from study.extensions import split_arguments
from study.running import running_of

# beside this package, so that the command works from any folder
CONF = str(Path(__file__).resolve().parent.parent / "conf")

ONE_PER_SWEEP = ("name", "device", "retry")

HANDED_ON = (
    *("executor", "workers", "pack_size", "dry_run", "checkpoint_s", "lease_s"),
    *("jobs", "wait", "slurm"),
)
"""Settings of the launcher that are the sweep's business."""

NOTICED = ("depth", "width", "activation", "init", "data", "optim", "steps", "seeds")
"""Settings that are told when the default condition is run."""

HELP_INDENT = 18
"""The column at which the help page explains its settings."""

Condition = dict[str, Any]


class StudyTask:
    """What Hydra runs: called with one condition, or with a whole sweep through `packed`.

    Args:
        typed: the command line, for the study to keep.

    Attributes:
        failed: cells that a bug stopped, over all calls; they decide the exit code.
    """

    def __init__(self, typed: Sequence[str]) -> None:
        self.typed = typed
        self.failed = 0

    def __call__(self, config: DictConfig) -> dict[str, int]:
        """Run one condition and return its summary.

        Raises:
            SystemExit: the user's error, told already; an exception Hydra would retell its own way.
        """
        try:
            launcher = {key: hydra_setting(f"hydra.launcher.{key}") for key in HANDED_ON}
            if hydra_setting("hydra.mode") == RunMode.MULTIRUN:
                # another launcher's job: what it runs at a time is its business, and processes that it
                # has made itself may have none of their own
                launcher = {"executor": "inline"}
            return self._run([plain_settings(config)], **launcher)[0]
        except StudyError as error:
            leave(error)

    def packed(
        self,
        configs: Sequence[Mapping[str, Any]],
        *,
        overrides: Sequence[Sequence[str]],
        **launcher: Any,
    ) -> list[dict[str, int]]:
        """Run all conditions of a sweep and return their summaries in order.

        Raises:
            StudyError: a setting is not allowed; nothing has run.
        """
        del overrides  # the settings say it all
        return self._run(configs, **launcher)

    def returned(self, summaries: Iterable[Mapping[str, int]]) -> None:
        """Take note of what jobs returned that ran in other processes, where this object was a copy."""
        self.failed = sum(summary["failed"] for summary in summaries)

    def jobs_dir(self, config: Mapping[str, Any]) -> str:
        """Return where the packed launcher may write Hydra's folder of this condition."""
        return f"outputs/{resolved_name(config)}/jobs"

    def _run(self, configs: Sequence[Mapping[str, Any]], **launcher: Any) -> list[dict[str, int]]:
        running = running_of(launcher)
        conditions = [{**config, "name": resolved_name(config)} for config in configs]
        for key in ONE_PER_SWEEP:
            refuse_swept(conditions, key)
        if not hydra_setting("hydra.overrides.task"):
            print(printable(default_notice(conditions[0])), flush=True)
        from study.sweep import run_conditions  # imports torch, which --help must not wait for

        command = ["python", "-m", "study", *self.typed]
        summaries = run_conditions(conditions, command, running)
        if not running.dry_run:  # what failed in an earlier run has not failed now
            self.failed += sum(summary["failed"] for summary in summaries)
        return summaries


def default_notice(condition: Mapping[str, Any]) -> str:
    """Return the line that says what is run when no setting was given."""
    chosen = {
        key: value["name"] if isinstance(value, Mapping) and "name" in value else value
        for key, value in condition.items()
        if key in NOTICED
    }
    settings = " ".join(f"{key}={chosen[key]}" for key in NOTICED if key in chosen)
    return (
        f"No settings given, so this is the default condition, into outputs/{condition['name']}: "
        f"{settings}. What else there is: python -m study --help"
    )


def hydra_setting(key: str) -> Any:
    """Return one of Hydra's own settings for the running job or sweep, None if it has none such."""
    config = HydraConfig.instance().cfg
    assert isinstance(config, DictConfig)
    return OmegaConf.select(config, key)


def resolved_name(config: Mapping[str, Any]) -> Any:
    """Return the study's name: as set, else the chosen experiment's, else ``default``.

    Whether it can be a folder is for `study.settings` to say.
    """
    name = config.get("name")
    if name is None:
        name = hydra_setting("hydra.runtime.choices.experiment") or "default"
    # Hydra reads name=2024 as a number
    return str(name) if isinstance(name, int) and not isinstance(name, bool) else name


def plain_settings(config: DictConfig) -> Condition:
    """Return a composed configuration as a plain resolved dict.

    Raises:
        SettingError: a value is missing or cannot be resolved.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise explain_value_error(error) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def refuse_swept(conditions: Sequence[Condition], key: str) -> None:
    """Refuse a sweep whose conditions differ in a setting that belongs to the sweep as a whole.

    Raises:
        SettingError: with the values that clash.
    """
    values = list(dict.fromkeys(str(condition.get(key)) for condition in conditions))
    if len(values) > 1:
        raise SettingError(
            f"cannot sweep over {key}={','.join(values)}: a sweep has one {key}, "
            f"so run it once for each."
        )


def options_of(group: str) -> str:
    """Return the settings of a group for the help page, from its options.

    First those that every option has, then each of the others with the options that have it.
    """
    stored = ConfigStore.instance().repo.get(group, {}).values()  # functions of the user's own
    options = {path.stem: OmegaConf.load(path) for path in Path(CONF, group).glob("*.yaml")}
    options |= {option.name.removesuffix(".yaml"): option.node for option in stored}
    owners: dict[str, list[str]] = {}
    for name in sorted(options):
        for key in options[name]:
            if key != "name":
                owners.setdefault(str(key), []).append(name)
    common = [key for key, names in owners.items() if len(names) == len(options)]
    special = [f"{key} ({', '.join(owners[key])})" for key in owners if key not in common]
    parts = [*([", ".join(common)] if common else []), *special]
    return textwrap.fill("; ".join(parts), 96 - HELP_INDENT).replace("\n", "\n" + " " * HELP_INDENT)


OmegaConf.register_new_resolver("options_of", options_of, replace=True)


def expects_workers(arguments: argparse.Namespace) -> bool:
    """Return whether a command line reads like a sweep that worker processes will train."""
    flags = ("help", "hydra_help", "cfg", "info", "shell_completion")
    typed = dict(text.partition("=")[::2] for text in arguments.overrides)
    if any(getattr(arguments, flag) for flag in flags) or "hydra.launcher.dry_run" in typed:
        return False
    if not arguments.multirun and "+experiment" not in typed:
        return False  # one condition is composed before anything could be imported
    from study.execution import surely_cpu, uses_workers

    alone = typed.get("hydra.launcher.workers") == "1"
    return uses_workers("cpu", 1 if alone else None) and surely_cpu(typed.get("device", "auto"))


def main() -> int:
    """Run the command line; return 1 if a cell failed, else 0."""
    typed = sys.argv
    if expects_workers(parse_arguments(typed[1:])):
        from study.execution import start_server

        start_server()  # imports PyTorch while the sweep is composed
    task = StudyTask(typed[1:])
    # Hydra reads the command line itself, and knows nothing of --use
    sys.argv = [typed[0], *split_arguments(typed[1:])[1]]
    try:
        hydra.main(version_base="1.3", config_path=CONF, config_name="config")(task)()
    finally:
        sys.argv = typed
    return 1 if task.failed else 0
