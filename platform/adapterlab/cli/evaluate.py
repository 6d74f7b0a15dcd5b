"""``platform evaluate``: how good an adapter, a transfer or an exported folder is on labelled rows."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Annotated

import typer

from adapterlab.cli.given_rows import counted, rows_in, rows_of
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json, note, table
from adapterlab.cli.predict import BackboneOption, WhatArgument, cut
from adapterlab.errors import UnavailableError
from adapterlab.given_files import given_path
from adapterlab.records import ProblemType

if TYPE_CHECKING:
    from adapterlab.exporting.evaluation import Evaluated, WrongRow

_MOST_CLASSES = 20
"""A confusion matrix of more does not fit a screen; --json has it."""


def command(
    what: WhatArgument,
    file: Annotated[
        str,
        typer.Argument(
            metavar="ROWS",
            help="JSON lines, CSV, TSV or Parquet with the task's columns, or text and perhaps text_pair or "
            "choices, and the right answer; - reads JSON lines from standard input.",
        ),
    ],
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the right answer; absent: the task's own.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="What stands between the labels of a multi-label cell.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A metric; repeat it. Absent: the usual ones.")
    ] = None,
    wrong: Annotated[
        int, typer.Option(min=0, metavar="N", help="Rows that were not answered right to show.")
    ] = 10,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="FILE", help="Write all rows that were not answered right, as JSON lines."
        ),
    ] = None,
    backbone: BackboneOption = None,
    json: JsonOption = False,
) -> None:
    """Answer labelled rows: metrics with 95 % intervals, a confusion matrix, and the rows that went wrong.

    Intervals are percentiles over a thousand bootstrap samples of the rows: what other rows of the same kind
    would have given. They say nothing of other seeds.
    """
    from adapterlab.api import answering_model
    from adapterlab.exporting.evaluation import evaluate

    rows = rows_of(file)
    model = answering_model(what, backbone=backbone)
    with counted("evaluating", rows_in(file)) as count:
        found = evaluate(model, rows, label=label, delimiter=delimiter, wanted=metric or (), progress=count)
    if to is not None:
        _write(to, found.wrong)
    if json:
        emit_json(found.to_json())
    else:
        _show(found, wrong)


def _show(found: Evaluated, most: int) -> None:
    table(
        ("metric", "value", "95 % interval"),
        [
            (name, f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}")
            for name, one in found.scores.items()
        ],
        title=f"{found.name} on {found.rows:,} rows",
        right=("value", "95 % interval"),
    )
    for sentence in found.notes:
        note(sentence)
    if found.confusion:
        emit("")
        _show_confusion(found)
    if not found.wrong:
        emit("\nEvery row was answered right.")
    elif most:
        emit("")
        _show_wrong(found, most)


def _show_confusion(found: Evaluated) -> None:
    labels = found.labels
    if len(labels) > _MOST_CLASSES:
        note(f"The confusion matrix of {len(labels)} classes does not fit here; --json has it.")
        return
    several = found.problem_type is ProblemType.MULTI_LABEL
    columns = ("label", "right", "answered only", "missed") if several else ("right \\ answered", *labels)
    rows = [(name, *row) for name, row in zip(labels, found.confusion, strict=True)]
    table(columns, rows, right=columns[1:])


def _show_wrong(found: Evaluated, most: int) -> None:
    number = found.scores and found.wrong[0].prediction.value is not None
    shown = found.wrong[:most]
    table(
        ("row", "text", "right", "answer", "off by" if number else "probability"),
        [(one.where, cut(one.prediction), *_told(one)) for one in shown],
        title=f"furthest off, {len(shown)} of {len(found.wrong):,} rows"
        if number
        else f"wrong and surest, {len(shown)} of {len(found.wrong):,} rows",
        right=("off by", "probability"),
    )


def _told(one: WrongRow) -> tuple[str, str, str]:
    answer = one.prediction
    if answer.labels is not None:
        right = one.right if isinstance(one.right, tuple) else ()
        return ", ".join(right) or "none", ", ".join(answer.labels) or "none", f"{one.confidence:.2f}"
    if answer.label is not None:
        return str(one.right), answer.label, f"{one.confidence:.2f}"
    return f"{one.right:g}", f"{answer.value:.4f}", f"{one.confidence:.4f}"


def _write(to: str, wrong: tuple[WrongRow, ...]) -> None:
    path = given_path(to, "--to")
    lines = [jsonlib.dumps(one.to_json(), ensure_ascii=False, allow_nan=False) + "\n" for one in wrong]
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UnavailableError(
            f"{path}: cannot be written ({error.strerror or error})", remedy="Choose another place."
        ) from None
    note(f"wrote {len(wrong):,} rows into {to}")
