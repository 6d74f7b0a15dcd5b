"""How a worker's end is noted: what a step did is the step's, what a server did is not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from adapterlab.catalog.store import open_catalog
from adapterlab.cluster.outcomes import WorkerOutcome
from adapterlab.driver.claims import HeldClaims
from adapterlab.driver.sweep import _Driver
from adapterlab.errors import AwayError, ClaimLostError, TrainingError
from adapterlab.planning.compile import compile_plan
from adapterlab.records import State
from specs import facts, spec

KEY, OTHER = "1" * 64, "2" * 64


@dataclass(frozen=True)
class Order:
    keys: tuple[str, ...] = (KEY,)


@pytest.fixture
def driver(tmp_path):
    with open_catalog(f"sqlite:///{tmp_path / 'c.db'}", str(tmp_path / "b"), locks=tmp_path / "l") as catalog:
        one = _Driver.__new__(_Driver)
        one.plan = compile_plan(spec(), facts(spec()))
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


@pytest.mark.parametrize("error", [TrainingError("it diverged"), None])
def test_a_step_that_another_process_took_over_did_not_fail_here_whatever_its_worker_says(driver, error):
    with HeldClaims(driver.catalog, 30.0, lambda: None) as holding:
        lost = taken_over(driver, holding)
        outcome = WorkerOutcome(0, State.FAILED, None, error or lost, 1)
        driver._note(Order((KEY,)), outcome, holding)
        assert driver.failed == {}
        assert holding.get(KEY) is None
    assert driver.catalog.holder(KEY).owner == "another"


def test_of_an_order_of_which_a_step_was_taken_over_the_others_are_done_without_it(driver):
    with HeldClaims(driver.catalog, 30.0, lambda: None) as holding:
        lost = taken_over(driver, holding)
        driver._note(Order((KEY, OTHER)), WorkerOutcome(0, State.FAILED, None, lost, 1), holding)
        assert driver.failed == {}
        assert (holding.get(KEY), holding.get(OTHER).key) == (None, OTHER)


def taken_over(driver, holding: HeldClaims) -> ClaimLostError:
    """Claim two steps, lose the first to another process, and return what a worker of ours is told then."""
    holding.claim([KEY, OTHER])
    claim = holding.get(KEY)
    driver.catalog.release([claim])
    assert driver.catalog.claim_many([KEY], owner="another", lease_s=60)
    with pytest.raises(ClaimLostError) as caught:
        driver.catalog.check(claim)
    return caught.value
