"""What is timed does the same work: every peer gives the product's numbers; nothing here is timed."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from analysis.readme import replaced
from benchmarks import __main__ as command
from benchmarks import gpu, readme
from benchmarks.agreement import check, program_of
from benchmarks.equality import ALONE, UnequalError, difference, tolerance
from benchmarks.floor import bare_products
from benchmarks.timing import Shape, spread
from benchmarks.workload import networks
from study.activations import ACTIVATIONS
from study.execution import exact_arithmetic
from study.network import Shape as NetworkShape
from study.probe import INDEX
from study.training import train_pack
from tests.small import CPU

ROOT = Path(__file__).parent.parent

WIDTH, CELLS = 16, 2

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is an extra: pip install '.[bench]'"
)
MEASURED = [
    *(
        (peer, name)
        for peer in ("careful", "vmapped")
        for name in ("relu", "tanh", "gelu", "prelu")
    ),
    # a few of each: one takes seconds to compile
    *(
        pytest.param(*pair, marks=[needs_jax, pytest.mark.long])
        for pair in (("jax", "prelu"), ("jax_map", "tanh"))
    ),
]
TRAINED = ["careful", "vmapped", pytest.param("jax", marks=[needs_jax, pytest.mark.long])]


@pytest.fixture(autouse=True)
def _exact():
    with exact_arithmetic("cpu"):
        yield


def of_peer(peer, function, *arguments):
    """Return what a function gives, JAX's in a process of its own: its threads forbid others to fork."""
    if not peer.startswith("jax"):
        return function(*arguments)
    return apart(function, *arguments)


def apart(function, *arguments):
    """Return what a function gives in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(exactly, function, *arguments).result()


def exactly(function, *arguments):
    """Return what a function gives where numbers repeat."""
    with exact_arithmetic("cpu"):
        return function(*arguments)


def measured_difference(peer, activation):
    """Return the largest difference of a peer's numbers after three steps in float64."""
    cells = networks(3, WIDTH, activation, 3, CELLS, "float64")
    found = difference(train_pack(cells, CPU), program_of(peer)(cells))
    return max(found.layers, found.losses, found.accuracies)


@pytest.mark.parametrize(("peer", "activation"), MEASURED)
def test_a_peer_measures_what_the_product_measures(peer, activation):
    batch = networks(3, WIDTH, activation, 3, CELLS)[0].settings["batch_size"]
    bound = tolerance(3, WIDTH, batch, 3, "float64")
    assert of_peer(peer, measured_difference, peer, activation) <= bound


@pytest.mark.parametrize("peer", TRAINED)
def test_a_peer_trained_in_float32_has_the_products_loss_after_20_steps(peer):
    found = of_peer(peer, check, peer, networks(4, WIDTH, "relu", 20, CELLS))
    assert found["last_loss_nats"] <= 1e-4


def test_a_peer_that_differs_is_refused(monkeypatch):
    cells = networks(2, WIDTH, "relu", 3, CELLS)
    product = train_pack(cells, CPU)
    product.batch_loss[-1] += 1e-3
    with pytest.raises(
        UnequalError, match=r"careful and the product disagree at depth 2 with relu"
    ):
        check("careful", cells, product)
    product.first_bad_step[0] = 1
    with pytest.raises(UnequalError, match="diverge in one and not in the other"):
        check("careful", cells, product)


@pytest.mark.parametrize(
    "launcher", ["hydra_basic", pytest.param("hydra_joblib", marks=pytest.mark.long)]
)
def test_a_hydra_job_measures_what_the_product_measures(launcher, tmp_path):
    if launcher == "hydra_joblib" and not importlib.util.find_spec(
        "hydra_plugins.hydra_joblib_launcher"
    ):
        pytest.skip("the launcher is an extra: pip install '.[bench]'")
    words = ["--multirun", "seed=1", "steps=2", "depth=2", "width=8", "data=digits", "lr=0.01"]
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.peers.{launcher}", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("multirun/*/*/0/measured.npz")
    from benchmarks.peers.hydra_jobs import Job, cell_of

    cells = [cell_of(Job(seed=1, steps=2, depth=2, width=8, data="digits", lr=0.01))]
    product = train_pack(cells, CPU)
    with np.load(path) as saved:
        np.testing.assert_allclose(saved["batch_loss"], product.batch_loss, rtol=1e-5)
        shared = [place for name, place in INDEX.items() if name not in ALONE]
        both = (saved["layers"][0][:, shared], product.layers[0][:, shared])
        np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-9)


def test_the_bare_products_are_those_of_the_packs_shapes():
    bare_products(networks(2, WIDTH, "relu", 1, CELLS))(2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--steps 0", "argument --steps: 0 is not a whole number above zero"),
        ("--rounds two", "argument --rounds: two is not a whole number above zero"),
        ("--widths 32,,64", "argument --widths:  is not a whole number above zero"),
        ("--depths 1,2", "argument --depths: a depth of 1 has no hidden layer to measure"),
        ("--activations elu", "argument --activations: elu is none of relu, tanh, gelu, prelu"),
        (
            "--write no/such/folder.json",
            "cannot write no/such/folder.json: there is no such folder",
        ),
    ],
)
def test_a_wrong_value_of_the_benchmark_is_said_in_one_sentence(words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.arguments(words.split())
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"Cannot run the benchmark: {said}.\n"


def shapes(words: str) -> list[Shape]:
    """Return the rows that a command line asks for."""
    return command.shapes_of(command.arguments(words.split()))


def test_every_choice_of_shapes_is_honoured():
    asked = shapes("--depths 32,2 --widths 128 --activations prelu,relu")
    assert {(s.depth, s.width, s.activation) for s in asked} == {
        (depth, 128, activation) for depth in (2, 32) for activation in ("prelu", "relu")
    }
    assert shapes("--quick --depths 3") == [Shape(3, 64, "relu")]
    quick = command.arguments(["--quick"])
    assert (quick.steps, quick.rounds, quick.write) == (100, 1, None)
    told = command.arguments(["--quick", "--steps", "500", "--rounds", "3", "--write", "one.json"])
    assert (told.steps, told.rounds, str(told.write)) == (500, 3, "one.json")
    assert {s.activation for s in shapes("--widths 16")} == {"relu", "tanh", "gelu", "prelu"}


def test_the_default_table_has_every_depth_width_and_activation():
    default = shapes("")
    assert {s.depth for s in default} == {2, 8, 32}
    assert {s.width for s in default} == {32, 64, 128}
    assert {s.activation for s in default} == {"relu", "tanh", "gelu", "prelu"}
    assert {s.activation for s in default} <= set(ACTIVATIONS)


def row(jax: float, floor: float, probing: float, activation: str = "relu") -> dict:
    """Return a row of the table with these medians."""
    return {
        "depth": 8, "width": 64, "activation": activation,
        "over_product": {"jax": spread([jax]), "jax + compile": spread([jax + 1])},
        "product_over_floor": spread([floor]), "probing_share": spread([probing]),
    }  # fmt: skip


def test_targets_are_judged_by_the_worst_row():
    judged = command.judge([row(1.0, 1.5, 0.1), row(0.8, 9.0, 0.2, "gelu")])
    within, floor = (judged[name] for name in list(command.TARGETS)[1:3])
    assert (within["worst"], within["missed"]) == (0.8, ["gelu 8 × 64"])
    assert (floor["worst"], floor["missed"]) == (1.5, [])
    assert judged["probing at most 15 % of training"]["missed"] == ["gelu 8 × 64"]


def test_a_floor_takes_the_slower_of_arithmetic_and_memory():
    shape = NetworkShape(inputs=4, width=8, outputs=2, depth=2, bias=True)
    # two products of 4 × 8 and three of 8 × 2, on 16 samples
    flops = 2 * 2 * 16 * 4 * 8 + 3 * 2 * 16 * 8 * 2
    moved = 4 * (2 * (16 * 4 + 16 * 8 + 4 * 8) + 3 * (16 * 8 + 16 * 2 + 8 * 2))
    assert gpu.floor_seconds(shape, 16, 10, 1.0, 1e30) == pytest.approx(10 * flops)
    assert gpu.floor_seconds(shape, 16, 10, 1e30, 1.0) == pytest.approx(10 * moved)


def test_the_gpu_grid_is_that_of_the_experiment():
    # composing sets Hydra's version for the whole process
    found, settings = apart(gpu.grid)
    assert found == dict.fromkeys((2, 4, 8, 16, 32, 64), 240)
    assert (settings["width"], settings["steps"], settings["batch_size"]) == (64, 500, 128)


def test_the_readme_says_what_the_benchmark_measured():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == replaced(ROOT / "README.md", readme.BEGIN, readme.END, readme.text())


def test_results_name_no_folder():
    for path in readme.RESULTS.glob("*.json"):
        assert "/home" not in path.read_text(encoding="utf-8")
        json.loads(path.read_text(encoding="utf-8"))
