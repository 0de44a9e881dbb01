"""The cluster that other tests stand on: it runs, it breaks as it is told to, it leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.slurm import cluster as clusters
from tests.slurm.cluster import Cluster, UnavailableError

SCRIPT = Path(clusters.__file__)


def submit(cluster: Cluster, folder: Path, command: str, *options: str) -> str:
    """Submit a batch job with no library, and return its id once it runs."""
    output = f"--output={folder}/%j.out"
    words = ["sbatch", "--parsable", output, *options, f"--wrap={command}"]
    job = cluster.run(words).stdout.strip()
    cluster.wait_for(job, "RUNNING")
    return job


def test_every_node_runs_a_step_and_has_the_environment_of_one(cluster):
    words = ["srun", "-N3", "-n3", "sh", "-c", "echo $SLURMD_NODENAME $SLURM_NNODES"]
    said = cluster.run(words).stdout.splitlines()
    assert sorted(said) == ["n1 3", "n2 3", "n3 3"]
    assert set(cluster.nodes()) == {"n1", "n2", "n3"}


def test_a_gpu_is_counted(cluster):
    words = ["srun", "-n1", "--gpus-per-task=1", "printenv", "SLURM_GPUS_ON_NODE"]
    assert cluster.run(words).stdout.strip() == "1"
    with pytest.raises(RuntimeError, match="not available"):
        cluster.run(["srun", "-n1", "--gpus-per-task=9", "true"])


def test_what_listens_does_so_on_one_address_only(cluster):
    pids = {process.pid for process in cluster.processes()}
    sockets = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            sockets.add(os.readlink(file))
    table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in table]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    assert len(listening) == 4
    own = bytes(map(int, reversed(clusters.own_address().split(".")))).hex().upper()
    assert {row.split(":")[0] for row in listening} == {own}


def test_a_killed_node_takes_its_jobs_with_it_and_comes_back(cluster, tmp_path):
    command = "env -i setsid sleep 1234 & exec sleep 1234"
    job = submit(cluster, tmp_path, command, "--nodelist=n2", "--no-requeue")
    cluster.wait_until(
        lambda: [found.name for found in cluster.processes("n2")].count("sleep") == 2, "both sleep"
    )
    cluster.kill_node("n2", noticed=True)
    assert not cluster.processes("n2")
    assert cluster.processes("n1")
    cluster.wait_for(job, "NODE_FAIL")
    assert cluster.nodes()["n2"].startswith("down")
    cluster.start_node("n2")
    assert cluster.run(["srun", "--nodelist=n2", "printenv", "SLURMD_NODENAME"]).stdout == "n2\n"


def test_the_jobs_of_a_killed_daemon_live_on(cluster, tmp_path):
    submit(cluster, tmp_path, "exec sleep 1234", "--nodelist=n2")
    cluster.kill_daemon("n2")
    assert "sleep" in [found.name for found in cluster.processes("n2")]


def test_a_drained_node_takes_no_job(cluster):
    cluster.drain("n1")
    cluster.wait_until(lambda: cluster.nodes()["n1"] == "drained", "it is drained")
    words = ["srun", "--immediate=2", "--nodelist=n1", "true"]
    assert cluster.run(words, check=False).returncode != 0
    cluster.resume("n1")
    cluster.run(["srun", "--nodelist=n1", "true"])


def test_a_signal_goes_where_it_is_sent(cluster, tmp_path):
    trap = "trap 'echo caught' USR2; echo ready; for _ in $(seq 600); do sleep 0.1; done"
    job = submit(cluster, tmp_path, trap)
    output = tmp_path / f"{job}.out"
    cluster.wait_until(lambda: output.exists() and "ready" in output.read_text(), "it is ready")
    cluster.signal(job, "USR2", to="steps")
    time.sleep(1)
    assert "caught" not in output.read_text()
    cluster.signal(job, "USR2", to="batch")
    cluster.wait_until(lambda: "caught" in output.read_text(), "it has caught the signal")


def test_sacct_says_what_squeue_knows_and_nothing_else(cluster, tmp_path):
    one = submit(cluster, tmp_path, "exec sleep 1234")
    other = submit(cluster, tmp_path, "exec sleep 1234")
    cluster.cancel(one)
    cluster.wait_for(one, "CANCELLED")
    asked = ["sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", one]
    node = cluster.job(one).node
    assert cluster.run(asked).stdout == f"JobID|State|NodeList\n{one}|CANCELLED|{node}\n"
    assert f"{other}|RUNNING|" in cluster.run([*asked, "-j", other]).stdout
    assert cluster.run(["sacct", "--allusers"], check=False).returncode == 2


def test_two_clusters_know_nothing_of_each_other_and_the_second_leaves_no_process(
    cluster, tmp_path
):
    cluster.run(["sbatch", "--hold", "--wrap=true"])
    folder = tmp_path / "second"

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, SCRIPT, *words, "--folder", folder], capture_output=True, text=True
        )

    try:
        done = command("start", "--nodes", "1")
        assert done.returncode == 0, done.stderr
        second = Cluster.opened(folder)
        assert f"export SLURM_CONF={second.configuration}" in done.stdout
        assert [job.state for job in second.jobs()] == ["COMPLETED"]
        submit(second, tmp_path, "env -i setsid sleep 1234 & exec sleep 1234")
        assert "slurmctld" in command("status").stdout
        assert command("start").returncode == 2
    finally:
        done = command("stop")
    assert done.returncode == 0, done.stderr
    assert not second.processes()
    assert command("status").returncode == 1
    assert [process.name for process in cluster.processes()].count("slurmd") == 3
    assert "PENDING" in [job.state for job in cluster.jobs()]


def test_where_there_can_be_no_cluster_one_sentence_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr(clusters.sys, "platform", "linux")
    monkeypatch.setattr(clusters.os, "geteuid", lambda: 0)
    monkeypatch.setattr(clusters, "NO_SERVICES", tmp_path / "no_services")
    monkeypatch.setattr(clusters, "SYSTEM_PATH", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"missing here \(slurmctld, .* so is apt-get"):
        Cluster(tmp_path / "cluster").start()
    apt_get = tmp_path / "apt-get"
    apt_get.write_text("#!/bin/sh\necho no network >&2\nexit 100\n", encoding="utf-8")
    apt_get.chmod(0o755)
    with pytest.raises(UnavailableError, match=r"`apt-get update` failed: no network"):
        Cluster(tmp_path / "cluster").start()
    monkeypatch.setattr(clusters.os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match="Only root"):
        Cluster(tmp_path / "cluster").start()
    monkeypatch.setattr(clusters.sys, "platform", "darwin")
    with pytest.raises(UnavailableError, match="Linux only"):
        Cluster(tmp_path / "cluster").start()
    assert [file.name for file in tmp_path.iterdir()] == ["apt-get"]


def test_a_path_that_is_too_long_for_a_socket_is_refused(cluster):
    folder = cluster.folder / ("long" * 20)
    with pytest.raises(UnavailableError, match="too long"):
        Cluster(folder).start()
    assert not folder.exists()
