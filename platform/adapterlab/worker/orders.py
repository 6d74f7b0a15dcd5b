"""What a worker is told: the typed orders it is given, and their one JSON form."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

from pydantic import ConfigDict, TypeAdapter

from adapterlab.catalog.records import Claim
from adapterlab.catalog.store import Catalog, open_catalog
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import UsageError
from adapterlab.home import Stores
from adapterlab.patience import NO_PATIENCE, Patience
from adapterlab.planning.steps import FinalJob, JointJob, SelectionJob, ShareJob, SourceJob, StudyJob
from adapterlab.provenance import VERSION
from adapterlab.worker.shipment import Shipment

JobT = TypeVar("JobT", JointJob, SourceJob, SelectionJob, StudyJob, FinalJob)
T = TypeVar("T")


@dataclass(frozen=True)
class BackboneFiles:
    """The backbone as workers load it."""

    folder: str
    """Holds config, weights and tokenizer, on every machine."""
    architecture: str
    """``model_type`` of its config."""
    digest: str
    """sha256 of the weights the plan was made for."""
    precision: str
    """``"float32"`` or ``"bfloat16"``."""
    source: str = ""
    """As the spec names it; empty: nobody said."""

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.source or PurePath(self.folder).name


@dataclass(frozen=True)
class Context:
    """Where a sweep's state lives and how its workers run; none of it is in a key."""

    sweep_key: str
    name: str
    """Name of the sweep."""
    stores: Stores
    experiment: str
    """MLflow experiment."""
    backbone: BackboneFiles
    library: TaskLibrary
    """Where task rows come from."""
    max_length: int
    max_train_rows: int | None
    lanes: int | None
    """Lanes in one pass; ``None``: chosen on the worker."""
    threads: int
    """CPU threads of a worker."""
    gpu: bool
    version: str = VERSION
    """Of the driver's adapterlab."""
    shipment: Shipment | None = None
    """What machines of a cluster take from the blob store; ``None``: workers see the driver's own files."""
    patience_s: float = 0.0
    """How long a server may be away before work is given up, in seconds."""
    max_device_s: float | None = None
    """Device-seconds that the sweep may take, over all its submits; ``None``: as many as it needs."""

    def catalog(self, patience: Patience = NO_PATIENCE) -> Catalog:
        """Open the catalog; its schema is already there."""
        stores = self.stores
        return open_catalog(
            stores.catalog, stores.blobs, locks=stores.locks, migrate=False, patience=patience
        )


@dataclass(frozen=True)
class Assignment(Generic[JobT]):
    """A step's job, and the claim under which its result is published."""

    job: JobT
    claim: Claim


@dataclass(frozen=True)
class SourcesOrder:
    """Train source adapters, as many in one pass as make it faster."""

    context: Context
    name: str
    """Of the worker; the same when it is started again."""
    sources: tuple[Assignment[SourceJob], ...]
    kind: Literal["sources"] = "sources"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the steps it is to do."""
        return tuple(one.claim.key for one in self.sources)


@dataclass(frozen=True)
class Share:
    """What one task has of a joint run, to be kept with it."""

    job: ShareJob
    key: str
    claim: Claim | None
    """``None`` where it is complete already, so that it stays as it is."""


@dataclass(frozen=True)
class JointAssignment:
    """One model to train on several tasks, and what each of them has of it."""

    run: Assignment[JointJob]
    shares: tuple[Share, ...]
    """One a task, in the order of the run."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the steps it is to do."""
        return (self.run.claim.key, *(one.key for one in self.shares if one.claim is not None))


@dataclass(frozen=True)
class JointOrder:
    """Train joint runs, as many in one pass as make it faster."""

    context: Context
    name: str
    """Of the worker; the same when it is started again."""
    runs: tuple[JointAssignment, ...]
    kind: Literal["joint"] = "joint"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the steps it is to do."""
        return tuple(key for one in self.runs for key in one.keys)


@dataclass(frozen=True)
class SelectionOrder:
    """Measure which sources suit a target."""

    context: Context
    name: str
    """Of the worker; the same when it is started again."""
    selection: Assignment[SelectionJob]
    kind: Literal["selection"] = "selection"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the steps it is to do."""
        return (self.selection.claim.key,)


@dataclass(frozen=True)
class TrialsOrder:
    """Train trials of a study beside other workers until its budget is spent."""

    context: Context
    name: str
    """Of the worker; the same when it is started again."""
    study: Assignment[StudyJob]
    kind: Literal["trials"] = "trials"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the steps it is to do."""
        return (self.study.claim.key,)


@dataclass(frozen=True)
class StudyOrder:
    """Finish a study: the trials that are left, its record, and its final runs, or the adapters it chose for."""

    context: Context
    name: str
    """Of the worker; the same when it is started again."""
    key: str
    """The study's."""
    job: StudyJob
    claim: Claim | None
    """On the study; ``None`` where it is complete already."""
    finals: tuple[Assignment[FinalJob], ...]
    adapters: tuple[Assignment[SourceJob], ...] = ()
    """Of a method's search: what is trained as it chooses."""
    kind: Literal["study"] = "study"

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the steps it is to do; its study's is one of them though it may be complete."""
        claims = (*(one.claim for one in self.finals), *(one.claim for one in self.adapters))
        return (self.key, *(claim.key for claim in claims))


WorkOrder: TypeAlias = JointOrder | SourcesOrder | SelectionOrder | TrialsOrder | StudyOrder


# -- JSON -----------------------------------------------------------------------------------------


def to_json(value: object) -> dict[str, Any]:
    """Return a record, any dataclass of this module and of ``planning.steps``, as a JSON-able mapping."""
    kind: Any = type(value)
    whole: dict[str, Any] = _codec(kind).dump_python(_Strict(value), mode="json")
    inner: dict[str, Any] = whole["value"]
    return inner


def from_json(kind: type[T], value: Mapping[str, Any]) -> T:
    """Return the record that :func:`to_json` described.

    Args:
        kind: Its type.
        value: As read from JSON.

    Raises:
        pydantic.ValidationError: A field is missing, unknown, or not of its type.
    """
    hashable: Any = kind
    read: T = _codec(hashable).validate_json(json.dumps({"value": value})).value
    return read


def order_from_json(value: Mapping[str, Any]) -> WorkOrder:
    """Return the order that :func:`to_json` described.

    Raises:
        UsageError: The driver is of another version of adapterlab.
        pydantic.ValidationError: A field is missing, unknown, or not of its type.
    """
    drivers = value["context"].get("version")
    if drivers != VERSION:
        raise UsageError(
            f"the sweep was submitted by adapterlab {drivers}, but {platform.node()} has {VERSION}",
            remedy="Install the same version on every machine of the cluster: results of one key must be made alike.",
        )
    kinds: dict[str, type[WorkOrder]] = {
        "joint": JointOrder,
        "sources": SourcesOrder,
        "selection": SelectionOrder,
        "trials": TrialsOrder,
        "study": StudyOrder,
    }
    return from_json(kinds[value["kind"]], value)


@dataclass(frozen=True)
class _Strict(Generic[T]):
    """Refuses unknown fields and silent conversions in all dataclasses below it, which take on its config."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    value: T


@lru_cache
def _codec(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_Strict.__class_getitem__(kind))  # type: ignore[attr-defined]
