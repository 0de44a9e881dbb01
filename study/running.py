"""How a sweep is run: the launcher's settings, which decide no number, checked before anything runs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from omegaconf import OmegaConf

from study.errors import SettingError, nearest
from study.leases import SECONDS

HERE = ("processes", "inline")
"""Executors of this machine: worker processes, which a network that ends its process cannot take along, or
this process."""

SUBMITTED = ("submitit_local", "slurm")
"""Executors that run packs in jobs of their own."""

CHECKPOINT_S = 60.0
"""Seconds between checkpoints inside a pack."""

MOST_JOBS = 1000
"""Of one submission: a SLURM takes arrays of 1,000 unless it was told to take larger ones."""


@dataclass(frozen=True)
class Jobs:
    """How packs are submitted.

    Attributes:
        executor: one of `SUBMITTED`.
        jobs: how many; None: `study.cluster.JOBS`, and never more than packs.
        wait: whether to wait for the end; else what comes out is collected later.
        slurm: options of ``sbatch`` by the names that submitit gives them.
    """

    executor: str
    jobs: int | None = None
    wait: bool = True
    slurm: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """How a sweep is run: the launcher's settings, which decide no number.

    Attributes:
        executor: as for `study.execution.uses_workers`.
        workers: worker processes on the CPU; None: one a core.
        pack_size: most networks trained together; None: what suits their shape and the device.
        dry_run: say what would run, and neither train nor write.
        checkpoint_s: seconds between checkpoints inside a pack.
        lease_s: how long a lease on a pack holds that is not renewed.
        jobs: how packs are submitted to a cluster; None: they are run here.
    """

    executor: str | None = None
    workers: int | None = None
    pack_size: int | None = None
    dry_run: bool = False
    checkpoint_s: float = CHECKPOINT_S
    lease_s: float = SECONDS
    jobs: Jobs | None = None


USUAL = Running()
"""How a sweep is run unless something else is asked for."""

NUMBERS = {
    "workers": ("a whole number of at least 1", 1),
    "pack_size": ("a whole number of at least 1", 1),
    "checkpoint_s": ("a number of seconds, 0 or more", 0),
    "lease_s": ("a number of seconds, 1 or more", 1),
}
"""Settings of the launcher that are numbers: what is allowed, and the least."""


def running_of(launcher: Mapping[str, Any]) -> Running:
    """Return how a sweep is run by the launcher's settings; those not given are as by default.

    Raises:
        SettingError: one of them is not allowed.
    """
    given = {key: value for key, value in launcher.items() if value is not None}
    for key, (allowed, least) in NUMBERS.items():
        if key in given and not least <= given[key] < math.inf:
            raise SettingError(
                f"cannot use hydra.launcher.{key}={given[key]}: it must be {allowed}."
            )
    executors = (*HERE, *SUBMITTED)
    executor = given.get("executor")
    if executor is not None and executor not in executors:
        raise SettingError(
            f"cannot use hydra.launcher.executor={executor}: allowed are {', '.join(executors)}"
            f"{nearest(str(executor), executors)}."
        )
    slurm = given.pop("slurm", {})
    asked = {key: value for key, value in dict(slurm).items() if value is not None}
    jobs = Jobs(executor or "", given.pop("jobs", None), given.pop("wait", True), plain(asked))
    if executor in SUBMITTED:
        check_jobs(jobs)
        return Running(**given, jobs=jobs)
    if jobs != Jobs(executor or ""):
        raise SettingError(
            "cannot use hydra.launcher.jobs, hydra.launcher.wait or hydra.launcher.slurm here: they are for "
            f"hydra.launcher.executor={' and '.join(SUBMITTED)}."
        )
    return Running(**given)


def plain(value: Any) -> Any:
    """Return a part of a configuration as plain dictionaries and lists."""
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True)
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def check_jobs(jobs: Jobs) -> None:
    """Refuse settings that cannot be used, before anything is written.

    Raises:
        SettingError: the executor cannot be had here, or a setting is not allowed.
    """
    if jobs.jobs is not None and not 1 <= jobs.jobs <= MOST_JOBS:
        raise SettingError(
            f"cannot use hydra.launcher.jobs={jobs.jobs}: it must be a whole number from 1 to "
            f"{MOST_JOBS:,}."
        )
    minutes(jobs.slurm.get("time"))
    if find_spec("submitit") is None:
        raise SettingError(
            f"cannot use hydra.launcher.executor={jobs.executor}: the package submitit is not "
            "installed; install this program with the extra [slurm]."
        )
    if jobs.executor == "slurm" and not shutil.which("sbatch"):
        raise SettingError(
            "cannot use hydra.launcher.executor=slurm: there is no program sbatch here; run this on a "
            "machine from which jobs are submitted."
        )


def minutes(text: Any) -> int | None:
    """Return a time limit in minutes: a number of them, or ``hours:minutes:seconds``, or ``days-hours…``.

    Raises:
        SettingError: it is none.
    """
    if text is None:
        return None
    days, dash, rest = str(text).rpartition("-")
    parts = rest.split(":")
    numbers = [*([days] if dash else []), *parts]
    if not all(part.isdecimal() for part in numbers) or len(parts) > 3:
        raise SettingError(
            f"cannot use hydra.launcher.slurm.time={text}: it must be minutes, or hours:minutes:seconds, "
            "or days-hours:minutes:seconds in quotes."
        )
    if dash:
        hours, *others = (int(part) for part in parts)
        total = int(days) * 1440 + hours * 60 + sum(n / 60**k for k, n in enumerate(others))
    elif len(parts) == 3:
        total = int(parts[0]) * 60 + int(parts[1]) + int(parts[2]) / 60
    else:
        total = int(parts[0]) + (int(parts[1]) / 60 if len(parts) == 2 else 0)
    if total <= 0:
        raise SettingError(f"cannot use hydra.launcher.slurm.time={text}: it must be more than 0.")
    return max(1, -int(-total // 1))
