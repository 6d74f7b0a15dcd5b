"""Rows that only repeat what others say: found where they are gone, and written again from those.

A record names what it was made from, its backbone and its tasks. Lineage, the rows that a backbone and a task have, and
the progress of a finished step follow from it; nothing has to be trained for them. What is known of a backbone and a
task besides their digests, and the steps of a sweep, only the spec knows: the next submit writes those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from adapterlab.catalog import schema
from adapterlab.catalog.database import Database, chunks, insert_into
from adapterlab.catalog.publish import chooser_of, now, put_lineage
from adapterlab.catalog.step_status import write_progress
from adapterlab.records import BackboneFacts, State, StepKind, TaskFacts

Parents = Mapping[str, StepKind]
TaskDigest = tuple[str, str]


@dataclass(frozen=True)
class DerivedRows:
    """What is not there, although the catalog's records say that it should be."""

    lineage: Mapping[str, tuple[StepKind, Parents]] = field(default_factory=dict)
    """By child: its kind, and all that it was made from."""
    backbones: frozenset[str] = frozenset()
    tasks: frozenset[TaskDigest] = frozenset()
    progress: frozenset[str] = frozenset()
    sweeps: Mapping[str, str] = field(default_factory=dict)
    """Names of sweeps some of whose steps are gone, by key."""

    @property
    def restorable(self) -> int:
        """How many things :func:`restore` writes again."""
        return len(self.lineage) + len(self.backbones) + len(self.tasks) + len(self.progress)

    def __str__(self) -> str:
        counts = {
            "lineage of {} records": self.lineage,
            "{} backbones": self.backbones,
            "{} tasks": self.tasks,
            "progress of {} steps": self.progress,
        }
        return ", ".join(words.format(len(rows)) for words, rows in counts.items() if rows)


def missing(database: Database) -> DerivedRows:
    """Return the rows that follow from others and are gone; changes nothing.

    Raises:
        UnavailableError: The database cannot be reached.
    """
    with database.reading() as connection:
        complete = _keys(connection, complete=True)
        told = set(connection.execute(select(schema.Progress.step_key)).scalars())
        described = set(connection.execute(select(schema.Backbone.digest)).scalars())
        task = schema.Task
        tasks = {(row.name, row.digest) for row in connection.execute(select(task.name, task.digest))}
        return DerivedRows(
            _missing_lineage(connection),
            frozenset(_backbones(connection)) - described,
            frozenset(_tasks(connection)) - tasks,
            frozenset(complete - told),
            _sweeps_without_steps(connection),
        )


def restore(database: Database, rows: DerivedRows) -> None:
    """Write rows again that :func:`missing` found, all but the steps of sweeps.

    Raises:
        UnavailableError: The database cannot be reached.
    """

    def work(connection: Connection) -> None:
        created_at = now(connection)
        for digest in sorted(rows.backbones):
            backbone = insert_into(connection, schema.Backbone).values(digest=digest, created_at=created_at)
            connection.execute(backbone.on_conflict_do_nothing())
        for name, digest in sorted(rows.tasks):
            task = insert_into(connection, schema.Task).values(
                name=name, digest=digest, created_at=created_at
            )
            connection.execute(task.on_conflict_do_nothing())
        for child, (kind, parents) in rows.lineage.items():
            put_lineage(connection, child, kind, parents)
        for chunk in chunks(sorted(rows.progress)):
            write_progress(connection, chunk, state=State.COMPLETE)

    database.write(work)


def are_described(database: Database, backbone: BackboneFacts, tasks: Iterable[TaskFacts]) -> bool:
    """Return whether the catalog knows more than their digests of a backbone and of tasks."""
    wanted = {(task.task, task.content_digest) for task in tasks}
    names = sorted({name for name, _ in wanted})
    table = schema.Task
    known = select(table.name, table.digest).where(table.problem_type.is_not(None))
    with database.reading() as connection:
        source = select(schema.Backbone.source).where(schema.Backbone.digest == backbone.weights_digest)
        if connection.execute(source).scalar_one_or_none() is None:
            return False
        return wanted <= {
            (row.name, row.digest)
            for chunk in chunks(names)
            for row in connection.execute(known.where(table.name.in_(chunk)))
        }


def _keys(connection: Connection, *, complete: bool = False) -> set[str]:
    found: set[str] = set()
    for table in schema.RESULTS:
        keys = select(table.key).where(table.state == schema.COMPLETE) if complete else select(table.key)
        found.update(connection.execute(keys).scalars())
    return found


def _missing_lineage(connection: Connection) -> dict[str, tuple[StepKind, Parents]]:
    known: dict[str, set[str]] = defaultdict(set)
    for row in connection.execute(select(schema.Lineage.child, schema.Lineage.parent)):
        known[row.child].add(row.parent)
    results = _keys(connection)
    found: dict[str, tuple[StepKind, Parents]] = {}
    for child, kind, parents in _lineage(connection):
        there = {parent: of for parent, of in parents.items() if parent in results}
        if child in results and not there.keys() <= known[child]:
            found[child] = (kind, there)
    return found


def _lineage(connection: Connection) -> Iterator[tuple[str, StepKind, Parents]]:
    """Yield each child with what its record says it was made from, as ``publish`` writes it."""
    shares = set()
    run = schema.JointRun
    for row in connection.execute(select(run.key, run.shares, run.settings)):
        yield row.key, StepKind.JOINT, chooser_of(row.settings)
        for share in row.shares:
            shares.add(share["key"])
            yield share["key"], StepKind.SOURCE, {row.key: StepKind.JOINT}
    for row in connection.execute(select(schema.Adapter.key, schema.Adapter.settings)):
        if row.key not in shares:
            yield row.key, StepKind.SOURCE, chooser_of(row.settings)
    for row in connection.execute(select(schema.Selection.key, schema.Selection.sources)):
        keys = [source["key"] for source in row.sources if source.get("key") is not None]
        yield row.key, StepKind.SELECTION, dict.fromkeys(keys, StepKind.SOURCE)
    study = schema.Study
    for row in connection.execute(select(study.key, study.pool, study.selection)):
        parents = dict.fromkeys((entry["key"] for entry in row.pool), StepKind.SOURCE)
        chosen_by = {} if row.selection is None else {row.selection: StepKind.SELECTION}
        yield row.key, StepKind.STUDY, {**parents, **chosen_by}
    for row in connection.execute(select(schema.Transfer.key, schema.Transfer.study_key)):
        yield row.key, StepKind.TRANSFER, {row.study_key: StepKind.STUDY}


def _backbones(connection: Connection) -> Iterator[str]:
    for table in schema.RESULTS:
        yield from connection.execute(select(table.backbone_digest).distinct()).scalars()


def _tasks(connection: Connection) -> Iterator[TaskDigest]:
    for table in (
        schema.Adapter,
        schema.Selection,
        schema.Study,
        schema.Transfer,
    ):  # a joint run's are adapters
        pairs = select(table.task, table.task_digest).where(table.task.is_not(None)).distinct()
        for row in connection.execute(pairs):
            yield row.task, row.task_digest
    for several in connection.execute(select(schema.Study.tasks)).scalars():
        for one in several or ():
            yield one["task"], one["task_digest"]


def _sweeps_without_steps(connection: Connection) -> dict[str, str]:
    """Return sweeps that have fewer steps than they say, or than the position of the last one says; or none."""
    sweep, step = schema.Sweep, schema.SweepStep
    counted = (
        select(sweep.key, sweep.name, sweep.n_steps, func.count(step.position), func.max(step.position))
        .outerjoin(step, step.sweep_key == sweep.key)
        .group_by(sweep.key, sweep.name, sweep.n_steps)
    )
    return {
        key: name
        for key, name, of, count, last in connection.execute(counted)
        if count == 0 or count < max(of or 0, last + 1)
    }
