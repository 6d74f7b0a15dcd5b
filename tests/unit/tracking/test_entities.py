"""Our values as MLflow's, and back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapterlab.records import State
from adapterlab.tracking.entities import (
    MLFLOW_STATUS,
    NAME_TAG,
    NODE_TAG,
    REASON_TAG,
    STATE_TAG,
    chunks,
    cut,
    dataset_inputs,
    node_of,
)


def run(status="RUNNING", **tags):
    """Return what MLflow has of a run."""
    return SimpleNamespace(info=SimpleNamespace(run_id="r1", status=status), data=SimpleNamespace(tags=tags))


@pytest.mark.parametrize("state", list(State))
def test_a_runs_state_is_finer_than_mlflows_status(state):
    tags = {NODE_TAG: "s/a", NAME_TAG: "a", STATE_TAG: str(state), REASON_TAG: "why"}
    found = node_of(run(MLFLOW_STATUS[state], **tags), "s")
    assert (found.node, found.name, found.parent, found.state, found.reason) == (
        "s/a",
        "a",
        "s",
        state,
        "why",
    )


@pytest.mark.parametrize("tags", [{}, {STATE_TAG: "dreaming"}])
def test_a_run_somebody_else_made_is_known_by_its_id(tags):
    found = node_of(run(**tags), "s")
    assert (found.node, found.name, found.state, found.reason) == ("r1", "", State.RUNNING, None)


def test_only_a_complete_run_is_finished():
    """Who asks MLflow for finished runs never meets a partial value."""
    assert [state for state, status in MLFLOW_STATUS.items() if status == "FINISHED"] == [State.COMPLETE]


def dataset(name, context, rows=None, digest="d" * 64):
    """Return a data set as the spool holds it."""
    return {"name": name, "digest": digest, "source": "hub:x", "context": context, "rows": rows}


def test_splits_of_one_data_set_get_names_of_their_own():
    pytest.importorskip("mlflow")
    splits = [dataset("glue/rte", "training", 100), dataset("glue/rte", "test"), dataset("glue/cb", "test")]
    inputs = list(dataset_inputs(splits))
    assert [one.dataset.name for one in inputs] == ["glue/rte/training", "glue/rte/test", "glue/cb"]
    assert [one.tags[0].value for one in inputs] == ["training", "test", "test"]
    assert json.loads(inputs[0].dataset.profile) == {"num_rows": 100}
    assert inputs[1].dataset.profile is None
    assert {len(one.dataset.digest) for one in inputs} == {32}, "MLflow takes 36 characters"


@given(items=st.lists(st.integers(), max_size=40), size=st.integers(1, 9))
def test_chunks_lose_nothing_and_keep_their_order(items, size):
    parts = list(chunks(items, size))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])


@given(text=st.text(max_size=30), most=st.integers(1, 30))
def test_a_text_is_cut_to_what_fits_and_says_so(text, most):
    found = cut(text, most)
    assert len(found) <= most
    assert found == text if len(text) <= most else found.endswith("…") and text.startswith(found[:-1])
