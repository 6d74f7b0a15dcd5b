"""Rows of a finished step, written in the transaction that checks its claim."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from adapterlab.catalog import claims, schema
from adapterlab.catalog.database import chunks, epoch_now, insert_into
from adapterlab.catalog.records import (
    AdapterRecord,
    Claim,
    CoefficientRecord,
    JointRecord,
    SelectionRecord,
    StudyRecord,
    TransferRecord,
)
from adapterlab.catalog.step_status import complete_keys
from adapterlab.catalog.tables import Base
from adapterlab.errors import NotFoundError
from adapterlab.fingerprint import Json, canonical_json
from adapterlab.provenance import Provenance
from adapterlab.records import BackboneFacts, State, StepKind, TaskFacts


def is_published(connection: Connection, claim: Claim) -> bool:
    """Return whether this very claim has published already, so that a retry has nothing to do."""
    row = connection.execute(
        select(schema.Claim.token, schema.Claim.owner).where(schema.Claim.step_key == claim.key)
    ).first()
    released = row is not None and row.token == claim.token and row.owner is None
    return released and claim.key in complete_keys(connection, [claim.key])


def put_adapter(connection: Connection, record: AdapterRecord, claim: Claim) -> AdapterRecord:
    """Write an adapter with its metrics, and give the claim back.

    Raises:
        ClaimLostError: The claim no longer holds.
    """
    claims.verify(connection, claim)
    record = replace(
        record,
        metrics=_with_leading(record),
        created_at=record.created_at or now(connection),
        state=schema.COMPLETE,
    )
    measured = {("validation", name): value for name, value in record.metrics.items()}
    measured |= {("test", name): value for name, value in record.test.items()}
    if record.origin is not None:
        measured |= {(schema.REPORTED, name): value for name, value in record.origin.metrics.items()}
    _put_backbone_and_task(connection, record)
    _put(
        connection,
        schema.Adapter,
        {
            **_shared(record),
            "n_metrics": len(measured),
            "method": record.method,
            "settings": _json(record.settings),
            "seed": record.seed,
            "metric_value": _number(record.metric_value),
            "origin": None if record.origin is None else _json(record.origin.to_json()),
            **_training(record),
        },
    )
    _put_metrics(connection, record, StepKind.SOURCE, measured)
    if chosen_by := chooser_of(record.settings):
        put_lineage(connection, record.key, StepKind.SOURCE, chosen_by)
    claims.finish(connection, claim, State.COMPLETE)
    return record


def put_joint(
    connection: Connection,
    record: JointRecord,
    shares: Sequence[tuple[AdapterRecord, Claim | None]],
    claim: Claim,
) -> JointRecord:
    """Write a joint run with what each of its tasks has of it, and give all claims back.

    Raises:
        ClaimLostError: A claim no longer holds; nothing is written.
        ValueError: The shares are not those that the record names.
    """
    if [share.key for share in record.shares] != [share.key for share, _ in shares]:
        raise ValueError(f"the adapters given for {record.key} are not those of its shares")
    claims.verify(connection, claim)
    record = replace(record, created_at=record.created_at or now(connection), state=schema.COMPLETE)
    _put_backbone(connection, record)
    _put(
        connection,
        schema.JointRun,
        {
            "key": record.key,
            "state": record.state,
            "backbone_digest": record.backbone_digest,
            "method": record.method,
            "settings": _json(record.settings),
            "shares": [share.to_json() for share in record.shares],
            "seed": record.seed,
            "metric": record.metric,
            "value": _number(record.value),
            "steps": record.steps,
            "best_step": record.best_step,
            "seconds": record.seconds,
            "train_rows": record.train_rows,
            "run_id": record.run_id,
            "created_at": record.created_at,
            **_weights(record),
        },
    )
    for share, own in shares:
        if own is not None:  # else it is complete, of an earlier time the run was done
            put_adapter(connection, replace(share, created_at=record.created_at), own)
        put_lineage(connection, share.key, StepKind.SOURCE, {record.key: StepKind.JOINT})
    if chosen_by := chooser_of(record.settings):
        put_lineage(connection, record.key, StepKind.JOINT, chosen_by)
    claims.finish(connection, claim, State.COMPLETE)
    return record


def _with_leading(record: AdapterRecord) -> Mapping[str, float]:
    """Return its metrics with the leading one; an imported adapter may have been scored by nobody."""
    if record.origin is not None and math.isnan(record.metric_value):
        return record.metrics
    return {**record.metrics, record.metric: record.metric_value}


def put_selection(connection: Connection, record: SelectionRecord, claim: Claim) -> SelectionRecord:
    """Write a selection with the adapters it looked at, and give the claim back.

    Raises:
        ClaimLostError: The claim no longer holds.
        NotFoundError: An adapter that it ranks is not in the catalog.
    """
    claims.verify(connection, claim)
    record = replace(record, created_at=record.created_at or now(connection), state=schema.COMPLETE)
    adapters = [one.key for one in record.sources if one.key is not None]
    _require(connection, schema.Adapter, adapters, f"selection {record.key[:12]}: source adapter")
    _put_backbone_and_task(connection, record)
    _put(
        connection,
        schema.Selection,
        {
            **_shared(record),
            "rule": record.rule,
            "settings": _json(record.settings),
            "sources": [one.to_json() for one in record.sources],
            "value": _number(record.value),
        },
    )
    put_lineage(connection, record.key, StepKind.SELECTION, dict.fromkeys(adapters, StepKind.SOURCE))
    claims.finish(connection, claim, State.COMPLETE)
    return record


def put_study(connection: Connection, record: StudyRecord, claim: Claim) -> StudyRecord:
    """Write a study with its pool, and give the claim back.

    Raises:
        ClaimLostError: The claim no longer holds.
        NotFoundError: An adapter of its pool, or the selection that chose them, is not in the catalog.
    """
    claims.verify(connection, claim)
    record = replace(record, created_at=record.created_at or now(connection), state=schema.COMPLETE)
    pool = [entry.key for entry in record.pool]
    _require(connection, schema.Adapter, pool, f"study {record.key[:12]}: source adapter")
    selections = [] if record.selection is None else [record.selection]
    _require(connection, schema.Selection, selections, f"study {record.key[:12]}: selection")
    _put_backbone_and_task(connection, record)
    _put(
        connection,
        schema.Study,
        {
            **_shared(record),
            **_tasks(record),
            "combiner": record.combiner,
            "settings": _json(record.settings),
            "pool": [entry.to_json() for entry in record.pool],
            "best_trial": record.best_trial,
            "best_value": _number(record.best_value),
            "best_settings": _json(record.best_settings),
            "trials": _json(record.trials),
            "study_name": record.study_name,
            "selection": record.selection,
        },
    )
    made_from = {**dict.fromkeys(pool, StepKind.SOURCE), **dict.fromkeys(selections, StepKind.SELECTION)}
    put_lineage(connection, record.key, StepKind.STUDY, made_from)
    claims.finish(connection, claim, State.COMPLETE)
    return record


def _tasks(record: StudyRecord) -> dict[str, Any]:
    """Return the columns of a study that say what it is of: one task, or several."""
    if not record.tasks:
        return {"tasks": None}
    listed = [{"task": task, "task_digest": digest} for task, digest in record.tasks.items()]
    return {"task": None, "task_digest": None, "tasks": listed}


def put_transfer(
    connection: Connection,
    record: TransferRecord,
    coefficients: Sequence[CoefficientRecord],
    claim: Claim,
) -> TransferRecord:
    """Write a transfer with its metrics and coefficients, and give the claim back.

    Raises:
        ClaimLostError: The claim no longer holds.
        NotFoundError: Its study is not in the catalog.
        ValueError: A coefficient belongs to another transfer.
    """
    strangers = {item.transfer_key for item in coefficients} - {record.key}
    if strangers:
        raise ValueError(f"coefficients of {sorted(strangers)} given for transfer {record.key}")
    claims.verify(connection, claim)
    record = replace(record, created_at=record.created_at or now(connection), state=schema.COMPLETE)
    _require(connection, schema.Study, [record.study_key], f"transfer {record.key[:12]}: study")
    measured = {("validation", name): value for name, value in record.validation.items()}
    measured |= {("test", name): value for name, value in record.test.items()}
    _put_backbone_and_task(connection, record)
    _put(
        connection,
        schema.Transfer,
        {
            **_shared(record),
            "n_metrics": len(measured),
            "study_key": record.study_key,
            "combiner": record.combiner,
            "settings": _json(record.settings),
            "seed": record.seed,
            "validation_value": _number(record.validation_value),
            "test_value": _number(record.test_value),
            "coefficient_shape": list(record.coefficient_shape),
            **_training(record),
        },
    )
    _put_metrics(connection, record, StepKind.TRANSFER, measured)
    _put_coefficients(connection, record.key, coefficients)
    put_lineage(connection, record.key, StepKind.TRANSFER, {record.study_key: StepKind.STUDY})
    claims.finish(connection, claim, State.COMPLETE)
    return record


def put_backbone(connection: Connection, facts: BackboneFacts) -> None:
    """Write what is known of a backbone; replaces what was known before.

    Raises:
        ValueError: Its weights' digest is unknown.
    """
    if facts.weights_digest is None:
        raise ValueError(f"{facts.source} has no digest yet: {facts.pending_reason}")
    known = {
        "source": facts.source,
        "architecture": facts.architecture,
        "layers": facts.shape.layers if facts.shape else None,
        "hidden_size": facts.shape.hidden_size if facts.shape else None,
        "tokenizer_digest": facts.tokenizer_digest,
        "config_digest": facts.config_digest,
    }
    insert = insert_into(connection, schema.Backbone).values(
        digest=facts.weights_digest, created_at=now(connection), **known
    )
    connection.execute(insert.on_conflict_do_update(index_elements=["digest"], set_=known))


def put_task(connection: Connection, facts: TaskFacts) -> None:
    """Write what is known of a task; replaces what was known before.

    Raises:
        ValueError: Its content's digest is unknown.
    """
    if facts.content_digest is None:
        raise ValueError(f"{facts.task} has no digest yet: {facts.pending_reason}")
    known = {
        "problem_type": str(facts.problem_type),
        "n_labels": facts.n_labels,
        "metric": facts.metric or None,
        "n_train": facts.n_train,
        "n_validation": facts.n_validation,
        "n_test": facts.n_test,
    }
    insert = insert_into(connection, schema.Task).values(
        name=facts.task, digest=facts.content_digest, created_at=now(connection), **known
    )
    connection.execute(insert.on_conflict_do_update(index_elements=["name", "digest"], set_=known))


Stored = AdapterRecord | SelectionRecord | StudyRecord | TransferRecord


def _shared(record: Stored) -> dict[str, Any]:
    """Return the columns that the tables of results on one task have."""
    return {
        "key": record.key,
        "state": record.state,
        "backbone_digest": record.backbone_digest,
        "task": record.task,
        "task_digest": record.task_digest,
        "metric": record.metric,
        "seconds": record.seconds,
        "train_rows": record.train_rows,
        "run_id": record.run_id,
        "created_at": record.created_at,
    }


def _training(record: AdapterRecord | TransferRecord) -> dict[str, Any]:
    """Return the columns of whatever was trained into a blob."""
    return {"epochs": record.epochs, "best_epoch": record.best_epoch, **_weights(record)}


def _weights(record: AdapterRecord | JointRecord | TransferRecord) -> dict[str, Any]:
    """Return the columns of a blob: where it is, what is in it, and what made it."""
    return {
        "blob": record.blob,
        "blob_bytes": record.blob_bytes,
        "n_parameters": record.n_parameters,
        "head_parameters": record.head_parameters,
        "device": record.device,
        **{item.name: getattr(record.provenance, item.name, None) for item in fields(Provenance)},
    }


def _put(connection: Connection, table: type[Base], row: Mapping[str, Any]) -> None:
    """Insert a row, or replace the damaged one of the same key; the claim keeps everyone else out."""
    columns = table.__table__.c
    changed = connection.execute(update(table).where(columns.key == row["key"]).values(**row))
    if changed.rowcount == 0:
        connection.execute(insert_into(connection, table).values(**row))


def _put_backbone_and_task(connection: Connection, record: Stored) -> None:
    """Make sure that the backbone and the task have rows, if only with their digests."""
    _put_backbone(connection, record)
    several = record.tasks if isinstance(record, StudyRecord) else {}
    for name, digest in (several or {record.task: record.task_digest}).items():
        task = insert_into(connection, schema.Task).values(
            name=name, digest=digest, created_at=record.created_at
        )
        connection.execute(task.on_conflict_do_nothing())


def _put_backbone(connection: Connection, record: Stored | JointRecord) -> None:
    backbone = insert_into(connection, schema.Backbone).values(
        digest=record.backbone_digest, created_at=record.created_at
    )
    connection.execute(backbone.on_conflict_do_nothing())


def _put_metrics(
    connection: Connection,
    record: AdapterRecord | TransferRecord,
    kind: StepKind,
    measured: Mapping[tuple[str, str], float],
) -> None:
    rows = [
        {
            "key": record.key,
            "split": split,
            "name": name,
            "kind": str(kind),
            "task": record.task,
            "backbone_digest": record.backbone_digest,
            "method": record.combiner if isinstance(record, TransferRecord) else record.method,
            "value": _number(value),
        }
        for (split, name), value in measured.items()
    ]
    _replace_rows(connection, schema.Metric, schema.Metric.key == record.key, rows)


def _put_coefficients(connection: Connection, key: str, coefficients: Sequence[CoefficientRecord]) -> None:
    rows = [
        {
            "transfer_key": key,
            "layer": item.layer,
            "position": item.position,
            "adapter_key": item.adapter_key,
            "source_task": item.source_task,
            "mean": _number(item.mean),
            "std": _number(item.std),
            "minimum": _number(item.minimum),
            "maximum": _number(item.maximum),
        }
        for item in coefficients
    ]
    _replace_rows(connection, schema.Coefficient, schema.Coefficient.transfer_key == key, rows)


def chooser_of(settings: Mapping[str, Any]) -> Mapping[str, StepKind]:
    """Return the study that chose a setting, as what it was made from; nothing where none did."""
    study = settings.get("study")
    return {} if study is None else {str(study): StepKind.STUDY}


def put_lineage(connection: Connection, child: str, kind: StepKind, parents: Mapping[str, StepKind]) -> None:
    """Write what a record was made from, in this order; replaces what was said before."""
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
    _replace_rows(connection, schema.Lineage, schema.Lineage.child == child, rows)


def _replace_rows(
    connection: Connection, table: type[Base], which: Any, rows: Sequence[dict[str, Any]]
) -> None:
    connection.execute(delete(table).where(which))
    if rows:
        connection.execute(insert_into(connection, table), list(rows))


def _require(connection: Connection, table: Any, keys: Sequence[str], what: str) -> None:
    known: set[str] = set()
    for chunk in chunks(keys):
        known.update(connection.execute(select(table.key).where(table.key.in_(chunk))).scalars())
    missing = sorted(set(keys) - known)
    if missing:
        raise NotFoundError(
            f"{what} {missing[0]} is not in the catalog", remedy="Publish it first.", missing=missing
        )


def now(connection: Connection) -> datetime:
    """Return the time by the database's clock."""
    seconds = connection.execute(select(epoch_now())).scalar_one()
    return datetime.fromtimestamp(float(seconds), UTC)


def _number(value: float | None) -> float | None:
    """Return a float as stored: NaN as NULL, because SQLite has no other way."""
    return None if value is None or math.isnan(value) else float(value)


def _json(value: Mapping[str, Json] | Mapping[str, int]) -> Any:
    """Return a value as JSON will give it back; refuses NaN, infinities and what is no JSON."""
    return json.loads(canonical_json(value))
