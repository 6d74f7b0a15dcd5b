"""Read a spec's text: from a file or standard input, with every way that can fail."""

from __future__ import annotations

import difflib
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from adapterlab.errors import NotFoundError, SpecError
from adapterlab.spec.faults import Fault, spec_error
from adapterlab.spec.positions import line_column

MAX_BYTES = 256 * 1024
"""Largest spec accepted; a page that people read is a hundredth of it."""

STDIN = "-"
ENDINGS = (".toml", ".json", ".yaml", ".yml")
_REMEDY_FILE = "name a TOML file, or '-' to read standard input"


@dataclass(frozen=True)
class SpecText:
    """A spec's text and where it came from."""

    path: str
    """As given on the command line; ``"-"`` for standard input."""
    name: str
    """What messages call it: the path, or ``<stdin>``."""
    folder: Path
    """Absolute folder that the spec's relative paths start from."""
    text: str
    """The text with ``\\n`` line ends."""


def read_spec_text(path: str | Path) -> SpecText:
    """Return a spec's text.

    Args:
        path: A file, or ``"-"`` for standard input (its relative paths then start from the
            current folder).

    Raises:
        NotFoundError: There is no such file.
        SpecError: It is not a regular file, cannot be read, is too large, or is not UTF-8 text.
    """
    if str(path) == STDIN:
        name, folder, data = "<stdin>", Path.cwd(), sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        name, folder, data = str(path), Path(path).absolute().parent, _read_file(Path(path))
    if len(data) > MAX_BYTES:
        raise _unreadable(name, f"larger than {MAX_BYTES // 1024} KiB", "a spec is a page of text, not data")
    return SpecText(path=str(path), name=name, folder=folder, text=_decode(name, data))


def _read_file(path: Path) -> bytes:
    try:
        # Asked before opening: opening a FIFO that nobody writes to would wait for ever.
        mode = path.stat().st_mode
        data = _read_bytes(path) if stat.S_ISREG(mode) else None
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no such file: {path}", remedy=_near_file(path), path=str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unreadable(
            str(path), f"cannot be read: {reason}", "check the path and its permissions"
        ) from None
    if stat.S_ISDIR(mode):
        raise _unreadable(str(path), "a folder, not a file", _specs_in(path) or _REMEDY_FILE)
    if data is None:
        raise _unreadable(str(path), "not a regular file", "to read a pipe, redirect it and name '-'")
    return data


def _read_bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _decode(name: str, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _at(
            name, 1, 1, "the file is UTF-16, but TOML is UTF-8", "save it as UTF-8 without a byte order mark"
        )
    if data.startswith(b"\xef\xbb\xbf"):
        raise _at(name, 1, 1, "the file starts with a byte order mark, which TOML does not allow",
                  "save it as UTF-8 without a byte order mark")  # fmt: skip
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = line_column(before, len(before))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise _at(name, line, column, message, "save the file as UTF-8") from None
    return text.replace("\r\n", "\n")


def _at(name: str, line: int, column: int, message: str, hint: str) -> SpecError:
    return spec_error([Fault(file=name, line=line, column=column, key="", message=message, hint=hint)], name)


def _unreadable(name: str, message: str, hint: str) -> SpecError:
    return spec_error([Fault(file=name, line=None, column=None, key="", message=message, hint=hint)], name)


def _specs_in(folder: Path) -> str | None:
    names = sorted(found.name for found in folder.iterdir() if found.suffix in ENDINGS)[:5]
    return f"it holds {', '.join(names)}: name one of them" if names else None


def _near_file(path: Path) -> str:
    try:
        names = [found.name for found in path.parent.iterdir() if found.suffix in ENDINGS]
    except OSError:
        return _REMEDY_FILE
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {path.parent / close[0]}?" if close else _REMEDY_FILE
