"""What a person is told of a step: its progress, seen in the light of its claim and its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from adapterlab.catalog import schema
from adapterlab.catalog.claims import holders
from adapterlab.catalog.database import chunks
from adapterlab.catalog.records import Holder, StepStatus
from adapterlab.catalog.steps import complete_keys
from adapterlab.records import State


def statuses(connection: Connection, keys: Sequence[str]) -> dict[str, StepStatus]:
    """Return how far each step is; a step nobody has touched is pending."""
    complete = complete_keys(connection, keys)
    live = holders(connection, keys)
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
