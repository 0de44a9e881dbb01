"""The activations: functions of the pre-activation ``z`` ``[cell, batch, unit]``, unit by unit.

One of your own stands in a file of your own, see `study.extensions`; one that is to come with this
program stands here and in ``conf/activation/<name>.yaml``, with its name and the values of its keyword
arguments. Derivatives come from autograd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.later import Later
from study.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F

    from study import tanh as fast
else:  # names and settings are checked, and plans made, without PyTorch
    torch, F, fast = Later("torch"), Later("torch.nn.functional"), Later("study.tanh")


@dataclass(frozen=True)
class Traits:
    """What the harness must know of an activation besides its values.

    Attributes:
        learnable: keyword arguments that are trained, one number per layer and cell; the function
            receives them as ``[cell, 1, 1]``.
        largest_slope: the largest derivative of a bounded activation, against which saturation is
            judged; ``None`` for the unbounded ones, where the term has no meaning.
        kinks: where φ or φ' jumps, and around which φ does what it does: the theory's integrals are cut
            there.
    """

    learnable: tuple[str, ...] = ()
    largest_slope: float | None = None
    kinks: tuple[float, ...] = (0.0,)


ACTIVATIONS: Registry[Traits] = Registry(
    "activation", Traits(), keywords_of=lambda traits: traits.learnable
)


@ACTIVATIONS.register(Traits(largest_slope=0.25))
def sigmoid(z: Tensor) -> Tensor:
    """σ(z) = 1 / (1 + e^−z)."""
    return torch.sigmoid(z)


@ACTIVATIONS.register(Traits(largest_slope=0.25))
def centred_sigmoid(z: Tensor) -> Tensor:
    """σ(z) − ½ = ½ tanh(z/2). Source: LeCun et al. 1998, Efficient BackProp, section 4.4 (why around 0)."""
    # the difference would lose its digits near 0
    return fast.Tanh.apply(z / 2) / 2  # type: ignore[no-any-return]


@ACTIVATIONS.register(Traits(largest_slope=0.5))
def bipolar_sigmoid(z: Tensor) -> Tensor:
    """2σ(z) − 1 = tanh(z/2). Source: LeCun et al. 1998, Efficient BackProp, section 4.4 (why around 0)."""
    return fast.Tanh.apply(z / 2)  # type: ignore[no-any-return]


@ACTIVATIONS.register(Traits(largest_slope=1.0))
def tanh(z: Tensor) -> Tensor:
    """tanh(z) = 2σ(2z) − 1."""
    return fast.Tanh.apply(z)  # type: ignore[no-any-return]


@ACTIVATIONS.register()
def relu(z: Tensor) -> Tensor:
    """max(z, 0); its derivative at 0 is taken as 0. Source: Nair & Hinton 2010."""
    return torch.relu(z)


@ACTIVATIONS.register()
def leaky_relu(z: Tensor, *, negative_slope: float = 0.01) -> Tensor:
    """z above zero, ``negative_slope``·z below. Source: Maas et al. 2013."""
    return F.leaky_relu(z, negative_slope)


@ACTIVATIONS.register(Traits(learnable=("slope",)))
def prelu(z: Tensor, *, slope: Tensor | float = 0.25) -> Tensor:
    """z above zero, a learned slope·z below, one slope a layer. Source: He et al. 2015, eq. 1."""
    # F.prelu applies its slopes along dimension 1: cells are put there, and everything else behind.
    cells = z.shape[0]
    slopes = torch.as_tensor(slope, dtype=z.dtype, device=z.device).reshape(-1).expand(cells)
    return F.prelu(z.reshape(1, cells, -1), slopes).view_as(z)


@ACTIVATIONS.register()
def gelu(z: Tensor) -> Tensor:
    """z·Φ(z), exact form. Source: Hendrycks & Gimpel 2016, arXiv:1606.08415."""
    return F.gelu(z)


@ACTIVATIONS.register()
def silu(z: Tensor) -> Tensor:
    """z·σ(z). Source: Elfwing et al. 2018, arXiv:1702.03118."""
    return F.silu(z)


@ACTIVATIONS.register()
def sine(z: Tensor) -> Tensor:
    """sin(z). Source: Sitzmann et al. 2020, arXiv:2006.09661, with frequency 1."""
    return torch.sin(z)


@ACTIVATIONS.register()
def sign(z: Tensor) -> Tensor:
    """−1, 0 or 1: a step, whose derivative is 0 wherever it has one."""
    return torch.sign(z)


@ACTIVATIONS.register()
def identity(z: Tensor) -> Tensor:
    """z itself: the control, a network of the same weights without its non-linearity."""
    return z
