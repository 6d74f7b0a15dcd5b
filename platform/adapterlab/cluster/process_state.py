"""What a run of workers changes around itself, and puts back: variables, a signal, Ray's noise and processes."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


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


@contextmanager
def variable_absent(name: str) -> Iterator[None]:
    """Take an environment variable away while the block runs."""
    before = os.environ.pop(name, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Put the handler of SIGTERM back when the block ends, whatever Ray has put there."""
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
def deaths_weighed(counts: Callable[[Any, Any], bool]) -> Iterator[None]:
    """Have Tune ask which deaths count, before it decides whether to start a trial's worker again.

    Tune itself leaves out only those that Ray calls a preemption.

    Args:
        counts: Given a trial and the error its worker ended with, whether that is one of the deaths it may have.
    """
    from ray.tune.experiment.trial import Trial

    before = Trial.handle_error

    def handle_error(trial: Any, exc: Any = None) -> None:
        deaths = trial.num_failures
        before(trial, exc)
        if not counts(trial, exc):
            trial.run_metadata.num_failures = deaths

    Trial.handle_error = handle_error
    try:
        yield
    finally:
        Trial.handle_error = before


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
