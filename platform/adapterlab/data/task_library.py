"""All tasks a sweep can name, and where the rows of each come from: one object that travels to workers.

A task is a suite's or the spec's own. Its rows come from the folder of real tasks, a data set on a hub,
the files a spec names, or a suite that makes them.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterlab.data import hub_rows
from adapterlab.data.row_reading import ReadOptions
from adapterlab.data.row_source import RowSource
from adapterlab.data.split_files import MissingDataError, SplitFiles, check_inside, files_below, files_in
from adapterlab.errors import AdapterlabError, NotFoundError
from adapterlab.fingerprint import Json
from adapterlab.given_files import check_regular, given_path
from adapterlab.records import DEFAULT_MAX_LENGTH, Splits, TaskFacts, row_length
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import TaskSuite
from adapterlab.registry.task_definitions import FolderLocation, TaskDefinition
from adapterlab.spec.load import LoadedSpec
from adapterlab.spec.model import Spec
from adapterlab.spec.tasks import TaskSpec, definition_from


@dataclass(frozen=True)
class TaskSummary:
    """What a list of tasks tells of one; no row is read for it."""

    task: str
    """Full name."""
    problem_type: str
    labels: int | None
    """Classes, labels or choices; ``None``: as many as train shows, or none (regression)."""
    metric: str
    """The one that leads."""
    max_length: int
    """Most tokens of a sequence."""
    rows_from: str
    """``"generated"``, a file, a data set on the hub, or why there is nothing."""
    at_hand: bool
    """Whether its rows can be read now, without a network."""
    description: str
    licence: str


@dataclass(frozen=True)
class TaskLibrary:
    """Where the rows of every task are, as a spec and this machine say."""

    cache: Path
    """Absolute folder of this machine's caches: rows, tokens, digests, lists of a hub's files."""
    root: Path | None = None
    """Absolute folder of real tasks; ``None``: the spec names none."""
    hub: bool = False
    """Read suites' tasks that the folder has not from the hub they name."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Commit of each hub repository."""
    own_tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    """The spec's own tasks by full name."""
    own_folder: Path = Path()
    """Absolute folder the paths of the spec's own tasks start from."""
    known: Mapping[str, TaskFacts] = field(default_factory=dict)
    """Facts of tasks whose rows are handed to this machine: their own files are not looked at."""

    @classmethod
    def of_spec(cls, spec: Spec, *, root: Path | None, own_folder: Path, cache: Path) -> TaskLibrary:
        """Return the tasks a spec can name.

        Args:
            spec: The spec.
            root: Folder of real tasks, ``data.root`` made absolute.
            own_folder: Folder the paths of its ``[[task]]`` start from.
            cache: Folder of this machine's caches.
        """
        own_tasks = {task.name: task for task in spec.task}
        return cls(cache, root, spec.data.hub, dict(spec.data.revisions), own_tasks, own_folder.absolute())

    @classmethod
    def of_loaded(cls, loaded: LoadedSpec) -> TaskLibrary:
        """Return the tasks a spec from a file can name, with the caches of its stores."""
        return cls.of_spec(
            loaded.spec,
            root=loaded.data_root,
            own_folder=loaded.task_folder,
            cache=loaded.stores().cache,
        )

    def to_json(self) -> dict[str, Json]:
        """Return the library as a JSON-able mapping, for workers."""
        return {
            "cache": str(self.cache),
            "root": None if self.root is None else str(self.root),
            "hub": self.hub,
            "revisions": dict(self.revisions),
            "own_tasks": [task.model_dump(mode="json") for task in self.own_tasks.values()],
            "own_folder": str(self.own_folder),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TaskLibrary:
        """Return the library that :meth:`to_json` described."""
        own_tasks = [TaskSpec.model_validate(task) for task in value["own_tasks"]]
        return cls(
            cache=Path(value["cache"]),
            root=None if value["root"] is None else Path(value["root"]),
            hub=value["hub"],
            revisions=value["revisions"],
            own_tasks={task.name: task for task in own_tasks},
            own_folder=Path(value["own_folder"]),
        )

    def names(self) -> tuple[str, ...]:
        """Return the full names of all tasks: the spec's own, then those of the installed suites."""
        suites = (entry_points.task_suite(name) for name in entry_points.names(entry_points.TASK_SUITES))
        return (
            *self.own_tasks,
            *(f"{suite.name}/{name}" for suite in suites for name in suite.definitions()),
        )

    def definition(self, task: str) -> TaskDefinition:
        """Return the definition behind a full task name: the spec's own, or an installed suite's.

        Raises:
            NotFoundError: There is none.
        """
        own = self.own_tasks.get(task)
        return entry_points.task_definition(task) if own is None else definition_from(own)

    def row_source(self, task: str, *, download: bool = False) -> RowSource:
        """Return where a task's rows are.

        Args:
            task: Full name, ``<benchmark>/<task>``.
            download: Fetch a hub's rows that are not on this machine.

        Raises:
            NotFoundError: No installed suite has the task, or the hub has not what it names.
            UnavailableError: The hub cannot be reached.
            MissingDataError: Its files are not there.
            DataError: Its files lie outside the folder they must be in.
        """
        own = self.own_tasks.get(task)
        return (
            self._source_of_suite(task, download=download)
            if own is None
            else self._source_of_own(own, download=download)
        )

    def summaries(self, max_length: int = DEFAULT_MAX_LENGTH) -> Iterator[TaskSummary]:
        """Yield all tasks with where their rows come from; no row is read.

        Args:
            max_length: ``data.max_length``.
        """
        for task in self.names():
            definition = self.definition(task)
            rows_from, at_hand = self._rows_from(task, definition)
            yield TaskSummary(
                task=task,
                problem_type=str(definition.problem_type),
                labels=len(definition.labels) or None,
                metric=definition.metrics[0],
                max_length=row_length(max_length, definition.max_length),
                rows_from=rows_from,
                at_hand=at_hand,
                description=definition.description,
                licence=definition.licence,
            )

    def _source_of_suite(self, task: str, *, download: bool) -> RowSource:
        definition = entry_points.task_definition(task)
        suite = entry_points.task_suite(task.partition("/")[0])
        if suite.generates():
            return RowSource(task, definition, suite, None, _generator_files(suite))
        missing = MissingDataError(
            f"{task}: data.root is not set",
            remedy="Name the folder of real tasks: --set data.root=<folder>, or root under [data].",
        )
        if self.root is not None:
            try:
                files = files_below(self.root, task, definition)
                return RowSource(task, definition, suite, files, files.all(definition))
            except MissingDataError as error:
                missing = error
        if self.hub and definition.hub is not None:
            files = self._hub_files(task, definition, download=download)
            return RowSource(task, definition, suite, files, files.all(definition))
        raise missing

    def _source_of_own(self, spec: TaskSpec, *, download: bool) -> RowSource:
        definition = definition_from(spec)
        options = ReadOptions(
            by_name=True,
            separator=spec.delimiter,
            quotes=spec.quotes,
            first_choice=spec.first_choice,
            id_column=spec.id,
        )
        roots = (self.own_folder, *(() if self.root is None else (self.root,)))
        if definition.hub is not None:
            files = self._hub_files(spec.name, definition, download=download)
        elif spec.folder is not None:
            folder = given_path(self.own_folder / os.path.expanduser(spec.folder), f"{spec.name}: folder")  # noqa: PTH111
            roots = (*roots, folder) if _is_whole(spec.folder) else roots
            files = files_in(folder, spec.name, definition.splits, FolderLocation("."), roots=roots)
        else:
            files = _named_files(spec, definition, self.own_folder, roots)
        return RowSource(spec.name, definition, None, files, files.all(definition), options)

    def _hub_files(self, task: str, definition: TaskDefinition, *, download: bool) -> SplitFiles:
        assert definition.hub is not None
        return hub_rows.hub_split_files(
            task,
            definition.hub,
            definition.splits,
            self.revisions,
            cache=self.cache,
            download=download,
        )

    def _rows_from(self, task: str, definition: TaskDefinition) -> tuple[str, bool]:
        try:
            source = self.row_source(task)
        except MissingDataError as missing:
            if self.hub or task in self.own_tasks:
                return missing.message.removeprefix(f"{task}: "), False
            there = "" if self.root is None else "not in data.root; "
            return f"{there}{f'hub: {definition.hub.repo}' if definition.hub else 'not on the hub'}", False
        except AdapterlabError as error:
            return error.message, False
        return ("generated" if source.split_files is None else str(source.split_files.train[0])), True


def _named_files(
    spec: TaskSpec, definition: TaskDefinition, folder: Path, roots: tuple[Path, ...]
) -> SplitFiles:
    def file(key: str, name: str | None) -> tuple[Path, ...]:
        if name is None:
            return ()
        path = given_path(folder / os.path.expanduser(name), f"{spec.name}: {key}")  # noqa: PTH111
        if not _is_whole(name):
            check_inside(path, roots)
        try:
            check_regular(path)
        except NotFoundError:
            raise MissingDataError(
                f"{spec.name}: {path} does not exist",
                remedy=f"Correct {key} of this [[task]]; paths start from the spec.",
            ) from None
        return (path,)

    train, validation, test = (
        file("train", spec.train),
        file("validation", spec.validation),
        file("test", spec.test),
    )
    if definition.splits is Splits.HOLDOUT:  # one of the two; it is what is tested on
        return SplitFiles(train, test or validation)
    return SplitFiles(train, test, validation)


def _is_whole(name: str) -> bool:
    """Return whether a person has written a path from its root on, or from a home: it is what they mean."""
    return Path(os.path.expanduser(name)).is_absolute()  # noqa: PTH111


def _generator_files(suite: TaskSuite) -> tuple[Path, ...]:
    """Return the modules beside the suite's own: editing the generator makes its digests stale."""
    module = inspect.getfile(type(suite))
    return tuple(sorted(Path(module).parent.glob("*.py")))
