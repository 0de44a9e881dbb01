"""Trains one pack of cells as one stacked program and measures it on the way."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.autograd_step import AutogradStep, step_of
from study.cell import Cell
from study.checkpoint import Checkpoint, State, optimizer_state, restore_optimizer
from study.datasets import pool
from study.dropout import Masks
from study.errors import FunctionError
from study.extensions import place_in
from study.initializers import Array
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


@dataclass
class _Starts:
    """What the networks of a pack begin with.

    Attributes:
        parameters: weights and biases of every cell, layer by layer.
        activations: the settings of every cell's activation.
        errors: why cells do not run, by position.
    """

    parameters: list[list[tuple[Array, Array]]]
    activations: list[Settings]
    errors: dict[int, str]

    def replaced(self, cells: Sequence[Cell]) -> list[int]:
        """Return the positions of cells that do not have the activation of their settings."""
        return [
            position
            for position, (cell, one) in enumerate(zip(cells, self.activations, strict=True))
            if one != cell.settings["activation"]
        ]

    def network(self, cells: Sequence[Cell], shape: Shape) -> StackedNetwork:
        """Return the stack of the networks."""
        settings = cells[0].settings
        runs = [(one, len(list(group))) for one, group in groupby(self.activations)]
        dtype = getattr(torch, settings["dtype"])
        return stack(self.parameters, runs, shape.bias, dtype, setting(settings, "norm"))


IDENTITY: Settings = {"name": "identity"}
"""The activation of a cell that has none of its own, and does not run."""


def _zeros(shape: Shape) -> list[tuple[Array, Array]]:
    return [(np.zeros((out, into)), np.zeros(out)) for into, out in shape.fans()]


def _starts(cells: Sequence[Cell], shape: Shape, excluded: Mapping[int, str]) -> _Starts:
    """Return what the networks begin with, as `build` says."""
    dtype = getattr(torch, cells[0].settings["dtype"])
    errors = dict(excluded)
    starts = [_zeros(shape) for _ in cells]
    activations = [IDENTITY for _ in cells]
    for position, cell in enumerate(cells):
        if position in excluded:
            continue
        # a cell with a faulty start keeps its activation: another one would cut its neighbours' run,
        # and where a run ends decides how its last few numbers are rounded
        try:
            _check_activation(cell.settings["activation"], dtype)
            activations[position] = cell.settings["activation"]
            starts[position] = start(cell.settings, shape)
        except Exception as error:
            if ran_out(error):  # of the whole pack's doing
                raise
            errors[position] = reason(error)
    # likewise one that is excluded; but if no other has its activation, nobody has seen that it works
    for position in excluded:
        if cells[position].settings["activation"] in activations:
            activations[position] = cells[position].settings["activation"]
    return _Starts(starts, activations, dict(sorted(errors.items())))


def _of(saved: State, cells: Sequence[Cell], shape: Shape, excluded: Mapping[int, str]) -> _Starts:
    """Return what a checkpoint's networks begin with, but for the weights, which are in it.

    Some starts take minutes. And what failed then, failed: it is not tried again.
    """
    activations = [
        IDENTITY if position in saved["replaced"] else cell.settings["activation"]
        for position, cell in enumerate(cells)
    ]
    return _Starts([_zeros(shape)] * len(cells), activations, {**saved["errors"], **excluded})


def build(
    cells: Sequence[Cell], shape: Shape, excluded: Mapping[int, str] = MappingProxyType({})
) -> tuple[StackedNetwork, dict[int, str]]:
    """Build the networks of a pack.

    A cell whose initializer or activation raises keeps its place with zero weights, and with the
    identity for a faulty activation, so that its neighbours are computed as they would have been. So does
    an excluded one, with the identity if no other cell has its activation; neither its initializer nor its
    activation is called for it.

    Args:
        cells: the cells; those of one activation are contiguous.
        shape: their common shape.
        excluded: why cells are not to be run, by position.

    Returns:
        The stack, and why cells failed, by position.
    """
    found = _starts(cells, shape, excluded)
    return found.network(cells, shape), found.errors


def reason(error: BaseException, file: bool = False) -> str:
    """Return what an error says and where in the program it arose, without any folder.

    A function of the user's own is named, with its file, also where PyTorch raised the error within it.

    Args:
        error: the error.
        file: whether to name the file where it is ours, too.
    """
    if isinstance(error, FunctionError):
        return str(error)
    return f"{type(error).__name__}: {error}{where(error, file)}"


def where(error: BaseException, file: bool = False) -> str:
    """Return where in the program an error arose, without any folder; arguments as for `reason`."""
    own = place_in(error)
    frames = [own] if own else traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({frame.name}, line {frame.lineno})" for frame in frames)
    if frames and (own or file):
        place += f" in {Path(frames[0].filename).name}"
    return place


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


@dataclass
class _Kept:
    """Everything that a training carries from one step to the next.

    Data, dropout's masks and the moments of batch normalization are made anew from seeds, step and weights.

    Attributes:
        network: the networks.
        optimizer: of its parameters.
        probe: of the network.
        recorded: tensors that are written to as the training goes.
        errors: why cells do not run, by position.
        replaced: positions of the cells that do not have the activation of their settings.
    """

    network: StackedNetwork
    optimizer: torch.optim.Optimizer
    probe: Probe
    recorded: list[Tensor]
    errors: dict[int, str]
    replaced: list[int]

    def state(self, step: int) -> State | None:
        """Return it as it is behind a step, None where the optimizer cannot be kept."""
        parameters = list(self.network.parameters())
        optimizer = optimizer_state(self.optimizer, parameters)
        if optimizer is None:
            return None
        return {
            "step": step,
            "errors": self.errors,
            "replaced": self.replaced,
            "parameters": [parameter.detach() for parameter in parameters],
            "optimizer": optimizer,
            "probe": self.probe.state(),
            "recorded": self.recorded,
        }

    @torch.no_grad()
    def restore(self, state: State) -> int:
        """Take over a state; return the step to go on with.

        Tensors stay where they are: others hold them, or views of them, and a GPU has recorded their places.
        """
        kept = [*self.network.parameters(), *self.recorded]
        for mine, saved in zip(kept, [*state["parameters"], *state["recorded"]], strict=True):
            mine.copy_(saved)
        restore_optimizer(self.optimizer, state["optimizer"])
        self.probe.restore(state["probe"])
        return int(state["step"]) + 1


def train_pack(
    cells: Sequence[Cell],
    device: torch.device,
    progress: Callable[[int], None] | None = None,
    excluded: Mapping[int, str] = MappingProxyType({}),
    checkpoint: Checkpoint | None = None,
) -> PackResult:
    """Train and measure the cells of one pack.

    Args:
        cells: cells of equal shape and schedule; those of one activation are contiguous.
        device: where to run.
        progress: called with the step at every probe step; where the training goes on from a checkpoint,
            first with the last one before that.
        excluded: why cells are not to be run, by position; see `build`.
        checkpoint: where the training is kept now and then, and goes on from; its key tells the cells, the
            excluded ones, and all else that the numbers depend on. It is left there in the end.

    Raises:
        OSError: a checkpoint cannot be written.
    """
    settings = cells[0].settings
    shape = shape_of(settings)
    steps, optim = settings["steps"], settings["optim"]
    data = data_of(
        settings, [c.settings["seed"] for c in cells], getattr(torch, settings["dtype"]), device
    )
    saved = None if checkpoint is None else checkpoint.load(device)
    begun = _starts(cells, shape, excluded) if saved is None else _of(saved, cells, shape, excluded)
    network = begun.network(cells, shape)
    network.to(device)
    optimizer = _optimizer(network, optim)
    masks = _masks(cells, shape, device)
    take_step = step_of(network, max(settings["batch_size"], EVALUATION_CHUNK), masks)
    gradients = _Gradients(take_step, data, steps)
    schedule = probe_steps(steps, settings["probe"]["steps"])
    probe = Probe(network, schedule, data.probe, masks)
    batch_loss = torch.full((steps + 1, len(cells)), torch.nan, dtype=torch.float64, device=device)
    weights_finite = torch.ones((steps + 1, len(cells)), dtype=torch.bool, device=device)
    tests = torch.full(
        (len(schedule), 2, len(cells)), torch.nan, dtype=torch.float64, device=device
    )
    recorded = [batch_loss, weights_finite, tests]
    kept = _Kept(network, optimizer, probe, recorded, begun.errors, begun.replaced(cells))
    first = 0 if saved is None else kept.restore(saved)
    del saved  # as much memory as the networks
    if first > 0 and progress is not None:
        progress(max(step for step in schedule if step < first))
    for step in range(first, steps + 1):
        probed = step in probe.steps
        if masks is not None:
            masks.draw(step)
        if probed:
            probe.measure(step, *data.batch(step))
            if isinstance(take_step, AutogradStep):
                take_step.calibrate(x for x, _ in data.probe.chunks(EVALUATION_CHUNK))
            tests[schedule.index(step)] = torch.stack(_evaluate(take_step, data.test_part))
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
        if checkpoint is not None and step < steps and checkpoint.due():
            state = kept.state(step)
            if state is not None:
                checkpoint.save(state)
    probed_losses = torch.cat([probe.losses[:, None], probe.scores[:, None], tests], dim=1)
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
        errors=begun.errors,
    )
