"""What submitit does on the cluster, which whoever builds on it has to know."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster

submitit = pytest.importorskip("submitit", reason="submitit is not installed.")

from tests.slurm import jobs  # noqa: E402


def executor(folder: Path, **parameters: Any) -> Any:
    """Return submitit's executor for small jobs."""
    made = submitit.SlurmExecutor(folder=folder / "jobs", max_num_timeout=3)
    made.update_parameters(**{"time": 20, "cpus_per_task": 1, **parameters})
    return made


def started(cluster: Cluster, folder: Path, name: str, times: int = 1, seconds: float = 60) -> None:
    """Wait until a job has started so many times."""
    what = f"{name} has started {times} times"
    cluster.wait_until(lambda: len(jobs.starts(folder, name)) >= times, what, seconds)


def test_an_array_runs_no_more_jobs_at_once_than_it_may(on_cluster, tmp_path):
    array = executor(tmp_path, array_parallelism=2).map_array(
        jobs.square, [tmp_path] * 5, list(range(5))
    )
    assert [job.result() for job in array] == [0, 1, 4, 9, 16]
    assert [job.job_id.split("_")[1] for job in array] == list("01234")
    script = array[0].paths.submission_file.read_text(encoding="utf-8")
    assert "#SBATCH --array=0-4%2" in script
    assert "#SBATCH --signal=USR2@90" in script


def test_a_cancelled_job_is_noticed_and_its_neighbours_go_on(on_cluster, tmp_path):
    array = executor(tmp_path).map_array(jobs.wait, [tmp_path] * 2, ["long", "short"], [300, 0])
    started(on_cluster, tmp_path, "long")
    on_cluster.cancel(array[0].job_id)
    on_cluster.wait_for(array[0].job_id, "CANCELLED")
    assert array[0].done(force_check=True)
    assert array[0].state == "CANCELLED"
    assert array[1].result() == 1


def test_the_job_of_a_lost_node_starts_again_elsewhere(on_cluster, tmp_path):
    job = executor(tmp_path).submit(jobs.wait, tmp_path, "job")
    started(on_cluster, tmp_path, "job")
    node = on_cluster.job(job.job_id).node
    on_cluster.kill_node(node)
    on_cluster.wait_until(lambda: on_cluster.nodes()[node].startswith("down"), "the node is down")
    assert not job.done(force_check=True)
    started(on_cluster, tmp_path, "job", 2)
    assert job.result() == 2
    (first, never), (second, once) = jobs.starts(tmp_path, "job")
    assert (first, never, once) == (node, 0, 1)
    assert second != node
    assert on_cluster.job(job.job_id).restarts == 1


def test_a_job_that_is_told_to_end_goes_on_from_its_checkpoint(on_cluster, tmp_path):
    enough = tmp_path / "enough"
    job = executor(tmp_path).submit(jobs.Counting(), tmp_path, "job", enough)
    started(on_cluster, tmp_path, "job")
    on_cluster.signal(job.job_id, "USR2")
    started(on_cluster, tmp_path, "job", 2)
    enough.touch()
    first, second = job.result()
    assert first == 0
    assert second > 0
    assert [count for _, count in jobs.starts(tmp_path, "job")] == [0, 1]


def test_a_job_that_comes_near_its_time_limit_goes_on_from_its_checkpoint(on_cluster, tmp_path):
    enough = tmp_path / "enough"
    near = executor(
        tmp_path, time=1, signal_delay_s=50
    )  # the shortest limit: told after 10 to 40 s
    job = near.submit(jobs.Counting(), tmp_path, "job", enough)
    started(on_cluster, tmp_path, "job", 2, seconds=90)
    enough.touch()
    first, second = job.result()
    assert first == 0
    assert second > 0
    assert "this job is timed-out" in job.stderr()


def test_a_job_that_yields_to_another_goes_on_from_its_checkpoint(on_cluster, tmp_path):
    enough = tmp_path / "enough"
    job = executor(tmp_path, partition="spare").submit(jobs.Counting(), tmp_path, "job", enough)
    started(on_cluster, tmp_path, "job")
    stronger = executor(tmp_path, nodes=3, cpus_per_task=on_cluster.cpus).submit(time.sleep, 1)
    assert stronger.results() == [None] * 3
    started(on_cluster, tmp_path, "job", 2)
    enough.touch()
    first, second = job.result()
    assert first == 0
    assert second > 0
    assert "this job is preempted" in job.stderr()
