"""Turns what a user may get wrong on the command line into one sentence, without importing torch.

Two steps: `check_overrides` before Hydra starts (what Hydra would accept and we do not, and what it
says badly), `explain` after Hydra has refused.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from hydra_plugins.packed_sweeper.axes import MOST_JOBS, length
from study.errors import (
    LONGEST_VALUE,
    OURS,
    SettingError,
    StudyError,
    nearest,
    printable,
    shortened,
)
from study.extensions import load_all, loaded, offer_options, split_arguments
from study.guard import FIXED

OPEN_HYDRA = (
    *("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper"),
    *("hydra.mode", "hydra.verbose"),
)
"""Hydra's settings, and groups of them, that may be changed."""

LONGEST_SENTENCE = 3_000
"""Characters that are printed of a user's error."""

MESSAGES = (
    (
        r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'",
        "set '{}' in a single run: add --multirun to sweep over it",
    ),
    (
        r"An item is already at '(.*)'|(\S+) appears more than once",
        "add a second '{0}': it is set already, so write {0}=… without the plus",
    ),
    (r"not support sweep type", "sweep over an interval: name its values, or use range"),
    (r"Error merging override (.*)", "set '{}': {cause}"),
)
"""What Hydra says and what we say, after ``cannot``."""


def tell(error: StudyError) -> int:
    """Print the user's error as one line and return its exit code."""
    print(shortened(printable(str(error)), LONGEST_SENTENCE), file=sys.stderr)
    return 2


def leave(error: StudyError) -> NoReturn:
    """Print the user's error and end the program."""
    raise SystemExit(tell(error)) from None


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Return Hydra's own reading of the command line, with what ``--use`` names as ``use``.

    Raises:
        SettingError: a flag is unknown or out of place.
    """
    parser = get_args_parser()
    uses, argv = split_arguments(argv)

    def refuse(message: str) -> NoReturn:
        flags = ["--use", *(flag for one in parser._actions for flag in one.option_strings)]
        unknown = next((word for word in argv if word.startswith("-") and word not in flags), "")
        raise SettingError(
            f"cannot read the command line: {message}{nearest(unknown, flags) if unknown else ''}; "
            "flags stand before or after all settings, see --help."
        )

    parser.error = refuse  # type: ignore[method-assign]
    arguments = parser.parse_args(argv, argparse.Namespace(use=uses))
    if arguments.experimental_rerun is not None:
        raise SettingError(
            f"cannot use --experimental-rerun {arguments.experimental_rerun}: a pickle could hold any code; "
            "the study's own command continues it."
        )
    if "://" in (arguments.config_path or ""):
        raise SettingError(
            f"cannot use --config-path {arguments.config_path}: it must be a folder, without ://."
        )
    return arguments


def load_extensions(arguments: argparse.Namespace, conf: str) -> None:
    """Load functions of the user's own and make them options of their groups.

    Raises:
        SettingError: one of them cannot be used.
    """
    load_all(arguments.use)
    if loaded():
        offer_options(_loader(arguments, conf).get_group_options)


def check_overrides(arguments: argparse.Namespace, conf: str) -> None:
    """Check the settings on the command line as far as that needs no composition.

    Raises:
        SettingError: unreadable, an unknown choice of a group, or not the user's to set.
    """
    if arguments.shell_completion:
        return
    loader = _loader(arguments, conf)
    for text in arguments.overrides:
        override = _parse(text, loader)
        if override.is_hydra_override() or override.key_or_group == "hydra":
            _check_hydra(override)
        elif override.is_delete():
            raise SettingError(f"cannot remove '{text}': every setting is needed.")
        if options := loader.get_group_options(override.key_or_group):
            _check_choice(override, options)


def _parse(text: str, loader: ConfigLoaderImpl) -> Override:
    if "${" in text:
        raise _interpolation(text)
    shown = shortened(text)
    try:
        [override] = OverridesParser.create(config_loader=loader).parse_overrides([text])
    except RecursionError:
        raise SettingError(f"cannot read '{shown}': its value is nested too deep.") from None
    except ValueError as error:  # an integer of thousands of digits
        raise SettingError(f"cannot read '{shown}': {_first_line(error)}.") from error
    except HydraException as error:
        first, *more = str(error).splitlines()
        detail = f" ({more[0]})" if first.startswith("Error parsing override") and more else ""
        raise SettingError(
            f"cannot read '{shown}': a setting is written key=value, and a value with special "
            f"characters in quotes{detail}."
        ) from error
    if not 0 < len(override.key_or_group) <= LONGEST_VALUE:
        raise SettingError(f"cannot read '{shown}': a setting is written key=value.")
    if length(override) > MOST_JOBS:
        raise SettingError(
            f"cannot sweep over '{shown}': it has more than {MOST_JOBS:,} values, the most of a sweep."
        )
    # an escape hides it from the text: $\\{…\\}
    if any("${" in one for one in _texts(override.value())):
        raise _interpolation(text)
    if override.value() == "???":
        raise SettingError(f"cannot use '{shown}': ??? stands for a value that is missing.")
    return override


def _interpolation(text: str) -> SettingError:
    return SettingError(
        f"cannot use '{shortened(text)}': interpolations (${{…}}) are for configuration files, "
        "so write the value itself."
    )


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in an override's value: keys, values, and the choices of a sweep."""
    if isinstance(value, ChoiceSweep):
        value = value.list
    if isinstance(value, Glob):
        value = [*value.include, *value.exclude]
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, QuotedString):
        yield value.text
    elif isinstance(value, str):
        yield value


def _check_hydra(override: Override) -> None:
    key = override.key_or_group
    if key in FIXED:
        expected, reason = FIXED[key]
        if override.value() != expected:
            raise SettingError(f"cannot set {override.input_line}: {reason}.")
    elif not _is_open(key):
        raise SettingError(
            f"cannot set {override.input_line}: of Hydra's own settings only "
            f"{', '.join(OPEN_HYDRA)} may be changed."
        )


def _is_open(key: str) -> bool:
    return any(key == known or key.startswith(f"{known}.") for known in OPEN_HYDRA)


def _check_choice(override: Override, options: list[str]) -> None:
    """Refuse an option that a group does not have, and an experiment used like another group."""
    group, text = override.key_or_group, override.input_line
    if group == "experiment" and override.is_sweep_override():
        raise SettingError(
            f"cannot sweep over '{text}': an experiment is a sweep itself, so run them in turn."
        )
    if isinstance(override.value(), dict):
        return  # values for the group's settings, not a choice
    for value in list(_values(override)) or [str(text).partition("=")[2]]:
        # options in a subfolder of the group are left to Hydra
        if value not in options and "/" not in str(value):
            shown = value if override.is_sweep_override() else str(text).partition("=")[2]
            raise SettingError(
                f"cannot use {group}={shown}: allowed are {', '.join(options)}"
                f"{nearest(str(shown), options)}."
            )
    if group == "experiment" and not override.is_add():
        raise SettingError(f"cannot use '{text}': an experiment is added, so write +{text}.")


def _values(override: Override) -> Iterator[Any]:
    """Yield the values that an override stands for: one, or those of its sweep."""
    if not override.is_sweep_override():
        yield override.value()
    elif override.is_discrete_sweep():
        for value in override.sweep_iterator():
            yield value.text if isinstance(value, QuotedString) else value


def explain(error: Exception, arguments: argparse.Namespace, conf: str) -> SettingError | None:
    """Return the user's error behind an exception, or None if there is none: it is a bug."""
    if not _raised_by_hydra(error):
        return None
    try:
        if unknown := _unknown_setting(arguments.overrides, arguments, _loader(arguments, conf)):
            return unknown
    except Exception:
        pass  # nothing can be composed: what Hydra said first is all there is to tell
    if isinstance(error, OmegaConfBaseException):
        return explain_value_error(error)
    if isinstance(error, RecursionError):
        return SettingError("cannot compose the settings: a value is nested too deep.")
    if isinstance(error, YAMLError):
        return SettingError(f"cannot read a configuration file: {error}.")
    for pattern, sentence in MESSAGES:
        if match := re.search(pattern, str(error)):
            cause = _first_line(error.__cause__ or error)
            return SettingError(
                f"cannot {sentence.format(*filter(None, match.groups()), cause=cause)}."
            )
    return SettingError(f"cannot compose the settings: {_first_line(error)}.")


def explain_value_error(error: OmegaConfBaseException) -> SettingError:
    """Return the sentence for a value that is missing or cannot be resolved."""
    if isinstance(error, MissingMandatoryValue):
        return SettingError(f"cannot run without a value for '{error.full_key}': it is ???.")
    return SettingError(f"cannot use the value of '{error.full_key}': {_first_line(error)}.")


def _raised_by_hydra(error: Exception) -> bool:
    """Return whether Hydra or OmegaConf refused something, or stumbled over it.

    Some of it they refuse by a bare ValueError or AssertionError, and over some they stumble: what counts is
    whose code was at work.
    """
    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return True
    if isinstance(error, ModuleNotFoundError):
        return False
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in (*OURS, "hydra", "omegaconf"):
            return package not in OURS
    return False


def _first_line(error: BaseException) -> str:
    """Return what an exception says first, which of a bare one is its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not isinstance(error, HydraException | OmegaConfBaseException | ValueError):
        lines = [f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__]
    if not lines:
        return type(error).__name__
    if lines[0].endswith(":"):  # what it introduces
        lines = [" ".join(lines[:2])]
    return lines[0].rstrip(".:")


def _unknown_setting(
    texts: list[str], arguments: argparse.Namespace, loader: ConfigLoaderImpl
) -> SettingError | None:
    """Return the sentence for the first setting that does not exist, given the groups chosen."""
    overrides = [_parse(text, loader) for text in texts]
    groups = [item for item in overrides if loader.get_group_options(item.key_or_group)]
    chosen = [str(item.input_line) for item in groups if not item.is_sweep_override()]
    name = arguments.config_name or "config"

    def compose(*more: str) -> DictConfig:
        return loader.load_configuration(name, [*chosen, *more], RunMode.MULTIRUN)

    composed = compose()
    params = composed.hydra.sweeper.get("params") or {}
    axes = [_parse(f"{key}={value}", loader) for key, value in params.items()]
    by_key = {item.key_or_group: item for item in [*axes, *overrides]}
    for item in overrides:
        if item in groups or item.is_add() or item.is_force_add():
            continue
        group = item.key_or_group.partition(".")[0]
        configs = [composed]
        choice = by_key.get(group) if loader.get_group_options(group) else None
        if choice is not None and choice.is_sweep_override():
            configs = [compose(f"{group}={value}") for value in _values(choice)]
        for config in configs:
            if item.key_or_group not in (known := dict(_dotted(config))):
                return _no_such_setting(item, group, known, loader)
    return None


def _no_such_setting(
    item: Override, group: str, known: Mapping[str, Any], loader: ConfigLoaderImpl
) -> SettingError:
    key = item.key_or_group
    owners = [
        option
        for option in loader.get_group_options(group)
        if (found := loader.repository.load_config(f"{group}/{option}"))
        and key in dict(_dotted(found.config, f"{group}."))
    ]
    if owners:
        found_in = ", ".join(f"{group}={option}" for option in owners)
        remedy = f" with {group}={known.get(f'{group}.name')}, only with {found_in}"
    else:
        inner = [path for path in known if path.endswith(f".{key}")]  # lr: optim.lr
        remedy = f" (did you mean '{inner[0]}'?)" if inner else nearest(key, known)
    return SettingError(f"cannot set '{item.input_line}': there is no setting '{key}'{remedy}.")


def _dotted(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key and its value, branches too; of Hydra's own those that are open."""
    items: Iterable[tuple[Any, Any]] = config.items_ex(resolve=False)
    for key, value in items:
        path = f"{prefix}{key}"
        if path.startswith("hydra.") and not _is_open(path):
            continue
        yield path, value
        if isinstance(value, DictConfig) and not value._is_none():
            yield from _dotted(value, f"{path}.")


def _loader(arguments: argparse.Namespace, conf: str) -> ConfigLoaderImpl:
    """Return a loader that sees the same folders as Hydra will."""
    path = create_config_search_path(str(Path(arguments.config_path or conf).absolute()))
    if arguments.config_dir and os.path.isdir(
        arguments.config_dir
    ):  # False for what is no path, too
        folder = Path(arguments.config_dir).absolute()
        path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    return ConfigLoaderImpl(path)
