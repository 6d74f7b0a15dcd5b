"""A PostgreSQL that restarts is waited for by whoever is patient, and what was committed counts once."""

from __future__ import annotations

import threading
import time

import pytest

from adapterlab.catalog.store import Catalog, current_owner
from adapterlab.errors import AwayError, CancelledError, ClaimLostError
from adapterlab.patience import Patience
from adapterlab.records import State
from catalogs import adapter, key, open_at, put_adapter
from own_postgres import OwnPostgres, server

__all__ = ["server"]

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def hasty(server, tmp_path_factory):
    with open_at(server.database("away"), tmp_path_factory.mktemp("away")) as opened:
        yield opened


@pytest.fixture
def patient(hasty) -> Catalog:
    return hasty.with_patience(Patience(30))


@pytest.fixture
def away(server: OwnPostgres):
    """The server is away; it comes back within seconds."""
    server.stop()
    back = threading.Timer(2.0, server.start)
    back.start()
    yield
    back.join()


def test_reads_and_writes_wait_for_a_server_that_restarts(patient, away):
    (claim,) = patient.claim_many([key("restart")], owner=current_owner(), lease_s=60).values()
    patient.progress(claim.key, done=1, claim=claim)
    assert patient.status([claim.key])[claim.key].done == 1


def test_a_look_without_patience_fails_within_seconds(hasty, away):
    begun = time.monotonic()
    with pytest.raises(AwayError, match="cannot use the catalog"):
        hasty.sweeps()
    assert time.monotonic() - begun < 5


def test_patience_ends_once_and_for_all_until_the_server_is_back(hasty, away):
    told = []
    patient = hasty.with_patience(Patience(0.5, tell=told.append))
    with pytest.raises(AwayError):
        patient.sweeps()
    begun = time.monotonic()
    with pytest.raises(AwayError):
        patient.sweeps()
    assert time.monotonic() - begun < 0.4
    assert len(told) == 1


def test_waiting_ends_when_whoever_waits_is_stopped(hasty, away):
    def stopped() -> None:
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        hasty.with_patience(Patience(30, check=stopped)).sweeps()


@pytest.fixture
def lost_answer(hasty, monkeypatch):
    """The next COMMIT is done, but its connection breaks before the server says so."""
    dialect = hasty.database.engine.dialect
    commit = dialect.do_commit
    lost = []

    def do_commit(connection) -> None:
        commit(connection)
        if not lost:
            lost.append(connection)
            connection.dbapi_connection.close()
            raise dialect.loaded_dbapi.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(dialect, "do_commit", do_commit)
    return lost


def test_a_claim_whose_answer_was_lost_is_still_ones_own(patient, lost_answer):
    won = patient.claim_many([key("claimed")], owner=current_owner(), lease_s=60)
    assert lost_answer
    assert set(won) == {key("claimed")}
    patient.check(won[key("claimed")])
    assert patient.claim_many([key("claimed")], owner=current_owner(), lease_s=60) == {}


def test_a_failure_whose_answer_was_lost_is_told_once(patient, hasty, lost_answer):
    lost_answer.append(None)
    (claim,) = patient.claim_many([key("failed")], owner=current_owner(), lease_s=60).values()
    lost_answer.clear()
    patient.fail(claim, "diverged")
    assert lost_answer
    assert patient.status([claim.key])[claim.key].state is State.FAILED
    with pytest.raises(ClaimLostError):
        patient.fail(claim, "again")


def test_a_result_whose_answer_was_lost_is_published_once(patient, lost_answer):
    lost_answer.append(None)
    (claim,) = patient.claim_many([key("published")], owner=current_owner(), lease_s=60).values()
    lost_answer.clear()
    record = patient.publish_adapter(adapter("published"), b"weights", claim)
    assert lost_answer
    assert record == patient.find_adapter(claim.key)
    assert put_adapter(patient, "another").key != record.key
