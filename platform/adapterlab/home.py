"""Where state lives: the home folder, or the URLs that replace its parts on a cluster.

Precedence, for each of the four stores: command line > environment > spec > home folder.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from adapterlab.given_files import given_path

HOME_VARIABLE = "ADAPTERLAB_HOME"


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
        return Path(self.home) / "locks"

    @property
    def spool(self) -> Path:
        """Folder where what is logged waits until it is in MLflow."""
        return Path(self.home) / "spool"

    @property
    def cache(self) -> Path:
        """Folder of this machine's digests and tokenised tasks."""
        return Path(self.home) / "cache"


def home_folder() -> Path:
    """Return the home folder: ``$ADAPTERLAB_HOME``, or the user's data folder."""
    chosen = os.environ.get(HOME_VARIABLE)
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
    """
    home = home_folder()
    environment = os.environ.get
    return Stores(
        home=str(home),
        catalog=environment("ADAPTERLAB_CATALOG") or catalog or f"sqlite:///{home / 'catalog.db'}",
        blobs=environment("ADAPTERLAB_BLOBS") or blobs or str(home / "blobs"),
        tracking=environment("MLFLOW_TRACKING_URI") or tracking or f"sqlite:///{home / 'mlflow.db'}",
        artifacts=str(home / "artifacts"),
        studies=environment("ADAPTERLAB_STUDIES") or studies or f"sqlite:///{home / 'studies.db'}",
    )
