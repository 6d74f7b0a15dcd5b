"""``platform cancel``: stop a sweep so that it can be resumed."""

from __future__ import annotations

from adapterlab.api import cancel
from adapterlab.cli.options import JsonOption, SweepArgument
from adapterlab.cli.output import emit, emit_json


def command(sweep: SweepArgument, json: JsonOption = False) -> None:
    """Stop a sweep, from any machine that sees the catalog; submitting it again continues it.

    Of several that have this name, the one that runs is meant. Cancelling a sweep that has ended does nothing.
    """
    was_running = cancel(sweep)
    if json:
        emit_json({"sweep": sweep, "cancelled": was_running})
    elif was_running:
        emit(f"{sweep} stops after the epochs in progress. `platform submit` continues it.")
    else:
        emit(f"{sweep} is not running; nothing to cancel.")
