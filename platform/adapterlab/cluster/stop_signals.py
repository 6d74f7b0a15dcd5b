"""SIGINT, SIGTERM and SIGHUP as requests to stop: noted always, raised where work can be left at once.

A terminal, ``timeout``, Slurm or systemd sends a signal to the driver and to whatever it started. The driver alone
decides what a signal means: it asks its workers to stop, and closes what it has open in order.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from adapterlab.errors import CancelledError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_REQUEST_S = 0.5
"""Signals this close together are one request: ``timeout`` sends its own twice, to the process and to its group."""
_LAST_RESORT = 4
"""This many requests end whatever is being done, the orderly end included."""
_AGAIN_S = 0.02
"""How soon an interruption that went unheard is raised again."""


class Interrupted(KeyboardInterrupt):
    """A signal arrived where work can be left at once.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def signals_raised() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP leave the block as Ctrl-C does, so that what is open is closed and no draft is left.

    The second of these ends the process at once. Whoever handles or ignores a signal already goes on doing so.

    Yields:
        The numbers of those that arrived, for a caller whose libraries make one exit code of all interruptions.

    Raises:
        Interrupted: One arrived.
    """
    heard: list[int] = []

    def arrived(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, untouched[signal.Signals(number)])
        heard.append(number)
        raise Interrupted(number)

    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    untouched = {
        number: handler
        for number, handler in before.items()
        if handler in (signal.SIG_DFL, signal.default_int_handler)
    }
    for number in untouched:
        signal.signal(number, arrived)
    try:
        yield heard
    finally:
        for number, handler in untouched.items():
            signal.signal(number, handler)


class StopSignals:
    """What signals have asked for. One that was ignored when the program began (``nohup``) stays ignored."""

    def __init__(self) -> None:
        self.first: str | None = None
        """Name of the first signal; ``None`` while none arrived."""
        self.count = 0
        """How often a stop was asked for."""
        self._raised_at: int | None = None
        self._last = -_ONE_REQUEST_S
        self._unheard = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen while the block runs; only in the main thread, where Python delivers signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._arrived) for number in heard}
        unraisable = sys.unraisablehook
        sys.unraisablehook = lambda lost: self._could_not_be_raised(lost, unraisable)
        try:
            yield
        finally:
            self._unheard = False
            sys.unraisablehook = unraisable
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interrupting(self, request: int = 1) -> Iterator[None]:
        """Let a request interrupt the block wherever it is; elsewhere requests are only noted.

        Args:
            request: Which one does: 1 for the first.

        Raises:
            CancelledError: That many were noted before the block began.
            Interrupted: That request arrived in the block.
        """
        if self.count >= request:
            self.check()
        before, self._raised_at = self._raised_at, request
        try:
            yield
        finally:
            self._raised_at = before

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Only note requests while the block runs, inside one that they would interrupt."""
        before, self._raised_at = self._raised_at, None
        try:
            yield
        finally:
            self._raised_at = before

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an interruption into the error that says which signal it was.

        Raises:
            CancelledError: The block was interrupted by a signal.
        """
        try:
            yield
        except KeyboardInterrupt:
            self.check()
            raise

    def check(self) -> None:
        """Raise what a run ends with that a signal stopped.

        Raises:
            CancelledError: A signal arrived; ``details["signal"]`` names the first.
        """
        if self.first is not None:
            raise CancelledError(
                f"stopped by {self.first}", remedy="Submit again to continue.", signal=self.first
            )

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        again, self._unheard = self._unheard, False
        if again and self._raised_at is not None and self.count >= self._raised_at:
            raise Interrupted(number)
        now = time.monotonic()
        if now - self._last < _ONE_REQUEST_S:
            return
        self._last = now
        self.count += 1
        self.first = self.first or signal.Signals(number).name
        if self.count == self._raised_at or self.count >= _LAST_RESORT:
            raise Interrupted(number)

    def _could_not_be_raised(self, lost: Any, tell: Any) -> None:
        """Raise an interruption again that came while Python ran a finaliser or a weak reference's callback.

        Whatever is raised there is printed and forgotten, and the work it should have ended would go on.
        """
        if not isinstance(lost.exc_value, Interrupted):
            tell(lost)
            return
        self._unheard = True
        # From another thread, a little later: the finaliser must have been left by then.
        later = threading.Timer(_AGAIN_S, self._send_again, (lost.exc_value.number,))
        later.daemon = True
        later.start()

    def _send_again(self, number: int) -> None:
        if self._unheard:  # else it has been heard, or nobody listens any more
            os.kill(os.getpid(), number)
