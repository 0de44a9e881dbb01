"""The claims, a module each: to register another one is to add a file with a ``CLAIM`` in it."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from analysis.ledger.claim import Claim


@functools.cache
def claims() -> dict[str, Claim]:
    """Return all claims by id, in the order of families and numbers."""
    found = [
        importlib.import_module(f"{__name__}.{module.name}").CLAIM
        for module in pkgutil.iter_modules(__path__)
    ]
    ordered = sorted(found, key=lambda one: (FAMILIES.index(one.family), one.number))
    return {one.id: one for one in ordered}


FAMILIES = "GAI"
"""First letters of claims, in the order in which the ledger has them."""

FAMILY_NAMES = {"G": "Gradient flow", "A": "Activations", "I": "Initialization"}
