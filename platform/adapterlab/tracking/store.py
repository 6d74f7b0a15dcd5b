"""Where MLflow is: which stores we speak to, their schema, and whether they answer.

A store is a database (``sqlite:///``, ``postgresql+psycopg://``, …), which we make and upgrade ourselves,
or a tracking server (``http://``, ``https://``), which looks after itself. MLflow's file store is refused:
MLflow itself no longer writes it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from adapterlab.errors import AdapterlabError, AwayError, ConflictError, UnavailableError, UsageError
from adapterlab.home import sqlite_file
from adapterlab.passwords import hide_passwords
from adapterlab.patience import is_away
from adapterlab.tracking.entities import EXPERIMENT_TAGS, NODE_TAG, ROOT_TAG

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http", "https", "databricks")
_CONNECT_TIMEOUT_S = 5
_PASSING = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"}
_NO_VERDICT = re.compile(r"API request to \S+ failed with (exception|timeout)")
_OUR_HTTP_LIMITS = {
    # MLflow's own limits (7 retries, 120 s each) block a caller for minutes; the writer retries anyway.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def is_server(uri: str) -> bool:
    """Whether ``uri`` is a tracking server, which looks after its own schema and artifacts.

    Raises:
        UsageError: Neither a server nor a database we know.
    """
    scheme = uri.split(":", 1)[0].split("+", 1)[0].lower()
    if scheme in _SERVERS:
        return True
    if scheme not in _DATABASES or ":" not in uri:
        raise UsageError(
            f"tracking store: got {display_url(uri)!r}; expected sqlite:///<path>, postgresql+psycopg://… or http(s)://…",
            remedy="Set [tracking] uri in the spec, or MLFLOW_TRACKING_URI.",
        )
    if scheme == "sqlite" and sqlite_path(uri) is None:
        raise UsageError(
            f"tracking store: got {uri!r}; a store in memory is not shared between processes",
            remedy="Use sqlite:///<path of a file>.",
        )
    return False


def sqlite_path(uri: str) -> Path | None:
    """Return the file behind a ``sqlite:///`` URI, or ``None`` for other stores."""
    return sqlite_file(uri)


def display_url(uri: str) -> str:
    """Return a URI without its password, for messages."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return hide_passwords(uri)
    user, _, host = parts.netloc.rpartition("@")
    return hide_passwords(urlunsplit(parts._replace(netloc=f"{user.split(':', 1)[0]}:***@{host}")))


def configure(uri: str) -> None:
    """Prepare this process for MLflow: no telemetry, no chatter, waits of seconds.

    Must run before mlflow is first imported. What the environment already says is kept.
    """
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        **(_OUR_HTTP_LIMITS if is_server(uri) else {}),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"
        logging.getLogger("alembic").setLevel(logging.WARNING)
        # It prints a traceback for every locked database, which the writer simply tries again.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def digest_of_uri(uri: str) -> str:
    """Return a short name for a store that gives away nothing of its password."""
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


def name_in_spool(uri: str, spool: Path) -> str:
    """Return the name under which entries wait for a store; a file in the home of the spool moves with it."""
    path = sqlite_path(uri)
    at_home = path is not None and path.absolute().parent == spool.absolute().parent
    return f"home/{path.name}" if path is not None and at_home else digest_of_uri(uri)


def check_answers(uri: str) -> None:
    """Make sure the store answers and is ready, within seconds.

    Raises:
        AwayError: It cannot be reached.
        UnavailableError: It is not ready.
    """
    if is_server(uri):
        configure(uri)
        answer = ping(uri)
        if not answer.up:
            raise AwayError(
                f"MLflow server {display_url(uri)}: {answer.why}",
                remedy="Start it (`mlflow server`), correct MLFLOW_TRACKING_URI, or unset it to use the home folder.",
            )
        return
    path = sqlite_path(uri)
    if not (_database_has_schema(uri) if path is None else has_schema(path)):
        raise UnavailableError(
            f"tracking store {display_url(uri)} has not been prepared",
            remedy="Call tracking.schema.initialise first.",
        )


@dataclass(frozen=True)
class Answer:
    """What a store said when asked whether it is there."""

    up: bool
    why: str = ""
    retry_after_s: float = 0.0
    """How long the server asked us to wait, in seconds."""


def ping(uri: str) -> Answer:
    """Ask once whether the store answers; a few seconds at most, no retries."""
    if not is_server(uri):
        try:
            with readable_errors(uri):
                connect(uri).dispose()
        except AdapterlabError as error:
            return Answer(up=False, why=error.message)
        return Answer(up=True)
    if uri.startswith("databricks"):
        return Answer(up=True)
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        response = http_request(
            get_default_host_creds(uri),
            "/health",
            "GET",
            max_retries=0,
            retry_codes=frozenset(),
            raise_on_status=False,
            timeout=_CONNECT_TIMEOUT_S,
        )
    except (MlflowException, OSError) as error:
        return Answer(up=False, why=f"does not answer ({_innermost(error)})")
    if response.status_code >= 500 or response.status_code == 429:
        wait = response.headers.get("Retry-After", "")
        return Answer(
            up=False,
            why=f"answers {response.status_code} {response.reason}",
            retry_after_s=float(wait) if re.fullmatch(r"\d{1,4}", wait) else 0.0,
        )
    return Answer(up=True)


def ended_in_database(uri: str, top: str) -> set[str] | None:
    """Return the nodes of a tree whose runs are in a database, have ended and were not deleted; costs no mlflow.

    Args:
        uri: Tracking URI.
        top: Node of the tree's first run, itself among those that are returned.

    Returns:
        ``None`` for a server, which can be asked through MLflow's client only, and where there is no store yet.

    Raises:
        UnavailableError: The database cannot be read.
    """
    import sqlalchemy as sa

    if is_server(uri) or ((path := sqlite_path(uri)) is not None and not has_schema(path)):
        return None
    query = sa.text(
        "SELECT node.value FROM tags AS root"
        " JOIN tags AS node ON node.run_uuid = root.run_uuid AND node.key = :node"
        " JOIN runs ON runs.run_uuid = root.run_uuid"
        " WHERE root.key = :root AND root.value = :top"
        " AND runs.lifecycle_stage = 'active' AND runs.status <> 'RUNNING'"
    )
    try:
        engine = connect(uri)
        try:
            with engine.connect() as connection:
                return set(connection.scalars(query, {"node": NODE_TAG, "root": ROOT_TAG, "top": top}))
        finally:
            engine.dispose()
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise UnavailableError(
            f"tracking store {display_url(uri)} cannot be read: {hide_passwords(first_line(error))}"
        ) from error


def experiment_id(client: MlflowClient, name: str, uri: str, artifacts: str) -> str:
    """Return the experiment's id, creating it if nobody has; safe from many processes at once.

    Raises:
        ConflictError: The experiment exists, but was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if is_server(uri) else f"{artifact_root(artifacts)}/{artifact_folder(name)}"
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        number = "?" if found is None else found.experiment_id
        raise ConflictError(
            f"MLflow experiment {name!r} in {display_url(uri)} was deleted",
            remedy=f"Restore it (`mlflow experiments restore -x {number}`) or give the sweep another name.",
        )
    for key, value in EXPERIMENT_TAGS.items():
        if key not in found.tags:
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


@contextmanager
def readable_errors(uri: str) -> Iterator[None]:
    """Turn MLflow's, SQLAlchemy's and the driver's faults into ours, without the password."""
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        text = first_line(error)
        text = hide_passwords(text)
        if "out-of-date database schema" in text or "Can't locate revision" in text:
            raise ConflictError(
                f"tracking store {display_url(uri)}: {text}",
                remedy="Use the MLflow version that wrote it, or another store.",
            ) from error
        kind = AwayError if is_passing(error) else UnavailableError
        raise kind(
            f"tracking store {display_url(uri)}: {text}", remedy="Check the address and your credentials."
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, OSError, sqlite3.Error) as error:
        kind = AwayError if is_away(error) else UnavailableError
        raise kind(
            f"tracking store {display_url(uri)} cannot be used: {hide_passwords(first_line(error))}",
            remedy="Check that the database runs, the address, and that the folder can be written.",
        ) from error


def is_passing(error: MlflowException) -> bool:
    """Return whether MLflow's error says that its server or database is away, busy or in haste."""
    return error.error_code in _PASSING or _NO_VERDICT.match(str(error)) is not None


def connect(uri: str) -> Any:
    """Return an engine that has proved it can connect; MLflow's own tries for minutes."""
    import sqlalchemy as sa

    scheme = uri.split(":", 1)[0]
    limits = {} if scheme.startswith("mssql") else {"connect_timeout": _CONNECT_TIMEOUT_S}
    if scheme.startswith("sqlite"):
        limits = {"timeout": _CONNECT_TIMEOUT_S}
    engine = sa.create_engine(uri, connect_args=limits, poolclass=sa.NullPool)
    engine.connect().close()
    return engine


def _database_has_schema(uri: str) -> bool:
    import sqlalchemy as sa

    with readable_errors(uri):
        engine = connect(uri)
        try:
            return bool(sa.inspect(engine).has_table("experiments"))
        finally:
            engine.dispose()


def has_schema(path: Path) -> bool:
    """Whether a file is a SQLite database that some MLflow has prepared."""
    if not path.is_file():
        return False
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        query = "select 1 from sqlite_master where name = 'alembic_version'"
        return connection.execute(query).fetchone() is not None


def artifact_root(artifacts: str) -> str:
    """Return a folder or URL as the URL MLflow keeps."""
    return artifacts.rstrip("/") if "://" in artifacts else Path(artifacts).absolute().as_uri()


def artifact_folder(experiment: str) -> str:
    """Return the name of an experiment's folder below the root of artifacts."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment).strip("-.")[:60] or "experiment"
    return f"{slug}-{hashlib.sha256(experiment.encode()).hexdigest()[:8]}"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; the rest is for its traceback."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _innermost(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return first_line(error)
