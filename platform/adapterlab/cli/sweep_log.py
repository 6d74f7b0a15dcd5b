"""The log of a sweep on the machine that submits it: what its submits say, and how its steps went."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from adapterlab.cli.output import printable

_FOLDER = "sweeps"
_LARGEST = 8 * 2**20
"""Bytes from which a log is set aside for a new one; the one before that is dropped."""
_TAIL_BLOCK = 65_536
_POLL_S = 0.5


def log_path(home: str | Path, key: str) -> Path:
    """Return where the log of a sweep is, or would be."""
    return Path(home) / "logs" / _FOLDER / f"{key}.log"


class SweepLog:
    """A log that lines are added to; where it cannot be written nothing is, and nobody is stopped by that."""

    def __init__(self) -> None:
        self.taken_over = False
        """Whether what this process prints goes here."""
        self._descriptor: int | None = None
        self._waiting: list[str] | None = []
        self._lock = threading.Lock()

    def open(self, path: Path) -> None:
        """Say where the log is, the first time; what was added before comes first."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
            if waiting is None:
                return
            with suppress(OSError):
                self._descriptor = _opened(path)
            now = datetime.now(UTC).astimezone()
            host = socket.gethostname()
            self._write(f"--- submitted {now:%Y-%m-%d %H:%M:%S %z}, process {os.getpid()} on {host}\n")
            self._write("".join(waiting))

    def line(self, text: str) -> None:
        """Add a line, or several, each with the time of day."""
        now = time.strftime("%H:%M:%S")
        lines = "".join(f"{now} {line}\n" for line in printable(text).splitlines())
        with self._lock:
            if self._waiting is None:
                self._write(lines)
            else:
                self._waiting.append(lines)

    def _write(self, lines: str) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, lines.encode(errors="backslashreplace"))

    def take_over(self, *descriptors: int) -> None:
        """Lead these descriptors of this process, and of those it will start, into the log."""
        with self._lock:
            target = os.open(os.devnull, os.O_WRONLY) if self._descriptor is None else self._descriptor
            for one in descriptors:
                os.dup2(target, one)
            if target != self._descriptor:
                os.close(target)
            self.taken_over = True

    def close(self) -> None:
        """Close the file; lines that come later are dropped."""
        with self._lock:
            descriptor, self._descriptor, self._waiting = self._descriptor, None, None
            if descriptor is not None:
                os.close(descriptor)


def _opened(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LARGEST:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def last_lines(path: Path, count: int | None) -> tuple[list[str], int]:
    """Return the last lines of a log, all of them for ``None``, and the place in the file behind them.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        start, found = end, b""
        while start and (count is None or found.count(b"\n") <= count):
            start = max(0, start - _TAIL_BLOCK)
            file.seek(start)
            found = file.read(end - start)
    lines = found.decode(errors="replace").splitlines()
    return (lines if count is None else lines[len(lines) - min(count, len(lines)) :]), end


def lines_after(path: Path, place: int) -> Iterator[str | None]:
    """Yield the lines that are added behind a place, and ``None`` where there is no more for now, without end."""
    rest = b""
    while True:
        with suppress(OSError):
            if path.stat().st_size < place:  # it was set aside for a new one
                place, rest = 0, b""
            with path.open("rb") as file:
                file.seek(place)
                found = file.read()
            place += len(found)
            *whole, rest = (rest + found).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
        yield None
        time.sleep(_POLL_S)
