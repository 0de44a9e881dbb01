"""The product on the cluster: the same records as at home, whatever happens to the jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.slurm.cluster import Cluster, Job

pytest.importorskip("submitit", reason="submitit is not installed.")

SWEEP = (
    *("--multirun", "depth=2,3,4,5", "activation=relu,tanh", "seeds=2", "width=16", "steps=1500"),
    *("data=gaussian", "batch_size=32", "probe.steps=4", "probe.samples=32", "device=cpu"),
)
SLURM = (
    *("hydra.launcher.executor=slurm", "hydra.launcher.jobs=3", "hydra.launcher.checkpoint_s=0.5"),
    *(
        "hydra.launcher.lease_s=5",
        "hydra.launcher.slurm.cpus_per_task=1",
        "hydra.launcher.slurm.time=20",
    ),
)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "study", *words]


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the study as one process makes it here."""
    folder = tmp_path_factory.mktemp("home")
    here = command(*SWEEP, "name=mine", "hydra.launcher.workers=1")
    subprocess.run(here, cwd=folder, check=True, capture_output=True)
    return folder / "outputs/mine"


def tables(study: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every pack, in an order of their own."""
    return {
        table: duckdb.sql(
            f"SELECT * FROM read_parquet('{study}/records/*/{table}.parquet') ORDER BY ALL"
        ).fetchall()
        for table in ("cells", "curves", "layers")
    }


def same(one: Path, other: Path) -> bool:
    """Return whether two studies hold the same, NaN equal to NaN."""
    return repr(tables(one)) == repr(tables(other))


@pytest.fixture
def started(on_cluster: Cluster, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return what starts a sweep on the cluster, from an empty folder."""

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*SWEEP, *SLURM, "name=mine", *words), cwd=tmp_path, env=on_cluster.env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def once_something_is_committed(cluster: Cluster, folder: Path, count: int = 1) -> None:
    commits = folder / "outputs/mine/commits"
    cluster.wait_until(
        lambda: len(list(commits.glob("*.json"))) >= count, f"{count} packs are committed", 180
    )


def living(cluster: Cluster) -> list[Job]:
    """Return the jobs that have not ended."""
    return [job for job in cluster.jobs() if job.state in ("RUNNING", "PENDING", "COMPLETING")]


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_a_sweep_on_the_cluster_holds_what_it_holds_at_home(on_cluster, tmp_path, at_home, started):
    code, out, err = ended(started())
    assert code == 0, err
    assert "16 networks to train in 8 packs.\n3 jobs submitted (" in out
    assert "16 networks in outputs/mine: 16 ok." in out
    assert same(tmp_path / "outputs/mine", at_home)
    # more than one job had a part in it, and none is left
    on_cluster.wait_until(lambda: not living(on_cluster), "all jobs have ended", 60)
    assert not list((tmp_path / "outputs/mine/leases").iterdir())


def test_a_cancelled_job_leaves_its_part_to_the_others(on_cluster, tmp_path, at_home, started):
    process = started()
    once_something_is_committed(on_cluster, tmp_path)
    on_cluster.cancel(living(on_cluster)[0].id)
    code, out, err = ended(process)
    assert code == 0, out + err
    assert same(tmp_path / "outputs/mine", at_home)


def test_a_sweep_whose_jobs_are_all_cancelled_says_so_and_goes_on_next_time(
    on_cluster, tmp_path, at_home, started
):
    process = started()
    once_something_is_committed(on_cluster, tmp_path)
    on_cluster.cancel(*(job.id for job in living(on_cluster)))
    code, out, err = ended(process)
    assert code == 2
    assert "cannot finish the sweep: its jobs were cancelled with " in err
    assert "Traceback" not in err
    code, out, err = ended(started())
    assert code == 0, out + err
    assert same(tmp_path / "outputs/mine", at_home)


def test_a_lost_node_costs_time_alone(on_cluster, tmp_path, at_home, started):
    process = started()
    once_something_is_committed(on_cluster, tmp_path)
    on_cluster.kill_node(living(on_cluster)[0].node)
    code, out, err = ended(process)
    assert code == 0, out + err
    assert same(tmp_path / "outputs/mine", at_home)


def test_a_job_that_runs_out_of_time_is_queued_again_and_goes_on(
    on_cluster, tmp_path, at_home, started
):
    process = started("hydra.launcher.jobs=1")
    once_something_is_committed(on_cluster, tmp_path)
    [job] = living(on_cluster)
    on_cluster.signal(job.id, "USR2", to="steps")
    on_cluster.wait_until(lambda: on_cluster.job(job.id).restarts == 1, "it is queued again", 60)
    code, out, err = ended(process)
    assert code == 0, out + err
    assert same(tmp_path / "outputs/mine", at_home)


def test_a_job_that_is_preempted_is_queued_again_and_goes_on(
    on_cluster, tmp_path, at_home, started
):
    process = started("hydra.launcher.slurm.partition=spare", "hydra.launcher.slurm.exclusive=true")
    once_something_is_committed(on_cluster, tmp_path)
    on_cluster.wait_until(
        lambda: [job.state for job in living(on_cluster)].count("RUNNING") == 3, "all jobs run"
    )
    first = living(on_cluster)[0]
    on_cluster.run(
        ["sbatch", "--partition=main", f"--nodelist={first.node}", "--exclusive", "--wrap=sleep 2"],
    )
    on_cluster.wait_until(lambda: on_cluster.job(first.id).restarts == 1, "it is queued again", 90)
    code, out, err = ended(process)
    assert code == 0, out + err
    assert same(tmp_path / "outputs/mine", at_home)


def test_nobody_has_to_wait(on_cluster, tmp_path, at_home, started):
    code, out, err = ended(started("hydra.launcher.wait=false"))
    assert code == 0, err
    assert "3 jobs submitted (" in out
    once_something_is_committed(on_cluster, tmp_path)
    asked = command("status", "outputs/mine", "--json")
    middle = json.loads(subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True).stdout)
    assert middle["networks"]["ok"] >= 2
    assert all(one["job"] for one in middle["running"])
    once_something_is_committed(on_cluster, tmp_path, 8)
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["networks"]["ok"] == 16
    assert same(tmp_path / "outputs/mine", at_home)


def test_what_a_job_cannot_do_is_told_where_it_was_submitted(on_cluster, tmp_path, started):
    code, _, err = ended(started("device=cuda", "hydra.launcher.slurm.gpus_per_task=1"))
    assert code == 2
    assert "cannot use device=cuda: PyTorch finds no CUDA device here" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hydra.launcher.slurm.partition=nowhere"], "cannot submit jobs to slurm: "),
        (
            ["hydra.launcher.slurm.partitoin=main"],
            "(did you mean 'hydra.launcher.slurm.partition'?)",
        ),
        (["hydra.launcher.slurm.time=soon"], "it must be minutes, or hours:minutes:seconds"),
    ],
)
def test_what_slurm_refuses_is_told_in_one_sentence(on_cluster, tmp_path, started, words, said):
    code, _, err = ended(started(*words))
    assert code == 2
    assert said in err
    assert "Traceback" not in err
