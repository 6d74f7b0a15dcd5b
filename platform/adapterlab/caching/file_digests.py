"""What was computed from files once, kept by the files' identity: read them once, know them after.

One small JSON file an entry, written under a temporary name and renamed, so that any number of
processes may read and write at once; an entry nobody can read is computed again. A file's identity
is its path, size, modification and change time, and inode: not its content, which is the point.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from adapterlab.fingerprint import Json, digest_file, key_of
from adapterlab.private_files import private_umask

VERSION = 1
"""Raise it when what is kept changes its meaning."""


def identity(path: Path) -> list[Json]:
    """Return what tells one state of a file from another without reading it.

    The change time catches a file replaced by one of equal size and a copied modification time.

    Raises:
        OSError: The file does not exist or cannot be looked at.
    """
    facts = path.stat()
    return [
        os.path.realpath(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
    ]  # fmt: skip


def recall_or_compute(
    cache: Path,
    kind: str,
    paths: Sequence[Path],
    settings: Json,
    compute: Callable[[], dict[str, Any]],
    *,
    keep: bool = True,
) -> dict[str, Any]:
    """Return ``compute()``, or what it returned when the files were last in this state.

    Args:
        cache: Folder of this machine's caches; a folder that cannot be written only costs time.
        kind: What is computed, for example ``"sha256"``.
        paths: The files it is computed from; all must exist.
        settings: Everything else that decides the result.
        compute: Gives a JSON-able mapping.
        keep: Whether what is computed is written down; where nothing may be, it is only looked for.
    """
    before = [identity(path) for path in paths]
    key = key_of(kind, VERSION, {"files": before, "settings": settings})
    entry = cache / "facts" / key[:2] / f"{key}.json"
    with suppress(OSError, ValueError):
        result = json.loads(entry.read_bytes())
        if isinstance(result, dict):
            return result
    result = compute()
    if keep and [identity(path) for path in paths] == before:  # else somebody wrote while we read
        with suppress(OSError):
            write_atomically(entry, json.dumps(result).encode())
    return result


def file_digest(cache: Path, path: Path, *, keep: bool = True) -> str:
    """Return the sha256 of a file, read only if it changed since the last time it was kept."""
    found = recall_or_compute(cache, "sha256", [path], None, lambda: {"sha256": digest_file(path)}, keep=keep)
    return str(found["sha256"])


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that others see all of it or nothing.

    Raises:
        OSError: The folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        with private_umask():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
