"""``platform contributions``: what each source contributes to a transfer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterlab.cli.options import BackboneNowOption, JsonOption
from adapterlab.cli.output import emit_json, note, table
from adapterlab.errors import AdapterlabError, UnavailableError
from adapterlab.given_files import given_path

if TYPE_CHECKING:
    from adapterlab.exporting.ablation import Contributions


class Split(StrEnum):
    """What is evaluated on."""

    VALIDATION = "validation"
    TEST = "test"


def command(
    transfer: Annotated[
        str, typer.Argument(metavar="TRANSFER", help="Key of a transfer, or its first digits.")
    ],
    split: Annotated[
        Split, typer.Option(help="What to evaluate on; choosing sources by test makes test a training set.")
    ] = Split.VALIDATION,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DIR", help="Write the table as JSON and CSV, and a picture."),
    ] = None,
    backbone: BackboneNowOption = None,
    data_root: Annotated[
        str | None, typer.Option("--data-root", metavar="DIR", help="Where the task's data is now.")
    ] = None,
    log: Annotated[bool, typer.Option(help="Add the table and picture to the transfer's MLflow run.")] = True,
    json: JsonOption = False,
) -> None:
    """Evaluate a transfer without each of its sources, one source at a time.

    The coefficients of the removed source count as zero; where they depend on the token (AdapterFusion) it is
    masked out of the softmax. Nothing is trained anew, so it says what this transfer makes of a source.
    """
    from adapterlab.api import contributions

    found = contributions(transfer, split=split.value, backbone=backbone, data_root=data_root)
    if json:
        emit_json(found.to_json())
    else:
        _show(found)
    if to is not None:
        _write(given_path(to, "--to"), found)
    if log:
        _log(found)


def picture(found: Contributions) -> bytes:
    """Return a PNG of the differences."""
    from adapterlab.tracking.pictures import difference_bars

    short = found.task.rsplit("/", 1)[-1]
    return difference_bars(
        [one.difference for one in found.sources],
        [one.task for one in found.sources],
        title=f"{short} · {found.combiner} · seed {found.seed}",
        what=f"{found.metric} on {found.split} without each source, minus {found.value:.4f} with all",
        own=found.task,
    )


def _show(found: Contributions) -> None:
    rows: list[tuple[object, ...]] = [("(all)", "", f"{found.value:.4f}", "", f"{found.loss:.4f}", "")]
    rows += [
        (
            one.task,
            f"{one.mean_coefficient:.4f}",
            f"{one.metrics[found.metric]:.4f}",
            f"{one.difference:+.4f}",
            f"{one.loss:.4f}",
            one.changed,
        )
        for one in found.sources
    ]
    columns = ("without", "mean coefficient", found.metric, "difference", "loss", "changed rows")
    title = f"{found.task} · {found.combiner} · seed {found.seed}: {found.split}, {found.rows} rows"
    table(columns, rows, title=title, right=columns[1:])
    if not found.is_as_recorded:
        note(
            f"with all sources {found.metric} is {found.value:.4f} here, but {found.recorded:.4f} was recorded: "
            "another device or precision, or another version of the code"
        )


def _write(folder: Path, found: Contributions) -> None:
    import json

    from adapterlab.cli.output import to_json
    from adapterlab.reporting.render import csv_text

    rows = found.table()
    name = f"contributions-{found.key[:12]}-{found.split}"
    files = {
        f"{name}.json": (json.dumps(to_json(found.to_json()), indent=2) + "\n").encode(),
        f"{name}.csv": csv_text(rows["columns"], rows["data"]).encode(),
        f"{name}.png": picture(found),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            (folder / file).write_bytes(data)
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be written ({error.strerror or error})") from error
    note(f"wrote {', '.join(files)} into {folder}")


def _log(found: Contributions) -> None:
    """Add them to the transfer's run; what is shown stays true if that does not work."""
    from adapterlab.api import open_catalog
    from adapterlab.exporting.ablation_run import log_contributions

    try:
        with open_catalog() as catalog:
            run = log_contributions(catalog, found, picture(found))
    except AdapterlabError as error:
        note(f"not logged to MLflow: {error.message}")
    else:
        note(f"logged to MLflow run {run}")
