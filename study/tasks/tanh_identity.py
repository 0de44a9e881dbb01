"""tanh(x) = 2σ(2x) − 1, up to rounding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from study.later import Later
from study.tasks.row import TASKS, Row

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Later("torch")

FORMATS = {"float32": 44.0, "float64": 354.0}
"""Formats, and how far from 0 to look: exp(2x) stays in their range, and tanh has long been ±1."""

ROUNDING_BOUND = 3.5
"""In eps: with u = eps/2 the rounding of one operation and functions within one unit in the last place,
1 / (1 + e^−2x) has a relative error of at most (1 − σ)·eps + eps; doubled, times σ ≤ 1, that is 2 eps at
most; the subtraction adds u, tanh itself one eps."""


def grids(dtype: torch.dtype, bound: float, points: int) -> Iterator[tuple[str, Tensor]]:
    """Yield numbers evenly spread over ±8 and ±``bound``, and logarithmically towards 0 from both sides."""
    for edge in (8.0, bound):
        yield (
            f"even to {edge:g}",
            torch.linspace(-edge, edge, points, dtype=torch.float64).to(dtype),
        )
    small = torch.logspace(-30, 0, points // 2, dtype=torch.float64).to(dtype)
    yield "logarithmic to 1", torch.cat([-small.flip(0), small])


@TASKS.register()
def tanh_identity(device: str, *, points: int = 2**21) -> Iterator[Row]:
    """Largest difference between tanh(x) and 2σ(2x) − 1 in both formats, beside what rounding allows.

    In units of eps (2⁻²³, 2⁻⁵²), and in units in the last place of tanh(x), which grows without bound towards
    0: the difference of two numbers near 1 has no more digits than they have.

    Args:
        device: not used: it is measured on the CPU.
        points: numbers of each grid.
    """
    del device
    for name, bound in FORMATS.items():
        dtype = getattr(torch, name)
        eps = torch.finfo(dtype).eps
        for grid, x in grids(dtype, bound, points):
            tanh = torch.tanh(x)
            # in float64, where the difference of two float32 is exact
            difference = (tanh.double() - (2 * torch.sigmoid(2 * x) - 1).double()).abs()
            last_place = (torch.nextafter(tanh.abs(), tanh.new_tensor(2.0)) - tanh.abs()).double()
            subject = {"dtype": name, "grid": grid, "points": len(x)}
            places = difference / last_place
            yield Row(subject, "largest difference", float(difference.max()) / eps, "eps")
            yield Row(subject, "rounding bound", ROUNDING_BOUND, "eps")
            yield Row(subject, "largest difference in last places", float(places.max()), "ulp")
            yield Row(subject, "x of the most last places", float(x[places.argmax()].double()))
