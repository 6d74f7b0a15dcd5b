"""A spec that extends another one: the chain of texts, and the one document they make.

The nearest text wins. Tables merge key by key. Lists, ``[[arrays of tables]]`` and search dimensions are one value
each and are replaced whole. A table that names another thing than its base does (another ``backbone.source``, another
``adapter.method``) drops what the base says of that thing. Relative paths start from the file that they stand in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapterlab.errors import NotFoundError, SpecError
from adapterlab.spec.complaints import show
from adapterlab.spec.documents import Document, fault_at, read_document
from adapterlab.spec.faults import spec_error
from adapterlab.spec.model import DIMENSIONS
from adapterlab.spec.positions import Path as KeyPath
from adapterlab.spec.text import STDIN, SpecText, read_spec_text

EXTENDS = "extends"
MAX_LAYERS = 16
"""Specs in one chain; whoever has more does not read them any more."""

_DESCRIPTIONS: Mapping[KeyPath, tuple[str, tuple[str, ...]]] = {
    ("backbone",): ("source", ("revision", "sha256", "expect")),
    ("adapter",): ("method", ("settings",)),
}
"""By table: the key that names a thing, and the keys beside it that say something of that thing alone."""
_TASK_FILES = ("train", "validation", "test", "folder")


@dataclass(frozen=True)
class Layers:
    """The texts of a spec, the nearest first, and what they say together."""

    documents: tuple[Document, ...]
    table: dict[str, Any]
    """What they say together, paths starting from the folder of the first."""
    _origins: Mapping[KeyPath, int] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Document:
        """Return the text that a path's value is from, or that of its nearest ancestor."""
        while path:
            if path in self._origins:
                return self.documents[self._origins[path]]
            path = path[:-1]
        return self.documents[0]

    def has(self, path: KeyPath) -> bool:
        """Whether some text writes a key or opens a table at a path."""
        return any(path in one.positions.keys for one in self.documents)


def read_layers(source: SpecText) -> Layers:
    """Read a spec's bases, and merge all of it.

    Raises:
        SpecError: A text cannot be read, or the chain is broken, endless or a circle.
        NotFoundError: A text is YAML, and no package that reads it is installed.
    """
    chain = [source]
    documents = [read_document(source)]
    identities = [_identity(source)]
    while (base := documents[-1].table.get(EXTENDS)) is not None:
        here = documents[-1]
        if not isinstance(base, str) or not base.strip():
            raise _broken(here, f"{EXTENDS}: expected the path of a spec, got {show(base)}")
        found = _base(here, base)
        identity = _identity(found)
        if identity in identities:
            circle = [one.name for one in chain[identities.index(identity) :]]
            raise _broken(here, f"{EXTENDS}: goes in a circle: {' → '.join([*circle, circle[0]])}")
        if len(chain) == MAX_LAYERS:
            raise _broken(here, f"{EXTENDS}: a chain of more than {MAX_LAYERS} specs")
        chain.append(found)
        identities.append(identity)
        documents.append(read_document(found))
    return _merged(documents)


def layers_of(sources: Sequence[SpecText]) -> Layers:
    """Merge texts that were read before, the nearest first."""
    return _merged([read_document(one) for one in sources])


def _merged(documents: Sequence[Document]) -> Layers:
    table: dict[str, Any] = {}
    origins: dict[KeyPath, int] = {}
    top = documents[0].source.folder
    for number in reversed(range(len(documents))):
        one = documents[number]
        own = {name: value for name, value in one.table.items() if name != EXTENDS}
        if one.source.folder != top:
            own = _moved(own, one.source.folder, top)
        _put(table, own, (), number, origins)
    return Layers(tuple(documents), table, origins)


def _put(
    below: dict[str, Any], above: Mapping[str, Any], path: KeyPath, number: int, origins: dict[KeyPath, int]
) -> None:
    """Lay one table over another, in place."""
    named, described = _DESCRIPTIONS.get(path, ("", ()))
    if named in above and above[named] != below.get(named):
        for name in described:
            below.pop(name, None)
            _forget((*path, name), origins)
    for name, value in above.items():
        here = (*path, name)
        old = below.get(name)
        if isinstance(value, dict) and isinstance(old, dict) and not _is_dimension(here):
            origins[here] = number
            _put(old, value, here, number, origins)
            continue
        _forget(here, origins)
        origins[here] = number
        if isinstance(value, dict) and not _is_dimension(here):
            below[name] = {}
            _put(below[name], value, here, number, origins)
        else:
            below[name] = value


def _forget(path: KeyPath, origins: dict[KeyPath, int]) -> None:
    for known in [one for one in origins if one[: len(path)] == path]:
        del origins[known]


def _is_dimension(path: KeyPath) -> bool:
    of_one_combiner = path[:-1] == ("combiner", "per_kind", *path[2:3], "search")
    return of_one_combiner or (path[:-1] == ("search",) and path[-1] in DIMENSIONS)


def _base(here: Document, name: str) -> SpecText:
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's own raises for a user that does not exist
    shown = path
    if not path.is_absolute():
        beside = Path() if here.source.path == STDIN else Path(here.source.path).parent
        shown, path = Path(os.path.normpath(beside / path)), here.source.folder / path
    try:
        found = read_spec_text(path)
    except NotFoundError as error:
        hint = (error.remedy or "").replace(f"{path.parent}{os.sep}", "")
        raise _broken(here, f"{EXTENDS}: no such file: {shown}", hint or None) from None
    return SpecText(str(shown), str(shown), Path(os.path.normpath(path.absolute().parent)), found.text)


def _identity(source: SpecText) -> str:
    return (
        STDIN if source.path == STDIN else os.path.realpath(source.folder / os.path.basename(source.path))  # noqa: PTH119
    )


def _broken(here: Document, message: str, hint: str | None = None) -> SpecError:
    span = here.positions.find((EXTENDS,), value=True)
    fault = fault_at(here.source, span.start, message, end=span.end, key=EXTENDS)
    return spec_error([replace(fault, hint=hint)], here.source.name)


def _moved(table: Mapping[str, Any], home: Path, top: Path) -> dict[str, Any]:
    """Return a base's table with its relative paths as they read from another folder."""
    moved = {name: _folders_moved(value, home, top) for name, value in table.items()}
    for place, key in (("data", "root"), ("store", "blobs")):
        inner = moved.get(place)
        if isinstance(inner, dict) and isinstance(inner.get(key), str):
            moved[place] = {**inner, key: _from(inner[key], home, top)}
    tasks = moved.get("task")
    if isinstance(tasks, list):
        moved["task"] = [_task_moved(one, home, top) if isinstance(one, dict) else one for one in tasks]
    return moved


def _task_moved(task: dict[str, Any], home: Path, top: Path) -> dict[str, Any]:
    if "hub" in task:  # its train, validation and test are names of splits
        return task
    files = {key: task[key] for key in _TASK_FILES if isinstance(task.get(key), str)}
    return {**task, **{key: _whole(name, home, top) for key, name in files.items()}}


def _folders_moved(value: Any, home: Path, top: Path) -> Any:
    """Move every ``folder:<path>``, wherever it stands."""
    if isinstance(value, dict):
        return {name: _folders_moved(item, home, top) for name, item in value.items()}
    if isinstance(value, list):
        return [_folders_moved(item, home, top) for item in value]
    if isinstance(value, str) and value.startswith("folder:"):
        return f"folder:{_from(value.removeprefix('folder:'), home, top)}"
    return value


def _from(path: str, home: Path, top: Path) -> str:
    if "://" in path or "\0" in path or not path or path.startswith(("~", os.sep)):
        return path
    return os.path.relpath(home / path, top)


def _whole(path: str, home: Path, top: Path) -> str:
    """Return a task's file from its root on where it lies beside its own spec but not below the extending one.

    A relative path that leads out of a spec's folder is refused, whoever wrote it; this one does not.
    """
    moved = _from(path, home, top)
    leaves = os.path.relpath(home / path, home).startswith(os.pardir)
    return str(home / path) if moved != path and moved.startswith(os.pardir) and not leaves else moved
