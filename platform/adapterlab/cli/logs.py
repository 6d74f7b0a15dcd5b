"""``platform logs``: what the submits of a sweep said, on the machine they ran on."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from adapterlab.api import open_catalog
from adapterlab.catalog.records import SweepRecord
from adapterlab.cli.options import SweepArgument
from adapterlab.cli.output import emit
from adapterlab.cli.sweep_log import last_lines, lines_after, log_path
from adapterlab.errors import NotFoundError
from adapterlab.home import stores
from adapterlab.records import State


def command(
    sweep: SweepArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until the sweep ends.")
    ] = False,
    lines: Annotated[
        int | None,
        typer.Option("--lines", "-n", min=0, help="Begin with the last so many lines; absent: all."),
    ] = None,
) -> None:
    """Show what the submits of a sweep said, in the foreground or detached, with the time of each line.

    The log is in the home folder of the machine that submitted it. Of several that have this name, the latest is
    meant.
    """
    with open_catalog() as catalog:
        record = catalog.sweep(sweep)
    path = log_path(stores().home, record.key)
    try:
        found, place = last_lines(path, lines)
    except FileNotFoundError as error:
        raise _no_log(record, path) from error
    for line in found:
        emit(line)
    if follow:
        _follow(record.key, path, place)


def _follow(key: str, path: Path, place: int) -> None:
    import sys

    ended = False
    for line in lines_after(path, place):
        if line is not None:
            emit(line)
            continue
        sys.stdout.flush()
        if ended:  # looked at the file once more after its end
            return
        with open_catalog() as catalog:
            ended = catalog.sweep(key).state is not State.RUNNING


def _no_log(record: SweepRecord, path: Path) -> NotFoundError:
    try:
        host = str(json_module.loads(record.owner or "{}")["host"])
    except (ValueError, KeyError, TypeError):
        host = "another machine, or by an earlier version"
    return NotFoundError(
        f"no log of {record.name} here: {path} does not exist",
        remedy=f"It was submitted last on {host}; its log is in the home folder there.",
    )
