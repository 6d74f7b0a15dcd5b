"""What a sweep is called that an error ended."""

from __future__ import annotations

import pytest

from adapterlab.cluster.ray_process import RayLostError
from adapterlab.cluster.stop_signals import Interrupted
from adapterlab.driver.endings import ended_as
from adapterlab.errors import AwayError, BudgetSpentError, CancelledError, DataError, UsageError
from adapterlab.records import State


@pytest.mark.parametrize(
    ("error", "began", "state"),
    [
        (CancelledError("glue was cancelled"), True, State.CANCELLED),
        (CancelledError("glue was cancelled"), False, State.CANCELLED),
        (CancelledError("stopped by SIGTERM", signal="SIGTERM"), True, State.KILLED),
        (BudgetSpentError("4 device-hours of 4"), True, State.STOPPED),
        (Interrupted(2), False, State.KILLED),
        (SystemExit(1), True, State.KILLED),
        (RayLostError("the cluster is gone"), True, State.KILLED),
        (DataError("train.csv, line 3: no label"), False, State.REFUSED),
        (UsageError("a worker needs 64 CPUs, this machine has 2"), False, State.REFUSED),
        (AwayError("the database does not answer"), True, State.FAILED),
        (RuntimeError("a fault of ours"), True, State.FAILED),
    ],
)
def test_a_sweep_is_called_by_what_ended_it(error, began, state):
    assert ended_as(error, began=began) is state
