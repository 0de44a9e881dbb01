"""Named functions with parameters: how activations, initializers, data sets and optimizers are found.

A registered function's keyword-only arguments are its settings; their defaults give type and value.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from study.errors import SettingError, nearest

Extra = TypeVar("Extra")

NAME = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z]\w*", re.ASCII | re.IGNORECASE)
"""Names that the command line reads as a name."""

RESERVED = ("name", "code")
"""Keys of a group's settings that are no parameters."""


@dataclass(frozen=True)
class Entry(Generic[Extra]):
    """One registered function.

    Attributes:
        name: what the settings call it.
        function: the function itself.
        parameters: keyword-only arguments and their defaults.
        extra: what the registry's kind needs to know besides.
        code: identifies the code of a function of the user's own, see `study.extensions`; None for those
            that come with this program.
    """

    name: str
    function: Callable[..., Any]
    parameters: dict[str, Any] = field(hash=False)
    extra: Extra
    code: str | None = None

    @property
    def place(self) -> str:
        """Where the function stands, as a sentence would say it."""
        if self.function.__module__.startswith("study."):
            return self.function.__module__
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        if code is None:
            return self.function.__module__
        return f"{Path(code.co_filename).name} (line {code.co_firstlineno})"


def parameters(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters among a group's canonical settings."""
    return {key: value for key, value in chosen.items() if key not in RESERVED}


class Registry(Generic[Extra]):
    """Functions of one kind by name.

    Args:
        kind: what the settings call the kind.
        default_extra: of a function that is registered without any.
        keywords_of: the keyword arguments that an extra speaks of.
    """

    def __init__(
        self,
        kind: str,
        default_extra: Extra,
        keywords_of: Callable[[Extra], Sequence[str]] = lambda _extra: (),
    ) -> None:
        self.kind = kind
        self._default_extra = default_extra
        self._keywords_of = keywords_of
        self._entries: dict[str, Entry[Extra]] = {}

    def register(self, extra: Extra | None = None) -> Callable[[Callable], Callable]:
        """Return a decorator that registers a function under its own name.

        Raises:
            SettingError: the decorator stands without brackets.

        The decorator raises:
            SettingError: the name is taken or cannot be one, or a keyword argument cannot be a setting.
        """
        if inspect.isroutine(extra) or inspect.isclass(extra):
            raise SettingError(
                f"cannot register {self.kind} '{extra.__name__}': the decorator needs its brackets, "
                "@….register()."
            )

        def add(function: Callable) -> Callable:
            entry = self._entry(function, self._default_extra if extra is None else extra)
            if taken := self._entries.get(entry.name):
                raise SettingError(
                    f"cannot register {self.kind} '{entry.name}' a second time, as {entry.place} "
                    f"does: {taken.place} has one of that name, so give one of the two functions "
                    "another name, or remove it."
                )
            self._entries[entry.name] = entry
            return function

        return add

    def _entry(self, function: Callable, extra: Extra) -> Entry[Extra]:
        """Return a function as an entry.

        Raises:
            SettingError: it cannot be one.
        """
        name = getattr(function, "__name__", type(function).__name__).rstrip("_")
        refused = f"cannot register {self.kind} '{name}': "
        if not NAME.fullmatch(name):
            raise SettingError(
                f"{refused}a name has letters from a to z, digits and '_', begins with a letter and is "
                "no word for a value, such as null; define the function with def under such a name."
            )
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            raise SettingError(
                f"{refused}Python does not know its arguments; call it in a function of your own."
            ) from None
        keywords = {
            parameter.name: parameter.default
            for parameter in signature.parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        for key, default in keywords.items():
            if key in RESERVED:
                raise SettingError(f"{refused}call its keyword argument '{key}' something else.")
            if not isinstance(default, int | float) or not math.isfinite(default):
                shown = "has none" if default is inspect.Parameter.empty else f"has {default!r}"
                raise SettingError(
                    f"{refused}its keyword argument '{key}' is a setting and needs a default that is a "
                    f"finite number, True or False, and {shown}."
                )
        for key in self._keywords_of(extra):
            if key not in keywords:
                raise SettingError(
                    f"{refused}it has no keyword argument '{key}' that could be learned; those behind "
                    f"the * are {', '.join(keywords) or 'none'}."
                )
        return Entry(name, function, keywords, extra)

    def mark(self, name: str, code: str) -> None:
        """Note the code of a function of the user's own."""
        self._entries[name] = replace(self._entries[name], code=code)

    def remove(self, name: str) -> None:
        """Forget a function."""
        del self._entries[name]

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
