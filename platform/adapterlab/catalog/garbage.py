"""Weights that nothing refers to, and what killed processes left in the blob store: found and removed.

A blob is named by its content, so a publication may need at any moment a blob that has lain unused for a
year. That it never loses it rests on this:

1. A publication writes its blob, even if it is there, and thereby makes it young. Young blobs are left alone.
2. Blobs are removed inside a transaction that keeps publications out: on SQLite by the one write lock, on
   PostgreSQL by a lock on the tables with blobs. In it the rows are asked again, and the blob's age.
3. A publication looks for its blob as the last thing in its own transaction, after its row is written. So
   of the two transactions one is first: either the row is seen here, or the removal is seen there. Then the
   weights are written again before it commits, while nothing can be removed.
4. In a folder a blob is first renamed into ``doomed/`` and its age looked at there, where nobody writes: a
   blob that was written anew between the look and the renaming, by whatever version of the code, goes back.

Without 1 publications would write their weights twice; without 2 and 3 a grace would be a guess; 4 is for
publishers of versions before 3.

What a run that takes long would go on from, in ``checkpoints/``, is removed when it is old and nobody is at work on
its step: who submits later trains from the beginning.

A collector that is killed has removed some blobs and not others, and may leave one in ``doomed/``. The next
one deletes it there, or puts it back if it is needed and has no twin.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from adapterlab.catalog import claims, schema, tenants
from adapterlab.catalog.blobs import CHECKPOINTS, DOOMED, INCOMING, QUARANTINE, Blobs, StoredFile, digest_of
from adapterlab.catalog.database import POSTGRES_SCHEMA, Database, chunks
from adapterlab.catalog.records import GarbageFile, GarbageReport
from adapterlab.errors import ConflictError

GRACE_S = 24 * 3600.0
"""Seconds since its last writing in which no blob is removed, unless another grace is asked for."""

HELD_S = 3600.0
"""Least age of temporary files that are removed, whatever the grace: nobody takes an hour to write one."""

Tell = Callable[[int, int], None]
"""Told how many blobs were looked at, and of how many."""

_BATCH = 50
_BATCH_S = 0.5
"""Blobs removed in one transaction, and seconds after which it ends before them: publications wait for it."""
_TELL_S = 0.25
_FEW = 20


@dataclass(frozen=True)
class Wanted:
    """What a collection is to do."""

    grace_s: float
    dry_run: bool
    quarantine: bool
    force: bool

    def __post_init__(self) -> None:
        if not (math.isfinite(self.grace_s) and self.grace_s >= 0):
            raise ValueError(f"a grace is a number of seconds, 0 or more, got {self.grace_s!r}")


def collect(database: Database, blobs: Blobs, wanted: Wanted, tell: Tell | None = None) -> GarbageReport:
    """Remove what nobody needs, see ``Catalog.collect_garbage``.

    Raises:
        ConflictError: The store seems to belong to another catalog; nothing was removed.
        UnavailableError: The store or the database cannot be reached.
    """
    now = blobs.clock()
    with database.reading() as connection:
        needed = _referenced(connection)
    known, unknown = 0, []
    # What is published meanwhile is young; and before a blob is removed the rows are asked again.
    for file in blobs.stored():
        if file.name in needed:
            known += 1
        else:
            unknown.append(file)
    strangers = tenants.others(database, blobs)
    doubt = _doubt(strangers, known, len(unknown))
    if doubt is not None and not (wanted.dry_run or wanted.force):
        raise ConflictError(
            f"{blobs.name}: {doubt}; nothing was removed",
            remedy="Look with --dry-run, and at ADAPTERLAB_CATALOG and ADAPTERLAB_BLOBS; --force removes all the same."
            + (f" If that catalog is gone for good, delete {next(iter(strangers))}." if strangers else ""),
        )
    before = now - wanted.grace_s
    old = [file for file in unknown if file.modified is not None and file.modified < before]
    ageless = sum(file.modified is None for file in unknown)
    restored: list[str] = []
    removed: Sequence[StoredFile] = old
    doomed = list(blobs.others(DOOMED))
    abandoned = _older(blobs.others(INCOMING), now, wanted.grace_s)
    abandoned += _unused_checkpoints(database, _older(blobs.others(CHECKPOINTS), now, wanted.grace_s))
    quarantined = list(blobs.others(QUARANTINE))
    if wanted.quarantine:
        quarantined = _older(quarantined, now, wanted.grace_s)
    if not wanted.dry_run:
        doubtful = [*doomed, *(quarantined if wanted.quarantine else ())]
        restored = database.write(lambda connection: _settle(connection, blobs, doubtful))
        removed = _remove(database, blobs, old, before, tell)
        for file in abandoned:
            blobs.discard(file)
    return GarbageReport(
        store=blobs.name,
        dry_run=wanted.dry_run,
        grace_s=wanted.grace_s,
        referenced=known,
        removed=_told(removed, now),
        young=len(unknown) - len(removed) - ageless,
        ageless=ageless,
        temporary=_told([*abandoned, *doomed], now),
        quarantined=_told(quarantined, now),
        quarantine_removed=wanted.quarantine,
        restored=tuple(sorted(restored)),
        doubt=doubt,
    )


def _unused_checkpoints(database: Database, files: Sequence[StoredFile]) -> list[StoredFile]:
    """Return checkpoints of steps that nobody is at work on."""
    with database.reading() as connection:
        held = claims.holders(connection, sorted(filter(None, map(digest_of, files))))
    return [file for file in files if digest_of(file) not in held]


def keep_stored(blobs: Blobs, digest: str, weights: bytes) -> None:
    """Make sure that weights are there, as the last thing before the transaction that wrote their row commits.

    Args:
        blobs: The store.
        digest: The blob's, written before the transaction.
        weights: Its bytes; written again if they were removed in between.

    Raises:
        UnavailableError: The store cannot be reached or written; nothing may be committed.
    """
    if not blobs.exists(digest):
        blobs.write(weights)


def _doubt(strangers: Mapping[str, str], known: int, unknown: int) -> str | None:
    """Return why the store may not be this catalog's alone."""
    if strangers:
        return f"{', '.join(sorted(set(strangers.values())))} keeps weights there as well"
    if unknown and not known:
        return (
            f"the catalog refers to none of the {unknown} stored weights, as if they were another catalog's"
        )
    if unknown > max(_FEW, known):
        return f"the catalog refers to {known} of {known + unknown} stored weights only, as if the rest were another catalog's"
    return None


def _remove(
    database: Database, blobs: Blobs, old: Sequence[StoredFile], before: float, tell: Tell | None
) -> list[StoredFile]:
    """Remove blobs that still nothing refers to, batch by batch; return those that were removed."""
    # Noted here, not returned: a transaction that is tried again does not find what it has removed already.
    gone: set[str] = set()

    def work(connection: Connection) -> int:
        _keep_publishers_out(connection)
        begun = time.monotonic()
        needed = _referenced(connection, [file.name for file in batch])
        for place, file in enumerate(batch, start=1):
            if file.name not in needed and blobs.remove(file.name, written_before=before):
                gone.add(file.name)
            if time.monotonic() - begun >= _BATCH_S:
                return place
        return len(batch)

    done, told_at = 0, 0.0
    while batch := old[done : done + _BATCH]:
        done += database.write(work)
        if tell is not None and (time.monotonic() - told_at >= _TELL_S or done == len(old)):
            told_at = time.monotonic()
            tell(done, len(old))
    return [file for file in old if file.name in gone]


def _settle(connection: Connection, blobs: Blobs, files: Sequence[StoredFile]) -> list[str]:
    """Delete doomed or quarantined files; return the digests that are needed, intact and were put back."""
    if not files:
        return []
    _keep_publishers_out(connection)
    needed = _referenced(connection, [digest_of(file) for file in files])
    back: list[str] = []
    for file in files:
        digest = digest_of(file)
        if digest and digest in needed and not blobs.exists(digest) and blobs.intact(file):
            blobs.restore(file)
            back.append(digest)
        else:
            blobs.discard(file)
    return back


def _keep_publishers_out(connection: Connection) -> None:
    """Wait for publications that have written their row, and hold off others, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        # In the order in which everybody else touches them, so that nobody waits in a circle.
        for table in schema.WITH_BLOBS:
            connection.execute(text(f"LOCK TABLE {POSTGRES_SCHEMA}.{table.__tablename__} IN SHARE MODE"))


def _referenced(connection: Connection, digests: Sequence[str] | None = None) -> set[str]:
    """Return the blobs that any row refers to, whatever its state; of some digests, or of all."""
    found: set[str] = set()
    for table in schema.WITH_BLOBS:
        if digests is None:
            found.update(connection.execute(select(table.blob).distinct()).scalars())
            continue
        for chunk in chunks(digests):
            found.update(connection.execute(select(table.blob).where(table.blob.in_(chunk))).scalars())
    return found


def _older(files: Iterable[StoredFile], now: float, grace_s: float) -> list[StoredFile]:
    before = now - max(grace_s, HELD_S)
    return [file for file in files if file.modified is not None and file.modified < before]


def _told(files: Iterable[StoredFile], now: float) -> tuple[GarbageFile, ...]:
    return tuple(
        GarbageFile(file.name, file.bytes, None if file.modified is None else max(0.0, now - file.modified))
        for file in sorted(files, key=lambda file: file.name)
    )
