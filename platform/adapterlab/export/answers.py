"""What a head's outputs mean: class names or a number, and which columns of a row it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterlab.errors import DataError, NotFoundError
from adapterlab.records import ProblemType
from adapterlab.registry.entry_points import task_definition

if TYPE_CHECKING:
    from adapterlab.catalog.reading import ReadableCatalog
    from adapterlab.catalog.records import AdapterRecord, TransferRecord


@dataclass(frozen=True)
class Answers:
    """How to read a task's rows and outputs."""

    task: str | None
    """Full name; ``None`` for a folder that does not say."""
    problem_type: ProblemType
    labels: tuple[str, ...]
    """Class names in the order of their ids; empty for a regression."""
    columns: tuple[str, ...]
    """One or two columns of a row; empty if not known."""
    metric: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {
            "task": self.task,
            "problem_type": str(self.problem_type),
            "labels": list(self.labels),
            "columns": list(self.columns),
            "metric": self.metric,
        }

    @classmethod
    def from_json(cls, value: Any, *, where: str, outputs: int) -> Answers:
        """Return what :meth:`to_json` described.

        Raises:
            DataError: It is malformed, or does not fit a head of so many outputs.
        """
        try:
            found = cls(
                task=value["task"],
                problem_type=ProblemType(value["problem_type"]),
                labels=tuple(map(str, value["labels"])),
                columns=tuple(map(str, value["columns"])),
                metric=value["metric"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{where}: {type(error).__name__}: {error}") from None
        regression = found.problem_type is ProblemType.REGRESSION
        if len(found.labels) != (0 if regression else outputs) or (regression and outputs != 1):
            raise DataError(f"{where}: {len(found.labels)} labels for a head of {outputs} outputs")
        return found


def answers_of(catalog: ReadableCatalog, record: AdapterRecord | TransferRecord, *, outputs: int) -> Answers:
    """Return what is known of a record's task: from its suite if that is installed, else from the catalog.

    Args:
        catalog: Where the record is from.
        record: An adapter or a transfer.
        outputs: Outputs of its head.
    """
    known = [one for one in catalog.tasks() if (one.name, one.digest) == (record.task, record.task_digest)]
    stated = next((one.problem_type for one in known if one.problem_type), None)
    kind = ProblemType(stated) if stated else _guess(outputs)
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    try:
        definition = task_definition(record.task)
    except NotFoundError:
        pass
    else:
        labels, columns, kind = definition.labels, definition.text, definition.problem_type
    if kind is not ProblemType.REGRESSION and len(labels) != outputs:
        labels = tuple(f"LABEL_{index}" for index in range(outputs))
    return Answers(record.task, kind, labels, columns, record.metric)


def answers_of_labels(labels: tuple[str, ...], outputs: int) -> Answers:
    """Return what a head says of itself, where nothing else does."""
    return Answers(None, _guess(outputs), labels, ())


def _guess(outputs: int) -> ProblemType:
    return ProblemType.REGRESSION if outputs == 1 else ProblemType.CLASSIFICATION


def pair_of(row: Mapping[str, Any], columns: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return a row's one or two texts: the task's own columns, or ``text`` and ``text_pair``.

    Raises:
        DataError: It has neither, or something that is no text.
    """
    for names in (columns, ("text", "text_pair"), ("text",)):
        if names and all(name in row for name in names):
            texts = tuple(row[name] for name in names)
            break
    else:
        wanted = f"{', '.join(columns)}, or " if columns else ""
        raise DataError(
            f"{where}: expected {wanted}text and perhaps text_pair; it has {', '.join(row) or 'nothing'}"
        )
    for name, text in zip(names, texts, strict=True):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{where}: {name} is {text!r}, expected text")
    return texts
