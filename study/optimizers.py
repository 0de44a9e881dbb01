"""The optimizers: PyTorch's own, which work on each number apart and so never mix cells."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from study.later import Later
from study.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:  # as in study.activations
    torch = Later("torch")

OPTIMIZERS: Registry[None] = Registry("optim", None)


@functools.cache
def _eager(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return one of PyTorch's optimizers whose methods do not import PyTorch's compiler.

    They do so only to keep it out of themselves, which takes two seconds of every process and changes no
    number.
    """
    methods: dict[str, Any] = {
        name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad")
    }
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


@OPTIMIZERS.register()
def sgd(groups: Iterable[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
    """Plain stochastic gradient descent."""
    return _eager(torch.optim.SGD)(groups, lr=lr)


@OPTIMIZERS.register()
def momentum(
    groups: Iterable[dict[str, Any]], lr: float, *, momentum: float = 0.9
) -> torch.optim.Optimizer:
    """SGD with heavy-ball momentum. Source: Sutskever et al. 2013, without dampening."""
    return _eager(torch.optim.SGD)(groups, lr=lr, momentum=momentum)


@OPTIMIZERS.register()
def adagrad(
    groups: Iterable[dict[str, Any]], lr: float, *, eps: float = 1e-10
) -> torch.optim.Optimizer:
    """AdaGrad. Source: Duchi et al. 2011."""
    return _eager(torch.optim.Adagrad)(groups, lr=lr, eps=eps)


@OPTIMIZERS.register()
def rmsprop(
    groups: Iterable[dict[str, Any]], lr: float, *, alpha: float = 0.99, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """RMSProp. Source: Tieleman & Hinton 2012, lecture 6.5."""
    return _eager(torch.optim.RMSprop)(groups, lr=lr, alpha=alpha, eps=eps)


@OPTIMIZERS.register()
def adam(
    groups: Iterable[dict[str, Any]],
    lr: float,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    """Adam. Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1."""
    return _eager(torch.optim.Adam)(groups, lr=lr, betas=(beta1, beta2), eps=eps)


def clip_per_cell(parameters: Iterable[tuple[Tensor, slice]], cells: int, clip_norm: float) -> None:
    """Scale each cell's gradient down to ``clip_norm`` where its norm over all parameters exceeds it.

    Args:
        parameters: tensors ``[cell, …]`` of one stack, their ``grad`` changed in place, each with the
            cells that it belongs to.
        cells: cells of the stack.
        clip_norm: the largest norm left.

    Source:
        Pascanu et al. 2013, arXiv:1211.5063, algorithm 1, for each cell apart.
    """
    gradients = [(p.grad, own) for p, own in parameters if p.grad is not None]
    squares = torch.zeros(cells, dtype=torch.float64, device=gradients[0][0].device)
    for gradient, own in gradients:
        norms = torch.linalg.vector_norm(gradient.flatten(1), dim=1, dtype=torch.float64)
        squares[own] += norms.square()
    total = squares.sqrt()
    # An infinite or NaN norm must not zero the gradient it belongs to: it stays as it is and diverges.
    scale = torch.where(total > clip_norm, clip_norm / total, 1.0)
    scale = torch.where(torch.isfinite(total), scale, 1.0)
    for gradient, own in gradients:
        gradient.mul_(scale[own].to(gradient.dtype).view(-1, *[1] * (gradient.dim() - 1)))


def clip_entries(gradients: Iterable[Tensor], clip_value: float) -> None:
    """Bring every entry of the gradients into [−``clip_value``, ``clip_value``], in place; NaN stays.

    Source:
        `torch.nn.utils.clip_grad_value_`; Goodfellow et al. 2016, Deep Learning, section 10.11.1.
    """
    for gradient in gradients:
        gradient.clamp_(-clip_value, clip_value)


def clip_entries_to_one(gradients: Iterable[Tensor], clip_to_one: float) -> None:
    """Set every entry of the gradients to 1 whose magnitude exceeds ``clip_to_one``, in place; NaN stays.

    An entry loses its sign with its size, and one below 1 grows where the bound is below 1: the rule is that
    of a lecture note, kept as it stands so that what it does can be measured.
    """
    for gradient in gradients:
        gradient.masked_fill_(gradient.abs() > clip_to_one, 1.0)
