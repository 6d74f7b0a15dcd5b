"""``platform cancel``: stop a sweep so that it can be resumed."""

from __future__ import annotations

from typing import Annotated

import typer

from adapterlab.api import cancel
from adapterlab.cli.options import JsonOption
from adapterlab.cli.output import emit, emit_json


def command(
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Name or key of a submitted sweep.")],
    json: JsonOption = False,
) -> None:
    """Stop a sweep, from any machine that sees the catalog; submitting it again continues it.

    Cancelling a sweep that has ended does nothing.
    """
    was_running = cancel(sweep)
    if json:
        emit_json({"sweep": sweep, "cancelled": was_running})
    elif was_running:
        emit(f"{sweep} stops after the epochs in progress. `platform submit` continues it.")
    else:
        emit(f"{sweep} is not running; nothing to cancel.")
