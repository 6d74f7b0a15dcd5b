"""A submit that survives its terminal: a process of its own session, told apart by one variable.

The parent starts it with its own output, so that whatever keeps the sweep from beginning is said where it was
typed, and waits for one line through a pipe. With that line the child leads its output into the sweep's log:

    parent: start child ────────────────► wait for the line ──► print key, watch, logs, cancel; end
    child:  check, claim, read data ──► line; output into the log ──► train … report; end
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from adapterlab.cli.sweep_log import SweepLog

_VARIABLE = "ADAPTERLAB_DETACHED"


class Announcement:
    """What a detached process owes the one that started it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_inheritable(descriptor, False)

    @classmethod
    def owed(cls) -> Announcement | None:
        """Return it where this process was started detached, once."""
        said = os.environ.pop(_VARIABLE, None)
        return cls(int(said)) if said else None

    def make(self, log: SweepLog, **facts: Any) -> None:
        """Say that the sweep has begun, and lead this process's output into its log."""
        sys.stdout.flush()
        sys.stderr.flush()
        log.take_over(1, 2)
        with suppress(OSError):  # who started it may be gone
            os.write(self._descriptor, (json.dumps(facts | {"pid": os.getpid()}) + "\n").encode())
        os.close(self._descriptor)


def start(words: Sequence[str], stdin: bytes | None) -> tuple[int, Mapping[str, Any] | None]:
    """Start ``platform`` in a session of its own, and wait until what it does has begun, or failed.

    Args:
        words: What to type after the program's name.
        stdin: What it reads from standard input; ``None``: nothing.

    Returns:
        Its exit code, and ``None``; or 0, and what it announced.
    """
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "adapterlab.cli", *words],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        start_new_session=True,  # no hangup of this terminal reaches it, nor Ctrl-C
        pass_fds=(writing,),
        env={**os.environ, _VARIABLE: str(writing)},
    )
    os.close(writing)
    if stdin is not None and child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.write(stdin)
            child.stdin.close()
    try:
        with os.fdopen(reading, "rb") as pipe:
            line = pipe.readline()
        if line:
            return 0, json.loads(line)
        return _code(child.wait()), None
    except KeyboardInterrupt as stopped:
        if getattr(stopped, "number", signal.SIGINT) != signal.SIGINT:
            raise  # a terminal that closes is what it is detached from
        child.send_signal(signal.SIGINT)  # it has not begun: whoever typed it has thought better of it
        return _code(child.wait()), None


def _code(returned: int) -> int:
    return 128 - returned if returned < 0 else returned
