"""What backpropagation costs beside forward passes, as the number of parameters grows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from study.later import Later
from study.randomness import stream
from study.tasks.row import TASKS, Row, Traits
from study.tasks.timing import seconds

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
    from torch.utils import flop_counter
else:
    torch, nn, F = Later("torch"), Later("torch.nn"), Later("torch.nn.functional")
    flop_counter = Later("torch.utils.flop_counter")

INPUTS, OUTPUTS, BATCH = 64, 10, 128


def _network(width: int, depth: int, device: str) -> nn.Sequential:
    units = [INPUTS, *[width] * (depth - 1), OUTPUTS]
    parts: list[nn.Module] = []
    for below, above in itertools.pairwise(units):
        parts += [nn.Linear(below, above), nn.ReLU()]
    return nn.Sequential(*parts[:-1]).to(device)


@TASKS.register(Traits(each_device=True))
def backprop_cost(
    device: str, *, repeats: int = 10, depth: int = 4, narrowest: int = 8, widest: int = 512
) -> Iterator[Row]:
    """Seconds and FLOPs of a forward pass, and of forward and backward, for more and more parameters.

    ReLU networks of ever doubled width with cross-entropy, batch 128, float32, one thread. To perturb each
    of P parameters takes P + 1 forward passes. FLOPs are those that PyTorch's ``FlopCounterMode`` counts:
    matrix products, a multiplication and an addition each as one.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        repeats: rounds; within each, all networks and passes take turns.
        depth: layers that carry weights.
        narrowest: units of the narrowest network's hidden layers.
        widest: of the widest's, at most.
    """
    random = stream(0, "backprop_cost")
    inputs = torch.tensor(
        random.standard_normal((BATCH, INPUTS)), dtype=torch.float32, device=device
    )
    labels = torch.tensor(random.integers(0, OUTPUTS, BATCH), device=device)
    calls: dict[tuple[int, str], Callable[[], object]] = {}
    subjects = {}
    width = narrowest
    while width <= widest:
        network = _network(width, depth, device)
        parameters = sum(one.numel() for one in network.parameters())
        for passes, function in (("forward", _forward), ("forward and backward", _both)):
            calls[width, passes] = partial(function, network, inputs, labels)
            subject = {
                "parameters": parameters,
                "width": width,
                "depth": depth,
                "pass": passes,
                "device": device,
            }
            subjects[width, passes] = subject
            with flop_counter.FlopCounterMode(display=False) as counter:
                calls[width, passes]()
            yield Row(subject, "flops", counter.get_total_flops(), "operations")
        width *= 2
    for key, repeat, value in seconds(calls, repeats, device):
        yield Row(subjects[key], "time", value, "s", repeat)


def _forward(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return F.cross_entropy(network(inputs), labels)


def _both(network: nn.Module, inputs: Tensor, labels: Tensor) -> object:
    return torch.autograd.grad(F.cross_entropy(network(inputs), labels), list(network.parameters()))
