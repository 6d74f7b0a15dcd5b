"""``platform catalog import``: adapters that exist already, into the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json, note
from adapterlab.errors import PartialFailureError

if TYPE_CHECKING:
    from adapterlab.importing.catalog_import import Imported


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, folder:<path>, or hub:<owner/name>@<commit>; or a folder of folders.",
        ),
    ],
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="The backbone it was trained on: a folder, package:… or hub:…@…. Absent: what it says itself.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Its task, as glue/rte. Absent: what it says itself, else its folder's name."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Put adapters in AdapterHub's or PEFT's format into the catalog, checked against their backbone.

    An adapter is known by its content, so importing it twice is importing it once. Of a folder of folders each is
    imported; those that cannot be are named, with the reason, and keep no other from it (exit code 6). Nothing in
    the files is run.
    """
    from adapterlab.api import import_adapters

    results = import_adapters(source, backbone=backbone, task=task)
    alone = results[0].fault if len(results) == 1 else None
    if alone is not None:
        raise alone
    refused = [one for one in results if one.fault is not None]
    if json:
        emit_json({"adapters": [one.to_json() for one in results]})
    else:
        for one in results:
            emit(_line(one))
        if not refused:
            key = next(one.record.key[:12] for one in results if one.record is not None)
            note(f'`platform catalog show {key}` shows it; a spec takes it by source = "catalog:{key}".')
    if not refused:
        return
    if json:
        raise typer.Exit(PartialFailureError.exit_code)
    raise PartialFailureError(
        f"{len(refused)} of {len(results)} folders could not be imported; the others are in the catalog",
        remedy="Mend what the lines above say and import the same folder again.",
    )


def _line(one: Imported) -> str:
    if one.fault is not None:
        return f"refused        {one.source}: {one.fault.message}"
    assert one.record is not None
    state = "imported" if one.new else "already there"
    return f"{state:<14} {one.record.key[:12]}  {one.record.task}  {one.record.method}  {one.source}"
