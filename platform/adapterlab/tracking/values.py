"""Plain values of this floor: tag names, datasets, states as MLflow says them, and run ids kept outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from adapterlab.records import State

NODE_TAG = "adapterlab.node"
"""A run's stable identity; the same after every resume."""
ROOT_TAG = "adapterlab.root"
"""The node of the tree's first run: one query finds the whole tree."""
ATTEMPT_TAG = "adapterlab.attempt"
"""Who opened the run last; later attempts sort after earlier ones."""
STATE_TAG = "adapterlab.state"
"""One of :class:`adapterlab.records.State`, finer than MLflow's own status."""
REASON_TAG = "adapterlab.state_reason"
"""Why a run was pruned, failed or was killed."""
NON_FINITE_TAG = "adapterlab.non_finite"
"""Which points were not finite, for example ``"train/loss inf at step 7"``."""
VERSION_TAG = "adapterlab.version"
"""Version of adapterlab that made the run."""
COMMIT_TAG = "adapterlab.git_commit"
"""Commit of that code, ending in ``+dirty`` where it had changes; absent outside a git checkout."""

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Marks an experiment as model training (MLflow's other kind is ``genai_development``)."""

MLFLOW_STATUS = {
    State.PENDING: "SCHEDULED",
    State.RUNNING: "RUNNING",
    State.COMPLETE: "FINISHED",
    State.PRUNED: "KILLED",
    State.FAILED: "FAILED",
    State.KILLED: "KILLED",
}
"""Pruned is KILLED, not FINISHED: a search for ``status = 'FINISHED'``, which everybody writes to find the
best run, then never meets a partial value. It is also what MLflow's own Optuna storage does.

Source: mlflow/mlflow:mlflow/optuna/storage.py@v3.17.2
"""


@dataclass(frozen=True)
class Dataset:
    """One data set a run reads, shown by MLflow beside the run."""

    name: str
    """For example ``"glue/rte"``."""
    digest: str
    """Content digest; MLflow keeps at most 36 characters, so the first 32 are used."""
    source: str
    """Where it comes from, for example ``"synthetic"`` or ``"hub:nyu-mll/glue@<commit>"``."""
    context: Literal["training", "validation", "test"]
    rows: int | None = None


@dataclass(frozen=True)
class Node:
    """One run of a tree, as MLflow knows it."""

    node: str
    run_id: str
    name: str
    parent: str | None
    """Node of the run above it."""
    status: str
    """MLflow's status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``."""
    state: State
    reason: str | None = None


@runtime_checkable
class RunIds(Protocol):
    """Keeps which MLflow run stands for a node; the catalog implements it.

    It is a short cut, and between machines it decides who was first. Without it, or where it is wrong,
    runs are found by their tag. Calls come from a background thread; what they raise is logged.
    """

    def get(self, node: str) -> str | None:
        """Return the run id kept for ``node``, if any."""

    def put(self, node: str, run_id: str) -> str:
        """Keep ``run_id`` for ``node``, unless one is kept already: the first one stays, and is returned."""
