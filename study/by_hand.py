"""The activations' values and derivatives written into memory that is there already.

What an activation is stands in `study.activations`; here is the same for those on whose speed a sweep
depends. One without a rule here, such as one of the user's own, is derived by autograd, layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from study import activations
from study.tanh import write_tanh

aten: Any = torch.ops.aten


@dataclass(frozen=True)
class Rule:
    """An activation in place.

    Attributes:
        values: writes h = φ(z): called with z, h ``[cell, batch, unit]`` and the keyword arguments.
        chain: multiplies a gradient by φ'(z): called with ∂L/∂h, which becomes ∂L/∂z, z, h and the
            keyword arguments.
        needs_z: whether ``chain`` reads z; if not, h may be written over z.
        learn: returns ∂L/∂a for each learned argument a, by name, ``[cell, 1, 1]``: called as ``chain``
            is, and before it.
    """

    values: Callable[..., Any]
    chain: Callable[..., Any]
    needs_z: bool = False
    learn: Callable[..., dict[str, Tensor]] | None = None


def _relu(z: Tensor, h: Tensor) -> None:
    torch.clamp_min(z, 0.0, out=h)


def _relu_chain(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    aten.threshold_backward.grad_input(gradient, h, 0.0, grad_input=gradient)


def _tanh_chain(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    aten.tanh_backward.grad_input(gradient, h, grad_input=gradient)


def _sigmoid(z: Tensor, h: Tensor) -> None:
    torch.sigmoid(z, out=h)


def _sigmoid_chain(gradient: Tensor, _z: Tensor, h: Tensor) -> None:
    aten.sigmoid_backward.grad_input(gradient, h, grad_input=gradient)


def _leaky_relu(z: Tensor, h: Tensor, *, negative_slope: float) -> None:
    aten.leaky_relu.out(z, negative_slope, out=h)


def _leaky_relu_chain(gradient: Tensor, z: Tensor, _h: Tensor, *, negative_slope: float) -> None:
    aten.leaky_relu_backward.grad_input(gradient, z, negative_slope, False, grad_input=gradient)


def _prelu(z: Tensor, h: Tensor, *, slope: Tensor) -> None:
    h.copy_(aten._prelu_kernel(z, slope))


def _prelu_chain(gradient: Tensor, z: Tensor, _h: Tensor, *, slope: Tensor) -> None:
    # a sum of two parts, of which one is 0: to choose between them takes ten times as long on a CPU
    below = aten.threshold_backward(gradient, z.neg(), -_least(z))
    aten.threshold_backward.grad_input(gradient, z, 0.0, grad_input=gradient)
    gradient.addcmul_(below, slope)


def _least(z: Tensor) -> float:
    """Return the smallest number above 0 that a comparison tells from it."""
    if not z.is_cuda:  # denormal numbers are flushed to zero
        return torch.finfo(z.dtype).tiny
    return 2.0**-149 if z.dtype == torch.float32 else 2.0**-1074


def _prelu_learn(gradient: Tensor, z: Tensor, _h: Tensor, *, slope: Tensor) -> dict[str, Tensor]:
    return {"slope": z.clamp_max(0.0).mul_(gradient).sum(dim=(1, 2)).view_as(slope)}


def _gelu(z: Tensor, h: Tensor) -> None:
    aten.gelu.out(z, out=h)


def _gelu_chain(gradient: Tensor, z: Tensor, _h: Tensor) -> None:
    aten.gelu_backward.grad_input(gradient, z, grad_input=gradient)


def _identity(z: Tensor, h: Tensor) -> None:
    h.copy_(z)


def _identity_chain(_gradient: Tensor, _z: Tensor, _h: Tensor) -> None:
    """Leave the gradient."""


RULES: dict[Callable[..., Tensor], Rule] = {
    activations.relu: Rule(_relu, _relu_chain),
    activations.tanh: Rule(write_tanh, _tanh_chain),
    activations.sigmoid: Rule(_sigmoid, _sigmoid_chain),
    activations.leaky_relu: Rule(_leaky_relu, _leaky_relu_chain, needs_z=True),
    activations.prelu: Rule(_prelu, _prelu_chain, needs_z=True, learn=_prelu_learn),
    activations.gelu: Rule(_gelu, _gelu_chain, needs_z=True),
    activations.identity: Rule(_identity, _identity_chain),
}
"""By the registered function itself: one of the user's own of the same name has none."""
