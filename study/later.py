"""Imports that wait: PyTorch and what is built on it take seconds, which a command that trains nothing
should not."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """A module that is imported when something of it is first used.

    Args:
        name: the module's full name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):  # asked by tools that look at what a module holds
            raise AttributeError(key)
        return getattr(importlib.import_module(self._name), key)
