"""``platform archive``: put a sweep away, so that ``status`` does not list it."""

from __future__ import annotations

from typing import Annotated

import typer

from adapterlab.api import archive
from adapterlab.cli.options import JsonOption, SweepArgument
from adapterlab.cli.output import emit, emit_json


def command(
    sweep: SweepArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Take it out again.")] = False,
    json: JsonOption = False,
) -> None:
    """Put a sweep away: `platform status --all` lists it still, and nothing of it is deleted.

    Submitting its spec again takes it out.
    """
    changed = archive(sweep, away=not undo)
    if json:
        emit_json({"sweep": sweep, "archived": not undo, "changed": changed})
    elif not changed:
        emit(f"{sweep} {'is not' if undo else 'was'} put away{'' if undo else ' already'}.")
    elif undo:
        emit(f"{sweep} is listed again.")
    else:
        emit(
            f"{sweep} is put away; nothing is deleted. `platform archive {sweep} --undo` takes it out again."
        )
