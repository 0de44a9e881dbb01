"""Numbers and lists of conditions as words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import style
from analysis.labels import in_order


def several(count: int, noun: str) -> str:
    """Return ``"1 network"`` or ``"1,200 networks"``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def share(count: int, total: int, noun: str) -> str:
    """Return ``"3 of 9 conditions"``, ``"all 9 conditions"`` or ``"the one condition"``."""
    if count == total:
        return f"the one {noun}" if total == 1 else f"all {several(total, noun)}"
    return f"{count:,} of {several(total, noun)}"


def verb(count: int, singular: str, plural: str) -> str:
    """Return the form of a verb that agrees with a count."""
    return singular if count == 1 else plural


def power(decades: float) -> str:
    """Return ``"10^−18.9"``, or that there is no such number."""
    if not np.isfinite(decades):
        return "nothing that is a number"
    return f"10^{signed(decades)}"


def signed(decades: float, plus: str = "", digits: int = 1) -> str:
    """Return a number of decimals, by default one, with a true minus sign and no negative zero."""
    rounded = round(decades, digits) + 0.0
    return f"{rounded:{plus if rounded else ''}.{digits}f}".replace("-", "−")


def listed(conditions: pd.DataFrame) -> str:
    """Return conditions as text, activations that share their initializers together."""
    inits_of: dict[str, tuple[str, ...]] = {}
    for activation in in_order(conditions["activation"], style.ACTIVATIONS):
        inits = conditions.loc[conditions["activation"] == activation, "init"]
        inits_of[activation] = tuple(in_order(inits, style.INITIALIZERS))
    groups: dict[tuple[str, ...], list[str]] = {}
    for activation, inits in inits_of.items():
        groups.setdefault(inits, []).append(activation)
    return "; ".join(
        f"{joined(activations)} with {joined(list(inits))}" for inits, activations in groups.items()
    )


def points(share: float) -> str:
    """Return a difference of shares in points, ``"+2.1"``."""
    return signed(100 * share, "+")


def joined(words: list[str]) -> str:
    """Return ``"a, b and c"``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
