"""What finished runs hold, read back from MLflow: histories of metrics, JSON artifacts."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.tracking import store

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class RunReader:
    """Reads runs of one tracking store; changes nothing."""

    def __init__(self, uri: str) -> None:
        """Connect to a store.

        Args:
            uri: Tracking URI.

        Raises:
            UnavailableError: It does not answer, or was never prepared.
        """
        store.configure(uri)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        store.check_answers(uri)
        with store.readable_errors(uri):
            from mlflow.tracking import MlflowClient

            self._client: MlflowClient = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return a metric's steps and values in order of steps; empty where the run has none, or there is no run."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_metric_history(run_id, metric)
        except MlflowException:
            return []
        return sorted({one.step: float(one.value) for one in found}.items())

    def document(self, run_id: str, name: str) -> Any:
        """Return a JSON artifact; ``None`` where it is not there or cannot be read."""
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self._client.download_artifacts(run_id, name, folder)
                return json.loads(Path(path).read_text(encoding="utf-8"))
            except (MlflowException, OSError, ValueError):
                return None
