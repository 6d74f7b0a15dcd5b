"""Sweeps as a whole, and the runs that belong to them."""

from __future__ import annotations

import json

import pytest

from adapterlab.catalog.records import SweepStep
from adapterlab.catalog.store import current_owner
from adapterlab.errors import NotFoundError
from adapterlab.records import State, StepKind
from catalogs import BOTH_DATABASES, LEASE_S, key

pytestmark = pytest.mark.parametrize("catalog_url", BOTH_DATABASES, indirect=True)

STEPS = (
    SweepStep(0, key("a"), StepKind.SOURCE, "source · rte · seed 0", id="source/glue/rte/seed=0"),
    SweepStep(
        1,
        None,
        StepKind.STUDY,
        "study · cb · scalearn",
        needs=("source/glue/rte/seed=0",),
        id="study/superglue/cb/scalearn",
    ),
)
DEAD = json.dumps(json.loads(current_owner()) | {"started": 1})


def opened(catalog, name="glue", sweep="sweep", **settings):
    """Open a sweep of two steps."""
    return catalog.open_sweep(key(sweep), name, '{"name":"glue"}', STEPS, **settings)


def test_a_sweep_comes_back_with_its_steps_in_order(catalog):
    first = opened(catalog)
    assert (first.name, first.state, first.cancel_requested) == ("glue", State.RUNNING, False)
    assert [(one.position, one.key, one.kind, one.title) for one in first.steps] == [
        (0, key("a"), StepKind.SOURCE, "source · rte · seed 0"),
        (1, None, StepKind.STUDY, "study · cb · scalearn"),
    ]
    assert first.steps == STEPS
    assert json.loads(first.spec) == {"name": "glue"}
    assert catalog.sweep(key("sweep")) == catalog.sweep("glue") == catalog.sweep(key("sweep")[:8]) == first
    json.dumps(first.to_json())


def test_opening_again_replaces_the_steps_and_forgets_a_cancel(catalog):
    first = opened(catalog)
    assert catalog.request_cancel("glue") is True
    assert catalog.cancel_requested(key("sweep"))
    again = catalog.open_sweep(key("sweep"), "renamed", "{}", STEPS[:1])
    assert (again.name, len(again.steps), again.cancel_requested) == ("renamed", 1, False)
    assert again.created_at == first.created_at
    assert len(catalog.sweeps()) == 1


def test_the_latest_sweep_of_a_name_is_meant(catalog):
    opened(catalog, sweep="old")
    opened(catalog, sweep="new")
    assert catalog.sweep("glue").key == key("new")
    assert [one.key for one in catalog.sweeps()] == [key("new"), key("old")]
    assert [one.key for one in catalog.sweeps(limit=1)] == [key("new")]


def test_cancelling_a_finished_sweep_does_nothing(catalog):
    opened(catalog)
    catalog.set_sweep_state(key("sweep"), State.COMPLETE)
    assert catalog.request_cancel("glue") is False
    assert not catalog.cancel_requested(key("sweep"))
    assert catalog.sweep("glue").state is State.COMPLETE


def test_an_unknown_sweep_names_the_nearest(catalog):
    with pytest.raises(NotFoundError, match="no sweep named 'gleu'") as error:
        catalog.sweep("gleu")
    assert "No spec was submitted" in error.value.remedy
    opened(catalog)
    with pytest.raises(NotFoundError) as error:
        catalog.request_cancel("gleu")
    assert "Did you mean 'glue'?" in error.value.remedy
    with pytest.raises(NotFoundError):
        catalog.set_sweep_state(key("other"), State.FAILED)
    assert not catalog.cancel_requested(key("other"))


def test_a_sweep_whose_process_is_gone_is_killed_not_running(catalog):
    opened(catalog, owner=DEAD)
    assert catalog.sweep("glue").state is State.KILLED
    assert catalog.sweeps()[0].state is State.KILLED
    catalog.claim_many([key("a")], owner=current_owner(), lease_s=LEASE_S)
    assert catalog.sweep("glue").state is State.RUNNING


def test_the_first_run_of_a_node_is_kept_unless_replaced(catalog):
    assert catalog.run_id("step") is None
    assert catalog.record_run("step", "run-1") == "run-1"
    assert catalog.record_run("step", "run-2") == "run-1"
    assert catalog.run_id("step") == "run-1"
    assert catalog.record_run("step", "run-3", replace=True) == "run-3"
    assert catalog.run_id("step") == "run-3"


def test_sweeps_are_found_by_a_step_the_last_changed_first(catalog):
    opened(catalog, sweep="one")
    opened(catalog, name="other", sweep="two")
    assert {one.name for one in catalog.sweeps_with(key("a"))} == {"glue", "other"}
    assert catalog.sweeps_with(key("a"))[0].steps == ()
    assert catalog.sweeps_with(key("b")) == []
