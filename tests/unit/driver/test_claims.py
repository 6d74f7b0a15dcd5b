"""Claims stay alive while they are held, and are given back whatever happens."""

from __future__ import annotations

import time

import pytest

from adapterlab.catalog.store import open_catalog
from adapterlab.driver.claims import HeldClaims
from adapterlab.errors import BudgetSpentError, CancelledError, UnavailableError
from adapterlab.records import State

KEYS = ["1" * 64, "2" * 64]


@pytest.fixture
def catalog(tmp_path):
    with open_catalog(f"sqlite:///{tmp_path / 'c.db'}", str(tmp_path / "b"), locks=tmp_path / "l") as one:
        yield one


def test_a_claim_outlives_its_lease_while_it_is_held(catalog):
    ticks = []
    with HeldClaims(catalog, 1.0, lambda: ticks.append(1)) as holding:
        assert holding.claim(KEYS) == set(KEYS)
        time.sleep(2.2)
        assert catalog.claim_many(KEYS, owner='{"other": 1}', lease_s=5) == {}
    assert ticks


def test_what_is_left_is_given_back_at_the_end(catalog):
    with HeldClaims(catalog, 30.0, lambda: None) as holding:
        holding.claim(KEYS)
        holding.drop([KEYS[0]])
        assert holding.get(KEYS[0]) is None
        assert holding.get(KEYS[1]) is not None
    assert catalog.holder(KEYS[1]) is None
    assert catalog.status(KEYS)[KEYS[1]].state is State.PENDING


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (CancelledError("glue was cancelled"), State.CANCELLED),
        (CancelledError("stopped by SIGTERM", signal="SIGTERM"), State.KILLED),
        (BudgetSpentError("4 device-hours of 4"), State.STOPPED),
        (UnavailableError("the disk is full"), State.KILLED),
    ],
)
def test_steps_that_an_error_stopped_say_which_it_was(catalog, error, state):
    def stop():
        with HeldClaims(catalog, 30.0, lambda: None) as holding:
            holding.claim(KEYS)
            raise error

    with pytest.raises(type(error)):
        stop()
    status = catalog.status(KEYS)[KEYS[0]]
    assert (status.state, status.reason) == (state, error.message)


def test_steps_have_ended_before_the_sweep_that_held_them_is_said_to(catalog):
    error = CancelledError("glue was cancelled")
    with HeldClaims(catalog, 30.0, lambda: None) as holding:
        holding.claim(KEYS)
        holding.end_all_but(KEYS[0], error)
        states = {key: status.state for key, status in catalog.status(KEYS).items()}
        assert states == {KEYS[0]: State.RUNNING, KEYS[1]: State.CANCELLED}
        assert holding.get(KEYS[1]) is None
        assert holding.get(KEYS[0]) is not None


def test_a_claim_that_was_taken_over_is_forgotten(catalog):
    with HeldClaims(catalog, 1.0, lambda: None) as holding:
        holding.claim(KEYS[:1])
        claim = holding.get(KEYS[0])
        catalog.release([claim])
        catalog.claim_many(KEYS[:1], owner='{"other": 1}', lease_s=60)
        deadline = time.monotonic() + 10
        while holding.get(KEYS[0]) is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert holding.get(KEYS[0]) is None
    assert catalog.holder(KEYS[0]) is not None
