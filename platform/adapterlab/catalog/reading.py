"""The reading half of the catalog: look-ups, filters, ancestry, estimates."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast

from adapterlab.catalog import lineage, queries, remarks, sweeps
from adapterlab.catalog.blobs import Blobs
from adapterlab.catalog.database import Database
from adapterlab.catalog.queries import (
    ADAPTERS,
    JOINT_RUNS,
    SELECTIONS,
    STUDIES,
    TRANSFERS,
    AdapterFilter,
    JointFilter,
    ResultTable,
    SelectionFilter,
    StepRecord,
    StudyFilter,
    TransferFilter,
    filter_of,
)
from adapterlab.catalog.records import (
    AdapterRecord,
    Annotation,
    BackboneRecord,
    CoefficientRecord,
    JointRecord,
    LineageNode,
    SelectionRecord,
    StudyRecord,
    SweepRecord,
    TaskRecord,
    TransferRecord,
)
from adapterlab.catalog.schema import COMPLETE
from adapterlab.records import StepKind

Stored = TypeVar("Stored", AdapterRecord, JointRecord, SelectionRecord, StudyRecord, TransferRecord)

_TABLE_OF_STEP = {
    StepKind.JOINT: JOINT_RUNS,
    StepKind.SOURCE: ADAPTERS,
    StepKind.SELECTION: SELECTIONS,
    StepKind.STUDY: STUDIES,
    StepKind.TRANSFER: TRANSFERS,
}
_TABLE_OF_RECORD: dict[type, ResultTable] = {
    AdapterRecord: ADAPTERS,
    JointRecord: JOINT_RUNS,
    SelectionRecord: SELECTIONS,
    StudyRecord: STUDIES,
    TransferRecord: TRANSFERS,
}


class ReadableCatalog:
    """What can be asked of an open catalog.

    ``find`` may miss and gives ``None``; ``get`` raises and also takes a unique beginning of a key.
    Both see complete records only: a record whose weights were found damaged counts as not there.
    Every method raises ``UnavailableError`` when the database cannot be reached.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self.database = database
        self.blobs = blobs

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; claims stay held."""
        self.database.close()

    # --- One record ---------------------------------------------------------------------------

    def find_adapter(self, key: str) -> AdapterRecord | None:
        """Return an adapter by its whole key."""
        return self._find(AdapterRecord, key)

    def find_joint(self, key: str) -> JointRecord | None:
        """Return a joint run by its whole key."""
        return self._find(JointRecord, key)

    def find_selection(self, key: str) -> SelectionRecord | None:
        """Return a selection of sources by its whole key."""
        return self._find(SelectionRecord, key)

    def find_study(self, key: str) -> StudyRecord | None:
        """Return a study by its whole key."""
        return self._find(StudyRecord, key)

    def find_transfer(self, key: str) -> TransferRecord | None:
        """Return a transfer by its whole key."""
        return self._find(TransferRecord, key)

    def find_result(self, kind: StepKind, key: str) -> StepRecord | None:
        """Return what a step of a kind left, by its whole key."""
        return self.database.read(
            lambda connection: queries.find(connection, _TABLE_OF_STEP[kind], key, COMPLETE)
        )

    def get_adapter(self, key: str) -> AdapterRecord:
        """Return an adapter by its key or a unique beginning of it, 4 or more digits.

        Raises:
            NotFoundError: There is none, or several; the remedy names the near ones.
        """
        return self._get(AdapterRecord, key)

    def get_joint(self, key: str) -> JointRecord:
        """Return a joint run, see :meth:`get_adapter`."""
        return self._get(JointRecord, key)

    def get_selection(self, key: str) -> SelectionRecord:
        """Return a selection of sources, see :meth:`get_adapter`."""
        return self._get(SelectionRecord, key)

    def get_study(self, key: str) -> StudyRecord:
        """Return a study, see :meth:`get_adapter`."""
        return self._get(StudyRecord, key)

    def get_transfer(self, key: str) -> TransferRecord:
        """Return a transfer, see :meth:`get_adapter`."""
        return self._get(TransferRecord, key)

    def joint_of(self, adapter_key: str) -> JointRecord | None:
        """Return the joint run that an adapter is one task's part of; ``None``: it was trained alone."""
        return self.database.read(lambda connection: queries.joint_of(connection, adapter_key))

    def get(self, key: str) -> StepRecord:
        """Return whatever record has this key or beginning of a key, damaged ones as well.

        Raises:
            NotFoundError: There is none, or several; the remedy names the near ones.
        """
        return self.database.read(lambda connection: queries.resolve(connection, key))

    def annotations(self, keys: Iterable[str]) -> dict[str, Annotation]:
        """Return names, notes and tags of records by key; those without any are left out."""
        wanted = list(keys)
        return self.database.read(lambda connection: remarks.annotations_of(connection, wanted))

    def coefficients(self, transfer_key: str) -> list[CoefficientRecord]:
        """Return a transfer's coefficient summaries, by layer and place in the pool."""
        return self.database.read(lambda connection: queries.coefficients(connection, transfer_key))

    def lineage(self, key: str) -> LineageNode:
        """Return a record with its ancestors, down to backbone and tasks, and its descendants.

        Args:
            key: A key or a unique beginning of it.

        Raises:
            NotFoundError: There is no such record.
        """
        return self.database.read(
            lambda connection: lineage.tree(connection, queries.resolve(connection, key))
        )

    # --- Lists --------------------------------------------------------------------------------

    def adapters(self, **wanted: Unpack[AdapterFilter]) -> list[AdapterRecord]:
        """Return complete adapters.

        Args:
            **wanted: What to look for, see :class:`~adapterlab.catalog.queries.AdapterFilter`, for example
                ``task="glue/rte", metric="accuracy", metric_min=0.7``.

        Raises:
            UsageError: A number makes no sense.
        """
        asked = filter_of(wanted)
        return self.database.read(
            lambda connection: queries.adapters_from(connection, queries.rows(connection, ADAPTERS, asked))
        )

    def joint_runs(self, **wanted: Unpack[JointFilter]) -> list[JointRecord]:
        """Return complete joint runs, see :class:`~adapterlab.catalog.queries.JointFilter`.

        Raises:
            UsageError: A number makes no sense.
        """
        asked = filter_of(wanted)
        return self.database.read(
            lambda connection: queries.joint_runs_from(
                connection, queries.rows(connection, JOINT_RUNS, asked)
            )
        )

    def selections(self, **wanted: Unpack[SelectionFilter]) -> list[SelectionRecord]:
        """Return selections of sources, see :class:`~adapterlab.catalog.queries.SelectionFilter`.

        Raises:
            UsageError: A number makes no sense.
        """
        asked = filter_of(wanted)
        return self.database.read(
            lambda connection: queries.selections_from(
                connection, queries.rows(connection, SELECTIONS, asked)
            )
        )

    def studies(self, **wanted: Unpack[StudyFilter]) -> list[StudyRecord]:
        """Return finished studies, see :class:`~adapterlab.catalog.queries.StudyFilter`.

        Raises:
            UsageError: A number makes no sense.
        """
        asked = filter_of(wanted)
        return self.database.read(
            lambda connection: queries.studies_from(connection, queries.rows(connection, STUDIES, asked))
        )

    def transfers(self, **wanted: Unpack[TransferFilter]) -> list[TransferRecord]:
        """Return complete transfers, see :class:`~adapterlab.catalog.queries.TransferFilter`.

        Raises:
            UsageError: A number makes no sense.
        """
        asked = filter_of(wanted)
        return self.database.read(
            lambda connection: queries.transfers_from(connection, queries.rows(connection, TRANSFERS, asked))
        )

    def backbones(self) -> list[BackboneRecord]:
        """Return every backbone something is known of, newest first."""
        return self.database.read(queries.backbones)

    def tasks(self) -> list[TaskRecord]:
        """Return every task something is known of, by name."""
        return self.database.read(queries.tasks)

    # --- Sweeps and estimates -----------------------------------------------------------------

    def sweep(self, text: str) -> SweepRecord:
        """Return a sweep with its steps, by key, by 4 or more first digits, or the latest by name.

        Raises:
            NotFoundError: There is none; the remedy names the nearest.
        """
        return self.database.read(lambda connection: sweeps.find_sweep(connection, text))

    def only_sweep(self, text: str, *, running: bool = False) -> SweepRecord:
        """Return the one sweep that is meant, without its steps, for what changes it.

        Args:
            text: Key, beginning of a key, or name.
            running: Whether, of a name, those that run are meant, where there are any.

        Raises:
            NotFoundError: There is none, or several sweeps have this name; the message lists them.
        """
        return self.database.read(
            lambda connection: sweeps.find_only_sweep(connection, text, running=running)
        )

    def namesakes(self, sweep: SweepRecord) -> list[SweepRecord]:
        """Return the other sweeps of the same name that are not put away, the one last changed first."""
        return self.database.read(lambda connection: sweeps.namesakes(connection, sweep))

    def sweeps(self, *, limit: int | None = None, archived: bool = True) -> list[SweepRecord]:
        """Return sweeps without their steps, the one last changed first.

        Args:
            limit: The most; absent: all.
            archived: Whether those that were put away are among them.
        """
        return self.database.read(lambda connection: sweeps.list_sweeps(connection, limit, archived=archived))

    def sweeps_with(self, step_key: str) -> list[SweepRecord]:
        """Return the sweeps that have a step, without their steps, the one last changed first."""
        return self.database.read(lambda connection: sweeps.sweeps_with(connection, step_key))

    def cancel_requested(self, sweep_key: str) -> bool:
        """Return whether somebody asked this sweep to stop since it was opened."""
        return self.database.read(lambda connection: sweeps.cancel_requested(connection, sweep_key))

    def run_id(self, node: str) -> str | None:
        """Return the MLflow run kept for a node."""
        return self.database.read(lambda connection: sweeps.run_of(connection, node))

    def durations(
        self, backbone_digest: str, kind: StepKind, *, gpu: bool = False, limit: int = 100
    ) -> tuple[float, ...]:
        """Return seconds per trained row of past steps of a kind on a backbone, newest first.

        Args:
            backbone_digest: Of its weights.
            kind: Of the steps.
            gpu: Whether those that trained on a GPU are wanted; else those on a CPU.
            limit: Most of them.
        """
        return self.database.read(
            lambda connection: queries.durations(
                connection, backbone_digest, _TABLE_OF_STEP[StepKind(kind)], limit, gpu=gpu
            )
        )

    def _find(self, kind: type[Stored], key: str) -> Stored | None:
        return cast(
            "Stored | None",
            self.database.read(
                lambda connection: queries.find(connection, _TABLE_OF_RECORD[kind], key, COMPLETE)
            ),
        )

    def _get(self, kind: type[Stored], key: str) -> Stored:
        results = _TABLE_OF_RECORD[kind]
        return cast(
            "Stored",
            self.database.read(lambda connection: queries.resolve(connection, key, (results,), COMPLETE)),
        )
