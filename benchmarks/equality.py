"""Whether the engine and the sequential loop give the same numbers: asked before anything is timed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks import sequential
from study.cell import Cell
from study.probe import INDEX
from study.training import PackResult, train_pack

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
"""Unit roundoff."""


class UnequalError(Exception):
    """The two disagree by more than rounding."""


def tolerance(cell: Cell, dtype: str) -> float:
    """Return the relative difference that the order of summation may make.

    A sum of n products is off by at most n unit roundoffs of its terms. A gradient has passed
    2 · depth such sums, and the weights of step k carry k gradients. Cancellation, which this leaves
    out, is small as long as the steps are few: hence three.
    """
    settings = cell.settings
    sums = 2 * settings["depth"] * (settings["steps"] + 1)
    return sums * max(settings["width"], settings["batch_size"]) * UNIT[dtype]


def relative(packed: Tensor, alone: Tensor, scale: Tensor | None = None) -> float:
    """Return the largest difference relative to ``scale``, by default the value itself.

    Infinite where one is NaN and the other is not; two zeros are equal.
    """
    if not torch.equal(torch.isnan(packed), torch.isnan(alone)):
        return torch.inf
    difference = (packed - alone).abs()
    share = difference / (packed if scale is None else scale).abs()
    return float(torch.where(difference == 0, 0.0, share).nan_to_num(0.0, torch.inf).max())


def differences(
    packed: PackResult, alone: Sequence[sequential.Measured]
) -> tuple[float, float, float]:
    """Return how far layers, losses and accuracies differ at most."""
    layers = torch.from_numpy(packed.layers)
    scale = layers.clone()
    for name in ("z", "h"):  # a mean near zero is a difference of large numbers
        scale[:, :, INDEX[f"{name}_mean"]] = layers[:, :, INDEX[f"{name}_second_moment"]].sqrt()
    of_layers = relative(layers, torch.stack([one.layers for one in alone], dim=-1), scale)
    probed = torch.from_numpy(packed.probed)
    other = torch.stack([one.probed for one in alone], dim=-1)
    losses = [(probed[:, ::2], other[:, ::2])]
    accuracies = [(probed[:, 1::2], other[:, 1::2])]
    losses.append(
        (torch.from_numpy(packed.batch_loss), torch.stack([one.batch_loss for one in alone], -1))
    )
    if packed.final is not None:
        final = torch.from_numpy(packed.final)
        ends = torch.stack([one.final for one in alone if one.final is not None], dim=-1)
        losses.append((final[::2], ends[::2]))
        accuracies.append((final[1::2], ends[1::2]))
    return (
        of_layers,
        max(relative(*pair) for pair in losses),
        max(relative(*pair) for pair in accuracies),
    )


def check(cells: Sequence[Cell]) -> float:
    """Return the largest relative difference of anything measured on these networks.

    Layers are measured in float64 whatever the training format. Accuracies are compared where
    training is float64: in float32 two nearly equal logits may change places.

    Raises:
        UnequalError: the difference is more than rounding explains.
    """
    dtype = cells[0].settings["dtype"]
    packed = train_pack(cells, sequential.CPU)
    alone = [sequential.train(cell) for cell in cells]
    layers, losses, accuracies = differences(packed, alone)
    bound, fine = tolerance(cells[0], dtype), tolerance(cells[0], "float64")
    same_end = packed.first_bad_step.tolist() == [one.first_bad_step for one in alone]
    exact = accuracies <= bound or dtype == "float32"
    if not (layers <= fine and losses <= bound and exact and same_end):
        raise UnequalError(
            f"the engine and the sequential loop disagree in {dtype}: layers by {layers:.1e}, losses "
            f"by {losses:.1e}, accuracies by {accuracies:.1e}, where rounding explains {bound:.1e}"
        )
    return max(layers, losses)
