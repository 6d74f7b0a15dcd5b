"""Device time: workers × seconds, written down as it passes, with an end where the spec sets one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.driver.budget import DeviceTime
from adapterlab.errors import BudgetSpentError, UnavailableError


class Clock:
    """A clock that stands until it is told to go."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_works_is_counted_while_he_works():
    clock, kept = Clock(), []
    time = DeviceTime(kept.append, clock=clock)
    for devices, seconds in ((2, 3.0), (0.5, 4.0), (0, 100.0)):
        time.work(devices)
        clock.now += seconds
    time.write()
    time.write()
    assert kept == [8.0]
    assert not time.spent


def test_a_budget_counts_what_earlier_submits_took():
    clock = Clock()
    time = DeviceTime(lambda _: None, limit_s=3600.0, before_s=3500.0, clock=clock)
    time.work(2)
    clock.now = 49.0
    time.tick()
    time.check("glue", "0" * 64)
    clock.now = 50.0
    time.tick()
    with pytest.raises(BudgetSpentError, match="glue: its budget is spent: 1 device-hours of 1") as error:
        time.check("glue", "0" * 64)
    assert error.value.details["sweep_key"] == "0" * 64
    assert "cluster.max_hours" in error.value.remedy


def test_what_could_not_be_written_is_written_later():
    clock, kept = Clock(), []

    def away(seconds: float) -> None:
        raise UnavailableError("the database does not answer")

    time = DeviceTime(away, clock=clock)
    time.work(1)
    clock.now = 5.0
    with pytest.raises(UnavailableError):
        time.write()
    time.keep = kept.append
    clock.now = 7.0
    time.write()
    assert kept == [7.0]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 60)), max_size=20))
def test_nothing_is_written_twice_and_nothing_lost(spans):
    clock, kept = Clock(), []
    time = DeviceTime(kept.append, clock=clock)
    for devices, seconds in spans:
        time.work(devices)
        clock.now += seconds
        time.tick()
    time.work(0)
    time.write()
    assert sum(kept) == sum(devices * seconds for devices, seconds in spans)
