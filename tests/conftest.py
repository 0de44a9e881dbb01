"""Fixtures that several tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from study.registry import Registry

Register = Callable[..., None]


@pytest.fixture
def register() -> Iterator[Register]:
    """Return a function that registers another one until the test ends."""
    added: list[tuple[Registry[Any], str]] = []

    def add(registry: Registry[Any], function: Callable[..., Any], extra: Any = None) -> None:
        registry.register(extra)(function)
        added.append((registry, function.__name__))

    yield add
    for registry, name in added:
        del registry._entries[name]
