"""What is wrong with a task's data, beyond what reading refuses: problems, and notes that are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from adapterlab.data.duplicates import Overlap, Repeats, repeats
from adapterlab.data.preview import TaskTokenizer, label_counts
from adapterlab.data.task_rows import SPLITS, TaskRows
from adapterlab.errors import AdapterlabError
from adapterlab.fingerprint import Json
from adapterlab.records import ProblemType

_MUCH_CUT = 0.1
"""Share of rows that lose text, above which cutting is a problem."""
_MOST_NAMES = 8
_ENOUGH = 20
"""Rows in which a choice that is one of several is the right one at least once."""


@dataclass(frozen=True)
class Finding:
    """One thing about a task's data that a person should know."""

    level: Literal["problem", "note"]
    """A problem spoils training or scores; a note is worth knowing."""
    about: str
    """``"data"``, ``"labels"``, ``"repeats"``, ``"length"``, ``"texts"`` or ``"overlap"``."""
    message: str
    details: dict[str, Json] | None = None


@dataclass(frozen=True)
class TaskCheck:
    """All findings on one task."""

    task: str
    rows: dict[str, int]
    """By split; empty if the data cannot be read."""
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether there is no problem."""
        return all(one.level != "problem" for one in self.findings)


def check_of_unreadable(task: str, error: AdapterlabError) -> TaskCheck:
    """Return the check of a task whose data is refused: the error is the finding."""
    message = error.message if error.remedy is None else f"{error.message}\n{error.remedy}"
    return TaskCheck(task, {}, (Finding("problem", "data", message, dict(error.details) or None),))


def check_task(task: TaskRows, tokenizer: TaskTokenizer | None) -> TaskCheck:
    """Return what is wrong with a task's labels, texts and lengths, and which rows are repeated.

    Args:
        task: The task.
        tokenizer: The backbone's tokenizer; ``None``: lengths are not checked.
    """
    findings = [*_labels(task), *_texts(task), *_repeats(task)]
    if tokenizer is not None:
        findings += _lengths(task, tokenizer)
    return TaskCheck(
        task.facts.task, {name: len(split) for name, split in task.splits.items()}, tuple(findings)
    )


def overlap_finding(found: Overlap, *, declared: bool) -> Finding:
    """Return the finding on two tasks that share rows or texts.

    Args:
        found: What they share.
        declared: Whether one of them says so; a spec that pools them warns then.
    """
    one, other = found.tasks
    said = []
    if any(found.rows):
        said.append(f"rows that are in both: {found.rows[0]:,} of {one}, {found.rows[1]:,} of {other}")
    if found.of_training:
        said.append(f"test rows of one that are training rows of the other: {found.of_training:,}")
    said.append(
        f"rows with a text that is in both: {found.texts[0]:,} of {one}, {found.texts[1]:,} of {other}"
    )
    message = "; ".join(said)
    if found.example:
        message += f". For example: {found.example}"
    hidden = found.of_training > 0 and not declared
    message += "" if declared or not found.of_training else ". Neither task says so (overlaps)"
    details: dict[str, Json] = {
        "tasks": list(found.tasks),
        "rows": list(found.rows),
        "texts": list(found.texts),
        "test_rows_in_training": found.of_training,
        "declared": declared,
    }
    return Finding("problem" if hidden else "note", "overlap", message, details)


def _labels(task: TaskRows) -> Iterator[Finding]:
    kind = task.definition.problem_type
    if kind is ProblemType.REGRESSION:
        for name in SPLITS:
            labels = task.splits[name].labels
            if labels.min() == labels.max():
                yield Finding("problem", "labels", f"{name}: every target is {float(labels[0]):g}")
        return
    counts = {name: label_counts(task, task.splits[name]) for name in SPLITS}
    yield from _near_names(task)
    yield from _first_choice(task, counts)
    unseen = [label for label, count in counts["train"].items() if not count]
    if unseen and kind is not ProblemType.MULTIPLE_CHOICE:
        asked = [label for label in unseen if counts["validation"][label] + counts["test"][label]]
        yield Finding(
            "problem" if asked else "note",
            "labels",
            f"train has no row with the label {_names(unseen)}"
            + (f", but validation or test has {_names(asked)}" if asked else ""),
        )
    for name in SPLITS:
        present = [label for label, count in counts[name].items() if count]
        if len(present) == 1 and kind is not ProblemType.MULTI_LABEL:
            level: Literal["problem", "note"] = (
                "note" if kind is ProblemType.MULTIPLE_CHOICE else "problem"
            )  # fmt: skip
            yield Finding(level, "labels", f"{name}: every row has the label {_names(present)}")
    if kind is ProblemType.MULTI_LABEL:
        for name in SPLITS:
            bare = int((task.splits[name].labels.sum(axis=1) == 0).sum())
            if bare:
                yield Finding(
                    "note", "labels", f"{name}: {bare:,} of {len(task.splits[name]):,} rows have no label"
                )


def _first_choice(task: TaskRows, counts: dict[str, dict[str, int]]) -> Iterator[Finding]:
    choice = task.definition.problem_type is ProblemType.MULTIPLE_CHOICE
    first = task.definition.labels[0]
    if choice and len(task.splits["train"]) >= _ENOUGH and not any(counts[name][first] for name in SPLITS):
        yield Finding(
            "problem",
            "labels",
            f"the first choice, {first!r}, is never the right one; are they counted from 1? Then say first_choice = 1",
        )


def _near_names(task: TaskRows) -> Iterator[Finding]:
    alike: dict[str, list[str]] = {}
    for label in task.definition.labels:
        alike.setdefault(" ".join(label.casefold().split()), []).append(label)
    for names in alike.values():
        if len(names) > 1:
            yield Finding(
                "note",
                "labels",
                f"{_names(names)} differ in capitals or spaces only, and are {len(names)} labels",
                {"labels": list(names)},
            )


def _texts(task: TaskRows) -> Iterator[Finding]:
    for name in SPLITS:
        empty = [
            row
            for row, sequences in enumerate(task.splits[name].examples())
            if any(not text.strip() for texts in sequences for text in texts)
        ]
        if empty:
            numbers = ", ".join(str(task.splits[name].number(row)) for row in empty[:5])
            more = "…" if len(empty) > 5 else ""
            yield Finding(
                "note",
                "texts",
                f"{name}: {len(empty):,} of {len(task.splits[name]):,} rows have an empty text (rows {numbers}{more})",
            )


def _repeats(task: TaskRows) -> Iterator[Finding]:
    for found in repeats(task):
        across = found.split != found.earlier
        what = f"also in {found.earlier}" if across else "repeated"
        where = f"{found.split}: {found.rows:,} of {len(task.splits[found.split]):,} rows are {what}"
        if found.other_label:
            where += f", with another label: {found.other_label:,}"
        details: dict[str, Json] = {
            "split": found.split,
            "earlier": found.earlier,
            "rows": found.rows,
            "other_label": found.other_label,
            "examples": [
                {
                    "split": pair.split,
                    "row": pair.row,
                    "other_split": pair.other_split,
                    "other_row": pair.other_row,
                    "text": pair.text,
                    "labels": list(pair.labels),
                }
                for pair in found.examples
            ],
        }
        yield Finding("problem" if across else "note", "repeats", _with_examples(where, found), details)


def _with_examples(where: str, found: Repeats) -> str:
    lines = [
        f"{pair.split}, row {pair.row} of its file = {pair.other_split}, row {pair.other_row}"
        + (f" ({pair.labels[0]} / {pair.labels[1]})" if pair.labels[0] != pair.labels[1] else "")
        + f": {pair.text}"
        for pair in found.examples[:3]
    ]
    return "\n".join([where, *lines])


def _lengths(task: TaskRows, tokenizer: TaskTokenizer) -> Iterator[Finding]:
    longest = tokenizer.longest_input
    if longest is not None and tokenizer.max_length > longest:
        yield Finding(
            "problem",
            "length",
            f"rows of {tokenizer.max_length} tokens, but the backbone takes at most {longest}: "
            f"set data.max_length to {longest} or less",
            {"max_length": tokenizer.max_length, "longest_input": longest},
        )
    for name in SPLITS:
        split = task.splits[name]
        lengths = tokenizer.lengths(split.sequences()).reshape(len(split), -1)
        cut = int((lengths.max(axis=1) > tokenizer.max_length).sum())
        if cut:
            share = cut / len(split)
            yield Finding(
                "problem" if share > _MUCH_CUT else "note",
                "length",
                f"{name}: {cut:,} of {len(split):,} rows ({share:.1%}) are longer than {tokenizer.max_length} "
                f"tokens and are cut; the longest has {int(lengths.max()):,}",
                {"split": name, "cut": cut, "share": share, "longest": int(lengths.max())},
            )


def _names(labels: list[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:_MOST_NAMES])
    return shown + (f" and {len(labels) - _MOST_NAMES} more" if len(labels) > _MOST_NAMES else "")
