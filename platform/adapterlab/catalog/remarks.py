"""What people call records, and what they note of them; of no consequence to any step."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from adapterlab.catalog import schema
from adapterlab.catalog.database import chunks, insert_into
from adapterlab.catalog.publish import now
from adapterlab.catalog.records import Annotation


def annotations_of(connection: Connection, keys: Sequence[str]) -> dict[str, Annotation]:
    """Return what is noted of records, by key; those of which nothing is are left out."""
    found: dict[str, Annotation] = {}
    for chunk in chunks(keys):
        for row in connection.execute(
            select(schema.Annotation.__table__).where(schema.Annotation.key.in_(chunk))
        ):
            found[row.key] = Annotation(row.key, row.name, row.note, tuple(row.tags))
    return found


def annotate(connection: Connection, wanted: Annotation) -> None:
    """Write what is noted of a record, in place of what was; nothing at all takes the row away."""
    if wanted == Annotation(wanted.key):
        connection.execute(delete(schema.Annotation).where(schema.Annotation.key == wanted.key))
        return
    values = {
        "name": wanted.name,
        "note": wanted.note,
        "tags": sorted(set(wanted.tags)),
        "updated_at": now(connection),
    }
    insert = insert_into(connection, schema.Annotation).values(key=wanted.key, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_=values))
