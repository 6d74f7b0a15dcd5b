"""Where a task's rows are: a folder, a hub, a spec's own files, or a suite that makes them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapterlab.data import hub_rows
from adapterlab.data.joins import Joined
from adapterlab.data.originals import original_records
from adapterlab.data.row_reading import ReadOptions, Row, files_rows, generated_rows, label_names
from adapterlab.data.split_files import MissingDataError, SplitFiles, check_inside, files_below, files_in
from adapterlab.errors import DataError
from adapterlab.fingerprint import Json
from adapterlab.records import Splits
from adapterlab.registry.entry_points import task_definition, task_suite
from adapterlab.registry.plugins import TaskSuite
from adapterlab.registry.protocols import FolderLocation, TaskDefinition
from adapterlab.spec.model import Spec
from adapterlab.spec.tasks import TaskSpec, definition_from


@dataclass(frozen=True)
class DataPlaces:
    """Where rows are besides the folder of real tasks, as a spec says it."""

    hub: bool = False
    """Read suites' tasks that the folder has not from the hub they name."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Commit of each hub repository."""
    tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    """The spec's own tasks by full name."""
    folder: Path = Path()
    """Absolute folder the spec's own paths start from."""

    @classmethod
    def of(cls, spec: Spec, folder: Path) -> DataPlaces:
        """Return the places a spec names; its own paths start from ``folder``."""
        tasks = {task.name: task for task in spec.task}
        return cls(spec.data.hub, dict(spec.data.revisions), tasks, folder.absolute())

    def to_json(self) -> dict[str, Json]:
        """Return the places as a JSON-able mapping, for workers."""
        return {
            "hub": self.hub,
            "revisions": dict(self.revisions),
            "tasks": [task.model_dump(mode="json") for task in self.tasks.values()],
            "folder": str(self.folder),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DataPlaces:
        """Return the places that :meth:`to_json` described."""
        tasks = [TaskSpec.model_validate(task) for task in value["tasks"]]
        return cls(
            value["hub"], value["revisions"], {task.name: task for task in tasks}, Path(value["folder"])
        )


@dataclass(frozen=True)
class TaskSource:
    """Where a task's rows are: files that exist, or a suite that generates."""

    task: str
    definition: TaskDefinition
    suite: TaskSuite | None
    split_files: SplitFiles | None
    """``None``: the suite makes the rows itself."""
    files: tuple[Path, ...]
    """What decides the rows: every file that is read, or the generator's own modules."""
    options: ReadOptions = field(default_factory=ReadOptions)

    @property
    def version(self) -> int:
        """The suite's; 0 for a task of the spec."""
        return 0 if self.suite is None else self.suite.version

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows of their own, train first."""
        kind = self.definition.splits
        if kind is Splits.OWN:
            return ("train", "validation", "test")
        return ("train",) if kind is Splits.CUT else ("train", "test")

    def where(self, split: str) -> str:
        """Return what to call a split in a message."""
        return f"{self.task}, {split}" if self.split_files is None else str(self.split_files.of(split)[0])

    def rows(self, split: str) -> Iterator[Row]:
        """Yield a split's rows; those before an error are worth nothing.

        Raises:
            DataError: A row or the split is not as it must be.
        """
        if self.split_files is None:
            assert self.suite is not None
            # as on public hubs, what is called validation there is the test split here
            public = "validation" if split == "test" and self.definition.splits is not Splits.OWN else split
            return generated_rows(self.suite, self.definition, public)
        return files_rows(self.split_files.of(split), self.definition, self.options)

    def shown_labels(self) -> tuple[str, ...]:
        """Return the labels that occur in train, sorted: as numbers if all of them are.

        Raises:
            DataError: There are fewer than two, or more than a thousand.
        """
        if self.split_files is None:
            raise DataError(f"{self.task}: its suite must say its labels")
        found: set[str] = set()
        for path in self.split_files.train:
            records = original_records(path, self.definition, quotes=self.options.quotes)
            found |= set(
                label_names(records, self.definition, self.options, Joined.beside(path, self.definition))
            )
        if len(found) < 2:  # a fault of its rows tells more
            guess = replace(self.definition, labels=tuple(found) or ("",))
            for _ in replace(self, definition=guess).rows("train"):
                pass
        if not 2 <= len(found) <= _MAX_LABELS:
            raise DataError(
                f"{self.where('train')}: column {self.definition.label!r} holds {len(found)} different labels, "
                f"expected 2 to {_MAX_LABELS}",
                remedy='Name the right label column; for numbers say type = "regression".',
            )
        whole = all(name.removeprefix("-").isdecimal() and name.isascii() for name in found)
        return tuple(sorted(found, key=(lambda name: (int(name), name)) if whole else None))


_MAX_LABELS = 1000


def definition_of(task: str, places: DataPlaces | None) -> TaskDefinition:
    """Return the definition behind a full task name: the spec's own, or an installed suite's.

    Raises:
        NotFoundError: There is none.
    """
    declared = None if places is None else places.tasks.get(task)
    return task_definition(task) if declared is None else definition_from(declared)


def task_source(
    task: str,
    *,
    root: Path | None,
    cache: Path | None = None,
    places: DataPlaces | None = None,
    download: bool = False,
) -> TaskSource:
    """Return where a task's rows are.

    Args:
        task: Full name, ``<benchmark>/<task>``.
        root: Folder of real tasks; ``None`` if the spec names none.
        cache: Folder of this machine's caches; needed to read from a hub.
        places: Where else rows are: the hub, and the spec's own tasks.
        download: Fetch a hub's rows that are not on this machine.

    Raises:
        NotFoundError: No installed suite has the task, or the hub has not what it names.
        UnavailableError: The hub cannot be reached.
        MissingDataError: Its files are not there.
        DataError: Its files lie outside ``root``.
    """
    places = places or DataPlaces()
    declared = places.tasks.get(task)
    if declared is not None:
        return _declared(declared, root, cache, places, download=download)
    definition = task_definition(task)
    suite = task_suite(task.partition("/")[0])
    if suite.generates():
        return TaskSource(task, definition, suite, None, _generator_files(suite))
    missing = MissingDataError(
        f"{task}: data.root is not set",
        remedy="Name the folder of real tasks: --set data.root=<folder>, or root under [data].",
    )
    if root is not None:
        try:
            files = files_below(root, task, definition)
            return TaskSource(task, definition, suite, files, files.all(definition))
        except MissingDataError as error:
            missing = error
    if places.hub and definition.hub is not None:
        files = hub_rows.split_files(
            task, definition.hub, definition.splits, places.revisions, cache=cache, download=download
        )
        return TaskSource(task, definition, suite, files, files.all(definition))
    raise missing


def _declared(
    spec: TaskSpec, root: Path | None, cache: Path | None, places: DataPlaces, *, download: bool
) -> TaskSource:
    definition = definition_from(spec)
    options = ReadOptions(
        by_name=True, separator=spec.delimiter, quotes=spec.quotes, id_column=spec.id
    )  # fmt: skip
    roots = (places.folder, *(() if root is None else (root,)))
    if definition.hub is not None:
        files = hub_rows.split_files(
            spec.name, definition.hub, definition.splits, places.revisions, cache=cache, download=download
        )
    elif spec.folder is not None:
        folder = places.folder / Path(spec.folder).expanduser()
        files = files_in(folder, spec.name, definition.splits, FolderLocation("."), roots=roots)
    else:
        files = _named_files(spec, definition, places.folder, roots)
    return TaskSource(spec.name, definition, None, files, files.all(definition), options)


def _named_files(
    spec: TaskSpec, definition: TaskDefinition, folder: Path, roots: tuple[Path, ...]
) -> SplitFiles:
    def file(key: str, name: str | None) -> tuple[Path, ...]:
        if name is None:
            return ()
        path = folder / Path(name).expanduser()
        check_inside(path, roots)
        if not path.is_file():
            raise MissingDataError(
                f"{spec.name}: {path} does not exist",
                remedy=f"Correct {key} of this [[task]]; paths start from the spec.",
            )
        return (path,)

    train, validation, test = (
        file("train", spec.train),
        file("validation", spec.validation),
        file("test", spec.test),
    )
    if definition.splits is Splits.HOLDOUT:  # one of the two; it is what is tested on
        return SplitFiles(train, test or validation)
    return SplitFiles(train, test, validation)


def _generator_files(suite: TaskSuite) -> tuple[Path, ...]:
    """Return the modules beside the suite's own: editing the generator makes its digests stale."""
    module = inspect.getfile(type(suite))
    return tuple(sorted(Path(module).parent.glob("*.py")))
