"""A whole sweep on a GPU: the benchmark grid with its report, one network a job, and the card's own floor.

Run: python -m benchmarks.gpu

Where there is no CUDA it says so, in benchmarks/results/engine-gpu.json, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from benchmarks.launchers import CommandError, run
from study.app import CONF
from study.execution import environment
from study.network import Shape
from study.training import shape_of

RESULTS = Path(__file__).parent / "results" / "engine-gpu.json"

SAMPLE = (1, 3)
"""Jobs of each depth's two samples: their difference is what a further one costs."""

FLOAT_BYTES = 4

SIDE = 8192
"""Rows and columns of the matrices that the card's rate is measured with."""


def grid() -> tuple[dict[int, int], dict[str, Any]]:
    """Return the networks of the speed experiment by depth, and the settings they share."""
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("config", ["+experiment=speed"], return_hydra_config=True)
    axes = {name: str(values).split(",") for name, values in config.hydra.sweeper.params.items()}
    each = config.seeds
    for name, values in axes.items():
        each *= 1 if name == "depth" else len(values)
    settings = {name: config[name] for name in ("width", "steps", "batch_size", "bias")}
    return {int(depth): each for depth in axes["depth"]}, {**settings, "data": dict(config.data)}


def layer_work(i: int, o: int, batch: int, first: bool) -> tuple[float, float]:
    """Return the floating-point operations and the bytes of one layer's products in one step.

    One forward product and two backward ones, the first layer only one, each reading its two factors
    and writing its result once.
    """
    products = 2 if first else 3
    moved = products * (batch * i + batch * o + i * o) * FLOAT_BYTES
    return products * 2.0 * batch * i * o, moved


def floor_seconds(shape: Shape, batch: int, steps: int, rate: float, bandwidth: float) -> float:
    """Return what one network's training takes at least: every layer at the card's rate or bandwidth.

    Args:
        shape: of the network.
        batch: samples of a batch.
        steps: training steps.
        rate: floating-point operations a second.
        bandwidth: bytes a second.
    """
    work = [layer_work(*fans, batch, index == 0) for index, fans in enumerate(shape.fans())]
    return steps * sum(max(flops / rate, moved / bandwidth) for flops, moved in work)


def timed(function: Callable[[], Any], times: int = 10) -> float:
    """Return the seconds of a call on the GPU, the shortest of some."""
    function()
    spent = []
    for _ in range(times):
        torch.cuda.synchronize()
        began = time.perf_counter()
        function()
        torch.cuda.synchronize()
        spent.append(time.perf_counter() - began)
    return min(spent)


def card() -> tuple[float, float]:
    """Return the card's measured float32 rate and bandwidth: operations and bytes a second."""
    torch.backends.cuda.matmul.allow_tf32 = False  # as in training
    a, b = torch.randn(2, SIDE, SIDE, device="cuda")
    product = torch.empty_like(a)
    rate = 2.0 * SIDE**3 / timed(lambda: torch.mm(a, b, out=product))
    bandwidth = 2 * a.nbytes / timed(lambda: product.copy_(a))
    return rate, bandwidth


def product_seconds() -> float:
    """Return the wall time of the sweep and of its report, two whole commands."""
    with tempfile.TemporaryDirectory() as folder:
        spent = run(["study", "+experiment=speed", "device=cuda"], folder)
        return spent + run(["analysis", "outputs/speed"], folder)


def one_by_one_seconds(networks: dict[int, int], steps: int) -> float:
    """Return what one network a job would take under Hydra's basic launcher, from a sample a depth."""
    whole = 0.0
    for depth, count in networks.items():
        command = ["benchmarks.peers.hydra_basic", "--multirun", f"depth={depth}", f"steps={steps}"]
        few, more = (run([*command, "device=cuda", f"seed=range({jobs})"]) for jobs in SAMPLE)
        whole += count * (more - few) / (SAMPLE[1] - SAMPLE[0])
    return whole


def measured() -> dict[str, Any]:
    """Return everything measured on the GPU.

    Raises:
        CommandError: a command failed.
    """
    networks, settings = grid()
    rate, bandwidth = card()
    floor = sum(
        count
        * floor_seconds(
            shape_of({**settings, "depth": depth}),
            *(settings["batch_size"], settings["steps"], rate, bandwidth),
        )
        for depth, count in networks.items()
    )
    product = product_seconds()
    alone = one_by_one_seconds(networks, settings["steps"])
    return {
        "run": True,
        "environment": environment("cuda"),
        "networks": sum(networks.values()),
        "product_s": product,
        "one_by_one_s": alone,
        "floor_s": floor,
        "over_product": alone / product,
        "over_floor": product / floor,
        "flops_a_second": rate,
        "bytes_a_second": bandwidth,
    }


def main() -> int:
    """Measure, print and write; 1 where a command failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, default=RESULTS, help="where the JSON goes")
    chosen = parser.parse_args()
    if torch.cuda.is_available():
        try:
            found = measured()
        except CommandError as error:
            print(error, file=sys.stderr)
            return 1
        print(json.dumps(found, indent=1))
    else:
        found = {"run": False, "reason": "there was no CUDA device"}
        print("The GPU half of the benchmark was not run: there is no CUDA device.")
    chosen.write.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
