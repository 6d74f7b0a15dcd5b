"""Weights by content: ``sha256/ab/<digest>.safetensors`` in a folder or behind an fsspec URL.

A blob becomes visible whole or not at all: it is written under a temporary name, flushed to disk,
and renamed. Every read is checked against the digest. A damaged blob is moved to ``quarantine/``,
never deleted, so that somebody can look at it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from adapterlab.errors import CorruptBlobError, UnavailableError

SUFFIX = ".safetensors"
QUARANTINE = "quarantine"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# One PUT to these is atomic, and a rename is a copy: write the final name at once.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
_LEFTOVER_AGE_S = 24 * 3600.0


class Blobs(Protocol):
    """A store of immutable bytes, filed under their sha256."""

    name: str
    """Folder or URL, without secrets, for messages."""

    def write(self, data: bytes) -> str:
        """Store bytes and return their digest; replaces a damaged file of the same digest.

        Raises:
            UnavailableError: The store cannot be written; nothing of the blob is visible.
        """

    def read(self, digest: str) -> bytes:
        """Return a blob's bytes, checked against the digest.

        Raises:
            CorruptBlobError: It is missing, or holds other bytes.
            UnavailableError: The store cannot be reached.
        """

    def exists(self, digest: str) -> bool:
        """Return whether a file of that digest is there (its bytes are not looked at)."""

    def size(self, digest: str) -> int | None:
        """Return a blob's length in bytes; ``None`` if it is missing, or only reading it would tell."""

    def quarantine(self, digest: str) -> str | None:
        """Set a damaged blob aside; return its new place, ``None`` if it is gone or intact."""

    def digests(self) -> Iterator[str]:
        """Yield the digest of every stored file."""

    def leftovers(self) -> Iterator[str]:
        """Yield temporary files older than a day, left by writers that were killed."""


def open_blobs(url: str) -> Blobs:
    """Return the blob store at a folder, a ``file://`` URL or any fsspec URL.

    Raises:
        UnavailableError: The URL's protocol is unknown or its package is not installed.
    """
    if url.startswith("file://"):
        return LocalBlobs(Path(urlsplit(url).path))
    return RemoteBlobs(url) if _URL.match(url) else LocalBlobs(Path(url).expanduser())


def valid_digest(digest: str) -> str:
    """Return a digest that is safe to build a path from.

    Raises:
        CorruptBlobError: It is not 64 hexadecimal digits, as in a tampered database.
    """
    if not _DIGEST.fullmatch(digest):
        raise CorruptBlobError(
            f"not a blob digest: {digest[:80]!r}; expected 64 hexadecimal digits",
            remedy="The catalog's row was changed by hand; restore it from a backup or train again.",
        )
    return digest


def _parts(digest: str) -> tuple[str, str, str]:
    return "sha256", valid_digest(digest)[:2], f"{digest}{SUFFIX}"


def _missing(store: str, digest: str) -> CorruptBlobError:
    return CorruptBlobError(f"{store}: blob {digest} is missing", digest=digest, fault="missing")


def _checked(store: str, digest: str, data: bytes) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise CorruptBlobError(
            f"{store}: blob {digest} is damaged: its {len(data)} bytes have sha256 {found}",
            digest=digest,
            fault="damaged",
        )
    return data


class LocalBlobs:
    """Blobs in a folder of this machine or of a shared file system.

    Args:
        root: The folder; created by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.name = str(self.root)

    def write(self, data: bytes) -> str:
        """Store bytes and return their digest, see :meth:`Blobs.write`."""
        digest = hashlib.sha256(data).hexdigest()
        target = self._path(digest)
        incoming = self.root / "incoming" / uuid.uuid4().hex
        try:
            incoming.parent.mkdir(parents=True, exist_ok=True)
            _make_folder(target.parent, self.root)
            with incoming.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            incoming.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                incoming.unlink(missing_ok=True)
            raise UnavailableError(
                f"{self.name}: cannot store {len(data)} bytes of weights: {error.strerror or error}",
                remedy="Free some space or fix the folder's permissions, then submit again: "
                "what is complete is kept.",
            ) from error
        return digest

    def read(self, digest: str) -> bytes:
        """Return a blob's bytes, see :meth:`Blobs.read`."""
        try:
            data = self._path(digest).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise _missing(self.name, digest) from None
        except OSError as error:
            raise UnavailableError(
                f"{self.name}: cannot read blob {digest}: {error.strerror or error}",
                remedy="Check the disk and the folder's permissions.",
            ) from error
        return _checked(self.name, digest, data)

    def exists(self, digest: str) -> bool:
        """Return whether a file of that digest is there."""
        return self._path(digest).is_file()

    def size(self, digest: str) -> int | None:
        """Return the length of a file, see :meth:`Blobs.size`."""
        try:
            return self._path(digest).stat().st_size
        except OSError:
            return None

    def quarantine(self, digest: str) -> str | None:
        """Set a damaged blob aside, see :meth:`Blobs.quarantine`."""
        aside = self.root / QUARANTINE / f"{digest}.{uuid.uuid4().hex[:8]}{SUFFIX}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            self._path(digest).rename(aside)
        except OSError:
            return None
        # Between reading and moving, another process may have written it anew: look again.
        if hashlib.sha256(aside.read_bytes()).hexdigest() == digest:
            aside.replace(self._path(digest))
            return None
        return str(aside)

    def digests(self) -> Iterator[str]:
        """Yield the digest of every stored file."""
        for path in (self.root / "sha256").glob(f"??/*{SUFFIX}"):
            if _DIGEST.fullmatch(path.stem):
                yield path.stem

    def leftovers(self) -> Iterator[str]:
        """Yield temporary files older than a day."""
        for path in (self.root / "incoming").glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S:
                    yield str(path)

    def _path(self, digest: str) -> Path:
        return self.root.joinpath(*_parts(digest))


def _make_folder(folder: Path, root: Path) -> None:
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    # The new folders' own names must survive a power cut as well.
    for parent in (folder.parent, root):
        _sync_folder(parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RemoteBlobs:
    """Blobs behind an fsspec URL, for example ``s3://bucket/adapterlab``.

    Args:
        url: Where; credentials come from the environment, as the protocol's package reads them.

    Raises:
        UnavailableError: The protocol is unknown or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        parts = urlsplit(url)
        self.name = parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1], query="", fragment="").geturl()
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UnavailableError(
                f"cannot open the blob store {self.name}: {error}",
                remedy=f"Install the fsspec package for {parts.scheme!r}, or use a folder.",
            ) from error
        self._root = str(root).rstrip("/")
        self._atomic = parts.scheme.lower() in _OBJECT_STORES

    def write(self, data: bytes) -> str:
        """Store bytes and return their digest, see :meth:`Blobs.write`."""
        digest = hashlib.sha256(data).hexdigest()
        target = self._path(digest)
        with self._reaching(f"store {len(data)} bytes of weights"):
            self._files.makedirs(self._parent(target), exist_ok=True)
            if self._atomic:
                self._files.pipe_file(target, data)
            else:
                self._write_and_rename(target, data)
        return digest

    def read(self, digest: str) -> bytes:
        """Return a blob's bytes, see :meth:`Blobs.read`."""
        path = self._path(digest)
        with self._reaching(f"read blob {digest}"):
            try:
                data: bytes = self._files.cat_file(path)
            except FileNotFoundError:
                raise _missing(self.name, digest) from None
        return _checked(self.name, digest, data)

    def exists(self, digest: str) -> bool:
        """Return whether a file of that digest is there."""
        with self._reaching(f"look for blob {digest}"):
            return bool(self._files.isfile(self._path(digest)))

    def size(self, digest: str) -> int | None:  # noqa: ARG002
        """Return nothing: to ask for each blob would take a call each, see :meth:`Blobs.size`."""
        return None

    def quarantine(self, digest: str) -> str | None:
        """Set a damaged blob aside, see :meth:`Blobs.quarantine`."""
        source = self._path(digest)
        aside = f"{self._root}/{QUARANTINE}/{digest}.{uuid.uuid4().hex[:8]}{SUFFIX}"
        with self._reaching(f"set blob {digest} aside"):
            try:
                data: bytes = self._files.cat_file(source)
            except FileNotFoundError:
                return None
            if hashlib.sha256(data).hexdigest() == digest:
                return None
            self._files.makedirs(self._parent(aside), exist_ok=True)
            self._files.pipe_file(aside, data)
            self._files.rm_file(source)
        return aside

    def digests(self) -> Iterator[str]:
        """Yield the digest of every stored file."""
        with self._reaching("list the blobs"):
            try:
                found = self._files.find(f"{self._root}/sha256")
            except FileNotFoundError:
                return
        for path in found:
            stem = str(path).rsplit("/", 1)[-1].removesuffix(SUFFIX)
            if _DIGEST.fullmatch(stem):
                yield stem

    def leftovers(self) -> Iterator[str]:
        """Yield temporary files; their age is not known here, so only those of no live writer matter."""
        with self._reaching("list the temporary files"):
            try:
                found = list(self._files.find(f"{self._root}/incoming"))
            except FileNotFoundError:
                return
        yield from (str(path) for path in found)

    def _write_and_rename(self, target: str, data: bytes) -> None:
        incoming = f"{self._root}/incoming/{uuid.uuid4().hex}"
        self._files.makedirs(self._parent(incoming), exist_ok=True)
        try:
            self._files.pipe_file(incoming, data)
            if self._files.exists(target):
                self._files.rm_file(target)
            self._files.mv(incoming, target)
        except BaseException:
            with contextlib.suppress(Exception):
                self._files.rm_file(incoming)
            raise

    def _path(self, digest: str) -> str:
        return "/".join((self._root, *_parts(digest)))

    @staticmethod
    def _parent(path: str) -> str:
        return path.rsplit("/", 1)[0]

    @contextlib.contextmanager
    def _reaching(self, what: str) -> Iterator[Any]:
        # Each protocol's package has its own errors; whatever is not ours means the store failed.
        try:
            yield
        except (CorruptBlobError, UnavailableError):
            raise
        except Exception as error:
            raise UnavailableError(
                f"{self.name}: cannot {what}: {type(error).__name__}: {error}",
                remedy="Check the bucket's name, the credentials and the network.",
            ) from error
