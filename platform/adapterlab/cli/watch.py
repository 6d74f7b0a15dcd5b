"""``platform watch``: follow a sweep that some process does, from any machine that sees the catalog."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from adapterlab.api import report, status
from adapterlab.catalog.records import SHORT_KEY
from adapterlab.cli.live import live_progress, time_text
from adapterlab.cli.options import JsonOption, SweepArgument
from adapterlab.cli.output import emit, emit_json, is_interactive, note
from adapterlab.cli.report import show
from adapterlab.cli.sweep_log import last_lines, log_path
from adapterlab.driver.progress import SweepView
from adapterlab.home import stores
from adapterlab.records import State

_POLL_S = 1.0
_UNKNOWN_CODE = 1
"""Exit code for a sweep whose process was killed, so that it left none."""


def command(sweep: SweepArgument, json: JsonOption = False) -> int:
    """Show how far a sweep is until it ends, then its results, as the submit of it does; end with its exit code.

    Ctrl-C ends the watching, and leaves the sweep alone. Of several that have this name, the latest is meant.
    """
    view = status(sweep)[0]
    try:
        view = _to_its_end(view)
    except KeyboardInterrupt:
        short = view.key[:SHORT_KEY]
        note(
            f"{view.name} goes on. `platform watch {short}` shows it again, `platform cancel {short}` stops it."
        )
        raise
    code = _code(view)
    if json:
        emit_json({**view.to_json(), "exit_code": code})
        return code
    if view.state is State.COMPLETE:
        show(report(view.key))
    why = f": {view.reason}" if view.reason else ""
    times = f" ({time_text(view)})" if view.elapsed_s is not None else ""
    emit(f"{view.name} {view.key[:SHORT_KEY]} {view.state}{times}{why}")
    return code


def _to_its_end(view: SweepView) -> SweepView:
    """Show a sweep until it does not run any more; return how it ended."""
    log = log_path(stores().home, view.key) if is_interactive(sys.stderr) else None
    with live_progress() as show_progress:
        while view.state is State.RUNNING:
            show_progress(replace(view, phase=_phase(log)))
            time.sleep(_POLL_S)
            view = status(view.key)[0]
        show_progress(view)
    return view


def _phase(log: Path | None) -> str:
    """Return what the sweep said last, for bars that have no step in work to show."""
    if log is not None:
        with suppress(OSError):
            lines, _ = last_lines(log, 1)
            return lines[0] if lines else ""
    return ""


def _code(view: SweepView) -> int:
    if view.exit_code is not None:
        return view.exit_code
    return 0 if view.state is State.COMPLETE else _UNKNOWN_CODE
