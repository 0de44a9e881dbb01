"""A small SLURM cluster for the tests of this folder, which are all marked `slurm`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.slurm.cluster import Cluster, UnavailableError

ROOT = Path(__file__).parent.parent.parent


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of this folder: one that is not marked would install SLURM in `make test`."""
    item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return a running cluster of three nodes with two CPUs each, one for all tests.

    Programs use it with ``cluster.env`` as their environment, or by ``cluster.run([...])``. After each
    test all jobs are cancelled and all nodes are brought back. Where there can be no cluster, the test
    is skipped and says why.
    """
    with TemporaryDirectory(prefix="slurm") as folder:  # pytest's own are too long for sockets
        here = Cluster(folder)
        try:
            here.start()
        except UnavailableError as error:
            pytest.skip(str(error))
        yield here
        here.stop()


@pytest.fixture(autouse=True)
def _reset(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the cluster to the next test as it was after its start."""
    yield
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").reset()


@pytest.fixture
def on_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Return the cluster; this process's own environment is set to use it until the test ends.

    For libraries that submit from this process. Jobs find this repository's modules, `tests`, too.
    """
    for key in set(os.environ) - set(cluster.env):
        monkeypatch.delenv(key)
    for key, value in cluster.env.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return cluster
