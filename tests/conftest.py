"""Fixtures that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import FAULTY

from analysis import style
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


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave figures out of pages whose words are looked at, which takes half as long."""

    def save(figure: Any, folder: Path, slug: str) -> None:
        (folder / f"{slug}.svg").write_text("<svg/>")
        (folder / f"{slug}.png").write_bytes(b"")
        style.plt.close(figure)

    monkeypatch.setattr(style, "save", save)


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
