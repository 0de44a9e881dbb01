"""What no training step of these shapes does without: the bare matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from study.cell import Cell
from study.training import shape_of


def bare_products(cells: Sequence[Cell], device: str = "cpu") -> Callable[[int], None]:
    """Return what does the matrix products of training alone, for a number of steps.

    One forward and two backward products a layer, of the pack's shapes, into tensors made before.
    """
    batch, count = cells[0].settings["batch_size"], len(cells)
    layers = []
    for i, o in shape_of(cells[0].settings).fans():
        x, w, b, g = (
            torch.randn(shape, device=device)
            for shape in ((count, batch, i), (count, o, i), (count, 1, o), (count, batch, o))
        )
        layers.append((x, w, b, g, torch.empty_like(g), torch.empty_like(w), torch.empty_like(x)))

    def run(steps: int) -> None:
        for _ in range(steps):
            for x, w, b, _, z, _, _ in layers:
                torch.baddbmm(b, x, w.transpose(1, 2), out=z)
            for index, (x, w, _, g, _, of_w, of_x) in reversed(list(enumerate(layers))):
                torch.bmm(g.transpose(1, 2), x, out=of_w)
                if index:  # nothing asks for the gradient of the inputs
                    torch.bmm(g, w, out=of_x)

    return run
