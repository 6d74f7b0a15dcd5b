"""Where one task's rows are, and how they are read: files that exist, or a suite that makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from adapterlab.data.formats import class_names
from adapterlab.data.row_reading import (
    ReadOptions,
    Row,
    files_rows,
    label_names,
    number_of_choices,
    suite_rows,
)
from adapterlab.data.split_files import SplitFiles
from adapterlab.errors import DataError
from adapterlab.records import ProblemType, Splits
from adapterlab.registry.plugins import TaskSuite
from adapterlab.registry.task_definitions import TaskDefinition
from adapterlab.spec.tasks import choice_names

_MAX_LABELS = 1000


@dataclass(frozen=True)
class RowSource:
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
            return suite_rows(self.suite, self.definition, public)
        return files_rows(self.split_files.of(split), self.definition, self.options)

    def with_labels(self, labels: tuple[str, ...]) -> RowSource:
        """Return this source with a definition that names its labels."""
        return replace(self, definition=replace(self.definition, labels=labels))

    def with_labels_of_train(self) -> RowSource:
        """Return this source with the labels that train shows, where its definition names none.

        Raises:
            DataError: Train shows none, or cannot be read.
        """
        definition = self.definition
        if definition.labels or definition.problem_type is ProblemType.REGRESSION:
            return self
        if definition.problem_type is ProblemType.MULTIPLE_CHOICE:
            return self.with_labels(self._choices_of_train())
        return self.with_labels(self.labels_of_train())

    def _choices_of_train(self) -> tuple[str, ...]:
        """Return the numbers of the choices that a row of train lists."""
        assert self.split_files is not None
        counts = (number_of_choices(path, self.definition, self.options) for path in self.split_files.train)
        count = next((one for one in counts if one is not None), 0)
        if count < 2:
            for _ in self.with_labels(("0", "1")).rows("train"):  # a fault of its rows tells more
                pass
            raise DataError(
                f"{self.where('train')}: column {self.definition.choices[0]!r} lists {count} choices, expected 2 "
                "or more",
                remedy="Name the column that holds the list of choices.",
            )
        return choice_names(count, self.options.first_choice)

    def labels_of_train(self) -> tuple[str, ...]:
        """Return the labels that occur in train, as its file orders them, or sorted: as numbers if all are.

        Raises:
            DataError: There are fewer than two, or more than a thousand.
        """
        if self.split_files is None:
            raise DataError(f"{self.task}: its suite must say its labels")
        found: set[str] = set()
        for path in self.split_files.train:
            found |= set(label_names(path, self.definition, self.options))
        if len(found) < 2:  # a fault of its rows tells more
            for _ in self.with_labels(tuple(found) or ("",)).rows("train"):
                pass
        if not 2 <= len(found) <= _MAX_LABELS:
            raise DataError(
                f"{self.where('train')}: column {self.definition.label!r} holds {len(found)} different labels, "
                f"expected 2 to {_MAX_LABELS}",
                remedy='Name the right label column; for numbers say type = "regression".',
            )
        told = class_names(self.split_files.train[0], self.definition.label)
        if found <= set(told):
            return tuple(name for name in told if name in found)
        whole = all(name.removeprefix("-").isdecimal() and name.isascii() for name in found)
        return tuple(sorted(found, key=(lambda name: (int(name), name)) if whole else None))
