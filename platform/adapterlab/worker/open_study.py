"""A study while a worker has it open: its task, its combiners or method, its trials, its run in MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from adapterlab.catalog.records import Claim
from adapterlab.data.splits import fold_rows
from adapterlab.errors import ClaimLostError, TrainingError
from adapterlab.patience import NO_PATIENCE
from adapterlab.planning.steps import AnyStudy, FinalJob, StudyJob
from adapterlab.records import Examples, State, TaskData
from adapterlab.search.samplers import Spaces
from adapterlab.search.storage import study_lock
from adapterlab.search.study import SearchRecipe, StudySearch
from adapterlab.spec.search_space import TrialSetting
from adapterlab.train.lane import Lane
from adapterlab.worker.combiners import StudyCombiners
from adapterlab.worker.methods import StudyMethod
from adapterlab.worker.repeats import Repeat
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.worker import Worker

ROUND_POLL_S = 0.3
"""How often a worker with nothing to train asks whether the other workers have ended a study's round."""
_MINUTE_S = 60.0
_SOURCE_POLL_S = 0.5


@dataclass
class Study:
    """One study step on this worker."""

    worker: Worker
    key: str
    job: StudyJob
    claim: Claim | None
    """``None`` where it is complete already."""
    best: tuple[float, int, list[Lane]] | None = None
    """Value, number and lanes of the best trial this worker trained; another may have trained a better one."""

    @cached_property
    def task(self) -> TaskData:
        """The target, tokenised."""
        return self.worker.load_task(self.job.task, self.job.rows)

    def of_final(self, final: FinalJob) -> Study:
        """Return the study as a final run sees it: itself, or with rows and a pool of the run's own seed."""
        if final.rows is None or final.pool is None:
            return self
        task = self.job.task
        # The others are those of the study: of all that a final run's pool names, some may be selected.
        others = [one for one in self.job.pool if one.task != task]
        pool = (*others, *(one for one in final.pool if one.task == task))
        return replace(self, job=replace(self.job, rows=final.rows, pool=pool), best=None)

    def note(self, value: float, number: int, lanes: Sequence[Lane]) -> None:
        """Keep a trial's lanes, one a seed on the study's rows, if it is the best so far, the earliest of equals."""
        if self.best is None or (value, -number) > (self.best[0], -self.best[1]):
            self.best = value, number, list(lanes)

    def trained(self, number: int | None, seed: int) -> Lane | None:
        """Return the lane of a trial if it is at hand and has this seed, once."""
        lanes = [] if self.best is None or self.best[1] != number else self.best[2]
        lane = next((one for one in lanes if one.seed == seed), None)
        if lane is not None:
            lanes.remove(lane)
        return lane

    def wait_for_sources(self) -> None:
        """Wait until every source adapter is in the catalog; they are in training beside us, or another process has them.

        Raises:
            TrainingError: One of them failed.
            ClaimLostError: For longer than a lease nobody has had one of them: the process that had taken it over
                ended, and our driver, which has other things of its own to do, waits for us.
            CancelledError: The sweep is to stop.
        """
        keys = [member.adapter_key for member in self.job.pool]
        owned_at = dict.fromkeys(keys, time.monotonic())
        while True:
            statuses = self.worker.catalog.status(keys)
            for member in self.job.pool:
                if statuses[member.adapter_key].state is State.FAILED:
                    raise TrainingError(f"needs source {member.task}, which failed")
            waited_for = {key: one for key, one in statuses.items() if one.state is not State.COMPLETE}
            if not waited_for:
                return
            for key, one in waited_for.items():
                if one.owner is not None:
                    owned_at[key] = time.monotonic()
                elif time.monotonic() - owned_at[key] > self.worker.context.patience_s:
                    raise ClaimLostError(
                        f"source {key[:12]} is not there, and nobody trains it any more",
                        remedy="Nothing is lost: the driver has it trained, and goes on with the study.",
                        key=key,
                    )
            self.worker.check_cancelled()
            time.sleep(_SOURCE_POLL_S)

    @cached_property
    def combiners(self) -> StudyCombiners:
        """The study's combiners."""
        return StudyCombiners(self.worker, self.job, self.task)

    @cached_property
    def method(self) -> StudyMethod:
        """What a method's search trains."""
        return StudyMethod(self.worker, self.job, self.task)

    @cached_property
    def _folds(self) -> list[tuple[Examples, Examples]]:
        return fold_rows(self.task.train, self.task.facts.problem_type, self.job.search.folds)

    def trial_lane(self, setting: TrialSetting, repeat: Repeat, name: str) -> Lane:
        """Return the lane of one run of a trial.

        Raises:
            UsageError: The setting of a method's search fits not what it is for.
            pydantic.ValidationError: Likewise.
        """
        trained = self.method if self.job.method is not None else self.combiners.of(setting)
        lane = trained.lane(setting, seed=repeat.seed, name=name)
        if repeat.fold is None:
            return lane
        train, validation = self._folds[repeat.fold]
        return replace(lane, task=replace(self.task, train=train, validation=validation))

    @cached_property
    def run(self) -> RunRecorder:
        """The study's own MLflow run."""
        return self.worker.tree.study(self.key, self.job, self.task.facts)

    def search(self) -> StudySearch:
        """Open the study's trials."""
        facts, job = self.task.facts, self.job
        assert self.claim is not None, "a study that is not complete is done under a claim"
        of_each = {one.kind: one.spaces for one in job.combiners}
        return open_search(
            self.worker,
            job,
            of_each if job.chooses else job.spaces,
            self.claim,
            title=f"{job.task_name} · {job.shown}",
            attributes={
                "target": facts.task,
                "combiner": job.label,
                "metric": facts.metric,
                "pool": [member.task for member in job.pool],
            },
        )


def open_search(
    worker: Worker,
    job: AnyStudy,
    spaces: Spaces | Mapping[str, Spaces],
    claim: Claim,
    *,
    title: str,
    attributes: Mapping[str, Any],
    direction: str = "maximize",
) -> StudySearch:
    """Open the trials of a study, for as long as it is this worker's.

    A worker that stood still for longer than its driver's lease begins no trial of a study that another process
    has by then: that one would wait for it without end, or leave it out.

    Args:
        worker: Where it happens.
        job: The study's.
        spaces: Its dimensions; where it chooses the combiner, those of each combiner by its name.
        claim: The one on the study.
        title: What people call it.
        attributes: What the dashboard shows of it.
        direction: Of its objective.

    Raises:
        ClaimLostError: Another process has the study; likewise whenever the search is asked for a trial.
    """
    search, context = job.search, worker.context
    studies, search_key = context.stores.studies, str(job.search_key)
    catalog = worker.catalog.with_patience(NO_PATIENCE)  # the search waits, not whoever has its lock

    @contextmanager
    def guard() -> Iterator[None]:
        # Whoever takes the study over has the claim first and frees its trials after, under the same lock.
        with study_lock(studies, search_key, context.stores.locks):
            catalog.check(claim)
            yield

    return StudySearch.open(
        studies,
        search_key,
        SearchRecipe(
            spaces=spaces,
            trials=search.trials,
            direction=direction,
            sampler=search.sampler,
            pruner=search.pruner,
            pruning=search.pruning,
            start=search.start,
            seed=search.seed,
            limit_s=None if search.budget_minutes is None else search.budget_minutes * _MINUTE_S,
        ),
        title=title,
        attributes=attributes,
        guard=guard,
        patience=worker.patience,
    )
