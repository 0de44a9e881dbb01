"""The careful one-network-at-a-time loop: what a good user would write without this project.

Same start, same batches, same probe steps and quantities, float64 measuring; hooks exist at probe
steps only and nothing is turned into a Python number within the loop. Shares with the product the
random draws, the data and the list of quantities; the mathematics is written again.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.quantities import (
    Activation,
    Quantities,
    gradient_counts,
    gradient_quantities,
    linears_of,
    unit_quantities,
    update_norms,
)
from study.cell import Cell
from study.network import start
from study.probe import INDEX, QUANTITIES, probe_steps
from study.training import PackData, shape_of

CPU = torch.device("cpu")

CHUNK = 1000
"""Samples evaluated at a time: one small network gains from larger pieces than a stack does."""

Samples = tuple[Tensor, Tensor]


@dataclass
class Measured:
    """Everything measured of one network, as `study.training.PackResult` has it of a pack.

    Attributes:
        layers: ``[probe step, layer, quantity]``.
        batch_loss: ``[step]``.
        probed: ``[probe step, 4]``: train loss and accuracy, test loss and accuracy.
        final: ``[6]``: loss and accuracy on train, validation and test; None where steps = 0.
        first_bad_step: −1 where everything stayed finite.
    """

    layers: Tensor
    batch_loss: Tensor
    probed: Tensor
    final: Tensor | None
    first_bad_step: int


def build(cell: Cell) -> nn.Sequential:
    """Return one network, ``nn.Linear`` and activations in turn, with the cell's start."""
    dtype = getattr(torch, cell.settings["dtype"])
    modules: list[nn.Module] = []
    for weight, bias in start(cell.settings, shape_of(cell.settings)):
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        modules += [linear, Activation(cell.settings["activation"]["name"])]
    return nn.Sequential(*modules[:-1])


def evaluate(network: nn.Sequential, inputs: Tensor, labels: Tensor) -> list[Tensor]:
    """Return mean loss and accuracy over a split."""
    loss, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    with torch.no_grad():
        for x, y in zip(inputs.split(CHUNK), labels.split(CHUNK), strict=True):
            logits = network(x)
            loss += F.cross_entropy(logits, y, reduction="sum")
            right += (logits.argmax(1) == y).sum()
    return [loss / len(labels), right.double() / len(labels)]


class Record:
    """What one network gave so far; numbers stay tensors until the end."""

    def __init__(self, schedule: list[int], layers: int) -> None:
        self.rows = {step: row for row, step in enumerate(schedule)}
        self.layers = torch.full(
            (len(schedule), layers, len(QUANTITIES)), torch.nan, dtype=torch.float64
        )
        self.probed = torch.full((len(schedule), 4), torch.nan, dtype=torch.float64)

    def write(self, step: int, found: Quantities) -> None:
        """Store quantities of every layer at a probe step."""
        for of_layer, quantities in zip(self.layers[self.rows[step]], found, strict=True):
            of_layer[[INDEX[name] for name in quantities]] = torch.stack(
                [value.double() for value in quantities.values()]
            )


def measure(
    record: Record,
    step: int,
    networks: tuple[nn.Sequential, nn.Sequential],
    batch: Samples,
    probe: Samples,
    test: Samples,
) -> None:
    """Measure one network, and its float64 twin brought up to date, before the next update."""
    network, twin = networks
    with torch.no_grad():
        for copied, trained in zip(twin.parameters(), network.parameters(), strict=True):
            copied.copy_(trained)
    record.write(step, gradient_quantities(twin, batch[0].double(), batch[1]))
    found, logits = unit_quantities(twin, probe[0])
    record.write(step, found)
    right = (logits.argmax(1) == probe[1]).double().mean()
    seen = [F.cross_entropy(logits, probe[1]), right, *evaluate(network, *test)]
    record.probed[record.rows[step]] = torch.stack([value.double() for value in seen])


def train(cell: Cell) -> Measured:
    """Train and measure one network."""
    settings = cell.settings
    steps = settings["steps"]
    dtype = getattr(torch, settings["dtype"])
    data = PackData(settings, [settings["seed"]], dtype, CPU)
    probe, test = alone(data, "probe"), alone(data, "test_part")
    probe = (probe[0].double(), probe[1])
    inputs, labels = alone(data, "train")
    network = build(cell)
    twin = copy.deepcopy(network).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=settings["optim"]["lr"])
    schedule = probe_steps(steps, settings["probe"]["steps"])
    record = Record(schedule, settings["depth"])
    weights = [linear.weight for linear in linears_of(network)]
    losses = torch.full((steps + 1,), torch.nan, dtype=torch.float64)
    totals = torch.zeros(steps + 1, len(weights), dtype=torch.float64)
    for step, chosen in enumerate(data.order[:, 0]):
        x, y = inputs[chosen], labels[chosen]
        probed = step in record.rows
        if probed:
            measure(record, step, (network, twin), (x, y), probe, test)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        with torch.no_grad():
            losses[step] = loss
            torch.stack([w.sum(dtype=torch.float64) for w in weights], out=totals[step])
        loss.backward()
        if probed:
            record.write(step, gradient_counts(network))
        if step < steps:
            optimizer.step()
            if probed:
                record.write(step, update_norms(network, twin))
    return finish(record, losses, totals, network, data if steps else None)


def alone(data: PackData, part: str) -> Samples:
    """Return inputs ``[sample, in]`` and labels ``[sample]`` of a split of the only network."""
    inputs, labels = data.for_cells(lambda one: getattr(one, part))
    return inputs[0], labels[0]


def finish(
    record: Record, losses: Tensor, totals: Tensor, network: nn.Sequential, data: PackData | None
) -> Measured:
    """Evaluate the trained network on every split and put everything together."""
    final = None
    if data is not None:
        parts = [evaluate(network, *alone(data, p)) for p in ("train", "validation", "test")]
        final = torch.stack([value.double() for part in parts for value in part])
    good = torch.isfinite(losses) & torch.isfinite(totals.sum(1))
    first_bad = -1 if bool(good.all()) else int((~good).int().argmax())
    return Measured(record.layers, losses, record.probed, final, first_bad)
