"""Simulated studies of any size, for measuring what reads them: no network is trained for them.

Their numbers are drawn, not measured: a power law of the depth with noise of every decimal place, so that
they compress as measured ones do. They say nothing about networks and are for timing alone. What is real
is what holds them: plans, packs, tables and commits are made by the code that makes those of a study.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.cell import cells_of
from study.execution import cores, environment
from study.packing import Pack, plan_document, plan_packs
from study.probe import INDEX, QUANTITIES, probe_steps
from study.records import statuses, tables
from study.schema import Z_PERCENTILES
from study.settings import canonical_condition
from study.store import Store
from study.training import PackResult, shape_of

Array = NDArray[np.float64]

FAILED = "simulated: this network was never built"

SHRINKS = {
    "sigmoid": -0.6, "tanh": -0.05, "relu": -0.12, "leaky_relu": -0.1, "prelu": -0.08,
    "gelu": -0.2, "silu": -0.25, "sine": -0.03, "sign": -0.3, "identity": 0.0,
}  # fmt: skip
"""Decades of the gradient lost at a layer, by activation."""

GROWS = {
    "normal_small": -1.1, "torch_default": -0.25, "lecun_normal": 0.0, "xavier_normal": 0.0,
    "he_normal": 0.13, "orthogonal": 0.02, "normal_unit": 0.9,
}  # fmt: skip
"""Decades of the gradient gained at a layer, by initializer."""

SPLITS = (4000, 1000)
"""Samples that shares and accuracies are counted over."""


@dataclass(frozen=True)
class Size:
    """What a simulated study crosses.

    Attributes:
        name: the study's name.
        start_depths: depths measured at the start.
        start_activations: activations measured at the start.
        start_inits: initializers measured at the start.
        start_seeds: networks of each of their conditions.
        depths: depths trained.
        activations: activations trained.
        inits: initializers trained.
        rates: learning rates.
        seeds: networks of each condition and rate.
        probes: the setting ``probe.steps`` of those trained.
    """

    name: str
    start_depths: tuple[int, ...]
    start_activations: tuple[str, ...]
    start_inits: tuple[str, ...]
    start_seeds: int
    depths: tuple[int, ...]
    activations: tuple[str, ...]
    inits: tuple[str, ...]
    rates: tuple[float, ...]
    seeds: int
    probes: int = 20


def large(cells: int) -> Size:
    """Return a study of about so many networks: more depths, activations and rates than the standard grid.

    Its trained networks have 462 rows of ``layers`` each: 100,000 networks have some 40 million.
    """
    activations, depths = tuple(SHRINKS), (2, 4, 8, 16, 32, 64)
    inits = (
        "normal_small",
        "torch_default",
        "xavier_normal",
        "he_normal",
        "orthogonal",
        "normal_unit",
    )
    rates = (0.01, 0.03, 0.1, 0.3, 1.0)
    conditions = len(activations) * len(inits) * len(depths)
    # a network measured at the start for every ten trained
    seeds = max(1, round(cells / (conditions * len(rates) * 1.1 + len(rates))))
    starts = max(1, round(seeds * len(rates) / 10))
    return Size(
        "simulated", depths, activations, inits, starts, depths, activations, inits, rates, seeds,
        probes=24,
    )  # fmt: skip


STANDARD = Size(
    "simulated_standard",
    (2, 4, 8, 16, 32), ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu", "identity"),
    ("normal_small", "torch_default", "xavier_normal", "he_normal", "normal_unit"), 20,
    (2, 4, 8, 32), ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "gelu"),
    ("torch_default", "xavier_normal", "he_normal"), (0.03, 0.1, 0.3, 1.0), 5,
)  # fmt: skip
"""The size of the standard grid."""


def conditions(size: Size) -> list[list[dict[str, Any]]]:
    """Return the conditions of a study as one types them, a list for each of its sweeps."""
    base = {"data": {"name": "mnist1d"}}
    rates = [{"name": "sgd", "lr": rate} for rate in size.rates]
    starts = itertools.product(size.start_depths, size.start_activations, size.start_inits)
    trained = itertools.product(size.depths, size.activations, size.inits, rates)
    return [
        [
            base | _named(*one) | {"optim": rates[0], "steps": 0, "seeds": size.start_seeds}
            for one in starts
        ],
        [
            base
            | _named(depth, activation, init)
            | {"optim": optim, "seeds": size.seeds, "probe": {"steps": size.probes}}
            for depth, activation, init, optim in trained
        ],
        [
            base | _named(1, "identity", "torch_default") | {"optim": optim, "seeds": size.seeds}
            for optim in rates
        ],
    ]


def _named(depth: int, activation: str, init: str) -> dict[str, Any]:
    return {"depth": depth, "activation": {"name": activation}, "init": {"name": init}}


def simulate(folder: Path, size: Size) -> int:
    """Make a simulated study through the real store and return how many networks it has.

    Args:
        folder: the study's folder, which does not exist yet.
        size: what it crosses.
    """
    store = Store(folder)
    store.create()
    packs: list[Pack] = []
    for sweep, many in enumerate(conditions(size)):
        planned = plan_packs(cells_of(map(canonical_condition, many)), "cpu")
        command = ["python", "-m", "benchmarks.report_scale", f"sweep={sweep}"]
        store.write_plan(plan_document(planned, "cpu", command))
        packs += planned
    # sizes differ by depth: small parts keep all processes at work to the end
    parts = [packs[start : start + 8] for start in range(0, len(packs), 8)]
    with ProcessPoolExecutor(cores()) as pool:
        for _ in pool.map(partial(_commit, store, environment("cpu")), parts):
            pass
    return sum(len(pack.cells) for pack in packs)


def _commit(store: Store, made_with: dict[str, Any], packs: Sequence[Pack]) -> None:
    for pack in packs:
        result = result_of(pack)
        status = {cell.id: one for cell, one in zip(pack.cells, statuses(result), strict=True)}
        store.commit(pack.id, pack.attempt, tables(result), status, made_with, 0.0)


def result_of(pack: Pack) -> PackResult:
    """Return what might have been measured of a pack, the same at every call.

    Every thousandth network failed; of those with large weights and rates some diverged and have NaN
    from a step on.
    """
    settings = pack.cells[0].settings
    random = np.random.default_rng(int(pack.id, 16))
    steps, cells = probe_steps(settings["steps"], settings["probe"]["steps"]), len(pack.cells)
    shape = shape_of(settings)
    # decades of the gradient gained from a layer to the one before it, [cell]
    decades = SHRINKS[settings["activation"]["name"]] + np.array(
        [GROWS[cell.settings["init"]["name"]] for cell in pack.cells]
    )
    decades = decades + 0.02 * random.standard_normal(cells)
    far = np.abs(decades) * max(0, settings["depth"] - 2)
    bad = _first_bad_steps(random, decades, settings)
    layers = _layers(random, decades, len(steps), settings)
    z_finite = np.ones((len(steps), settings["depth"], cells), dtype=bool)
    broken = (bad >= 0) & (np.array(steps)[:, None] >= bad)
    layers.transpose(0, 3, 1, 2)[broken] = np.nan
    z_finite.transpose(0, 2, 1)[broken] = False
    batch_loss = _losses(random, far, np.arange(settings["steps"] + 1)[:, None], settings)
    batch_loss[(bad >= 0) & (np.arange(settings["steps"] + 1)[:, None] >= bad)] = np.nan
    probed = _scores(random, far, np.array(steps)[:, None], settings, 2)
    probed.transpose(0, 2, 1)[broken] = np.nan
    final = None
    if settings["steps"]:
        final = _scores(random, far, np.array([[settings["steps"]]]), settings, 3)[0]
        final[:, bad >= 0] = np.nan
    lost = np.flatnonzero(random.random(cells) < 0.001)
    return PackResult(
        cells=pack.cells,
        shape=shape,
        probe_steps=steps,
        layers=layers,
        batch_loss=batch_loss,
        probed=probed,
        final=final,
        first_bad_step=bad,
        z_finite=z_finite,
        parameters=np.full(cells, sum((i + 1) * o for i, o in shape.fans())),
        errors={int(position): FAILED for position in lost},
    )


def _first_bad_steps(
    random: np.random.Generator, decades: Array, settings: dict[str, Any]
) -> NDArray[np.int64]:
    """Return the steps at which networks diverge ``[cell]``, −1 where they do not."""
    steps = settings["steps"]
    if not steps:
        return np.full(len(decades), -1)
    wild = decades * max(0, settings["depth"] - 2) + 3 * np.log10(settings["optim"]["lr"])
    chance = 0.9 / (1 + np.exp(4 - wild))
    diverged = random.random(len(decades)) < chance
    return np.where(diverged, random.integers(1, steps + 1, len(decades)), -1)


def _scores(
    random: np.random.Generator, far: Array, steps: Array, settings: dict[str, Any], splits: int
) -> Array:
    """Return loss and accuracy of so many splits in turn, ``[step, 2 · split, cell]``."""
    found = np.empty((len(steps), 2 * splits, len(far)))
    for split in range(splits):
        loss = _losses(random, far, steps, settings)
        found[:, 2 * split] = loss
        samples = SPLITS[min(split, 1)]
        found[:, 2 * split + 1] = np.round(np.exp(-loss) * samples) / samples
    return found


def _losses(
    random: np.random.Generator, far: Array, steps: Array, settings: dict[str, Any]
) -> Array:
    """Return losses ``[step, cell]`` that fall where the gradient arrives and the rate suits."""
    rate = np.exp(-((np.log10(settings["optim"]["lr"]) + 0.7) ** 2))
    reach = rate / (1 + np.exp(far - 4))
    learnt = 1 - np.exp(-steps / 60)
    noise = np.exp(0.03 * random.standard_normal((len(steps), len(far))))
    return np.log(10) * (1 - 0.6 * learnt * reach) * noise


def _layers(
    random: np.random.Generator, decades: Array, steps: int, settings: dict[str, Any]
) -> Array:
    """Return quantities of layers, ``[probe step, layer, quantity, cell]``."""
    depth, width, name = settings["depth"], settings["width"], settings["activation"]["name"]
    layer = np.arange(1, depth + 1)[:, None]
    learnt = np.linspace(0.0, 1.0, steps)[:, None, None]
    # [probe step, layer, cell]: training mends some of the way
    size = (1 - 0.3 * learnt) * decades * (depth - layer) - 1
    shape = (steps, depth, len(decades))
    values = np.empty((steps, depth, len(QUANTITIES), len(decades)))

    def noise(spread: float) -> Array:
        return spread * random.standard_normal(shape)

    def share(middle: float) -> Array:
        counted = 512 * width
        return np.round(np.clip(middle + noise(0.05), 0, 1) * counted) / counted

    def put(quantity: str, of: Array | float) -> None:
        values[:, :, INDEX[quantity]] = of

    flat = name == "sign"
    put("signal_grad_rms", 0.0 if flat else 10.0 ** (size + noise(0.1)))
    put("weight_grad_norm", 10.0 ** (0.5 * size + noise(0.1)))
    put("bias_grad_norm", 10.0 ** (size + noise(0.1)))
    second = 10.0 ** (np.clip(decades * layer, -30, 30) + noise(0.05))
    put("z_second_moment", second)
    put("z_mean", np.sqrt(second) * noise(0.1))
    for percent in Z_PERCENTILES:
        put(f"z_p{percent:02d}", np.sqrt(second) * ((percent - 50) / 25 + noise(0.05)))
    put("h_mean", np.sqrt(second) * (0.4 + noise(0.05)))
    put("h_second_moment", second * (0.5 + noise(0.02)))
    put("slope_second_moment", share(0.5))
    put("z_collapse", 1 - np.exp(-layer / 20 - np.abs(noise(0.05))))
    put("signal_collapse", 1 - np.exp(-layer / 40 - np.abs(noise(0.05))))
    put("active_share", share(0.5))
    dies = name in ("relu", "sign")
    dead = np.clip(np.round(width * (0.05 + 0.3 * learnt) * random.random(shape)), 0, width)
    dead = (width if flat else dead) * np.ones(shape) if dies else np.zeros(shape)
    put("dead_units", dead)
    born = np.minimum.accumulate(dead, axis=0)
    put("born_dead_units", born)
    put("revived_units", np.minimum(width - dead, np.maximum.accumulate(dead - born, axis=0)))
    put("twin_units", 0)
    values[1:-1, :, INDEX["twin_units"]] = np.nan
    put("saturated_share", share(0.1 + 0.01 * decades.mean() ** 2))
    put("weight_norm", 8 * np.exp(0.2 * learnt * noise(1.0)))
    put("update_norm", settings["optim"]["lr"] * 10.0 ** (0.5 * size + noise(0.1)))
    put("act_slope", 0.25 + learnt * noise(0.1))
    put("grad_zeros", np.where(size < -38, width * width, 0))
    put("grad_nonfinite", 0)
    put("same_sign_units", np.round(width * 0.1 * random.random(shape)))
    put("same_sign_inputs", 1.0 if name in ("relu", "sigmoid") else 0.0)
    put("update_cosine", np.clip(0.5 + noise(0.2), -1, 1))
    return values
