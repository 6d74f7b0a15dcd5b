"""Reading: filters, pages, look-ups by key or prefix. Every value a person types is a bound parameter."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Literal, TypedDict

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select

from adapterlab.catalog import schema
from adapterlab.catalog.database import chunks
from adapterlab.catalog.records import (
    AdapterRecord,
    BackboneRecord,
    CoefficientRecord,
    JointRecord,
    JointShare,
    Origin,
    PoolEntry,
    RankedSource,
    SelectionRecord,
    StudyRecord,
    TaskRecord,
    TransferRecord,
)
from adapterlab.errors import NotFoundError, UsageError
from adapterlab.provenance import Provenance

Order = Literal["newest", "best"]
StepRecord = AdapterRecord | JointRecord | SelectionRecord | StudyRecord | TransferRecord

_MIN_PREFIX = 4
_HEX = set("0123456789abcdef")
_MOST_BACKBONES = 100
_VALUE = "ordering_value"
_HUGE = 2**62
_LONGEST_NAME = 4096


@dataclass(frozen=True)
class ResultTable:
    """One of the tables of results, and where it has what all of them have."""

    table: Any
    how: str
    """Column of the method or combiner."""
    value: str
    """Column of the leading metric that lists show."""
    split: str | None
    """Split of that value in ``metrics``; ``None``: its metrics are not there."""
    kind: str

    @property
    def columns(self) -> Any:
        """The table's columns by name."""
        return self.table.c


# Plain tables: a query through the mapped classes costs 40 ms more when a command starts.
_METRIC: Any = schema.Metric.__table__.c
_TASK: Any = schema.Task.__table__.c
_BACKBONE: Any = schema.Backbone.__table__.c
_ANNOTATION: Any = schema.Annotation.__table__.c
_LINEAGE: Any = schema.Lineage.__table__.c
_COEFFICIENT: Any = schema.Coefficient.__table__.c

ADAPTERS = ResultTable(schema.Adapter.__table__, "method", "metric_value", "validation", "source")
STUDIES = ResultTable(schema.Study.__table__, "combiner", "best_value", None, "study")
TRANSFERS = ResultTable(schema.Transfer.__table__, "combiner", "test_value", "test", "transfer")
JOINT_RUNS = ResultTable(schema.JointRun.__table__, "method", "value", None, "joint")
SELECTIONS = ResultTable(schema.Selection.__table__, "rule", "value", None, "selection")
RESULT_TABLES = (ADAPTERS, JOINT_RUNS, SELECTIONS, STUDIES, TRANSFERS)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What to look for; ``None`` means anything."""

    task: str | None = None
    """Full name, or the name without its benchmark."""
    backbone: str | None = None
    """Digest, a prefix of it (4 or more digits), or a part of its source."""
    how: str | None = None
    """Exact name of the method or combiner."""
    metric: str | None = None
    """Name of a metric; absent: each record's leading one."""
    metric_min: float | None = None
    """Least value of that metric, inclusive."""
    seed: int | None = None
    reported: bool = False
    """Compare by what imported adapters' cards report, instead of what was measured; adapters only."""
    name: str | None = None
    """Shell-style pattern of the name people gave."""
    tags: Sequence[str] = ()
    """Shell-style patterns, each of which one of its tags fits."""
    study: str | None = None
    """Study key; transfers only."""
    state: str | None = schema.COMPLETE
    order: Order | None = None
    """``"newest"``, or ``"best"``: highest metric first, records without one left out. Absent: best
    if a metric is asked for, else newest."""
    limit: int | None = None
    offset: int = 0


class _Page(TypedDict, total=False):
    """What every kind of record can be asked for; absent means anything."""

    task: str | None
    """Full name, or the name without its benchmark."""
    backbone: str | None
    """Digest, 4 or more first digits of it, or a part of its source."""
    metric: str | None
    """Name of a metric; absent: each record's leading one."""
    metric_min: float | None
    """Least value of that metric, inclusive."""
    name: str | None
    """Shell-style pattern of the name given by `platform catalog rename`."""
    tags: Sequence[str]
    """Shell-style patterns, each of which one of its tags fits."""
    order: Order | None
    """``"newest"`` or ``"best"``; absent: best if a metric is asked for, else newest."""
    limit: int | None
    """Most records returned; absent: all."""
    offset: int
    """Records left out at the beginning."""


class AdapterFilter(_Page, total=False):
    """What adapters can be asked for; metrics are of validation."""

    method: str | None
    """Adapter method."""
    seed: int | None
    """Seed of training."""
    reported: bool
    """Compare by what the cards of imported adapters report, on rows that only the card knows, instead of what was
    measured on validation; with a metric only."""


class StudyFilter(_Page, total=False):
    """What studies can be asked for; the metric is the best trial's."""

    combiner: str | None
    """Combiner."""


class TransferFilter(_Page, total=False):
    """What transfers can be asked for; metrics are of the test split."""

    combiner: str | None
    """Combiner."""
    seed: int | None
    """Seed of training."""
    study_key: str | None
    """Key of the study whose setting they were trained with."""


class JointFilter(TypedDict, total=False):
    """What joint runs can be asked for; absent means anything. The newest come first."""

    backbone: str | None
    """Digest, 4 or more first digits of it, or a part of its source."""
    method: str | None
    """Joint method."""
    seed: int | None
    """Seed of training."""
    name: str | None
    """Shell-style pattern of the name given by `platform catalog rename`."""
    tags: Sequence[str]
    """Shell-style patterns, each of which one of its tags fits."""
    limit: int | None
    """Most records returned; absent: all."""
    offset: int
    """Records left out at the beginning."""


class SelectionFilter(TypedDict, total=False):
    """What selections of sources can be asked for; absent means anything. The newest come first."""

    task: str | None
    """The target's full name, or the name without its benchmark."""
    backbone: str | None
    """Digest, 4 or more first digits of it, or a part of its source."""
    rule: str | None
    """Rule of ``pool.rule``."""
    name: str | None
    """Shell-style pattern of the name given by `platform catalog rename`."""
    tags: Sequence[str]
    """Shell-style patterns, each of which one of its tags fits."""
    limit: int | None
    """Most records returned; absent: all."""
    offset: int
    """Records left out at the beginning."""


def filter_of(
    wanted: AdapterFilter | JointFilter | SelectionFilter | StudyFilter | TransferFilter,
) -> Filter:
    """Return one filter for all kinds of records."""
    words = {"method": "how", "combiner": "how", "rule": "how", "study_key": "study"}
    return Filter(**{words.get(name, name): value for name, value in wanted.items()})  # type: ignore[arg-type]


def rows(connection: Connection, results: ResultTable, wanted: Filter) -> list[Row[Any]]:
    """Return a page of rows.

    Raises:
        UsageError: Limit or offset is negative, or the least value is not a number.
    """
    _check(wanted)
    texts = (wanted.task, wanted.backbone, wanted.how, wanted.metric, wanted.study)
    if not all(map(_storable, texts)):
        return []
    tasks: list[str | None] = [None] if wanted.task is None else _task_names(connection, wanted.task)
    keys = _noted(connection, wanted)
    if keys is not None and not keys:
        return []
    digests: list[str | None] = (
        [None] if wanted.backbone is None else _backbone_digests(connection, wanted.backbone)
    )
    if len(tasks) * len(digests) == 1:
        page = _page(results, wanted, tasks[0], digests[0], keys)
        return list(connection.execute(page.limit(wanted.limit).offset(wanted.offset)))
    # One ordered page for each pair, merged: an index gives each of them without sorting, which
    # it cannot for `task IN (...)`.
    end = None if wanted.limit is None else wanted.offset + wanted.limit
    found: list[Row[Any]] = []
    for task, digest in itertools.product(tasks, digests):
        found.extend(connection.execute(_page(results, wanted, task, digest, keys).limit(end)))
    place = "created_at" if _order(wanted) == "newest" else _VALUE
    found.sort(key=lambda row: (row._mapping[place], row.key), reverse=True)
    return found[wanted.offset : end]


def _check(wanted: Filter) -> None:
    if not (0 <= (wanted.limit or 0) < _HUGE and 0 <= wanted.offset < _HUGE):
        raise UsageError(f"limit and offset start at 0, got limit {wanted.limit}, offset {wanted.offset}")
    if abs(wanted.seed or 0) >= _HUGE:
        raise UsageError(f"a seed is less than 2^62, got {wanted.seed}")
    if wanted.reported and wanted.metric is None:
        raise UsageError(
            "what cards report has no leading metric", remedy="Name the metric, for example accuracy."
        )
    if wanted.metric_min is not None and math.isnan(wanted.metric_min):
        raise UsageError("the least metric value must be a number, got NaN")


def _noted(connection: Connection, wanted: Filter) -> list[str] | None:
    """Return the keys of records whose name and tags fit; ``None``: neither is asked for.

    What people note they write by hand, so there is little of it: it is matched here, where patterns mean the same
    on every database.
    """
    if wanted.name is None and not wanted.tags:
        return None
    table = _ANNOTATION
    return [
        row.key
        for row in connection.execute(select(table.key, table.name, table.tags))
        if (wanted.name is None or (row.name is not None and fnmatchcase(row.name, wanted.name)))
        and all(any(fnmatchcase(tag, one) for tag in row.tags) for one in wanted.tags)
    ]


def _order(wanted: Filter) -> Order:
    asked = wanted.metric is not None or wanted.metric_min is not None
    return wanted.order or ("best" if asked else "newest")


def _page(
    results: ResultTable, wanted: Filter, task: str | None, digest: str | None, keys: Sequence[str] | None
) -> Select[Any]:
    """Return the query for one task and one backbone, in order, without limit."""
    table = results.columns
    # By another metric than the leading one, `metrics` leads and repeats what filters need.
    measured = wanted.metric is not None and results.split is not None
    filtered, how = (_METRIC, "method") if measured else (table, results.how)
    value = _METRIC.value if measured else table[results.value]
    statement = select(results.table, value.label(_VALUE))
    if measured:
        statement = statement.join(schema.Metric.__table__, _METRIC.key == table.key).where(
            _METRIC.name == wanted.metric,
            _METRIC.kind == results.kind,
            _METRIC.split == (schema.REPORTED if wanted.reported else results.split),
        )
    elif wanted.metric is not None:
        statement = statement.where(table.metric == wanted.metric)
    exact = (
        (filtered, "task", task),
        (filtered, "backbone_digest", digest),
        (filtered, how, wanted.how),
        (table, "seed", wanted.seed),
        (table, "study_key", wanted.study),
        (table, "state", wanted.state),
    )
    conditions = [where[name] == sought for where, name, sought in exact if sought is not None]
    if wanted.metric_min is not None:
        conditions.append(value >= wanted.metric_min)
    if keys is not None:
        conditions.append(table.key.in_(keys))
    if _order(wanted) == "best":
        conditions.append(value.is_not(None))
    first = value if _order(wanted) == "best" else table.created_at
    return statement.where(*conditions).order_by(first.desc(), table.key.desc())


def _storable(text: str | None) -> bool:
    """Return whether a name could be this text at all: no NUL, no lone surrogate, not endless."""
    if text is None:
        return True
    if len(text) > _LONGEST_NAME:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def _task_names(connection: Connection, task: str) -> list[str | None]:
    if "/" in task:
        return [task]
    ending = _TASK.name.endswith(f"/{task}", autoescape=True)
    found = connection.execute(select(_TASK.name).where(ending).distinct()).scalars()
    # SQLite's LIKE knows no case.
    return [name for name in found if name.endswith(f"/{task}")]


def _backbone_digests(connection: Connection, backbone: str) -> list[str | None]:
    matches = [_BACKBONE.source.icontains(backbone, autoescape=True)]
    if _is_prefix(backbone):
        matches.append(_prefix(_BACKBONE.digest, backbone))
    statement = select(_BACKBONE.digest, _BACKBONE.source).where(or_(*matches))
    found = connection.execute(statement.limit(_MOST_BACKBONES)).all()
    exact: list[str | None] = [row.digest for row in found if backbone in (row.source, row.digest)]
    return exact or [row.digest for row in found]


def _is_prefix(text: str) -> bool:
    return _MIN_PREFIX <= len(text) <= 64 and set(text) <= _HEX


def _prefix(column: Any, prefix: str) -> ColumnElement[bool]:
    # A range, because LIKE would not use the index.
    rest = 64 - len(prefix)
    between: ColumnElement[bool] = column.between(prefix + "0" * rest, prefix + "f" * rest)
    return between


# --- Records from rows ------------------------------------------------------------------------


def adapters_from(connection: Connection, found: Sequence[Row[Any]]) -> list[AdapterRecord]:
    """Return adapters with their metrics."""
    metrics = _metrics(connection, [row.key for row in found])
    return [
        AdapterRecord(
            **{
                **_columns(AdapterRecord, row),
                "origin": None if row.origin is None else Origin.from_json(row.origin),
            },
            provenance=_provenance(row),
            metrics=metrics[row.key].get("validation", {}),
            test=metrics[row.key].get("test", {}),
        )
        for row in found
    ]


def joint_runs_from(connection: Connection, found: Sequence[Row[Any]]) -> list[JointRecord]:  # noqa: ARG001
    """Return joint runs with their tasks."""
    return [
        JointRecord(
            **{
                **_columns(JointRecord, row),
                "shares": tuple(
                    JointShare(one["task"], one["task_digest"], one["key"]) for one in row.shares
                ),
            },
            provenance=_provenance(row),
        )
        for row in found
    ]


def selections_from(connection: Connection, found: Sequence[Row[Any]]) -> list[SelectionRecord]:  # noqa: ARG001
    """Return selections with their order of sources."""
    return [
        SelectionRecord(
            **{
                **_columns(SelectionRecord, row),
                "sources": tuple(RankedSource.from_json(one) for one in row.sources),
            }
        )
        for row in found
    ]


def studies_from(connection: Connection, found: Sequence[Row[Any]]) -> list[StudyRecord]:  # noqa: ARG001
    """Return studies with their pools."""
    return [
        StudyRecord(
            **{
                **_columns(StudyRecord, row),
                "pool": tuple(
                    PoolEntry(entry["key"], entry["task"], entry.get("name")) for entry in row.pool
                ),
            }
        )
        for row in found
    ]


def transfers_from(connection: Connection, found: Sequence[Row[Any]]) -> list[TransferRecord]:
    """Return transfers with their metrics."""
    metrics = _metrics(connection, [row.key for row in found])
    return [
        TransferRecord(
            **{**_columns(TransferRecord, row), "coefficient_shape": tuple(row.coefficient_shape)},
            provenance=_provenance(row),
            validation=metrics[row.key].get("validation", {}),
            test=metrics[row.key].get("test", {}),
        )
        for row in found
    ]


_READERS: dict[str, Callable[[Connection, Sequence[Row[Any]]], Sequence[StepRecord]]] = {
    "source": adapters_from,
    "joint": joint_runs_from,
    "selection": selections_from,
    "study": studies_from,
    "transfer": transfers_from,
}


def _columns(kind: type[Any], row: Row[Any]) -> dict[str, Any]:
    values = row._mapping
    found = {item.name: values[item.name] for item in fields(kind) if item.name in values}
    return {name: math.nan if value is None and name in _NOT_NULL else value for name, value in found.items()}


def _provenance(row: Row[Any]) -> Provenance | None:
    if row.adapterlab_version is None:
        return None
    return Provenance(**{item.name: row._mapping[item.name] for item in fields(Provenance)})


_NOT_NULL = {"value", "metric_value", "best_value", "mean", "std", "minimum", "maximum"}
"""Numbers whose NULL means NaN."""


def _metrics(connection: Connection, keys: Iterable[str]) -> Mapping[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for chunk in chunks(keys):
        statement = select(schema.Metric.__table__).where(_METRIC.key.in_(chunk))
        for row in connection.execute(statement.order_by(_METRIC.name)):
            value = math.nan if row.value is None else row.value
            found[row.key].setdefault(row.split, {})[row.name] = value
    return found


def coefficients(connection: Connection, transfer_key: str) -> list[CoefficientRecord]:
    """Return the coefficient summaries of a transfer, by layer and place in the pool."""
    table = _COEFFICIENT
    statement = select(schema.Coefficient.__table__).where(table.transfer_key == transfer_key)
    found = connection.execute(statement.order_by(table.layer, table.position))
    return [CoefficientRecord(**_columns(CoefficientRecord, row)) for row in found]


def backbones(connection: Connection) -> list[BackboneRecord]:
    """Return all backbones, newest first."""
    statement = select(schema.Backbone.__table__).order_by(_BACKBONE.created_at.desc())
    return [BackboneRecord(**row._mapping) for row in connection.execute(statement)]


def tasks(connection: Connection) -> list[TaskRecord]:
    """Return all tasks, by name."""
    statement = select(schema.Task.__table__).order_by(_TASK.name, _TASK.created_at)
    return [TaskRecord(**row._mapping) for row in connection.execute(statement)]


# --- One record -------------------------------------------------------------------------------


def find(connection: Connection, results: ResultTable, key: str, state: str | None) -> StepRecord | None:
    """Return the record of a whole key."""
    statement = select(results.table).where(results.columns.key == key)
    if state is not None:
        statement = statement.where(results.columns.state == state)
    found = connection.execute(statement).all()
    return _READERS[results.kind](connection, found)[0] if found else None


def resolve(
    connection: Connection, text: str, tables: Sequence[ResultTable] = RESULT_TABLES, state: str | None = None
) -> StepRecord:
    """Return the one record whose key is ``text`` or begins with it.

    Raises:
        NotFoundError: No record does, or several do; the remedy names the near ones.
    """
    if not _is_prefix(text):
        raise NotFoundError(
            f"{text[:80]!r} is not a key: expected {_MIN_PREFIX} to 64 hexadecimal digits",
            remedy="`platform catalog list` shows the keys.",
        )
    found = _by_prefix(connection, tables, text, state)
    if len(found) == 1:
        results, key = found[0]
        record = find(connection, results, key, state)
        if record is not None:
            return record
    if found:
        raise NotFoundError(
            f"{len(found)} or more keys begin with {text!r}", remedy=f"Give more digits: {_key_list(found)}."
        )
    near = next(
        (
            hits
            for length in range(len(text) - 1, 1, -1)
            if (hits := _by_prefix(connection, tables, text[:length], state))
        ),
        [],
    )
    raise NotFoundError(
        f"no record with key {text!r}",
        remedy=f"Near: {_key_list(near)}." if near else "`platform catalog list` shows what there is.",
    )


def _by_prefix(
    connection: Connection, tables: Sequence[ResultTable], prefix: str, state: str | None
) -> list[tuple[ResultTable, str]]:
    found: list[tuple[ResultTable, str]] = []
    for results in tables:
        statement = select(results.columns.key).where(_prefix(results.columns.key, prefix))
        if state is not None:
            statement = statement.where(results.columns.state == state)
        keys = connection.execute(statement.order_by(results.columns.key).limit(3)).scalars()
        found.extend((results, key) for key in keys)
    return found


def _key_list(found: Sequence[tuple[ResultTable, str]]) -> str:
    return ", ".join(f"{key[:12]} ({results.kind})" for results, key in found[:3])


def joint_of(connection: Connection, adapter_key: str) -> JointRecord | None:
    """Return the joint run that an adapter is one task's part of; ``None``: it was trained alone."""
    run = connection.execute(
        select(_LINEAGE.parent).where(_LINEAGE.child == adapter_key, _LINEAGE.parent_kind == JOINT_RUNS.kind)
    ).scalar()
    found = None if run is None else find(connection, JOINT_RUNS, run, None)
    return found if isinstance(found, JointRecord) else None


# --- Estimates --------------------------------------------------------------------------------


def durations(
    connection: Connection, backbone_digest: str, results: ResultTable, limit: int, *, gpu: bool
) -> tuple[float, ...]:
    """Return seconds per trained row of past steps on a backbone and a kind of device, newest first."""
    table = results.columns
    statement = (
        select(table.seconds / func.nullif(table.train_rows, 0))
        .where(
            table.backbone_digest == backbone_digest,
            table.seconds.is_not(None),
            table.train_rows > 0,
            func.coalesce(table.device, "cpu").startswith("cuda", autoescape=True).is_(gpu),
        )
        .order_by(table.created_at.desc())
        .limit(limit)
    )
    return tuple(float(value) for value in connection.execute(statement).scalars())
