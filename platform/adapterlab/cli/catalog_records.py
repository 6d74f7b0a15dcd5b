"""``platform catalog tag``, ``note``, ``rename``, ``remove``, ``copy`` and ``publish``: what is done with a record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from adapterlab.cli.options import BackboneNowOption, JsonOption, KeyArgument
from adapterlab.cli.output import emit, emit_json, note
from adapterlab.cli.remarks import checked_note, checked_tags, said_of
from adapterlab.errors import UsageError

_LONGEST_NAME = 100


def tag(
    key: KeyArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags it gets.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="A tag it loses.")] = None,
    json: JsonOption = False,
) -> None:
    """Give an adapter, a study or a transfer tags; show those it has."""
    _annotate(key, json=json, add=checked_tags(tags), remove=remove or ())


def write_note(
    key: KeyArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note; empty takes it away.")],
    json: JsonOption = False,
) -> None:
    """Note something of an adapter, a study or a transfer."""
    _annotate(key, json=json, note=checked_note(text))


def rename(
    key: KeyArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name for display; empty takes it away.")],
    json: JsonOption = False,
) -> None:
    """Give an adapter, a study or a transfer a name for display; its key stays what it is."""
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"a name is one line of at most {_LONGEST_NAME} characters")
    _annotate(key, json=json, name=name)


def remove(key: KeyArgument, json: JsonOption = False) -> None:
    """Take an adapter, a study or a transfer out of the catalog, unless something that is kept was made from it.

    Its weights stay in the blob store until `platform catalog gc`.
    """
    from adapterlab.api import open_catalog

    with open_catalog() as catalog:
        record = catalog.remove(key)
        sweeps = [one.name for one in catalog.sweeps_with(record.key)]
    if json:
        emit_json({"removed": record.key, "sweeps": sweeps})
        return
    emit(f"removed {record.key[:12]} ({record.task})")
    if sweeps:
        note(f"it is a step of {', '.join(dict.fromkeys(sweeps))}: submitting that again makes it anew")


def copy(
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY...", help="Keys of adapters, studies or transfers, or first digits."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="HOME_OR_URL", help="Another home folder, or the database URL of its catalog."
        ),
    ],
    blobs: Annotated[
        str | None,
        typer.Option(metavar="FOLDER_OR_URL", help="Where that catalog keeps weights; needed for a URL."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Copy records into another catalog, with the adapters and studies they were made from."""
    from adapterlab.api import open_catalog
    from adapterlab.catalog.copying import copy as run
    from adapterlab.catalog.store import open_catalog as open_at
    from adapterlab.home import stores

    url, weights = _other(to, blobs)
    own = stores()
    if url == own.catalog:
        raise UsageError("--to names this catalog itself", remedy="Name another home folder or URL.")
    with open_catalog() as source, open_at(url, weights, locks=own.locks) as target:
        done = run(source, keys, target)
    if json:
        emit_json({"records": [{"key": one.key, "task": one.task, "new": new} for one, new in done]})
        return
    for one, new in done:
        emit(f"{'copied' if new else 'already there':<14} {one.key[:12]}  {one.task}")


def publish(
    key: KeyArgument,
    to: Annotated[
        str, typer.Option("--to", metavar="DIR", help="The folder to make; may exist if it is empty.")
    ],
    license_name: Annotated[
        str, typer.Option("--license", metavar="ID", help="Licence, as the hub writes it.")
    ],
    base_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The backbone's name on the hub. Absent: where it is from, if that is a hub."
        ),
    ] = None,
    backbone: BackboneNowOption = None,
    name: Annotated[str | None, typer.Option(help="The adapter's name inside AdapterHub.")] = None,
    json: JsonOption = False,
) -> None:
    """Write one adapter or transfer as a folder ready for the hub: weights, config, and a card that says what it is.

    The card has the licence, the base model, the task, the metrics and the code that made it. Nothing is uploaded.
    """
    from adapterlab.api import publish as write

    exported = write(key, to, license=license_name, base_model=base_model, backbone=backbone, name=name)
    if json:
        emit_json(exported.to_json())
        return
    emit(f"{exported.kind} {exported.key[:12]} ({exported.task}) -> {exported.folder}")
    note(f"upload it: hf upload OWNER/NAME {exported.folder}")


def _annotate(key: str, *, json: bool, **changes: Any) -> None:
    from adapterlab.api import open_catalog

    with open_catalog() as catalog:
        record = catalog.get(key)
        noted = catalog.annotate(record.key, **changes)
    if json:
        emit_json(noted.to_json())
        return
    emit(f"{record.key[:12]} ({record.task}): {said_of(noted)}")


def _other(to: str, blobs: str | None) -> tuple[str, str]:
    """Return the URLs of another catalog and its weights."""
    if "://" in to:
        if blobs is None:
            raise UsageError("a catalog by URL does not say where its weights are", remedy="Add --blobs.")
        return to, blobs
    folder = Path(os.path.expanduser(to)).absolute()  # noqa: PTH111
    if folder.is_file():
        raise UsageError(f"{folder} is a file", remedy="Name a home folder, or a database URL.")
    return f"sqlite:///{folder / 'catalog.db'}", blobs or str(folder / "blobs")
