"""How long activations take, by size: is ReLU several times as fast as sigmoid?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from study.later import Later
from study.randomness import stream
from study.tasks.row import TASKS, Row, Traits
from study.tasks.timing import seconds

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch, F = Later("torch"), Later("torch.nn.functional")

FACTOR = 16
"""From one size to the next."""


def _functions() -> dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Any]]]:
    """Return each activation as PyTorch's users call it, and as it is computed into memory that is there."""
    into: Any = torch.ops.aten
    return {
        "sigmoid": (torch.sigmoid, lambda z, h: into.sigmoid.out(z, out=h)),
        "tanh": (torch.tanh, lambda z, h: into.tanh.out(z, out=h)),
        # relu.out makes a new tensor and copies it; clamp_min is what relu itself calls
        "relu": (torch.relu, lambda z, h: into.clamp_min.out(z, 0, out=h)),
        "leaky_relu": (F.leaky_relu, lambda z, h: into.leaky_relu.out(z, 0.01, out=h)),
        "gelu": (F.gelu, lambda z, h: into.gelu.out(z, out=h)),
        "silu": (F.silu, lambda z, h: into.silu.out(z, out=h)),
    }


@TASKS.register(Traits(each_device=True))
def activation_timing(
    device: str, *, repeats: int = 15, smallest: int = 2**10, largest: int = 2**22
) -> Iterator[Row]:
    """Seconds that an activation takes, forward and with its backward pass, from small to large tensors.

    Standard normal float32 numbers, one thread. ``memory`` says whether the result lies in memory that the
    call takes (``new``, as users call it) or in memory that was there (``given``, forward only).

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        repeats: rounds; within each, activations take turns.
        smallest: numbers of the smallest tensor.
        largest: numbers of the largest tensor at most; each has 16 times as many as the one before.
    """
    size = smallest
    while size <= largest:
        normal = stream(0, "activation_timing").standard_normal(size)
        calls: dict[tuple[str, str, str], Callable[[], object]] = {}
        z = torch.tensor(normal, dtype=torch.float32, device=device)
        leaf = z.clone().requires_grad_()
        room, ones = torch.empty_like(z), torch.ones_like(z)
        for name, (function, out) in _functions().items():
            calls[name, "forward", "new"] = partial(function, z)
            calls[name, "forward", "given"] = partial(out, z, room)
            calls[name, "forward and backward", "new"] = partial(_both, function, leaf, ones)
        for (name, passes, memory), repeat, value in seconds(calls, repeats, device):
            subject = {
                "activation": name,
                "size": size,
                "pass": passes,
                "memory": memory,
                "device": device,
            }
            yield Row(subject, "time", value, "s", repeat)
        size *= FACTOR


def _both(function: Callable[[Tensor], Tensor], leaf: Tensor, ones: Tensor) -> object:
    return torch.autograd.grad(function(leaf), leaf, ones)
