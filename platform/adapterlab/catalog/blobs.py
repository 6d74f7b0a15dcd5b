"""Weights by content: ``sha256/ab/<digest>.safetensors`` in a folder or behind an fsspec URL.

A blob becomes visible whole or not at all: it is written under a temporary name, flushed to disk,
and renamed. Every read is checked against the digest. A damaged blob is moved to ``quarantine/``,
so that somebody can look at it.

Both stores stand here, though the module is long: each method of one is read beside the other's.

Writing a blob that is there already writes it again: its age begins anew, by which
:mod:`adapterlab.catalog.garbage` knows that somebody is about to need it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from adapterlab.errors import CorruptBlobError, UnavailableError, UsageError

SUFFIX = ".safetensors"
INCOMING = "incoming"
"""Folder of files that are being written, or whose writer was killed."""
QUARANTINE = "quarantine"
"""Folder of damaged blobs."""
MARKS = "catalogs"
"""Folder of the marks of the catalogs that keep weights here."""
CHECKPOINTS = "checkpoints"
"""Folder of what runs that take long go on from, one file a step, named by its key."""
DOOMED = "doomed"
"""Folder of blobs that are being removed, or whose remover was killed."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# One PUT to these is atomic, and a rename is a copy: write the final name at once.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
_LEFTOVER_AGE_S = 24 * 3600.0
_MODIFIED = ("mtime", "LastModified", "last_modified", "modified", "updated")
"""What the packages of the protocols call a file's modification time."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a store."""

    name: str
    """A blob's digest; of any other file its whole path or URL, for messages and for ``discard``."""
    bytes: int
    """Its length."""
    modified: float | None
    """When it was written last, in seconds since 1970 by the store's clock; ``None``: the store does not say."""


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

    def keep_checkpoint(self, key: str, data: bytes) -> None:
        """Keep what a step's run goes on from, in place of what was kept before.

        Raises:
            UnavailableError: The store cannot be written; what was kept before still is.
        """

    def checkpoint(self, key: str) -> bytes | None:
        """Return what a step's run goes on from; ``None`` where there is nothing, or it is damaged.

        Raises:
            UnavailableError: The store cannot be reached.
        """

    def drop_checkpoint(self, key: str) -> None:
        """Delete what a step's run would go on from; nothing being there is no fault.

        Raises:
            UnavailableError: The store cannot be reached.
        """

    def digests(self) -> Iterator[str]:
        """Yield the digest of every stored file."""

    def leftovers(self) -> Iterator[str]:
        """Yield temporary files older than a day, left by writers that were killed."""

    def clock(self) -> float:
        """Return the store's own time, in seconds since 1970, as its files' ages are measured by.

        Raises:
            UnavailableError: The store cannot be reached or written.
        """

    def mark(self, name: str, content: bytes) -> None:
        """Keep a small file of that name beside the blobs, unless it is there.

        Raises:
            UnavailableError: The store cannot be reached or written.
        """

    def marks(self) -> dict[str, bytes]:
        """Return the contents of all marks by their path or URL."""

    def stored(self) -> Iterator[StoredFile]:
        """Yield every stored blob with its length and age."""

    def remove(self, digest: str, *, written_before: float) -> bool:
        """Remove a blob, unless it was written at that time or later; return whether it was removed.

        Call it only while nobody can publish, see :mod:`adapterlab.catalog.garbage`.
        """

    def others(self, folder: str) -> Iterator[StoredFile]:
        """Yield the files of ``INCOMING``, ``QUARANTINE``, ``CHECKPOINTS`` or ``DOOMED``."""

    def discard(self, file: StoredFile) -> None:
        """Delete a file that :meth:`others` gave; one that is gone is no fault."""

    def restore(self, file: StoredFile) -> None:
        """Give a doomed or quarantined file its place among the blobs back."""

    def intact(self, file: StoredFile) -> bool:
        """Return whether a doomed or quarantined file holds the bytes of its digest; false if it is gone."""


def open_blobs(url: str) -> Blobs:
    """Return the blob store at a folder, a ``file://`` URL or any fsspec URL.

    Raises:
        UnavailableError: The URL's protocol is unknown or its package is not installed.
        UsageError: The URL is malformed.
    """
    try:
        urlsplit(url)
    except ValueError as error:
        raise UsageError(
            f"the blob store's URL is malformed: {error}",
            remedy="Use a folder, or an fsspec URL such as s3://<bucket>/<folder>.",
        ) from None
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


def _sealed(data: bytes) -> bytes:
    """Return a checkpoint's bytes behind their sha256."""
    return hashlib.sha256(data).digest() + data


def _unsealed(stored: bytes) -> bytes | None:
    """Return what :func:`_sealed` was given; ``None`` if it was damaged since."""
    size = hashlib.sha256().digest_size
    data = stored[size:]
    return data if hashlib.sha256(data).digest() == stored[:size] else None


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
        self._place(self._path(digest), data)
        return digest

    def _place(self, target: Path, data: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            UnavailableError: It cannot be written.
        """
        incoming = self.root / INCOMING / uuid.uuid4().hex
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

    def keep_checkpoint(self, key: str, data: bytes) -> None:
        """Keep what a step goes on from, see :meth:`Blobs.keep_checkpoint`."""
        self._place(self._checkpoint(key), _sealed(data))

    def checkpoint(self, key: str) -> bytes | None:
        """Return what a step goes on from, see :meth:`Blobs.checkpoint`."""
        with self._changing(f"read the checkpoint of step {key}"):
            try:
                return _unsealed(self._checkpoint(key).read_bytes())
            except FileNotFoundError:
                return None

    def drop_checkpoint(self, key: str) -> None:
        """Delete what a step goes on from, see :meth:`Blobs.drop_checkpoint`."""
        with self._changing(f"delete the checkpoint of step {key}"):
            self._checkpoint(key).unlink(missing_ok=True)

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
        path = self._path(digest)
        # Opened, not looked at: a network file system then asks its server instead of its memory.
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return path.is_file()

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
            os.utime(aside)  # its age is how long it has been here
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
        yield from _older(self.others(INCOMING), time.time() - _LEFTOVER_AGE_S)

    def clock(self) -> float:
        """Return the file system's time, see :meth:`Blobs.clock`; this machine's where it cannot be written."""
        # A network file system's server stamps the files: its clock may not be ours.
        probe = self.root / INCOMING / uuid.uuid4().hex
        try:
            probe.touch(mode=0o600, exist_ok=False)
            return probe.stat().st_mtime
        except OSError:
            return time.time()
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def mark(self, name: str, content: bytes) -> None:
        """Keep a small file, see :meth:`Blobs.mark`."""
        target = self.root / MARKS / f"{name}.json"
        if target.exists():
            return
        draft = self.root / INCOMING / uuid.uuid4().hex
        with self._changing(f"write {target}"):
            for folder in (draft.parent, target.parent):
                folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(target)

    def marks(self) -> dict[str, bytes]:
        """Return the contents of all marks by their path."""
        with self._changing("read the marks of its catalogs"):
            return {str(path): path.read_bytes() for path in sorted((self.root / MARKS).glob("*.json"))}

    def stored(self) -> Iterator[StoredFile]:
        """Yield every stored blob with its length and age."""
        for digest in self.digests():
            with contextlib.suppress(FileNotFoundError):
                yield _stored(self._path(digest), digest)

    def remove(self, digest: str, *, written_before: float) -> bool:
        """Remove a blob, see :meth:`Blobs.remove`."""
        path = self._path(digest)
        doomed = self.root / DOOMED / f"{digest}.{uuid.uuid4().hex[:8]}{SUFFIX}"
        with self._changing(f"remove blob {digest}"):
            try:
                if path.stat().st_mtime >= written_before:
                    return False
                doomed.parent.mkdir(parents=True, exist_ok=True)
                path.rename(doomed)
            except FileNotFoundError:
                return False
            # What is set aside is looked at again: it may have been written anew in between.
            with contextlib.suppress(FileNotFoundError):
                if doomed.stat().st_mtime >= written_before:
                    doomed.replace(path)
                    return False
                doomed.unlink()
        return True

    def others(self, folder: str) -> Iterator[StoredFile]:
        """Yield the files of one of the other folders."""
        for path in sorted((self.root / folder).glob("*")):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    yield _stored(path, str(path))

    def discard(self, file: StoredFile) -> None:
        """Delete a file, see :meth:`Blobs.discard`."""
        with self._changing(f"delete {file.name}"):
            Path(file.name).unlink(missing_ok=True)

    def restore(self, file: StoredFile) -> None:
        """Give a doomed file its place back, see :meth:`Blobs.restore`."""
        target = self._path(digest_of(file))
        with self._changing(f"put {file.name} back"), contextlib.suppress(FileNotFoundError):
            _make_folder(target.parent, self.root)
            Path(file.name).replace(target)

    def intact(self, file: StoredFile) -> bool:
        """Return whether a file holds the bytes of its digest, see :meth:`Blobs.intact`."""
        with self._changing(f"read {file.name}"), contextlib.suppress(FileNotFoundError):
            return hashlib.sha256(Path(file.name).read_bytes()).hexdigest() == digest_of(file)
        return False

    @contextlib.contextmanager
    def _changing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(
                f"{self.name}: cannot {what}: {error.strerror or error}",
                remedy="Fix the folder's permissions, then run the command again: it goes on where it was.",
            ) from error

    def _path(self, digest: str) -> Path:
        return self.root.joinpath(*_parts(digest))

    def _checkpoint(self, key: str) -> Path:
        return self.root / CHECKPOINTS / f"{valid_digest(key)}{SUFFIX}"


def digest_of(file: StoredFile) -> str:
    """Return the digest in the name of a doomed or quarantined file; empty if it has none."""
    name = file.name.rsplit("/", 1)[-1].partition(".")[0]
    return name if _DIGEST.fullmatch(name) else ""


def _stored(path: Path, name: str) -> StoredFile:
    facts = path.stat()
    return StoredFile(name, facts.st_size, facts.st_mtime)


def _older(files: Iterator[StoredFile], than: float) -> Iterator[str]:
    yield from (file.name for file in files if file.modified is not None and file.modified < than)


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
        self._place(self._path(digest), data)
        return digest

    def _place(self, target: str, data: bytes) -> None:
        with self._reaching(f"store {len(data)} bytes of weights"):
            self._files.makedirs(self._parent(target), exist_ok=True)
            if self._atomic:
                self._files.pipe_file(target, data)
            else:
                self._write_and_rename(target, data)

    def keep_checkpoint(self, key: str, data: bytes) -> None:
        """Keep what a step goes on from, see :meth:`Blobs.keep_checkpoint`."""
        self._place(self._checkpoint(key), _sealed(data))

    def checkpoint(self, key: str) -> bytes | None:
        """Return what a step goes on from, see :meth:`Blobs.checkpoint`."""
        with self._reaching(f"read the checkpoint of step {key}"):
            try:
                return _unsealed(self._files.cat_file(self._checkpoint(key)))
            except FileNotFoundError:
                return None

    def drop_checkpoint(self, key: str) -> None:
        """Delete what a step goes on from, see :meth:`Blobs.drop_checkpoint`."""
        place = self._checkpoint(key)
        with self._reaching(f"delete the checkpoint of step {key}"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(place)

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
        path = self._path(digest)
        with self._reaching(f"look for blob {digest}"):
            self._forget_listings(path)
            return bool(self._files.isfile(path))

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
        """Yield temporary files older than a day."""
        yield from _older(self.others(INCOMING), time.time() - _LEFTOVER_AGE_S)

    def clock(self) -> float:
        """Return the store's own time, see :meth:`Blobs.clock`."""
        probe = f"{self._root}/{INCOMING}/{uuid.uuid4().hex}"
        with self._reaching("ask the store for its time"):
            self._files.makedirs(self._parent(probe), exist_ok=True)
            self._files.pipe_file(probe, b"")
            try:
                now = self._look(probe).modified
            finally:
                self._files.rm_file(probe)
        # A store that tells no times gives its blobs no age either, and none is removed.
        return time.time() if now is None else now

    def mark(self, name: str, content: bytes) -> None:
        """Keep a small file, see :meth:`Blobs.mark`."""
        target = f"{self._root}/{MARKS}/{name}.json"
        with self._reaching(f"write {target}"):
            if not self._files.exists(target):
                self._files.makedirs(self._parent(target), exist_ok=True)
                self._files.pipe_file(target, content)

    def marks(self) -> dict[str, bytes]:
        """Return the contents of all marks by their URL's path."""
        found = self._list(MARKS)
        with self._reaching("read the marks of its catalogs"):
            return {file.name: self._files.cat_file(file.name) for file in found}

    def stored(self) -> Iterator[StoredFile]:
        """Yield every stored blob with its length and age."""
        for file in self._list("sha256"):
            digest = file.name.rsplit("/", 1)[-1].removesuffix(SUFFIX)
            if _DIGEST.fullmatch(digest):
                yield StoredFile(digest, file.bytes, file.modified)

    def remove(self, digest: str, *, written_before: float) -> bool:
        """Remove a blob, see :meth:`Blobs.remove`."""
        path = self._path(digest)
        with self._reaching(f"remove blob {digest}"):
            try:
                modified = self._look(path).modified
                if modified is None or modified >= written_before:
                    return False
                self._files.rm_file(path)
            except FileNotFoundError:
                return False
        return True

    def others(self, folder: str) -> Iterator[StoredFile]:
        """Yield the files of one of the other folders."""
        yield from self._list(folder)

    def discard(self, file: StoredFile) -> None:
        """Delete a file, see :meth:`Blobs.discard`."""
        with self._reaching(f"delete {file.name}"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(file.name)

    def restore(self, file: StoredFile) -> None:
        """Give a doomed file its place back, see :meth:`Blobs.restore`; here none is ever doomed by itself."""
        target = self._path(digest_of(file))
        with self._reaching(f"put {file.name} back"), contextlib.suppress(FileNotFoundError):
            self._files.makedirs(self._parent(target), exist_ok=True)
            self._files.mv(file.name, target)

    def intact(self, file: StoredFile) -> bool:
        """Return whether a file holds the bytes of its digest, see :meth:`Blobs.intact`."""
        with self._reaching(f"read {file.name}"), contextlib.suppress(FileNotFoundError):
            return hashlib.sha256(self._files.cat_file(file.name)).hexdigest() == digest_of(file)
        return False

    def _list(self, folder: str) -> list[StoredFile]:
        with self._reaching(f"list {folder}"):
            self._forget_listings(f"{self._root}/{folder}")
            try:
                found: Mapping[str, Any] = self._files.find(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return []
            return [self._described(str(path), facts) for path, facts in sorted(found.items())]

    def _look(self, path: str) -> StoredFile:
        self._forget_listings(path)
        return self._described(path, self._files.info(path))

    def _described(self, path: str, facts: Mapping[str, Any]) -> StoredFile:
        said = next((facts[name] for name in _MODIFIED if facts.get(name) is not None), None)
        if said is None:
            with contextlib.suppress(NotImplementedError):
                said = self._files.modified(path)
        return StoredFile(path, int(facts.get("size") or 0), _seconds(said))

    def _forget_listings(self, path: str) -> None:
        # Packages remember folders they have listed; what others did since would not be seen.
        for folder in (path, self._parent(path)):
            self._files.invalidate_cache(folder)

    def _write_and_rename(self, target: str, data: bytes) -> None:
        incoming = f"{self._root}/{INCOMING}/{uuid.uuid4().hex}"
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

    def _checkpoint(self, key: str) -> str:
        return f"{self._root}/{CHECKPOINTS}/{valid_digest(key)}{SUFFIX}"

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


def _seconds(said: object) -> float | None:
    """Return a time as a package tells it, in seconds since 1970."""
    if isinstance(said, str):
        with contextlib.suppress(ValueError):
            said = datetime.fromisoformat(said)
    if isinstance(said, datetime):
        # Without a zone it is UTC: stores do not know ours.
        return (said if said.tzinfo is not None else said.replace(tzinfo=UTC)).timestamp()
    return float(said) if isinstance(said, int | float) else None
