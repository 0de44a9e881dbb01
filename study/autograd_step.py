"""One training step of a stack by autograd: for networks with a normalization or dropout.

`study.step` does the same by hand for those without.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from study.dropout import Masks
from study.network import StackedNetwork
from study.normalization import Moments, moments_of
from study.step import SeeLayer, Step, loss_and_signal, take_gradients, weights_finite


@torch.no_grad()
def population_moments(network: StackedNetwork, chunks: Iterable[Tensor]) -> list[Moments | None]:
    """Return the moments over a whole sample that each batch normalization takes in evaluation.

    They are of the present weights: each layer's are taken of signals that the layers below have normalized
    by theirs.

    Args:
        network: the stack.
        chunks: the sample in parts, ``[cell, sample, in]``.

    Returns:
        One entry a layer, None where nothing is normalized over samples.

    Source:
        Wu & Johnson 2021, arXiv:2105.07576, section 3.
    """
    layers = list(network.each_layer())
    found: list[Moments | None] = [None] * len(layers)
    for index, layer in enumerate(layers):
        if layer.norm is None or not layer.norm.over_samples:
            break
        # of the inputs one part at a time: a sample of images would fill a laptop
        parts = [layer.linear(part) for part in chunks]
        moments = found[index] = moments_of(torch.cat(parts, dim=1))
        chunks = [layer.activation(layer.norm(part, moments)) for part in parts]
    return found


def step_of(
    network: StackedNetwork, samples: int, masks: Masks | None = None
) -> Step | AutogradStep:
    """Return what runs the training steps of a stack: by hand where that is possible.

    Args:
        network: the stack.
        samples: the most samples of a cell that will be run at a time.
        masks: which outputs of hidden units a training step keeps; None: all.
    """
    if network.normalized or masks is not None:
        return AutogradStep(network, masks)
    return Step(network, samples)


class AutogradStep:
    """Runs a stack forward, and back to the gradients of its parameters, as `study.step.Step` does.

    Args:
        network: the stack; its parameters' ``grad`` are written by every call.
        masks: which outputs of hidden units a training step keeps; None: all.
    """

    def __init__(self, network: StackedNetwork, masks: Masks | None = None) -> None:
        self.network = network
        self.masks = masks
        self.layers = list(network.each_layer())
        self._moments: list[Moments | None] = [None] * len(self.layers)
        take_gradients(network)

    def calibrate(self, chunks: Iterable[Tensor]) -> None:
        """Take the moments of batch normalization for `forward` from a sample, under the present weights.

        Args:
            chunks: the sample in parts, ``[cell, sample, in]``.
        """
        self._moments = population_moments(self.network, chunks)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs ``[cell, sample, out]`` as in evaluation: by the moments last taken.

        Args:
            inputs: ``[cell, sample, in]``.
        """
        signal = inputs
        for layer, moments in zip(self.layers, self._moments, strict=True):
            signal = layer.activation(layer.pre_activation(signal, moments))
        return signal

    def __call__(self, inputs: Tensor, labels: Tensor, see_layer: SeeLayer | None = None) -> Tensor:
        """Return each cell's mean loss ``[cell]`` and leave its gradient in the parameters' ``grad``.

        Args:
            inputs: ``[cell, batch, in]``.
            labels: ``[cell, batch]``, as for `study.network.cell_losses`.
            see_layer: as for `study.step.Step`; its ∂L/∂z goes through the moments of the batch, too.
        """
        below, pre_activations = [inputs], []
        with torch.enable_grad():
            for index, layer in enumerate(self.layers):
                pre_activations.append(layer.pre_activation(below[-1]))
                if index < len(self.layers) - 1:
                    h = layer.activation(pre_activations[-1])
                    below.append(h if self.masks is None else self.masks.apply(index, h))
        *hidden, outputs = pre_activations
        losses, signal = loss_and_signal(outputs.detach().mT, labels)
        parameters = list(self.network.parameters())
        wanted = [*parameters, *(hidden if see_layer is not None else [])]
        found = torch.autograd.grad(
            outputs, wanted, signal.mT, allow_unused=True, materialize_grads=True
        )
        for parameter, gradient in zip(parameters, found, strict=False):
            parameter.grad.copy_(gradient)  # type: ignore[union-attr]
        if see_layer is not None:
            signals = [*found[len(parameters) :], signal.mT]
            for index in reversed(range(len(self.layers))):
                see_layer(index, signals[index], below[index].detach())
        return losses

    @torch.no_grad()
    def weights_finite(self) -> Tensor:
        """Return whether every weight of each cell is a finite number, ``[cell]``."""
        return weights_finite([layer.linear.weight for layer in self.layers])
