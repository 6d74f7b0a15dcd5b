"""Reaching the database: URLs, secrets, and what is said when it fails."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest

from adapterlab.catalog.database import BUSY_TIMEOUT_S, Database, parse_url
from adapterlab.catalog.store import current_owner, open_catalog
from adapterlab.errors import AwayError, UnavailableError, UsageError
from catalogs import BOTH_DATABASES, LEASE_S, key, open_at, put_adapter

SECRET = "canary-s3cret"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://u@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+aiosqlite:///x",
        "postgresql+psycopg2://h/d",
    ],
)
def test_an_unsupported_url_names_the_supported_ones(url):
    with pytest.raises(UsageError) as error:
        parse_url(url)
    assert "sqlite:///<file>" in error.value.remedy


@pytest.mark.parametrize(
    "url", ["postgresql://h:port/d", "postgresql://u:p@[::1/d", "sqlite:///a.db?mode=ro"], ids=str
)
def test_a_port_that_is_none_a_host_cut_short_and_options_are_usage_errors(url):
    with pytest.raises(UsageError) as error:
        parse_url(url)
    assert "[::1" not in str(error.value)


def test_a_malformed_url_is_not_repeated_because_it_may_hold_a_password():
    with pytest.raises(UsageError) as error:
        parse_url(f"postgresql:/user:{SECRET}@host")
    assert SECRET not in repr(error.value.to_json())


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h/d", "postgresql+psycopg://u@h/d"])
def test_every_spelling_of_postgresql_uses_psycopg(url):
    assert parse_url(url).drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/db",
        f"postgresql+psycopg://user@127.0.0.1:1/db?password={SECRET}",
        f"postgresql+psycopg://user:{SECRET}@no-such-host.invalid/db?connect_timeout=2",
    ],
)
def test_an_unreachable_server_is_named_without_its_password(url, tmp_path):
    pytest.importorskip("psycopg")
    with pytest.raises(UnavailableError) as error:
        open_at(url, tmp_path)
    assert "user" in error.value.message
    assert "Check that the server runs" in error.value.remedy
    assert SECRET not in repr(error.value.to_json())


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError) as error:
        open_catalog(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}", "blobs", locks=tmp_path / "locks")
    assert "ADAPTERLAB_HOME" in error.value.remedy


def test_a_file_that_is_no_database_is_unavailable_and_untouched(tmp_path):
    (tmp_path / "catalog.db").write_text("these are my notes, please keep them " * 100)
    with pytest.raises(UnavailableError, match="not a database"):
        open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path)
    assert (tmp_path / "catalog.db").read_text().startswith("these are my notes")


def test_the_sqlite_file_is_readable_by_its_owner_only(tmp_path):
    open_at(f"sqlite:///{tmp_path / 'deep' / 'er' / 'catalog.db'}", tmp_path).close()
    assert (tmp_path / "deep" / "er" / "catalog.db").stat().st_mode & 0o777 == 0o600


def test_sqlite_is_in_wal_mode_with_foreign_keys(tmp_path):
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    with open_at(url, tmp_path) as catalog, catalog.database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": BUSY_TIMEOUT_S * 1000}


def test_a_writer_waits_for_another_one(tmp_path):
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, lambda: other.execute("COMMIT"))
        timer.start()
        assert catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S)
        timer.join()
        other.close()


def test_a_lock_that_is_never_given_back_is_reported_and_reading_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("adapterlab.catalog.database.BUSY_TIMEOUT_S", 0.2)
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        put_adapter(catalog, "a")
        other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(AwayError, match="another process held the database") as error:
            catalog.claim_many([key("b")], owner=current_owner(), lease_s=LEASE_S)
        assert error.value.exit_code == 5
        assert len(catalog.adapters()) == 1
        other.close()


@pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)
def test_a_forked_child_gets_connections_of_its_own(catalog):
    catalog.status([key("a")])  # a connection now waits in the pool
    child = os.fork()
    if child == 0:
        won = catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S)
        os._exit(0 if won else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert catalog.status([key("a")])[key("a")].attempts == 1


@pytest.mark.postgres
@pytest.mark.parametrize("catalog_url", BOTH_DATABASES[1:], indirect=True)
def test_connections_that_the_server_closed_are_replaced(catalog):
    catalog.status([key("a")])
    with catalog.database.engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S)


@pytest.mark.postgres
@pytest.mark.parametrize("catalog_url", BOTH_DATABASES[1:], indirect=True)
def test_a_deadlock_is_tried_again(catalog):
    """Two transactions that lock two rows in opposite order both succeed."""
    catalog.claim_many([key("a"), key("b")], owner="x", lease_s=LEASE_S)
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    def lock(first: str, second: str) -> None:
        def work(connection):
            statement = "UPDATE adapterlab.claims SET token = token + 1 WHERE step_key = '{}'"
            connection.exec_driver_sql(statement.format(key(first)))
            tries.append(first)
            if len(tries) <= 2:
                both_hold_one.wait(timeout=20)
            connection.exec_driver_sql(statement.format(key(second)))

        catalog.database.write(work)

    other = threading.Thread(target=lock, args=("b", "a"))
    other.start()
    lock("a", "b")
    other.join()
    assert len(tries) > 2
    assert {one.attempts for one in catalog.status([key("a"), key("b")]).values()} == {3}


def test_the_password_never_appears_in_a_name():
    database = Database(f"postgresql+psycopg://me:{SECRET}@host/db?sslpassword={SECRET}")
    assert SECRET not in database.name
    assert "me" in database.name
