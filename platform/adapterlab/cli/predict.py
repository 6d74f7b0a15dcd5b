"""``platform predict``: what an adapter or transfer says of texts."""

from __future__ import annotations

import csv
import json as jsonlib
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterlab.cli.given_rows import counted, rows_in, rows_of
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit_json, note, table
from adapterlab.errors import AdapterlabError, UnavailableError, UsageError
from adapterlab.given_files import given_path

if TYPE_CHECKING:
    from adapterlab.exporting.prediction import NumberedRow, Prediction

_SHOWN = 60
"""Letters of a text in the table."""
_ENDINGS = (".jsonl", ".csv")

WhatArgument = Annotated[
    str,
    typer.Argument(metavar="KEY_OR_FOLDER", help="Key of an adapter or a transfer, or an exported folder."),
]
BackboneOption = Annotated[
    str | None,
    typer.Option(metavar="SOURCE", help="Where the backbone is: a folder, package:… or hub:…@…"),
]


def command(
    what: WhatArgument,
    rows: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROWS]",
            help="JSON lines, CSV, TSV or Parquet with the task's columns, or text and perhaps text_pair or "
            "choices; - reads JSON lines from standard input.",
        ),
    ] = None,
    file: Annotated[str | None, typer.Option(metavar="ROWS", help="The same, as an option.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text; repeat it for several.")] = None,
    text_pair: Annotated[
        list[str] | None, typer.Option(help="The second text of a pair; one for each --text.")
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A choice, of a multiple-choice task; repeat it.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Write the answers as they come: into a file, .jsonl or .csv; - is standard output, JSON lines.",
        ),
    ] = None,
    backbone: BackboneOption = None,
    json: JsonOption = False,
) -> None:
    """Print the most probable class, choice or labels with their probabilities, or the number, for each text."""
    if file is not None and rows is not None:
        raise UsageError(f"rows are given twice: {rows} and --file {file}")
    file = rows if file is None else file
    given = _given(file, text or [], text_pair or [], choice or [])
    from adapterlab.api import answering_model

    answered = answering_model(what, backbone=backbone).answer(given)
    kept: list[Prediction] = []
    done = 0
    with _writing(to) as write, counted("predicting", rows_in(file)) as count:
        for some in answered:
            done += len(some.predictions)
            if to is None:
                kept += some.predictions
            else:
                write(some.predictions)
            count(done)
    if to is not None:
        note(f"wrote {done:,} answers {'to standard output' if to == '-' else f'into {to}'}")
    elif json:
        emit_json({"predictions": [one.to_json() for one in kept]})
    else:
        _show(kept)


def _given(
    file: str | None, texts: Sequence[str], pairs: Sequence[str], choices: Sequence[str]
) -> Iterator[NumberedRow]:
    if (file is None) == (not texts):
        raise UsageError(
            "give either a file of rows or --text", remedy='For example: --text "No." --text-pair "Yes."'
        )
    if file is not None:
        if pairs or choices:
            raise UsageError(f"{'--choice' if choices else '--text-pair'} needs --text")
        return rows_of(file)
    if pairs and len(pairs) != len(texts):
        raise UsageError(
            f"{len(texts)} --text, but {len(pairs)} --text-pair", remedy="Give one for each --text, in order."
        )
    if choices and len(texts) > 1:
        raise UsageError(
            f"{len(texts)} --text with --choice", remedy="Choices belong to one text; a file takes many rows."
        )
    rows: list[dict[str, Any]] = [{"text": text} for text in texts]
    for row, pair in zip(rows, pairs, strict=False):
        row["text_pair"] = pair
    if choices:
        rows[0]["choices"] = list(choices)
    return iter([(f"row {number}", row) for number, row in enumerate(rows, start=1)])


@contextmanager
def _writing(to: str | None) -> Iterator[Callable[[Sequence[Prediction]], None]]:
    """Open the file of answers; it has its name once all of them are in it."""
    if to is None:
        yield lambda _: None
        return
    if to == "-":
        yield _lines(sys.stdout)
        return
    path = given_path(to, "--to")
    if path.suffix not in _ENDINGS:
        raise UsageError(f"--to {to}: expected a name that ends in {' or '.join(_ENDINGS)}")
    draft = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")  # others may write it, too
    try:
        with draft.open("w", encoding="utf-8", newline="") as stream:
            yield _lines(stream) if path.suffix == ".jsonl" else _cells(stream)
        draft.replace(path)
    except AdapterlabError:  # some are an OSError, too: the file is not to blame for what its rows met
        raise
    except OSError as error:
        raise UnavailableError(
            f"{path}: cannot be written ({error.strerror or error})", remedy="Choose another place."
        ) from None
    finally:
        Path(draft).unlink(missing_ok=True)


def _lines(stream: Any) -> Callable[[Sequence[Prediction]], None]:
    def write(some: Sequence[Prediction]) -> None:
        for one in some:
            stream.write(
                jsonlib.dumps(one.to_json(), ensure_ascii=stream is sys.stdout, allow_nan=False) + "\n"
            )
        stream.flush()

    return write


def _cells(stream: Any) -> Callable[[Sequence[Prediction]], None]:
    writer = csv.writer(stream, lineterminator="\n")
    begun = False

    def write(some: Sequence[Prediction]) -> None:
        nonlocal begun
        for one in some:
            answer = one.value if one.label is None and one.labels is None else one.label
            answer = "; ".join(one.labels) if one.labels is not None else answer
            if not begun:
                begun = True
                texts = [f"text {number}" for number in range(1, len(one.texts) + 1)]
                writer.writerow([*texts, "answer", *(f"p({name})" for name in one.probabilities)])
            writer.writerow([*one.texts, answer, *one.probabilities.values()])

    return write


def _show(predictions: Sequence[Prediction]) -> None:
    if predictions[0].labels is not None:
        table(("text", "labels"), [(cut(one), _likely(one)) for one in predictions])
        return
    if predictions[0].label is None:
        cells = [(cut(one), f"{one.value:.4f}") for one in predictions]
        table(("text", "value"), cells, right=("value",))
        return
    names = list(predictions[0].probabilities)
    table(
        ("text", "label", *names),
        [(cut(one), one.label, *(f"{one.probabilities[name]:.4f}" for name in names)) for one in predictions],
        right=names,
    )


def _likely(prediction: Prediction) -> str:
    """Return the chosen labels with their probabilities, the most probable first."""
    chosen = sorted(prediction.labels or (), key=lambda name: -prediction.probabilities[name])
    return ", ".join(f"{name} {prediction.probabilities[name]:.2f}" for name in chosen) or "none"


def cut(prediction: Prediction) -> str:
    """Return a row's texts in one line, short enough for a table."""
    text = " | ".join(" ".join(part.split()) for part in prediction.texts)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
