"""Sweeps as a whole: their steps, state, cancellation; and which MLflow run belongs to what."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from adapterlab.catalog import schema
from adapterlab.catalog.claims import holders
from adapterlab.catalog.database import chunks, epoch_now, insert_into
from adapterlab.catalog.records import Annotation, SweepRecord, SweepStep
from adapterlab.catalog.remarks import annotations_of
from adapterlab.errors import NotFoundError
from adapterlab.owners import owner_is_dead
from adapterlab.records import State, StepKind

_NAMES_COMPARED = 1000
_NAMED_IN_ERRORS = 8
_KEY_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_OPEN = (str(State.RUNNING), str(State.PENDING))


def open_sweep(
    connection: Connection, key: str, name: str, spec: str, steps: Sequence[SweepStep], owner: str
) -> None:
    """Record a submitted sweep as running; how it ended before, and a request to cancel it, are forgotten."""
    sweep = insert_into(connection, schema.Sweep).values(
        key=key,
        name=name,
        spec=spec,
        state=str(State.RUNNING),
        owner=owner,
        created_at=epoch_now(),
        updated_at=epoch_now(),
        cancel_requested_at=None,
        reason=None,
        started_at=epoch_now(),
        ended_at=None,
        archived_at=None,
        exit_code=None,
        n_steps=len(steps),
    )
    replaced = [
        *("name", "spec", "state", "owner", "updated_at", "cancel_requested_at"),
        *("reason", "started_at", "ended_at", "archived_at", "exit_code", "n_steps"),
    ]
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
            "train_rows": step.train_rows,
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
    """Return the sweep with this key or beginning of one (4 or more digits), or the latest of this name.

    Of a name, those that were put away are looked at only where there are no others.

    Raises:
        NotFoundError: There is none, or several keys begin so; the remedy names the near ones.
    """
    return _sweep(connection, _candidates(connection, text)[0], with_steps=True)


def find_only_sweep(connection: Connection, text: str, *, running: bool = False) -> SweepRecord:
    """Return the one sweep that is meant, for what changes it.

    Args:
        connection: For reading.
        text: Key, beginning of a key, or name.
        running: Whether, of a name, those that run are meant, where there are any.

    Raises:
        NotFoundError: There is none, or several sweeps have this name; the remedy names them.
    """
    found = [_sweep(connection, row, with_steps=False) for row in _candidates(connection, text)]
    if running and any(one.state in _OPEN for one in found):
        found = [one for one in found if one.state in _OPEN]
    if len(found) > 1:
        raise _ambiguous(f"{len(found)} sweeps are named {text[:80]!r}", found)
    return found[0]


def namesakes(connection: Connection, sweep: SweepRecord) -> list[SweepRecord]:
    """Return the other sweeps of the same name that are not put away, the one last changed first."""
    rows = [row for row in _named(connection, sweep.name) if row.key != sweep.key and row.archived_at is None]
    return [_sweep(connection, row, with_steps=False) for row in rows]


def list_sweeps(connection: Connection, limit: int | None, *, archived: bool) -> list[SweepRecord]:
    """Return sweeps without their steps, the one last changed first.

    Args:
        connection: For reading.
        limit: The most; ``None``: all.
        archived: Whether those that were put away are among them.
    """
    table = schema.Sweep
    statement = select(table.__table__).order_by(table.updated_at.desc(), table.key)
    if not archived:
        statement = statement.where(table.archived_at.is_(None))
    rows = connection.execute(statement.limit(limit)).all()
    noted = annotations_of(connection, [row.key for row in rows])
    return [_sweep(connection, row, with_steps=False, noted=noted.get(row.key)) for row in rows]


def put_away(connection: Connection, sweep: SweepRecord, *, away: bool) -> bool:
    """Put a sweep away, or take it out again; return whether that changed anything."""
    table = schema.Sweep
    was_away = table.archived_at.is_not(None)
    changed = connection.execute(
        update(table)
        .where(table.key == sweep.key, ~was_away if away else was_away)
        .values(archived_at=epoch_now() if away else None)
    )
    return changed.rowcount > 0


def spend(connection: Connection, key: str, device_seconds: float) -> None:
    """Count workers × seconds for a sweep."""
    table = schema.Sweep
    spent = func.coalesce(table.device_seconds, 0.0) + device_seconds
    connection.execute(update(table).where(table.key == key).values(device_seconds=spent))


def sweeps_with(connection: Connection, step_key: str) -> list[SweepRecord]:
    """Return the sweeps that have a step, without their steps, the one last changed first."""
    table, steps = schema.Sweep, schema.SweepStep
    keys = select(steps.sweep_key).where(steps.step_key == step_key)
    statement = (
        select(table.__table__).where(table.key.in_(keys)).order_by(table.updated_at.desc(), table.key)
    )
    rows = connection.execute(statement).all()
    return [_sweep(connection, row, with_steps=False) for row in rows]


def set_state(
    connection: Connection, key: str, state: State, reason: str | None, exit_code: int | None
) -> bool:
    """Write a sweep's state, why, and what its submit returns; return whether there is such a sweep."""
    ended = None if state in _OPEN else epoch_now()
    changed = connection.execute(
        update(schema.Sweep)
        .where(schema.Sweep.key == key)
        .values(state=str(state), reason=reason, exit_code=exit_code, updated_at=epoch_now(), ended_at=ended)
    )
    return changed.rowcount > 0


def request_cancel(connection: Connection, key: str) -> bool:
    """Ask a running sweep to stop; return whether it was running."""
    changed = connection.execute(
        update(schema.Sweep)
        .where(schema.Sweep.key == key, schema.Sweep.state.in_(_OPEN))
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


def link_runs(connection: Connection, sweep: str, keys: Iterable[str]) -> int:
    """Let results that name no MLflow run name the one that a sweep has of them; return how many."""
    linked = 0
    for chunk in chunks(keys):
        for table in schema.RESULTS:
            without = select(table.key).where(table.key.in_(chunk), table.run_id.is_(None))
            for key in connection.execute(without).scalars().all():
                run_id = run_of(connection, f"{sweep}/{key}")
                if run_id is not None:
                    row = update(table).where(table.key == key, table.run_id.is_(None))
                    linked += connection.execute(row.values(run_id=run_id)).rowcount
    return linked


def run_of(connection: Connection, node: str) -> str | None:
    """Return a node's MLflow run."""
    statement = select(schema.TrackingRun.run_id).where(schema.TrackingRun.node == node)
    return connection.execute(statement).scalar()


def _sweep(
    connection: Connection, row: Any, *, with_steps: bool, noted: Annotation | None = None
) -> SweepRecord:
    steps = _steps(connection, row.key) if with_steps else ()
    if noted is None and with_steps:
        noted = annotations_of(connection, [row.key]).get(row.key)
    state = _effective(connection, row)
    reason = "its process is gone" if state is not State(row.state) else row.reason
    return SweepRecord(
        key=row.key,
        name=row.name,
        spec=row.spec,
        state=state,
        owner=row.owner,
        created_at=row.created_at,
        updated_at=row.updated_at,
        cancel_requested=row.cancel_requested_at is not None,
        steps=steps,
        reason=reason,
        started_at=row.started_at,
        ended_at=row.ended_at,
        archived=row.archived_at is not None,
        device_seconds=row.device_seconds,
        exit_code=row.exit_code,
        note=None if noted is None else noted.note,
        tags=() if noted is None else noted.tags,
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
        SweepStep(
            row.position,
            row.step_key,
            StepKind(row.kind),
            row.title,
            tuple(row.needs),
            row.step_id,
            row.train_rows,
        )
        for row in connection.execute(statement)
    )


def _named(connection: Connection, name: str) -> Sequence[Any]:
    table = schema.Sweep
    return connection.execute(
        select(table.__table__).where(table.name == name).order_by(table.updated_at.desc(), table.key)
    ).all()


def _candidates(connection: Connection, text: str) -> Sequence[Any]:
    """Return the rows a word may mean, at least one: of a name all, the latest first; of a key only the one."""
    table = schema.Sweep
    by_key = connection.execute(select(table.__table__).where(table.key == text)).all()
    if by_key:
        return by_key
    by_name = _named(connection, text)
    if by_name:
        return [row for row in by_name if row.archived_at is None] or by_name
    found: Sequence[Any] = ()
    if _KEY_PREFIX.fullmatch(text):
        starting = select(table.__table__).where(table.key.startswith(text, autoescape=True))
        found = connection.execute(starting.order_by(table.updated_at.desc(), table.key)).all()
    if not found:
        raise NotFoundError(f"no sweep named {text[:80]!r}", remedy=_near(connection, text))
    if len(found) > 1:
        sweeps = [_sweep(connection, row, with_steps=False) for row in found[: _NAMED_IN_ERRORS + 1]]
        raise _ambiguous(f"{len(found)} sweeps have keys that begin with {text!r}", sweeps)
    return found


def _ambiguous(message: str, sweeps: Iterable[SweepRecord]) -> NotFoundError:
    found = list(sweeps)
    listed = [f"  {one.name} {one.told_apart}" for one in found[:_NAMED_IN_ERRORS]]
    if len(found) > _NAMED_IN_ERRORS:
        listed.append("  …")
    return NotFoundError(
        "\n".join([f"{message}:", *listed]),
        remedy="Say which by its key, or the first digits of it.",
        candidates=[one.key for one in found],
    )


def _near(connection: Connection, text: str) -> str:
    table = schema.Sweep
    statement = select(table.name).order_by(table.updated_at.desc()).limit(_NAMES_COMPARED)
    names = list(dict.fromkeys(connection.execute(statement).scalars()))
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names[:5])}." if names else "No spec was submitted yet."
