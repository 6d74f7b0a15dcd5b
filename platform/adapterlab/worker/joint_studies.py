"""The search of a joint run: trials that train it with other settings, judged evaluation by evaluation.

The objective is what the run itself is selected by: the mean validation loss over its tasks, which is minimised, or
the mean of their leading metrics. A trial may take days, so each of its runs is kept where it stands at every
evaluation, as joint runs are; the best trial's stay until the run of the same seed has gone on from them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from pydantic import ValidationError

from adapterlab.catalog.records import Claim, StudyRecord
from adapterlab.data.splits import fold_rows
from adapterlab.errors import CancelledError, UnavailableError, UsageError
from adapterlab.planning.steps import JointStudyJob, Settings
from adapterlab.records import (
    EpochResult,
    JointEvaluation,
    JointResult,
    JointSettings,
    LaneResult,
    State,
    TaskData,
)
from adapterlab.search.pruners import judges_runs
from adapterlab.search.study import Proposal, StudySearch, TrialRecord
from adapterlab.search.trials import COMPUTING, TRAINED_ROWS
from adapterlab.train.joint.loop import train_joint
from adapterlab.train.joint.run import JointRun
from adapterlab.worker.chosen import joint_at_setting
from adapterlab.worker.joint_models import go_on, joint_run, trial_checkpoint
from adapterlab.worker.open_study import ROUND_POLL_S, open_search
from adapterlab.worker.orders import StudyOrder, TrialsOrder
from adapterlab.worker.repeats import Judgement, Repeat, repeats_of
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.study_runs import by_state, none_completed, show_search, total_seconds
from adapterlab.worker.worker import Worker

_TELL_S = 2.0
"""Seconds between two words about the step a trial is at."""


def run_joint_trials(worker: Worker, order: TrialsOrder) -> dict[str, int]:
    """Train trials of a joint run's study beside other workers until its budget is spent.

    Returns:
        Number of trials by state.
    """
    claim, job = order.study.claim, order.study.job
    assert isinstance(job, JointStudyJob)
    study = _JointStudy(worker, claim.key, job, claim)
    with study.search() as search:
        return study.train_trials(search)


def run_joint_study(worker: Worker, order: StudyOrder) -> dict[str, int]:
    """Finish a joint run's study that this worker owns: the trials that are left, and its record.

    Returns:
        Number of trials by state.

    Raises:
        TrainingError: No trial of the study completed.
    """
    job, claim = order.job, order.claim
    assert isinstance(job, JointStudyJob)
    if (
        claim is None or worker.catalog.find_study(order.key) is not None
    ):  # an earlier try of this worker may have
        return {}
    study = _JointStudy(worker, order.key, job, claim)
    with study.search() as search:
        search.take_over()  # the claim on the study makes every trial of a lost worker this one's
        counts = study.train_trials(search)
        trials, best, name = search.trials(), search.best(), search.name
    if best is None:
        raise none_completed(job.label, job.search, trials, study.run)
    record = study.record(trials, best, study_name=name)
    if len(trials) > 1:  # before it is published: then nobody would do it again
        show_search(worker, study.run, record, study.title, budget=len(trials))
    worker.catalog.publish_study(record, claim)
    # Of the trials that were the best for a while, other workers, or this one before it was killed, may have left some.
    study.drop(
        [one for trial in trials if trial.number != best.number for one in study.checkpoints(trial.number)]
    )
    study.run.chosen(best.number, best.settings, record.best_value, "selected_by")
    study.run.end(State.COMPLETE)
    return counts


@dataclass
class _JointStudy:
    """A joint run's study while a worker has it open."""

    worker: Worker
    key: str
    job: JointStudyJob
    claim: Claim
    kept: tuple[float, list[str]] | None = None
    """Value of the best trial that this worker trained, and the keys of what its runs left."""

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.job.label} · {len(self.job.tasks)} tasks"

    @property
    def by_loss(self) -> bool:
        """Whether its objective is a loss, so that less is better."""
        return self.job.training.select_by == "loss"

    @cached_property
    def tasks(self) -> list[TaskData]:
        """The tasks, tokenised, in the order of the run."""
        return [self.worker.load_task(one.task, one.rows) for one in self.job.tasks]

    @cached_property
    def _folds(self) -> list[list[TaskData]]:
        """The tasks of each fold; every task's training rows are parted alike."""
        count = self.job.search.folds
        parts = [fold_rows(one.train, one.facts.problem_type, count) for one in self.tasks]
        return [
            [
                replace(task, train=some[fold][0], validation=some[fold][1])
                for task, some in zip(self.tasks, parts, strict=True)
            ]
            for fold in range(count)
        ]

    @cached_property
    def run(self) -> RunRecorder:
        """The study's own MLflow run."""
        return self.worker.tree.joint_study(self.key, self.job)

    def tasks_of(self, repeat: Repeat) -> list[TaskData]:
        """Return the tasks as one run of a trial sees them."""
        return self.tasks if repeat.fold is None else self._folds[repeat.fold]

    def search(self) -> StudySearch:
        """Open the study's trials."""
        return open_search(
            self.worker,
            self.job,
            self.job.spaces,
            self.claim,
            title=self.title,
            attributes={
                "target": ", ".join(one.task for one in self.job.tasks),
                "combiner": self.job.label,
                "metric": self.job.training.select_by,
                "pool": [],
            },
            direction="minimize" if self.by_loss else "maximize",
        )

    def train_trials(self, search: StudySearch) -> dict[str, int]:
        """Train trials, one after another, until the budget is spent.

        Returns:
            Number of trials by state.
        """
        counts: Counter[str] = Counter()
        while True:
            proposal = search.ask(self.worker.name)
            if proposal is not None:
                counts[_Trial(self, search, proposal).train()] += 1
            elif search.spent:
                return dict(counts)
            else:
                # Another worker of the study trains what is left of the round.
                self.worker.check_cancelled()
                time.sleep(ROUND_POLL_S)
                self.tell(search)

    def tell(self, search: StudySearch, detail: str = "") -> None:
        """Say how far the study is."""
        ended, best = search.standing()
        told = [f"trial {ended}/{search.budget}", *([detail] if detail else [])]
        if best is not None:
            told.append(f"best mean {self.job.training.select_by} {best:.3f}")
        self.worker.progress(self.claim, ended, search.budget, " · ".join(told))

    def keep(self, value: float, checkpoints: list[str]) -> None:
        """Keep what a complete trial's runs left if it is the best so far, the earliest of equals, and drop the other's."""
        sign = -1.0 if self.by_loss else 1.0
        if self.kept is not None and sign * value <= sign * self.kept[0]:
            self.drop(checkpoints)
            return
        former, self.kept = self.kept, (value, checkpoints)
        if former is not None:
            self.drop(former[1])

    def checkpoints(self, trial: int) -> list[str]:
        """Return the keys of what a trial's runs leave."""
        search = self.job.search
        repeats = repeats_of(search.seed, search.seeds, search.folds)
        return [trial_checkpoint(self.key, trial, one.seed, one.fold) for one in repeats]

    def drop(self, checkpoints: Sequence[str]) -> None:
        """Delete what runs left."""
        self.worker.drop_checkpoints(*checkpoints)

    def record(self, trials: Sequence[TrialRecord], best: TrialRecord, *, study_name: str) -> StudyRecord:
        """Return the study as the catalog keeps it."""
        job = self.job
        return StudyRecord(
            key=self.key,
            task="",
            task_digest="",
            tasks={one.facts.task: str(one.facts.content_digest) for one in self.tasks},
            backbone_digest=self.worker.context.backbone.digest,
            combiner=job.method,
            pool=(),
            metric=job.training.select_by,
            best_trial=best.number,
            best_value=best.value if best.value is not None else float("nan"),
            best_settings=dict(best.settings),
            trials=by_state(trials),
            settings=job.fixed,
            study_name=study_name,
            seconds=total_seconds(trials),
            train_rows=sum(int(one.attributes.get(TRAINED_ROWS, 0)) for one in trials),
            run_id=self.worker.catalog.run_id(self.run.node),
        )


class _Trial:
    """One trial: its runs, over seeds and folds, one after another."""

    def __init__(self, study: _JointStudy, search: StudySearch, proposal: Proposal) -> None:
        self.study, self.search, self.proposal = study, search, proposal
        job = study.job
        self.repeats = repeats_of(job.search.seed, job.search.seeds, job.search.folds)
        self.metric = job.training.select_by
        self.judgement = Judgement(
            len(self.repeats), self.metric, proposal.report, by_run=judges_runs(job.search.pruner)
        )
        self.recorder = study.worker.tree.joint_trial(
            study.run, job, proposal.number, proposal.settings, new=not proposal.taken_over
        )
        self._told_at = time.monotonic()

    def train(self) -> State:
        """Train it to its end and tell the search; return the state it has there.

        Raises:
            CancelledError: The sweep is to stop; its run is kept as it is.
        """
        self.study.tell(self.search)
        try:
            settings, training = joint_at_setting(self.study.job, self.proposal.settings)
            results = [
                self._train_run(number, repeat, settings, training)
                for number, repeat in enumerate(self.repeats)
                if self.judgement.state is State.RUNNING
            ]
        except (UsageError, ValidationError) as error:
            # The ends of ranges fit, which the spec was checked for; what lies between them need not.
            reason = str(error).splitlines()[0]
            self.recorder.end(State.FAILED, reason)
            return self.search.tell_failed(self.proposal.number, reason)
        return self._tell(results)

    def _train_run(
        self, number: int, repeat: Repeat, settings: Settings, training: JointSettings
    ) -> JointResult:
        study, job = self.study, self.study.job
        title = f"joint {job.label} · trial {self.proposal.number}"
        self._lane = f"{self.proposal.number}.{number}"
        study.worker.begin(self._lane, study.key, title)
        name = f"{job.label} · trial {self.proposal.number}, {repeat.name}"
        tasks = study.tasks_of(repeat)
        run = joint_run(study.worker, job.method, settings, training, tasks, seed=repeat.seed, name=name)
        checkpoint, blobs = self._checkpoint(repeat), study.worker.catalog.blobs
        goes_on = True
        if go_on(study.worker, run, checkpoint):  # what it found before counts as found now
            for evaluation in run.evaluations:
                goes_on = goes_on and self._judge(number, run, evaluation)

        def evaluated(run: JointRun, evaluation: JointEvaluation) -> bool:
            if run.reason is None:
                blobs.keep_checkpoint(checkpoint, run.checkpoint())
            study.worker.end(self._lane)  # what may take too long is the way to an evaluation, not the trial
            study.worker.begin(self._lane, study.key, title)
            return self._judge(number, run, evaluation)

        try:
            result = (
                train_joint(run, on_evaluation=evaluated, on_pass=lambda: self._passed(run))
                if goes_on
                else run.result(State.PRUNED)
            )
        except CancelledError:
            with suppress(UnavailableError):  # then it goes on from its last evaluation
                blobs.keep_checkpoint(checkpoint, run.checkpoint())
            raise
        self.judgement.end(number, self._as_lane(result))
        study.worker.end(self._lane)
        return result

    def _judge(self, number: int, run: JointRun, evaluation: JointEvaluation) -> bool:
        """Take note of an evaluation; return whether to go on."""
        if len(self.repeats) == 1:
            self.recorder.evaluation(evaluation, self.study.job.task_names)
        place = 1 + run.evaluations.index(evaluation)
        healthy = run.reason is None
        return self.judgement.epoch(number, self._as_epoch(place, evaluation), healthy=healthy) or not healthy

    def _as_epoch(self, place: int, evaluation: JointEvaluation) -> EpochResult:
        return EpochResult(
            epoch=place,
            train_loss=evaluation.train_loss,
            validation_loss=fmean(evaluation.losses.values()),
            metrics={self.metric: evaluation.selected_by},
            seconds=evaluation.seconds,
        )

    def _as_lane(self, result: JointResult) -> LaneResult:
        best = None if result.best is None else 1 + result.evaluations.index(result.best)
        epochs = tuple(self._as_epoch(place, one) for place, one in enumerate(result.evaluations, start=1))
        return LaneResult(result.name, result.state, epochs, best, reason=result.reason)

    def _checkpoint(self, repeat: Repeat) -> str:
        return trial_checkpoint(self.study.key, self.proposal.number, repeat.seed, repeat.fold)

    def _passed(self, run: JointRun) -> None:
        self.study.worker.check_cancelled()
        if time.monotonic() - self._told_at >= _TELL_S:
            self._told_at = time.monotonic()
            self.study.tell(self.search, f"step {run.step:,}/{run.settings.steps:,}")

    def _tell(self, results: Sequence[JointResult]) -> State:
        search, judged, number = self.search, self.judgement, self.proposal.number
        seconds, rows = (
            sum(one.seconds for one in results),
            sum(one.train_rows for one in results),
        )
        search.annotate(number, **{COMPUTING: seconds, TRAINED_ROWS: rows})
        left = self.study.checkpoints(number)
        state = judged.tell(search, number)
        if judged.is_complete:
            self.recorder.numbers({"best/selected_by": fmean(judged.values), "seconds": seconds})
        if len(self.repeats) > 1:
            for epoch in judged.mean_epochs():
                self.recorder.epoch(epoch)
        if state is State.COMPLETE and self.study.job.search.folds == 1:  # the run itself trains on all rows
            self.study.keep(fmean(judged.values), left)
        else:
            self.study.drop(left)
        self.recorder.end(state, judged.reason)
        self.study.tell(search)
        return state
