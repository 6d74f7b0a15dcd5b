"""Records of one catalog in another, with what they were made from: a team's library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from adapterlab.catalog.queries import StepRecord
from adapterlab.catalog.reading import ReadableCatalog
from adapterlab.catalog.records import (
    AdapterRecord,
    JointRecord,
    SelectionRecord,
    StudyRecord,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog
from adapterlab.errors import ConflictError, CorruptBlobError
from adapterlab.owners import current_owner
from adapterlab.records import BackboneFacts, BackboneShape, ProblemType, StepKind, TaskFacts

_LEASE_S = 120.0


def copy(source: Catalog, keys: Sequence[str], target: Catalog) -> list[tuple[StepRecord, bool]]:
    """Copy records, and what they were made from, into another catalog; what is there already stays as it is.

    Weights are read by their sha256 and written under it. MLflow runs are not copied.

    Args:
        source: The catalog that has them.
        keys: Keys of adapters, joint runs, selections, studies or transfers, or unique beginnings. What a task has of a joint run
            is copied with all of it.
        target: The other catalog.

    Returns:
        Every record that was wanted or needed, each after what it was made from, and whether it is new in the target.

    Raises:
        NotFoundError: There is no such record, or what it was made from is gone.
        CorruptBlobError: Stored weights are damaged.
        ConflictError: Another process works on the same step in the target.
    """
    wanted: dict[str, StepRecord] = {}
    for key in keys:
        for record in _with_ancestors(source, source.get(key)):
            wanted.setdefault(record.key, record)
    done = []
    for record in wanted.values():
        if record.state != "complete":
            raise CorruptBlobError(f"the weights of {record.key[:12]} were found damaged; it was not copied")
        done.append((record, _copy_one(source, record, target)))
    return done


def _with_ancestors(source: ReadableCatalog, record: StepRecord) -> Iterator[StepRecord]:
    for parent in _parents(source, record):
        yield from _with_ancestors(source, parent)
    joint = source.joint_of(record.key) if isinstance(record, AdapterRecord) else None
    yield joint or record


def _parents(source: ReadableCatalog, record: StepRecord) -> Iterator[StepRecord]:
    """Yield what a record was made from; of an adapter its study, where one chose its setting."""
    adapters: list[str] = []
    if isinstance(record, AdapterRecord):
        chooser = source.find_study(str(record.settings.get("study", "")))
        yield from [] if chooser is None else [chooser]
    elif isinstance(record, SelectionRecord):
        adapters = [one.key for one in record.sources if one.key is not None]
    elif isinstance(record, StudyRecord):
        adapters = [entry.key for entry in record.pool]
    elif isinstance(record, TransferRecord):  # every seed may have an adapter of its own
        adapters = list(dict.fromkeys(one.adapter_key for one in source.coefficients(record.key)))
    yield from map(source.get_adapter, adapters)
    if isinstance(record, StudyRecord) and record.selection is not None:
        yield source.get_selection(record.selection)
    if isinstance(record, TransferRecord):
        yield source.get_study(record.study_key)


def _copy_one(source: Catalog, record: StepRecord, target: Catalog) -> bool:
    key = record.key
    if any(target.find_result(kind, key) is not None for kind in StepKind):
        return False
    keys = [key, *(one.key for one in record.shares)] if isinstance(record, JointRecord) else [key]
    claims = target.claim_many(keys, owner=current_owner(), lease_s=_LEASE_S)
    claim = claims.get(key)
    if claim is None or len(claims) < len(keys):
        target.release(claims.values())
        raise ConflictError(f"{key[:12]} is being worked on in the other catalog", remedy="Copy it later.")
    shares = [source.get_adapter(one) for one in keys[1:]]
    for described in shares if isinstance(record, JointRecord) else [record]:
        _copy_backbone_and_task(source, described, target)
    moved = replace(record, run_id=None)
    if isinstance(moved, JointRecord):
        parts = [(replace(one, run_id=None), source.read_weights(one), claims[one.key]) for one in shares]
        target.publish_joint(moved, source.read_weights(moved), parts, claim)
    elif isinstance(moved, AdapterRecord):
        target.publish_adapter(moved, source.read_weights(moved), claim)
    elif isinstance(moved, SelectionRecord):
        target.publish_selection(moved, claim)
    elif isinstance(moved, StudyRecord):
        target.publish_study(moved, claim)
    else:
        target.publish_transfer(moved, source.read_weights(moved), source.coefficients(key), claim)
    noted = source.annotations([key]).get(key)
    if noted is not None:
        target.annotate(key, name=noted.name, note=noted.note, add=noted.tags)
    return True


def _copy_backbone_and_task(
    source: ReadableCatalog,
    record: AdapterRecord | SelectionRecord | StudyRecord | TransferRecord,
    target: Catalog,
) -> None:
    """Copy what is known of a record's backbone and task, where the target knows nothing."""
    known = {one.digest for one in target.backbones() if one.source is not None}
    for one in source.backbones():
        if one.digest == record.backbone_digest and one.source is not None and one.digest not in known:
            shape = BackboneShape(one.layers, one.hidden_size) if one.layers and one.hidden_size else None
            facts = BackboneFacts(
                one.source,
                one.architecture,
                shape,
                one.digest,
                one.tokenizer_digest,
                one.config_digest,
                None,
            )
            target.record_backbone(facts)
    described = {(one.name, one.digest) for one in target.tasks() if one.problem_type is not None}
    several = record.tasks if isinstance(record, StudyRecord) else {}
    mine = several or {record.task: record.task_digest}
    for task in source.tasks():
        own = mine.get(task.name) == task.digest
        if own and task.problem_type is not None and (task.name, task.digest) not in described:
            target.record_task(
                TaskFacts(
                    task.name,
                    ProblemType(task.problem_type),
                    task.n_labels or 0,
                    (),
                    (task.metric or "",),
                    task.digest,
                    task.n_train,
                    task.n_validation,
                    task.n_test,
                )
            )
