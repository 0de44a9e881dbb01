"""What is measured once and is no training of a grid: one module a task, each a function that yields rows.

``python -m study measure`` runs them, see `study.measuring`; what they yield becomes the table
``measurements`` of `study.schema`. A task of yours would stand in a module here, be registered with
`TASKS` and be imported below.
"""

from study.tasks import (
    activation_timing,
    backprop_cost,
    backprop_factors,
    linear_product,
    rescaling,
    start_cost,
    start_rules,
    tanh_identity,
)
from study.tasks.row import TASKS, Row, Traits

__all__ = [
    "TASKS",
    "Row",
    "Traits",
    "activation_timing",
    "backprop_cost",
    "backprop_factors",
    "linear_product",
    "rescaling",
    "start_cost",
    "start_rules",
    "tanh_identity",
]
