"""Sweeps as a whole: their steps, state, cancellation; and which MLflow run belongs to what."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from adapterlab.catalog import schema
from adapterlab.catalog.claims import holders
from adapterlab.catalog.database import epoch_now, insert_into
from adapterlab.catalog.owners import owner_is_dead
from adapterlab.catalog.records import SweepRecord, SweepStep
from adapterlab.errors import NotFoundError
from adapterlab.records import State, StepKind

_NAMES_COMPARED = 1000


def open_sweep(
    connection: Connection, key: str, name: str, spec: str, steps: Sequence[SweepStep], owner: str
) -> None:
    """Record a submitted sweep as running; a request to cancel it from before is forgotten."""
    sweep = insert_into(connection, schema.Sweep).values(
        key=key,
        name=name,
        spec=spec,
        state=str(State.RUNNING),
        owner=owner,
        created_at=epoch_now(),
        updated_at=epoch_now(),
        cancel_requested_at=None,
    )
    replaced = ("name", "spec", "state", "owner", "updated_at", "cancel_requested_at")
    connection.execute(
        sweep.on_conflict_do_update(
            index_elements=["key"], set_={column: sweep.excluded[column] for column in replaced}
        )
    )
    connection.execute(delete(schema.SweepStep).where(schema.SweepStep.sweep_key == key))
    rows = [
        {
            "sweep_key": key,
            "position": step.position,
            "step_id": step.id,
            "step_key": step.key,
            "kind": str(step.kind),
            "title": step.title,
            "needs": list(step.needs),
        }
        for step in steps
    ]
    if rows:
        connection.execute(insert(schema.SweepStep), rows)


def find_sweep(connection: Connection, text: str) -> SweepRecord:
    """Return the sweep with this key, key prefix (8 or more digits), or the latest of this name.

    Raises:
        NotFoundError: There is none; the remedy names the nearest.
    """
    table = schema.Sweep
    by_key = select(table.__table__).where(table.key == text)
    by_name = (
        select(table.__table__)
        .where(table.name == text)
        .order_by(table.updated_at.desc(), table.key)
        .limit(1)
    )
    row = connection.execute(by_key).first() or connection.execute(by_name).first()
    if row is None and 8 <= len(text) < 64:
        starting = table.key.startswith(text, autoescape=True)
        matches = connection.execute(select(table.__table__).where(starting).limit(2)).all()
        row = matches[0] if len(matches) == 1 else None
    if row is None:
        raise NotFoundError(f"no sweep named {text[:80]!r}", remedy=_near(connection, text))
    return _sweep(connection, row, with_steps=True)


def list_sweeps(connection: Connection, limit: int | None) -> list[SweepRecord]:
    """Return sweeps without their steps, the one last changed first."""
    statement = select(schema.Sweep.__table__).order_by(schema.Sweep.updated_at.desc(), schema.Sweep.key)
    rows = connection.execute(statement.limit(limit)).all()
    return [_sweep(connection, row, with_steps=False) for row in rows]


def sweeps_with(connection: Connection, step_key: str) -> list[SweepRecord]:
    """Return the sweeps that have a step, without their steps, the one last changed first."""
    table, steps = schema.Sweep, schema.SweepStep
    keys = select(steps.sweep_key).where(steps.step_key == step_key)
    statement = (
        select(table.__table__).where(table.key.in_(keys)).order_by(table.updated_at.desc(), table.key)
    )
    rows = connection.execute(statement).all()
    return [_sweep(connection, row, with_steps=False) for row in rows]


def set_state(connection: Connection, key: str, state: State) -> bool:
    """Write a sweep's state; return whether there is such a sweep."""
    changed = connection.execute(
        update(schema.Sweep).where(schema.Sweep.key == key).values(state=str(state), updated_at=epoch_now())
    )
    return changed.rowcount > 0


def request_cancel(connection: Connection, key: str) -> bool:
    """Ask a running sweep to stop; return whether it was running."""
    changed = connection.execute(
        update(schema.Sweep)
        .where(schema.Sweep.key == key, schema.Sweep.state.in_([str(State.RUNNING), str(State.PENDING)]))
        .values(cancel_requested_at=epoch_now(), updated_at=epoch_now())
    )
    return changed.rowcount > 0


def cancel_requested(connection: Connection, key: str) -> bool:
    """Return whether somebody asked this sweep to stop."""
    statement = select(schema.Sweep.cancel_requested_at).where(schema.Sweep.key == key)
    return connection.execute(statement).scalar() is not None


def record_run(connection: Connection, node: str, run_id: str, *, replace: bool) -> str:
    """Keep a node's MLflow run; return the run that is kept, an earlier one unless ``replace``."""
    row = insert_into(connection, schema.TrackingRun).values(node=node, run_id=run_id, created_at=epoch_now())
    if replace:
        connection.execute(row.on_conflict_do_update(index_elements=["node"], set_={"run_id": run_id}))
        return run_id
    connection.execute(row.on_conflict_do_nothing())
    return run_of(connection, node) or run_id


def run_of(connection: Connection, node: str) -> str | None:
    """Return a node's MLflow run."""
    statement = select(schema.TrackingRun.run_id).where(schema.TrackingRun.node == node)
    return connection.execute(statement).scalar()


def _sweep(connection: Connection, row: Any, *, with_steps: bool) -> SweepRecord:
    steps = _steps(connection, row.key) if with_steps else ()
    return SweepRecord(
        key=row.key,
        name=row.name,
        spec=row.spec,
        state=_effective(connection, row),
        owner=row.owner,
        created_at=row.created_at,
        updated_at=row.updated_at,
        cancel_requested=row.cancel_requested_at is not None,
        steps=steps,
    )


def _effective(connection: Connection, row: Any) -> State:
    """Return ``killed`` for a sweep whose process is gone and whose steps nobody holds."""
    state = State(row.state)
    if state is not State.RUNNING or row.owner is None or not owner_is_dead(row.owner):
        return state
    keys = [step.key for step in _steps(connection, row.key) if step.key is not None]
    return State.RUNNING if holders(connection, keys) else State.KILLED


def _steps(connection: Connection, key: str) -> tuple[SweepStep, ...]:
    table = schema.SweepStep
    statement = select(table.__table__).where(table.sweep_key == key).order_by(table.position)
    return tuple(
        SweepStep(row.position, row.step_key, StepKind(row.kind), row.title, tuple(row.needs), row.step_id)
        for row in connection.execute(statement)
    )


def _near(connection: Connection, text: str) -> str:
    table = schema.Sweep
    statement = select(table.name).order_by(table.updated_at.desc()).limit(_NAMES_COMPARED)
    names = list(dict.fromkeys(connection.execute(statement).scalars()))
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names[:5])}." if names else "No spec was submitted yet."
