"""Composes the jobs of a sweep: once per option of a group, then plain values into plain dicts.

Hydra takes 50 to 100 ms to compose a job. Jobs that differ in plain values only (``depth=8``) share one
composition, and each gets its values in a copy. Jobs that differ in several groups (``activation=tanh
init=he``) are put together: an option that has no say outside its own group's settings is composed once,
beside the first job's options of the other groups. Where either could differ from Hydra's own result (an
interpolation, a typed or read-only node, an unknown key, an option with defaults or a package of its own,
``+``, ``~``) Hydra composes the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.errors import HydraException
from hydra.types import RunMode
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

    def with_part(self, group: str, other: Base) -> Base:
        """Return this composition with the settings of one group from another one."""

        def of_group(key: str) -> bool:
            return key == group or key.startswith(f"{group}.")

        kept = {key for key in self.settable if not of_group(key)}
        taken = {key for key in other.settable if of_group(key)}
        return Base(
            {**self.config, group: other.config[group]},
            frozenset(kept | taken),
        )


Texts = tuple[str, ...]
"""Overrides as they were written."""


@dataclass
class Family:
    """Jobs whose overrides differ in plain values and in the options of the same groups.

    Attributes:
        first: the overrides that choose an option, by group, of the first job.
        base: the first job's composition; None if it cannot be shared.
        separate: whether no group has a say in what another one gives.
        parts: what each option gives, by its override; None for one that has to be composed with all
            others.
    """

    first: dict[str, str]
    base: Base | None
    separate: bool
    parts: dict[str, Base | None]


class Composer:
    """Composes the jobs of one sweep and remembers what they have in common."""

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, Override] = {}
        self._groups: dict[str, bool] = {}
        self._bases: dict[Texts, Base | None] = {}
        self._families: dict[Texts, Family] = {}

    def compose(self, overrides: Sequence[str], number: int) -> Config:
        """Return a job's settings as a plain resolved dict, without the ``hydra`` node.

        Raises:
            HydraException, OmegaConfBaseException: as Hydra does for these overrides.
        """
        parsed = [self._parse(text) for text in overrides]
        plain = [override for override in parsed if self._is_plain(override)]
        rest = [override for override in parsed if not self._is_plain(override)]
        if not self._interfere(plain, rest):
            base = self._base(rest, number)
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

    def _base(self, overrides: Sequence[Override], number: int) -> Base | None:
        """Return the composition that jobs of these overrides share, or None if there can be none."""
        texts = texts_of(overrides)
        if texts not in self._bases:
            base = self._put_together(overrides, number)
            self._bases[texts] = self._composed(texts, number) if base is None else base
        return self._bases[texts]

    def _composed(self, texts: Texts, number: int) -> Base | None:
        """Return Hydra's composition, or None if it cannot be shared."""
        try:
            composed = self._compose_all(texts, number)
        except (HydraException, OmegaConfBaseException):
            # the job's whole list of overrides decides what its error is, or that it has none
            return None
        return self._shareable(composed)

    def _put_together(self, overrides: Sequence[Override], number: int) -> Base | None:
        """Return the composition made of what each option gives, or None where Hydra has to make it."""
        chosen = {o.key_or_group: o for o in overrides if self._chooses_alone(o)}
        rest = [override for override in overrides if not self._chooses_alone(override)]
        keys = [override.key_or_group for override in overrides]
        if len(chosen) < 2 or any(keys.count(group) > 1 for group in chosen):
            return None
        family = self._family(texts_of(rest), chosen, number)
        if family.base is None or not family.separate:
            return None
        base = family.base
        for group, override in chosen.items():
            text = str(override.input_line)
            if text == family.first[group]:
                continue
            if text not in family.parts:
                others = [one for key, one in family.first.items() if key != group]
                part = None
                if self._is_self_contained(f"{group}/{override.value()}"):
                    part = self._composed((*texts_of(rest), *others, text), number)
                family.parts[text] = part
            part = family.parts[text]
            if part is None or group not in part.config or group not in base.config:
                return None
            base = base.with_part(group, part)
        return base

    def _family(self, rest: Texts, chosen: Mapping[str, Override], number: int) -> Family:
        """Return the family of a job, which it founds if it is the first."""
        key = (*rest, *sorted(chosen))
        if key not in self._families:
            first = {group: str(override.input_line) for group, override in chosen.items()}
            texts = (*rest, *first.values())
            base = self._composed(texts, number)
            separate = base is not None and self._is_separate(texts, chosen)
            self._families[key] = Family(first, base, separate, {})
        return self._families[key]

    def _chooses_alone(self, override: Override) -> bool:
        """Return whether the override chooses one option of a group on the first level."""
        return (
            override.type is OverrideType.CHANGE
            and override.package is None
            and override.value_type is ValueType.ELEMENT
            and isinstance(override.value(), str)
            and is_finished(override.value())
            and "/" not in override.key_or_group
            and self._is_group(override.key_or_group)
        )

    def _is_separate(self, texts: Texts, chosen: Mapping[str, Override]) -> bool:
        """Return whether each group's option decides about its own settings only.

        So it is if the option stands by itself, and if no defaults list makes one choice depend on
        another.
        """
        hydra = self._master.hydra
        if hydra.searchpath:
            return False  # there may be options that the loader itself does not see
        defaults = self._loader.compute_defaults_list(
            hydra.job.config_name, [*hydra.overrides.hydra, *texts], RunMode.RUN
        )
        for path in {str(default.config_path) for default in defaults.defaults}:
            loaded = self._loader.repository.load_config(path)
            if loaded is None or any("${" in repr(one) for one in loaded.defaults_list or []):
                return False
        return all(
            self._is_self_contained(f"{group}/{override.value()}")
            for group, override in chosen.items()
        )

    def _is_self_contained(self, path: str) -> bool:
        """Return whether an option has neither defaults nor another package than its group's name."""
        loaded = self._loader.repository.load_config(path)
        return (
            loaded is not None
            and not loaded.defaults_list
            and loaded.header["package"] in (None, "_group_")
        )

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


def texts_of(overrides: Sequence[Override]) -> Texts:
    """Return overrides as they were written."""
    return tuple(str(override.input_line) for override in overrides)


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
