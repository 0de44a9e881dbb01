"""What one network shows at a probe step, each quantity from its definition: the twin is float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from study.activations import ACTIVATIONS
from study.probe import SATURATED

Quantities = list[dict[str, Tensor]]
"""One dictionary a layer, from the input on."""


class Activation(nn.Module):
    """A named activation as a module of its own, so that it can be hooked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = ACTIVATIONS[name].function
        self.largest_slope = ACTIVATIONS[name].extra.largest_slope

    def forward(self, z: Tensor) -> Tensor:
        return self.function(z)


def linears_of(network: nn.Sequential) -> list[nn.Linear]:
    """Return the layers that carry weights, from the input on."""
    return [module for module in network if isinstance(module, nn.Linear)]


def collapse(v: Tensor) -> Tensor:
    """Return ‖mean over samples‖² / mean over samples of ‖·‖² of ``[batch, unit]``."""
    return v.mean(0).square().sum() / v.square().sum(1).mean()


def gradient_quantities(twin: nn.Sequential, x: Tensor, y: Tensor) -> Quantities:
    """Return what a forward and a backward pass on a batch shows of every layer."""
    linears = linears_of(twin)
    found: Quantities = [{} for _ in linears]

    def watch(of_layer: dict[str, Tensor]) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        def see_signal(gradient: Tensor) -> None:
            signal = gradient * len(y)
            of_layer["signal_grad_rms"] = signal.square().mean().sqrt()
            of_layer["signal_collapse"] = collapse(signal)

        def see_z(_module: nn.Module, _arguments: tuple[Tensor], z: Tensor) -> None:
            z.register_hook(see_signal)

        return see_z

    handles = [
        linear.register_forward_hook(watch(of_layer))
        for linear, of_layer in zip(linears, found, strict=True)
    ]
    F.cross_entropy(twin(x), y).backward()
    for handle in handles:
        handle.remove()
    for linear, of_layer in zip(linears, found, strict=True):
        of_layer["weight_grad_norm"] = linear.weight.grad.norm()
        of_layer["bias_grad_norm"] = linear.bias.grad.norm()
        of_layer["weight_norm"] = linear.weight.detach().norm()
    twin.zero_grad()
    return found


def unit_quantities(twin: nn.Sequential, inputs: Tensor) -> tuple[Quantities, Tensor]:
    """Return what units do on the probe set, layer by layer, and the logits."""
    found: Quantities = []
    h = inputs
    for module in twin:
        if isinstance(module, nn.Linear):
            with torch.no_grad():
                z = h = module(h)
            found.append(
                {
                    "z_mean": z.mean(),
                    "z_second_moment": z.square().mean(),
                    "z_collapse": collapse(z),
                }
            )
        else:
            h = activation_quantities(module, h, found[-1])
    return found, h


def activation_quantities(module: nn.Module, z: Tensor, found: dict[str, Tensor]) -> Tensor:
    """Add what an activation does to ``z`` ``[sample, unit]`` and return its value."""
    out = module(z.requires_grad_())
    (slope,) = torch.autograd.grad(out, z, torch.ones_like(out))
    h, z = out.detach(), z.detach()
    found["h_mean"] = h.mean()
    found["h_second_moment"] = h.square().mean()
    found["slope_second_moment"] = slope.square().mean()
    found["active_share"] = torch.count_nonzero(z > 0).double() / z.numel()
    found["dead_units"] = (slope == 0).all(0).sum()
    if module.largest_slope is not None:
        flat = slope.abs() < SATURATED * module.largest_slope
        found["saturated_share"] = torch.count_nonzero(flat).double() / z.numel()
    return h


def gradient_counts(network: nn.Sequential) -> Quantities:
    """Return the exact zeros and the non-finite entries of every weight gradient as trained."""
    gradients = [linear.weight.grad for linear in linears_of(network)]
    return [
        {
            "grad_zeros": torch.count_nonzero(gradient == 0),
            "grad_nonfinite": torch.count_nonzero(~torch.isfinite(gradient)),
        }
        for gradient in gradients
    ]


def update_norms(network: nn.Sequential, twin: nn.Sequential) -> Quantities:
    """Return how far the update moved every weight from where the twin still is."""
    pairs = zip(linears_of(network), linears_of(twin), strict=True)
    with torch.no_grad():
        return [{"update_norm": (a.weight.double() - b.weight).norm()} for a, b in pairs]
