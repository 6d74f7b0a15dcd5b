"""The schema of an MLflow store that is a database: made or upgraded once, under a lock.

MLflow makes its tables when a store is first opened, and eight processes that do so at once crash one
another. So the sweep's driver calls :func:`initialise` before any worker starts.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from adapterlab.caching.leftovers import Leftover
from adapterlab.errors import ConflictError, UnavailableError
from adapterlab.home import sqlite_url
from adapterlab.tracking import store

_TIMEOUT_S = 180.0


def initialise(uri: str, artifacts: str, locks: Path) -> None:
    """Create or upgrade the store's schema, once, whoever comes first; others wait.

    Call it before any worker starts: MLflow's own creation is not safe for several processes. A new
    SQLite store appears under its name only when complete; an old one is copied before it is upgraded.
    A tracking server looks after itself.

    Args:
        uri: Tracking URI.
        artifacts: Folder or URL of artifacts; where MLflow's ``Default`` experiment would put its own.
        locks: Folder of lock files, on this machine.

    Raises:
        UnavailableError: The database cannot be reached.
        ConflictError: The schema is newer than this MLflow, or the lock is never released.
    """
    if store.is_server(uri):
        return
    store.configure(uri)
    with _schema_lock(uri, locks), store.readable_errors(uri):
        path = store.sqlite_path(uri)
        if path is None:
            _initialise_database(uri, artifacts)
        else:
            _initialise_sqlite(uri, path, artifacts)
            _follow(uri, artifacts)


def old_roots(uri: str, artifacts: str) -> list[str]:
    """Return where the store says its artifacts are, as far as the home folder was elsewhere then; costs no mlflow.

    MLflow keeps the whole path of every run's artifacts, which a home that is moved or copied takes along.

    Args:
        uri: Tracking URI.
        artifacts: Folder of artifacts.

    Returns:
        URLs of folders; none where all is well, and for stores that are not one file in a home folder with
        their artifacts: elsewhere nobody can tell what moved.
    """
    path = store.sqlite_path(uri)
    if path is None or "://" in artifacts or Path(artifacts).absolute().parent != path.absolute().parent:
        return []
    if not store.has_schema(path):
        return []
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("select experiment_id, name, artifact_location from experiments").fetchall()
    roots = set()
    for number, name, location in rows:
        root, _, folder = str(location or "").rpartition("/")
        if folder in (store.artifact_folder(name), "0" if str(number) == "0" else None):
            roots.add(root)
    return sorted(roots - {"", store.artifact_root(artifacts)})


def follow_home(uri: str, artifacts: str, locks: Path) -> None:
    """Make the store look for its artifacts where the home folder is now; nothing where it never moved.

    Args:
        uri: Tracking URI.
        artifacts: Folder of artifacts.
        locks: Folder of lock files, on this machine.

    Raises:
        UnavailableError: The store cannot be written.
    """
    with _sqlite_errors(uri):
        if old_roots(uri, artifacts):
            with _schema_lock(uri, locks):
                _follow(uri, artifacts)


def _follow(uri: str, artifacts: str) -> None:
    path, new = store.sqlite_path(uri), store.artifact_root(artifacts)
    roots = old_roots(uri, artifacts)
    if path is None or not roots:
        return
    with closing(sqlite3.connect(path, timeout=_TIMEOUT_S)) as connection, connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master")}
        for old in roots:
            for table, column in _KEEP_PATHS:
                if table in tables:
                    connection.execute(
                        f"update {table} set {column} = ? || substr({column}, ?)"  # noqa: S608 - our own names
                        f" where substr({column}, 1, ?) = ?",
                        (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
                    )


_KEEP_PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)


@contextmanager
def _sqlite_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UnavailableError(
            f"tracking store {store.display_url(uri)} cannot be used: {store.first_line(error)}",
            remedy="`platform doctor` looks into it.",
        ) from error


@contextmanager
def _schema_lock(uri: str, locks: Path) -> Iterator[None]:
    locks.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(locks / f"mlflow-{store.digest_of_uri(uri)}.lock", timeout=_TIMEOUT_S)
    try:
        with lock:
            yield
    except filelock.Timeout as error:
        raise ConflictError(
            f"tracking store {store.display_url(uri)}: another process has been preparing it for {_TIMEOUT_S:.0f} s",
            remedy=f"If no other adapterlab process runs, remove {lock.lock_file}.",
        ) from error


def _initialise_sqlite(uri: str, path: Path, artifacts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if store.has_schema(path):
        _upgrade_schema(uri, path, artifacts)
        return
    if path.exists() and path.stat().st_size > 0:
        with closing(sqlite3.connect(path)) as connection:
            tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if tables:
            raise ConflictError(
                f"{path} is a database, but not MLflow's", remedy="Give MLflow a file of its own."
            )
    # Built aside: a process killed half-way leaves nothing that looks like a store.
    fresh = path.with_name(f"{_draft_prefix(path)}{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    try:
        _upgrade_schema(sqlite_url(fresh), None, artifacts)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        # Readers (the UI) and writers then do not stop one another; the setting stays in the file.
        connection.execute("pragma journal_mode = wal")


def drafts(uri: str) -> Iterator[Leftover]:
    """Yield databases that were being made beside a SQLite store, with the files that SQLite keeps beside them."""
    path = store.sqlite_path(uri)
    if path is not None:
        with suppress(OSError):
            for draft in sorted(path.parent.glob(f"{_draft_prefix(path)}*.new*")):
                yield Leftover("database draft", draft)


def _draft_prefix(path: Path) -> str:
    return f".{path.name}."


def _copy_sqlite(path: Path, copy: Path) -> None:
    # Not a plain file copy: what was committed last may still be in the write-ahead log beside it.
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def _initialise_database(uri: str, artifacts: str) -> None:
    engine = store.connect(uri)
    try:
        with _advisory_lock(engine, uri):
            _upgrade_schema(uri, None, artifacts)
    finally:
        engine.dispose()


def _upgrade_schema(uri: str, existing: Path | None, artifacts: str) -> None:
    from alembic.util import CommandError
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    engine = utils.create_sqlalchemy_engine(uri)
    try:
        current, head = utils._get_schema_version(engine), utils._get_latest_schema_revision()
        if current != head:
            if existing is not None:
                _copy_sqlite(existing, existing.with_name(f"{existing.name}.{current}.bak"))
            if utils._is_empty_database(engine):
                utils._initialize_tables(engine)
            else:
                utils._upgrade_db(engine)
        # Its first opening also creates the experiment "Default", which is a race of its own.
        SqlAlchemyStore(uri, store.artifact_root(artifacts)).engine.dispose()
    except CommandError as error:
        raise ConflictError(
            f"tracking store {store.display_url(uri)}: its schema is unknown to this MLflow ({store.first_line(error)})",
            remedy="Upgrade MLflow, or give it a database of its own.",
        ) from error
    finally:
        engine.dispose()


@contextmanager
def _advisory_lock(engine: Any, uri: str) -> Iterator[None]:
    import sqlalchemy as sa

    if engine.dialect.name != "postgresql":
        yield
        return
    number = int(store.digest_of_uri("mlflow-schema")[:15], 16)
    deadline = time.monotonic() + _TIMEOUT_S
    with engine.connect() as connection:
        while not connection.scalar(sa.text("select pg_try_advisory_lock(:number)"), {"number": number}):
            if time.monotonic() > deadline:
                raise ConflictError(
                    f"tracking store {store.display_url(uri)}: another host is upgrading its schema",
                    remedy="Wait for it, then submit again.",
                )
            time.sleep(0.2)
        try:
            yield
        finally:
            connection.execute(sa.text("select pg_advisory_unlock(:number)"), {"number": number})
