"""Folders that are made once and then only read: whole or absent, whoever is killed or comes second."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from adapterlab.private_files import private_umask

T = TypeVar("T")

_STALE_S = 3600.0


def read_or_build(folder: Path, read: Callable[[Path], T], build: Callable[[Path], None]) -> T:
    """Return what a folder holds, building it first if it is absent or damaged.

    It is built under a temporary name and renamed; processes that need it at once wait for one.

    Args:
        folder: Where it is kept.
        read: Reads it; raises ``OSError``, ``ValueError``, ``KeyError`` or ``EOFError`` if it is damaged.
        build: Fills an empty folder.

    Raises:
        OSError: The disk loses what was just written.
    """
    content = _read(folder, read)
    if content is None:
        from filelock import FileLock  # its import is for those who wait

        with private_umask():
            folder.parent.mkdir(parents=True, exist_ok=True)
        with private_umask(), FileLock(folder.with_suffix(".lock")):
            content = _read(folder, read)
            if content is None:
                _clear_old_drafts(folder)
                _build(folder, build)
                content = _read(folder, read)
    if content is None:
        raise OSError(f"{folder}: cannot be read back")
    return content


def _read(folder: Path, read: Callable[[Path], T]) -> T | None:
    """Return what an existing folder holds; one that is damaged is discarded."""
    if not folder.is_dir():
        return None
    try:
        return read(folder)
    except (OSError, ValueError, KeyError, EOFError):
        _discard(folder)
        return None


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    draft = folder.with_name(f".draft.{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    draft.mkdir()
    try:
        build(draft)
        with suppress(OSError):  # another process, which does not see our lock, was first
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _discard(folder: Path) -> None:
    """Take a folder out of everyone's way at once, then delete it at leisure."""
    doomed = folder.with_name(f".draft.{folder.name}.damaged.{uuid.uuid4().hex[:8]}")
    with suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _clear_old_drafts(folder: Path) -> None:
    """Delete what killed processes left; a draft of the last hour may be alive on another machine."""
    for draft in folder.parent.glob(f".draft.{folder.name}.*"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _STALE_S:
                shutil.rmtree(draft, ignore_errors=True)
