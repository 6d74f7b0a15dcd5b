"""Taking a record out of the catalog, unless something that is kept was made from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, select

from adapterlab.catalog import claims, schema
from adapterlab.catalog.queries import RESULT_TABLES, StepRecord
from adapterlab.errors import ConflictError

_SHOWN = 5
_Lineage: Any = schema.Lineage.__table__.c
_Coefficient: Any = schema.Coefficient.__table__.c


def remove(connection: Connection, record: StepRecord) -> None:
    """Delete a record with what is kept of it alone; its weights stay until the garbage is collected.

    Raises:
        ConflictError: Something was made from it, or somebody is at work on it; the message names what.
    """
    children = [
        f"{row.child_kind} {row.child[:12]}"
        for row in connection.execute(
            select(_Lineage.child, _Lineage.child_kind).where(_Lineage.parent == record.key).distinct()
        )
    ]
    # A seed's own few-shot adapter is named with the coefficients alone.
    used = select(_Coefficient.transfer_key).where(_Coefficient.adapter_key == record.key).distinct()
    children += [f"transfer {key[:12]}" for key in connection.execute(used).scalars()]
    named = list(dict.fromkeys(children))
    if named:
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        raise ConflictError(
            f"{record.key[:12]} cannot be removed: {', '.join(named[:_SHOWN])}{more} {_was(named)} made from it",
            remedy="Remove those first.",
            referred_to_by=named,
        )
    if claims.holders(connection, [record.key]):
        raise ConflictError(
            f"{record.key[:12]} is being worked on", remedy="Wait for it, or cancel its sweep."
        )
    for results in RESULT_TABLES:
        connection.execute(delete(results.table).where(results.columns.key == record.key))
    for column in (
        schema.Metric.key,
        schema.Lineage.child,
        schema.Coefficient.transfer_key,
        schema.Annotation.key,
        schema.Progress.step_key,
    ):
        connection.execute(delete(column.table).where(column == record.key))


def _was(named: list[str]) -> str:
    return "was" if len(named) == 1 else "were"
