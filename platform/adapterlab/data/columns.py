"""One record to texts and a label, as a task's definition says; every misfit is a :class:`Fault`."""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from adapterlab.data.formats import Fault
from adapterlab.fingerprint import Json
from adapterlab.records import ProblemType
from adapterlab.registry.task_definitions import (
    Row,
    TaskDefinition,
    fill_template,
    template_columns,
    value_at,
)

_LARGEST = 1e19
"""Greatest target of a regression; its square, which the loss begins with, is just a float32."""
_COMPARED = 1000
"""Columns among which a near name is looked for."""
_NAMED = 20
"""Columns that a message names."""
_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
"""How a cell of text says whether a row has a label."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


class RowMaker:
    """Reads the used columns of records of one task.

    Args:
        definition: The task's.
        by_name: A label, whatever its type, is a class's name before it is an id.
        separator: What stands between the labels of a multi-label cell of text.
        cells: Values are cells of a delimited file: numbers are text there.
        classes: What the file itself calls the ids of its label column; empty: nothing.
    """

    def __init__(
        self,
        definition: TaskDefinition,
        *,
        by_name: bool,
        separator: str | None,
        cells: bool = False,
        classes: tuple[str, ...] = (),
    ) -> None:
        self.definition = definition
        self._by_name = by_name
        self._cells = cells
        self._separator = separator
        self._ids = {name: index for index, name in enumerate(definition.labels)}
        self._ids_of_numbers = _ids_of_numbers(definition.labels) if by_name else {}
        # Where the task's names are others than the file's, its numbers are the task's ids.
        self._classes = classes if by_name and set(definition.labels) <= set(classes) else ()
        self._text = [_Template(template) for template in definition.text]
        several = () if definition.lists_choices else definition.choices
        self._choices = [_Template(template) for template in several]

    def rows_in(self, record: Any) -> Iterable[Row]:
        """Return the rows a record stands for, with every column the task reads.

        Raises:
            Fault: It is no mapping, or lacks a column.
        """
        if not isinstance(record, Mapping):
            columns = names(self.definition.columns)
            raise Fault(f"got {kind_of(record)}, expected an object with columns {columns}")
        prepare = self.definition.prepare
        rows = (record,) if prepare is None else run_converter(prepare, record, self.definition.name)
        for row in rows:
            for column in self.definition.columns:
                if column not in row:
                    raise _no_column(column, row)
        return rows

    def sequences(self, row: Row) -> tuple[tuple[str, ...], ...]:
        """Return the row's texts: one sequence, or one a choice.

        Raises:
            Fault: A column is no text, or empty.
        """
        texts = tuple(self._fill(template, row) for template in self._text)
        if self.definition.lists_choices:
            return tuple((*texts, choice) for choice in self._listed(row))
        if not self._choices:
            if not any(text.strip() for text in texts):
                raise Fault(f"columns {names(self.definition.text)} are all empty, expected text")
            return (texts,)
        return tuple((*texts, self._fill(template, row)) for template in self._choices)

    def _fill(self, template: _Template, row: Row) -> str:
        empty = True
        for column in template.columns:
            value = row[column]
            if not isinstance(value, str):
                raise Fault(f"column {column!r} is {kind_of(value)}, expected text")
            empty = empty and not value.strip()
            _check_text(value, column)
        if empty and not self.definition.allow_empty:
            raise Fault(
                f"column {template.columns[0]!r} is empty, expected text"
                if len(template.columns) == 1
                else f"columns {names(template.columns)} are empty, expected text"
            )
        return template.fill(row)

    def choices_in(self, row: Row) -> list[Any]:
        """Return the choices that one column of a row holds.

        Raises:
            Fault: It holds no list.
        """
        column = self.definition.choices[0]
        try:
            value = value_at(column, row)
        except KeyError as error:
            raise Fault(f"column {column!r}: there is no {error.args[0]!r}") from None
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise Fault(f"column {column!r} is no JSON list: {value[:60]!r}") from None
        if not isinstance(value, list | tuple):
            raise Fault(f"column {column!r} is {kind_of(value)}, expected a list of choices")
        return list(value)

    def _listed(self, row: Row) -> list[str]:
        column, wanted = self.definition.choices[0], len(self.definition.labels)
        found = self.choices_in(row)
        if len(found) != wanted:
            raise Fault(f"column {column!r} lists {len(found)} choices, expected {wanted} as in every row")
        for number, choice in enumerate(found, start=1):
            if not isinstance(choice, str):
                raise Fault(f"choice {number} of column {column!r} is {kind_of(choice)}, expected text")
            if not choice.strip() and not self.definition.allow_empty:
                raise Fault(f"choice {number} of column {column!r} is empty, expected text")
            _check_text(choice, column)
        return found

    def label(self, row: Row) -> int | float | tuple[int, ...]:
        """Return a class's id, a number, or the sorted ids of a multi-label row.

        Raises:
            Fault: It is none of the task's.
        """
        if columns := self.definition.label_columns:
            return tuple(
                index for index, column in enumerate(columns) if self._has_label(row[column], column)
            )
        value = row[self.definition.label]
        if self.definition.problem_type is ProblemType.REGRESSION:
            return self._number(value)
        if self.definition.problem_type is ProblemType.MULTI_LABEL:
            listed = [self._named(one) for one in self._several(value)]
            hot = self._ids_of_ones(listed) if self._by_name else None
            return self._different(listed) if hot is None else hot
        return self._id(self._named(value))

    def _named(self, value: Any) -> Any:
        """Return the name of a class that the file gives an id; anything else as it is."""
        number = isinstance(value, int) and not isinstance(value, bool)
        return self._classes[value] if number and 0 <= value < len(self._classes) else value

    def _different(self, listed: list[Any]) -> tuple[int, ...]:
        ids = sorted(self._id(one) for one in listed)
        twice = next((one for one, other in itertools.pairwise(ids) if one == other), None)
        if twice is not None:
            named = self.definition.labels[twice]
            raise Fault(f"column {self.definition.label!r} lists the label {named!r} twice")
        return tuple(ids)

    def _has_label(self, value: Any, column: str) -> bool:
        if isinstance(value, str) and self._cells:
            value = _FLAGS.get(value.strip().lower(), value)
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            shown = repr(value) if isinstance(value, str | int | float) else kind_of(value)
            raise Fault(f"column {column!r} is {shown[:60]}, expected 0 or 1")
        return bool(value)

    def label_names(self, row: Row) -> list[str]:
        """Return the names a row's label says, for a task whose labels are not known yet."""
        value = row[self.definition.label]
        several = self.definition.problem_type is ProblemType.MULTI_LABEL
        return [
            name_of(self._named(one))
            for one in (self._several(value) if several else (value,))
            if one not in ("", None)
        ]

    def group(self, row: Row) -> str | None:
        """Return what rows that are scored together share."""
        groups = self.definition.groups
        if groups is None:
            return None
        value = fill_template(groups, row)
        return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)

    def extras(self, row: Row) -> Mapping[str, Json] | None:
        """Return what else metrics need."""
        wanted = self.definition.extras
        return {name: _plain(row[name]) for name in wanted} if wanted else None

    def _several(self, value: Any) -> list[Any]:
        if isinstance(value, str) and self._separator is not None:
            return [part.strip() for part in value.split(self._separator) if part.strip()]
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise Fault(f"column {self.definition.label!r} is no JSON list: {value[:60]!r}") from None
        if isinstance(value, list | tuple):
            return list(value)
        if isinstance(value, str):
            raise Fault(
                f"column {self.definition.label!r} is text, expected a list of labels "
                "(or say which delimiter stands between them)"
            )
        raise Fault(f"column {self.definition.label!r} is {kind_of(value)}, expected a list of labels")

    def _ids_of_ones(self, values: list[Any]) -> tuple[int, ...] | None:
        """Return the ids of a row with one 0 or 1 per label, ``[0, 1, 1]``; ``None``: it lists its labels."""
        flags = [self._flag(value) for value in values]
        if not values or None in flags:
            return None
        told, labels = self.definition.label, self.definition.labels
        if len(flags) == len(labels) and (len(set(flags)) < len(flags) or isinstance(values[0], bool)):
            return tuple(index for index, flag in enumerate(flags) if flag)
        if len(flags) == len(labels) == 2 and not (isinstance(values[0], str) and values[0] in labels):
            raise Fault(
                f"column {told!r} holds {values}: two labels' ids, or a 0 and a 1 for each? Write their names"
            )
        if len(set(flags)) < len(flags):
            raise Fault(
                f"column {told!r} holds {len(flags)} zeros and ones for {len(labels)} labels; "
                "name every label in order: labels = [...]"
            )
        return None

    def _flag(self, value: Any) -> bool | None:
        if isinstance(value, str):
            return value == "1" if self._cells and value in ("0", "1") else None
        return bool(value) if isinstance(value, int) and value in (0, 1) else None

    def _id(self, value: Any) -> int:
        labels, ids = self.definition.labels, self._ids
        if self._by_name and isinstance(value, str | int | float) and name_of(value) in ids:
            return ids[name_of(value)]
        if self._ids_of_numbers and (number := _number_of(value, cells=self._cells)) is not None:
            # of classes called by numbers 1 is the one called 1.0; it is no id
            if number in self._ids_of_numbers:
                return self._ids_of_numbers[number]
        elif isinstance(value, str):
            if value in ids:
                return ids[value]
            if (
                self._cells
                and value.isascii()
                and value.isdecimal()
                and len(value) < 6
                and int(value) < len(labels)
            ):
                return int(value)
        elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(labels):
            return value
        numbers = bool(self._ids_of_numbers)  # what the classes are called; ids are not taken then
        known = ", ".join(name if numbers else f"{index} ({name})" for index, name in enumerate(labels[:20]))
        known += f" and {len(labels) - 20} more" if len(labels) > 20 else ""
        known += self._counted_from_one(value)
        hidden = (
            "; -1 stands for a hidden label" if value in (-1, "-1") and not isinstance(value, bool) else ""
        )
        shown = repr(value) if isinstance(value, str | int | float) else kind_of(value)
        column = self.definition.label
        raise Fault(f"unknown label {shown[:80]} in column {column!r}, expected one of {known}{hidden}")

    def _counted_from_one(self, value: Any) -> str:
        choices, labels = self.definition.problem_type is ProblemType.MULTIPLE_CHOICE, self.definition.labels
        if self._by_name and choices and labels[0] == "0" and str(value) == str(len(labels)):
            return "; if the first choice is called 1, say first_choice = 1"
        return ""

    def _number(self, value: Any) -> float:
        column = self.definition.label
        if self._cells and isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            shown = f", got {value[:40]!r}" if isinstance(value, str) else ""
            raise Fault(
                f"column {column!r} is {kind_of(value)}, expected a number: "
                f"{self.definition.name} is a regression{shown}"
            )
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise Fault(f"column {column!r} is not finite, expected a number")
        if abs(number) > _LARGEST:
            raise Fault(
                f"column {column!r} is {number:g}, but a regression's loss squares it in float32, which ends at "
                f"{_LARGEST:g}: scale it"
            )
        return number


def _ids_of_numbers(labels: tuple[str, ...]) -> dict[float, int]:
    """Return ids by number, if every label is called by a number and no two by the same."""
    numbers = [_number_of(label, cells=True) for label in labels]
    known = {number: index for index, number in enumerate(numbers) if number is not None}
    return known if len(known) == len(labels) else {}


def _number_of(value: Any, *, cells: bool) -> float | None:
    if isinstance(value, str):
        return float(value) if cells and _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


class _Template:
    """A template with its columns, looked up once."""

    def __init__(self, template: str) -> None:
        self.columns = template_columns(template)
        self._template = template
        self._plain = self.columns == (template,)

    def fill(self, row: Row) -> str:
        text = row[self._template] if self._plain else self._template.format_map(row)
        return str(text)


def run_converter(convert: Callable[[Row], Iterable[Row]], record: Row, task: str) -> list[Row]:
    """Return what a suite's own function makes of a record.

    Raises:
        Fault: The record is not as the function expects.
    """
    try:
        return list(convert(record))
    except KeyError as error:
        raise _no_column(str(error.args[0]) if error.args else "?", record) from None
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise Fault(f"not as {task} has it ({type(error).__name__}: {str(error)[:100]})") from None


def name_of(label: Any) -> str:
    """Return a label as the name of a class: text as it is, a number as it is written."""
    if not isinstance(label, str):
        return str(label)
    _check_text(label, "of labels")
    return label


def names(values: Iterable[Any]) -> str:
    """Return names, quoted, for a message."""
    return ", ".join(repr(str(value)) for value in values) or "none"


def kind_of(value: Any) -> str:
    """Return what a value is, in words."""
    kinds = {bool: "a truth value", int: "a number", float: "a number", str: "text", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "an object")


def _no_column(column: str, row: Row) -> Fault:
    return Fault(_no_column_words(column, tuple(map(str, row))))


@lru_cache(maxsize=8)  # every row of a file says the same, and of 8,000 columns it takes a second
def _no_column_words(column: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(column, known[:_COMPARED], n=1)
    if close:
        return f"no column {column!r}; did you mean {close[0]!r}?"
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f"no column {column!r}; it has {names(known[:_NAMED])}{more}"


def _check_text(value: str, column: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Fault(f"column {column!r} holds half of a surrogate pair, which is no text") from None


def _plain(value: Any) -> Json:
    """Return a value as JSON has it: what Parquet gives as arrays becomes lists."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value)
