"""Our values as MLflow's, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapterlab.records import State
from adapterlab.tracking.values import NODE_TAG, REASON_TAG, STATE_TAG, Node

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
NAME_TAG = "mlflow.runName"

_DIGEST_CHARACTERS = 32


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
