"""``platform note``: a note of a sweep, as ``platform catalog note`` keeps one of a record."""

from __future__ import annotations

from typing import Annotated

import typer

from adapterlab.api import annotate_sweep
from adapterlab.cli.options import JsonOption, SweepArgument
from adapterlab.cli.output import emit, emit_json
from adapterlab.cli.remarks import checked_note, said_of


def command(
    sweep: SweepArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note; empty takes it away.")],
    json: JsonOption = False,
) -> None:
    """Note something of a sweep. `platform catalog note` does so for adapters and transfers."""
    noted = annotate_sweep(sweep, note=checked_note(text))
    if json:
        emit_json(noted.to_json())
    else:
        emit(f"{sweep} ({noted.key[:12]}): {said_of(noted)}")
