"""The packed launcher's work: compose every job, run them in one call, wrap what comes back."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    configure_log,
    filter_overrides,
    run_job,
    setup_globals,
)
from hydra.types import TaskFunction
from omegaconf import open_dict

from hydra_plugins.packed_launcher._compose import Composer, Config, hydra_config

if TYPE_CHECKING:
    from hydra_plugins.packed_launcher.packed_launcher import PackedLauncher

log = logging.getLogger(__name__)

FOLDER_OVERRIDES = [
    "hydra.output_subdir=.hydra",
    "hydra/job_logging=default",
    "hydra.job_logging.root.handlers=[file]",
]
"""What a job's folder needs beyond the sweep's own settings; the log goes to its file only."""


def launch(
    launcher: PackedLauncher, job_overrides: Sequence[Sequence[str]], first: int
) -> list[JobReturn]:
    """Run a batch of jobs through the task's ``packed`` and return one result a job.

    Raises:
        RuntimeError: the task returned another number of values than it got jobs.
    """
    setup_globals()
    assert launcher.config is not None
    assert launcher.hydra_context is not None
    configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
    composer = Composer(launcher.hydra_context.config_loader, launcher.config)
    overrides = [list(job) for job in job_overrides]
    configs = [composer.compose(job, first + index) for index, job in enumerate(overrides)]
    task: Any = launcher.task_function
    with hydra_config(launcher.config):
        values = task.packed(configs, overrides=overrides, **launcher.settings)
        if len(values) != len(configs):
            raise RuntimeError(f"{len(configs)} jobs were given, {len(values)} values came back")
        if launcher.job_folders and not launcher.dry_run:
            return _write_job_folders(launcher, configs, overrides, values, first)
    return [_completed(job, value) for job, value in zip(overrides, values, strict=True)]


def _completed(overrides: Sequence[str], value: Any) -> JobReturn:
    return JobReturn(
        overrides=filter_overrides(overrides),
        working_dir=os.getcwd(),
        task_name=JobRuntime.instance().get("name"),
        status=JobStatus.COMPLETED,
        _return_value=value,
    )


def _write_job_folders(
    launcher: PackedLauncher,
    configs: Sequence[Config],
    overrides: Sequence[Sequence[str]],
    values: Sequence[Any],
    first: int,
) -> list[JobReturn]:
    """Have Hydra write its folder for every job, as if each had just run by itself."""
    with _root_logger_restored():
        return [
            _write_job_folder(launcher, config, [*job, *FOLDER_OVERRIDES], value, first + index)
            for index, (config, job, value) in enumerate(
                zip(configs, overrides, values, strict=True)
            )
        ]


def _write_job_folder(
    launcher: PackedLauncher, config: Config, overrides: list[str], value: Any, number: int
) -> JobReturn:
    context, master = launcher.hydra_context, launcher.config
    assert context is not None
    assert master is not None
    composed = context.config_loader.load_sweep_config(master, overrides)
    where = getattr(launcher.task_function, "jobs_dir", None)
    with open_dict(composed):
        composed.hydra.job.id = number
        composed.hydra.job.num = number
        composed.hydra.sweep.dir = where(config) if where else master.hydra.sweep.dir
        composed.hydra.sweep.subdir = str(number)
    return run_job(
        hydra_context=context,
        task_function=_stand_in(value),
        config=composed,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _stand_in(value: Any) -> TaskFunction:
    """Return a task that logs and returns what the job's real run returned."""

    def task(_config: Any) -> Any:
        log.info("%s", value)
        return value

    return task


@contextmanager
def _root_logger_restored() -> Iterator[None]:
    """Put the root logger back and close the log files that the jobs opened."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
