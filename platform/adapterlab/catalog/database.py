"""One door to the database: URLs, connections, transactions, the database's clock, its errors.

SQLite runs in WAL mode (set once, by the migration), waits for locks, enforces foreign keys, and
takes its write lock at the start of a write (``BEGIN IMMEDIATE``), so that a transaction that reads
and then writes can neither deadlock nor see a stale row. On PostgreSQL every table lives in the
schema ``adapterlab``, so that the catalog may share a database with MLflow or Optuna, whose tables
have the same names.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, Float, create_engine, event, exc, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

from adapterlab.caching.leftovers import scratch_folder
from adapterlab.errors import AwayError, ConflictError, UnavailableError, UsageError
from adapterlab.passwords import hide_passwords
from adapterlab.patience import NO_PATIENCE, Patience, is_away
from adapterlab.silent_servers import end_silence

POSTGRES_SCHEMA = "adapterlab"
"""Schema of all catalog tables on PostgreSQL."""

BUSY_TIMEOUT_S = 30.0
"""How long a SQLite statement waits for another process's lock."""

COPIES = "adapterlab-read-"
"""Beginning of the names of private copies of a SQLite file, in the temporary folder."""

CHUNK = 500
"""Keys per statement: far below SQLite's limit of 32766 bound values."""

_CONNECT_TIMEOUT_S = 10
_DEADLOCK_RETRIES = 5
_RETRIED_SQLSTATES = ("40P01", "40001")  # deadlock detected, serialization failure

Result = TypeVar("Result")
Item = TypeVar("Item")


class epoch_now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it stands for
    """The database's clock, in seconds since 1970; moves on within a transaction."""

    type = Float()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **options: Any) -> str:  # noqa: ARG001
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _postgres_now(element: Any, compiler: Any, **options: Any) -> str:  # noqa: ARG001
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


class Database:
    """An engine with the project's rules; safe to share between threads.

    Args:
        url: ``sqlite:///<file>`` or ``postgresql+psycopg://<user>@<host>/<database>``.

    Raises:
        UsageError: The URL is malformed or names another database system.
        UnavailableError: The driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.name = display_url(self.url)
        """The URL without its password, for messages."""
        self.engine = _engine(self.url)
        self.check_schema: Callable[[Connection], None] | None = None
        """Called first in every write, and after an SQL error that a changed schema explains; raises where another
        version of the code has changed the schema since it was opened."""
        self.patience = NO_PATIENCE
        """How long reads and writes wait for a server that is away."""
        self._writing = self.engine.execution_options(adapterlab_begin="BEGIN IMMEDIATE")
        _forget_connections_after_fork(self.engine)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is an embedded SQLite file."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def file(self) -> Path | None:
        """The SQLite file; ``None`` on PostgreSQL."""
        return Path(self.url.database).absolute() if self.is_sqlite and self.url.database else None

    def with_patience(self, patience: Patience) -> Self:
        """Return this database, same connections, for a user who waits otherwise for a server that is away."""
        other = copy.copy(self)
        other.patience = patience
        return other

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection for reading, once, however patient this database is; see :meth:`read`.

        Raises:
            UnavailableError: The database cannot be reached or read.
        """
        with self.readable_errors(), self.engine.connect() as connection:
            yield connection

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Return what ``work`` reads; a SQLite reader never waits for writers.

        Args:
            work: Called with the connection; called again where the server was away.

        Raises:
            AwayError: The server cannot be reached, for longer than this database's patience.
            UnavailableError: The database cannot be read.
        """

        def once() -> Result:
            with self.reading() as connection:
                return work(connection)

        return self.patience.retry(once)

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` in one write transaction: all of it happens, or none.

        Args:
            work: Called with the connection; called again after a deadlock on PostgreSQL, and where the server was
                away, so it must have no effects outside the database. A connection can break after a COMMIT was
                done and before that was said: called again, ``work`` must recognise what it has done already.

        Raises:
            AwayError: The server cannot be reached, for longer than this database's patience.
            ConflictError: Another version of the code has changed the schema; nothing was written.
            UnavailableError: The database cannot be written, is locked for too long, or is full.
        """
        return self.patience.retry(lambda: self._write_once(work))

    def _write_once(self, work: Callable[[Connection], Result]) -> Result:
        for attempt in range(_DEADLOCK_RETRIES + 1):
            try:
                with self.readable_errors(), self._writing.begin() as connection:
                    if self.check_schema is not None:
                        self.check_schema(connection)
                    return work(connection)
            except _TransactionLostError:
                if attempt == _DEADLOCK_RETRIES:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    @contextmanager
    def readable_errors(self) -> Iterator[None]:
        """Turn the driver's errors into the project's, with the password left out."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._explain(error) from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _explain(self, error: exc.DBAPIError) -> Exception:
        text = _without_password(str(error.orig).strip(), self.url)
        if getattr(error.orig, "sqlstate", None) in _RETRIED_SQLSTATES:
            return _TransactionLostError(
                f"{self.name}: too many transactions at once: {text}",
                remedy="Run the command again; nothing was written.",
            )
        if _is_other_schema(error):
            self._check_schema_anew()
            return ConflictError(
                f"{self.name}: the catalog's tables are missing or old: {text}",
                remedy="Run `platform db upgrade`.",
            )
        if "readonly database" in text or "query_only" in text:
            return UnavailableError(
                f"{self.name}: the catalog can be read here, but not written",
                remedy="Set ADAPTERLAB_HOME to a folder of your own, or ask the owner of this one to let you write.",
            )
        if "database is locked" in text:  # by a process that stands still: no step failed for that
            return AwayError(
                f"{self.name}: another process held the database for more than {BUSY_TIMEOUT_S:.0f} s",
                remedy="End that process (for example an open transaction in a database browser), or try again.",
            )
        if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
            return error
        kind = AwayError if is_away(error) else UnavailableError
        return kind(
            f"cannot use the catalog at {self.name}: {text}",
            remedy="Check that the server runs and the URL, user and password are right, "
            "or that the file's folder exists and has free space.",
        )

    def _check_schema_anew(self) -> None:
        """Raise if the schema has been changed; asked on another connection, whose transaction is not lost."""
        if self.check_schema is not None:
            with suppress(exc.DBAPIError), self.engine.connect() as connection:
                self.check_schema(connection)


class _TransactionLostError(UnavailableError):
    """A transaction lost to another one and was rolled back as a whole."""


def parse_url(url: str) -> URL:
    """Return a checked database URL; plain ``postgresql://`` gets the psycopg driver.

    Raises:
        UsageError: The URL is malformed or names an unsupported database.
    """
    remedy = "Use sqlite:///<file> or postgresql+psycopg://<user>@<host>/<database>."
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        # The text may hold a password, so it is not repeated.
        raise UsageError("the catalog's database URL is malformed", remedy=remedy) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise UsageError(f"the catalog cannot live in {parsed.drivername!r}", remedy=remedy)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError("the catalog needs a file, not a database in memory", remedy=remedy)
    if parsed.get_backend_name() == "sqlite" and parsed.query:
        raise UsageError(
            "the catalog's database URL has options (behind its '?'), which SQLite does not take",
            remedy="Leave them out; a '?' of the file's own name is written %3F behind sqlite+pysqlite:///.",
        )
    return parsed


def display_url(url: URL) -> str:
    """Return a URL as text without its password, wherever it is written."""
    hidden = {name: "***" for name in url.query if "password" in name.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def read_version(database: Database, table: str) -> str | None:
    """Return the revision the schema is at; ``None`` when there is no schema yet.

    Args:
        database: The catalog's database; a SQLite file that does not exist is not created.
        table: Name of the version table.

    Raises:
        UnavailableError: The database cannot be reached.
    """
    if database.file is not None and not database.file.exists():
        return None
    prefix = "" if database.is_sqlite else f"{POSTGRES_SCHEMA}."
    query = f"SELECT version_num FROM {prefix}{table}"  # noqa: S608
    try:
        row = database.read(lambda connection: connection.exec_driver_sql(query).first())
    except ConflictError:
        return None
    return None if row is None else str(row[0])


def insert_into(connection: Connection, table: Any) -> Any:
    """Return the dialect's INSERT, which knows ON CONFLICT; both dialects spell it alike."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists of at most ``CHUNK``."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _engine(url: URL) -> Engine:
    to_json = partial(json.dumps, ensure_ascii=False, allow_nan=False, sort_keys=True)
    if url.get_backend_name() == "sqlite":
        options = sqlite_options(Path(str(url.database)), BUSY_TIMEOUT_S)
        engine = create_engine(url, json_serializer=to_json, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    arguments = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_TIMEOUT_S}
    try:
        engine = create_engine(url, json_serializer=to_json, connect_args=arguments, pool_pre_ping=True)
    except ImportError as error:
        raise UnavailableError(
            f"no PostgreSQL driver: {error}", remedy="pip install 'adapterlab[postgres]'"
        ) from error
    end_silence(engine)
    return engine.execution_options(schema_translate_map={None: POSTGRES_SCHEMA})


def sqlite_options(file: Path, timeout_s: float) -> dict[str, Any]:
    """Return the options of ``create_engine`` for a SQLite file, which may be one that can only be read."""
    if is_read_only(file := file.absolute()):
        return {"creator": partial(connect_read_only, file)}
    return {"connect_args": {"timeout": timeout_s}}


def is_read_only(file: Path) -> bool:
    """Return whether there is a SQLite file that can be read, but not written, nor have a log beside it."""
    return file.is_file() and not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def connect_read_only(file: Path) -> sqlite3.Connection:
    """Open a SQLite file in a folder where SQLite can make none of the files it needs beside it.

    What was written last may still be in the log beside it: then a private copy of both is read.
    """
    log = file.with_name(f"{file.name}-wal")
    if not log.is_file() or not log.stat().st_size:
        return sqlite3.connect(
            f"{file.as_uri()}?mode=ro&immutable=1", uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False
        )
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    with scratch_folder(COPIES, Path(tempfile.gettempdir())) as folder:
        copied = folder / file.name
        shutil.copyfile(file, copied)
        shutil.copyfile(log, copied.with_name(log.name))
        with closing(sqlite3.connect(copied)) as whole:
            whole.backup(copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def _prepare_sqlite(connection: Any, record: Any) -> None:  # noqa: ARG001
    # The driver must not begin transactions by itself: `_begin_sqlite` does, with the right lock.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # A commit survives a killed process; after a power cut the last ones may be missing, never torn.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("adapterlab_begin", "BEGIN"))


def _forget_connections_after_fork(engine: Engine) -> None:
    # A child that used its parent's sockets or SQLite handles would corrupt both.
    reference = weakref.ref(engine)

    def forget() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=forget)


def _is_other_schema(error: exc.DBAPIError) -> bool:
    """Return whether a table or a column is not there."""
    # 42P01 undefined table, 42703 undefined column, 3F000 undefined schema.
    if getattr(error.orig, "sqlstate", None) in ("42P01", "42703", "3F000"):
        return True
    return any(
        words in str(error.orig) for words in ("no such table", "no such column", "has no column named")
    )


def _without_password(text: str, url: URL) -> str:
    secrets = [url.password, *(value for name, value in url.query.items() if "password" in name.lower())]
    for secret in secrets:
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "***")
    return hide_passwords(text)
