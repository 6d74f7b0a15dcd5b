"""Taking a record out of the catalog, unless something that is kept was made from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, select

from adapterlab.catalog import claims, schema
from adapterlab.catalog.queries import RESULT_TABLES, StepRecord
from adapterlab.catalog.records import AdapterRecord, JointRecord
from adapterlab.errors import ConflictError
from adapterlab.records import StepKind

_SHOWN = 5
_Lineage: Any = schema.Lineage.__table__.c
_Coefficient: Any = schema.Coefficient.__table__.c


def remove(connection: Connection, record: StepRecord) -> None:
    """Delete a record with what is kept of it alone, a joint run with its tasks' adapters; weights stay until the garbage is collected.

    Raises:
        ConflictError: Something was made from it, or somebody is at work on it; the message names what.
    """
    if isinstance(record, AdapterRecord):
        _check_not_a_share(connection, record)
    shares = [one.key for one in record.shares] if isinstance(record, JointRecord) else []
    keys = [record.key, *shares]
    children = [
        f"{row.child_kind} {row.child[:12]}"
        for row in connection.execute(
            select(_Lineage.child, _Lineage.child_kind).where(_Lineage.parent.in_(keys)).distinct()
        )
        if row.child not in shares
    ]
    # A seed's own few-shot adapter is named with the coefficients alone.
    used = select(_Coefficient.transfer_key).where(_Coefficient.adapter_key.in_(keys)).distinct()
    children += [f"transfer {key[:12]}" for key in connection.execute(used).scalars()]
    named = list(dict.fromkeys(children))
    if named:
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        raise ConflictError(
            f"{record.key[:12]} cannot be removed: {', '.join(named[:_SHOWN])}{more} {_was(named)} made from it",
            remedy="Remove those first.",
            referred_to_by=named,
        )
    if claims.holders(connection, sorted(keys)):
        raise ConflictError(
            f"{record.key[:12]} is being worked on", remedy="Wait for it, or cancel its sweep."
        )
    for column in (  # before the record: a transfer's coefficients refer to it
        schema.Metric.key,
        schema.Lineage.child,
        schema.Coefficient.transfer_key,
        schema.Annotation.key,
        schema.Progress.step_key,
    ):
        connection.execute(delete(column.table).where(column.in_(keys)))
    for results in RESULT_TABLES:
        connection.execute(delete(results.table).where(results.columns.key.in_(keys)))


def _check_not_a_share(connection: Connection, record: AdapterRecord) -> None:
    """Check that an adapter is not one task's part of a joint run, which is whole or not there.

    Raises:
        ConflictError: It is.
    """
    run = connection.execute(
        select(_Lineage.parent).where(
            _Lineage.child == record.key, _Lineage.parent_kind == str(StepKind.JOINT)
        )
    ).scalar()
    if run is not None:
        raise ConflictError(
            f"{record.key[:12]} cannot be removed: it is what {record.task} has of the joint run {run[:12]}",
            remedy=f"Remove the run, with what all of its tasks have of it: platform catalog remove {run[:12]}",
        )


def _was(named: list[str]) -> str:
    return "was" if len(named) == 1 else "were"
