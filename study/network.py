"""Stacks of networks: one module holds the same layer of every cell of a pack.

Weights ``[cell, out, in]``, biases ``[cell, 1, out]``, signals ``[cell, batch, unit]``. A single
network is a stack of one cell.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from study.activations import ACTIVATIONS, Traits
from study.errors import FunctionError
from study.initializers import INITIALIZERS, Array, LayerDraw
from study.normalization import NORMS, Moments, StackedNorm
from study.pack_data import training_inputs
from study.randomness import stream
from study.registry import parameters

Settings = dict[str, Any]

ALIGNED = 64
"""Numbers between the places where parameters may begin in one tensor."""


@dataclass(frozen=True)
class Shape:
    """What the cells of a pack must share to be one stack.

    Attributes:
        inputs: features of a sample.
        width: units of each hidden layer.
        outputs: units of the output layer.
        depth: layers that carry weights.
        bias: whether layers have biases.
    """

    inputs: int
    width: int
    outputs: int
    depth: int
    bias: bool

    def fans(self) -> list[tuple[int, int]]:
        """Return (in, out) of every layer from the input on."""
        units = [self.inputs, *[self.width] * (self.depth - 1), self.outputs]
        return list(itertools.pairwise(units))


class StackedLinear(nn.Module):
    """``z = x Wᵀ + b`` for every cell: ``[cell, batch, in]`` to ``[cell, batch, out]``."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return torch.bmm(x, self.weight.transpose(1, 2))
        return torch.baddbmm(self.bias, x, self.weight.transpose(1, 2))


class ActivationSlice(nn.Module):
    """One activation for a contiguous run of cells; its learnable arguments are ``[cell, 1, 1]``."""

    def __init__(self, settings: Settings, cells: int, dtype: torch.dtype) -> None:
        super().__init__()
        entry = ACTIVATIONS[settings["name"]]
        self.cells = cells
        self.function = entry.function
        self.traits = entry.extra
        self.fixed = {
            key: value
            for key, value in parameters(settings).items()
            if key not in entry.extra.learnable
        }
        for key in entry.extra.learnable:
            start = torch.full((cells, 1, 1), float(settings[key]), dtype=dtype)
            self.register_parameter(key, nn.Parameter(start))

    def forward(self, z: Tensor) -> Tensor:
        learned = {key: getattr(self, key) for key in self.traits.learnable}
        return self.function(z, **self.fixed, **learned)


class StackedActivation(nn.Module):
    """h = φ(z), each contiguous run of cells with its own φ."""

    def __init__(self, runs: Sequence[tuple[Settings, int]], dtype: torch.dtype) -> None:
        super().__init__()
        self.slices = nn.ModuleList(ActivationSlice(*run, dtype) for run in runs)
        self.counts = [cells for _, cells in runs]

    def forward(self, z: Tensor) -> Tensor:
        if len(self.slices) == 1:
            return self.slices[0](z)
        parts = z.split(self.counts)
        return torch.cat([one(part) for one, part in zip(self.slices, parts, strict=True)])

    def each_slice(self) -> Iterator[ActivationSlice]:
        """Yield the activation of each run of cells."""
        yield from self.slices  # type: ignore[misc]

    def learned(self, device: torch.device) -> Tensor:
        """Return the learnable argument of every cell, ``[cell]``, NaN where it has not just one."""
        return torch.cat(
            [
                getattr(one, one.traits.learnable[0]).detach().view(-1).double()
                if len(one.traits.learnable) == 1
                else torch.full((one.cells,), torch.nan, dtype=torch.float64, device=device)
                for one in self.each_slice()
            ]
        )

    def trait(self, read: Callable[[Traits], float]) -> Tensor:
        """Return a number read from the traits of every cell's activation, ``[cell]``."""
        return torch.cat(
            [
                torch.full((one.cells,), read(one.traits), dtype=torch.float64)
                for one in self.each_slice()
            ]
        )


class Layer(nn.Module):
    """A linear map, a normalization or none, and an activation; the output layer's is the identity module."""

    def __init__(
        self, linear: StackedLinear, activation: nn.Module, norm: StackedNorm | None = None
    ) -> None:
        super().__init__()
        self.linear = linear
        self.norm = norm
        self.activation = activation

    def pre_activation(self, x: Tensor, moments: Moments | None = None) -> Tensor:
        """Return z, what the activation gets, ``[cell, sample, unit]``.

        Args:
            x: what the layer gets, ``[cell, sample, in]``.
            moments: as for `study.normalization.StackedNorm`.
        """
        a = self.linear(x)
        return a if self.norm is None else self.norm(a, moments)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.pre_activation(x))

    def of_all_cells(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that every cell of the stack has: of linear map and normalization."""
        yield from self.linear.parameters()
        if self.norm is not None:
            yield from self.norm.parameters()


class StackedNetwork(nn.Module):
    """The networks of a pack: ``[cell, batch, in]`` to ``[cell, batch, out]``, logits or a number.

    Called as a module it runs as in training, batch normalization with the moments of the batch.
    """

    def __init__(
        self,
        parameters: Sequence[tuple[Tensor, Tensor | None]],
        runs: Sequence[tuple[Settings, int]],
        norm: str = "none",
    ) -> None:
        super().__init__()
        *hidden, (weight, bias) = parameters
        layers = [
            Layer(StackedLinear(*one), StackedActivation(runs, weight.dtype), _norm(norm, one[0]))
            for one in hidden
        ]
        self.layers = nn.ModuleList([*layers, Layer(StackedLinear(weight, bias), nn.Identity())])

    @property
    def normalized(self) -> bool:
        """Whether a layer has a normalization."""
        return any(layer.norm is not None for layer in self.each_layer())

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def each_layer(self) -> Iterator[Layer]:
        """Yield the layers from the input on."""
        yield from self.layers  # type: ignore[misc]

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return the optimizer's groups: weights with decay; without it biases, gains and learned slopes."""
        weights = [layer.linear.weight for layer in self.each_layer()]
        chosen = {id(weight) for weight in weights}
        others = [p for p in self.parameters() if id(p) not in chosen]
        groups = [{"params": weights, "weight_decay": weight_decay}]
        return groups + ([{"params": others, "weight_decay": 0.0}] if others else [])

    def join(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Move the parameters of each group, and their gradients, into one long tensor.

        The parameters stay what they are to everyone else, views of it. An optimizer that works on each
        number apart does the same to the whole at once.

        Args:
            groups: as `parameter_groups` returns them.

        Returns:
            The groups, with the one tensor ``[number]`` as parameter.
        """
        return [{**group, "params": [_joined(group["params"])]} for group in groups]

    def parameters_of_cells(self) -> Iterator[tuple[Tensor, slice]]:
        """Yield every parameter ``[cell, …]`` with the cells of the stack that it belongs to."""
        for layer in self.each_layer():
            for parameter in layer.of_all_cells():
                yield parameter, slice(None)
            if isinstance(layer.activation, StackedActivation):
                first = 0
                for one in layer.activation.each_slice():
                    for parameter in one.parameters():
                        yield parameter, slice(first, first + one.cells)
                    first += one.cells

    def parameters_per_cell(self) -> Tensor:
        """Return how many trained numbers each cell has, ``[cell]``."""
        cells = next(self.each_layer()).linear.weight.shape[0]
        count = torch.zeros(cells, dtype=torch.int64)
        for layer in self.each_layer():
            count += sum(p[0].numel() for p in layer.of_all_cells())
            if isinstance(layer.activation, StackedActivation):
                count += layer.activation.trait(lambda traits: len(traits.learnable)).long()
        return count


def _norm(name: str, weight: Tensor) -> StackedNorm | None:
    """Return the normalization behind a layer's weights ``[cell, out, in]``, None for ``"none"``."""
    cells, units, _ = weight.shape
    return None if name == "none" else NORMS[name](cells, units, weight.dtype)


def _joined(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """Return one parameter ``[number]``, of which these and their gradients become views."""
    # whole vectors: where one begins must not decide how a product or an update is rounded
    places = [-(-parameter.numel() // ALIGNED) * ALIGNED for parameter in parameters]
    whole = nn.Parameter(parameters[0].new_zeros(sum(places)))
    whole.grad = torch.zeros_like(whole)
    for parameter, values, gradient in zip(
        parameters, whole.detach().split(places), whole.grad.split(places), strict=True
    ):
        own = values[: parameter.numel()].view_as(parameter)
        parameter.data = own.copy_(parameter.detach())
        parameter.grad = gradient[: parameter.numel()].view_as(parameter)
    return whole


def cell_losses(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return each cell's mean loss, ``[cell]``: cross-entropy in nats, or in regression squared error.

    Args:
        outputs: ``[cell, batch, class]``, logits; in regression ``[cell, batch, 1]``.
        labels: ``[cell, batch]``: classes as integers; in regression targets as floats.
    """
    if labels.is_floating_point():
        return (outputs.squeeze(2) - labels).square().mean(dim=1)
    return F.cross_entropy(outputs.transpose(1, 2), labels, reduction="none").mean(dim=1)


def start(settings: Settings, shape: Shape) -> list[tuple[Array, Array]]:
    """Return the initial weights ``[out, in]`` and biases ``[out]`` of one cell, layer by layer.

    Every layer draws from a stream of its own, so networks of one seed share their first layers at
    every depth.

    Args:
        settings: the cell's canonical settings, ``init`` and ``seed`` among them; ``data`` and ``probe`` too
            where the initializer looks at training samples.
        shape: the network's shape.

    Raises:
        FunctionError: the initializer returned another shape than ``[out, in]`` or ``[out]``, or other
            numbers for the same draws.
    """
    if not INITIALIZERS[settings["init"]["name"]].extra.needs_inputs:
        return _start(settings, shape, None)
    # not at the top: only starts that look at data need it
    from threadpoolctl import threadpool_limits

    # a product over two threads may have another last bit, and a sampled unit then another state
    with threadpool_limits(1), _one_thread():
        samples = INITIALIZERS[settings["init"]["name"]].extra.samples
        return _start(settings, shape, training_inputs(settings, samples))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _start(settings: Settings, shape: Shape, inputs: Array | None) -> list[tuple[Array, Array]]:
    """Return what `start` does, given layer 1's inputs ``[sample, in]`` if the initializer asks for them."""
    init = settings["init"]
    entry = INITIALIZERS[init["name"]]
    rule = entry.function
    keywords = parameters(init)
    layers = []
    for index, (fan_in, fan_out) in enumerate(shape.fans(), start=1):
        weights = stream(settings["seed"], f"weights/{index}")
        biases = stream(settings["seed"], f"biases/{index}")
        seen: dict[str, Any] = {}
        if inputs is not None:
            inputs.setflags(write=False)
            random = stream(settings["seed"], f"start/{index}")
            seen = {"inputs": inputs, "seed": int(random.integers(2**32))}
        draw = LayerDraw(
            weight=weights.standard_normal((fan_out, fan_in)),
            bias=biases.standard_normal(fan_out),
            layer=index,
            depth=shape.depth,
            activation=settings["activation"],
            **seen,
        )
        made = rule(draw, **keywords)
        weight, bias = made if isinstance(made, tuple) else (made, np.zeros(fan_out))
        weight, bias = np.asarray(weight, np.float64), np.asarray(bias, np.float64)
        if weight.shape != (fan_out, fan_in) or bias.shape != (fan_out,):
            raise FunctionError(
                f"init={init['name']} gave weights {weight.shape} and biases {bias.shape} for layer "
                f"{index}, which needs ({fan_out}, {fan_in}) and ({fan_out},)"
            )
        # one of the user's own may draw numbers itself: its networks would have no seed
        if entry.code is not None and not _same(made, rule(draw, **keywords)):
            raise FunctionError(
                f"init={init['name']} gives other weights for the same draws; it must be a function of "
                "draw.weight and draw.bias, and draw no random numbers of its own"
            )
        layers.append((weight, bias))
        if inputs is not None and index < shape.depth:
            inputs = _outputs(settings["activation"], inputs, weight, bias if shape.bias else None)
    return layers


def _outputs(activation: Settings, inputs: Array, weight: Array, bias: Array | None) -> Array:
    """Return φ(x Wᵀ + b) of one network's layer, ``[sample, out]``, in float64."""
    z = inputs @ weight.T if bias is None else inputs @ weight.T + bias
    with torch.no_grad():
        h = ActivationSlice(activation, 1, torch.float64)(torch.from_numpy(z).unsqueeze(0))
    found: Array = h[0].numpy()
    return found


def _same(one: Any, other: Any) -> bool:
    """Return whether an initializer gave the same twice."""
    parts = [made if isinstance(made, tuple) else (made,) for made in (one, other)]
    return len(parts[0]) == len(parts[1]) and all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(*parts, strict=True)
    )


def stack(
    starts: Sequence[list[tuple[Array, Array]]],
    runs: Sequence[tuple[Settings, int]],
    bias: bool,
    dtype: torch.dtype,
    norm: str = "none",
) -> StackedNetwork:
    """Stack the initial parameters of several cells into one network.

    Args:
        starts: one list of layers a cell, as `start` returns it.
        runs: activation settings and number of cells of each contiguous run, in cell order.
        bias: whether layers have biases.
        dtype: the number format of training.
        norm: ``"none"``, or which normalization hidden layers have.
    """
    parameters: list[tuple[Tensor, Tensor | None]] = []
    for layer in zip(*starts, strict=True):
        weight = torch.from_numpy(np.stack([weight for weight, _ in layer])).to(dtype)
        offset = torch.from_numpy(np.stack([offset for _, offset in layer])).to(dtype)
        parameters.append((weight, offset.unsqueeze(1) if bias else None))
    return StackedNetwork(parameters, runs, norm)
