"""Sweeps as a whole, and the runs that belong to them."""

from __future__ import annotations

import json

import pytest

from adapterlab.catalog.records import SweepStep
from adapterlab.catalog.store import current_owner
from adapterlab.errors import ConflictError, NotFoundError
from adapterlab.records import State, StepKind
from catalogs import BOTH_DATABASES, LEASE_S, key, put_joint, put_selection, put_study

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
    assert catalog.sweep(key("sweep")) == catalog.sweep("glue") == catalog.sweep(key("sweep")[:4]) == first
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


# --- How they ended, and when -------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.CANCELLED, State.STOPPED, State.REFUSED, State.FAILED, State.KILLED])
def test_a_sweep_says_when_it_ended_and_why_until_it_is_submitted_again(catalog, state):
    first = opened(catalog)
    assert (first.reason, first.ended_at) == (None, None)
    assert first.started_at == pytest.approx(first.created_at)
    catalog.set_sweep_state(key("sweep"), state, "because")
    ended = catalog.sweep("glue")
    assert (ended.state, ended.reason) == (state, "because")
    assert ended.ended_at >= ended.started_at
    again = opened(catalog)
    assert (again.state, again.reason, again.ended_at) == (State.RUNNING, None, None)
    assert again.started_at >= ended.ended_at


def test_device_time_is_summed_over_submits(catalog):
    assert opened(catalog).device_seconds is None
    catalog.spend(key("sweep"), 2.5)
    opened(catalog)
    catalog.spend(key("sweep"), 4.0)
    assert catalog.sweep("glue").device_seconds == 6.5


# --- Which one is meant -------------------------------------------------------------------------


def begun(prefix: str) -> str:
    return prefix + key("rest")[len(prefix) :]


def test_a_key_is_known_by_the_first_digits_that_no_other_has(catalog):
    for one in ("abcd1", "abcd2"):
        catalog.open_sweep(begun(one), f"of {one}", "{}", STEPS)
    assert catalog.sweep("abcd1").name == "of abcd1"
    for ask in (catalog.sweep, catalog.only_sweep, catalog.request_cancel, catalog.archive):
        with pytest.raises(NotFoundError, match="2 sweeps have keys that begin with 'abcd'") as error:
            ask("abcd")
        assert sorted(error.value.details["candidates"]) == [begun("abcd1"), begun("abcd2")]
        assert "of abcd1" in error.value.message
    with pytest.raises(NotFoundError, match="no sweep named 'abc'"):
        catalog.sweep("abc")


def test_what_changes_a_sweep_does_not_guess_which_of_a_name_is_meant(catalog):
    opened(catalog, sweep="old")
    opened(catalog, sweep="new")
    for one in ("old", "new"):
        catalog.set_sweep_state(key(one), State.COMPLETE)
    with pytest.raises(NotFoundError, match="2 sweeps are named 'glue'") as error:
        catalog.archive("glue")
    assert key("old")[:12] in error.value.message
    assert key("new")[:12] in error.value.message
    assert [one.key for one in catalog.namesakes(catalog.sweep("glue"))] == [key("old")]
    assert catalog.archive(key("old")[:6]) is True
    assert catalog.only_sweep("glue").key == key("new")
    assert catalog.namesakes(catalog.sweep("glue")) == []


def test_cancel_means_the_one_of_a_name_that_runs(catalog):
    opened(catalog, sweep="old")
    opened(catalog, sweep="new")
    with pytest.raises(NotFoundError, match="2 sweeps are named"):
        catalog.request_cancel("glue")
    catalog.set_sweep_state(key("new"), State.COMPLETE)
    assert catalog.request_cancel("glue") is True
    assert catalog.cancel_requested(key("old"))
    assert not catalog.cancel_requested(key("new"))


# --- Put away -----------------------------------------------------------------------------------


def test_a_sweep_that_was_put_away_is_listed_on_request_and_found_by_its_name(catalog):
    opened(catalog)
    with pytest.raises(ConflictError, match=r"glue [0-9a-f]{12} is running"):
        catalog.archive("glue")
    catalog.set_sweep_state(key("sweep"), State.COMPLETE)
    assert (catalog.archive("glue"), catalog.archive("glue")) == (True, False)
    assert catalog.sweeps(archived=False) == []
    assert [one.archived for one in catalog.sweeps()] == [True]
    assert (catalog.sweep("glue").archived, len(catalog.sweep("glue").steps)) == (True, 2)
    assert (catalog.archive("glue", away=False), catalog.archive("glue", away=False)) == (True, False)
    assert len(catalog.sweeps(archived=False)) == 1
    catalog.archive("glue")
    assert opened(catalog).archived is False


def test_notes_and_tags_of_a_sweep_come_with_it(catalog):
    opened(catalog)
    catalog.annotate(key("sweep"), note="the one for the paper", add=["paper", "final"])
    assert (catalog.sweep("glue").note, catalog.sweep("glue").tags) == (
        "the one for the paper",
        ("final", "paper"),
    )
    assert catalog.sweeps()[0].tags == ("final", "paper")


def test_results_published_before_their_run_had_an_id_are_linked_to_it(catalog):
    for name, run in (("a", None), ("b", "made-elsewhere")):
        put_study(catalog, name, run_id=run)
        catalog.record_run(f"{key('sweep')}/{key(name)}", f"run-{name}")
    assert catalog.link_runs(key("sweep"), [key("a"), key("b"), key("c")]) == 1
    assert catalog.get_study(key("a")).run_id == "run-a"
    assert catalog.get_study(key("b")).run_id == "made-elsewhere"
    assert catalog.link_runs(key("sweep"), [key("a")]) == 0


def test_of_every_kind_of_result(catalog):
    for name, put in (("joint", put_joint), ("selection", put_selection)):
        put(catalog, name, run_id=None)
        catalog.record_run(f"{key('sweep')}/{key(name)}", f"run-{name}")
    assert catalog.link_runs(key("sweep"), [key("joint"), key("selection")]) == 2
    assert catalog.get_joint(key("joint")).run_id == "run-joint"
    assert catalog.get_selection(key("selection")).run_id == "run-selection"


def test_what_a_step_left_is_found_by_its_kind(catalog):
    left = {
        StepKind.JOINT: put_joint(catalog, "joint"),
        StepKind.SELECTION: put_selection(catalog, "selection"),
        StepKind.STUDY: put_study(catalog, "study"),
    }
    for kind, record in left.items():
        assert catalog.find_result(kind, record.key) == record
        assert all(catalog.find_result(other, record.key) is None for other in StepKind if other is not kind)
