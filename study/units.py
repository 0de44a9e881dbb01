"""What the units of a layer do on the probe set, summed up as its samples come."""

from __future__ import annotations

import torch
from torch import Tensor

from study.measures import collapse, count, per_cell, percentiles, scale_of_extremes, square_sum
from study.network import Layer, StackedActivation

SATURATED = 0.01
"""A unit counts as saturated on a sample where its slope is below this share of the largest."""


class DeadUnits:
    """Which units of one layer were dead so far.

    Attributes:
        always: ``[cell, unit]``, dead at every probe step so far; None before the first.
        ever: ``[cell, unit]``, dead at some probe step so far.
    """

    def __init__(self) -> None:
        self.always: Tensor | None = None
        self.ever: Tensor | None = None

    def see(self, dead: Tensor) -> dict[str, Tensor]:
        """Return how many units are dead, born dead and revived, ``[cell]`` each.

        Args:
            dead: ``[cell, unit]``, dead at this probe step.
        """
        self.always = dead if self.always is None else self.always & dead
        self.ever = dead if self.ever is None else self.ever | dead
        return {
            "dead_units": dead.sum(dim=1).double(),
            "born_dead_units": self.always.sum(dim=1).double(),
            "revived_units": (self.ever & ~dead).sum(dim=1).double(),
        }


class UnitSums:
    """Sums over the probe set of what the units of one layer do.

    Args:
        layer: the layer.
        samples: size of the probe set.
        dead: which of its units were dead before.
        percentiles: whether to measure how z is distributed.
    """

    def __init__(self, layer: Layer, samples: int, dead: DeadUnits, percentiles: bool) -> None:
        self.samples = samples
        self.dead = dead
        self.wants_percentiles = percentiles
        self.percentiles: dict[str, Tensor] = {}
        self.activation = (
            layer.activation if isinstance(layer.activation, StackedActivation) else None
        )
        self.sums: dict[str, Tensor] = {}
        self.scale: Tensor | None = None
        self.threshold: Tensor | None = None

    def add(self, name: str, value: Tensor) -> None:
        """Add to a sum, ``[cell]`` or ``[cell, unit]``."""
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def see_z(self, z: Tensor) -> None:
        """Take note of some samples' pre-activations, ``[cell, sample, unit]``."""
        if not self.sums:  # the first samples
            self.scale = scale_of_extremes(z)
            if self.wants_percentiles:
                self.percentiles = percentiles(z)
        if self.scale is not None:
            z = z / per_cell(self.scale, z)
        self.add("z", z.sum(dim=1))
        self.add("z_square", square_sum(z))

    @property
    def finite(self) -> Tensor:
        """Whether every z of the layer is a finite number, ``[cell]``."""
        return torch.isfinite(self.sums["z_square"])

    def see_h(self, z: Tensor, h: Tensor, slope: Tensor, room: Tensor) -> None:
        """Take note of some samples, ``[cell, sample, unit]`` each; ``room`` is overwritten.

        Args:
            z: pre-activations.
            h: φ(z).
            slope: φ'(z).
            room: memory of the same shape.
        """
        self.add("h", h.sum(dim=(1, 2)))
        self.add("h_square", square_sum(h))
        self.add("slope_square", square_sum(slope))
        self.add("active", count(torch.gt, z, 0.0, room))
        steepness = torch.abs(slope, out=room)
        steepest = steepness.amax(dim=1)
        before = self.sums.get("steepest", steepest)
        self.sums["steepest"] = torch.maximum(before, steepest)
        if self.threshold is None:
            assert self.activation is not None
            slopes = self.activation.trait(lambda traits: traits.largest_slope or torch.nan)
            self.threshold = SATURATED * slopes.to(z.device)
        # a comparison with NaN is false: cells of unbounded activations count nothing here
        if not torch.isnan(self.threshold).all():
            self.add("saturated", count(torch.lt, steepness, self.threshold.view(-1, 1, 1), room))

    def results(self) -> dict[str, Tensor]:
        """Return the layer's quantities, ``[cell]`` each."""
        mean_vector = self.sums["z"] / self.samples
        units = mean_vector.shape[1]
        entries = self.samples * units
        scale = 1.0 if self.scale is None else self.scale
        found = {
            "z_mean": mean_vector.mean(dim=1) * scale,
            # in this order: the scale's square alone may overflow
            "z_second_moment": self.sums["z_square"] / entries * scale * scale,
            "z_collapse": collapse(mean_vector, self.sums["z_square"] / self.samples),
            **self.percentiles,
        }
        if self.activation is None:
            return found
        known = ~torch.isnan(self.sums["z_square"])
        found |= {
            "h_mean": self.sums["h"] / entries,
            "h_second_moment": self.sums["h_square"] / entries,
            "slope_second_moment": self.sums["slope_square"] / entries,
            "active_share": torch.where(known, self.sums["active"] / entries, torch.nan),
            **{
                name: torch.where(known, count, torch.nan)
                for name, count in self.dead.see(self.sums["steepest"] == 0).items()
            },
            "act_slope": self.activation.learned(mean_vector.device),
        }
        if "saturated" in self.sums:
            assert self.threshold is not None
            meant = known & ~torch.isnan(self.threshold)
            found["saturated_share"] = torch.where(
                meant, self.sums["saturated"] / entries, torch.nan
            )
        return found
