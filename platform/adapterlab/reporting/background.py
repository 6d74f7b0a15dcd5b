"""What a report says of a sweep beside its numbers: backbone, pool, rows, seeds, dates, versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from adapterlab.catalog.records import (
    AdapterRecord,
    BackboneRecord,
    StudyRecord,
    SweepRecord,
    TaskRecord,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog
from adapterlab.reporting.summary import Background, TaskRows


def background(
    catalog: Catalog,
    sweep: SweepRecord,
    spec: Mapping[str, Any],
    records: Sequence[AdapterRecord | StudyRecord | TransferRecord],
) -> Background:
    """Return what is known of how a sweep was made.

    Args:
        catalog: The open catalog.
        sweep: The sweep.
        spec: Its resolved spec; empty where it is not known.
        records: Its results so far.
    """
    digest = next((one.backbone_digest for one in records), None)
    backbone = next((one for one in catalog.backbones() if one.digest == digest), None)
    pool, targets = (tuple(spec.get(part, {}).get("tasks", ())) for part in ("pool", "targets"))
    digests = {one.task: one.task_digest for one in records if one.task}
    for study in records:
        if isinstance(study, StudyRecord):
            pool = pool or tuple(entry.label for entry in study.pool)
    known = {(one.name, one.digest): one for one in catalog.tasks()}
    return Background(
        sweep=sweep.name,
        key=sweep.key,
        state=str(sweep.state),
        submitted=_iso(sweep.created_at),
        updated=_iso(sweep.updated_at),
        backbone=_named(spec.get("backbone", {}), backbone),
        backbone_digest=digest,
        backbone_shape=_shape(backbone),
        pool=pool,
        adapter=str(spec.get("adapter", {}).get("method", "")),
        seeds=tuple(spec.get("final", {}).get("seeds", ())) or _seeds(records),
        limits=_limits(spec.get("data", {})),
        search=_search(
            spec.get("search", {}), [one.trials for one in records if isinstance(one, StudyRecord)]
        ),
        tasks=tuple(
            _rows(task, pool, targets, known.get((task, digests.get(task, ""))), digests.get(task))
            for task in dict.fromkeys((*pool, *targets, *digests))
        ),
        versions=tuple(_versions(records)),
        spec=sweep.spec,
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")


def _named(spec: Mapping[str, Any], record: BackboneRecord | None) -> str:
    source = spec.get("source") or (record and record.source) or "unknown"
    revision = spec.get("revision")
    return f"{source}@{revision}" if revision else str(source)


def _shape(backbone: BackboneRecord | None) -> str:
    if backbone is None:
        return ""
    parts = [backbone.architecture] if backbone.architecture else []
    parts += [f"{backbone.layers} layers"] if backbone.layers else []
    parts += [f"hidden size {backbone.hidden_size}"] if backbone.hidden_size else []
    return ", ".join(parts)


def _seeds(records: Iterable[Any]) -> tuple[int, ...]:
    return tuple(sorted({one.seed for one in records if isinstance(one, TransferRecord)}))


def _limits(data: Mapping[str, Any]) -> str:
    written = data.get("few_shot")
    numbers = written if isinstance(written, list) else [] if written is None else [written]
    few = f"{', '.join(map(str, numbers))} few-shot rows of each target" if numbers else ""
    words = {
        "max_train_rows": "train rows at most",
        "max_validation_rows": "validation rows at most",
    }
    limits = [f"{data[name]:,} {said}" for name, said in words.items() if isinstance(data.get(name), int)]
    return ", ".join(filter(None, (few, *limits)))


def _search(search: Mapping[str, Any], studies: Iterable[Mapping[str, int]]) -> str:
    """Return what a study's time was and how many trials it had; how many is no matter of the spec then."""
    minutes = search.get("budget_minutes")
    counts = sorted(sum(trials.values()) for trials in studies)
    if minutes is None or not counts:
        return ""
    made = f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
    return f"at most {minutes:g} min a study, {made} of at most {search.get('trials', 0):,} trials made"


def _rows(
    task: str, pool: Sequence[str], targets: Sequence[str], record: TaskRecord | None, digest: str | None
) -> TaskRows:
    roles = [name for name, tasks in (("source", pool), ("target", targets)) if task in tasks]
    return TaskRows(
        name=task,
        role=" and ".join(roles) or "source",
        problem_type=None if record is None else record.problem_type,
        labels=None if record is None else record.n_labels,
        metric=None if record is None else record.metric,
        train=None if record is None else record.n_train,
        validation=None if record is None else record.n_validation,
        test=None if record is None else record.n_test,
        digest=digest,
    )


def _versions(records: Iterable[Any]) -> Iterable[str]:
    made = [getattr(one, "provenance", None) for one in records]
    said = (
        f"{one.code}; {one.libraries}; {one.device_name or 'device unknown'}"
        for one in made
        if one is not None
    )
    return dict.fromkeys(said)
