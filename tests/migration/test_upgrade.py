"""Migrations: from nothing and from every frozen revision to head, back by one, and never by halves."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from adapterlab.catalog import migrate
from adapterlab.catalog.database import POSTGRES_SCHEMA, Database
from adapterlab.catalog.records import SweepStep
from adapterlab.catalog.schema import HEAD_REVISION, VERSION_TABLE
from adapterlab.catalog.store import open_catalog, open_existing
from adapterlab.catalog.tables import Base
from adapterlab.errors import ConflictError, NotFoundError
from adapterlab.records import State, StepKind
from catalogs import BOTH_DATABASES, MADE_WITH, key, open_at, put_adapter, sql
from process_output import finish

FROZEN = Path(__file__).with_name("frozen")
BEFORE_PROVENANCE = ("a41c7e90b5d2",)
on_both = pytest.mark.parametrize("database_url", BOTH_DATABASES, indirect=True)


def tables(database):
    """Return the names of the tables that are there."""
    with database.reading() as connection:
        schema = None if database.is_sqlite else POSTGRES_SCHEMA
        return set(inspect(connection).get_table_names(schema=schema))


# --- The shape --------------------------------------------------------------------------------


@on_both
def test_models_and_migrations_agree(database_url, tmp_path):
    with open_at(database_url, tmp_path) as catalog, catalog.database.engine.connect() as connection:
        if not catalog.database.is_sqlite:
            connection.execute(text(f"SET search_path TO {POSTGRES_SCHEMA}"))
        context = MigrationContext.configure(
            connection.execution_options(schema_translate_map=None),
            opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True},
        )
        assert compare_metadata(context, Base.metadata) == []


def test_the_head_in_the_code_is_the_head_of_the_files():
    config = Config()
    config.set_main_option("script_location", str(migrate.migrations_folder()))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD_REVISION]
    assert migrate.known_revisions() == tuple(one.revision for one in reversed([*scripts.walk_revisions()]))


def test_every_revision_has_a_frozen_database():
    assert {path.stem for path in FROZEN.glob("*.sql")} == set(migrate.known_revisions())


# --- Up and down ------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", migrate.known_revisions())
def test_a_frozen_database_opens_and_keeps_what_it_held(tmp_path, revision):
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.executescript((FROZEN / f"{revision}.sql").read_text())
    connection.close()
    with open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path) as catalog:
        assert migrate.schema_status(catalog.database).at_head
        one = catalog.get_adapter(key("a"))
        assert (one.task, one.metric_value, one.metrics["f1"]) == ("glue/rte", 0.7, 0.65)
        assert [entry.key for entry in catalog.get_study(key("s")).pool] == [key("b"), key("a")]
        assert catalog.get_transfer(key("t")).test["accuracy"] == 0.75
        made_with = None if revision in BEFORE_PROVENANCE else MADE_WITH
        assert (one.provenance, catalog.get_transfer(key("t")).provenance) == (made_with, made_with)
        assert len(catalog.coefficients(key("t"))) == 4
        assert len(catalog.lineage(key("t")).parents[0].parents) == 3
        assert catalog.status([key("failed")])[key("failed")].reason == "loss is NaN"
        assert catalog.status([key("held")])[key("held")].state is State.KILLED
        assert (catalog.sweep("glue").state, len(catalog.sweep("glue").steps)) == (State.COMPLETE, 2)
        assert catalog.run_id(key("a")) == "run-of-a"


@on_both
def test_down_by_one_and_up_again(database_url, tmp_path):
    database = Database(database_url)
    assert migrate.upgrade(database, tmp_path / "locks").current is None
    at_head = tables(database)
    assert at_head == {*Base.metadata.tables, VERSION_TABLE}
    migrate.downgrade(database, tmp_path / "locks")
    revisions = migrate.known_revisions()
    assert migrate.schema_status(database).current == (revisions[-2] if len(revisions) > 1 else None)
    migrate.upgrade(database, tmp_path / "locks")
    assert tables(database) == at_head
    assert migrate.upgrade(database, tmp_path / "locks").at_head
    database.close()


@on_both
def test_before_steps_had_an_identity_their_titles_tied_them(database_url, tmp_path):
    """Going down writes what the code of then reads; going up again, reports read it as of an old sweep."""
    source, study = "source/glue/rte/seed=0", "study/superglue/cb/scalearn"
    with open_at(database_url, tmp_path) as catalog:
        steps = (
            SweepStep(0, key("a"), StepKind.SOURCE, "source · rte · seed 0", id=source),
            SweepStep(1, key("s"), StepKind.STUDY, "cb · scalearn", needs=(source,), id=study),
        )
        catalog.open_sweep(key("sweep"), "glue", "{}", steps)
        migrate.downgrade(catalog.database, tmp_path / "locks", "a41c7e90b5d2")
        migrate.upgrade(catalog.database, tmp_path / "locks")
        assert [(step.id, step.needs) for step in catalog.sweep("glue").steps] == [
            (None, ()),
            (None, ("source · rte · seed 0",)),
        ]


# --- Refusals ---------------------------------------------------------------------------------


@on_both
def test_a_database_newer_than_the_code_is_refused_and_untouched(database_url, tmp_path):
    with open_at(database_url, tmp_path) as catalog:
        put_adapter(catalog, "a")
        sql(catalog, f"UPDATE {VERSION_TABLE} SET version_num = 'ffffffffffff'")
        for attempt in (
            lambda: open_at(database_url, tmp_path),
            lambda: open_existing(database_url, str(tmp_path / "blobs"), locks=tmp_path / "locks"),
            lambda: migrate.upgrade(catalog.database, tmp_path / "locks"),
            lambda: migrate.downgrade(catalog.database, tmp_path / "locks"),
        ):
            with pytest.raises(ConflictError, match="newer than this version") as error:
                attempt()
            assert "Upgrade adapterlab" in error.value.remedy
        assert len(catalog.adapters()) == 1


@on_both
def test_without_migrate_nothing_is_created(database_url, tmp_path):
    with pytest.raises(ConflictError, match="has no catalog yet") as error:
        open_catalog(database_url, str(tmp_path / "blobs"), locks=tmp_path / "locks", migrate=False)
    assert "platform db upgrade" in error.value.remedy
    assert open_existing(database_url, str(tmp_path / "blobs"), locks=tmp_path / "locks") is None
    assert not (tmp_path / "catalog.db").exists()
    assert not (tmp_path / "locks").exists()


def test_a_file_of_another_program_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("CREATE TABLE metrics (run_uuid TEXT)")
    connection.close()
    with pytest.raises(ConflictError, match="tables of another program: metrics"):
        open_at(f"sqlite:///{tmp_path / 'catalog.db'}", tmp_path)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", BOTH_DATABASES[1:], indirect=True)
def test_a_postgres_database_is_shared_with_programs_that_use_the_same_names(database_url, tmp_path):
    database = Database(database_url)
    with database.engine.begin() as connection:
        for table in ("public.metrics", "public.studies", "public.alembic_version"):
            connection.exec_driver_sql(f"CREATE TABLE {table} (theirs int)")
    database.close()
    with open_at(database_url, tmp_path) as catalog:
        put_adapter(catalog, "a")
        assert catalog.adapters(metric="f1") != []


@pytest.mark.parametrize("revision", ["head", "base"])
def test_a_migration_that_fails_leaves_the_old_schema(tmp_path, monkeypatch, revision):
    database = Database(f"sqlite:///{tmp_path / 'catalog.db'}")
    if revision == "base":
        migrate.upgrade(database, tmp_path / "locks")
    before = tables(database) if revision == "base" else set()
    run = migrate._run

    def fail(connection, direction, revision):
        run(connection, direction, revision)
        raise NotFoundError("the power went off")

    monkeypatch.setattr(migrate, "_run", fail)
    with pytest.raises(NotFoundError):
        (migrate.upgrade if revision == "head" else migrate.downgrade)(database, tmp_path / "locks")
    assert tables(database) == before
    database.close()


# --- Several at once --------------------------------------------------------------------------

MIGRATE = """
import sys
from pathlib import Path
from adapterlab.catalog import migrate
from adapterlab.catalog.database import Database
url, locks, mode = sys.argv[1:]
run = migrate._run
if mode == "slow":
    def slow(connection, direction, revision):
        run(connection, direction, revision)
        print("migrated", flush=True)
        sys.stdin.readline()
    migrate._run = slow
print("ready", flush=True)
sys.stdin.readline()
before = migrate.upgrade(Database(url), Path(locks))
print(before.current, flush=True)
"""


def migrator(url, locks, mode):
    """Start a process that upgrades when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", MIGRATE, url, str(locks), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    """Let a process go on."""
    process.stdin.write("\n")
    process.stdin.flush()


@on_both
@pytest.mark.parametrize("shared_locks", [True, False], ids=["one-home", "two-homes"])
def test_of_two_migrators_one_works_and_the_other_waits(database_url, tmp_path, shared_locks):
    first = migrator(database_url, tmp_path / "locks", "slow")
    second = migrator(database_url, tmp_path / ("locks" if shared_locks else "other"), "plain")
    go(first)
    assert first.stdout.readline() == "migrated\n"
    go(second)
    time.sleep(0.5)
    assert second.poll() is None
    go(first)
    assert finish(first, 60)[0] == "None\n"
    assert finish(second, 60)[0] == f"{HEAD_REVISION}\n"


@on_both
def test_a_migrator_killed_in_the_middle_leaves_nothing_and_no_lock(database_url, tmp_path):
    victim = migrator(database_url, tmp_path / "locks", "slow")
    go(victim)
    assert victim.stdout.readline() == "migrated\n"
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert migrate.schema_status(Database(database_url)).current is None
    with open_at(database_url, tmp_path) as catalog:
        put_adapter(catalog, "a")


@on_both
def test_states_the_code_before_did_not_know_become_what_it_called_them(database_url, tmp_path):
    with open_at(database_url, tmp_path) as catalog:
        for state in (State.CANCELLED, State.REFUSED, State.STOPPED, State.FAILED):
            catalog.open_sweep(key(state), state, "{}", [])
            catalog.set_sweep_state(key(state), state, "because")
        claims = catalog.claim_many([key("step")], owner="someone", lease_s=60)
        catalog.release(claims.values(), state=State.CANCELLED)
        migrate.downgrade(catalog.database, tmp_path / "locks", "f2c81d47a9e0")
        migrate.upgrade(catalog.database, tmp_path / "locks")
        killed = (State.KILLED, None)
        found = {one.name: (one.state, one.reason) for one in catalog.sweeps()}
        expected = dict.fromkeys(("cancelled", "refused", "stopped"), killed)
        assert found == {**expected, "failed": (State.FAILED, None)}
        assert catalog.status([key("step")])[key("step")].state is State.KILLED
