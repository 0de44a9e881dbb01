"""Fixtures that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from processes import FAULTY

from study import extensions
from study.registry import Registry
from study.settings import GROUPS

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


@pytest.fixture(autouse=True)
def _own_functions_end_with_their_test() -> Iterator[None]:
    """Forget functions of files that a test has loaded: others draw from all that there are."""
    before = list(extensions._loaded)
    yield
    for extension in extensions._loaded[len(before) :]:
        for group, name in extension.functions:
            GROUPS[group].remove(name)
        sys.modules.pop(extension.source.module, None)
    extensions._loaded[:] = before


@pytest.fixture
def faulty() -> None:
    """Have the functions of `faulty` in this process until the test ends."""
    extensions.load_all([FAULTY])
