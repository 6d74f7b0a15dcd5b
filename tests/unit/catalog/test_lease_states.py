"""The lease state machine against a model of a few lines, over random histories."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from adapterlab.errors import ClaimLostError
from adapterlab.records import State
from catalogs import adapter, key, let_leases_expire, open_at

NAMES = ("a", "b", "c")
OWNERS = tuple(
    json.dumps({"host": name, "boot_id": name, "pid_ns": name, "pid": 1, "started": 1})
    for name in ("one", "two", "three")
)


class Leases(RuleBasedStateMachine):
    """The model: for each step its last token, who holds it (``None``: nobody), live or expired, done."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.catalog = open_at(f"sqlite:///{self.folder.name}/catalog.db", Path(self.folder.name))
        self.token = dict.fromkeys(NAMES, 0)
        self.holder = dict.fromkeys(NAMES)
        self.live = dict.fromkeys(NAMES, False)
        self.published = dict.fromkeys(NAMES)
        self.settled = dict.fromkeys(NAMES, State.PENDING)

    def teardown(self):
        self.catalog.close()
        self.folder.cleanup()

    claims = Bundle("claims")

    @initialize()
    def start(self):
        assert all(one.state is State.PENDING for one in self.statuses().values())

    @rule(target=claims, wanted=st.sets(st.sampled_from(NAMES), min_size=1), owner=st.sampled_from(OWNERS))
    def claim(self, wanted, owner):
        expected = {
            name
            for name in wanted
            if self.published[name] is None and not (self.holder[name] and self.live[name])
        }
        won = self.catalog.claim_many(map(key, wanted), owner=owner, lease_s=1000)
        assert set(won) == {key(name) for name in expected}
        for name in expected:
            self.token[name] += 1
            assert won[key(name)].token == self.token[name]
            self.holder[name], self.live[name] = owner, True
        return multiple(*won.values())

    @rule()
    def time_passes(self):
        let_leases_expire(self.catalog)
        self.live = dict.fromkeys(NAMES, False)

    @rule(held=st.lists(claims, max_size=3))
    def renew(self, held):
        # Two claims of one step cannot both be current; give each step's own verdict.
        held = list({one.key: one for one in held}.values())
        lost = self.catalog.renew(held, 1000)
        assert lost == {one.key for one in held if not self.is_current(one)}
        for one in held:
            if self.is_current(one):
                self.live[self.name(one)] = True

    @rule(claim=claims)
    def check(self, claim):
        if self.is_current(claim):
            self.catalog.check(claim)
        else:
            self.refused(lambda: self.catalog.check(claim))

    @rule(claim=claims, state=st.sampled_from([State.PENDING, State.KILLED]))
    def release(self, claim, state):
        self.catalog.release([claim], state=state)
        if self.is_current(claim):
            self.settle(claim, state)

    @rule(claim=claims)
    def fail(self, claim):
        if self.is_current(claim):
            self.catalog.fail(claim, "it went wrong")
            self.settle(claim, State.FAILED)
        else:
            self.refused(lambda: self.catalog.fail(claim, "it went wrong"))

    @rule(claim=claims, done=st.integers(0, 9))
    def progress(self, claim, done):
        if self.is_current(claim):
            self.catalog.progress(claim.key, done=done, claim=claim)
            assert self.catalog.status([claim.key])[claim.key].done == done
        else:
            self.refused(lambda: self.catalog.progress(claim.key, done=done, claim=claim))

    @rule(claim=consumes(claims))
    def publish(self, claim):
        name = self.name(claim)
        record, weights = adapter(name, metric_value=float(claim.token)), f"by {claim.token}".encode()
        if self.is_current(claim) or self.published[name] == claim.token:
            stored = self.catalog.publish_adapter(record, weights, claim)
            assert stored.metric_value == claim.token
            if self.published[name] is None:
                self.published[name] = claim.token
                self.settle(claim, State.COMPLETE)
            assert self.catalog.publish_adapter(record, weights, claim) == stored
        else:
            self.refused(lambda: self.catalog.publish_adapter(record, weights, claim))

    @invariant()
    def the_catalog_shows_the_model(self):
        found = self.statuses()
        for name in NAMES:
            stored = self.catalog.find_adapter(key(name))
            assert (stored is None) == (self.published[name] is None)
            assert stored is None or stored.metric_value == self.published[name]
            held = self.holder[name] is not None
            expected = self.settled[name]
            if held:
                expected = State.RUNNING if self.live[name] else State.KILLED
            assert found[key(name)].state is expected
            assert found[key(name)].attempts == self.token[name]
            owner = self.catalog.holder(key(name))
            assert (owner.owner if owner else None) == (
                self.holder[name] if held and self.live[name] else None
            )

    # --- The model's own parts ----------------------------------------------------------------

    def name(self, claim):
        return next(name for name in NAMES if key(name) == claim.key)

    def is_current(self, claim):
        name = self.name(claim)
        return self.holder[name] is not None and self.token[name] == claim.token

    def settle(self, claim, state):
        name = self.name(claim)
        self.holder[name], self.live[name], self.settled[name] = None, False, state

    def statuses(self):
        return self.catalog.status(map(key, NAMES))

    def refused(self, act):
        before = self.statuses()
        try:
            act()
        except ClaimLostError:
            assert self.statuses() == before
        else:
            raise AssertionError("a claim that is lost was accepted")


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
