"""Trains one pack of cells as one stacked program and measures it on the way."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.autograd_step import AutogradStep, step_of
from study.cell import Cell
from study.datasets import pool
from study.dropout import Masks
from study.errors import FunctionError
from study.extensions import place_in
from study.measures import accuracy, r_squared
from study.memory import ran_out
from study.network import ActivationSlice, Shape, StackedNetwork, cell_losses, stack, start
from study.optimizers import OPTIMIZERS, clip_entries, clip_entries_to_one, clip_per_cell
from study.pack_data import PackData, Samples, data_of
from study.probe import Probe, probe_steps
from study.replay import Replay
from study.settings import setting
from study.step import Step

EVALUATION_CHUNK = 128
"""Samples evaluated at a time."""

Settings = dict[str, Any]


@dataclass
class PackResult:
    """Everything measured of one pack; arrays on the CPU, last axis ``cell``.

    Attributes:
        cells: the cells, in pack order.
        shape: their common shape.
        probe_steps: the probe steps.
        layers: ``[probe step, layer, quantity, cell]``, quantities as in `study.probe.QUANTITIES`.
        batch_loss: ``[step, cell]`` for steps 0 … ``steps``.
        probed: ``[probe step, 4, cell]``: train loss and score, test loss and score; the score is the
            accuracy, or R² in regression.
        final: ``[6, cell]``: loss and score on train, validation and test; None where steps = 0.
        first_bad_step: ``[cell]``, −1 where every loss and weight stayed finite.
        z_finite: ``[probe step, layer, cell]``, whether every z of the probe set is a finite number.
        parameters: ``[cell]``, trained numbers.
        errors: why cells failed, by position in the pack.
    """

    cells: Sequence[Cell]
    shape: Shape
    probe_steps: list[int]
    layers: NDArray[np.float64]
    batch_loss: NDArray[np.float64]
    probed: NDArray[np.float64]
    final: NDArray[np.float64] | None
    first_bad_step: NDArray[np.int64]
    z_finite: NDArray[np.bool_]
    parameters: NDArray[np.int64]
    errors: dict[int, str] = field(default_factory=dict)


def shape_of(settings: Settings) -> Shape:
    """Return the shape that a cell's settings and its data give its network."""
    found = pool(settings["data"])
    return Shape(
        found.inputs.shape[1], settings["width"], found.outputs, settings["depth"], settings["bias"]
    )


def _check_activation(settings: Settings, dtype: torch.dtype) -> None:
    """Try an activation on small numbers, so that a faulty one fails before it is packed.

    Raises:
        FunctionError: it changes shape or type, has no derivative, draws random numbers, or mixes entries:
            what it made of one network would depend on its neighbours.
    """
    name = settings["name"]
    values = torch.linspace(-2.0, 2.0, 24, dtype=dtype)
    z = values.view(2, 3, 4).requires_grad_()
    function = ActivationSlice(settings, 2, dtype)
    h = function(z)
    if h.shape != z.shape or h.dtype != z.dtype:
        raise FunctionError(
            f"activation={name} turns {z.dtype} {list(z.shape)} into {h.dtype} "
            f"{list(h.shape)}; shape and type must stay"
        )
    # a derivative that raises must raise here, where it stops no other network
    slope = torch.autograd.grad(h.sum(), z, allow_unused=True)[0] if h.requires_grad else None
    if slope is None:
        raise FunctionError(f"activation={name} returns a tensor without a gradient to z")
    if not torch.equal(function(z).nan_to_num(), h.nan_to_num()):
        raise FunctionError(f"activation={name} gives other values for the same z")
    # half of the entries are others: the rest must not notice, whatever order they stand in
    changed = values.clone()
    changed[::2] = 3.0
    kept = function(changed.view(2, 3, 4)).flatten()[1::2]
    mixed = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    again = function(values[mixed].view(2, 3, 4)).flatten()
    expected = torch.cat([h.flatten()[1::2], h.flatten()[mixed]])
    found = torch.cat([kept, again])
    if not torch.allclose(found, expected, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise FunctionError(f"activation={name} mixes entries of z; it must act on each by itself")


def build(cells: Sequence[Cell], shape: Shape) -> tuple[StackedNetwork, dict[int, str]]:
    """Build the networks of a pack.

    A cell whose initializer or activation raises keeps its place with zero weights, and with the
    identity for a faulty activation, so that its neighbours are computed as they would have been.

    Args:
        cells: the cells; those of one activation are contiguous.
        shape: their common shape.

    Returns:
        The stack, and why cells failed, by position.
    """
    dtype = getattr(torch, cells[0].settings["dtype"])
    errors: dict[int, str] = {}
    starts = []
    activations = []
    for position, cell in enumerate(cells):
        # a cell with a faulty start keeps its activation: another one would cut its neighbours' run,
        # and where a run ends decides how its last few numbers are rounded
        activation = {"name": "identity"}
        try:
            _check_activation(cell.settings["activation"], dtype)
            activation = cell.settings["activation"]
            starts.append(start(cell.settings, shape))
        except Exception as error:
            if ran_out(error):  # of the whole pack's doing
                raise
            errors[position] = reason(error)
            starts.append([(np.zeros((out, into)), np.zeros(out)) for into, out in shape.fans()])
        activations.append(activation)
    runs = [(settings, len(list(group))) for settings, group in groupby(activations)]
    norm = setting(cells[0].settings, "norm")
    return stack(starts, runs, shape.bias, dtype, norm), errors


def reason(error: BaseException, file: bool = False) -> str:
    """Return what an error says and where in the program it arose, without any folder.

    A function of the user's own is named, with its file, also where PyTorch raised the error within it.

    Args:
        error: the error.
        file: whether to name the file where it is ours, too.
    """
    if isinstance(error, FunctionError):
        return str(error)
    own = place_in(error)
    frames = [own] if own else traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({frame.name}, line {frame.lineno})" for frame in frames)
    if frames and (own or file):
        place += f" in {Path(frames[0].filename).name}"
    return f"{type(error).__name__}: {error}{place}"


def _evaluate(step: Step | AutogradStep, samples: Samples) -> tuple[Tensor, Tensor]:
    """Return loss and score ``[cell]`` of each over a whole split, in the networks' own format."""
    loss = torch.zeros(samples.cells, dtype=torch.float64, device=samples.device)
    right = torch.zeros_like(loss)
    for x, y in samples.chunks(EVALUATION_CHUNK):
        outputs = step.forward(x)
        loss += cell_losses(outputs, y).double() * x.shape[1]
        if samples.variance is None:
            right += accuracy(outputs, y) * x.shape[1]
    loss = loss / samples.count
    if samples.variance is None:
        return loss, right / samples.count
    return loss, r_squared(loss, samples.variance)


def _optimizer(network: StackedNetwork, optim: Settings) -> torch.optim.Optimizer:
    entry = OPTIMIZERS[optim["name"]]
    groups = network.parameter_groups(optim["weight_decay"])
    # ours work on each number apart; one of the user's own may look at a cell's tensor as a whole
    if entry.code is None:
        groups = network.join(groups)
    return entry.function(groups, optim["lr"], **{key: optim[key] for key in entry.parameters})


def _clip(
    network: StackedNetwork, optimizer: torch.optim.Optimizer, optim: Settings, cells: int
) -> None:
    """Clip each cell's gradient as its settings say, before weight decay is added."""
    if optim["clip_norm"] is not None:
        clip_per_cell(network.parameters_of_cells(), cells, optim["clip_norm"])
    for key, clip in (("clip_value", clip_entries), ("clip_to_one", clip_entries_to_one)):
        bound = setting({"optim": optim}, f"optim.{key}")
        if bound is not None:
            groups = optimizer.param_groups
            clip((p.grad for group in groups for p in group["params"]), bound)


def _masks(cells: Sequence[Cell], shape: Shape, device: torch.device) -> Masks | None:
    """Return the masks of dropout, or None where nothing is dropped."""
    settings = cells[0].settings
    share = setting(settings, "dropout")
    if share == 0 or shape.depth == 1:
        return None
    seeds = [cell.settings["seed"] for cell in cells]
    of_step = (shape.depth - 1, settings["batch_size"], shape.width)
    return Masks(seeds, share, of_step, device)


class _Gradients:
    """What a training step does before the update, on tensors that stay where they are.

    Args:
        take_step: the step.
        data: the pack's data.
        steps: updates of the training.

    Attributes:
        losses: ``[cell]``, of the last step taken.
        weights_finite: ``[cell]``, whether every weight was finite then.
    """

    def __init__(self, take_step: Step | AutogradStep, data: PackData, steps: int) -> None:
        self._step, self._data = take_step, data
        self._places = data.order[0].clone()
        self.losses = torch.zeros(len(data.seed_of_cell), dtype=data.dtype, device=data.device)
        self.weights_finite = torch.ones_like(self.losses, dtype=torch.bool)
        self._run = Replay(self._operations, data.device, steps)

    def take(self, step: int) -> None:
        """Leave losses, and gradients in the parameters' ``grad``, for the batch of a step."""
        self._places.copy_(self._data.order[step])
        self._run()

    def _operations(self) -> None:
        self.losses.copy_(self._step(*self._data.train.at(self._places)))
        self.weights_finite.copy_(self._step.weights_finite())


def train_pack(
    cells: Sequence[Cell],
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> PackResult:
    """Train and measure the cells of one pack.

    Args:
        cells: cells of equal shape and schedule; those of one activation are contiguous.
        device: where to run.
        progress: called with the step at every probe step.
    """
    settings = cells[0].settings
    shape = shape_of(settings)
    steps, optim = settings["steps"], settings["optim"]
    data = data_of(
        settings, [c.settings["seed"] for c in cells], getattr(torch, settings["dtype"]), device
    )
    network, errors = build(cells, shape)
    network.to(device)
    optimizer = _optimizer(network, optim)
    masks = _masks(cells, shape, device)
    take_step = step_of(network, max(settings["batch_size"], EVALUATION_CHUNK), masks)
    gradients = _Gradients(take_step, data, steps)
    schedule = probe_steps(steps, settings["probe"]["steps"])
    probe = Probe(network, schedule, data.probe, masks)
    batch_loss = torch.full((steps + 1, len(cells)), torch.nan, dtype=torch.float64, device=device)
    weights_finite = torch.ones((steps + 1, len(cells)), dtype=torch.bool, device=device)
    tests = []
    for step in range(steps + 1):
        probed = step in probe.steps
        if masks is not None:
            masks.draw(step)
        if probed:
            probe.measure(step, *data.batch(step))
            if isinstance(take_step, AutogradStep):
                take_step.calibrate(x for x, _ in data.probe.chunks(EVALUATION_CHUNK))
            tests.append(torch.stack(_evaluate(take_step, data.test_part)))
        gradients.take(step)
        batch_loss[step] = gradients.losses
        weights_finite[step] = gradients.weights_finite
        if probed:
            probe.count_gradient(step)
        if step < steps:
            probe.remember_weights(step)
            _clip(network, optimizer, optim, len(cells))
            optimizer.step()
            if probed:
                probe.measure_update(step)
        if probed and progress is not None:
            progress(step)
    probed_losses = torch.cat(
        [probe.losses[:, None], probe.scores[:, None], torch.stack(tests)], dim=1
    )
    good = torch.isfinite(batch_loss) & weights_finite
    good[schedule] &= torch.isfinite(probed_losses[:, ::2]).all(dim=1)
    final = None
    if steps > 0:
        parts = [data.train, data.validation, data.test]
        final = torch.cat([torch.stack(_evaluate(take_step, part)) for part in parts])
        good[steps] &= torch.isfinite(final[::2]).all(dim=0)
    first_bad = torch.where(good.all(dim=0), -1, (~good).int().argmax(dim=0))
    return PackResult(
        cells=cells,
        shape=shape,
        probe_steps=schedule,
        layers=probe.buffer.values.cpu().numpy(),
        batch_loss=batch_loss.cpu().numpy(),
        probed=probed_losses.cpu().numpy(),
        final=None if final is None else final.cpu().numpy(),
        first_bad_step=first_bad.cpu().numpy(),
        z_finite=probe.finite.cpu().numpy(),
        parameters=network.parameters_per_cell().numpy(),
        errors=errors,
    )
