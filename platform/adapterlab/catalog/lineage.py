"""Ancestry: what a record was made from, and what was made from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from adapterlab.catalog import schema
from adapterlab.catalog.database import chunks
from adapterlab.catalog.queries import RESULT_TABLES, StepRecord
from adapterlab.catalog.records import LineageNode

MOST_CHILDREN = 100
"""Children shown of one node; the rest is counted."""

Edges = Mapping[str, list[str]]


@dataclass(frozen=True)
class _Graph:
    """The part of the ancestry around one record."""

    nodes: Mapping[str, LineageNode]
    places: Mapping[str, tuple[str, str]]
    """(task, backbone digest) of each record."""
    sources: Mapping[str, str]
    """What each backbone is called."""
    parents: Edges
    children: Edges
    hidden: Mapping[str, int]


def tree(connection: Connection, record: StepRecord) -> LineageNode:
    """Return a record with all its ancestors and descendants.

    Ancestors end in the backbone and the tasks; no branch is longer than transfer, study, selection, adapter, and the
    joint run or the study that this came from.
    """
    parents = _walk_up(connection, record.key)
    children, hidden = _walk_down(connection, record.key)
    keys = {record.key, *_ends(parents), *_ends(children)}
    nodes, places = _nodes(connection, sorted(keys))
    sources = {
        row.digest: row.source or row.digest[:12]
        for row in connection.execute(select(schema.Backbone.digest, schema.Backbone.source))
    }
    graph = _Graph(nodes, places, sources, parents, children, hidden)
    root = _with_parents(graph, record.key)
    return replace(root, children=_below(graph, record.key), hidden_children=hidden.get(record.key, 0))


def _walk_up(connection: Connection, key: str) -> Edges:
    table = schema.Lineage
    found: dict[str, list[str]] = {}
    level = [key]
    while level:
        for chunk in chunks(level):
            statement = select(table.child, table.parent).where(table.child.in_(chunk))
            for row in connection.execute(statement.order_by(table.child, table.position)):
                found.setdefault(row.child, []).append(row.parent)
        level = sorted({parent for child in level for parent in found.get(child, [])} - set(found))
    return found


def _walk_down(connection: Connection, key: str) -> tuple[Edges, Mapping[str, int]]:
    table = schema.Lineage
    found: dict[str, list[str]] = {}
    hidden: dict[str, int] = {}
    level = [key]
    while level:
        below: list[str] = []
        for parent in level:
            statement = select(table.child).where(table.parent == parent).distinct().order_by(table.child)
            children = list(connection.execute(statement.limit(MOST_CHILDREN)).scalars())
            if len(children) == MOST_CHILDREN:
                count = select(func.count(table.child.distinct())).where(table.parent == parent)
                hidden[parent] = connection.execute(count).scalar_one() - MOST_CHILDREN
            if children:
                found[parent] = children
            below.extend(children)
        level = sorted(set(below) - set(found))
    return found, hidden


def _ends(edges: Edges) -> set[str]:
    return set(edges) | {end for ends in edges.values() for end in ends}


def _nodes(
    connection: Connection, keys: Sequence[str]
) -> tuple[dict[str, LineageNode], dict[str, tuple[str, str]]]:
    nodes: dict[str, LineageNode] = {}
    places: dict[str, tuple[str, str]] = {}
    for results in RESULT_TABLES:
        for chunk in chunks(keys):
            statement = select(results.table).where(results.columns.key.in_(chunk))
            for row in connection.execute(statement):
                nodes[row.key] = _node(
                    results.kind, row, getattr(row, results.how), getattr(row, results.value)
                )
                places[row.key] = (getattr(row, "task", ""), row.backbone_digest)
    return nodes, places


def _node(kind: Any, row: Any, how: str, value: float | None) -> LineageNode:
    origin = row.origin if kind == "source" else None
    seed = f" · seed {row.seed}" if kind not in ("selection", "study") and origin is None else ""
    imported = "" if origin is None else f" · imported from {origin['source']}"
    what = f"{len(row.shares)} tasks" if kind == "joint" else row.task
    return LineageNode(
        kind=kind,
        key=row.key,
        title=f"{what} · {how}{seed}{imported}",
        state=row.state,
        metric=row.metric,
        value=value,
    )


def _with_parents(graph: _Graph, key: str) -> LineageNode:
    node = graph.nodes.get(key)
    if node is None:
        return LineageNode(kind="source", key=key, title="no longer in the catalog", state="missing")
    made_from = [_with_parents(graph, parent) for parent in graph.parents.get(key, [])]
    task, backbone = graph.places[key]
    if node.kind in ("source", "selection", "study"):
        made_from.append(LineageNode(kind="task", key=task, title=task))
    kinds = {parent.kind for parent in made_from}
    if node.kind == "joint" or (node.kind in ("source", "selection") and not kinds & {"joint", "source"}):
        made_from.append(
            LineageNode(kind="backbone", key=backbone, title=graph.sources.get(backbone, backbone[:12]))
        )
    return replace(node, parents=tuple(made_from))


def _below(graph: _Graph, key: str) -> tuple[LineageNode, ...]:
    below = defaultdict(list)
    for child in graph.children.get(key, []):
        if child in graph.nodes:
            below[graph.nodes[child].title].append(
                replace(
                    graph.nodes[child],
                    children=_below(graph, child),
                    hidden_children=graph.hidden.get(child, 0),
                )
            )
    return tuple(node for title in sorted(below) for node in below[title])
