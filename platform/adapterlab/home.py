"""Where state lives: the home folder, or the URLs that replace its parts on a cluster.

Precedence, for each of the four stores: command line > environment > spec > home folder.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

import platformdirs

from adapterlab.errors import UsageError
from adapterlab.given_files import given_path

HOME_VARIABLE = "ADAPTERLAB_HOME"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SQLITE, _SPELLED_OUT = "sqlite:///", "sqlite+pysqlite:///"
_LONGEST_FILE = 503
"""Bytes in the path of a SQLite file: SQLite takes 512 with what it appends for the journal, and tells no reason."""


@dataclass(frozen=True)
class Stores:
    """The four places state is kept, as URLs; JSON-able through ``asdict``."""

    home: str
    """Absolute path of the home folder; locks and caches are always there."""
    catalog: str
    """SQLAlchemy URL of the catalog."""
    blobs: str
    """Folder or fsspec URL of the weights."""
    tracking: str
    """MLflow tracking URI."""
    artifacts: str
    """Folder or URL of MLflow's artifacts; used when the tracking store is ours."""
    studies: str
    """Database URL of the Optuna studies."""

    def to_json(self) -> dict[str, str]:
        """Return the stores as a JSON-able mapping."""
        return asdict(self)

    @property
    def locks(self) -> Path:
        """Folder of this machine's lock files."""
        return self._writable("locks")

    @property
    def spool(self) -> Path:
        """Folder where what is logged waits until it is in MLflow."""
        return self._writable("spool")

    @property
    def cache(self) -> Path:
        """Folder of this machine's digests and tokenised tasks."""
        return self._writable("cache")

    def _writable(self, name: str) -> Path:
        """Return a folder of the home; of a home that may only be read, one of the user's own caches instead."""
        if is_writable(Path(self.home)):
            return Path(self.home) / name
        return platformdirs.user_cache_path("adapterlab") / name


def home_folder() -> Path:
    """Return the home folder: ``$ADAPTERLAB_HOME``, or the user's data folder.

    Raises:
        NotFoundError: It cannot be a path here.
        UsageError: It is a URL.
    """
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen and (scheme := _SCHEME.match(chosen)):
        raise UsageError(
            f"{HOME_VARIABLE} is a folder of this machine, got a URL ({scheme.group()}…)",
            remedy="Name a folder; weights elsewhere are for ADAPTERLAB_BLOBS, databases for ADAPTERLAB_CATALOG.",
        )
    folder = given_path(chosen, HOME_VARIABLE) if chosen else platformdirs.user_data_path("adapterlab")
    return folder.absolute()


def stores(
    *,
    catalog: str | None = None,
    blobs: str | None = None,
    tracking: str | None = None,
    studies: str | None = None,
) -> Stores:
    """Return the stores, filling what is absent from the environment and the home folder.

    Args:
        catalog: Database URL from the command line or spec.
        blobs: Folder or fsspec URL.
        tracking: MLflow tracking URI.
        studies: Database URL.

    Raises:
        NotFoundError: The home folder cannot be a path here.
        UsageError: It is a URL, or a database in it has a longer path than SQLite takes.
    """
    home = home_folder()
    environment = os.environ.get
    return Stores(
        home=str(home),
        catalog=environment("ADAPTERLAB_CATALOG") or catalog or sqlite_url(home / "catalog.db"),
        blobs=environment("ADAPTERLAB_BLOBS") or blobs or str(home / "blobs"),
        tracking=environment("MLFLOW_TRACKING_URI") or tracking or sqlite_url(home / "mlflow.db"),
        artifacts=str(home / "artifacts"),
        studies=environment("ADAPTERLAB_STUDIES") or studies or sqlite_url(home / "studies.db"),
    )


def is_writable(folder: Path) -> bool:
    """Return whether a folder can be written, or made; a file system may be read-only for everybody."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)


def sqlite_url(file: Path) -> str:
    """Return the URL of a SQLite file, whatever letters its path has.

    Raises:
        UsageError: The path is longer than SQLite takes.
    """
    if (length := len(os.fsencode(file))) > _LONGEST_FILE:
        raise UsageError(
            f"{str(file)[:60]}…: a path of {length} bytes, SQLite takes {_LONGEST_FILE}",
            remedy=f"Choose a folder with a shorter path ({HOME_VARIABLE}).",
        )
    # In a URL these two mean something; SQLAlchemy takes all others as they are.
    path = str(file).replace("%", "%25").replace("?", "%3F")
    # Behind the short scheme MLflow would make a folder of the path as it is spelled here.
    return f"{_SQLITE if path == str(file) else _SPELLED_OUT}{path}"


def sqlite_file(url: str) -> Path | None:
    """Return the file behind a ``sqlite:///`` URL; ``None`` for other databases and for one in memory."""
    scheme, _, rest = url.partition(":///")
    path = unquote(rest.partition("?")[0])
    return Path(path) if scheme.split("+")[0] == "sqlite" and path not in ("", ":memory:") else None
