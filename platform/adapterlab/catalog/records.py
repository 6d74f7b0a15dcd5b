"""What goes into the catalog and comes out of it: frozen, JSON-able values, no SQLAlchemy.

A metric may be NaN (a correlation of constant predictions is): it is stored as NULL, comes back as
NaN, and is ``null`` in JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from adapterlab.fingerprint import Json
from adapterlab.provenance import Provenance
from adapterlab.records import State, StepKind


class Record:
    """Base of the records: knows its JSON form."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as a JSON-able mapping; times as ISO 8601, NaN as ``None``."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Record | Provenance):
        return value.to_json()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Claim(Record):
    """The right to do one step, until another owner takes it over; travels to workers as JSON."""

    key: str
    """The step's key."""
    token: int
    """Fencing token, from 1; each new claim of the step has a greater one."""
    owner: str
    """JSON text of the owning process, see :func:`adapterlab.catalog.claims.current_owner`."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Claim:
        """Return the claim that :meth:`to_json` described."""
        return cls(key=value["key"], token=int(value["token"]), owner=value["owner"])


@dataclass(frozen=True)
class Holder(Record):
    """Who holds a step now."""

    key: str
    owner: str
    """JSON text of the owning process."""
    token: int
    expires_in_s: float
    """Seconds until the lease ends, by the database's clock."""


@dataclass(frozen=True)
class StepStatus(Record):
    """How far one step is."""

    key: str
    state: State
    """``complete`` if its result is stored; ``running`` while a lease is live; ``killed`` if its
    owner went away; else as last written, ``pending`` if nothing was."""
    owner: str | None = None
    """JSON text of the process that holds it; ``None`` unless running."""
    done: int = 0
    total: int | None = None
    detail: str | None = None
    """What it does now, for example ``"epoch 3 of 30"``."""
    reason: str | None = None
    """Why it failed, was killed, or must be done again."""
    updated_at: float | None = None
    """Seconds since 1970 by the database's clock; ``None`` if nothing was ever written."""
    attempts: int = 0
    """How many times it was claimed."""


@dataclass(frozen=True, kw_only=True)
class Origin(Record):
    """Where an imported adapter came from, as its source and its card said when it was imported."""

    source: str
    """As it was named: ``"hub:<owner/name>@<commit>"``, or ``"folder:<absolute path>"``."""
    format: str
    """Whose folder it was: ``"adapterhub"`` or ``"peft"``."""
    commit: str | None = None
    """Of the hub; ``None`` for a folder."""
    name: str | None = None
    """What it is called there."""
    licence: str | None = None
    base_model: str | None = None
    made_with: str | None = None
    """The code that made it, with its version."""
    key: str | None = None
    """Its key in the catalog that exported it, where ``platform export`` wrote the folder."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """As its card reports them; on which rows, only the card knows."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Origin:
        """Return the origin that :meth:`to_json` described; what a newer version added is left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: one for name, one in value.items() if name in known})


@dataclass(frozen=True)
class Annotation(Record):
    """What people call a record, and what they note of it."""

    key: str
    name: str | None = None
    """For display."""
    note: str | None = None
    tags: tuple[str, ...] = ()
    """In alphabetical order."""


@dataclass(frozen=True, kw_only=True)
class AdapterRecord(Record):
    """A source adapter, trained here or imported."""

    key: str
    """Step key, 64 hexadecimal digits."""
    backbone_digest: str
    """sha256 of the backbone's weights."""
    task: str
    """Full name of the source task, ``"glue/rte"``."""
    task_digest: str
    """sha256 of the task's content."""
    method: str
    settings: Mapping[str, Json]
    """The method's settings and the training settings; finite numbers only."""
    seed: int
    """0 where it was imported: its seed is not known."""
    metric: str
    """Name of the leading metric; empty where it was imported and nobody says."""
    metric_value: float
    """The leading metric on validation, at the best epoch; NaN where it is not known."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """All validation metrics."""
    test: Mapping[str, float] = field(default_factory=dict)
    """Test metrics by name; the setting is given, so nothing was chosen by them."""
    epochs: int | None = None
    """Epochs trained."""
    best_epoch: int | None = None
    """1 for the first."""
    n_parameters: int | None = None
    """Parameters of the adapter, head not counted."""
    head_parameters: int | None = None
    seconds: float | None = None
    """Training time, divided by the lanes that shared the pass."""
    train_rows: int | None = None
    """Rows it trained on, over all epochs; for estimates of time."""
    device: str | None = None
    """Where it was trained, as torch says it: ``"cpu"`` or ``"cuda:0"``."""
    provenance: Provenance | None = None
    """Versions and device that made it; ``None``: made before they were recorded."""
    run_id: str | None = None
    """MLflow run."""
    blob: str = ""
    """sha256 of the weights; set by the catalog when publishing."""
    blob_bytes: int = 0
    """Size of the weights; set by the catalog when publishing."""
    created_at: datetime | None = None
    """When it was published or imported; set by the catalog when ``None``."""
    state: str = "complete"
    """``complete``, or ``corrupt`` when its weights were found damaged."""
    origin: Origin | None = None
    """Where it came from; ``None``: it was trained here."""


@dataclass(frozen=True)
class JointShare(Record):
    """What one task has of a joint run."""

    task: str
    """Full name."""
    task_digest: str
    """sha256 of the task's content."""
    key: str
    """Of the adapter record that keeps it."""


@dataclass(frozen=True, kw_only=True)
class JointRecord(Record):
    """One model trained on several tasks."""

    key: str
    backbone_digest: str
    method: str
    """Joint method."""
    settings: Mapping[str, Json]
    """The method's settings and the training settings; finite numbers only."""
    shares: tuple[JointShare, ...]
    """Its tasks, in the order of the run."""
    seed: int
    metric: str
    """What chose its best evaluation: the mean over tasks of their ``"loss"``, or of their leading ``"metric"``."""
    value: float
    """That mean on validation."""
    steps: int | None = None
    """Batches trained on."""
    best_step: int | None = None
    n_parameters: int | None = None
    """Trained parameters of all tasks together, heads not counted."""
    head_parameters: int | None = None
    seconds: float | None = None
    train_rows: int | None = None
    """Rows it trained on, each choice a row."""
    device: str | None = None
    provenance: Provenance | None = None
    run_id: str | None = None
    blob: str = ""
    blob_bytes: int = 0
    created_at: datetime | None = None
    state: str = "complete"

    @property
    def task(self) -> str:
        """Its tasks, as people read them."""
        return ", ".join(share.task for share in self.shares)


@dataclass(frozen=True)
class PoolEntry(Record):
    """One source adapter of a pool."""

    key: str
    task: str
    name: str | None = None
    """What it is called in its pool, where that is not its task."""

    @property
    def label(self) -> str:
        """What people read."""
        return self.name or self.task

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping; a name only where there is one."""
        return {"key": self.key, "task": self.task, **({} if self.name is None else {"name": self.name})}


@dataclass(frozen=True)
class RankedSource(Record):
    """One source as a selection found it."""

    task: str
    score: float
    """See the selection's metric; NaN where it could not be measured."""
    key: str | None = None
    """Of the adapter; ``None`` where the rule looks at texts alone."""
    name: str | None = None
    """What it is called in its pool, where that is not its task."""

    @property
    def label(self) -> str:
        """What people read."""
        return self.name or self.task

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping; a key and a name only where there is one."""
        found = {"task": self.task, "score": None if math.isnan(self.score) else self.score}
        return found | {
            name: value for name, value in (("key", self.key), ("name", self.name)) if value is not None
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RankedSource:
        """Return what :meth:`to_json` described."""
        score = value["score"]
        return cls(
            value["task"], math.nan if score is None else float(score), value.get("key"), value.get("name")
        )


@dataclass(frozen=True, kw_only=True)
class SelectionRecord(Record):
    """Which sources suit a target: all that were measured by one rule, in that order."""

    key: str
    task: str
    """Full name of the target."""
    task_digest: str
    backbone_digest: str
    rule: str
    settings: Mapping[str, Json]
    """What it measured with."""
    sources: tuple[RankedSource, ...]
    """Best first; of forward selection those it selected, then the others as its last round found them."""
    metric: str
    """What a score is: ``"cosine"``; or the leading metric on validation with all sources up to this one, of those that
    were not selected in place of the last one that was."""
    value: float
    """The score of the first source."""
    seconds: float | None = None
    train_rows: int | None = None
    """Rows it trained on; 0 where nothing is trained."""
    run_id: str | None = None
    created_at: datetime | None = None
    state: str = "complete"


@dataclass(frozen=True, kw_only=True)
class StudyRecord(Record):
    """The finished search of one combiner on one target, or of a method's training on one task."""

    key: str
    task: str
    """Full name of the target task."""
    task_digest: str
    backbone_digest: str
    combiner: str
    """Name of the combiner; of a method's search the method's."""
    pool: tuple[PoolEntry, ...]
    """Source adapters in coefficient order; of a method's search none."""
    metric: str
    best_trial: int | None
    """Number of the chosen trial in the Optuna study."""
    best_value: float
    """The leading metric on validation of the chosen trial."""
    best_settings: Mapping[str, Json]
    """The chosen trial's value of every dimension: ``lr``, ``init_scale``, ``dropout``, and what else was searched."""
    trials: Mapping[str, int] = field(default_factory=dict)
    """Number of trials by state: ``{"complete": 12, "pruned": 4}``."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The combiner's own settings, or the method's that were not searched."""
    study_name: str | None = None
    """Name in the Optuna storage."""
    selection: str | None = None
    """Key of the selection that chose its pool, in whose order that stands; ``None``: it had all there were."""
    seconds: float | None = None
    train_rows: int | None = None
    run_id: str | None = None
    created_at: datetime | None = None
    state: str = "complete"


@dataclass(frozen=True, kw_only=True)
class TransferRecord(Record):
    """A learned combination with its head: one seed of a study's chosen setting."""

    key: str
    study_key: str
    task: str
    """Full name of the target task."""
    task_digest: str
    combiner: str
    backbone_digest: str
    seed: int
    settings: Mapping[str, Json]
    metric: str
    """Name of the leading metric."""
    validation: Mapping[str, float]
    """Validation metrics by name; holds the leading one."""
    test: Mapping[str, float]
    """Test metrics by name; holds the leading one."""
    coefficient_shape: tuple[int, int, int]
    """(layers or 1, sources, hidden size or 1)."""
    epochs: int | None = None
    best_epoch: int | None = None
    n_parameters: int | None = None
    """Parameters of the combination, head not counted."""
    head_parameters: int | None = None
    seconds: float | None = None
    train_rows: int | None = None
    device: str | None = None
    provenance: Provenance | None = None
    run_id: str | None = None
    blob: str = ""
    blob_bytes: int = 0
    created_at: datetime | None = None
    state: str = "complete"

    @property
    def validation_value(self) -> float:
        """The leading metric on validation; NaN if it was not reported."""
        return self.validation.get(self.metric, math.nan)

    @property
    def test_value(self) -> float:
        """The leading metric on test; NaN if it was not reported."""
        return self.test.get(self.metric, math.nan)


@dataclass(frozen=True)
class CoefficientRecord(Record):
    """Summary of one source adapter's scaling coefficients in one layer of a transfer."""

    transfer_key: str
    layer: int
    """From 0; 0 only where all layers share their coefficients."""
    position: int
    """Place of the source adapter in the pool, from 0."""
    adapter_key: str
    source_task: str
    mean: float
    """Over the hidden size; the coefficient itself where it is one number."""
    std: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class MetricRecord(Record):
    """One metric of an adapter or a transfer."""

    key: str
    split: str
    """``"validation"`` or ``"test"``."""
    name: str
    value: float


@dataclass(frozen=True)
class BackboneRecord(Record):
    """A backbone the catalog has something for."""

    digest: str
    """sha256 of its weights."""
    source: str | None
    architecture: str | None
    layers: int | None
    hidden_size: int | None
    tokenizer_digest: str | None
    config_digest: str | None
    created_at: datetime


@dataclass(frozen=True)
class TaskRecord(Record):
    """A task, with one content, the catalog has something for."""

    name: str
    digest: str
    problem_type: str | None
    n_labels: int | None
    metric: str | None
    n_train: int | None
    n_validation: int | None
    n_test: int | None
    created_at: datetime


@dataclass(frozen=True)
class SweepStep(Record):
    """One step of a sweep."""

    position: int
    key: str | None
    kind: StepKind
    title: str
    """For display."""
    needs: tuple[str, ...] = ()
    """The steps whose results it reads, by ``id``; by title where steps have none."""
    id: str | None = None
    """What it is within its sweep, see ``planning.steps.StepId``; ``None`` in a sweep recorded before steps
    had one."""
    train_rows: int | None = None
    """Rows it trains on at most, over all epochs; ``None``: not known."""


SHORT_KEY = 12
"""Digits of a key beside a sweep's name."""


@dataclass(frozen=True)
class SweepRecord(Record):
    """A submitted spec as a whole."""

    key: str
    name: str
    spec: str
    """The resolved spec, as JSON text."""
    state: State
    """As last written; ``killed`` instead of ``running`` when its process is known to be gone."""
    owner: str | None
    """JSON text of the process that submitted it last."""
    created_at: float
    """When it was first submitted, in seconds since 1970 by the database's clock, as all of its times."""
    updated_at: float
    cancel_requested: bool
    steps: tuple[SweepStep, ...] = ()
    """In the order of the plan; empty in lists of sweeps."""
    reason: str | None = None
    """Why it ended without being complete."""
    started_at: float | None = None
    """When it was submitted last; ``None``: it was recorded before this was."""
    ended_at: float | None = None
    """When it ended; ``None``: it runs, or its process was killed."""
    archived: bool = False
    """Whether it was put away, and is listed only on request."""
    device_seconds: float | None = None
    """Workers × seconds it has had, over all its submits; ``None``: it was recorded before this was."""
    exit_code: int | None = None
    """What the submit that ended it returned; ``None``: it runs, or its process was killed."""
    note: str | None = None
    """What people note of it."""
    tags: tuple[str, ...] = ()
    """In alphabetical order."""

    @property
    def told_apart(self) -> str:
        """What tells it from others of its name: ``"1f0c5d2e9a77 (2026-11-28 17:50, complete)"``."""
        submitted = datetime.fromtimestamp(self.started_at or self.created_at, UTC).astimezone()
        return f"{self.key[:SHORT_KEY]} ({submitted:%Y-%m-%d %H:%M}, {self.state})"


@dataclass(frozen=True)
class LineageNode(Record):
    """One record in a tree of ancestry."""

    kind: Literal["joint", "source", "selection", "study", "transfer", "task", "backbone"]
    key: str
    """Step key, backbone digest, or task name."""
    title: str
    """For people: ``"glue/rte · scalearn · seed 0"``."""
    state: str | None = None
    metric: str | None = None
    value: float | None = None
    parents: tuple[LineageNode, ...] = ()
    """What it was made from."""
    children: tuple[LineageNode, ...] = ()
    """What was made from it."""
    hidden_children: int = 0
    """Children left out because there are too many."""


@dataclass(frozen=True)
class BlobReport(Record):
    """What ``verify`` found; digests, and the keys that need them."""

    checked: int
    """Blobs looked at."""
    missing: Mapping[str, tuple[str, ...]]
    """Digests without a file, with the step keys that point to them."""
    damaged: Mapping[str, tuple[str, ...]]
    """Digests whose file holds other bytes (deep check only)."""
    orphans: tuple[str, ...]
    """Files no record points to; harmless, left by a publication that was refused."""
    leftovers: tuple[str, ...]
    """Temporary files of writers that were killed."""

    @property
    def healthy(self) -> bool:
        """Whether every record's weights are there (and intact, if checked deeply)."""
        return not self.missing and not self.damaged


@dataclass(frozen=True)
class GarbageFile(Record):
    """A file of the blob store that was removed, or would be."""

    name: str
    """A blob's digest, or the path or URL of any other file."""
    bytes: int
    age_s: float | None
    """Seconds since it was written, by the store's clock; ``None``: the store does not say."""


@dataclass(frozen=True, kw_only=True)
class GarbageReport(Record):
    """What :meth:`Catalog.collect_garbage <adapterlab.catalog.store.Catalog.collect_garbage>` did."""

    store: str
    """The blob store, without secrets."""
    dry_run: bool
    """Whether everything was left as it is: then what is called removed would be."""
    grace_s: float
    """Seconds since its last writing in which no blob is removed."""
    referenced: int
    """Stored blobs that records refer to; never removed."""
    removed: tuple[GarbageFile, ...]
    """Blobs that nothing refers to."""
    young: int
    """Blobs that nothing refers to, kept because they were written within the grace."""
    ageless: int
    """Blobs that nothing refers to, kept because the store does not say when they were written."""
    temporary: tuple[GarbageFile, ...]
    """Temporary files of writers and removers that were killed, and checkpoints nobody goes on from, removed as well."""
    quarantined: tuple[GarbageFile, ...]
    """Damaged blobs that had been set aside; removed only if that was asked for."""
    quarantine_removed: bool
    restored: tuple[str, ...]
    """Digests that a killed process had moved away though they were needed; put back."""
    doubt: str | None
    """Why the store may belong to another catalog as well; ``None``: nothing suggests it."""

    @property
    def freed_bytes(self) -> int:
        """Bytes of everything that was removed, or would be."""
        gone = self.removed + self.temporary + (self.quarantined if self.quarantine_removed else ())
        return sum(file.bytes for file in gone)

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON-able mapping, with the bytes in all."""
        return {**super().to_json(), "freed_bytes": self.freed_bytes}
