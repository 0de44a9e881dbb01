"""What decides a function that is not ours: its module's code and that of the user's modules it imports.

Comments, formatting, docstrings and the file's own name do not count. Neither do installed libraries,
PyTorch among them: their versions stand in every commit's environment.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OURS = ("study", "analysis", "hydra_plugins")

INSTALLED = ("site-packages", "dist-packages")

CODE_DIGITS = 12


@dataclass(frozen=True)
class SourceCode:
    """What a module's functions are made of.

    Attributes:
        code: first hexadecimal digits of the SHA-256 over all of it.
        files: the files it was read from.
    """

    code: str
    files: frozenset[Path]


def source_code(name: str, path: Path, content: bytes, more: Iterable[str] = ()) -> SourceCode:
    """Return the code of a module and of every module of the user's that it leads to.

    Those are the modules that an import statement names, wherever it stands: in the module itself or in
    one found so. A module of an installed package leads to the other modules of that package.

    Args:
        name: the module's name, as its relative imports understand it.
        path: its file, resolved.
        content: the file's bytes.
        more: modules that count too, if they are the user's.
    """
    texts = {"": _text(path, content)}  # without its name: a file may be moved and renamed
    files = {path}
    root = name.partition(".")[0]
    # importing a module runs the packages around it first
    waiting = [*_parents(name), *more, *_imports(name, path, content)]
    while waiting:
        imported = waiting.pop()
        found = None if imported in texts else _file_of(imported, root)
        if found is None or found in files:
            continue
        files.add(found)
        read = found.read_bytes()
        texts[imported] = _text(found, read)
        waiting += _imports(imported, found, read)
    whole = json.dumps(sorted(texts.items()))
    return SourceCode(hashlib.sha256(whole.encode()).hexdigest()[:CODE_DIGITS], frozenset(files))


def _text(path: Path, content: bytes) -> str:
    """Return what of a file counts: a Python file's syntax tree, the bytes of any other."""
    if path.suffix == ".py":
        with suppress(SyntaxError, ValueError):
            return json.dumps(_tree(ast.parse(content)))
    return hashlib.sha256(content).hexdigest()


def _tree(node: Any) -> Any:
    """Return a syntax tree as nested lists, without docstrings.

    Written out here because `ast.dump` and `ast.unparse` give another text in another Python version:
    what is empty or absent is left out, so that a field that a version adds changes nothing.
    """
    if isinstance(node, list):
        return [_tree(one) for one in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list) and _is_docstring(node, value):
            value = value[1:]
        if name == "values" and isinstance(node, ast.JoinedStr):
            # Python 3.12.1 puts some that 3.11 and 3.13 do not
            value = [one for one in value if not _is_empty_text(one)]
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
            fields.append([name, _tree(value)])
    return [type(node).__name__, fields]


def _is_docstring(node: ast.AST, body: list[Any]) -> bool:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None


def _is_empty_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == ""


def _imports(importer: str, path: Path, content: bytes) -> Iterator[str]:
    """Yield the names of modules that a module's import statements may mean, parents first."""
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    package = importer if path.stem == "__init__" else importer.rpartition(".")[0]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            with suppress(ImportError, ValueError):
                base = importlib.util.resolve_name(base, package or None)
                names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            yield from (*_parents(name), name)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _file_of(name: str, root: str) -> Path | None:
    """Return the file of a module of the user's, None for libraries, ours and what is no module.

    Args:
        name: the module.
        root: the package at whose modules one looks even where it is installed.
    """
    own = name.partition(".")[0]
    if own in OURS or own in sys.stdlib_module_names:
        return None
    spec = find_module(name)
    if spec is None or not spec.has_location or not spec.origin:
        return None
    path = Path(spec.origin).resolve()
    return path if own == root or not set(INSTALLED) & set(path.parts) else None


def find_module(name: str) -> importlib.machinery.ModuleSpec | None:
    """Find a module without importing anything: a look must not run code."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        return loaded
    parent, _, _ = name.rpartition(".")
    with suppress(ImportError, ValueError, AttributeError):
        if not parent:
            return importlib.util.find_spec(name)
        package = find_module(parent)
        if package is not None and package.submodule_search_locations is not None:
            places = list(package.submodule_search_locations)
            return importlib.machinery.PathFinder.find_spec(name, places)
    return None
