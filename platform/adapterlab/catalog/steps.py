"""How far a step is, and which steps are done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select, union_all

from adapterlab.catalog import schema
from adapterlab.catalog.database import chunks, epoch_now, insert_into
from adapterlab.records import State

_KEY = re.compile(r"[0-9a-f]{64}")


def checked_keys(keys: Iterable[str]) -> list[str]:
    """Return step keys sorted, each once.

    Raises:
        ValueError: One of them is not 64 hexadecimal digits.
    """
    distinct = sorted(set(keys))
    for key in distinct:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a step key is 64 hexadecimal digits, got {key[:80]!r}")
    return distinct


def complete_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Return the steps whose result is stored and not known to be damaged."""
    found: set[str] = set()
    for chunk in chunks(keys):
        parts = [
            select(table.key).where(table.key.in_(chunk), table.state == schema.COMPLETE)
            for table in (schema.Adapter, schema.Study, schema.Transfer)
        ]
        found.update(connection.execute(union_all(*parts)).scalars())
    return found


def write_progress(connection: Connection, keys: Sequence[str], *, state: State, **values: Any) -> None:
    """Insert or replace the progress of steps.

    Args:
        connection: In a write transaction.
        keys: Steps, at most ``CHUNK``.
        state: The new state.
        **values: ``done``, ``total``, ``detail``, ``reason``; what is left out is reset.
    """
    row: dict[str, Any] = {"done": 0, "total": None, "detail": None, "reason": None, **values}
    row |= {"state": str(state), "updated_at": epoch_now()}
    if state is State.COMPLETE:
        # What was counted last stays; a finished step has no current detail.
        del row["total"]
        changed = {name: row[name] for name in ("state", "detail", "reason", "updated_at")}
    else:
        changed = row
    insert = insert_into(connection, schema.Progress).values([{"step_key": key, **row} for key in keys])
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[schema.Progress.step_key],
            set_={name: insert.excluded[name] for name in changed},
        )
    )
