"""The plugin's class and settings; Hydra imports this at every start, so the work is elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

# No `from __future__ import annotations`: dataclasses look up what a string means in sys.modules,
# and Hydra runs this file before it is there.


@dataclass
class SlurmConf:
    """Settings under ``hydra.launcher.slurm``: those of ``sbatch`` by their own names; None: not given.

    Attributes:
        time: minutes, or ``hours:minutes:seconds``.
        array_parallelism: most jobs that run at a time.
        signal_delay_s: seconds before the end of its time at which a job is told of it.
        setup: lines of shell to run before the program.
        additional_parameters: any other option of ``sbatch`` with its value.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    comment: str | None = None
    exclude: str | None = None
    nodelist: str | None = None
    dependency: str | None = None
    time: Any = None
    mem: str | None = None
    mem_per_cpu: str | None = None
    cpus_per_task: int | None = None
    gpus_per_task: int | None = None
    gres: str | None = None
    exclusive: bool | None = None
    array_parallelism: int | None = None
    signal_delay_s: int | None = None
    setup: list[str] | None = None
    additional_parameters: dict[str, Any] | None = None


@dataclass
class PackedLauncherConf:
    """Settings under ``hydra.launcher``.

    Attributes:
        workers: worker processes, handed to the task; None leaves it to the task.
        pack_size: most networks trained together, handed to the task; None leaves it to the task.
        job_folders: also write Hydra's folder per job (``.hydra/``, log) once the jobs are done.
        dry_run: handed to the task, which then only says what it would do; no folders either.
        executor: where packs run, handed to the task; None leaves it to the task.
        checkpoint_s: seconds between checkpoints inside a pack, handed to the task.
        lease_s: seconds for which a process has a pack to itself unless it says that it still lives,
            handed to the task.
        jobs: how many jobs an executor of a cluster submits, handed to the task.
        wait: whether it waits for them, handed to the task.
        slurm: what the jobs ask SLURM for, handed to the task.
    """

    _target_: str = "hydra_plugins.packed_launcher.packed_launcher.PackedLauncher"
    workers: int | None = None
    pack_size: int | None = None
    job_folders: bool = False
    dry_run: bool = False
    executor: str | None = None
    checkpoint_s: float | None = None
    lease_s: float | None = None
    jobs: int | None = None
    wait: bool = True
    slurm: SlurmConf = field(default_factory=SlurmConf)


ConfigStore.instance().store(
    group="hydra/launcher", name="packed", node=PackedLauncherConf, provider="packed_launcher"
)


class PackedLauncher(BasicLauncher):
    """Runs all jobs of a batch as one call of the task's ``packed``, or one by one if it has none.

    ``task.packed(configs, overrides=…, workers=…, pack_size=…, …)`` gets one plain resolved dict a job,
    without the ``hydra`` node, and the launcher's settings but ``job_folders``; it returns one value a
    job, in the same order.
    """

    def __init__(self, job_folders: bool = False, **settings: Any) -> None:
        super().__init__()
        self.job_folders = job_folders
        self.settings = settings
        self.dry_run = bool(settings.get("dry_run"))

    @property
    def composes_first(self) -> bool:
        """Whether every job is composed, and so found valid, before the first one runs."""
        return hasattr(self.task_function, "packed")

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return their results in order."""
        if not self.composes_first:
            return super().launch(job_overrides, initial_job_idx)
        from hydra_plugins.packed_launcher import _core

        return _core.launch(self, job_overrides, initial_job_idx)
