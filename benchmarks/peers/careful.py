"""The careful one-network-at-a-time loop: what a good user would write without this project.

Same start, same batches, same probe steps and quantities, float64 measuring; nothing is looked at but at
probe steps, and nothing is turned into a Python number within the loop. It runs on PyTorch's default device.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.peers import quantities
from benchmarks.peers.measured import Measured, first_bad_step, joined
from benchmarks.peers.quantities import Quantities
from study.activations import ACTIVATIONS
from study.cell import Cell
from study.datasets import Split
from study.network import start
from study.pack_data import PackData
from study.probe import probe_steps
from study.training import shape_of

EVALUATED = 1000
"""Samples evaluated at a time."""

MODULES = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "prelu": nn.PReLU}

Samples = tuple[Tensor, Tensor]
"""Inputs ``[sample, in]`` and labels ``[sample]``."""


def build(cell: Cell) -> nn.Sequential:
    """Return one network, ``nn.Linear`` and activations in turn, with the cell's start."""
    dtype = getattr(torch, cell.settings["dtype"])
    module = MODULES[cell.settings["activation"]["name"]]
    modules: list[nn.Module] = []
    for weight, bias in start(cell.settings, shape_of(cell.settings)):
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, module()]
    return nn.Sequential(*modules[:-1]).to(torch.get_default_device(), dtype)


def linears_of(network: nn.Sequential) -> list[nn.Linear]:
    """Return the layers that carry weights, from the input on."""
    return [module for module in network if isinstance(module, nn.Linear)]


def signals_of(network: nn.Sequential, x: Tensor) -> Iterator[tuple[nn.Module, Tensor]]:
    """Yield every module with what it makes of the inputs."""
    for module in network:
        x = module(x)
        yield module, x


class SplitsOfOne:
    """The data of one network, each split as tensors.

    Args:
        cell: the network.
    """

    def __init__(self, cell: Cell) -> None:
        settings = cell.settings
        dtype = getattr(torch, settings["dtype"])
        drawn = PackData(settings, [settings["seed"]], torch.float64, torch.device("cpu"))
        self.device = torch.get_default_device()
        self.order = drawn.order[:, 0].to(self.device)
        (self.splits,) = drawn.splits
        self.dtype = dtype

    def of(self, split: Split, dtype: torch.dtype | None = None) -> Samples:
        """Return a split in the number format of training, or another."""
        inputs = torch.from_numpy(split.inputs).to(self.device, self.dtype)
        return inputs.to(dtype or self.dtype), torch.from_numpy(split.labels).to(self.device)


def evaluated(network: nn.Sequential, samples: Samples) -> list[Tensor]:
    """Return mean loss and accuracy over a split."""
    inputs, labels = samples
    with torch.no_grad():
        logits = torch.cat([network(x) for x in inputs.split(EVALUATED)])
    return quantities.loss_and_accuracy(logits, labels)


class Probe:
    """Measures one network at its probe steps; what it finds stays tensors until the end.

    Args:
        network: as trained.
        name: of its activation.
        probe: the probe set in float64.
        test: the test samples that are looked at.

    Attributes:
        rows: ``[layer, quantity]`` of every probe step so far.
        seen: loss and accuracy on probe set and test samples, ``[4]``, likewise.
    """

    def __init__(self, network: nn.Sequential, name: str, probe: Samples, test: Samples) -> None:
        self.network, self.probe, self.test = network, probe, test
        self.twin = copy.deepcopy(network).double()
        self.largest = ACTIVATIONS[name].extra.largest_slope
        self.rows: list[Tensor] = []
        self.seen: list[Tensor] = []
        self.always: Tensor | None = None
        self.ever: Tensor | None = None

    def measure(self, batch: Samples, ends: bool) -> list[Quantities]:
        """Return what the weights show before the next update."""
        with torch.no_grad():
            pairs = zip(self.twin.parameters(), self.network.parameters(), strict=True)
            for copied, trained in pairs:
                copied.copy_(trained)
        return [self._batch(*batch), *self._units(ends)]

    def _batch(self, x: Tensor, y: Tensor) -> Quantities:
        signals = []
        for module, signal in signals_of(self.twin, x.double()):
            if isinstance(module, nn.Linear):
                signal.retain_grad()
                signals.append(signal)
        F.cross_entropy(signal, y).backward()
        linears = linears_of(self.twin)
        found = quantities.of_batch(
            [(one.weight.detach(), one.bias.detach()) for one in linears],
            [(one.weight.grad, one.bias.grad) for one in linears],
            [signal.grad for signal in signals],
        )
        self.twin.zero_grad()
        return found

    def _units(self, ends: bool) -> list[Quantities]:
        z, h, slopes, learned = [], [], [], []
        signal = self.probe[0]
        for module in self.twin:
            if isinstance(module, nn.Linear):
                with torch.no_grad():
                    signal = module(signal)
                z.append(signal)
                continue
            out = module(signal.requires_grad_())
            slopes.extend(torch.autograd.grad(out, signal, torch.ones_like(out)))
            signal = out.detach()
            h.append(signal)
            slope = getattr(module, "weight", None)
            learned.append({} if slope is None else {"act_slope": slope.detach().squeeze()})
        z = [one.detach() for one in z]
        now = quantities.dead(slopes)
        self.always = now if self.always is None else self.always & now
        self.ever = now if self.ever is None else self.ever | now
        of_probe = quantities.loss_and_accuracy(z[-1], self.probe[1])
        self.seen.append(torch.stack([*of_probe, *evaluated(self.network, self.test)]))
        return [
            quantities.of_units(z, h, slopes, self.largest),
            quantities.of_dead(now, self.always, self.ever),
            [*learned, {}],
            *([quantities.of_percentiles(z), self._twins()] if ends else []),
        ]

    def _twins(self) -> Quantities:
        linears = linears_of(self.twin)
        return quantities.of_twins([(one.weight.detach(), one.bias.detach()) for one in linears])

    def see_update(self, found: list[Quantities], updated: bool) -> None:
        """Add what the gradient as trained and the update show, and keep all."""
        weights = [linear.weight for linear in linears_of(self.network)]
        found.append(quantities.of_gradient_as_trained([weight.grad for weight in weights]))
        if updated:
            before = [linear.weight.detach() for linear in linears_of(self.twin)]
            found.append(quantities.of_update(before, [weight.detach() for weight in weights]))
        self.rows.append(quantities.as_rows(*found))


def train_one(cell: Cell) -> Measured:
    """Train and measure one network."""
    settings = cell.settings
    steps = settings["steps"]
    data = SplitsOfOne(cell)
    splits = data.splits
    inputs, labels = data.of(splits.train)
    network = build(cell)
    optimizer = torch.optim.SGD(network.parameters(), lr=settings["optim"]["lr"])
    schedule = probe_steps(steps, settings["probe"]["steps"])
    probe = Probe(
        network,
        settings["activation"]["name"],
        data.of(splits.probe, torch.float64),
        data.of(splits.test_part),
    )
    weights = [linear.weight for linear in linears_of(network)]
    losses = torch.empty(steps + 1, dtype=torch.float64)
    totals = torch.empty(steps + 1, len(weights), dtype=torch.float64)
    for step, chosen in enumerate(data.order):
        x, y = inputs[chosen], labels[chosen]
        found = probe.measure((x, y), step in (0, steps)) if step in schedule else None
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        with torch.no_grad():
            losses[step] = loss
            torch.stack([w.sum(dtype=torch.float64) for w in weights], out=totals[step])
        loss.backward()
        if step < steps:
            optimizer.step()
        if found is not None:
            probe.see_update(found, updated=step < steps)
    parts = (splits.train, splits.validation, splits.test)
    final = torch.stack([one for part in parts for one in evaluated(network, data.of(part))])
    good = torch.isfinite(losses) & torch.isfinite(totals.sum(1))
    return Measured(
        layers=torch.stack(probe.rows)[..., None].cpu().numpy(),
        batch_loss=losses[:, None].cpu().numpy(),
        probed=torch.stack(probe.seen)[..., None].cpu().numpy(),
        final=final[:, None].cpu().numpy(),
        first_bad_step=first_bad_step(good[:, None].cpu().numpy()),
    )


def train(cells: Sequence[Cell]) -> Measured:
    """Train and measure networks, one after the other."""
    return joined([train_one(cell) for cell in cells])
