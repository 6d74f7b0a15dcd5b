"""What a task is: where its rows lie, which columns make a text, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal

from adapterlab.records import DEFAULT_HEAD, ProblemType, Splits

Row = Mapping[str, Any]
"""One row as it is written somewhere: columns by name."""
Prepare = Callable[[Row], Iterable[Row]]
"""Makes the columns a task reads from those a row has; may yield several rows, or none. A row that
lacks a column or is malformed raises ``KeyError``, ``TypeError`` or ``ValueError``; readers name the row."""


@dataclass(frozen=True)
class HubLocation:
    """Where a task's rows are on a hub of data sets."""

    repo: str
    """``owner/name``, for example ``"nyu-mll/glue"``."""
    config: str | None = None
    """Configuration (subset); ``None``: the only one."""
    train: str = "train"
    validation: str = "validation"
    test: str = "test"
    """Names of the splits there; for a holdout task ``validation`` is read as its test split."""
    revision: str | None = None
    """Commit to read; ``None``: what the main branch stands for when it is first fetched."""


@dataclass(frozen=True)
class FolderLocation:
    """Where a task's rows are below the folder of its benchmark."""

    folder: str
    """Folder below the benchmark's, for example ``"winogrande"`` for every size of it."""
    train: str = "train"
    validation: str = "validation"
    test: str = "test"
    """File names without their ending."""


@dataclass(frozen=True)
class Join:
    """Columns that lie once in a file beside a split's own, ``<split>.<name>.jsonl``, if it is there."""

    name: str
    """Middle of the file's name, for example ``"paragraphs"`` for ``train.paragraphs.jsonl``."""
    on: str
    """Where a row names its line of that file, as a path with dots: ``"idx.paragraph"``."""
    key: str
    """Column of that file it is equal to; the file's other columns are added where a row lacks them."""


@dataclass(frozen=True)
class Original:
    """How a task's original distribution looks, where it differs from the hub's columns."""

    applies: Callable[[Row], bool] | None = None
    """Whether a row is in the original form; ``None``: whether it has every column of ``marks``."""
    convert: Prepare | None = None
    """Gives such a row the hub's columns; may yield several rows. ``None``: they are the same."""
    marks: tuple[str, ...] = ()
    """Columns that tell a delimited file to be the original one, whose quotes are text."""
    header: tuple[str, ...] = ()
    """Columns of a TSV file that has no header."""
    lenient: bool = False
    """Leave out rows that lack columns, as the hub does."""


@dataclass(frozen=True)
class TaskDefinition:
    """How one task is read and scored; the same for every place its rows come from.

    A *template* is the name of a column, or a text with columns' names in braces:
    ``"{word}: {sentence1}"``; ``{{`` and ``}}`` stand for braces.
    """

    name: str
    """Task name inside its benchmark, for example ``"rte"``."""
    text: tuple[str, ...]
    """Templates of the first and, for pairs, the second sequence. Of a multiple-choice task: what is
    common to all choices, one template, or none if ``choices`` are whole."""
    label: str
    """Column of the label: a class's id or name; a number; for multi-label a list of ids or names;
    for multiple choice the right choice's number, from 0, or its name."""
    problem_type: ProblemType
    labels: tuple[str, ...]
    """Class names in the order of their ids; names of the choices for multiple choice. Empty for
    regression; empty otherwise: the names that occur in train, sorted."""
    metrics: tuple[str, ...]
    """Names known to ``data.metrics``; the first leads."""
    stratify: bool = True
    """Whether the validation part is cut from train in proportion to the classes."""
    description: str = ""
    citation: str = ""
    licence: str = ""
    label_columns: tuple[str, ...] = ()
    """For a multi-label task with a column of 0 or 1 for each label, in the order of ``labels``: those columns.
    Empty: ``label`` holds them all."""
    choices: tuple[str, ...] = ()
    """Templates of each choice, for multiple choice: its second sequence, or, without ``text``, all. A single
    one is a column that holds the choices of a row as a list, as many as there are ``labels``; a dot leads
    into an object: ``"choices.text"``."""
    groups: str | None = None
    """Template whose value rows that are scored together share; ``None``: each row alone."""
    extras: tuple[str, ...] = ()
    """Columns (JSON-able values) kept for metrics, see ``Examples.extras``."""
    splits: Splits = Splits.HOLDOUT
    """Where the three splits come from."""
    max_length: int | None = None
    """Longest row in tokens where the papers' differs from their common 128; takes the place of
    ``data.max_length`` while that is at its default."""
    truncate: Literal["longest_first", "only_first", "only_second"] = "longest_first"
    """Which sequence is cut when a row is too long."""
    prepare: Prepare | None = None
    """Derives columns before templates are filled. Whoever changes it raises the suite's version."""
    joins: tuple[Join, ...] = ()
    """Files beside a split's own; joined before ``prepare``."""
    hub: HubLocation | None = None
    """Where its rows are on a hub; ``None``: nowhere that is known."""
    place: FolderLocation | None = None
    """Where its rows are below the benchmark's folder; ``None``: in a folder of the task's name."""
    original: Original | None = None
    """How its original distribution looks; ``None``: as on the hub."""
    allow_empty: bool = False
    """Whether one of a row's texts may be empty, as in QQP; all of them never."""
    overlaps: tuple[str, ...] = ()
    """Full names of tasks that share rows or texts with it: seeing one in training is seeing it."""
    published_rows: tuple[int, ...] = ()
    """Rows of the train split, and of the others that have rows of their own, as published: what plans reckon with
    while the rows themselves are not at hand. In no key."""
    head: str = DEFAULT_HEAD
    """Name of the head plug-in that reads the backbone's states and has the task's loss."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column it reads, each once, in order: of texts, choices, group, extras and label."""
        choices = () if self.lists_choices else self.choices
        templates = (*self.text, *choices, *(() if self.groups is None else (self.groups,)))
        read = [name for template in templates for name in template_columns(template)]
        listed = [name.partition(".")[0] for name in self.choices] if self.lists_choices else []
        return tuple(dict.fromkeys((*read, *listed, *self.extras, *(self.label_columns or (self.label,)))))

    @property
    def lists_choices(self) -> bool:
        """Whether one column holds all choices of a row, as a list."""
        return len(self.choices) == 1


def template_columns(template: str) -> tuple[str, ...]:
    """Return the columns a template reads, in order; a text without braces is one column's name.

    Raises:
        ValueError: Its braces do not match, or hold something other than a name.
    """
    if "{" not in template and "}" not in template:
        return (template,)
    names: list[str] = []
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ValueError(f"template {template!r}: {name!r} is no column's name")
        names.append(name)
    return tuple(names)


def value_at(path: str, row: Row) -> Any:
    """Return the value of a column, or of what a path with dots leads to inside one.

    Raises:
        KeyError: There is nothing.
    """
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(part)
        value = value[part]
    return value


def fill_template(template: str, row: Row) -> Any:
    """Return a column's value as it is, or a text with its columns' values written in.

    Raises:
        KeyError: The row lacks a column.
        ValueError: The template is malformed.
    """
    if "{" not in template and "}" not in template:
        return row[template]
    return template.format_map({name: row[name] for name in template_columns(template)})
