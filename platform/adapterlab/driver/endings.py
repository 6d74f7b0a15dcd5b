"""What an error that ended a sweep makes of it and of the steps it held."""

from __future__ import annotations

from adapterlab.cluster.ray_process import RayLostError
from adapterlab.errors import BudgetSpentError, CancelledError
from adapterlab.passwords import hide_passwords
from adapterlab.records import State


def ended_as(error: BaseException, *, began: bool) -> State:
    """Return the state of a sweep that an error ended.

    Args:
        error: What ended it.
        began: Whether any of its workers had begun.
    """
    if (stopped := stopped_as(error)) is not None:
        return stopped
    if isinstance(error, RayLostError) or not isinstance(error, Exception):
        return State.KILLED  # the sweep is without fault, and goes on with the next submit
    return State.FAILED if began else State.REFUSED


def stopped_as(error: BaseException) -> State | None:
    """Return the state of what somebody stopped, or a budget; ``None``: the error is of another kind."""
    if isinstance(error, BudgetSpentError):
        return State.STOPPED
    if isinstance(error, CancelledError):
        return State.KILLED if "signal" in error.details else State.CANCELLED
    return None


def reason_of(error: BaseException) -> str:
    """Return in a line, without passwords, why something ended."""
    return (hide_passwords(str(error)).splitlines() or [type(error).__name__])[0]
