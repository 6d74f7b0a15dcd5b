"""How a worker's end is noted: what a step did is the step's, what a server did is not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from adapterlab.catalog.store import open_catalog
from adapterlab.cluster.outcomes import WorkerOutcome
from adapterlab.driver.claims import HeldClaims
from adapterlab.driver.sweep import _Driver
from adapterlab.errors import AwayError, TrainingError
from adapterlab.records import State

KEY = "1" * 64


@dataclass(frozen=True)
class Order:
    keys: tuple[str, ...] = (KEY,)


@pytest.fixture
def driver(tmp_path):
    with open_catalog(f"sqlite:///{tmp_path / 'c.db'}", str(tmp_path / "b"), locks=tmp_path / "l") as catalog:
        one = _Driver.__new__(_Driver)
        one.catalog, one.failed, one.done_here, one.before = catalog, {}, set(), set()
        yield one


def test_a_step_whose_server_was_away_did_not_fail(driver):
    outcome = WorkerOutcome(0, State.FAILED, None, AwayError("the database does not answer"), 1)
    with HeldClaims(driver.catalog, 30.0, lambda: None) as holding:
        holding.claim([KEY])
        with pytest.raises(AwayError, match="does not answer"):
            driver._note(Order(), outcome, holding)
    assert driver.failed == {}
    assert driver.catalog.status([KEY])[KEY].state is State.PENDING


def test_a_step_whose_worker_failed_did(driver):
    outcome = WorkerOutcome(0, State.FAILED, None, TrainingError("it diverged"), 1)
    with HeldClaims(driver.catalog, 30.0, lambda: None) as holding:
        holding.claim([KEY])
        driver._note(Order(), outcome, holding)
    assert driver.failed == {KEY: "it diverged"}
    assert driver.catalog.status([KEY])[KEY].state is State.FAILED
