"""One network at a time, plainly: what the stacked engine and its probes are held against.

Shares with the product the random draws and the batches, nothing else: float64, explicit loops over
layers, activations written out, every quantity from its definition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ACTIVATIONS = {
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
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
LARGEST_SLOPE = {"sigmoid": 0.25, "tanh": 1.0}


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


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    log_probability = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    return -log_probability[torch.arange(len(labels)), labels].mean()


def collapse(v: Tensor) -> float:
    return float((v.mean(0) ** 2).sum() / (v**2).sum(1).mean())


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
    signals = forward(parameters, activation, x)
    loss = mean_loss(signals[-1], labels)
    wanted = [*signals, *[w for w, _ in parameters], *[b for _, b in parameters]]
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    depth = len(parameters)
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
            "weight_norm": float(parameters[index][0].norm()),
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
            }
            if activation in LARGEST_SLOPE:
                flat = slope.abs() < 0.01 * LARGEST_SLOPE[activation]
                row["saturated_share"] = float(flat.double().mean())
        rows.append(row)
    return rows
