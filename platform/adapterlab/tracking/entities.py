"""Tags, states, data sets and nodes of runs, and how they become MLflow's and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from adapterlab.records import State

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

NODE_TAG = "adapterlab.node"
"""A run's stable identity; the same after every resume."""
ROOT_TAG = "adapterlab.root"
"""The node of the tree's first run: one query finds the whole tree."""
ATTEMPT_TAG = "adapterlab.attempt"
"""Who opened the run last; later attempts sort after earlier ones."""
KIND_TAG = "adapterlab.kind"
"""What a run stands for, for example ``"trial"``."""
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

PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
NAME_TAG = "mlflow.runName"

_DIGEST_CHARACTERS = 32

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Marks an experiment as model training (MLflow's other kind is ``genai_development``)."""

MLFLOW_STATUS = {
    State.PENDING: "SCHEDULED",
    State.RUNNING: "RUNNING",
    State.COMPLETE: "FINISHED",
    State.PRUNED: "KILLED",
    State.FAILED: "FAILED",
    State.CANCELLED: "KILLED",
    State.STOPPED: "KILLED",
    State.REFUSED: "FAILED",
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


def node_of(run: MlflowRun, parent: str) -> Node:
    """Return what a tree shows of an MLflow run."""
    tags = run.data.tags
    status = str(run.info.status)
    return Node(
        node=tags.get(NODE_TAG, run.info.run_id),
        run_id=run.info.run_id,
        name=tags.get(NAME_TAG, ""),
        parent=parent,
        status=status,
        state=State(tags[STATE_TAG]) if tags.get(STATE_TAG) in set(State) else State.RUNNING,
        reason=tags.get(REASON_TAG),
    )


def dataset_inputs(datasets: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """Yield MLflow's dataset inputs; splits of one data set get names of their own."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    # MLflow joins inputs of one name and digest, whatever their context, so splits get names of their own.
    names = [(item["name"], item["digest"]) for item in datasets]
    for item in datasets:
        shared = names.count((item["name"], item["digest"])) > 1
        yield DatasetInput(
            Dataset(
                name=f"{item['name']}/{item['context']}" if shared else item["name"],
                digest=item["digest"][:_DIGEST_CHARACTERS],
                source_type="adapterlab",
                source=json.dumps({"uri": item["source"]}),
                profile=json.dumps({"num_rows": item["rows"]}) if item.get("rows") is not None else None,
            ),
            [InputTag("mlflow.data.context", item["context"])],
        )


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield ``items`` in runs of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def cut(text: str, characters: int) -> str:
    """Return ``text``, cut to so many characters with a mark that it was."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
