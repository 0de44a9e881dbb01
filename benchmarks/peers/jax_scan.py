"""The same pack as a jitted JAX program.

Run: python -m benchmarks.peers.jax_scan --depth 8 --width 64 --activation relu

Batches are gathered inside the compiled loop. One program whose number of steps is an argument serves
every stretch between two probe steps, as fast as a scan of fixed length, which would be compiled for each
of them; its weights are donated. A probe step's program makes that step's update, too. Cells are vmapped,
or (``--cells-by map``) each is trained by itself until the next probe step, within the program.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

# read when XLA starts: a benchmark of one core must not use its pool of threads
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from jax import Array

from benchmarks.peers import jax_quantities as quantities
from benchmarks.peers.jax_data import SPLITS, Data, Layers, prepared
from benchmarks.peers.jax_quantities import Samples
from benchmarks.peers.measured import Measured, first_bad_step
from benchmarks.workload import CELLS, STEPS, networks, pin_to_one_core
from study.cell import Cell
from study.probe import INDEX, probe_steps
from study.schema import Z_PERCENTILES

jax.config.update("jax_enable_x64", True)  # float64 for the probes; training asks for float32

FORMS: dict[str, Callable[..., Any]] = {
    "vmap": jax.vmap,
    "map": lambda function: lambda *arguments: jax.lax.map(lambda one: function(*one), arguments),
}
"""How a function of one network becomes one of all cells: axis 0 of every argument and result."""

EVALUATED = 1000
"""Samples evaluated at a time, at most."""


class Program:
    """One pack's training, compiled.

    Args:
        cells: the pack; one of the activations in `jax_quantities.FUNCTIONS`, plain gradient descent.
        form: one of `FORMS`, of the steps between probes. What runs on more samples than a batch is
            faster cell by cell, in the processor's cache, in both.

    Attributes:
        compile_s: processor time that tracing and compiling took, in seconds.
    """

    def __init__(self, cells: Sequence[Cell], form: str = "vmap") -> None:
        self.cells = cells
        self.settings = cells[0].settings
        self.name = self.settings["activation"]["name"]
        self.over_cells = FORMS[form]
        self.schedule = probe_steps(self.settings["steps"], self.settings["probe"]["steps"])
        arguments = prepared(cells)
        began = time.process_time()
        self._compile(*arguments)
        self.compile_s = time.process_time() - began

    def _compile(self, layers: Layers, data: Data) -> None:
        losses, good, dead = self._buffers(layers)
        step = np.int32(0)

        def compiled(function: Callable[..., Any], *arguments: Any, donated: Any = ()) -> Any:
            return jax.jit(function, donate_argnums=donated).lower(*arguments).compile()

        self.advance = compiled(
            self._advance, layers, losses, good, data, step, step, donated=(0, 1, 2)
        )
        self.measure = compiled(self._measure, layers, dead, data, step)
        self.signals = compiled(self._signals, layers, data)
        self.evaluate = compiled(self._evaluate, layers, data)

    def _buffers(self, layers: Layers) -> tuple[Array, Array, tuple[Array, Array]]:
        """Return room for losses and finiteness ``[cell, step]``, and what no unit has been yet.

        The last are ``[cell, layer, unit]``: dead at every probe step so far, and at any.
        """
        cells, width = layers[0]["bias"].shape
        each_step = (cells, self.settings["steps"] + 1)
        units = (cells, len(layers) - 1, width)
        return (
            jnp.zeros(each_step, self.settings["dtype"]),
            jnp.zeros(each_step, bool),
            (jnp.ones(units, bool), jnp.zeros(units, bool)),
        )

    def _step(self, layers: Layers, x: Array, y: Array) -> tuple[Layers, Layers, Array, Array]:
        """Return one network's updated layers, gradient, loss, and whether its weights are finite."""
        loss, gradients = jax.value_and_grad(quantities.loss)(layers, x, y, self.name)
        rate = self.settings["optim"]["lr"]
        updated = jax.tree.map(lambda w, g: w - rate * g, layers, gradients)
        finite = jnp.stack([jnp.isfinite(layer["weight"]).all() for layer in layers]).all()
        return updated, gradients, loss, finite

    def _advance(
        self, layers: Layers, losses: Array, good: Array, data: Data, begin: Array, end: Array
    ) -> tuple[Layers, Array, Array]:
        """Train from one step to another; return layers, losses and finiteness."""

        def one(layers: Layers, losses: Array, good: Array, data: Data) -> Any:
            def body(step: Array, carried: tuple[Layers, Array, Array]) -> Any:
                layers, losses, good = carried
                layers, _, loss, finite = self._step(layers, *batch(data, step))
                return layers, losses.at[step].set(loss), good.at[step].set(finite)

            return jax.lax.fori_loop(begin, end, body, (layers, losses, good))

        return self.over_cells(one)(layers, losses, good, data)

    def _measure(
        self, layers: Layers, dead: tuple[Array, Array], data: Data, step: Array
    ) -> tuple[Layers, tuple[Array, Array], Array, Array]:
        """Make a probe step.

        Returns:
            The updated layers, dead units so far, quantities ``[cell, layer, quantity]``, and
            ``[cell, 6]``: loss and accuracy on probe set and test samples, the batch's loss, and
            whether all weights are finite.
        """

        def one(layers: Layers, dead: tuple[Array, Array], data: Data) -> Any:
            x, y = batch(data, step)
            twin = in_float64(layers)
            of_batch = quantities.gradient_quantities(twin, in_float64(x), y, self.name)
            inputs, labels = part_of(data, "probe")
            of_units, now, outputs = quantities.unit_quantities(twin, in_float64(inputs), self.name)
            dead = (dead[0] & now, dead[1] | now)
            of_dead = quantities.dead_quantities(now, *dead)
            updated, gradients, loss, finite = self._step(layers, x, y)
            of_update = quantities.update_quantities(layers, updated, gradients)
            rows = quantities.as_rows(of_batch, of_units, of_dead, of_update)
            test_inputs, test_labels = part_of(data, "test_part")
            test_outputs = quantities.logits(layers, test_inputs, self.name)
            seen = [
                *quantities.loss_and_accuracy(outputs, labels),
                *quantities.loss_and_accuracy(test_outputs, test_labels),
                loss,
                finite,
            ]
            return updated, dead, rows, jnp.stack([number.astype(jnp.float64) for number in seen])

        return FORMS["map"](one)(layers, dead, data)

    def _signals(self, layers: Layers, data: Data) -> tuple[list[Array], Array]:
        """Return z of every layer on the samples that percentiles are of, and twins of hidden layers.

        The first ``[cell, sample · unit]``, the second ``[cell, layer]``.
        """

        def one(layers: Layers, data: Data) -> tuple[list[Array], Array]:
            inputs = part_of(data, "probe")[0][: quantities.PERCENTILE_SAMPLES]
            twin = in_float64(layers)
            z = quantities.signals(twin, in_float64(inputs), self.name)
            return z, quantities.twins(twin)

        return FORMS["map"](one)(layers, data)

    def _evaluate(self, layers: Layers, data: Data) -> tuple[Array, Array]:
        """Return loss and rightness of every sample of the pool, ``[cell, sample]``."""

        def one(layers: Layers, data: Data) -> tuple[Array, Array]:
            def of_chunk(samples: Samples) -> tuple[Array, Array]:
                outputs = quantities.logits(layers, samples[0], self.name)
                return quantities.cross_entropy(outputs, samples[1]), outputs.argmax(1) == samples[
                    1
                ]

            count = len(data.samples[1])
            size = max(one for one in range(1, EVALUATED + 1) if count % one == 0)
            chunks = jax.tree.map(lambda all: all.reshape(-1, size, *all.shape[1:]), data.samples)
            return jax.tree.map(jnp.ravel, jax.lax.map(of_chunk, chunks))

        return FORMS["map"](one)(layers, data)

    def run(self) -> Measured:
        """Train and measure the pack from its start."""
        layers, data = prepared(self.cells)
        losses, good, dead = self._buffers(layers)
        found, seen, ends = [], [], []
        for step, until in zip(self.schedule, [*self.schedule[1:], None], strict=True):
            if step == 0 or until is None:
                ends.append(self.signals(layers, data))
            updated, dead, rows, numbers = self.measure(layers, dead, data, np.int32(step))
            found.append(rows)
            seen.append(numbers)
            if until is not None:
                layers, losses, good = self.advance(
                    updated, losses, good, data, np.int32(step + 1), np.int32(until)
                )
        final = by_split(*self.evaluate(layers, data), data.rows)
        return self._measured(found, seen, ends, final, (losses, good))

    def _measured(
        self,
        found: Sequence[Array],
        seen: Sequence[Array],
        ends: Sequence[tuple[Sequence[Array], Array]],
        final: Any,
        each_step: tuple[Array, Array],
    ) -> Measured:
        """Bring everything to NumPy, axes as the product has them."""
        layers = np.moveaxis(np.stack(found), 1, -1)
        places = [INDEX[f"z_p{percent:02d}"] for percent in Z_PERCENTILES]
        for row, (signals, twins) in zip((0, -1), ends, strict=True):
            layers[row, :-1, INDEX["twin_units"]] = np.asarray(twins).T
            for layer, z in enumerate(signals):
                # NumPy sorts ten times as fast as XLA does on a CPU
                layers[row, layer, places] = np.percentile(z, Z_PERCENTILES, axis=1)
        layers[-1][:, INDEX["update_norm"]] = np.nan  # nothing follows the last step
        numbers = np.moveaxis(np.stack(seen), 1, -1)
        losses, good = (np.array(array).T for array in each_step)
        losses[self.schedule], good[self.schedule] = numbers[:, 4], numbers[:, 5]
        good &= np.isfinite(losses)
        good[self.schedule] &= np.isfinite(numbers[:, :4:2]).all(axis=1)
        good[-1] &= np.isfinite(final[::2]).all(axis=0)
        return Measured(
            layers, losses.astype(np.float64), numbers[:, :4], final, first_bad_step(good)
        )


def batch(data: Data, step: Array) -> Samples:
    """Return one network's batch of a step."""
    chosen = data.batches[step]
    return data.samples[0][chosen], data.samples[1][chosen]


def part_of(data: Data, split: str) -> Samples:
    """Return one network's samples of a split."""
    return data.samples[0][data.rows[split]], data.samples[1][data.rows[split]]


def in_float64(tree: Any) -> Any:
    """Return arrays in the format of the probes."""
    return jax.tree.map(lambda array: array.astype(jnp.float64), tree)


def by_split(losses: Array, right: Array, rows: dict[str, Array]) -> Any:
    """Return loss and accuracy of every split, ``[6, cell]``, from ``[cell, sample]``."""
    samples = [np.asarray(array, np.float64) for array in (losses, right)]
    return np.stack(
        [
            np.take_along_axis(one, np.asarray(rows[split]), axis=1).mean(axis=1)
            for split in SPLITS
            for one in samples
        ]
    )


def main() -> None:
    """Time one pack: compile once, then run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--activation", choices=quantities.FUNCTIONS, default="relu")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cells-by", choices=FORMS, default="vmap")
    chosen = parser.parse_args()
    pin_to_one_core()
    torch.set_num_threads(1)  # it draws and splits the data
    cells = networks(chosen.depth, chosen.width, chosen.activation, chosen.steps, chosen.cells)
    program = Program(cells, chosen.cells_by)
    print(f"compile: {program.compile_s:.2f} s of processor time", flush=True)
    for _ in range(chosen.runs):
        began, wall = time.process_time(), time.perf_counter()
        program.run()
        spent, passed = time.process_time() - began, time.perf_counter() - wall
        each = 1e3 * spent / chosen.cells / chosen.steps
        print(f"{each:.4f} ms a cell-step ({spent:.2f} s of processor time in {passed:.2f} s)")


if __name__ == "__main__":
    main()
