"""What was handed over but is not yet in MLflow, on disk, so that a crash loses none of it.

Each tracker owns one folder below the spool: a lock file (held while its process lives), ``about.json``
(which store it writes to), and at most two segments of JSON lines: the one being written to MLflow and
the one being filled. A segment is removed once everything in it is in MLflow. A folder whose lock is free
belonged to a process that died; the next tracker on the same store replays it, which is safe because
every entry can be applied twice.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from adapterlab.caching.leftovers import Leftover as Draft

_log = logging.getLogger(__name__)
_REFUSED = "-refused"
"""In the name of a folder with entries that MLflow refused."""

Entry: TypeAlias = dict[str, Any]
"""One thing to write, JSON-able; ``what`` says which, ``node`` to which run."""


def new_attempt() -> str:
    """Return a name that sorts after every earlier one, as far as the machines' clocks agree."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"


class Spool:
    """The entries of one tracker. Thread-safe.

    Args:
        folder: Where all spools of this machine are.
        store: Short name of the store; a leftover is replayed only into the same one.
        experiment: Name of the experiment the entries belong to.
    """

    def __init__(self, folder: Path, store: str, experiment: str) -> None:
        self._store = store
        self.owner = new_attempt()
        """Sorts after every earlier owner; the attempt that its process makes at the runs it opens."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = folder / f".{self.owner}"
        aside.mkdir(mode=0o700)
        lock = _lock(aside / "lock")
        if lock is None:
            raise OSError(f"cannot lock {aside / 'lock'}")
        self._lock_file = lock
        about = {"store": store, "experiment": experiment}
        (aside / "about.json").write_text(json.dumps(about), encoding="utf-8")
        self._folder = folder / self.owner
        aside.rename(self._folder)  # visible to others only once it is locked
        self._mutex = threading.Lock()
        self._waiting: list[Entry] = []
        self._disk_failed = self._closed = False
        self._number = 0
        self._segment = self._new_segment()

    def append(self, entry: Entry) -> None:
        """Keep one entry: on disk when this returns, as far as this process can die."""
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        with self._mutex:
            self._waiting.append(entry)
            try:
                _write_all(self._segment, line)
            except OSError as error:  # a full disk must not stop training: memory still has it
                self._warn_of_disk(error)

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> tuple[list[Entry], Path | None]:
        """Return everything that waits and the segment that holds it; ``discard`` it once applied."""
        with self._mutex:
            if not self._waiting or self._closed:
                return [], None
            taken, self._waiting = self._waiting, []
            try:
                os.fsync(self._segment)  # from here on it also survives a power cut
                segment = self._new_segment()
            except OSError as error:
                self._warn_of_disk(error)
                return taken, None  # the old segment goes on being filled; entries may be applied twice
            os.close(self._segment)
            self._segment = segment
            return taken, self._path(self._number - 1)

    def discard(self, segment: Path) -> None:
        """Forget a segment: everything in it is in MLflow."""
        segment.unlink(missing_ok=True)

    def set_aside(self, experiment: str, entries: list[Entry]) -> None:
        """Keep entries that MLflow refused, for the next tracker on this store to try again.

        What cannot be kept either, on a full disk, is lost; the log says so.
        """
        folder = self._folder.parent / f"{self.owner}{_REFUSED}-{uuid.uuid4().hex[:8]}"
        aside = folder.with_name(f".{folder.name}")
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        try:
            aside.mkdir(mode=0o700)
            about = {"store": self._store, "experiment": experiment}
            (aside / "about.json").write_text(json.dumps(about), encoding="utf-8")
            (aside / "00000001.jsonl").write_text(lines, encoding="utf-8")
            aside.rename(folder)
        except OSError as error:
            self._warn_of_disk(error)

    def close(self, *, keep: bool) -> None:
        """Let go of the folder; ``keep`` leaves what is in it for the next tracker to replay."""
        with self._mutex:
            self._closed = True
            os.close(self._segment)
            if not keep:
                shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock_file)

    def leftovers(self) -> Iterator[Leftover]:
        """Yield what dead processes left for this store, oldest first, each locked for us."""
        for folder in _owners(self._folder.parent):
            if folder.name.startswith(self.owner) or (lock := _lock(folder / "lock")) is None:
                continue
            try:
                about = _read_json(folder / "about.json")
                if isinstance(about, dict) and about.get("store") == self._store:
                    yield Leftover(folder, str(about.get("experiment")))
            finally:
                os.close(lock)

    def _new_segment(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        handle = os.open(self._path(self._number + 1), flags, 0o600)
        self._number += 1
        return handle

    def _warn_of_disk(self, error: OSError) -> None:
        if not self._disk_failed:
            _log.warning("%s: cannot keep tracking entries on disk (%s)", self._folder, error)
        self._disk_failed = True

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.jsonl"


class Leftover:
    """What one dead process had not yet written."""

    def __init__(self, folder: Path, experiment: str) -> None:
        self.experiment = experiment
        """The experiment its entries belong to."""
        self._folder = folder

    def entries(self) -> list[Entry]:
        """Return its entries in order; a last line cut off by the crash is left out."""
        found: list[Entry] = []
        for segment in sorted(self._folder.glob("*.jsonl")):
            for line in segment.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and "what" in entry and "node" in entry:
                    found.append(entry)
        return found

    def remove(self) -> None:
        """Forget it: everything in it is in MLflow."""
        shutil.rmtree(self._folder, ignore_errors=True)


def refused(folder: Path) -> int:
    """Return how many entries wait there because MLflow refused them."""
    segments = [file for owner in _owners(folder) if _REFUSED in owner.name for file in owner.glob("*.jsonl")]
    return sum(segment.read_bytes().count(b"\n") for segment in segments)


def something_waits(folder: Path) -> bool:
    """Whether a dead process left entries there that the next tracker will write; costs no mlflow."""
    for owner in _owners(folder):
        if (lock := _lock(owner / "lock")) is not None:
            os.close(lock)
            if any(segment.stat().st_size for segment in owner.glob("*.jsonl")):
                return True
    return False


def drafts(folder: Path) -> Iterator[Draft]:
    """Yield spools that nobody has seen yet; one whose process was killed before that holds nothing new."""
    with suppress(OSError):
        for path in sorted(folder.glob(".*")):
            yield Draft("spool draft", path, path / "lock")


def _owners(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _lock(path: Path) -> int | None:
    # flock, not a library's lock file: the kernel lets go of it with the process, and it stays with the
    # file while its folder is renamed.
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink > 0:
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
