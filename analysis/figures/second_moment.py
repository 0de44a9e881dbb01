"""Second moment: how the size of the pre-activations changes from layer to layer."""

from __future__ import annotations

from analysis.figures import by_layer
from analysis.figures.base import Drawing, FigureFunction
from analysis.frames import Study, Variant


@FigureFunction
def second_moment(study: Study, variant: Variant | None = None) -> Drawing:
    """Draw the mean square of z against the layer, small multiples activation × initializer.

    Args:
        study: an opened study.
        variant: one of ``study.starts``; default the first.

    Raises:
        NotApplicable: no network has hidden layers.
    """
    return by_layer.draw(
        study,
        variant,
        "z_second_moment",
        "How large does the signal become?",
        "A level line is a signal that keeps its size. Where it grows a sigmoid or tanh saturates and a "
        "ReLU network explodes; where it shrinks every activation comes down to its slope at 0. A layer "
        "does not know how many follow it, so the lines of all depths coincide as far as they go.",
    )
