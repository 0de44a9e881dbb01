"""One network a job, one process a core: Hydra's joblib launcher.

Run: python -m benchmarks.peers.hydra_joblib --multirun activation=relu,tanh 'seed=range(24)'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore

from benchmarks.peers.hydra_jobs import Job, task


@dataclass
class JoblibJob(Job):
    """A job for the launcher of ``hydra-joblib-launcher``."""

    defaults: list[Any] = field(
        default_factory=lambda: ["_self_", {"override hydra/launcher": "joblib"}]
    )


ConfigStore.instance().store(name="joblib_job", node=JoblibJob)


@hydra.main(version_base="1.3", config_path=None, config_name="joblib_job")
def main(job: Job) -> None:
    """Run one job."""
    task(job)


if __name__ == "__main__":
    main()
