"""How far steps are: what is written of them, which are done, and what people read in the light of claims."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select, union_all

from adapterlab.catalog import schema
from adapterlab.catalog.database import chunks, epoch_now, insert_into
from adapterlab.catalog.records import Holder, StepStatus
from adapterlab.records import State

_KEY = re.compile(r"[0-9a-f]{64}")


def valid_keys(keys: Iterable[str]) -> list[str]:
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
            for table in schema.RESULTS
            if table is not schema.JointRun
        ]
        parts.append(_whole_joint_runs(chunk))
        found.update(connection.execute(union_all(*parts)).scalars())
    return found


def _whole_joint_runs(keys: Sequence[str]) -> Select[Any]:
    """Return the query for joint runs that are stored with all of their tasks' adapters."""
    run, share, adapter = schema.JointRun, schema.Lineage, schema.Adapter
    kept = select(adapter.key).where(adapter.key == share.child, adapter.state == schema.COMPLETE).exists()
    lost = select(share.child).where(share.parent == run.key, ~kept).exists()
    return select(run.key).where(run.key.in_(keys), run.state == schema.COMPLETE, ~lost)


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


def statuses(
    connection: Connection, keys: Sequence[str], live: Mapping[str, Holder]
) -> dict[str, StepStatus]:
    """Return how far each step is; a step nobody has touched is pending.

    Args:
        connection: For reading.
        keys: Steps.
        live: Who holds which of them now.
    """
    complete = complete_keys(connection, keys)
    found: dict[str, StepStatus] = {}
    for chunk in chunks(keys):
        written = {
            row.step_key: row
            for row in connection.execute(
                select(schema.Progress.__table__).where(schema.Progress.step_key.in_(chunk))
            )
        }
        claimed = {
            row.step_key: row
            for row in connection.execute(
                select(schema.Claim.__table__).where(schema.Claim.step_key.in_(chunk))
            )
        }
        for key in chunk:
            found[key] = _status(key, key in complete, live.get(key), written.get(key), claimed.get(key))
    return found


def _status(key: str, complete: bool, holder: Holder | None, written: Any, claimed: Any) -> StepStatus:
    state = State(written.state) if written else State.PENDING
    reason = written.reason if written else None
    if complete:
        state, reason = State.COMPLETE, None
    elif holder is not None:
        state = State.RUNNING
    elif state is State.RUNNING and claimed is not None and claimed.owner is not None:
        state, reason = State.KILLED, "its owner went away; it can be resumed"
    elif state is State.COMPLETE:
        state, reason = State.PENDING, "its record is gone from the catalog"
    return StepStatus(
        key=key,
        state=state,
        owner=holder.owner if holder and state is State.RUNNING else None,
        done=written.done if written else 0,
        total=written.total if written else None,
        detail=written.detail if written else None,
        reason=reason,
        updated_at=written.updated_at if written else None,
        attempts=claimed.token if claimed else 0,
    )
