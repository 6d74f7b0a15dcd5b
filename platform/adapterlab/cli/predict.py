"""``platform predict``: what an adapter or transfer says of texts."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit_json, table
from adapterlab.errors import DataError, UsageError
from adapterlab.given_files import check_regular, given_path

if TYPE_CHECKING:
    from adapterlab.exporting.prediction import Prediction

_SHOWN = 60
"""Letters of a text in the table."""


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="KEY_OR_FOLDER", help="Key of an adapter or a transfer, or an exported folder."
        ),
    ],
    file: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS",
            help="JSON lines with the task's columns, or text and perhaps text_pair or choices; - reads "
            "standard input.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="One text.")] = None,
    text_pair: Annotated[str | None, typer.Option(help="The second text of a pair.")] = None,
    choice: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A choice, of a multiple-choice task; repeat it.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Where the backbone is: a folder, package:… or hub:…@…"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print the most probable class, choice or labels with their probabilities, or the number, for each text."""
    if (file is None) == (text is None):
        raise UsageError(
            "give either --text or --file", remedy='For example: --text "No." --text-pair "Yes."'
        )
    if (text_pair is not None or choice) and text is None:
        raise UsageError(f"{'--choice' if choice else '--text-pair'} needs --text")
    rows: list[dict[str, Any]]
    if file is not None:
        rows = _rows(file)
    else:
        rows = [{"text": text}]
        if text_pair is not None:
            rows[0]["text_pair"] = text_pair
        if choice:
            rows[0]["choices"] = choice
    from adapterlab.api import predict

    predictions = predict(what, rows, backbone=backbone)
    if json:
        emit_json({"predictions": [one.to_json() for one in predictions]})
    else:
        _show(predictions)


def _rows(file: str) -> list[dict[str, Any]]:
    if file == "-":
        return _decoded("standard input", sys.stdin)
    path = given_path(file, "--file")
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig") as stream:
            return _decoded(file, stream)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None


def _decoded(where: str, lines: Iterable[str]) -> list[dict[str, Any]]:
    try:
        return _parsed(where, lines)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 (byte {error.start})") from None


def _parsed(where: str, lines: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = jsonlib.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}:{number}: broken JSON ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f"{where}:{number}: expected an object, got {type(row).__name__}")
        rows.append(row)
    if not rows:
        raise DataError(f"{where}: no rows")
    return rows


def _show(predictions: list[Prediction]) -> None:
    if predictions[0].labels is not None:
        table(("text", "labels"), [(_cut(one), _likely(one)) for one in predictions])
        return
    if predictions[0].label is None:
        cells = [(_cut(one), f"{one.value:.4f}") for one in predictions]
        table(("text", "value"), cells, right=("value",))
        return
    names = list(predictions[0].probabilities)
    table(
        ("text", "label", *names),
        [
            (_cut(one), one.label, *(f"{one.probabilities[name]:.4f}" for name in names))
            for one in predictions
        ],
        right=names,
    )


def _likely(prediction: Prediction) -> str:
    """Return the chosen labels with their probabilities, the most probable first."""
    chosen = sorted(prediction.labels or (), key=lambda name: -prediction.probabilities[name])
    return ", ".join(f"{name} {prediction.probabilities[name]:.2f}" for name in chosen) or "none"


def _cut(prediction: Prediction) -> str:
    text = " | ".join(" ".join(part.split()) for part in prediction.texts)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
