"""Composes the jobs of a sweep: once per choice of groups, then plain values into plain dicts.

Hydra takes some 50 ms to compose a job. Jobs that differ in plain values only (``depth=8``) share
one composition, and each gets its values in a copy. Where that could differ from Hydra's own result
(an interpolation, a typed or read-only node, an unknown key, ``+``, ``~``) Hydra composes the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.errors import HydraException
from omegaconf import AnyNode, DictConfig, ListConfig, Node, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

Config = dict[str, Any]

SCALARS = (bool, int, float, str, type(None))


@contextmanager
def hydra_config(config: DictConfig) -> Iterator[None]:
    """Let ``HydraConfig.get()`` and the ``hydra:`` resolver see ``config`` for a while."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(config)
    try:
        yield
    finally:
        instance.cfg = before


@dataclass(frozen=True)
class Base:
    """A composition that several jobs share.

    Attributes:
        config: the plain dict, to be copied.
        settable: dotted keys of the leaves into which a plain value may be put.
    """

    config: Config
    settable: frozenset[str]


class Composer:
    """Composes the jobs of one sweep and remembers what they have in common."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}
        self._bases: dict[tuple[str, ...], Base | None] = {}

    def compose(self, overrides: Sequence[str], number: int) -> Config:
        """Return a job's settings as a plain resolved dict, without the ``hydra`` node.

        Raises:
            HydraException, OmegaConfBaseException: as Hydra does for these overrides.
        """
        parsed = [self._parse(text) for text in overrides]
        plain = [override for override in parsed if self._is_plain(override)]
        rest = [override for override in parsed if not self._is_plain(override)]
        if plain and not self._interfere(plain, rest):
            base = self._base(tuple(str(override.input_line) for override in rest), number)
            if base and all(override.key_or_group in base.settable for override in plain):
                config = copy_plain(base.config)
                for override in plain:
                    put(config, override.key_or_group, override.value())
                return config
        return self._without_hydra(self._compose_all(overrides, number))

    def _parse(self, text: str) -> Override:
        if text not in self._parsed:
            [self._parsed[text]] = self._parser.parse_overrides([text])
        return self._parsed[text]

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            options = self._loader.get_group_options(
                key,
                results_filter=None,
                config_name=self._master.hydra.job.config_name,
                overrides=list(self._master.hydra.overrides.hydra),
            )
            self._groups[key] = bool(options)
        return self._groups[key]

    def _is_plain(self, override: Override) -> bool:
        """Return whether the override puts a finished scalar into an existing setting."""
        value = override.value()
        return (
            override.type is OverrideType.CHANGE
            and override.package is None
            and override.value_type is ValueType.ELEMENT
            and isinstance(value, SCALARS)
            and is_finished(value)
            and not override.key_or_group.startswith("hydra")
            and not self._is_group(override.key_or_group)
        )

    def _interfere(self, plain: Sequence[Override], rest: Sequence[Override]) -> bool:
        """Return whether the order of the two kinds matters: one touches what the other sets."""
        others = [override.key_or_group for override in rest if not self._chooses_group(override)]
        return any(
            f"{one.key_or_group}.".startswith(f"{other}.")
            or f"{other}.".startswith(f"{one.key_or_group}.")
            for one in plain
            for other in others
        )

    def _chooses_group(self, override: Override) -> bool:
        # Hydra chooses all groups before it sets any value; a dict given to a group is a value
        return self._is_group(override.key_or_group) and not isinstance(override.value(), dict)

    def _base(self, overrides: tuple[str, ...], number: int) -> Base | None:
        """Return the shared composition, or None if there can be none."""
        if overrides not in self._bases:
            try:
                composed = self._compose_all(overrides, number)
            except (HydraException, OmegaConfBaseException):
                # the job's whole list of overrides decides what its error is, or that it has none
                self._bases[overrides] = None
            else:
                self._bases[overrides] = self._shareable(composed)
        return self._bases[overrides]

    def _shareable(self, composed: DictConfig) -> Base | None:
        keys = [str(key) for key in composed if key != "hydra"]
        if not all(unresolved_free(composed._get_node(key)) for key in keys):
            return None
        return Base(self._without_hydra(composed), frozenset(settable_keys(composed)))

    def _compose_all(self, overrides: Sequence[str], number: int) -> DictConfig:
        composed = self._loader.load_sweep_config(self._master, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = number
            composed.hydra.job.num = number
        return composed

    @staticmethod
    def _without_hydra(composed: DictConfig) -> Config:
        task = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        with hydra_config(composed):
            plain = OmegaConf.to_container(task, resolve=True, throw_on_missing=True)
        assert isinstance(plain, dict)
        return {str(key): value for key, value in plain.items()}


def is_finished(value: Any) -> bool:
    """Return whether a value means itself: no interpolation, nothing missing."""
    return not (isinstance(value, str) and ("${" in value or value == "???"))


def unresolved_free(node: Any) -> bool:
    """Return whether no value at or below a node waits for another one."""
    if isinstance(node, DictConfig | ListConfig):
        if node._is_none():
            return True
        if not isinstance(node._value(), dict | list):
            return False
        keys = list(node._value()) if isinstance(node, DictConfig) else range(len(node))
        return all(unresolved_free(node._get_node(key)) for key in keys)
    return isinstance(node, Node) and is_finished(node._value())


def is_settable(node: Any) -> bool:
    """Return whether a node is an untyped, writable scalar: one that takes any scalar as it is."""
    return (
        type(node) is AnyNode
        and isinstance(node._value(), SCALARS)
        and not node._get_flag("readonly")
    )


def settable_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of the leaves into which a plain value may be put."""
    for key in node:
        child = node._get_node(key)
        if not isinstance(key, str) or "." in key or "[" in key or f"{prefix}{key}" == "hydra":
            continue
        if isinstance(child, DictConfig):
            if not child._is_none():
                yield from settable_keys(child, f"{prefix}{key}.")
        elif is_settable(child):
            yield f"{prefix}{key}"


def copy_plain(value: Any) -> Any:
    """Return a deep copy of plain dicts and lists; the generic one is ten times slower."""
    if isinstance(value, dict):
        return {key: copy_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_plain(item) for item in value]
    return value


def put(config: Config, key: str, value: Any) -> None:
    """Set the value at an existing dotted key."""
    *parents, last = key.split(".")
    for parent in parents:
        config = config[parent]
    config[last] = value
