"""``platform tag``: tags of a sweep, as ``platform catalog tag`` gives records some."""

from __future__ import annotations

from typing import Annotated

import typer

from adapterlab.api import annotate_sweep
from adapterlab.cli.options import JsonOption, SweepArgument
from adapterlab.cli.output import emit, emit_json
from adapterlab.cli.remarks import checked_tags, said_of


def command(
    sweep: SweepArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags it gets.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="A tag it loses.")] = None,
    json: JsonOption = False,
) -> None:
    """Give a sweep tags; show those it has. `platform catalog tag` does so for adapters and transfers."""
    noted = annotate_sweep(sweep, add=checked_tags(tags), remove=remove or ())
    if json:
        emit_json(noted.to_json())
    else:
        emit(f"{sweep} ({noted.key[:12]}): {said_of(noted)}")
