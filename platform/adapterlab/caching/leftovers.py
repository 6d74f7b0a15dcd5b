"""Folders of one process for as long as it lives, and what processes that were killed left behind.

Two things keep what is in use: a lock, which the kernel lets go of with its process, and a time without a
change, for the moment before a lock is taken and for processes of other machines that a lock may not reach.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

OWNER_LOCK = "owner.lock"
"""File in a scratch folder that its process keeps locked."""

QUIET_S = 3600.0
"""Seconds without a change after which a draft whose lock is free counts as abandoned."""

_JUST_MADE_S = 60.0
_FILE_DRAFT = re.compile(r"\..+\.\d+\.[0-9a-f]{8}(\.\w+)?")
"""``.<name>.<pid>.<random>``, as :mod:`adapterlab.caching.file_digests` and plug-ins call theirs."""
_FOLDER_DRAFT = ".draft."


@dataclass(frozen=True)
class Leftover:
    """A file or folder that may have been left by a process that was killed."""

    what: str
    """For people: ``"scratch folder"``."""
    path: Path
    lock: Path | None = None
    """File, or the folder itself, that a living owner keeps locked; ``None``: its kind has none."""
    quiet_s: float = QUIET_S
    """Seconds that must have passed since the last change."""

    def is_abandoned(self) -> bool:
        """Return whether its owner is certainly gone; changes nothing."""
        with self._held() as held:
            return held

    def remove(self) -> bool:
        """Remove it if its owner is certainly gone; return whether it is gone now."""
        with self._held() as held:
            if held:
                if self.path.is_dir() and not self.path.is_symlink():
                    shutil.rmtree(self.path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        self.path.unlink(missing_ok=True)
            return held and not os.path.lexists(self.path)

    def bytes(self) -> int:
        """Return how much it takes on disk."""
        return sum(facts.st_size for facts in _facts(self.path))

    @contextmanager
    def _held(self) -> Iterator[bool]:
        """Keep its lock, if that is free and it has been quiet for long enough; say so."""
        with _locked(self.lock) as free:
            yield free and self._is_ours_and_quiet()

    def _is_ours_and_quiet(self) -> bool:
        try:
            facts = self.path.lstat()
        except OSError:
            return False
        if facts.st_uid != os.getuid():
            return False
        # A lock in the folder is its owner's word; a draft may be written to deep inside, on another machine.
        inside = self.lock is not None and self.lock.parent == self.path
        last = facts.st_mtime if inside else max((one.st_mtime for one in _facts(self.path)), default=0.0)
        return time.time() - last >= self.quiet_s


@contextmanager
def scratch_folder(prefix: str, parent: Path) -> Iterator[Path]:
    """Make a folder of this process, and remove it afterwards; others remove it if we are killed.

    Args:
        prefix: Beginning of its name.
        parent: Where it is made.

    Raises:
        OSError: It cannot be made there.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        lock = os.open(folder / OWNER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with suppress(OSError):  # a file system without locks: then nobody else removes it
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_folders(prefix: str, parent: Path) -> Iterator[Leftover]:
    """Yield the scratch folders of a parent, those of living processes as well."""
    with suppress(OSError):
        for folder in sorted(parent.glob(f"{prefix}*")):
            yield Leftover("scratch folder", folder, folder / OWNER_LOCK, _JUST_MADE_S)


def cache_drafts(cache: Path) -> Iterator[Leftover]:
    """Yield the drafts of a folder of caches: folders half built and files half written."""
    for place, folders, files in os.walk(cache):
        here = Path(place)
        for name in [name for name in folders if name.startswith(_FOLDER_DRAFT)]:
            folders.remove(name)
            built = name.removeprefix(_FOLDER_DRAFT).split(".", 1)[0]
            yield Leftover("cache draft", here / name, here / f"{built}.lock")
        for name in files:
            if _FILE_DRAFT.fullmatch(name):
                yield Leftover("cache draft", here / name)


def remove_abandoned(candidates: Iterable[Leftover]) -> list[Leftover]:
    """Remove those whose owners are certainly gone; return them."""
    return [one for one in candidates if one.remove()]


def _facts(path: Path) -> Iterator[os.stat_result]:
    with suppress(OSError):
        yield path.lstat()
        if path.is_dir() and not path.is_symlink():
            for place, folders, files in os.walk(path):
                for name in (*folders, *files):
                    with suppress(OSError):
                        yield Path(place, name).lstat()


@contextmanager
def _locked(path: Path | None) -> Iterator[bool]:
    """Hold a lock without waiting and without making its file; say whether nobody else holds it."""
    if path is None:
        yield True
        return
    try:
        handle = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True  # its owner was killed before it had one, or another remover was faster
        return
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
