"""One function, many gradients: ReLU networks whose layers are scaled against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from study.initializers import Array
from study.later import Later
from study.randomness import stream
from study.settings import Number
from study.tasks.networks import OUTPUTS, SAMPLES, Layers, drawn, samples, stacked
from study.tasks.row import TASKS, Row, Traits

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from study import network
else:
    torch, network = Later("torch"), Later("study.network")

DEPTHS = (4, 8, 16, 32)


def rescaled(layers: Layers, factors: Array) -> Layers:
    """Return a ReLU network that computes the same, with hidden layer l's signals times ``factors[l]``.

    Args:
        layers: weights and biases from the input on.
        factors: ``[hidden layer]``, above 0.
    """
    own = [*factors, 1.0]
    below = [1.0, *factors]
    return [
        (weight * (mine / under), bias * mine)
        for (weight, bias), mine, under in zip(layers, own, below, strict=True)
    ]


# beyond, squares of gradients would leave float64's range
@TASKS.register(Traits(rules={"decades": Number(low=0.0, open_low=True, high=50.0)}))
def rescaling(
    device: str, *, seeds: int = 10, width: int = 64, decades: float = 2.0
) -> Iterator[Row]:
    """Pairs of ReLU networks that are one function and have other gradients: outputs and gradient ratio.

    Hidden layer l is multiplied by c and what it feeds by 1/c, log10 c uniform in ±``decades``, float64.
    The ratio is log10 of the signal gradient, as in `signal_grad_rms`, of the first over the last hidden
    layer.

    Args:
        device: not used: it is measured on the CPU.
        seeds: pairs for each depth.
        width: units of a hidden layer.
        decades: bound of log10 c.
    """
    del device
    for depth in DEPTHS:
        for seed in range(seeds):
            random = stream(seed, f"rescaling/{depth}")
            plain = drawn("he_normal", "relu", depth, width, seed)
            # biases too are part of the function
            plain = [
                (weight, 0.1 * random.standard_normal(len(bias)) if index < depth - 1 else bias)
                for index, (weight, bias) in enumerate(plain)
            ]
            factors = 10.0 ** random.uniform(-decades, decades, depth - 1)
            outputs, ratios = _both([plain, rescaled(plain, factors)], seed)
            subject = {"depth": depth, "width": width}
            difference = (outputs[1] - outputs[0]).abs().max() / outputs[0].abs().max()
            yield Row(subject, "relative difference of outputs", float(difference), "1", seed)
            for network_, ratio in zip(("plain", "rescaled"), ratios, strict=True):
                marked = {**subject, "network": network_}
                yield Row(marked, "gradient ratio", ratio, "decades", seed)


def _both(starts: list[Layers], seed: int) -> tuple[Tensor, list[float]]:
    """Return the outputs ``[network, sample, out]`` and each network's ratio of signal gradients."""
    stack = stacked(starts, "relu")
    labels = torch.from_numpy(stream(seed, "tasks/labels").integers(0, OUTPUTS, SAMPLES))
    signal = samples(seed, len(starts))
    signals = []
    for layer in stack.each_layer():
        signals.append(layer.linear(signal))
        signal = layer.activation(signals[-1])
    losses = network.cell_losses(signal, labels.expand(len(starts), -1))
    first, last = torch.autograd.grad(losses.sum(), [signals[0], signals[-2]])
    ratio = torch.log10(first.square().mean(dim=(1, 2)) / last.square().mean(dim=(1, 2))) / 2
    return signal.detach(), ratio.tolist()
