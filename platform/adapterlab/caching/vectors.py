"""Vectors that were computed once on a machine, each a file that is written under a temporary name and renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterlab.private_files import private_umask

Vector = NDArray[np.float64]


def kept_vector(cache: Path, kind: str, key: str, make: Callable[[], Vector]) -> Vector:
    """Return a vector, (n,), as it was kept, or made and kept now; processes that need it at once wait for one.

    Args:
        cache: Folder of this machine's caches.
        kind: What vectors like it are called; they lie as ``<cache>/<kind>/<key>.npy``.
        key: Equal for equal vectors alone.
        make: Makes it where nobody has, or where its file cannot be read.
    """
    from filelock import FileLock  # its import is for those who need a vector

    path = cache / kind / f"{key}.npy"
    with private_umask():
        path.parent.mkdir(parents=True, exist_ok=True)
    with private_umask(), FileLock(path.with_suffix(".lock")):
        kept = _read(path)
        if kept is None:
            kept = make()
            _write(path, kept)
    return kept


def _read(path: Path) -> Vector | None:
    with suppress(OSError, ValueError, EOFError):
        kept: NDArray[Any] = np.load(path, allow_pickle=False)
        if kept.ndim == 1 and kept.dtype == np.float64 and bool(np.isfinite(kept).all()):
            return kept
    return None


def _write(path: Path, vector: Vector) -> None:
    draft = path.with_name(f".{path.stem}.{os.getpid()}.{uuid.uuid4().hex[:8]}.npy")
    try:
        np.save(draft, vector, allow_pickle=False)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
