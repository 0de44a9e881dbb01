"""What conditions are called: a name with those parameters that vary under it, in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

SHOWN_DIGITS = 6
"""Digits of a code's digest in a label: enough to tell versions apart, as Git shortens its own."""


def flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def labels(settings: pd.DataFrame, group: str) -> pd.Series:
    """Return the name of a group's choice, with the parameters that vary among those of that name.

    Args:
        settings: a row a network, settings under dotted names.
        group: ``"activation"``, ``"init"``, ``"data"`` or ``"optim"``.
    """
    found = settings[f"{group}.name"].astype(str)
    # the learning rate is an axis of its own
    parameters = [
        key
        for key in settings
        if key.startswith(f"{group}.") and key not in (f"{group}.name", "optim.lr")
    ]
    for name, part in settings.groupby(f"{group}.name"):
        varying = [key for key in parameters if part[key].nunique(dropna=False) > 1]
        if varying:
            found.loc[part.index] = [
                f"{name} ({', '.join(_parameter(k, v) for k, v in row.items())})"
                for row in part[varying].to_dict("records")
            ]
    return found


def _parameter(key: str, value: Any) -> str:
    if key.endswith(".code"):  # of a function of the user's own, edited between two runs
        return "built in" if pd.isna(value) else f"code {value[:SHOWN_DIGITS]}"
    shown = "none" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{key.split('.', 1)[1]} {shown}"


def in_order(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return labels once each, by the place of their first word in ``known``, then by their numbers."""
    place = {name: index for index, name in enumerate(known)}

    def key(label: str) -> tuple[int, list[float], str]:
        numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", label)]
        return place.get(label.split(" ")[0], len(place)), numbers, label

    return sorted(set(names), key=key)
