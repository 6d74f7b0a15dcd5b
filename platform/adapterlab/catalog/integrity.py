"""Weights that are missing or damaged: found, set aside, and their steps made to do again."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, case, func, select, update

from adapterlab.catalog import schema
from adapterlab.catalog.blobs import Blobs
from adapterlab.catalog.database import Database, chunks
from adapterlab.catalog.records import BlobReport
from adapterlab.catalog.step_status import write_progress
from adapterlab.errors import ConflictError, CorruptBlobError
from adapterlab.records import State


def read_or_set_aside(database: Database, blobs: Blobs, digest: str) -> bytes:
    """Return a blob's bytes; if damaged or missing, set it aside and mark its records corrupt.

    Raises:
        CorruptBlobError: The blob is damaged or missing; its steps count as not done from now on.
        ConflictError: The store holds nothing at all: it is another one, or is not mounted. Nothing was marked.
        UnavailableError: The store cannot be reached; nothing was marked.
    """
    try:
        return blobs.read(digest)
    except CorruptBlobError as error:
        if error.details.get("fault") == "missing":
            check_not_empty(blobs)
        return _set_aside(database, blobs, digest, error)


def check_not_empty(blobs: Blobs) -> None:
    """Check that a store whose weights the catalog knows holds any.

    Raises:
        ConflictError: It holds none: one that is lost for good is for ``platform doctor --repair``.
    """
    if next(iter(blobs.digests()), None) is None:
        raise ConflictError(
            f"the catalog has results, but the blob store {blobs.name} is empty",
            remedy="Point store.blobs (or ADAPTERLAB_BLOBS) to where their weights are kept; if they are lost "
            "for good, `platform doctor --repair` marks them to be trained again.",
        )


def _set_aside(database: Database, blobs: Blobs, digest: str, error: CorruptBlobError) -> bytes:
    """Set a blob aside and mark its records; return its bytes if another process wrote it anew meanwhile."""
    aside = blobs.quarantine(digest) if error.details.get("fault") == "damaged" else None
    keys = database.write(lambda connection: mark_corrupt(connection, blobs, digest))
    if not keys and _intact(blobs, digest):
        return blobs.read(digest)
    raise CorruptBlobError(
        error.message,
        remedy=f"{'It was moved to ' + aside + '. ' if aside else ''}"
        "Submit the spec again: what needs these weights is trained anew.",
        **error.details,
        quarantined=aside,
        keys=keys,
    ) from error


def mark_corrupt(connection: Connection, blobs: Blobs, digest: str) -> list[str]:
    """Mark the records of a blob that is not there; return their keys. Does nothing if it is back."""
    if _there(blobs, digest):
        return []
    keys: list[str] = []
    for table in schema.WITH_BLOBS:
        changed = (
            update(table)
            .where(table.blob == digest, table.state == schema.COMPLETE)
            .values(state=schema.CORRUPT)
            .returning(table.key)
        )
        keys.extend(connection.execute(changed).scalars())
    keys.sort()
    for chunk in chunks(keys):
        write_progress(
            connection, chunk, state=State.PENDING, reason=f"its weights (blob {digest[:12]}) were damaged"
        )
    return keys


def verify(database: Database, blobs: Blobs, *, deep: bool) -> BlobReport:
    """Compare the records with the blobs; changes nothing.

    Args:
        database: The catalog's database.
        blobs: The store of weights.
        deep: Read every blob and compare its sha256; otherwise only look whether it is there, and as long
            as it was.

    Raises:
        UnavailableError: The store or the database cannot be reached.
    """
    # Listed before the rows are read: a blob published in between then is no orphan by mistake.
    stored = set(blobs.digests())
    needed: dict[str, list[str]] = defaultdict(list)
    lengths: dict[str, int] = {}
    with database.reading() as connection:
        for table in schema.WITH_BLOBS:
            rows = connection.execute(
                select(table.blob, table.key, table.blob_bytes).where(table.state == schema.COMPLETE)
            )
            for row in rows:
                needed[row.blob].append(row.key)
                lengths[row.blob] = row.blob_bytes
        noted = {
            digest
            for table in schema.WITH_BLOBS
            for digest in connection.execute(
                select(table.blob).where(table.state != schema.COMPLETE)
            ).scalars()
        }
    missing = {digest: _sorted(keys) for digest, keys in needed.items() if digest not in stored}
    missing = {digest: keys for digest, keys in missing.items() if not _there(blobs, digest)}
    damaged = {
        digest: _sorted(keys)
        for digest, keys in needed.items()
        if digest not in missing
        and (blobs.size(digest) not in (None, lengths[digest]) or (deep and not _intact(blobs, digest)))
    }
    return BlobReport(
        checked=len(needed),
        missing=missing,
        damaged=damaged,
        orphans=_sorted(stored - set(needed) - noted),
        leftovers=tuple(sorted(blobs.leftovers())),
    )


def repair(database: Database, blobs: Blobs, report: BlobReport) -> list[str]:
    """Set damaged blobs aside and mark the records of a report; return the keys to do again."""
    keys: list[str] = []
    for digest in [*report.missing, *report.damaged]:
        try:
            try:
                blobs.read(digest)
            except CorruptBlobError as error:
                _set_aside(database, blobs, digest, error)
        except CorruptBlobError as error:
            keys.extend(error.details.get("keys", []))
    return sorted(keys)


def lost_rows(database: Database) -> dict[str, str]:
    """Return the records some of whose rows are gone, by key, with what is lost; changes nothing.

    Raises:
        UnavailableError: The database cannot be reached.
    """
    found: dict[str, str] = {}
    transfers, studies, adapters = schema.Transfer, schema.Study, schema.Adapter
    with database.reading() as connection:
        found |= _without_metrics(connection)
        study = select(studies.key).where(studies.key == transfers.study_key).exists()
        for row in connection.execute(
            select(transfers.key, transfers.study_key).where(transfers.state == schema.COMPLETE, ~study)
        ):
            found[row.key] = f"its study {row.study_key[:12]}"
        found |= _studies_without_parents(connection)
        counts = dict(
            connection.execute(
                select(schema.Coefficient.transfer_key, func.count()).group_by(
                    schema.Coefficient.transfer_key
                )
            ).all()
        )
        for row in connection.execute(
            select(transfers.key, transfers.coefficient_shape).where(transfers.state == schema.COMPLETE)
        ):
            expected = math.prod(row.coefficient_shape[:2]) if row.coefficient_shape else 0
            if counts.get(row.key, 0) < expected:
                found.setdefault(row.key, "its coefficients")
        done = select(schema.Progress.step_key).where(schema.Progress.state == str(State.COMPLETE))
        steps = set(connection.execute(done).scalars())
        recorded = set(
            connection.execute(
                select(adapters.key).union(
                    select(schema.JointRun.key),
                    select(schema.Selection.key),
                    select(studies.key),
                    select(transfers.key),
                )
            ).scalars()
        )
        found |= dict.fromkeys(steps - recorded, "its record")
    return dict(sorted(found.items()))


def _without_metrics(connection: Connection) -> dict[str, str]:
    """Return the adapters and transfers that have fewer metrics than they say."""
    adapters, metric = schema.Adapter, schema.Metric
    found: dict[str, str] = {}
    for table in (adapters, schema.Transfer):
        there = select(func.count()).where(metric.key == table.key).scalar_subquery()
        # A version that did not count them wrote one at least, unless it was imported.
        uncounted = case((adapters.origin.is_(None), 1), else_=0) if table is adapters else 1
        written = func.coalesce(table.n_metrics, uncounted)
        lost = select(table.key).where(table.state == schema.COMPLETE, there < written)
        found |= dict.fromkeys(connection.execute(lost).scalars(), "some of its metrics")
    return found


def _studies_without_parents(connection: Connection) -> dict[str, str]:
    """Return the studies whose selection or one of whose source adapters is gone, with which."""
    found: dict[str, str] = {}
    adapters = set(connection.execute(select(schema.Adapter.key)).scalars())
    selections = set(connection.execute(select(schema.Selection.key)).scalars())
    studies = schema.Study
    for row in connection.execute(
        select(studies.key, studies.pool, studies.selection).where(studies.state == schema.COMPLETE)
    ):
        gone = [entry["key"] for entry in row.pool if entry.get("key") not in adapters]
        if gone:
            found[row.key] = f"its source adapter {str(gone[0])[:12]}"
        elif row.selection is not None and row.selection not in selections:
            found[row.key] = f"its selection {row.selection[:12]}"
    return found


def do_again(connection: Connection, lost: Mapping[str, str]) -> None:
    """Make steps count as not done: what :func:`lost_rows` found of them."""
    for chunk in chunks(sorted(lost)):
        for table in schema.RESULTS:
            connection.execute(
                update(table)
                .where(table.key.in_(chunk), table.state == schema.COMPLETE)
                .values(state=schema.CORRUPT)
            )
        write_progress(connection, chunk, state=State.PENDING, reason="some of its rows were lost")


def _there(blobs: Blobs, digest: str) -> bool:
    try:
        return blobs.exists(digest)
    except CorruptBlobError:
        return False


def _intact(blobs: Blobs, digest: str) -> bool:
    try:
        blobs.read(digest)
    except CorruptBlobError:
        return False
    return True


def _sorted(keys: Sequence[str] | set[str]) -> tuple[str, ...]:
    return tuple(sorted(keys))
