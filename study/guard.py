"""Keeps Hydra within a study: what it reads and composes runs no code, writes nowhere else, and ends.

A configuration file may hold anything, and Hydra would do what it says: call what a ``_target_`` names,
import a package to look for more files, open a log, make a folder. The command line is checked before Hydra
starts, by `study.cli_errors`; files are checked here, as they are read, and what came of them, as it is
composed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError

from study.errors import SettingError, shortened

FOLDER_REASON = "a study is written to outputs/<name>, so set name instead"

FIXED: Mapping[str, tuple[Any, str]] = {
    "hydra.run.dir": (".", FOLDER_REASON),
    "hydra.sweep.dir": (".", FOLDER_REASON),
    "hydra.sweep.subdir": (".", FOLDER_REASON),
    "hydra.output_subdir": (
        None,
        "the study keeps the settings, and hydra.launcher.job_folders=true adds Hydra's folders",
    ),
    "hydra.job.chdir": (False, FOLDER_REASON),
}
"""Hydra's settings that may not be changed: their value and the reason."""

EMPTY = ("hydra.callbacks", "hydra.job.env_copy", "hydra.job.env_set")
"""Hydra's settings that would run code, or change what it runs in."""

NO_LOG = {"version": 1, "root": None, "disable_existing_loggers": False}
"""Hydra's own choice ``none`` for its logs; another could open any file, and call anything."""

FOR_JOB_FOLDERS = [
    "hydra.output_subdir=.hydra",
    "hydra/job_logging=default",
    "hydra.job_logging.root.handlers=[file]",
]
"""What the packed launcher adds to the settings of a job whose folder it has Hydra write."""

CALLING = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")
"""Keys by which Hydra calls what a setting names."""

LARGEST_FILE = 200_000
"""Bytes of a configuration file."""

MOST_VALUES = 20_000
"""Values that a configuration file may hold once its aliases are written out."""

MOST_RESOLVED = 1_000
"""Interpolations that one value may lead to."""


@contextmanager
def guarded(conf: str) -> Iterator[None]:
    """Have Hydra check what it reads and what it composes.

    Args:
        conf: the folder of our own configuration files.

    What happens meanwhile raises:
        SettingError: a file cannot be read, or would have Hydra do what a study must not.
    """
    own = Path(conf).resolve()
    read, compose = ConfigRepository.load_config, ConfigLoaderImpl.load_configuration
    resolve, save = Container.resolve_parse_tree, OmegaConf.save

    def checked_read(repository: ConfigRepository, config_path: str) -> Any:
        place = _file_of(repository, config_path)
        if place is None or place.is_relative_to(own):
            return read(repository, config_path)
        check_file(place)
        found = read(repository, config_path)
        if found is not None:
            _check_read(place, found.config)
        return found

    def checked_compose(
        loader: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        *rest: Any,
        **more: Any,
    ) -> DictConfig:
        config = compose(loader, config_name, overrides, *rest, **more)
        folders = overrides[-len(FOR_JOB_FOLDERS) :] == FOR_JOB_FOLDERS
        if config_name is not None:  # without one Hydra only explains itself
            check_composed(config, loader if folders else None)
        return config

    depth = count = 0

    def counted_resolve(container: Container, *values: Any, **more: Any) -> Any:
        nonlocal depth, count
        count = count + 1 if depth else 0
        if count > MOST_RESOLVED:
            raise InterpolationResolutionError(
                f"it leads to more than {MOST_RESOLVED:,} interpolations"
            )
        depth += 1
        try:
            return resolve(container, *values, **more)
        finally:
            depth -= 1

    def kept_save(config: Any, f: Any, resolve: bool = False) -> None:
        # Hydra's own sweeper writes it into the working folder, over what may be there; the plan has all
        if Path(str(f)).name != "multirun.yaml":
            save(config, f, resolve)

    ConfigRepository.load_config = checked_read  # type: ignore[method-assign, assignment]
    ConfigLoaderImpl.load_configuration = checked_compose  # type: ignore[method-assign, assignment]
    Container.resolve_parse_tree = counted_resolve  # type: ignore[method-assign, assignment]
    OmegaConf.save = staticmethod(kept_save)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        ConfigRepository.load_config = read  # type: ignore[method-assign]
        ConfigLoaderImpl.load_configuration = compose  # type: ignore[method-assign]
        Container.resolve_parse_tree = resolve  # type: ignore[method-assign]
        OmegaConf.save = staticmethod(save)  # type: ignore[method-assign, assignment]


def _file_of(repository: ConfigRepository, config_path: str) -> Path | None:
    """Return the file that Hydra would read, None if it is none or comes with a package."""
    source = repository._find_object_source(config_path, ObjectType.CONFIG)
    if source is None or source.scheme() != "file":
        return None
    return Path(source.path, source._normalize_file_name(config_path)).resolve()


def check_file(path: Path) -> None:
    """Refuse a configuration file that no study can be made of, before it is read as one.

    Raises:
        SettingError: it is too large, no text, or grows beyond measure.
    """
    refused = f"cannot read the configuration file {path}:"
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise SettingError(f"{refused} it must have at most {LARGEST_FILE:,} bytes.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{refused} {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{refused} it is no text in UTF-8 ({error.reason}).") from error
    if not ("&" in text and "*" in text):
        return
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = _values_in(root, {}) if root else 0
    except yaml.YAMLError:
        return  # Hydra says where
    except RecursionError as error:
        raise SettingError(f"{refused} its values are nested too deep.") from error
    if values > MOST_VALUES:
        raise SettingError(
            f"{refused} with its aliases (*name) written out it has more than {MOST_VALUES:,} values."
        )


def _values_in(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """Return how many values there are in a file's node, infinitely many in one that contains itself."""
    if node not in known:
        known[node] = float("inf")
        inside = []
        if isinstance(node, yaml.MappingNode):
            inside = [one for pair in node.value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        known[node] = 1 + sum(_values_in(one, known) for one in inside)
    return known[node]


def _check_read(path: Path, config: Any) -> None:
    refused = f"cannot read the configuration file {path}:"
    if not isinstance(config, DictConfig):
        raise SettingError(f"{refused} it must hold settings, each written key: value.")
    if OmegaConf.select(config, "hydra.searchpath"):
        raise SettingError(
            f"{refused} hydra.searchpath cannot be set, so name the one folder by --config-dir."
        )


def check_composed(config: DictConfig, folders_of: ConfigLoaderImpl | None = None) -> None:
    """Refuse settings by which Hydra would run code or write files.

    Args:
        config: as composed, Hydra's settings among them.
        folders_of: what composed it, if it is for the folder of a job.

    Raises:
        SettingError: with the setting and its value.
    """
    for key, (expected, reason) in FIXED.items():
        if key == "hydra.output_subdir" and folders_of:
            continue
        value = OmegaConf.select(config, key)
        if value != expected and not (expected is False and value is None):
            raise refused(key, value, reason)
    for key in EMPTY:
        if value := _raw(config, key):
            raise refused(key, value, "it must be empty, since a study runs its own code alone")
    for key in ("hydra.job_logging", "hydra.hydra_logging"):
        allowed = NO_LOG
        if folders_of and key == "hydra.job_logging":
            allowed = _folder_log(folders_of)
        if (value := _raw(config, key)) != allowed:
            raise refused(key, value, "a study has no log of Hydra's")
    name = _raw(config, "hydra.job.name")
    if not re.fullmatch(r"\w{1,50}", str(name), re.ASCII):
        raise refused("hydra.job.name", name, "it names files, so it has letters and digits only")
    _check_verbose(OmegaConf.select(config, "hydra.verbose"))
    for key in ("hydra.launcher", "hydra.sweeper"):
        _check_calls(key, _raw(config, key))
    _check_axes(_raw(config, "hydra.sweeper.params"))


def refused(key: str, value: Any, reason: str) -> SettingError:
    """Return the error for one of Hydra's settings that is not the user's to set."""
    return SettingError(f"cannot set {key}={shortened(str(value))}: {reason}.")


def _raw(config: DictConfig, key: str) -> Any:
    """Return a setting as it was written, in plain dicts and lists."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or node._is_none() or node._is_interpolation():
            return None if node is None or node._is_none() else node._value()
        node = node._get_node(part)
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=False)
    return None if node is None else node._value()


def _folder_log(loader: ConfigLoaderImpl) -> Any:
    """Return the logging of a job's folder: Hydra's default one, to the file alone."""
    found = loader.repository.load_config("hydra/job_logging/default")
    assert found is not None
    expected: Any = OmegaConf.to_container(found.config, resolve=False)
    expected["root"]["handlers"] = ["file"]
    return expected


def _check_verbose(value: Any) -> None:
    several = list(value) if isinstance(value, ListConfig) else [value]
    if isinstance(value, bool) or all(isinstance(one, str) for one in several):
        return
    raise SettingError(
        f"cannot use hydra.verbose={shortened(str(value))}: it must be true, false, or the name of a "
        "logger or a list of such names."
    )


def _check_calls(path: str, value: Any, inside: bool = False) -> None:
    """Refuse a node that Hydra would call, but for the launcher and the sweeper themselves."""
    if isinstance(value, list):
        for one in value:
            _check_calls(path, one, inside=True)
    elif isinstance(value, dict):
        for key, one in value.items():
            plugin = key == "_target_" and not inside and _is_plugin(path, one)
            if key in CALLING and not plugin:
                group = path.replace(".", "/", 1)
                raise refused(f"{path}.{key}", one, f"choose {group}=… by its name instead")
            _check_calls(f"{path}.{key}", one, inside=True)
    elif inside is False and value is not None:
        raise refused(path, value, "it has settings of its own and no value")


def _is_plugin(path: str, target: Any) -> bool:
    """Return whether a class is one of Hydra's launchers, or sweepers, that are installed."""
    from hydra.core.plugins import Plugins
    from hydra.plugins.launcher import Launcher
    from hydra.plugins.sweeper import Sweeper

    found = Plugins.instance().class_name_to_class.get(target) if isinstance(target, str) else None
    return found is not None and issubclass(found, Launcher if "launcher" in path else Sweeper)


def _check_axes(params: Any) -> None:
    if params is not None and not isinstance(params, dict):
        raise refused("hydra.sweeper.params", params, "it has a key for every setting to be swept")
    for key, value in (params or {}).items():
        if str(key).lstrip("+~").startswith("hydra"):
            raise refused(
                f"hydra.sweeper.params.{key}", value, "a sweep is over settings of networks"
            )
