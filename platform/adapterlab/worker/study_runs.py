"""Search one combiner on one target, then train the chosen setting over the spec's seeds.

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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterlab.catalog.records import Claim, CoefficientRecord, PoolEntry, StudyRecord, TransferRecord
from adapterlab.data import run_predictions
from adapterlab.errors import AdapterlabError, TrainingError
from adapterlab.planning.steps import FinalJob, PoolMember, StudyJob
from adapterlab.provenance import provenance_of
from adapterlab.records import EpochResult, LaneResult, State, TaskData
from adapterlab.search.pictures import PicturedStudy, study_pictures
from adapterlab.search.study import Proposal, SearchRecipe, StudySearch, TrialRecord
from adapterlab.search.trials import COMPUTING
from adapterlab.spec.search_space import COMBINER, Setting, TrialSetting
from adapterlab.train import weights
from adapterlab.train.capacity import is_out_of_memory
from adapterlab.train.combination import Combination
from adapterlab.train.lane import Lane
from adapterlab.train.layers import MEAN_COEFFICIENTS, Coefficients
from adapterlab.train.shares import output_shares
from adapterlab.worker.combiners import StudyCombiners
from adapterlab.worker.orders import Assignment, StudyOrder, TrialsOrder
from adapterlab.worker.run_tree import RunRecorder
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
    """Finish a study that this worker owns: the trials that are left, its record, and its final runs.

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
    return _train_finals(study, record, order.finals)


@dataclass
class _Study:
    """One study step on this worker."""

    worker: Worker
    key: str
    job: StudyJob
    claim: Claim | None
    """``None`` where it is complete already."""
    best: tuple[float, int, Lane] | None = None
    """Value, number and lane of the best trial this worker trained; another may have trained a better one."""

    @cached_property
    def task(self) -> TaskData:
        """The target, tokenised."""
        return self.worker.load_task(self.job.task, self.job.rows)

    def of_final(self, final: FinalJob) -> _Study:
        """Return the study as a final run sees it: itself, or with rows and a pool of the run's own seed."""
        if final.rows is None or final.pool is None:
            return self
        return replace(self, job=replace(self.job, rows=final.rows, pool=final.pool), best=None)

    def note(self, value: float, number: int, lane: Lane) -> None:
        """Keep a trial's lane if it is the best so far, the earliest of equals."""
        if self.best is None or (value, -number) > (self.best[0], -self.best[1]):
            self.best = value, number, lane

    def trained(self, number: int | None, seed: int) -> Lane | None:
        """Return the lane of a trial if it is at hand and has this seed, once."""
        if self.best is None or self.best[1] != number or self.best[2].seed != seed:
            return None
        (_, _, lane), self.best = self.best, None
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
                spaces=of_each if self.job.chooses else self.job.combiners[0].spaces,
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
            remedy='Lower the learning rates under [search], or set pruner = "none".'
            if study.job.search.budget_minutes is None
            else "Raise search.budget_minutes, or lower the learning rates under [search].",
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

    def next_run(self) -> _TrialRun | None:
        """Return the next trial, if there is one now."""
        study, worker = self.study, self.study.worker
        proposal = self.search.ask(worker.name)
        if proposal is None:
            return None
        name = str(proposal.number)
        worker.begin(name, study.key, f"{study.job.task_name} · {study.job.shown} · trial {name}")
        run = worker.tree.trial(
            study.run,
            study.job,
            proposal.number,
            proposal.settings,
            study.task.facts,
            new=not proposal.taken_over,
        )
        setting = TrialSetting.of(proposal.settings)
        lane = study.combiners.of(setting).lane(setting, seed=study.job.search.seed, name=name)
        return _TrialRun(self, proposal, run, lane)

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
            study.note(best.metrics[study.task.facts.metric], self.proposal.number, self.lane)
        if best is not None:
            self.run.outcome(result, study.task.facts.metric, _size(weights.without_head(result.tensors)))
        self.run.end(state, result.reason)
        self.trials.ended()


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
        train_rows=sum(len(trial.intermediate) for trial in trials) * len(study.task.train.lengths),
        run_id=study.worker.catalog.run_id(study.run.node),
    )


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
    worker, settings = study.worker, _settings(record)
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


def _settings(record: StudyRecord) -> dict[str, Setting]:
    """Return the chosen setting; all but the combiner's name are numbers."""
    return {
        name: str(value) if name == COMBINER else float(str(value))
        for name, value in record.best_settings.items()
    }


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
