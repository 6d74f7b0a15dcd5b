"""What a run of workers changes around itself, and puts back: variables, signals, Ray's noise and processes."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from adapterlab.errors import CancelledError


@contextmanager
def variables_set(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs."""
    # Ray itself writes RAY_AUTH_MODE when it turns authentication on.
    names = {*variables, "RAY_AUTH_MODE"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class StopSignals:
    """Listens to SIGINT and SIGTERM: the first asks for a stop, those after it for the end.

    Args:
        patience: How many signals are only counted; the next one raises ``KeyboardInterrupt``.
    """

    def __init__(self, patience: int) -> None:
        self.first: str | None = None
        """Name of the first signal; ``None`` while none arrived."""
        self.count = 0
        self._patience = patience

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listen while the block runs; only in the main thread, where Python delivers signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._arrived) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

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
        self.count += 1
        self.first = self.first or signal.Signals(number).name
        if self.count > self._patience:
            raise KeyboardInterrupt


@contextmanager
def sigterm_ends_the_session() -> Iterator[None]:
    """Let SIGTERM unwind the session in order, whatever handler Ray puts; the old one is back afterwards."""
    before = signal.getsignal(signal.SIGTERM)

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        yield
    finally:
        # Entered around ``ray.init``, which replaces the handler; the caller's own has precedence.
        signal.signal(signal.SIGTERM, leave if before in {signal.SIG_DFL, None} else before)


@contextmanager
def sigterm_restored() -> Iterator[None]:
    """Put the handler of SIGTERM back when the block ends."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def loudness(*, quiet: bool) -> Iterator[None]:
    """Keep Ray's log and its printed notices ("A worker died …") off the console."""
    if not quiet:
        yield
        return
    from ray._private import worker

    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with _without(worker, "print_to_stdstream"):
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def fewer_processes() -> Iterator[None]:
    """Start Ray without the three helpers a private session has no use for.

    Autoscaler, log monitor and API server are Python processes that cannot be switched off by a
    setting; without them a session starts and stops in half the time on two cores. Where a later
    Ray names them differently, they are simply started.
    """
    from ray._private.node import Node

    with _without(Node, "start_monitor", "start_log_monitor", "start_api_server"):
        yield


@contextmanager
def memory_kills_are_deaths() -> Iterator[None]:
    """Let Tune start a worker again that Ray killed because memory ran out, as it does for other deaths.

    Ray has an error of its own for that, which Tune does not know and breaks off at.
    """
    from ray.air.execution._internal import actor_manager
    from ray.exceptions import OutOfMemoryError, RayActorError
    from ray.tune.execution import tune_controller

    asking = (actor_manager, tune_controller)  # with isinstance
    for module in asking:
        module.RayActorError = (RayActorError, OutOfMemoryError)
    try:
        yield
    finally:
        for module in asking:
            module.RayActorError = RayActorError


@contextmanager
def _without(owner: Any, *names: str) -> Iterator[None]:
    """Let functions of a class or module do nothing while the block runs."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    before = {name: vars(owner)[name] for name in names if name in vars(owner)}
    for name in before:
        setattr(owner, name, nothing)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(owner, name, function)
