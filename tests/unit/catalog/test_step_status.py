"""How far a step is, from what is written of it, who holds it and whether its result is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.catalog.step_status import valid_keys
from adapterlab.catalog.store import current_owner
from adapterlab.records import State
from catalogs import BOTH_DATABASES, LEASE_S, key, let_leases_expire, put_adapter, sql

on_both = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)


def claim(catalog, name):
    """Claim a step."""
    return catalog.claim_many([key(name)], owner=current_owner(), lease_s=LEASE_S)[key(name)]


def status(catalog, name):
    """Return how far a step is."""
    return catalog.status([key(name)])[key(name)]


@on_both
def test_a_step_from_nobody_to_its_result(catalog):
    assert (status(catalog, "a").state, status(catalog, "a").updated_at) == (State.PENDING, None)
    held = claim(catalog, "a")
    catalog.progress(held.key, done=3, total=30, detail="epoch 3/30", claim=held)
    running = status(catalog, "a")
    assert (running.state, running.done, running.total, running.detail) == (
        State.RUNNING,
        3,
        30,
        "epoch 3/30",
    )
    assert running.owner == held.owner
    catalog.release([held])
    put_adapter(catalog, "a")
    done = status(catalog, "a")
    assert (done.state, done.owner, done.detail, done.attempts) == (State.COMPLETE, None, None, 2)


@on_both
def test_a_step_whose_lease_ended_is_killed_and_says_that_it_can_be_resumed(catalog):
    held = claim(catalog, "a")
    catalog.progress(held.key, done=3, claim=held)
    let_leases_expire(catalog)
    found = status(catalog, "a")
    assert (found.state, found.owner, found.done) == (State.KILLED, None, 3)
    assert "can be resumed" in found.reason


@on_both
def test_a_complete_step_whose_record_is_gone_is_to_be_done_again(catalog):
    put_adapter(catalog, "a")
    sql(catalog, "DELETE FROM metrics")
    sql(catalog, "DELETE FROM adapters")
    found = status(catalog, "a")
    assert (found.state, found.reason) == (State.PENDING, "its record is gone from the catalog")


@on_both
def test_more_steps_than_one_statement_takes(catalog):
    names = [f"step {number}" for number in range(1201)]
    put_adapter(catalog, names[700])
    states = [one.state for one in catalog.status(map(key, names)).values()]
    assert (states.count(State.COMPLETE), states.count(State.PENDING)) == (1, 1200)


HEX = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(keys=st.lists(HEX, max_size=8))
def test_valid_keys_come_back_sorted_and_once(keys):
    assert valid_keys([*keys, *keys]) == sorted(set(keys))


@given(good=HEX, bad=st.text(max_size=70).filter(lambda text: len(text) != 64))
def test_one_bad_key_among_good_ones_is_named(good, bad):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        valid_keys([good, bad])
