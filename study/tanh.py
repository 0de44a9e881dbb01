"""tanh on a CPU in a sixth of the time of PyTorch's own, which took nearly a third of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def write_tanh(z: Tensor, h: Tensor) -> None:
    """Write tanh(z) into ``h``, which may be ``z``."""
    if z.device.type == "cpu":
        # NumPy's is off by 1.4 units in the last place at most, PyTorch's by 0.8, in six times the time
        np.tanh(z.detach().numpy(), out=h.detach().numpy())
    else:
        torch.tanh(z.detach(), out=h.detach())


class Tanh(torch.autograd.Function):
    """`write_tanh` with its derivative, for autograd."""

    @staticmethod
    def forward(context: Any, z: Tensor) -> Tensor:
        h = torch.empty_like(z)
        write_tanh(z, h)
        context.save_for_backward(h)
        return h

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (h,) = context.saved_tensors
        return torch.ops.aten.tanh_backward(gradients[0], h)  # type: ignore[no-any-return]
