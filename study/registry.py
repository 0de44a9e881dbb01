"""Named functions with parameters: how activations, initializers, data sets and optimizers are found.

A registered function's keyword-only arguments are its settings; their defaults give type and value.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from study.errors import SettingError, nearest

Extra = TypeVar("Extra")


@dataclass(frozen=True)
class Entry(Generic[Extra]):
    """One registered function.

    Attributes:
        name: what the settings call it.
        function: the function itself.
        parameters: keyword-only arguments and their defaults.
        extra: what the registry's kind needs to know besides.
    """

    name: str
    function: Callable[..., Any]
    parameters: dict[str, Any] = field(hash=False)
    extra: Extra


class Registry(Generic[Extra]):
    """Functions of one kind by name."""

    def __init__(self, kind: str, default_extra: Extra) -> None:
        self.kind = kind
        self._default_extra = default_extra
        self._entries: dict[str, Entry[Extra]] = {}

    def register(self, extra: Extra | None = None) -> Callable[[Callable], Callable]:
        """Return a decorator that registers a function under its own name.

        The decorator raises:
            SettingError: the name is taken.
        """

        def add(function: Callable) -> Callable:
            name = function.__name__.rstrip("_")
            if name in self._entries:
                raise SettingError(
                    f"cannot register {self.kind} '{name}' a second time, as {function.__module__} "
                    "does: give one of the two functions another name, or remove it."
                )
            keywords = {
                parameter.name: parameter.default
                for parameter in inspect.signature(function).parameters.values()
                if parameter.kind is inspect.Parameter.KEYWORD_ONLY
            }
            chosen = self._default_extra if extra is None else extra
            self._entries[name] = Entry(name, function, keywords, chosen)
            return function

        return add

    def __getitem__(self, name: str) -> Entry[Extra]:
        """Return the entry called ``name``.

        Raises:
            SettingError: no such entry; the sentence lists what there is.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise SettingError(
                f"cannot use {self.kind}={name}: allowed are {', '.join(self._entries)}"
                f"{nearest(str(name), self._entries)}."
            )
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)
