"""Invented records in which the claims of this family are true, false and undecidable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CASES: dict[str, Callable[[str], Any]] = {}
"""By claim, a function of the verdict that is to come out."""
