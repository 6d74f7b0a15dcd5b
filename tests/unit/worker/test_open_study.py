"""Trials are begun only by the process that has their study; who waits for a source notices that nobody does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from adapterlab import home
from adapterlab.catalog.records import Claim
from adapterlab.catalog.store import Catalog, open_catalog
from adapterlab.data.task_library import TaskLibrary
from adapterlab.errors import ClaimLostError
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.steps import Step, StudyJob
from adapterlab.search.storage import initialise
from adapterlab.search.study import StudySearch
from adapterlab.search.trials import free_trials, read_trials
from adapterlab.worker.open_study import Study, open_search
from adapterlab.worker.orders import BackboneFiles, Context
from adapterlab.worker.worker import Worker
from specs import facts, spec


@pytest.fixture
def catalog(tmp_path) -> Iterator[Catalog]:
    with open_catalog(f"sqlite:///{tmp_path / 'c.db'}", str(tmp_path / "b"), locks=tmp_path / "l") as opened:
        yield opened


@pytest.fixture(scope="module")
def step() -> Step[StudyJob]:
    plan = compile_plan(spec(), facts(spec()))
    return next(one for one in plan.studies if one.job.pool)


def worker_of(catalog: Catalog, folder: Path, name: str, *, patience_s: float = 0.0) -> Worker:
    """A worker without what trains: no backbone, no tree of runs."""
    stores = replace(home.stores(), studies=f"sqlite:///{folder / 'studies.db'}", home=folder)
    initialise(stores.studies, stores.locks)
    context = Context(
        sweep_key="k", name="n", stores=stores, experiment="x", patience_s=patience_s, max_length=24,
        backbone=BackboneFiles("f", "bert", "d", "float32"), library=TaskLibrary(folder / "cache", folder),
        max_train_rows=None, lanes=4, threads=1, gpu=False,
    )  # fmt: skip
    absent: Any = None
    return Worker(context, name, backbone=absent, catalog=catalog, tree=absent, capacity=absent)


def searched(worker: Worker, step: Step[StudyJob], claim: Claim) -> StudySearch:
    spaces = step.job.combiners[0].spaces
    return open_search(worker, step.job, spaces, claim, title="rte", attributes={})


def taken_over(catalog: Catalog, claim: Claim) -> Claim:
    """Give a step to another process, as if its owner had stood still for longer than its lease."""
    catalog.release([claim])
    return catalog.claim_many([claim.key], owner="another", lease_s=60)[claim.key]


def test_a_worker_begins_no_trial_of_a_study_that_another_process_has_taken_over(catalog, step, tmp_path):
    key = str(step.key)
    lost = catalog.claim_many([key], owner="one", lease_s=60)[key]
    with searched(worker_of(catalog, tmp_path, "one"), step, lost) as former:
        assert former.ask("one") is not None
        claim = taken_over(catalog, lost)
        with pytest.raises(ClaimLostError):
            former.ask("one")
        with searched(worker_of(catalog, tmp_path, "another"), step, claim) as search:
            search.take_over()
            again = search.ask("another")
            assert (again.number, again.taken_over) == (0, True)
            with pytest.raises(ClaimLostError):
                former.ask("one")
            search.tell_complete(0, 0.5)
            assert [trial.number for trial in search.trials()] == [0]


def test_a_worker_that_has_lost_a_study_sets_none_of_its_trials_free(catalog, step, tmp_path):
    key = str(step.key)
    lost = catalog.claim_many([key], owner="one", lease_s=60)[key]
    worker = worker_of(catalog, tmp_path, "one")
    with searched(worker, step, lost) as former:
        claim = taken_over(catalog, lost)
        with searched(worker_of(catalog, tmp_path, "another"), step, claim) as search:
            search.ask("another")
            with pytest.raises(ClaimLostError):
                former.take_over()
            (trial,) = read_trials(worker.context.stores.studies, search.name)
            assert trial.worker == "another"


def test_trials_are_set_free_under_the_lock_that_they_are_begun_under(catalog, step, tmp_path):
    """Else a trial that is being begun by a process that has just lost the study stays its own for ever."""
    key = str(step.key)
    claim = catalog.claim_many([key], owner="one", lease_s=60)[key]
    worker = worker_of(catalog, tmp_path, "one")
    stores = worker.context.stores
    with searched(worker, step, claim) as search:
        with search._guard():
            freeing = Thread(
                target=free_trials, args=(stores.studies, str(step.job.search_key), stores.locks)
            )
            freeing.start()
            freeing.join(0.5)
            assert freeing.is_alive()
        freeing.join()
        search.ask("one")
    free_trials(stores.studies, str(step.job.search_key), stores.locks)
    (trial,) = read_trials(stores.studies, search.name)
    assert trial.worker is None


def test_who_waits_for_a_source_that_nobody_does_any_more_stops_waiting(catalog, step, tmp_path):
    """A process that took it over may have been killed: the driver that waits has it trained itself."""
    key = str(step.key)
    claim = catalog.claim_many([key], owner="one", lease_s=60)[key]
    source, *others = {member.adapter_key for member in step.job.pool}
    left = catalog.claim_many([source], owner="another", lease_s=60)
    assert catalog.claim_many(others, owner="a third", lease_s=60).keys() == set(others)
    catalog.release(left.values())
    study = Study(worker_of(catalog, tmp_path, "one", patience_s=0.2), key, step.job, claim)
    with pytest.raises(ClaimLostError) as caught:
        study.wait_for_sources()
    assert caught.value.details["key"] == source
