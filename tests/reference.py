"""One network at a time, plainly: what the stacked engine and its probes are held against.

Shares with the product the random draws, the data and the batches, nothing else: explicit loops
over layers, activations written out, every quantity from its definition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.datasets import Split, batches, split
from study.network import Shape, start

ACTIVATIONS = {
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
    "centred_sigmoid": lambda z: 1 / (1 + torch.exp(-z)) - 0.5,
    "bipolar_sigmoid": lambda z: 2 / (1 + torch.exp(-z)) - 1,
    "tanh": torch.tanh,
    "relu": lambda z: torch.where(z > 0, z, torch.zeros_like(z)),
    "leaky_relu": lambda z: torch.where(z > 0, z, 0.01 * z),
    "prelu": lambda z: torch.where(z > 0, z, 0.25 * z),
    "gelu": lambda z: 0.5 * z * (1 + torch.erf(z / math.sqrt(2))),
    "silu": lambda z: z / (1 + torch.exp(-z)),
    "sine": torch.sin,
    "sign": torch.sign,
    "identity": lambda z: z,
}
LARGEST_SLOPE = {"sigmoid": 0.25, "centred_sigmoid": 0.25, "bipolar_sigmoid": 0.5, "tanh": 1.0}


def forward(parameters: list[tuple[Tensor, Tensor]], activation: str, x: Tensor) -> list[Tensor]:
    """Return z of every layer, ``[batch, unit]``."""
    phi = ACTIVATIONS[activation]
    found = []
    h = x
    for weight, bias in parameters:
        z = h @ weight.T + bias
        found.append(z)
        h = phi(z)
    return found


def mean_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of classes, the squared error of numbers."""
    if labels.is_floating_point():
        return ((outputs[:, 0] - labels) ** 2).mean()
    logits = outputs
    log_probability = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    return -log_probability[torch.arange(len(labels)), labels].mean()


def collapse(v: Tensor) -> float:
    return float((v.mean(0) ** 2).sum() / (v**2).sum(1).mean())


def one_sign(values: Tensor) -> bool:
    return all(v >= 0 for v in values) or all(v <= 0 for v in values)


def twins(weight: Tensor, bias: Tensor) -> int:
    rows = torch.cat([weight, bias[:, None]], dim=1)
    return sum(
        any(bool(torch.allclose(row, other, rtol=1e-5, atol=0)) for other in rows[:place])
        for place, row in enumerate(rows)
    )


def measure(
    parameters: list[tuple[Tensor, Tensor]],
    activation: str,
    batch: tuple[Tensor, Tensor],
    probe_inputs: Tensor,
) -> list[dict[str, float]]:
    """Return every quantity of every layer of one network, from its definition."""
    parameters = [
        (weight.double().clone().requires_grad_(), bias.double().clone().requires_grad_())
        for weight, bias in parameters
    ]
    x, labels = batch[0].double(), batch[1]
    labels = labels.double() if labels.is_floating_point() else labels
    signals = forward(parameters, activation, x)
    loss = mean_loss(signals[-1], labels)
    wanted = [*signals, *[w for w, _ in parameters], *[b for _, b in parameters]]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    depth = len(parameters)
    below = [x, *[ACTIVATIONS[activation](z.detach()) for z in signals[:-1]]]
    parameters = [(weight.detach(), bias.detach()) for weight, bias in parameters]
    rows = []
    for index, z in enumerate(forward(parameters, activation, probe_inputs.double())):
        signal = gradients[index] * len(labels)
        row = {
            "weight_grad_norm": float(gradients[depth + index].norm()),
            "bias_grad_norm": float(gradients[2 * depth + index].norm()),
            "signal_grad_rms": float((signal**2).mean().sqrt()),
            "signal_collapse": collapse(signal),
            "z_mean": float(z.mean()),
            "z_second_moment": float((z**2).mean()),
            "z_collapse": collapse(z),
            **{
                f"z_p{percent:02d}": float(np.percentile(z.numpy(), percent))
                for percent in (1, 5, 25, 50, 75, 95, 99)
            },
            "weight_norm": float(parameters[index][0].norm()),
            "same_sign_units": sum(one_sign(row) for row in gradients[depth + index]),
            "same_sign_inputs": np.mean([one_sign(row) for row in below[index]]),
        }
        if index < depth - 1:
            leaf = z.clone().requires_grad_()
            h = ACTIVATIONS[activation](leaf)
            (slope,) = torch.autograd.grad(h.sum(), leaf, allow_unused=True, materialize_grads=True)
            h = h.detach()
            row |= {
                "h_mean": float(h.mean()),
                "h_second_moment": float((h**2).mean()),
                "slope_second_moment": float((slope**2).mean()),
                "active_share": float((z > 0).double().mean()),
                "dead_units": int((slope == 0).all(0).sum()),
                "born_dead_units": int((slope == 0).all(0).sum()),
                "revived_units": 0,
                "twin_units": twins(*parameters[index]),
            }
            if activation in LARGEST_SLOPE:
                flat = slope.abs() < 0.01 * LARGEST_SLOPE[activation]
                row["saturated_share"] = float(flat.double().mean())
        rows.append(row)
    return rows


@dataclass
class PlainTraining:
    """What one network did, recorded while it was trained alone.

    Attributes:
        batch_loss: of steps 0 … ``steps``.
        probed: train loss and score, test loss and score, by probe step; the score is the accuracy, or
            R² in regression.
        update_norm: of every layer, by probe step but the last.
        update_cosine: of the last update and the next, of every layer, by step but the first and the last.
        slopes: PReLU's slope of every hidden layer, by probe step.
        dead: which units of every hidden layer of a ReLU network answer to no sample, by probe step.
        final: loss and score on train, validation and test.
    """

    batch_loss: list[float] = field(default_factory=list)
    probed: dict[int, list[float]] = field(default_factory=dict)
    update_norm: dict[int, list[float]] = field(default_factory=dict)
    update_cosine: dict[int, list[float]] = field(default_factory=dict)
    slopes: dict[int, list[float]] = field(default_factory=dict)
    dead: dict[int, list[Any]] = field(default_factory=dict)
    final: list[float] = field(default_factory=list)


OPTIMIZERS = {
    "sgd": lambda p, o: torch.optim.SGD(p, o["lr"]),
    "momentum": lambda p, o: torch.optim.SGD(p, o["lr"], momentum=o["momentum"]),
    "adagrad": lambda p, o: torch.optim.Adagrad(p, o["lr"], eps=o["eps"]),
    "rmsprop": lambda p, o: torch.optim.RMSprop(p, o["lr"], alpha=o["alpha"], eps=o["eps"]),
    "adam": lambda p, o: torch.optim.Adam(p, o["lr"], (o["beta1"], o["beta2"]), o["eps"]),
}


class PlainNetwork:
    """One network with its trained numbers in lists, one entry a layer."""

    def __init__(self, settings: dict[str, Any], layers: list[tuple[Any, Any]]) -> None:
        dtype = getattr(torch, settings["dtype"])
        self.activation = settings["activation"]["name"]
        self.weights = [torch.tensor(w, dtype=dtype, requires_grad=True) for w, _ in layers]
        self.biases = [
            torch.tensor(b * settings["bias"], dtype=dtype, requires_grad=settings["bias"])
            for _, b in layers
        ]
        learned = self.activation == "prelu"
        self.slopes = [
            torch.tensor(
                settings["activation"].get("slope", 0.0), dtype=dtype, requires_grad=learned
            )
            for _ in layers[1:]
        ]

    def trained(self) -> list[Tensor]:
        return [p for p in (*self.weights, *self.biases, *self.slopes) if p.requires_grad]

    def __call__(self, x: Tensor) -> Tensor:
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer > 0:
                x = self.phi(x, self.slopes[layer - 1])
            x = x @ weight.to(x.dtype).T + bias.to(x.dtype)
        return x

    def phi(self, z: Tensor, slope: Tensor) -> Tensor:
        if self.activation == "prelu":
            return torch.where(z > 0, z, slope.to(z.dtype) * z)
        return ACTIVATIONS[self.activation](z)

    def dead_units(self, part: Split) -> list[Any]:
        """Return which units of every hidden layer are at or below zero on every sample."""
        signals = forward(
            [
                (w.detach().double(), b.detach().double())
                for w, b in zip(self.weights, self.biases, strict=True)
            ],
            self.activation,
            torch.from_numpy(part.inputs).to(self.weights[0].dtype).double(),
        )
        return [(z <= 0).all(0).numpy() for z in signals[:-1]]

    def loss_and_score(self, part: Split, dtype: torch.dtype) -> list[float]:
        trained = self.weights[0].dtype
        with torch.no_grad():
            outputs = self(torch.from_numpy(part.inputs).to(trained).to(dtype))
            labels = targets_as(part.labels, trained)
            if labels.is_floating_point():
                loss = float(mean_loss(outputs, labels.to(dtype)))
                return [loss, 1 - loss / float(np.var(part.labels))]
            right = (outputs.argmax(1) == labels).double().mean()
            return [float(mean_loss(outputs, labels)), float(right)]


def targets_as(labels: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Return classes as they are, numbers in the format of training."""
    found = torch.from_numpy(labels)
    return found.to(dtype) if found.is_floating_point() else found


def train_plainly(settings: dict[str, Any], probe_steps: list[int]) -> PlainTraining:
    """Train one cell by the optimizer PyTorch ships, and record what it did.

    Args:
        settings: the cell's canonical settings.
        probe_steps: when to look closer.
    """
    optim, seed, steps = settings["optim"], settings["seed"], settings["steps"]
    data = split(settings["data"], seed, settings["probe"]["samples"])
    features = data.train.inputs.shape[1]
    shape = Shape(features, settings["width"], data.outputs, settings["depth"], settings["bias"])
    network = PlainNetwork(settings, start(settings, shape))
    dtype = network.weights[0].dtype
    inputs = torch.from_numpy(data.train.inputs).to(dtype)
    labels = targets_as(data.train.labels, dtype)
    order = batches(seed, len(labels), settings["batch_size"], steps)
    optimizer = OPTIMIZERS[optim["name"]](network.trained(), optim)
    last: list[Tensor] = []
    found = PlainTraining()
    for step in range(steps + 1):
        if step in probe_steps:
            found.probed[step] = network.loss_and_score(data.probe, torch.float64)
            found.probed[step] += network.loss_and_score(data.test_part, dtype)
            found.slopes[step] = [float(slope.detach()) for slope in network.slopes]
            found.dead[step] = network.dead_units(data.probe)
        before = [weight.detach().double().clone() for weight in network.weights]
        loss = mean_loss(network(inputs[order[step]]), labels[order[step]])
        found.batch_loss.append(float(loss.detach()))
        if step == steps:
            break
        optimizer.zero_grad()
        loss.backward()
        if optim["clip_norm"] is not None:
            total = torch.cat([p.grad.flatten().double() for p in network.trained()]).norm()
            for p in network.trained():
                p.grad *= min(1.0, optim["clip_norm"] / float(total))
        if "clip_value" in optim:
            torch.nn.utils.clip_grad_value_(network.trained(), optim["clip_value"])
        if "clip_to_one" in optim:
            for p in network.trained():
                p.grad = torch.where(p.grad.abs() > optim["clip_to_one"], 1.0, p.grad)
        for weight in network.weights:
            weight.grad += optim["weight_decay"] * weight.detach()
        optimizer.step()
        changes = [
            after.detach().double() - old
            for after, old in zip(network.weights, before, strict=True)
        ]
        found.update_norm[step] = [float(change.norm()) for change in changes]
        found.update_cosine[step] = [
            float((one * other).sum() / (one.norm() * other.norm()))
            for one, other in zip(last, changes, strict=False)
        ]
        last = changes
    for part in (data.train, data.validation, data.test):
        found.final += network.loss_and_score(part, dtype)
    return found
