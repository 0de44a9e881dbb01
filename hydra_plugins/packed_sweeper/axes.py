"""How many jobs a sweep has, without listing them."""

import math
from collections.abc import Sequence

from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException

MOST_JOBS = 1_000_000
"""Jobs of one sweep; their settings take a gigabyte or more."""


def check_count(axes: Sequence[Override]) -> None:
    """Refuse a sweep that would never end.

    Raises:
        HydraException: it has too many jobs.
    """
    if math.prod(length(axis) for axis in axes) > MOST_JOBS:
        raise HydraException(f"a sweep has at most {MOST_JOBS:,} conditions, and this one has more")


def length(axis: Override) -> float:
    """Return how many values an override stands for; of a glob, whose number is small, 1."""
    value = axis.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if not isinstance(value, RangeSweep) or not value.step:
        return 1
    assert value.start is not None
    assert value.stop is not None
    try:
        values = (value.stop - value.start) / value.step
    except OverflowError:
        return math.inf
    return max(0.0, values)
