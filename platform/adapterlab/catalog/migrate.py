"""Create and upgrade the schema: once, under a lock, whole or not at all.

Alembic is imported only when there is something to do: an opening that finds the schema at
``HEAD_REVISION`` costs one query. Both databases change their schema inside a transaction, so a
migration that is killed leaves the old schema.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from adapterlab.catalog.database import POSTGRES_SCHEMA, Database, read_version
from adapterlab.catalog.schema import HEAD_REVISION, VERSION_TABLE
from adapterlab.catalog.tables import Base
from adapterlab.errors import AdapterlabError, ConflictError, UnavailableError
from adapterlab.provenance import VERSION

LOCK_TIMEOUT_S = 120.0
"""How long one migrator waits for another."""

NEWER_REMEDY = "Upgrade adapterlab on this machine, or use another catalog by setting ADAPTERLAB_CATALOG"
"""What to do about a catalog that a newer version of the code has upgraded."""

_ADVISORY_LOCK = int.from_bytes(hashlib.sha256(b"adapterlab.catalog").digest()[:8], "big", signed=True)
_REVISION_FILE = re.compile(r"\d{8}_([0-9a-f]+)_\w+\.py")


@dataclass(frozen=True)
class SchemaStatus:
    """Where a database's schema stands."""

    database: str
    """URL without password."""
    current: str | None
    """Revision it is at; ``None`` when there is no catalog yet."""
    head: str
    """Revision this version of the code needs."""

    @property
    def at_head(self) -> bool:
        """Whether nothing is to do."""
        return self.current == self.head

    @property
    def newer(self) -> bool:
        """Whether a newer version of the code has upgraded it."""
        return self.current is not None and self.current not in known_revisions()

    @property
    def comparison(self) -> str:
        """How a newer schema compares with this code, for whoever is refused."""
        return (
            f"at revision {self.current}, newer than this version of adapterlab ({VERSION}), "
            f"which knows revisions up to {self.head}"
        )


def migrations_folder() -> Path:
    """Return the folder with ``env.py`` and ``versions``: inside the wheel, or at a checkout's top.

    Raises:
        AdapterlabError: Neither is there; the installation is broken.
    """
    here = Path(__file__).resolve()
    for folder in (here.with_name("_migrations"), here.parents[3] / "alembic"):
        if (folder / "env.py").is_file():
            return folder
    raise AdapterlabError(f"no database migrations beside {here.parent}", remedy="Install adapterlab again.")


def known_revisions() -> tuple[str, ...]:
    """Return the revisions this code knows, oldest first."""
    names = sorted(path.name for path in (migrations_folder() / "versions").glob("*.py"))
    return tuple(match[1] for name in names if (match := _REVISION_FILE.fullmatch(name)))


def schema_status(database: Database) -> SchemaStatus:
    """Return where the schema stands, without changing anything.

    Raises:
        UnavailableError: The database cannot be reached.
    """
    return SchemaStatus(database.name, read_version(database, VERSION_TABLE), HEAD_REVISION)


def ensure_current(database: Database, locks: Path, *, migrate: bool) -> None:
    """Make sure that the schema is the one this code knows.

    Args:
        database: The catalog's database.
        locks: Folder of this machine's lock files.
        migrate: Create or upgrade it if needed; ``False`` refuses instead.

    Raises:
        ConflictError: It is newer than the code, or old and ``migrate`` is off.
        UnavailableError: The database cannot be reached.
    """
    status = schema_status(database)
    if not status.at_head:
        _bring_to_head(database, locks, status, migrate=migrate)
    database.check_schema = partial(_check_unchanged, database)


def _bring_to_head(database: Database, locks: Path, status: SchemaStatus, *, migrate: bool) -> None:
    _refuse_newer(status)
    if not migrate:
        found = "has no catalog yet" if status.current is None else f"is at revision {status.current}"
        raise ConflictError(
            f"{database.name} {found}; this version needs {status.head}",
            remedy="Run `platform db upgrade`.",
        )
    database.patience.retry(lambda: upgrade(database, locks))  # in one transaction, and looked at again


def _check_unchanged(database: Database, connection: Connection) -> None:
    """Refuse a schema that another version of the code has changed under this process.

    On PostgreSQL a migration waits until this transaction has ended, and the other way round; on SQLite the
    write lock does that.

    Raises:
        ConflictError: The schema is not this code's any more.
    """
    prefix = ""
    if not database.is_sqlite:
        prefix = f"{POSTGRES_SCHEMA}."
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock_shared({_ADVISORY_LOCK})")
    found = connection.exec_driver_sql(f"SELECT version_num FROM {prefix}{VERSION_TABLE}").scalar()  # noqa: S608
    status = SchemaStatus(database.name, None if found is None else str(found), HEAD_REVISION)
    if status.at_head:
        return
    _refuse_newer(status)
    raise ConflictError(
        f"{database.name} was taken back to revision {status.current} while this process ran; it needs {status.head}",
        remedy="Run `platform db upgrade`, then the command again.",
    )


def upgrade(database: Database, locks: Path) -> SchemaStatus:
    """Bring the schema to head; return where it stood before.

    Raises:
        ConflictError: The schema is newer than the code, belongs to somebody else, or another
            migrator holds the lock for too long.
        UnavailableError: The database cannot be reached.
    """
    _create_file(database)
    with _lock(database, locks), _transaction(database) as connection:
        # Looked at again: whoever held the lock before may have done the work.
        before = SchemaStatus(database.name, _current(connection), HEAD_REVISION)
        if before.at_head:
            return before
        _refuse_newer(before)
        if before.current is None:
            _refuse_foreign(connection, database)
        _run(connection, "upgrade", "head")
    return before


def downgrade(database: Database, locks: Path, revision: str = "-1") -> SchemaStatus:
    """Take the schema back to a revision (default: one step); return where it stood before.

    What the later revisions added is lost.
    """
    with _lock(database, locks), _transaction(database) as connection:
        before = SchemaStatus(database.name, _current(connection), HEAD_REVISION)
        _refuse_newer(before)
        _run(connection, "downgrade", revision)
    return before


def _refuse_newer(status: SchemaStatus) -> None:
    if status.newer:
        raise ConflictError(
            f"{status.database} is {status.comparison}", remedy=f"{NEWER_REMEDY}; nothing was written."
        )


def _refuse_foreign(connection: Connection, database: Database) -> None:
    schema_name = None if database.is_sqlite else POSTGRES_SCHEMA
    taken = set(Base.metadata.tables) & set(inspect(connection).get_table_names(schema=schema_name))
    if taken:
        raise ConflictError(
            f"{database.name} already holds tables of another program: {', '.join(sorted(taken))}",
            remedy="Give the catalog its own database file.",
        )


def _create_file(database: Database) -> None:
    """Create the SQLite file readable by its owner only; run names and paths are nobody else's."""
    if database.file is None or database.file.exists():
        return
    try:
        database.file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(database.file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise UnavailableError(
            f"cannot create the catalog {database.file}: {error.strerror or error}",
            remedy="Set ADAPTERLAB_HOME to a folder you may write to.",
        ) from error


@contextmanager
def _lock(database: Database, locks: Path) -> Iterator[None]:
    """Hold this machine's lock for a SQLite file; PostgreSQL has its own, see ``_transaction``."""
    if database.file is None:
        yield
        return
    from filelock import FileLock, Timeout

    name = hashlib.sha256(str(database.file.resolve()).encode()).hexdigest()[:16]
    try:
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"catalog-{name}.lock", timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise ConflictError(
            f"another process has been upgrading {database.name} for {LOCK_TIMEOUT_S:.0f} s",
            remedy="Wait for it, or end it, and try again.",
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"cannot lock the catalog in {locks}: {error.strerror or error}",
            remedy="Set ADAPTERLAB_HOME to a folder you may write to.",
        ) from error


@contextmanager
def _transaction(database: Database) -> Iterator[Connection]:
    """Give the one transaction of a migration; committed at the end, else rolled back."""
    with database.readable_errors(), database.engine.connect() as opened:
        connection = opened
        if database.is_sqlite:
            # WAL is a property of the file and is set here only: switching needs everybody else out.
            # Rebuilding a table drops the old one, which foreign keys would take as deleted rows.
            _pragmas(opened, "journal_mode = WAL", "foreign_keys = OFF")
            connection = opened.execution_options(adapterlab_begin="BEGIN IMMEDIATE")
        try:
            with connection.begin():
                if not database.is_sqlite:
                    _prepare_postgres(connection)
                yield connection
        finally:
            if database.is_sqlite:
                _pragmas(opened, "foreign_keys = ON")


def _pragmas(connection: Connection, *pragmas: str) -> None:
    # Straight to the driver: inside a transaction these have no effect.
    driver: Any = connection.connection.driver_connection
    for pragma in pragmas:
        driver.execute(f"PRAGMA {pragma}")


def _prepare_postgres(connection: Connection) -> None:
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S:.0f}s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA}"))
    connection.execute(text(f"SET LOCAL search_path TO {POSTGRES_SCHEMA}"))


def _current(connection: Connection) -> str | None:
    if VERSION_TABLE not in inspect(connection).get_table_names():
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return None if found is None else str(found)


def _run(connection: Connection, direction: str, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    getattr(command, direction)(config, revision)
