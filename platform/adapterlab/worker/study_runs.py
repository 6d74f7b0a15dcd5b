"""Search one combiner on one target, or a method's training on one task; then train the chosen setting over seeds.

The objective is the validation metric. Trials and seeds are lanes of the same engine on the same
frozen pool; the test split is seen by final runs only, once.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from adapterlab.catalog.records import Claim, CoefficientRecord, PoolEntry, StudyRecord, TransferRecord
from adapterlab.data import run_predictions
from adapterlab.data.splits import fold_rows
from adapterlab.errors import AdapterlabError, TrainingError, UsageError
from adapterlab.planning.steps import FinalJob, PoolMember, SourceJob, StudyJob
from adapterlab.provenance import provenance_of
from adapterlab.records import EpochResult, Examples, LaneResult, State, TaskData
from adapterlab.search.pictures import PicturedStudy, study_pictures
from adapterlab.search.pruners import judges_runs
from adapterlab.search.study import Proposal, SearchRecipe, StudySearch, TrialRecord
from adapterlab.search.trials import COMPUTING, RUN_VALUES, TRAINED_ROWS
from adapterlab.spec.search_space import Setting, TrialSetting
from adapterlab.train import weights
from adapterlab.train.capacity import is_out_of_memory
from adapterlab.train.combination import Combination
from adapterlab.train.lane import Lane
from adapterlab.train.layers import MEAN_COEFFICIENTS, Coefficients
from adapterlab.train.shares import output_shares
from adapterlab.worker.chosen import settings_of
from adapterlab.worker.combiners import StudyCombiners
from adapterlab.worker.methods import StudyMethod
from adapterlab.worker.orders import Assignment, StudyOrder, TrialsOrder
from adapterlab.worker.repeats import Judgement, Repeat, repeats_of
from adapterlab.worker.run_tree import RunRecorder
from adapterlab.worker.source_runs import train_adapters
from adapterlab.worker.training import train_runs
from adapterlab.worker.worker import Worker

_log = logging.getLogger(__name__)

_MINUTE_S = 60.0
_SOURCE_POLL_S = 0.5
_PROGRESS_S = 0.5
"""Progress is for people: trivial trials write it no oftener than they can look."""
_ROUND_POLL_S = 0.3
"""How often a worker with nothing to train asks whether the other workers have ended a study's round."""


def run_trials(worker: Worker, order: TrialsOrder) -> dict[str, int]:
    """Train trials of a study beside other workers until its budget is spent.

    Returns:
        Number of trials by state.
    """
    claim = order.study.claim
    study = _Study(worker, claim.key, order.study.job, claim)
    with study.search() as search:
        return _train_trials(study, search, claim)


def run_study(worker: Worker, order: StudyOrder) -> dict[str, int]:
    """Finish a study that this worker owns: the trials that are left, its record, and its final runs or adapters.

    Returns:
        Number of final runs by state.

    Raises:
        TrainingError: No trial of the study completed.
    """
    study = _Study(worker, order.key, order.job, order.claim)
    study.wait_for_sources()
    record = worker.catalog.find_study(study.key)
    if record is None:
        record = _search(study)
    if study.job.method is None:
        return _train_finals(study, record, order.finals)
    return _train_adapters(study, record, order.adapters)


@dataclass
class _Study:
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

    def of_final(self, final: FinalJob) -> _Study:
        """Return the study as a final run sees it: itself, or with rows and a pool of the run's own seed."""
        if final.rows is None or final.pool is None:
            return self
        return replace(self, job=replace(self.job, rows=final.rows, pool=final.pool), best=None)

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
        """Wait until every source adapter is in the catalog; they are in training beside us.

        Raises:
            TrainingError: One of them failed.
            CancelledError: The sweep is to stop.
        """
        keys = [member.adapter_key for member in self.job.pool]
        while True:
            statuses = self.worker.catalog.status(keys)
            for member in self.job.pool:
                if statuses[member.adapter_key].state is State.FAILED:
                    raise TrainingError(f"needs source {member.task}, which failed")
            if all(one.state is State.COMPLETE for one in statuses.values()):
                return
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
        search, facts = self.job.search, self.task.facts
        of_each = {one.kind: one.spaces for one in self.job.combiners}
        return StudySearch.open(
            self.worker.context.stores.studies,
            str(self.job.search_key),
            SearchRecipe(
                spaces=of_each if self.job.chooses else self.job.spaces,
                trials=search.trials,
                sampler=search.sampler,
                pruner=search.pruner,
                pruning=search.pruning,
                start=search.start,
                seed=search.seed,
                limit_s=None if search.budget_minutes is None else search.budget_minutes * _MINUTE_S,
            ),
            title=f"{self.job.task_name} · {self.job.shown}",
            attributes={
                "target": facts.task,
                "combiner": self.job.label,
                "metric": facts.metric,
                "pool": [member.task for member in self.job.pool],
            },
            locks=self.worker.context.stores.locks,
            patience=self.worker.patience,
        )


# -- trials ---------------------------------------------------------------------------------------


def _search(study: _Study) -> StudyRecord:
    claim = study.claim
    assert claim is not None, "a study that is not complete is done under a claim"
    with study.search() as search:
        search.take_over()  # the claim on the study makes every trial of a lost worker this one's
        _train_trials(study, search, claim)
        trials, best, name = search.trials(), search.best(), search.name
    if best is None:
        reasons = sorted({trial.reason for trial in trials if trial.reason})
        message = f"{study.job.task} · {study.job.label}: no trial completed"
        study.run.end(State.FAILED, message)
        raise TrainingError(
            f"{message}: {'; '.join(reasons) or 'all were pruned'}",
            remedy='Lower the learning rates that are searched, or set search.pruner = "none".'
            if study.job.search.budget_minutes is None
            else "Raise search.budget_minutes, or lower the learning rates that are searched.",
        )
    record = _study_record(study, trials, best, study_name=name)
    if len(trials) > 1:
        _show_search(
            study, record, budget=len(trials)
        )  # before it is published: then nobody would do it again
    study.worker.catalog.publish_study(record, claim)
    study.run.chosen(best.number, best.settings, record.best_value, study.task.facts.metric)
    return record


def _show_search(study: _Study, record: StudyRecord, *, budget: int) -> None:
    """Store the pictures of a study's search; a study whose pictures cannot be drawn is as good without."""
    stores = study.worker.context.stores
    pictured = PicturedStudy(
        key=record.key,
        name=str(record.study_name),
        title=f"{study.job.task_name} · {study.job.shown}",
        metric=record.metric,
        trials=budget,
    )
    with suppress(AdapterlabError, OSError, ValueError, RuntimeError):
        for name, png in study_pictures(stores.studies, pictured, cache=stores.cache).items():
            study.run.search_picture(name, png)


def _train_trials(study: _Study, search: StudySearch, claim: Claim) -> dict[str, int]:
    trials = _Trials(study, search, claim)
    trials.show_progress()
    counts: Counter[str] = Counter()
    while True:
        counts.update(train_runs(study.worker, trials.next_run))
        trials.show_progress()
        if search.spent:
            return dict(counts)
        # Another worker of the study trains what is left of the round. Should the study fail with it, its claim is
        # given back, and showing progress raises.
        study.worker.check_cancelled()
        time.sleep(_ROUND_POLL_S)


@dataclass
class _Trials:
    """The trials of a study that this worker trains."""

    study: _Study
    search: StudySearch
    claim: Claim
    _shown: float = field(default_factory=time.monotonic)
    _coming: deque[_Repetition] = field(default_factory=deque)
    """Runs of begun trials that wait for a place."""

    def next_run(self) -> _TrialRun | _Repetition | None:
        """Return the next run of a trial, if there is one now."""
        while self._coming:
            if (run := self._coming.popleft()).start():
                return run
        while (proposal := self.search.ask(self.study.worker.name)) is not None:
            if (begun := self._begin(proposal)) is not None:
                return begun
        return None

    def _begin(self, proposal: Proposal) -> _TrialRun | _Repetition | None:
        """Start a trial; ``None`` where its setting cannot be trained, which it is told to have failed for."""
        study, worker, search = self.study, self.study.worker, self.study.job.search
        name = str(proposal.number)
        first, *others = repeats_of(search.seed, search.seeds, search.folds)
        worker.begin(name, study.key, f"{study.job.task_name} · {study.job.shown} · trial {name}")
        run = worker.tree.trial(
            study.run,
            study.job,
            proposal.number,
            proposal.settings,
            study.task.facts,
            new=not proposal.taken_over,
        )
        try:
            lane = study.trial_lane(TrialSetting.of(proposal.settings), first, name)
        except (UsageError, ValidationError) as error:
            if study.job.method is None:
                raise
            # The ends of ranges fit, which the spec was checked for; what lies between them need not.
            reason = str(error).splitlines()[0]
            self.search.tell_failed(proposal.number, reason)
            run.end(State.FAILED, reason)
            worker.end(name)
            return None
        if not others:
            return _TrialRun(self, proposal, run, lane)
        trial = _Repeated(self, proposal, run, 1 + len(others))
        self._coming += [_Repetition(trial, number, one) for number, one in enumerate(others, start=1)]
        trial.lanes[0] = lane
        return _Repetition(trial, 0, first)

    def tell(self, proposal: Proposal, result: LaneResult) -> State:
        """Tell the search how a trial ended; return the state it has there."""
        if result.state is State.COMPLETE and result.best is not None:
            return self.search.tell_complete(
                proposal.number, result.best.metrics[self.study.task.facts.metric]
            )
        if result.state is State.PRUNED:
            return self.search.tell_pruned(proposal.number)
        return self.search.tell_failed(proposal.number, result.reason or "it ended without a result")

    def ended(self) -> None:
        """Show how far the study is, if that was not done just now."""
        if time.monotonic() - self._shown > _PROGRESS_S:
            self.show_progress()
            self._shown = time.monotonic()

    def show_progress(self) -> None:
        """Say how far the study is."""
        ended, best = self.search.standing()
        detail = f"trial {ended}/{self.search.budget}"
        if best is not None:
            detail += f" · best {self.study.task.facts.metric} {best:.3f}"
        self.study.worker.progress(self.claim, ended, self.search.budget, detail)


@dataclass
class _TrialRun:
    """One trial in training."""

    trials: _Trials
    proposal: Proposal
    run: RunRecorder
    lane: Lane

    def epoch(self, result: EpochResult) -> bool:
        self.run.epoch(result)
        value = result.metrics[self.trials.study.task.facts.metric]
        return self.lane.reason is not None or not self.proposal.report(value, result.epoch)

    def end(self, result: LaneResult) -> None:
        study, best = self.trials.study, result.best
        self.trials.search.annotate(self.proposal.number, **{COMPUTING: result.seconds})
        state = self.trials.tell(self.proposal, result)
        if state is State.COMPLETE and best is not None:
            study.note(best.metrics[study.task.facts.metric], self.proposal.number, [self.lane])
        if best is not None:
            self.run.outcome(result, study.task.facts.metric, _size(weights.without_head(result.tensors)))
        self.run.end(state, result.reason)
        self.trials.ended()


class _Repeated:
    """One trial in training that is judged by several runs."""

    def __init__(self, trials: _Trials, proposal: Proposal, run: RunRecorder, runs: int) -> None:
        self.trials, self.proposal, self.run = trials, proposal, run
        metric, pruner = trials.study.task.facts.metric, trials.study.job.search.pruner
        self.judgement = Judgement(runs, metric, proposal.report, by_run=judges_runs(pruner))
        self.lanes: dict[int, Lane] = {}
        """By number of the run, those that have begun."""

    def end(self, number: int, result: LaneResult) -> None:
        judged = self.judgement
        judged.end(number, result)
        decided = judged.state is not State.RUNNING or len(judged.ended) == judged.runs
        if decided and len(judged.ended) == len(self.lanes):  # what has begun has ended
            self._tell()

    def _tell(self) -> None:
        trials, judged, number = self.trials, self.judgement, self.proposal.number
        study, search = trials.study, trials.search
        seconds = sum(one.seconds for one in judged.ended.values())
        rows = sum(
            count * len(self.lanes[run].task.train.lengths)
            for run, count in enumerate(judged.counted)
            if run in self.lanes
        )
        search.annotate(number, **{COMPUTING: seconds, TRAINED_ROWS: rows})
        for epoch in judged.mean_epochs():
            self.run.epoch(epoch)
        if judged.state is State.PRUNED:
            state = search.tell_pruned(number)
        elif judged.state is State.FAILED:
            state = search.tell_failed(number, judged.reason or "it ended without a result")
        else:
            values = judged.values
            search.annotate(number, **{RUN_VALUES: values})
            state = search.tell_complete(number, fmean(values))
            tensors = judged.ended[0].tensors
            parameters = _size(weights.without_head(tensors))
            self.run.several(judged.metric, judged.mean_best(), seconds=seconds, parameters=parameters)
            if study.job.search.folds == 1:  # the final runs train on all rows
                study.note(fmean(values), number, list(self.lanes.values()))
        self.run.end(state, judged.reason)
        trials.ended()


@dataclass
class _Repetition:
    """One run of a trial that is judged by several."""

    trial: _Repeated
    number: int
    repeat: Repeat

    def start(self) -> bool:
        """Make its lane; ``False`` where the trial has ended meanwhile."""
        trial = self.trial
        if trial.judgement.state is not State.RUNNING:
            return False
        study, name = trial.trials.study, f"{trial.proposal.number}.{self.number}"
        shown = f"trial {trial.proposal.number}, {self.repeat.name}"
        study.worker.begin(name, study.key, f"{study.job.task_name} · {study.job.label} · {shown}")
        setting = TrialSetting.of(trial.proposal.settings)
        trial.lanes[self.number] = study.trial_lane(setting, self.repeat, name)
        return True

    @property
    def lane(self) -> Lane:
        return self.trial.lanes[self.number]

    def epoch(self, result: EpochResult) -> bool:
        healthy = self.lane.reason is None
        return self.trial.judgement.epoch(self.number, result, healthy=healthy) or not healthy

    def end(self, result: LaneResult) -> None:
        self.trial.end(self.number, result)


def _study_record(
    study: _Study, trials: Sequence[TrialRecord], best: TrialRecord, *, study_name: str
) -> StudyRecord:
    facts, job = study.task.facts, study.job
    states = [str(trial.state) for trial in trials]
    return StudyRecord(
        key=study.key,
        task=facts.task,
        task_digest=str(facts.content_digest),
        backbone_digest=study.worker.context.backbone.digest,
        combiner=job.combiner,
        pool=tuple(_entry(member) for member in job.pool),
        metric=facts.metric,
        best_trial=best.number,
        best_value=best.value if best.value is not None else float("nan"),
        best_settings=dict(best.settings),
        trials={state: states.count(state) for state in sorted(set(states))},
        settings=job.settings,
        study_name=study_name,
        seconds=_total([trial.seconds for trial in trials]),
        train_rows=sum(_trained_rows(trial, len(study.task.train.lengths)) for trial in trials),
        run_id=study.worker.catalog.run_id(study.run.node),
    )


def _trained_rows(trial: TrialRecord, rows: int) -> int:
    """Return the rows a trial trained on; of one with several runs as they were noted."""
    return int(trial.attributes.get(TRAINED_ROWS, len(trial.intermediate) * rows))


def _total(seconds: Sequence[float | None]) -> float | None:
    """Return the computing of all trials; ``None`` where some were trained by a version that did not note it."""
    known = [one for one in seconds if one is not None]
    return sum(known) if len(known) == len(seconds) else None


def _entry(member: PoolMember) -> PoolEntry:
    """Return a member as the catalog keeps it: with its name where its task does not tell it from others."""
    own = member.name not in (member.task, member.task.rsplit("/", 1)[-1])
    return PoolEntry(member.adapter_key, member.task, member.name if own else None)


# -- final runs -----------------------------------------------------------------------------------


def _train_finals(
    study: _Study, record: StudyRecord, finals: Sequence[Assignment[FinalJob]]
) -> dict[str, int]:
    worker, settings = study.worker, settings_of(record)
    waiting = deque(finals)

    def next_run() -> _FinalRun | None:
        while waiting:
            final = waiting.popleft()
            if worker.catalog.find_transfer(final.claim.key) is None:
                return _begin(study.of_final(final.job), record, final, settings, under=study.run)
        return None

    counts = train_runs(worker, next_run)
    study.run.end(State.COMPLETE)
    return counts


def _train_adapters(
    study: _Study, record: StudyRecord, adapters: Sequence[Assignment[SourceJob]]
) -> dict[str, int]:
    def trained(job: SourceJob) -> Lane | None:
        return study.trained(record.best_trial, job.seed) if job.rows == study.job.rows else None

    counts = train_adapters(study.worker, adapters, trained)
    study.run.end(State.COMPLETE)
    return counts


@dataclass
class _FinalRun:
    """One final run in training."""

    study: _Study
    """As this run sees it."""
    seed: int
    claim: Claim
    settings: Mapping[str, Setting]
    """What the study chose."""
    run: RunRecorder
    lane: Lane

    def epoch(self, result: EpochResult) -> bool:
        self.run.epoch(result)
        total = self.lane.settings.max_epochs
        self.study.worker.progress(self.claim, result.epoch, total, f"epoch {result.epoch}/{total}")
        return True

    def end(self, result: LaneResult) -> None:
        if result.state is State.COMPLETE:
            self._publish(result)
        else:
            self.study.worker.catalog.fail(self.claim, result.reason or "no reason given")
        self.run.end(result.state, result.reason)

    def _publish(self, result: LaneResult) -> None:
        study, setting = self.study, TrialSetting.of(self.settings)
        combiner = study.combiners.of(setting)
        best, facts, job = result.best, study.task.facts, study.job
        assert best is not None
        assert result.test_metrics is not None
        learned = weights.without_head(result.tensors)
        count = _size(learned)
        layer = combiner.layer(setting)
        kept = {**result.tensors, **combiner.fixed_of(layer)}
        if result.mean_coefficients is not None:
            kept[MEAN_COEFFICIENTS] = result.mean_coefficients
        coefficients = layer.coefficients(kept)
        values = [row.float().numpy() for row in coefficients.rows]  # (T, e or 1) each
        record = TransferRecord(
            key=self.claim.key,
            study_key=study.key,
            task=facts.task,
            task_digest=str(facts.content_digest),
            combiner=combiner.kind,
            backbone_digest=study.worker.context.backbone.digest,
            seed=self.seed,
            settings=dict(self.settings),
            metric=facts.metric,
            validation=best.metrics,
            test=result.test_metrics,
            coefficient_shape=coefficients.shape,
            epochs=len(result.epochs),
            best_epoch=result.best_epoch,
            n_parameters=count,
            head_parameters=_size(result.tensors) - count,
            seconds=result.seconds,
            train_rows=result.train_rows,
            device=str(study.worker.backbone.device),
            provenance=provenance_of(str(study.worker.backbone.device)),
            run_id=study.worker.catalog.run_id(self.run.node),
        )
        about = weights.described(facts.task, self.claim.key, "transfer", facts.labels)
        summaries = _summaries(self.claim.key, job, values)
        answered = run_predictions.kept(result.test_outputs, study.task.test, facts.problem_type)
        stored = weights.to_bytes(kept, about, answered)
        study.worker.catalog.publish_transfer(record, stored, summaries, self.claim)
        self.run.outcome(result, facts.metric, count)
        attends = result.mean_coefficients is not None
        start = 1.0 if attends else setting.dimensions.get("init_scale")  # attention starts even: 1 / T each
        if setting.dimensions.get("target_share"):
            start = None
        shown = job.label if combiner.kind == job.combiner else f"{job.label} · {combiner.kind}"
        self.run.coefficients(
            values, job, None if start is None else float(start), shown, token_dependent=attends
        )
        if (shares := self._shares(coefficients)) is not None:
            self.run.contributions(shares, job)
        self.run.test_outputs(result.test_outputs, study.task, f"{job.task_name} · {job.combiner}")

    def _shares(self, coefficients: Coefficients) -> list[float] | None:
        """Return each source's share of the combined output on validation; ``None`` where memory is too little.

        The result is published already, and stays what it is.
        """
        lane, study = self.lane, self.study
        assert isinstance(lane.adaptation, Combination)
        try:
            return output_shares(
                study.worker.backbone,
                lane.adaptation,
                lane.best_tensors,
                coefficients,
                lane.head,
                study.task.validation,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            _log.warning("%s: too little memory to measure what sources contribute", self.lane.name)
            return None


def _begin(
    study: _Study,
    record: StudyRecord,
    final: Assignment[FinalJob],
    settings: Mapping[str, Setting],
    *,
    under: RunRecorder,
) -> _FinalRun:
    """Start a final run, or take it from the trial that has trained the same already.

    Args:
        study: The study as the run sees it.
        record: What the study chose.
        final: The run.
        settings: What the study chose, as values.
        under: The study's MLflow run.
    """
    study.wait_for_sources()
    key, seed = final.claim.key, final.job.seed
    study.worker.begin(key, key, f"{study.job.task_name} · {study.job.shown} · final · seed {seed}")
    run = study.worker.tree.final(under, key, study.job, seed, settings, study.task.facts)
    trained = study.trained(record.best_trial, seed)
    if trained is None:
        setting = TrialSetting.of(settings)
        lane = study.combiners.of(setting).lane(setting, seed=seed, name=key, sees_test=True)
    else:
        for epoch in trained.epochs:
            run.epoch(epoch)
        lane = trained.as_final(key)
    return _FinalRun(study, seed, final.claim, settings, run, lane)


def _size(tensors: Mapping[str, Any]) -> int:
    """Return how many numbers tensors hold together."""
    return sum(int(tensor.numel()) for tensor in tensors.values())


def _summaries(key: str, job: StudyJob, values: Sequence[NDArray[np.float32]]) -> list[CoefficientRecord]:
    """Return each source's coefficients, layer by layer, as mean, spread and extremes."""
    return [
        CoefficientRecord(
            transfer_key=key,
            layer=layer,
            position=position,
            adapter_key=member.adapter_key,
            source_task=member.task,
            mean=float(row.mean()),
            std=float(row.std()),
            minimum=float(row.min()),
            maximum=float(row.max()),
        )
        for layer, sources in enumerate(values)
        for position, (member, row) in enumerate(zip(job.pool, sources, strict=True))
    ]
