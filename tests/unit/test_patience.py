"""What passes is waited for, what does not is said at once."""

from __future__ import annotations

import sqlite3
import time

import pytest
from sqlalchemy.exc import OperationalError

from adapterlab.errors import AwayError, UnavailableError
from adapterlab.patience import NO_PATIENCE, Patience, is_away

psycopg = pytest.importorskip("psycopg")


def raised(original: Exception, *, invalidated: bool = False) -> OperationalError:
    """Return an error of the driver as SQLAlchemy raises it."""
    return OperationalError("SELECT 1", {}, original, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    "original",
    [
        psycopg.OperationalError("connection failed: connection to server on socket failed: No such file"),
        psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"),
        psycopg.OperationalError("connection failed: FATAL:  the database system is shutting down"),
        psycopg.OperationalError("connection failed: FATAL:  sorry, too many clients already"),
        psycopg.OperationalError("consuming input failed: server closed the connection unexpectedly"),
        psycopg.errors.AdminShutdown("terminating connection due to administrator command"),
        psycopg.errors.CrashShutdown("terminating connection because of crash of another server process"),
    ],
)
def test_a_restart_passes(original):
    assert is_away(raised(original))
    assert is_away(original)


@pytest.mark.parametrize(
    "original",
    [
        psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "a"'),
        psycopg.OperationalError('connection failed: FATAL:  database "x" does not exist'),
        psycopg.errors.DiskFull("could not extend file"),
        psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.OperationalError("database or disk is full"),
        ValueError("something else"),
    ],
)
def test_other_faults_do_not(original):
    assert not is_away(original)
    assert not is_away(raised(original))


def test_a_connection_that_broke_passes():
    assert is_away(raised(psycopg.InterfaceError("the connection is lost"), invalidated=True))


def test_it_is_tried_again_until_it_succeeds():
    tries = []

    def work() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise AwayError("away")
        return len(tries)

    assert Patience(10).retry(work) == 3


def test_without_patience_it_is_tried_once():
    tries = []

    def work() -> None:
        tries.append(1)
        raise AwayError("away")

    with pytest.raises(AwayError):
        NO_PATIENCE.retry(work)
    assert len(tries) == 1


def test_patience_is_renewed_by_success():
    patience, away = Patience(0.3), True

    def work() -> str:
        if away:
            raise AwayError("away")
        return "here"

    with pytest.raises(AwayError):
        patience.retry(work)
    away = False
    assert patience.retry(work) == "here"
    away = True
    begun = time.monotonic()
    with pytest.raises(AwayError):
        patience.retry(work)
    assert time.monotonic() - begun >= 0.3


def test_other_errors_are_not_waited_out():
    def work() -> None:
        raise UnavailableError("the disk is full")

    begun = time.monotonic()
    with pytest.raises(UnavailableError, match="disk"):
        Patience(10).retry(work)
    assert time.monotonic() - begun < 1
