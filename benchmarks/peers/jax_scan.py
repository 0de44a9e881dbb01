"""The same pack as a jitted JAX program.

Run: python -m benchmarks.peers.jax_scan --depth 8 --width 64 --activation relu

Batches are gathered inside the compiled loop. One program whose number of steps is an argument serves
every stretch between two probe steps, so nothing is compiled twice; its weights are donated. A probe
step's program makes that step's update, too. Cells are vmapped, or (``--cells-by map``) each is trained
by itself until the next probe step, within the program.
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
from benchmarks.peers.jax_quantities import Layer, Samples
from benchmarks.peers.measured import Measured, first_bad_step
from benchmarks.workload import CELLS, STEPS, networks, pin_to_one_core
from study.cell import Cell
from study.network import start
from study.pack_data import PackData
from study.probe import INDEX, probe_steps
from study.schema import Z_PERCENTILES
from study.training import shape_of

jax.config.update("jax_enable_x64", True)  # float64 for the probes; training asks for float32

Layers = list[Layer]

FORMS: dict[str, Callable[..., Any]] = {
    "vmap": jax.vmap,
    "map": lambda function: lambda *arguments: jax.lax.map(lambda one: function(*one), arguments),
}
"""How a function of one network becomes one of all cells: axis 0 of every argument and result."""

ENDS = ("train", "validation", "test")


class Program:
    """One pack's training, compiled.

    Args:
        cells: the pack; one of the activations in `jax_quantities.FUNCTIONS`, plain gradient descent.
        form: one of `FORMS`.

    Attributes:
        compile_s: processor time that tracing and compiling took, in seconds.
    """

    def __init__(self, cells: Sequence[Cell], form: str = "vmap") -> None:
        self.cells = cells
        self.settings = cells[0].settings
        self.name = self.settings["activation"]["name"]
        self.over_cells = FORMS[form]
        self.schedule = probe_steps(self.settings["steps"], self.settings["probe"]["steps"])
        arguments = self._prepared()
        began = time.process_time()
        self._compile(*arguments)
        self.compile_s = time.process_time() - began

    def _prepared(self) -> tuple[Layers, dict[str, Any]]:
        """Return every cell's start and data, ``[cell, …]``, on JAX's device."""
        settings = self.settings
        seeds = [cell.settings["seed"] for cell in self.cells]
        dtype = getattr(torch, settings["dtype"])
        data = PackData(settings, seeds, dtype, torch.device("cpu"))
        parts: dict[str, Any] = {
            part: [t.numpy() for t in data.for_cells(lambda one, part=part: getattr(one, part))]
            for part in (*ENDS, "probe", "test_part")
        }
        ends = zip(*(parts[part] for part in ENDS), strict=True)
        parts["everything"] = [np.concatenate(arrays, axis=1) for arrays in ends]
        # [cell, step, batch]
        parts["order"] = data.order[:, data.seed_of_cell].transpose(0, 1).contiguous().numpy()
        shape = shape_of(settings)
        starts = zip(*(start(cell.settings, shape) for cell in self.cells), strict=True)
        layers = [
            {"weight": np.stack([w for w, _ in one]), "bias": np.stack([b for _, b in one])}
            for one in starts
        ]
        if "slope" in settings["activation"]:
            for layer in layers[:-1]:
                layer["slope"] = np.full(len(self.cells), settings["activation"]["slope"])
        layers = jax.tree.map(lambda array: array.astype(settings["dtype"]), layers)
        return jax.device_put(layers), jax.device_put(parts)

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

    def _compile(self, layers: Layers, data: dict[str, Any]) -> None:
        losses, good, dead = self._buffers(layers)
        step = np.int32(0)
        whole = (data["train"], data["order"])

        def compiled(function: Callable[..., Any], *arguments: Any, donated: Any = ()) -> Any:
            return jax.jit(function, donate_argnums=donated).lower(*arguments).compile()

        self.advance = compiled(
            self._advance, layers, losses, good, *whole, step, step, donated=(0, 1, 2)
        )
        self.measure = compiled(
            self._measure, layers, dead, *whole, data["probe"], data["test_part"], step
        )
        self.percentiles = compiled(self._percentiles, layers, data["probe"][0])
        self.evaluate = compiled(self._evaluate, layers, data["everything"])

    def _step(self, layers: Layers, x: Array, y: Array) -> tuple[Layers, Layers, Array, Array]:
        """Return one network's updated layers, gradient, loss, and whether its weights are finite."""
        loss, gradients = jax.value_and_grad(quantities.loss)(layers, x, y, self.name)
        rate = self.settings["optim"]["lr"]
        updated = jax.tree.map(lambda w, g: w - rate * g, layers, gradients)
        finite = jnp.stack([jnp.isfinite(layer["weight"]).all() for layer in layers]).all()
        return updated, gradients, loss, finite

    def _advance(
        self,
        layers: Layers,
        losses: Array,
        good: Array,
        train: Samples,
        order: Array,
        begin: Array,
        end: Array,
    ) -> tuple[Layers, Array, Array]:
        """Train from one step to another; return layers, losses and finiteness."""

        def one(layers: Layers, losses: Array, good: Array, train: Samples, order: Array) -> Any:
            def body(step: Array, carried: tuple[Layers, Array, Array]) -> Any:
                layers, losses, good = carried
                chosen = order[step]
                layers, _, loss, finite = self._step(layers, train[0][chosen], train[1][chosen])
                return layers, losses.at[step].set(loss), good.at[step].set(finite)

            return jax.lax.fori_loop(begin, end, body, (layers, losses, good))

        return self.over_cells(one)(layers, losses, good, train, order)

    def _measure(
        self,
        layers: Layers,
        dead: tuple[Array, Array],
        train: Samples,
        order: Array,
        probe: Samples,
        test: Samples,
        step: Array,
    ) -> tuple[Layers, tuple[Array, Array], Array, Array]:
        """Make a probe step.

        Returns:
            The updated layers, dead units so far, quantities ``[cell, layer, quantity]``, and
            ``[cell, 6]``: loss and accuracy on probe set and test samples, the batch's loss, and
            whether all weights are finite.
        """

        def one(
            layers: Layers,
            dead: tuple[Array, Array],
            train: Samples,
            chosen: Array,
            probe: Samples,
            test: Samples,
        ) -> tuple[Layers, tuple[Array, Array], Array, Array]:
            x, y = train[0][chosen], train[1][chosen]
            twin = jax.tree.map(lambda array: array.astype(jnp.float64), layers)
            of_batch = quantities.gradient_quantities(twin, x.astype(jnp.float64), y, self.name)
            of_units, now, logits = quantities.unit_quantities(
                twin, probe[0].astype(jnp.float64), self.name
            )
            dead = (dead[0] & now, dead[1] | now)
            of_dead = quantities.dead_quantities(now, *dead)
            updated, gradients, loss, finite = self._step(layers, x, y)
            of_update = quantities.update_quantities(layers, updated, gradients)
            rows = quantities.as_rows(of_batch, of_units, of_dead, of_update)
            seen = [
                *quantities.loss_and_accuracy(logits, probe[1]),
                *quantities.loss_and_accuracy(
                    quantities.logits(layers, test[0], self.name), test[1]
                ),
                loss,
                finite,
            ]
            return updated, dead, rows, jnp.stack([one.astype(jnp.float64) for one in seen])

        return self.over_cells(one)(layers, dead, train, order[:, step], probe, test)

    def _percentiles(self, layers: Layers, inputs: Array) -> Array:
        """Return the percentiles of z, ``[cell, layer, percentile]``."""

        def one(layers: Layers, inputs: Array) -> Array:
            twin = jax.tree.map(lambda array: array.astype(jnp.float64), layers)
            return quantities.percentiles(twin, inputs.astype(jnp.float64), self.name)

        return self.over_cells(one)(layers, inputs)

    def _evaluate(self, layers: Layers, everything: Samples) -> tuple[Array, Array]:
        """Return loss and rightness of each sample of all splits, ``[cell, sample]``."""

        def one(layers: Layers, everything: Samples) -> tuple[Array, Array]:
            outputs = quantities.logits(layers, everything[0], self.name)
            right = outputs.argmax(1) == everything[1]
            return quantities.cross_entropy(outputs, everything[1]), right

        return self.over_cells(one)(layers, everything)

    def run(self) -> Measured:
        """Train and measure the pack from its start."""
        layers, data = self._prepared()
        losses, good, dead = self._buffers(layers)
        whole = (data["train"], data["order"])
        found, seen, ends = [], [], []
        for step, until in zip(self.schedule, [*self.schedule[1:], None], strict=True):
            if step == 0 or until is None:
                ends.append(self.percentiles(layers, data["probe"][0]))
            updated, dead, rows, numbers = self.measure(
                layers, dead, *whole, data["probe"], data["test_part"], np.int32(step)
            )
            found.append(rows)
            seen.append(numbers)
            if until is not None:
                layers, losses, good = self.advance(
                    updated, losses, good, *whole, np.int32(step + 1), np.int32(until)
                )
        sizes = [data[part][1].shape[1] for part in ENDS]
        final = _by_split(*self.evaluate(layers, data["everything"]), sizes)
        return self._measured(found, seen, ends, final, (losses, good))

    def _measured(
        self,
        found: Sequence[Array],
        seen: Sequence[Array],
        ends: Sequence[Array],
        final: Any,
        each_step: tuple[Array, Array],
    ) -> Measured:
        """Bring everything to NumPy, axes as the product has them."""
        rows = np.moveaxis(np.asarray(jnp.stack(found)), 1, -1)
        layers = np.array(rows)
        places = [INDEX[f"z_p{percent:02d}"] for percent in Z_PERCENTILES]
        for row, percentiles in zip((0, -1), ends, strict=True):
            layers[row][:, places] = np.moveaxis(np.asarray(percentiles), 0, -1)
        layers[-1][:, INDEX["update_norm"]] = np.nan  # nothing follows the last step
        numbers = np.moveaxis(np.asarray(jnp.stack(seen)), 1, -1)
        losses, good = (np.array(array).T for array in each_step)
        losses[self.schedule], good[self.schedule] = numbers[:, 4], numbers[:, 5]
        good &= np.isfinite(losses)
        good[self.schedule] &= np.isfinite(numbers[:, :4:2]).all(axis=1)
        good[-1] &= np.isfinite(final[::2]).all(axis=0)
        return Measured(
            layers, losses.astype(np.float64), numbers[:, :4], final, first_bad_step(good)
        )


def _by_split(losses: Array, right: Array, sizes: Sequence[int]) -> Any:
    """Return loss and accuracy of every split, ``[6, cell]``, from ``[cell, sample]``."""
    bounds = np.cumsum(sizes)[:-1]
    parts = (np.split(np.asarray(array, np.float64), bounds, axis=1) for array in (losses, right))
    means = [[part.mean(axis=1) for part in split] for split in zip(*parts, strict=True)]
    return np.concatenate(means)


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
