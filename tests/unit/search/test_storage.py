"""The storage of the studies: created once, whoever comes first; clear when it cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import sqlalchemy

import adapterlab.search.storage as storage_module
from adapterlab.errors import ConflictError, UnavailableError, UsageError
from adapterlab.search.storage import close_storage, database_lock, display_url, initialise, open_storage
from adapterlab.spec.search_space import Choices
from searches import open_search

WORKER = Path(__file__).with_name("trial_worker.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(storage_module.__file__).parents[2])}


def initialise_from_many_processes(url: str, locks: Path, processes: int) -> list[int]:
    started = [
        subprocess.Popen([sys.executable, WORKER, url, str(locks), "-", "0", "0"], env=ENVIRONMENT)
        for _ in range(processes)
    ]
    return [process.wait(timeout=120) for process in started]


def test_eight_processes_may_initialise_a_fresh_sqlite_file_at_once(tmp_path):
    url = f"sqlite:///{tmp_path}/new/studies.db"
    assert initialise_from_many_processes(url, tmp_path / "locks", 8) == [0] * 8
    close_storage(open_storage(url))


@pytest.mark.slow
@pytest.mark.postgres
def test_eight_processes_may_initialise_a_fresh_postgresql_database_at_once(postgres_url, tmp_path):
    assert initialise_from_many_processes(postgres_url, tmp_path, 8) == [0] * 8
    close_storage(open_storage(postgres_url))


def test_sqlite_readers_do_not_block_writers(sqlite_url):
    engine = sqlalchemy.create_engine(sqlite_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


def test_opening_what_was_never_initialised_says_what_to_run(tmp_path):
    with pytest.raises(UnavailableError, match="platform db upgrade"):
        open_storage(f"sqlite:///{tmp_path}/absent.db")
    assert not (tmp_path / "absent.db").exists()


def test_a_database_that_belongs_to_something_else_is_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/other.db"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('abc')")
    with pytest.raises(ConflictError, match="something else"):
        initialise(url, tmp_path)
    assert sqlalchemy.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_a_schema_newer_than_the_installed_optuna_is_refused(sqlite_url, tmp_path):
    engine = sqlalchemy.create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    engine.dispose()
    with pytest.raises(ConflictError, match="Upgrade Optuna"):
        initialise(sqlite_url, tmp_path)
    with pytest.raises(ConflictError, match="does not fit"):
        open_storage(sqlite_url)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db", "nonsense", "redis://host"]
)
def test_urls_that_processes_cannot_share_are_refused(url, tmp_path):
    with pytest.raises(UsageError):
        initialise(url, tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "studies.db").write_bytes(b"not a database at all, " * 100)
    with pytest.raises(UnavailableError, match="not a database"):
        initialise(f"sqlite:///{tmp_path}/studies.db", tmp_path)


def test_an_unreachable_server_is_reported_without_its_password(tmp_path):
    url = "postgresql+psycopg://me:canary{x}@127.0.0.1:9/db"
    with pytest.raises(UnavailableError) as caught:
        initialise(url, tmp_path)
    assert "canary" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)
    assert "canary" not in display_url(url)


def test_a_lock_held_for_too_long_is_an_error_and_not_a_hang(sqlite_url, monkeypatch):
    monkeypatch.setattr(storage_module, "LOCK_TIMEOUT_S", 0.1)
    with (
        database_lock(sqlite_url, "study a"),
        pytest.raises(UnavailableError, match="not free"),
        database_lock(sqlite_url, "study a"),
    ):
        pass
    with database_lock(sqlite_url, "study a"), database_lock(sqlite_url, "study b"):
        pass


@pytest.mark.postgres
def test_a_postgresql_lock_held_for_too_long_is_an_error_and_not_a_hang(postgres_url, monkeypatch):
    monkeypatch.setattr(storage_module, "LOCK_TIMEOUT_S", 0.2)
    with (
        database_lock(postgres_url, "study a"),
        pytest.raises(UnavailableError, match="not free"),
        database_lock(postgres_url, "study a"),
    ):
        pass
    with database_lock(postgres_url, "study a"):
        pass


@pytest.mark.postgres
def test_a_postgresql_lock_is_free_after_its_block_after_an_error_and_after_a_lost_connection(
    postgres_url, monkeypatch
):
    monkeypatch.setattr(storage_module, "LOCK_TIMEOUT_S", 2.0)
    other = sqlalchemy.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:

        def held() -> int:
            return connection.exec_driver_sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            ).scalar()

        with database_lock(postgres_url, "study a"):
            assert held() == 1
        assert held() == 0

        with pytest.raises(RuntimeError, match="inside"), database_lock(postgres_url, "study a"):
            raise RuntimeError("inside")
        deadline = time.monotonic() + 20  # the server notices a closed connection in its own time
        while held() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert held() == 0

        with database_lock(postgres_url, "study a"):
            pass
        monkeypatch.setattr(storage_module, "_TRUSTED_S", 0.0)
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with database_lock(postgres_url, "study a"):
            assert held() == 1
        assert held() == 0
    other.dispose()


@pytest.mark.postgres
def test_postgresql_studies_survive_a_server_that_dropped_their_connections(
    postgres_url, tmp_path, monkeypatch
):
    monkeypatch.setattr(storage_module, "_TRUSTED_S", 0.0)
    initialise(postgres_url, tmp_path)
    other = sqlalchemy.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with open_search(
        postgres_url, "sweep/rte", spaces={"lr": Choices(choices=(0.001, 0.01))}, trials=2
    ) as study:
        first = study.ask("worker 1")
        with other.connect() as connection:
            dropped = connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).all()
        assert dropped, "the study keeps a connection"
        study.tell_complete(first.number, 0.5)
        assert study.ask("worker 1") is not None
    other.dispose()


def test_the_dashboard_opens_the_studies(sqlite_url):
    with open_search(
        sqlite_url,
        "sweep/rte/scalearn",
        spaces={"lr": Choices(choices=(0.001, 0.01)), "dropout": 0.3},
        trials=2,
        attributes={"target": "glue/rte", "combiner": "scalearn"},
    ) as search:
        first, second = search.ask("w0"), search.ask("w0")
        first.report(0.4, 1)
        search.tell_complete(first.number, 0.5)
        search.tell_failed(second.number, "OutOfMemory: no room")
    command = shutil.which("optuna-dashboard", path=str(Path(sys.executable).parent))
    assert command is not None
    port = _free_port()
    dashboard = subprocess.Popen(
        [command, "--host", "127.0.0.1", "--port", str(port), sqlite_url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        (study,) = _get(f"{base}/api/studies")["study_summaries"]
        assert study["study_name"] == "sweep/rte/scalearn"
        noted = {each["key"]: each["value"] for each in study["user_attrs"]}
        assert noted["target"] == "glue/rte"
        trials = _get(f"{base}/api/studies/{study['study_id']}?after=0")["trials"]
        assert [trial["state"] for trial in trials] == ["Complete", "Fail"]
        assert {each["name"] for each in trials[0]["params"]} == {"lr", "dropout"}
        reason = {each["key"]: each["value"] for each in trials[1]["user_attrs"]}["reason"]
        assert "no room" in reason
    finally:
        dashboard.terminate()
        dashboard.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _get(url: str) -> dict:
    for _ in range(150):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (loopback)
                return json.load(answer)
        except ConnectionError:
            time.sleep(0.2)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
            time.sleep(0.2)
    raise AssertionError(f"no answer from {url}")
