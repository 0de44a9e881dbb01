"""Functions of the user's own: registered in the user's file or package, used like ours.

A file or module comes in by ``--use``; an installed package by an entry point of the group
``gradient_pathologies`` that names the module to import. Importing it registers the functions; each then
is an option of its group for Hydra, and carries the digest of its code into the settings of its networks.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from study.errors import SettingError, nearest, shortened
from study.source_code import INSTALLED, find_module, source_code

ENTRY_POINTS = "gradient_pathologies"
"""The group of entry points by which an installed package is found."""

EXAMPLE = "--use my_units.py"


@dataclass(frozen=True)
class Source:
    """Where functions come from.

    Attributes:
        asked: what a sentence calls it, behind ``cannot use``.
        module: the module to import; of a file the name that it gets.
        file: the file itself, resolved; None for a module.
        package: name and version of the package that an entry point belongs to.
    """

    asked: str
    module: str
    file: str | None = None
    package: str = ""


@dataclass(frozen=True)
class Extension:
    """Functions that were registered from one source.

    Attributes:
        source: where they come from.
        path: its file, resolved.
        code: the digest of their code.
        functions: group and name of each.
        files: what the digest was taken of.
    """

    source: Source
    path: Path
    code: str
    functions: tuple[tuple[str, str], ...]
    files: frozenset[Path]

    @property
    def record(self) -> dict[str, str]:
        """What a plan keeps: no folder, since that is nobody's business but the user's."""
        package = {"package": self.source.package} if self.source.package else {}
        name = {"file": Path(self.source.file).name} if self.source.file else {}
        return {**package, **(name or {"module": self.source.module}), "code": self.code}


_loaded: list[Extension] = []
"""Those of this process, in the order in which they came."""


def loaded() -> tuple[Extension, ...]:
    """Return the extensions of this process."""
    return tuple(_loaded)


def split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what ``--use`` names on a command line, and the line without it, for Hydra.

    Raises:
        SettingError: ``--use`` without a value.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--use", action="append", default=[])

    def refuse(message: str) -> NoReturn:
        del message  # argparse's own says less
        raise SettingError(
            "cannot read the command line: --use needs a Python file or an importable module, "
            f"such as {EXAMPLE}."
        )

    parser.error = refuse  # type: ignore[method-assign]
    known, rest = parser.parse_known_args(list(argv))
    if not all(known.use):
        refuse("")
    return known.use, rest


def load_all(uses: Sequence[str]) -> None:
    """Load every installed package that declares itself and what ``--use`` names.

    Raises:
        SettingError: one of them is not there, cannot be imported, or registers nothing that is new.
    """
    for source in (*_installed(), *(_named(text) for text in uses)):
        load(source)


def load_again(extensions: Sequence[Extension]) -> None:
    """Load in a worker process what its parent has loaded.

    Raises:
        SettingError: it is not what it was any more.
    """
    for extension in extensions:
        if load(extension.source).code != extension.code:
            raise SettingError(
                f"cannot go on with {extension.source.asked}: it was changed while networks were being "
                "trained; the same command goes on with it as it is now."
            )


def load(source: Source) -> Extension:
    """Import a source, once a process, and return what it registered.

    Raises:
        SettingError: see `load_all`.
    """
    if (known := _file_of(source)) is not None:
        for extension in _loaded:
            if known == extension.path or (known in extension.files and _is_imported(known)):
                return extension
    with _registering(source) as new:
        content = _run_file(source) if source.file else None
        if content is None:
            importlib.import_module(source.module)
        path = _file_of(source)
    if path is None or not new:
        raise SettingError(
            f"cannot use {source.asked}: it registers nothing; what is to be used stands below "
            "@ACTIVATIONS.register() or @INITIALIZERS.register(), see README.md."
        )
    groups = _groups()
    defined_in = {groups[group][name].function.__module__ for group, name in new}
    made_of = source_code(
        source.module, path, path.read_bytes() if content is None else content, defined_in
    )
    extension = Extension(source, path, made_of.code, tuple(new), made_of.files)
    for group, name in new:
        groups[group].mark(name, extension.code)
    _loaded.append(extension)
    return extension


def offer_options(options_of: Callable[[str], Sequence[str]]) -> None:
    """Make each function an option of its group for Hydra, with its defaults, unless a file does.

    Args:
        options_of: returns the options that Hydra finds in a group.
    """
    from hydra.core.config_store import ConfigStore

    from study.settings import COMMON_PARAMETERS, GROUPS

    for extension in _loaded:
        for group, name in extension.functions:
            # a file of that name and a stored option would be two readings of one option
            if name not in options_of(group):
                defaults = {**COMMON_PARAMETERS.get(group, {}), **GROUPS[group][name].parameters}
                ConfigStore.instance().store(
                    group=group,
                    name=name,
                    node={"name": name, **defaults},
                    provider=extension.source.module,
                )


def place_in(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost line of the user's own code that an exception came through."""
    files = {file for extension in _loaded for file in extension.files}
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((frame for frame in frames if Path(frame.filename).resolve() in files), None)


def _groups() -> dict[str, Any]:
    # imports torch, which nothing must wait for that has no functions of its own; and imports ours
    # first, so that a name that is taken twice is always the user's to change
    from study.settings import GROUPS

    return GROUPS


def _installed() -> Iterator[Source]:
    """Yield what installed packages declare, in an order that does not depend on where they lie."""
    found = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for point in sorted(found, key=lambda one: (str(one.dist and one.dist.name), one.name)):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "without a name"
        asked = f"the installed package {package} (entry point {point.name} = {point.value})"
        module, _, attribute = point.value.partition(":")
        if attribute or not _is_dotted_name(module):
            raise SettingError(
                f"cannot use {asked}: an entry point of the group {ENTRY_POINTS} names a module and "
                "nothing in it; mend or uninstall it."
            )
        yield Source(asked, module, package=package)


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _named(text: str) -> Source:
    """Return what ``--use`` names: a module if it reads like one and no file is meant.

    Raises:
        SettingError: there is no such file, or it is not Python's.
    """
    asked, path = f"--use {shortened(text)}", Path(text)
    is_file = os.path.isfile(path)  # False for what can be no path, too
    if path.suffix != ".py" and not is_file and _is_dotted_name(text):
        return Source(asked, text)
    if os.path.isdir(path):
        raise SettingError(
            f"cannot use {asked}: it is a folder; name a Python file, or a package as one imports it."
        )
    if not is_file:
        beside = (
            [one.name for one in path.parent.glob("*.py")] if os.path.isdir(path.parent) else []
        )
        raise SettingError(
            f"cannot use {asked}: there is no such file{nearest(path.name, beside)}."
        )
    if path.suffix != ".py":
        raise SettingError(f"cannot use {asked}: it is no Python file, whose name ends in .py.")
    return Source(asked, _module_name(path.resolve()), file=str(path.resolve()))


def _module_name(path: Path) -> str:
    """Return a file's stem, under which its neighbours may import it, unless another module has it."""
    spec = find_module(path.stem)
    if spec is None or (spec.origin and Path(spec.origin).resolve() == path):
        return path.stem
    return f"use:{path.stem}"


def _file_of(source: Source) -> Path | None:
    """Return the resolved file of a source, as far as one can tell without importing it."""
    if source.file:
        return Path(source.file)
    spec = find_module(source.module)
    if spec is None or not spec.has_location or not spec.origin:
        return None
    return Path(spec.origin).resolve()


def _is_imported(path: Path) -> bool:
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return any(file and Path(file).resolve() == path for file in files)


def _run_file(source: Source) -> bytes:
    """Import a file under its module name and return the bytes that were run.

    Raises:
        SettingError: it cannot be read.
    """
    assert source.file is not None
    path = Path(source.file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingError(f"cannot use {source.asked}: {error.strerror}.") from error
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last: nothing that lies there stands in for a library
    spec = importlib.util.spec_from_file_location(source.module, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.module] = module
    # not by the loader: what runs are the bytes that the digest is taken of, and no cached ones
    exec(compile(content, path, "exec", dont_inherit=True), module.__dict__)
    return content


@contextmanager
def _registering(source: Source) -> Iterator[list[tuple[str, str]]]:
    """Give the list that the functions registered meanwhile are put into; on an error take them back.

    Raises:
        SettingError: whatever is raised meanwhile, in one sentence.
    """
    groups = _groups()
    before = {group: set(registry) for group, registry in groups.items()}
    writes = sys.dont_write_bytecode
    imported = source.module in sys.modules
    new: list[tuple[str, str]] = []

    def registered() -> list[tuple[str, str]]:
        return [
            (g, name)
            for g, registry in groups.items()
            for name in registry
            if name not in before[g]
        ]

    # a cached file beside the user's would be the only thing that a refused command writes
    sys.dont_write_bytecode = True
    try:
        yield new
        new += registered()
    except (Exception, SystemExit) as error:
        for group, name in registered():
            groups[group].remove(name)
        if not imported:
            sys.modules.pop(source.module, None)
        if isinstance(error, SettingError):
            raise
        remedy = "; mend or uninstall it" if source.package else ""
        raise SettingError(f"cannot use {source.asked}: {_what(error, source)}{remedy}.") from error
    finally:
        sys.dont_write_bytecode = writes


def _what(error: BaseException, source: Source) -> str:
    """Return what an exception says and which line of the user's raised it."""
    said = " ".join(str(error).split()).rstrip(".")
    place = ""
    if isinstance(error, SyntaxError):
        said = error.msg
        if error.filename:
            place = f" ({Path(error.filename).name}, line {error.lineno})"
    elif frame := _own_frame(error):
        place = f" ({Path(frame.filename).name}, line {frame.lineno})"
    elif isinstance(error, ModuleNotFoundError) and error.name:
        file = "" if source.package else "; a file is named with its .py"
        return f"there is no module '{error.name}'{file}"
    return f"{type(error).__name__}: {said}{place}" if said else f"{type(error).__name__}{place}"


def _own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost line that is the user's; if there is none, that of an installed package."""
    ours, standard = Path(__file__).parent, Path(traceback.__file__).parent
    installed, own = [], []
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if set(INSTALLED) & set(path.parts):
            installed.append(frame)
        elif path.is_absolute() and path.parent != ours and not path.is_relative_to(standard):
            own.append(frame)
    found = own or installed
    return found[-1] if found else None
