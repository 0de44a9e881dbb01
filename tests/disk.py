"""A disk that fails at the N-th call, and one whose power is cut: what the tests of faults share."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHANGING = ("open", "write", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir")
"""Calls of the system by which a study's folder changes."""

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)

BY_HANDLE = ("write", "fsync")


def place_of(name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Path | None:
    """Return the absolute path that a call is about; of a rename or link the new name."""
    if name in BY_HANDLE:
        with contextlib.suppress(OSError):
            return Path(os.readlink(f"/proc/self/fd/{arguments[0]}"))
        return None
    chosen = arguments[1] if name in ("rename", "replace", "link") else arguments[0]
    if not isinstance(chosen, str | os.PathLike):
        return None
    folder = Path()
    if (handle := keywords.get("dir_fd")) is not None:
        folder = Path(os.readlink(f"/proc/self/fd/{handle}"))
    return Path(os.path.abspath(folder / os.fspath(chosen)))


@dataclass
class Faults:
    """Lets the calls that change something under a folder fail.

    Attributes:
        root: the folder.
        at: the number of the first call that fails; 0: none.
        error: with what.
        lasting: whether all later ones fail too.
        calls: what was called, with the path.
    """

    root: Path
    at: int = 0
    error: int = errno.ENOSPC
    lasting: bool = False
    calls: list[tuple[str, Path]] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether the call that fails was made."""
        return 0 < self.at <= len(self.calls)

    @contextlib.contextmanager
    def on(self) -> Iterator[Faults]:
        """Let them fail for a while."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CHANGING:
                patch.setattr(os, name, self._failing(name, getattr(os, name)))
            yield self

    def _failing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            place = place_of(name, arguments, keywords)
            if place is None or not (place.is_relative_to(self.root) or self.root in place.parents):
                return function(*arguments, **keywords)
            self.calls.append((name, place))
            if self.met and (self.lasting or len(self.calls) == self.at):
                named = () if name in BY_HANDLE else (os.fspath(arguments[0]),)
                raise OSError(self.error, os.strerror(self.error), *named)
            return function(*arguments, **keywords)

        return call


# ------------------------------------------------------------------ power cuts

Names = dict[str, "Node"]


@dataclass(eq=False)
class Node:
    """A file or folder as the system has it, and as much of it as is surely on the disk.

    Attributes:
        content: a file's.
        kept: what of it is on the disk for certain.
        names: a folder's.
        pending: changes of names since the folder was synced: a node, or None for one that was removed.
        durable: names that are on the disk for certain.
    """

    folder: bool
    content: bytes = b""
    kept: bytes = b""
    names: Names = field(default_factory=dict)
    durable: Names = field(default_factory=dict)
    pending: list[tuple[str, Node | None]] = field(default_factory=list)

    def put(self, name: str, node: Node | None) -> None:
        """Give a name to a node, or to nothing."""
        if node is None:
            self.names.pop(name, None)
        else:
            self.names[name] = node
        self.pending.append((name, node))

    def sync(self) -> None:
        """Bring it to the disk."""
        self.kept = self.content
        self.durable, self.pending = dict(self.names), []


@dataclass
class Call:
    """One call as it was made: paths relative to the root."""

    name: str
    paths: tuple[str, ...] = ()
    content: bytes = b""


class Power:
    """Records the calls that change a folder, and makes the states of the disk that a power cut may leave.

    Args:
        root: the folder, all of which is on the disk when recording begins.
        dropped: says of a path that is synced that it is not, as a program would that forgot to.
    """

    def __init__(self, root: Path, dropped: Callable[[str], bool] = lambda path: False) -> None:
        self.root, self.dropped = root.resolve(), dropped
        self.calls: list[Call] = []
        self.start = self._taken(self.root)

    def _taken(self, place: Path) -> Node:
        if not place.is_dir():
            content = place.read_bytes()
            return Node(False, content, content)
        names = {one.name: self._taken(one) for one in sorted(place.iterdir())}
        return Node(True, names=names, durable=dict(names))

    @contextlib.contextmanager
    def recording(self) -> Iterator[Power]:
        """Record for a while."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CHANGING:
                patch.setattr(os, name, self._recorded(name, getattr(os, name)))
            yield self

    def _recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            place = place_of(name, arguments, keywords)
            paths: tuple[str, ...] = ()
            if place is not None and (place == self.root or self.root in place.parents):
                paths = (self._relative(place),)
            if name in ("rename", "replace", "link"):
                paths = (self._relative(Path(os.path.abspath(arguments[0]))), *paths)
            new = name != "open" or (place is not None and not os.path.lexists(place))
            found = function(*arguments, **keywords)
            if name == "open":
                temporary = getattr(os, "O_TMPFILE", 0)
                flags = arguments[1]
                if not flags & os.O_CREAT or (temporary and flags & temporary == temporary):
                    return found
            if paths and new:
                content = bytes(arguments[1])[:found] if name == "write" else b""
                self.calls.append(Call(name, paths, content))
            return found

        return call

    def _relative(self, place: Path) -> str:
        return place.relative_to(self.root).as_posix()

    def after(self, count: int) -> Node:
        """Return the folder as it is after so many calls."""
        copies: dict[int, Node] = {}

        def copy(node: Node) -> Node:
            if id(node) not in copies:
                new = copies[id(node)] = Node(node.folder, node.content, node.kept)
                new.names = {name: copy(one) for name, one in node.names.items()}
                new.durable = dict(new.names)
            return copies[id(node)]

        root = copy(self.start)
        for one in self.calls[:count]:
            self._replay(root, one)
        return root

    def _replay(self, root: Node, call: Call) -> None:
        def find(path: str) -> Node:
            node = root
            for part in Path(path).parts:
                node = node.names[part]
            return node

        def parent(path: str) -> tuple[Node, str]:
            return find(Path(path).parent.as_posix()), Path(path).name

        last = call.paths[-1]
        if call.name in ("open", "mkdir"):
            folder, name = parent(last)
            folder.put(name, Node(call.name == "mkdir"))
        elif call.name == "write":
            with contextlib.suppress(KeyError):  # a file without a name
                find(last).content += call.content
        elif call.name == "fsync":
            if not self.dropped(last):
                find(last).sync()
        elif call.name in ("unlink", "rmdir"):
            folder, name = parent(last)
            folder.put(name, None)
        else:
            node = find(call.paths[0])
            folder, name = parent(last)
            folder.put(name, node)
            if call.name != "link":
                old, name = parent(call.paths[0])
                old.put(name, None)

    def states(self, count: int) -> Iterator[tuple[str, Node]]:
        """Yield what the disk may hold once the power is cut after so many calls."""
        pending = list(_pending(self.after(count)))
        chosen: list[frozenset[int]] = [frozenset(), frozenset(range(len(pending)))]
        chosen += [frozenset([one]) for one in range(len(pending))]
        chosen += [frozenset(range(len(pending))) - {one} for one in range(len(pending))]
        chosen += [frozenset(range(one)) for one in range(len(pending))]
        chosen += [frozenset(two) for two in itertools.combinations(range(len(pending)), 2)]
        for names in dict.fromkeys(chosen):
            for loss in ("lost", "truncated", "zeroed", "written"):
                yield (
                    f"call {count}, names {sorted(names)}, {loss}",
                    _cut(self.after(count), names, loss),
                )


def _walk(node: Node, seen: set[int] | None = None) -> Iterator[Node]:
    seen = set() if seen is None else seen
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node
    for one in (*node.names.values(), *node.durable.values()):
        yield from _walk(one, seen)
    for _, pending in node.pending:
        if pending is not None:
            yield from _walk(pending, seen)


def _pending(root: Node) -> Iterator[tuple[Node, int]]:
    for node in _walk(root):
        for place in range(len(node.pending)):
            yield node, place


def _cut(root: Node, kept: frozenset[int], loss: str) -> Node:
    """Leave of the names that were not synced those chosen, and of contents what is told."""
    chosen: dict[int, set[int]] = {}
    for number, (node, place) in enumerate(_pending(root)):
        if number in kept:
            chosen.setdefault(id(node), set()).add(place)
    for node in list(_walk(root)):
        names = dict(node.durable)
        for place, (name, one) in enumerate(node.pending):
            if place in chosen.get(id(node), ()):
                if one is None:
                    names.pop(name, None)
                else:
                    names[name] = one
        node.names = names
        if node.kept != node.content:
            rest = len(node.content) - len(node.kept)
            node.content = {
                "lost": node.kept,
                "truncated": node.content[: len(node.kept) + rest // 2],
                "zeroed": node.kept + bytes(rest),
                "written": node.content,
            }[loss]
    return root


def signature(node: Node) -> Any:
    """Return what tells two states apart."""
    if not node.folder:
        return node.content
    return tuple((name, signature(one)) for name, one in sorted(node.names.items()))


def lay_out(node: Node, place: Path) -> None:
    """Write a state of the disk into a folder."""
    if node.folder:
        place.mkdir(exist_ok=True)
        for name, one in node.names.items():
            lay_out(one, place / name)
    else:
        place.write_bytes(node.content)


def is_plain_file(path: Path) -> bool:
    """Return whether a path is a regular file and no link to one."""
    return stat.S_ISREG(os.lstat(path).st_mode)
