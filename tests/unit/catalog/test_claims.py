"""Claims: who may do a step, for how long, and what becomes of a late owner."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapterlab.catalog.records import Claim
from adapterlab.catalog.store import current_owner
from adapterlab.errors import ClaimLostError
from adapterlab.records import State
from catalogs import BOTH_DATABASES, LEASE_S, adapter, key, let_leases_expire, open_at, put_adapter, sql

pytestmark = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)

A, B, C = key("a"), key("b"), key("c")
OTHER = json.dumps({"host": "elsewhere", "boot_id": "x", "pid_ns": "y", "pid": 1, "started": 1})


def test_claims_every_free_step_and_no_held_one(catalog):
    first = catalog.claim_many([A, B], owner=current_owner(), lease_s=LEASE_S)
    second = catalog.claim_many([A, B, C], owner=OTHER, lease_s=LEASE_S)
    assert set(first) == {A, B}
    assert set(second) == {C}
    assert catalog.holder(A).owner == current_owner()
    assert catalog.holder(C).owner == OTHER


def test_a_complete_step_is_never_claimed(catalog):
    put_adapter(catalog, "a")
    assert catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S) == {}


def test_the_lease_ends_by_the_database_clock(catalog):
    catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)
    assert LEASE_S - 5 < catalog.holder(A).expires_in_s <= LEASE_S
    let_leases_expire(catalog)
    assert catalog.holder(A) is None
    assert set(catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)) == {A}


def test_each_takeover_raises_the_token(catalog):
    tokens = []
    for _ in range(3):
        tokens.append(catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A].token)
        let_leases_expire(catalog)
    claim = catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A]
    catalog.release([claim])
    tokens += [claim.token, catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A].token]
    assert tokens == [1, 2, 3, 4, 5]


def test_the_late_owner_has_lost_everything(catalog):
    late = catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A]
    let_leases_expire(catalog)
    now = catalog.claim_many([A], owner=current_owner(), lease_s=LEASE_S)[A]
    with pytest.raises(ClaimLostError, match="token 1 is no longer valid"):
        catalog.check(late)
    with pytest.raises(ClaimLostError):
        catalog.publish_adapter(adapter("a"), b"late", late)
    with pytest.raises(ClaimLostError):
        catalog.fail(late, "late")
    with pytest.raises(ClaimLostError):
        catalog.progress(A, done=1, claim=late)
    assert catalog.renew([late], LEASE_S) == {A}
    catalog.release([late])
    catalog.check(now)
    assert catalog.status([A])[A].state is State.RUNNING


def test_an_expired_lease_nobody_took_is_still_ones_own(catalog):
    claim = catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A]
    let_leases_expire(catalog)
    assert catalog.renew([claim], LEASE_S) == set()
    assert catalog.holder(A).token == claim.token


def test_renew_extends_only_what_is_still_held(catalog):
    claims = catalog.claim_many([A, B], owner=OTHER, lease_s=5)
    catalog.release([claims[A]])
    assert catalog.renew(claims.values(), 500) == {A}
    assert catalog.holder(A) is None
    assert catalog.holder(B).expires_in_s > 400


def test_an_owner_that_is_gone_needs_no_waiting(catalog):
    dead = json.loads(current_owner()) | {"started": 1}
    catalog.claim_many([A], owner=json.dumps(dead), lease_s=1000)
    assert catalog.holder(A) is None
    assert catalog.status([A])[A].state is State.KILLED
    assert catalog.claim_many([A], owner=current_owner(), lease_s=LEASE_S)[A].token == 2


def test_a_failed_step_keeps_its_reason_and_can_be_claimed_again(catalog):
    claim = catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A]
    catalog.fail(claim, "loss is NaN in epoch 2")
    failed = catalog.status([A])[A]
    assert (failed.state, failed.reason, failed.owner) == (State.FAILED, "loss is NaN in epoch 2", None)
    assert set(catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)) == {A}
    again = catalog.status([A])[A]
    assert (again.state, again.reason, again.attempts) == (State.RUNNING, None, 2)


def test_a_released_step_says_why(catalog):
    claims = catalog.claim_many([A, B], owner=OTHER, lease_s=LEASE_S)
    catalog.release([claims[A]])
    catalog.release([claims[B]], state=State.KILLED, reason="stopped on request")
    found = catalog.status([A, B])
    assert found[A].state is State.PENDING
    assert (found[B].state, found[B].reason) == (State.KILLED, "stopped on request")


def test_many_keys_are_claimed_in_one_call(catalog):
    keys = [key(str(number)) for number in range(1234)]
    assert set(catalog.claim_many(keys, owner=OTHER, lease_s=LEASE_S)) == set(keys)
    assert catalog.claim_many(keys, owner=OTHER, lease_s=LEASE_S) == {}
    assert all(one.state is State.RUNNING for one in catalog.status(keys).values())


def test_threads_share_a_catalog_and_each_key_has_one_winner(catalog):
    keys = [key(str(number)) for number in range(40)]

    def claim(_: int) -> dict[str, Claim]:
        return catalog.claim_many(keys, owner=OTHER, lease_s=LEASE_S)

    with ThreadPoolExecutor(8) as pool:
        won = [name for claims in pool.map(claim, range(8)) for name in claims]
    assert sorted(won) == sorted(keys)


@pytest.mark.parametrize("bad", ["", "abc", "G" * 64, "a" * 63, "a" * 64 + "'; DROP TABLE claims; --"])
def test_a_malformed_key_is_refused(catalog, bad):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        catalog.claim_many([bad], owner=OTHER, lease_s=LEASE_S)


@pytest.mark.parametrize("lease_s", [0, -1, float("nan"), float("inf")])
def test_a_lease_needs_a_positive_length(catalog, lease_s):
    with pytest.raises(ValueError, match="positive number of seconds"):
        catalog.claim_many([A], owner=OTHER, lease_s=lease_s)


def test_a_claim_travels_as_json(catalog):
    claim = catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A]
    catalog.check(Claim.from_json(json.loads(json.dumps(claim.to_json()))))


def test_claims_outlive_the_catalog_that_made_them(catalog, catalog_url, tmp_path):
    claim = catalog.claim_many([A], owner=current_owner(), lease_s=LEASE_S)[A]
    catalog.close()
    with open_at(catalog_url, tmp_path) as again:
        again.check(claim)
        assert again.claim_many([A], owner=OTHER, lease_s=LEASE_S) == {}


# --- Progress and status ----------------------------------------------------------------------


def test_nothing_known_is_pending(catalog):
    found = catalog.status([A])[A]
    assert (found.state, found.done, found.updated_at, found.attempts) == (State.PENDING, 0, None, 0)


def test_progress_is_shown_while_the_lease_lives(catalog):
    claim = catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)[A]
    catalog.progress(A, done=3, total=30, detail="epoch 3 of 30", claim=claim)
    running = catalog.status([A])[A]
    assert (running.state, running.done, running.total) == (State.RUNNING, 3, 30)
    assert (running.detail, running.owner) == ("epoch 3 of 30", OTHER)
    let_leases_expire(catalog)
    assert catalog.status([A])[A].state is State.KILLED


def test_progress_cannot_declare_a_step_complete(catalog):
    with pytest.raises(ValueError, match="publishing"):
        catalog.progress(A, state=State.COMPLETE)


def test_a_record_deleted_behind_the_back_is_not_complete(catalog):
    put_adapter(catalog, "a")
    sql(catalog, "DELETE FROM adapters")
    gone = catalog.status([A])[A]
    assert (gone.state, gone.reason) == (State.PENDING, "its record is gone from the catalog")
    assert set(catalog.claim_many([A], owner=OTHER, lease_s=LEASE_S)) == {A}
