"""What a head's outputs mean: names of classes, labels or choices, or a number; which columns it reads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapterlab.catalog.records import AdapterRecord
from adapterlab.errors import DataError, NotFoundError
from adapterlab.given_files import shortened
from adapterlab.records import DEFAULT_HEAD, ProblemType
from adapterlab.registry.entry_points import task_definition
from adapterlab.registry.task_definitions import (
    TaskDefinition,
    fill_template,
    template_columns,
    value_at,
)

if TYPE_CHECKING:
    from torch import Tensor

    from adapterlab.catalog.reading import ReadableCatalog
    from adapterlab.catalog.records import TransferRecord
    from adapterlab.train.layers import HeadLayer


@dataclass(frozen=True)
class Answers:
    """How to read a task's rows and outputs."""

    task: str | None
    """Full name; ``None`` for a folder that does not say."""
    problem_type: ProblemType
    labels: tuple[str, ...]
    """Names of classes, labels or choices in the order of their ids; empty for a regression."""
    columns: tuple[str, ...]
    """One or two columns of a row, or templates of columns; empty if not known."""
    metric: str | None = None
    choices: tuple[str, ...] = ()
    """For multiple choice: the column or template of each choice; one alone is a column that lists them."""
    head: str = DEFAULT_HEAD
    """The head plug-in that gives the outputs."""
    label: str = "label"
    """Column of the right answer, where rows have one."""
    label_columns: tuple[str, ...] = ()
    """For a multi-label task with a column of 0 or 1 for each label: those columns."""

    @property
    def sequences(self) -> int:
        """Sequences of a row that is encoded at once, 1 or 2; 2 if not known."""
        return len(self.columns) + bool(self.choices) or 2

    def head_layer(self, hidden_size: int, tensors: Mapping[str, Tensor]) -> HeadLayer | None:
        """Return the head's torch side for a backbone; ``None`` where there are no tensors of one."""
        from adapterlab.train.heads import head_layer

        if not tensors:
            return None
        outputs = len(tensors["head.out.bias"]) if "head.out.bias" in tensors else max(1, len(self.labels))
        return head_layer(self.head, self.problem_type, outputs, hidden_size)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON-able mapping."""
        return {
            "task": self.task,
            "problem_type": str(self.problem_type),
            "labels": list(self.labels),
            "columns": list(self.columns),
            "metric": self.metric,
            **({"choices": list(self.choices)} if self.choices else {}),
            **({} if self.head == DEFAULT_HEAD else {"head": self.head}),
            **({} if self.label == "label" else {"label": self.label}),
            **({"label_columns": list(self.label_columns)} if self.label_columns else {}),
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
                choices=tuple(map(str, value.get("choices", ()))),
                head=str(value.get("head", DEFAULT_HEAD)),
                label=str(value.get("label", "label")),
                label_columns=tuple(map(str, value.get("label_columns", ()))),
            )
            if not all(one is None or isinstance(one, str) for one in (found.task, found.metric)):
                raise TypeError("task and metric must be names")
            for template in (*found.columns, *(found.choices if len(found.choices) > 1 else ())):
                template_columns(template)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"{where}: {type(error).__name__}: {error}") from None
        choices = len(found.labels) if len(found.choices) == 1 else len(found.choices)
        wanted = {ProblemType.REGRESSION: 0, ProblemType.MULTIPLE_CHOICE: choices}
        single = found.problem_type in wanted
        if len(found.labels) != wanted.get(found.problem_type, outputs) or (single and outputs != 1):
            raise DataError(f"{where}: {len(found.labels)} labels for a head of {outputs} outputs")
        return found


def answers_of(
    catalog: ReadableCatalog,
    record: AdapterRecord | TransferRecord,
    *,
    outputs: int,
    declared: TaskDefinition | None = None,
    labels: tuple[str, ...] = (),
) -> Answers:
    """Return what is known of a record's task: from its suite if that is installed, else from the catalog.

    Args:
        catalog: Where the record is from.
        record: An adapter or a transfer.
        outputs: Outputs of its head.
        declared: How its own spec declared the task; ``None``: it did not.
        labels: What the weights say of their labels, for tasks that know them from their data only.
    """
    known = [one for one in catalog.tasks() if (one.name, one.digest) == (record.task, record.task_digest)]
    stated = next((one.problem_type for one in known if one.problem_type), None)
    kind = ProblemType(stated) if stated else _guess(outputs)
    columns: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    head = DEFAULT_HEAD
    label = "label"
    label_columns: tuple[str, ...] = ()
    try:
        definition = declared or task_definition(record.task)
    except NotFoundError:
        pass
    else:
        # An imported adapter's head has its classes in its maker's order.
        own = labels if labels and isinstance(record, AdapterRecord) and record.origin else definition.labels
        labels, columns = own or labels, definition.text
        kind, choices, head = definition.problem_type, definition.choices, definition.head
        label, label_columns = definition.label, definition.label_columns
    if kind in (ProblemType.CLASSIFICATION, ProblemType.MULTI_LABEL) and len(labels) != outputs:
        labels = tuple(f"LABEL_{index}" for index in range(outputs))
    return Answers(record.task, kind, labels, columns, record.metric, choices, head, label, label_columns)


def answers_of_labels(
    labels: tuple[str, ...], outputs: int, problem_type: ProblemType | None = None
) -> Answers:
    """Return what a head says of itself, where nothing else does."""
    return Answers(None, problem_type or _guess(outputs), labels, ())


def _guess(outputs: int) -> ProblemType:
    return ProblemType.REGRESSION if outputs == 1 else ProblemType.CLASSIFICATION


def sequences_of(row: Mapping[str, Any], answers: Answers, where: str) -> tuple[tuple[str, ...], ...]:
    """Return what of a row is encoded: one or two texts, or as much for each choice.

    The row has the task's own columns; or ``text`` and ``text_pair``; or, for multiple choice, ``text``
    (if the task has one) and ``choices``, a list.

    Raises:
        DataError: It has neither, or something that is no text.
    """
    row = with_own_columns(row, answers)
    if answers.problem_type is ProblemType.MULTIPLE_CHOICE:
        return _choices_of(row, answers, where)
    if answers.columns and _has(row, answers.columns):
        return (_texts(row, answers.columns, where),)
    given = tuple(name for name in ("text", "text_pair") if name in row)
    wanted = len(answers.columns) or len(given)
    if "text" not in given or len(given) < wanted:
        general = {1: "text", 2: "text and text_pair"}.get(len(answers.columns), "text and perhaps text_pair")
        raise _lacks(row, answers.columns, general, where)
    if len(given) > wanted:
        raise DataError(f"{where}: text_pair is given, but {answers.task or 'the task'} takes one text")
    return (_texts(row, given, where),)


def _choices_of(row: Mapping[str, Any], answers: Answers, where: str) -> tuple[tuple[str, ...], ...]:
    given, texts = row.get("choices"), row
    if len(answers.choices) == 1:
        with suppress(KeyError):
            texts, given = {"text": _own_text(row, answers)}, value_at(answers.choices[0], row)
    elif answers.choices and _has(row, (*answers.columns, *answers.choices)):
        return tuple(_texts(row, (*answers.columns, choice), where) for choice in answers.choices)
    common = () if answers.choices and not answers.columns else ("text",)
    if not isinstance(given, list) or not _has(texts, common):
        raise _lacks(row, (*answers.columns, *answers.choices), "text and choices, a list", where)
    if len(given) < 2 or (answers.labels and len(given) != len(answers.labels)):
        expected = len(answers.labels) or "at least 2"
        raise DataError(f"{where}: {len(given)} choices, expected {expected}")
    first = _texts(texts, common, where)
    return tuple(
        (*first, *_texts({f"choice {n}": choice}, (f"choice {n}",), where))
        for n, choice in enumerate(given, 1)
    )


def _own_text(row: Mapping[str, Any], answers: Answers) -> Any:
    """Return what is common to all choices, from the task's own columns or from ``text``."""
    if not answers.columns or not _has(row, answers.columns):
        return row.get("text")
    return fill_template(answers.columns[0], row)


def with_own_columns(row: Mapping[str, Any], answers: Answers) -> Mapping[str, Any]:
    """Return the row with the columns its task derives from those of the hub, if it can be done."""
    if answers.task is None or _has(row, (*answers.columns, *answers.choices)):
        return row
    try:
        prepare = task_definition(answers.task).prepare
        rows = [row] if prepare is None else list(prepare(row))
    except (NotFoundError, KeyError, TypeError, ValueError):
        return row  # it may still have the general columns; if not, what it lacks is told
    return rows[0] if len(rows) == 1 else row


def _has(row: Mapping[str, Any], templates: tuple[str, ...]) -> bool:
    return all(name in row for template in templates for name in template_columns(template))


def _lacks(row: Mapping[str, Any], templates: tuple[str, ...], general: str, where: str) -> DataError:
    own = dict.fromkeys(name for template in templates for name in template_columns(template))
    wanted = f"{', '.join(own)}, or " if own else ""
    return DataError(f"{where}: expected {wanted}{general}; it has {', '.join(row) or 'nothing'}")


def _texts(row: Mapping[str, Any], templates: tuple[str, ...], where: str) -> tuple[str, ...]:
    for template in templates:
        for name in template_columns(template):
            if not isinstance(row[name], str) or not row[name].strip():
                raise DataError(f"{where}: {name} is {shortened(repr(row[name]))}, expected text")
            if any("\ud800" <= char <= "\udfff" for char in row[name]):
                raise DataError(f"{where}: {name} holds half of a surrogate pair, which is no text")
    return tuple(str(fill_template(template, row)) for template in templates)
