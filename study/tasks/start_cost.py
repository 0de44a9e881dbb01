"""How long a start takes: drawn weights against weights that follow the data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from study.cell import cells_of
from study.later import Later
from study.settings import canonical_condition
from study.tasks.row import TASKS, Row
from study.tasks.timing import seconds

if TYPE_CHECKING:
    from study import network, training
else:
    network, training = Later("study.network"), Later("study.training")

STARTS = ("xavier_normal", "he_normal", "lsuv", "rbm")

DEPTHS = (4, 8, 16)


@TASKS.register()
def start_cost(
    device: str, *, repeats: int = 5, width: int = 64, epochs: int = 10
) -> Iterator[Row]:
    """Seconds that the start of a deep sigmoid network takes: Xavier, He, LSUV and pre-training by RBMs.

    On mnist1d with all its training samples, one thread; what is only done once, such as making the data
    set and importing scikit-learn, is not counted.

    Args:
        device: not used: starts are made on the CPU.
        repeats: rounds; within each, starts and depths take turns.
        width: units of a hidden layer.
        epochs: of pre-training.
    """
    del device
    calls = {}
    for depth in DEPTHS:
        for init in STARTS:
            chosen = {"name": init} | ({"epochs": epochs} if init == "rbm" else {})
            condition = {
                "depth": depth,
                "width": width,
                "seeds": 1,
                "activation": {"name": "sigmoid"},
                "init": chosen,
                "data": {"name": "mnist1d"},
                "optim": {"name": "sgd"},
            }
            [cell] = cells_of([canonical_condition(condition)])
            shape = training.shape_of(cell.settings)
            calls[init, depth] = partial(network.start, cell.settings, shape)
    for (init, depth), repeat, value in seconds(calls, repeats):
        subject = {"init": init, "depth": depth, "width": width}
        if init == "rbm":
            subject["epochs"] = epochs
        yield Row(subject, "time", value, "s", repeat)
