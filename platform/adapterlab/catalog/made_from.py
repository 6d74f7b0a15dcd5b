"""The rows of ``lineage``: what each record was made from, written with it and told by it.

A record says itself what it was made from, or the joint run does whose share it is. So rows that are lost are written
again from the records, and nothing is trained for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from adapterlab.catalog import schema
from adapterlab.catalog.database import insert_into
from adapterlab.records import StepKind

Parents = Mapping[str, StepKind]
"""Keys of what a record was made from, in order, with what they are."""


def of_adapter(settings: Mapping[str, Any]) -> Parents:
    """Return the study that chose an adapter's setting, if one did."""
    return {} if settings.get("study") is None else {str(settings["study"]): StepKind.STUDY}


def of_selection(adapters: Sequence[str]) -> Parents:
    """Return the adapters that a selection looked at."""
    return dict.fromkeys(adapters, StepKind.SOURCE)


def of_study(pool: Sequence[str], selection: str | None) -> Parents:
    """Return a study's adapters, and the selection that chose them."""
    return {
        **dict.fromkeys(pool, StepKind.SOURCE),
        **({} if selection is None else {selection: StepKind.SELECTION}),
    }


def of_transfer(study: str) -> Parents:
    """Return a transfer's study."""
    return {study: StepKind.STUDY}


def of_share(joint: str) -> Parents:
    """Return the joint run that an adapter is a share of."""
    return {joint: StepKind.JOINT}


def put(connection: Connection, child: str, kind: StepKind, parents: Parents) -> None:
    """Write what a record was made from, in place of what was written before."""
    connection.execute(delete(schema.Lineage).where(schema.Lineage.child == child))
    rows = [
        {
            "child": child,
            "position": position,
            "parent": parent,
            "child_kind": str(kind),
            "parent_kind": str(parent_kind),
        }
        for position, (parent, parent_kind) in enumerate(parents.items())
    ]
    if rows:
        connection.execute(insert_into(connection, schema.Lineage), rows)


def lost(connection: Connection) -> dict[str, tuple[StepKind, Parents]]:
    """Return the complete records of which rows are lost, with what they were made from."""
    written: dict[str, list[str]] = defaultdict(list)
    table = schema.Lineage
    for row in connection.execute(select(table.child, table.parent).order_by(table.child, table.position)):
        written[row.child].append(row.parent)
    return {
        key: (kind, parents)
        for key, kind, parents in _told(connection)
        if not set(parents) <= set(written.get(key, ()))
    }


def restore(connection: Connection) -> list[str]:
    """Write the rows that are lost again; return the keys of their records."""
    found = lost(connection)
    for key, (kind, parents) in found.items():
        put(connection, key, kind, parents)
    return sorted(found)


def _told(connection: Connection) -> Iterator[tuple[str, StepKind, Parents]]:
    """Yield what complete records were made from, as they say it themselves."""
    runs, adapters, selections = schema.JointRun, schema.Adapter, schema.Selection
    studies, transfers = schema.Study, schema.Transfer
    shares = {
        str(share["key"]): of_share(row.key)
        for row in connection.execute(
            select(runs.key, runs.shares).where(runs.state == schema.COMPLETE).order_by(runs.key)
        )
        for share in row.shares
    }
    for row in connection.execute(
        select(adapters.key, adapters.settings).where(adapters.state == schema.COMPLETE)
    ):
        if parents := shares.get(row.key) or of_adapter(row.settings):
            yield row.key, StepKind.SOURCE, parents
    for row in connection.execute(
        select(selections.key, selections.sources).where(selections.state == schema.COMPLETE)
    ):
        ranked = [str(one["key"]) for one in row.sources if one.get("key") is not None]
        yield row.key, StepKind.SELECTION, of_selection(ranked)
    for row in connection.execute(
        select(studies.key, studies.pool, studies.selection).where(studies.state == schema.COMPLETE)
    ):
        yield row.key, StepKind.STUDY, of_study([str(one["key"]) for one in row.pool], row.selection)
    for row in connection.execute(
        select(transfers.key, transfers.study_key).where(transfers.state == schema.COMPLETE)
    ):
        yield row.key, StepKind.TRANSFER, of_transfer(row.study_key)
