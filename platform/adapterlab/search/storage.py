"""The Optuna storage: one schema, created once under a lock, opened by every worker.

Optuna creates its tables without a lock: of 8 processes that open a fresh database together, 6
crash on SQLite and 7 on PostgreSQL. So :func:`initialise` runs once, before any worker, under a
lock that works between processes (a lock file for SQLite, an advisory lock for PostgreSQL), and
:func:`open_storage` never creates anything. ``optuna-dashboard`` opens the same URL.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock, Timeout
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from adapterlab.errors import AwayError, ConflictError, UnavailableError, UsageError
from adapterlab.passwords import hide_passwords
from adapterlab.patience import is_away
from adapterlab.silent_servers import end_silence

BUSY_TIMEOUT_S = 60.0
"""How long one statement waits for SQLite's write lock. Writes take milliseconds; 64 workers queue."""

LOCK_TIMEOUT_S = 120.0
"""How long to wait for somebody else's schema upgrade or proposal before giving up."""

SEARCH_KEY = "search_key"
"""Study attribute: the key of its search, which tells it from others whatever it is called."""

_CONNECT_TIMEOUT_S = 10
_TRUSTED_S = 2.0  # a connection used so lately is taken to live

optuna.logging.set_verbosity(optuna.logging.WARNING)


def initialise(url: str, locks: Path) -> None:
    """Create the schema of the studies, or upgrade it; safe when many processes do it at once.

    Args:
        url: ``sqlite:///…`` or ``postgresql+psycopg://…``.
        locks: Folder of this machine's lock files.

    Raises:
        ConflictError: The database belongs to something else, or to a newer Optuna.
        UnavailableError: It cannot be reached, or somebody holds its lock for too long.
        UsageError: The URL is malformed or names an unsupported database.
    """
    parsed = _parse(url)
    if (file := _sqlite_file(parsed)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with database_lock(url, "schema", locks), readable_errors(url):
        _refuse_foreign_tables(url)
        storage = RDBStorage(_escaped(url), _engine_options(parsed), skip_compatibility_check=True)
        try:
            _upgrade(storage, url)
            if file is not None:
                # Readers (the dashboard) then never block writers; the mode is kept in the file.
                with storage.engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        finally:
            close_storage(storage)


def open_storage(url: str) -> BaseStorage:
    """Open the studies; finished trials are cached in memory.

    Raises:
        UnavailableError: It cannot be reached or was never initialised.
        ConflictError: Its schema does not fit the installed Optuna.
        UsageError: The URL is malformed or names an unsupported database.
    """
    parsed = _parse(url)
    file = _sqlite_file(parsed)
    if file is not None and not file.is_file():
        raise _not_initialised(url)
    with readable_errors(url):
        if not _has_studies(url):
            raise _not_initialised(url)
        try:
            storage = TrialStorage(_escaped(url), _engine_options(parsed), skip_table_creation=True)
        except RuntimeError as error:
            raise ConflictError(
                f"{display_url(url)}: the schema of the studies does not fit Optuna {optuna.__version__}: {error}",
                remedy="Run `platform db upgrade`.",
            ) from error
        if file is None:
            end_silence(storage.engine)
            _check_when_idle(storage.engine)
        else:
            _relax_durability(storage)
    return optuna.storages.get_storage(storage)


class TrialStorage(RDBStorage):  # type: ignore[misc]  # Optuna is not looked into
    """Writes all settings of a new trial at once.

    Optuna reads the trial, and an earlier trial of its study, before it writes each of its settings: to
    see that the trial still runs and that no dimension has changed. A trial that is only being created runs,
    and a study's dimensions are compared when it is opened (:meth:`StudySearch.open`). Should a later
    Optuna call this part otherwise, its own way is taken, which is the same but slower.
    """

    def _get_prepared_new_trial(self, study_id: int, template: FrozenTrial | None, session: Any) -> Any:
        if template is None or template.values or template.intermediate_values or template.system_attrs:
            return super()._get_prepared_new_trial(study_id, template, session)
        trial = models.TrialModel(
            study_id=study_id,
            number=None,
            state=template.state,
            datetime_start=template.datetime_start,
            datetime_complete=template.datetime_complete,
        )
        session.add(trial)
        session.flush()  # gives the trial its id
        for name, value in template.params.items():
            distribution = template.distributions[name]
            session.add(
                models.TrialParamModel(
                    trial_id=trial.trial_id,
                    param_name=name,
                    param_value=distribution.to_internal_repr(value),
                    distribution_json=distribution_to_json(distribution),
                )
            )
        for key, value in template.user_attrs.items():
            session.add(
                models.TrialUserAttributeModel(trial_id=trial.trial_id, key=key, value_json=json.dumps(value))
            )
        trial.number = trial.count_past_trials(session)
        return trial


def close_storage(storage: BaseStorage) -> None:
    """Give a storage's connections back."""
    storage.remove_session()
    backend = getattr(storage, "_backend", storage)
    if isinstance(backend, RDBStorage):
        backend.engine.dispose()


def trial_states(
    storage: BaseStorage, study_id: int, after_id: int, ids: Collection[int]
) -> list[tuple[int, int, TrialState]] | None:
    """Return id, number and state of a study's trials with a greater id, or one of ``ids``.

    Optuna has no question as small as this one.

    Args:
        storage: An open storage.
        study_id: The study's id there.
        after_id: The greatest id that is known; -1: none is.
        ids: Those of them to look at again.

    Returns:
        The trials in any order; ``None`` where the storage cannot tell, or would have to read everything.
    """
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage) or len(ids) > _MOST_IDS or after_id < 0:
        return None
    with backend.engine.connect() as connection:
        rows = connection.execute(
            _STATES, {"study": study_id, "after": after_id, "ids": list(ids) or [-1]}
        ).all()
    return [(row.trial_id, row.number, TrialState[row.state]) for row in rows]


def find_study(storage: BaseStorage, text: str) -> tuple[int, str] | None:
    """Return id and name of the study with this name or search key, the oldest of several; ``None``: there is none.

    Until studies were given names for people, a study's name was its search key.

    Args:
        storage: An open storage.
        text: The study's name, or the key of its search.
    """
    backend = getattr(storage, "_backend", storage)
    if not isinstance(backend, RDBStorage):
        known = (one for one in storage.get_all_studies())
        found = [one for one in known if text in (one.study_name, one.user_attrs.get(SEARCH_KEY))]
        first = min(found, key=lambda one: one._study_id, default=None)
        return None if first is None else (first._study_id, first.study_name)
    with backend.engine.connect() as connection:
        row = connection.execute(
            _STUDY, {"name": text, "attribute": SEARCH_KEY, "value": json.dumps(text)}
        ).first()
    return None if row is None else (row.study_id, row.study_name)


_ATTRIBUTE = models.StudyUserAttributeModel
_STUDY = (
    sqlalchemy.select(models.StudyModel.study_id, models.StudyModel.study_name)
    .where(
        sqlalchemy.or_(
            models.StudyModel.study_name == sqlalchemy.bindparam("name"),
            models.StudyModel.study_id.in_(
                sqlalchemy.select(_ATTRIBUTE.study_id).where(
                    _ATTRIBUTE.key == sqlalchemy.bindparam("attribute"),
                    _ATTRIBUTE.value_json == sqlalchemy.bindparam("value"),
                )
            ),
        )
    )
    .order_by(models.StudyModel.study_id)
    .limit(1)
)


def trial_number(storage: BaseStorage, study_id: int, trial_id: int) -> int:
    """Return a trial's number; Optuna's own way reads the whole trial."""
    for found_id, number, _ in trial_states(storage, study_id, trial_id - 1, ()) or ():
        if found_id == trial_id:
            return number
    return int(storage.get_trial_number_from_id(trial_id))


_MOST_IDS = 500
# Both halves go by the ids. Left to itself a database takes the index of the study and reads all its trials, for an
# answer of a few rows; `+ 0` keeps it from that.
_STATES = sqlalchemy.text(
    "SELECT trial_id, number, CAST(state AS VARCHAR(16)) AS state FROM trials "
    "WHERE trial_id > :after AND study_id + 0 = :study "
    "UNION ALL "
    "SELECT trial_id, number, CAST(state AS VARCHAR(16)) AS state FROM trials "
    "WHERE trial_id IN :ids AND trial_id <= :after AND study_id + 0 = :study"
).bindparams(sqlalchemy.bindparam("ids", expanding=True))


@contextmanager
def database_lock(url: str, name: str, locks: Path | None = None) -> Iterator[None]:
    """Hold a lock that all processes using this database agree on.

    PostgreSQL: an advisory lock, which dies with the connection. SQLite: a lock file, which the
    operating system frees when its owner dies.

    Args:
        url: The database.
        name: What is locked, for example a study's name.
        locks: Folder of lock files; ``None``: beside the SQLite file.

    Raises:
        AwayError: The server is away for the moment, or the lock was not free in time.
        UnavailableError: The database cannot be reached.
    """
    parsed = _parse(url)
    file = _sqlite_file(parsed)
    if file is None:
        with _advisory_lock(url, name):
            yield
        return
    folder = file.parent if locks is None else locks
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"studies-{_number_of(f'{file} {name}'):016x}.lock"
    try:
        lock = FileLock(path, timeout=LOCK_TIMEOUT_S).acquire()
    except Timeout as error:
        raise _held_too_long(url, name) from error
    with lock:
        yield


def study_lock(url: str, key: str, locks: Path | None = None) -> AbstractContextManager[None]:
    """Return the lock that all processes share which propose trials of a search, or hand them out.

    Args:
        url: The database.
        key: The search's.
        locks: As :func:`database_lock` takes them.

    Raises:
        AwayError: The database cannot be reached, or the lock was not free in time.
    """
    return database_lock(url, f"study {key}", locks)


@contextmanager
def readable_errors(url: str) -> Iterator[None]:
    """Turn database failures inside the block into one clear error without the password.

    Raises:
        AwayError: The server is away for the moment, or another process held the file for too long.
        UnavailableError: Anything else is wrong with it.
    """
    try:
        yield
    except ImportError as error:
        raise UnavailableError(
            f"{display_url(url)}: its database driver is not installed ({error})",
            remedy='Install it: pip install "adapterlab[postgres]".',
        ) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()
        locked = "database is locked" in str(cause)  # SQLite: whoever holds it stands still, and may go on
        kind = AwayError if locked or is_away(cause) else UnavailableError
        raise kind(
            f"{display_url(url)}: the studies cannot be used: {reason[0] if reason else type(cause).__name__}",
            remedy="Check that the database is up, the URL is right and the disk is not full; then submit again.",
        ) from error


def display_url(url: str) -> str:
    """Return the URL as it may be shown: without its password."""
    return hide_passwords(_parse(url).render_as_string(hide_password=True))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # SQLAlchemy reads the port with int()
        raise UsageError(
            "the URL of the studies is malformed; expected sqlite:///… or postgresql+psycopg://…"
        ) from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise UsageError(
            f"studies cannot be kept in {parsed.get_backend_name()}; "
            "expected sqlite:///… or postgresql+psycopg://…"
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise UsageError("studies need a file, sqlite:///path/to/studies.db: workers are processes")
    return parsed


def _sqlite_file(parsed: URL) -> Path | None:
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return None
    return Path(parsed.database).absolute()


def _engine_options(parsed: URL) -> dict[str, Any]:
    if parsed.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    return {"connect_args": {"connect_timeout": _CONNECT_TIMEOUT_S}}


def _escaped(url: str) -> str:
    # RDBStorage formats the URL as a template; a password may hold braces.
    return url.replace("{", "{{").replace("}", "}}")


def _relax_durability(storage: RDBStorage) -> None:
    """Skip one fsync per write on SQLite: a killed worker loses nothing, a power cut the last trials only.

    On PostgreSQL a commit waits for the disk. A server that was killed would have forgotten what a worker that lives
    on was told is written: trials without some of their epochs, or no trial under a number that is in training.
    """

    def relax(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.commit()

    sqlalchemy.event.listen(storage.engine, "connect", relax)
    close_storage(storage)  # the next connection is the first to hear it


def _check_when_idle(engine: sqlalchemy.Engine) -> None:
    """Ask whether a kept connection still lives, if it has rested: the server may have restarted.

    ``pool_pre_ping`` asks each time, eight times per trial.
    """

    def note(_connection: Any, record: Any) -> None:
        record.info["rested_since"] = time.monotonic()

    def check(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("rested_since", math.inf) < _TRUSTED_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise sqlalchemy.exc.DisconnectionError(str(error)) from error

    sqlalchemy.event.listen(engine, "checkin", note)
    sqlalchemy.event.listen(engine, "checkout", check)


@contextmanager
def _connect(url: str) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT", **_engine_options(_parse(url))
    )
    end_silence(engine)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _has_studies(url: str) -> bool:
    with _connect(url) as connection:
        names = set(sqlalchemy.inspect(connection).get_table_names())
    return {"studies", "version_info", "alembic_version"} <= names


def _refuse_foreign_tables(url: str) -> None:
    """Optuna's migrations own the table ``alembic_version``: they cannot share a database."""
    with _connect(url) as connection:
        names = set(sqlalchemy.inspect(connection).get_table_names())
    if "alembic_version" in names and "version_info" not in names:
        raise ConflictError(
            f"{display_url(url)}: this database already holds the tables of something else",
            remedy="Give the studies a database of their own (store.studies or ADAPTERLAB_STUDIES).",
        )


def _upgrade(storage: RDBStorage, url: str) -> None:
    current, head = storage.get_current_version(), storage.get_head_version()
    if current == head:
        return
    if current not in storage.get_all_versions():
        raise ConflictError(
            f"{display_url(url)}: the schema of the studies ({current}) is unknown to Optuna {optuna.__version__}",
            remedy="Upgrade Optuna, or give the studies a database of their own.",
        )
    storage.upgrade()


@contextmanager
def _advisory_lock(url: str, name: str) -> Iterator[None]:
    key = _number_of(name) - 2**63  # PostgreSQL's keys are signed
    with readable_errors(url):
        connection = _lock_engine(url).connect()
    try:
        with readable_errors(url):
            try:
                connection.execute(_LOCK, {"key": key})
            except sqlalchemy.exc.OperationalError as error:
                if is_away(error):
                    raise
                raise _held_too_long(url, name) from error
        yield
        with readable_errors(url):
            connection.execute(_UNLOCK, {"key": key})
    except BaseException:
        # Whatever state this left the lock in, it goes with its connection.
        connection.invalidate()
        raise
    finally:
        connection.close()


_LOCK = sqlalchemy.text("SELECT pg_advisory_lock(:key)")
_UNLOCK = sqlalchemy.text("SELECT pg_advisory_unlock(:key)")


@cache
def _lock_engine(url: str) -> sqlalchemy.Engine:
    """Return the engine of a process's locks, which keeps one connection for the next of them."""
    options = _engine_options(_parse(url))
    engine = sqlalchemy.create_engine(
        url, pool_size=1, max_overflow=-1, isolation_level="AUTOCOMMIT", **options
    )

    def limit_the_wait(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {int(LOCK_TIMEOUT_S * 1000)}")

    sqlalchemy.event.listen(engine, "connect", limit_the_wait)
    end_silence(engine)
    _check_when_idle(engine)
    return engine


def _number_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _held_too_long(url: str, name: str) -> AwayError:
    # Whoever holds it stands still and may go on, or is ended: no step failed for that.
    return AwayError(
        f"{display_url(url)}: the lock on {name!r} was not free within {LOCK_TIMEOUT_S:.0f} s",
        remedy="Another process holds it; stop that process or wait, then submit again.",
    )


def _not_initialised(url: str) -> UnavailableError:
    return UnavailableError(
        f"{display_url(url)}: there are no studies here yet", remedy="Run `platform db upgrade` first."
    )
