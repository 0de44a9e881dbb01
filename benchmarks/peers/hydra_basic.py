"""One network a job, one job after the other: Hydra's basic launcher.

Run: python -m benchmarks.peers.hydra_basic --multirun activation=relu,tanh 'seed=range(24)'
"""

from __future__ import annotations

import hydra

from benchmarks.peers.hydra_jobs import Job, task


@hydra.main(version_base="1.3", config_path=None, config_name="job")
def main(job: Job) -> None:
    """Run one job."""
    task(job)


if __name__ == "__main__":
    main()
