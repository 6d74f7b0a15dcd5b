"""Files and folders that people name, whatever they wrote: a path that cannot be, a pipe, a folder.

What a person names may be too long for the file system, hold a NUL, lead in a circle, or be a device that never
ends. Everything that reads a named file asks here, so that each of these is an error in words and none waits for
ever.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

from adapterlab.errors import AdapterlabError, DataError, NotFoundError

_SHOWN = 200
_DEEPEST = 100
"""Lists and mappings in each other in a JSON file: whoever walks through it may take several calls for each."""


def given_path(text: str | Path, what: str) -> Path:
    """Return a path as a person wrote it, ``~`` expanded; it need not exist.

    Args:
        text: As written.
        what: What it is the path of, for errors.

    Raises:
        NotFoundError: No file system can have it: too long, a NUL, half a surrogate pair, links in a circle.
    """
    path = os.path.expanduser(text)  # noqa: PTH111 - Path's own raises for a user that does not exist
    try:
        os.stat(path)  # noqa: PTH116 - nothing but the system's answer is wanted
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"{what}: {shortened(str(text))!r} cannot be a path here ({_reason(error)})",
            remedy="Correct the path.",
        ) from None
    return Path(path)


def is_folder(path: str | Path) -> bool:
    """Return whether there is such a folder; of a path that cannot be there is none."""
    return os.path.isdir(path)  # noqa: PTH112 - Path's own raises for a name that is too long


def check_regular(path: Path, error: type[AdapterlabError] = DataError) -> None:
    """Check, before it is opened, that a path is a regular file: opening a pipe would wait for ever.

    Args:
        path: Links are followed.
        error: What to raise for a file that is there and cannot be read.

    Raises:
        NotFoundError: There is none.
        error: It is a folder, a pipe, a socket or a device, or this user may not look at it.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"{shortened(str(path))} does not exist", remedy="Correct the path.") from None
    except (OSError, ValueError) as fault:
        raise _unreadable(path, fault, error) from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise error(f"{path}: {kind}, expected a file", remedy="Name a file; pipes are read as '-' only.")


def read_file(path: Path, error: type[AdapterlabError] = DataError, *, limit: int | None = None) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: Links are followed.
        error: What to raise for a file that is there and cannot be read.
        limit: Most bytes that such a file may have; ``None``: any number.

    Raises:
        NotFoundError: There is none.
        error: It cannot be read, or is longer.
    """
    check_regular(path, error)
    try:
        with path.open("rb") as stream:
            data = stream.read(-1 if limit is None else limit + 1)
    except OSError as fault:
        raise _unreadable(path, fault, error) from None
    if limit is not None and len(data) > limit:
        raise error(
            f"{path}: longer than {limit >> 20} MiB", remedy="This is not such a file; is it the right one?"
        )
    return data


def read_json_file(path: Path, error: type[AdapterlabError] = DataError, *, limit: int | None = None) -> Any:
    """Return what a regular JSON file holds.

    Raises:
        NotFoundError: There is none.
        error: It cannot be read, or is no JSON: broken, nested too deep, a number of thousands of digits.
    """
    data = read_file(path, error, limit=limit)
    try:
        told = json.loads(data)
        if _is_deeper(told, _DEEPEST):
            raise RecursionError
    except RecursionError:
        raise error(
            f"{path}: cannot be read: no JSON (nested too deep)", remedy="Fetch or write the file again."
        ) from None
    except ValueError as fault:
        raise error(
            f"{path}: cannot be read: no JSON ({fault})", remedy="Fetch or write the file again."
        ) from None
    return told


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and mappings stand in each other more than so many times."""
    layer = [value]
    for _ in range(levels + 1):
        inner = [
            one.values() if isinstance(one, dict) else one for one in layer if isinstance(one, dict | list)
        ]
        if not inner:
            return False
        layer = list(chain.from_iterable(inner))
    return True


def shortened(text: str) -> str:
    """Return a path short enough for a message."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _unreadable(path: Path, fault: Exception, error: type[AdapterlabError]) -> AdapterlabError:
    return error(
        f"{shortened(str(path))!s}: cannot be read ({_reason(fault)})",
        remedy="Check the path and its permissions.",
    )


def _reason(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return fault.strerror or type(fault).__name__
    return "it holds a NUL" if "null byte" in str(fault) else "it is not text in the file system's encoding"


def write_page(page: Callable[[], str], module: str) -> None:
    """Write a generated page into the file that the command line names; for modules that are run as scripts.

    Args:
        page: Makes the page; not called where the command line only asks for help, or is wrong.
        module: The module that is run, for the help.
    """
    import argparse  # commands read their lines otherwise

    words = argparse.ArgumentParser(
        prog=f"python -m {module}", description="Write this reference page, made from the code, into a file."
    )
    words.add_argument("file", type=Path, help="the file to write; what it holds is replaced")
    words.parse_args().file.write_text(page(), encoding="utf-8")
