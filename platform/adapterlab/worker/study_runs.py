"""Search one combiner on one target, then train the chosen setting over the spec's seeds.

The objective is the validation metric. Trials and seeds are lanes of the same engine on the same
frozen pool; the test split is seen by final runs only, once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from adapterlab.catalog.records import (
    Claim,
    CoefficientRecord,
    StudyRecord,
    TransferRecord,
)
from adapterlab.errors import TrainingError
from adapterlab.provenance import provenance_of
from adapterlab.records import EpochResult, LaneResult, State, TaskData
from adapterlab.search.study import Proposal, StudySearch, TrialRecord
from adapterlab.spec.search_space import COMBINER, Setting, parse_space
from adapterlab.train import weights
from adapterlab.train.lane import Lane
from adapterlab.train.layers import MEAN_COEFFICIENTS
from adapterlab.train.loop import train_lanes
from adapterlab.worker.combiners import Mixer, Mixers, pool_entries
from adapterlab.worker.run_tree import RunRecorder
from adapterlab.worker.worker import Worker

_SOURCE_POLL_S = 0.5
_PROGRESS_S = 0.5
"""Progress is for people: trivial trials write it no oftener than they can look."""
_ROUND_POLL_S = 0.3
"""How often a worker with nothing to train asks whether the other workers have ended a study's round."""


@dataclass
class _Study:
    """One study step on this worker."""

    worker: Worker
    job: Mapping[str, Any]
    claim: Claim
    best: tuple[float, int, Lane] | None = None
    """Value, number and lane of the best trial this worker trained; another may have trained a better one."""

    @cached_property
    def task(self) -> TaskData:
        """The target, tokenised."""
        return self.worker.load_task(self.job["task"], self.job.get("rows"))

    def of_final(self, job: Mapping[str, Any]) -> _Study:
        """Return the study as a final run sees it: itself, or with rows and a pool of the run's own seed."""
        own = {name: job[name] for name in ("rows", "pool") if name in job}
        return replace(self, job={**self.job, **own}, best=None) if own else self

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
        keys = [entry["key"] for entry in self.job["pool"]]
        while True:
            statuses = self.worker.catalog.status(keys)
            for entry in self.job["pool"]:
                if statuses[entry["key"]].state is State.FAILED:
                    raise TrainingError(f"needs source {entry['task']}, which failed")
            if all(one.state is State.COMPLETE for one in statuses.values()):
                return
            self.worker.check_cancelled()
            time.sleep(_SOURCE_POLL_S)

    @cached_property
    def mixers(self) -> Mixers:
        """The study's combiners."""
        return Mixers(self.worker, self.job, self.task)

    @cached_property
    def run(self) -> RunRecorder:
        """The study's own MLflow run."""
        return self.worker.tree.study(self.claim.key, self.job, self.task.facts)

    def search(self) -> StudySearch:
        """Open the study's trials."""
        search, facts = self.job["search"], self.task.facts
        return StudySearch.open(
            self.worker.context.stores.studies,
            self.job["search_key"],
            spaces=_spaces(self.job),
            sampler=search["sampler"],
            pruner=search["pruner"],
            seed=search["seed"],
            trials=search["trials"],
            attributes={
                "target": facts.task,
                "combiner": self.job["label"],
                "metric": facts.metric,
                "pool": [entry["task"] for entry in self.job["pool"]],
            },
            locks=self.worker.context.stores.locks,
        )


def _spaces(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study's dimensions; where it chooses the combiner, each combiner's by its name."""
    of_each = {
        kind: {name: parse_space(space) for name, space in own["spaces"].items()}
        for kind, own in job["combiners"].items()
    }
    return of_each.get(job["combiner"]["name"], of_each)


def run_trials(worker: Worker, step: Mapping[str, Any]) -> dict[str, Any]:
    """Train trials of a study beside other workers until its budget is spent."""
    study = _Study(worker, step["job"], Claim.from_json(step["claim"]))
    with study.search() as search:
        _train_trials(study, search)
    return {}


def run_study(worker: Worker, step: Mapping[str, Any], finals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Finish a study: the trials that are left, its record, and its final runs.

    Args:
        worker: Where it runs; it owns the study.
        step: ``{"job": …, "claim": … or None}``; no claim when the study is complete already.
        finals: ``{"job": …, "claim": …}`` of the final runs to do.

    Returns:
        Number of final runs by state.

    Raises:
        TrainingError: No trial of the study completed.
    """
    claim = step["claim"] or {"key": step["key"], "token": 0, "owner": ""}
    study = _Study(worker, step["job"], Claim.from_json(claim))
    study.wait_for_sources()
    record = worker.catalog.find_study(study.claim.key)
    if record is None:
        record = _search(study)
    return _train_finals(study, record, finals)


def _search(study: _Study) -> StudyRecord:
    with study.search() as search:
        search.take_over()  # the claim on the study makes every trial of a lost worker this one's
        _train_trials(study, search)
        trials, best = search.trials(), search.best()
    if best is None:
        reasons = sorted({trial.reason for trial in trials if trial.reason})
        message = f"{study.job['task']} · {study.job['label']}: no trial completed"
        study.run.end(State.FAILED, message)
        raise TrainingError(
            f"{message}: {'; '.join(reasons) or 'all were pruned'}",
            remedy='Lower the learning rates under [search], or set pruner = "none".',
        )
    record = _study_record(study, trials, best)
    study.worker.catalog.publish_study(record, study.claim)
    study.run.chosen(best.number, best.settings, record.best_value, study.task.facts.metric)
    return record


def _train_trials(study: _Study, search: StudySearch) -> None:
    worker, metric = study.worker, study.task.facts.metric
    training: dict[str, tuple[Proposal, RunRecorder, Lane]] = {}

    def next_lane() -> Lane | None:
        proposal = search.ask(worker.name)
        if proposal is None:
            return None
        run = worker.tree.trial(
            study.run, study.job, proposal.number, proposal.settings, new=not proposal.taken_over
        )
        mixer, seed = study.mixers.of(proposal.settings), study.job["search"]["seed"]
        lane = mixer.lane(proposal.settings, seed=seed, name=str(proposal.number))
        training[lane.name] = proposal, run, lane
        return lane

    def on_epoch(lane: Lane, epoch: EpochResult) -> bool:
        worker.check_cancelled()
        proposal, run, _ = training[lane.name]
        run.epoch(epoch)
        return lane.reason is not None or not proposal.report(epoch.metrics[metric], epoch.epoch)

    _show_progress(study, search)
    shown = time.monotonic()
    while True:
        for result in train_lanes(worker.backbone, next_lane, capacity=worker.capacity, on_epoch=on_epoch):
            proposal, run, lane = training.pop(result.name)
            state = _tell(search, proposal, result, metric)
            if state is State.COMPLETE and result.best is not None:
                study.note(result.best.metrics[metric], proposal.number, lane)
            if result.best is not None:
                run.outcome(result.best, None, best_epoch=result.best_epoch)
            run.end(state, result.reason)
            if time.monotonic() - shown > _PROGRESS_S or not training:
                _show_progress(study, search)
                shown = time.monotonic()
        if search.spent:
            return
        # Another worker of the study trains what is left of the round. Should the study fail with it, its claim is
        # given back, and showing progress raises.
        worker.check_cancelled()
        time.sleep(_ROUND_POLL_S)
        _show_progress(study, search)


def _tell(search: StudySearch, proposal: Proposal, result: LaneResult, metric: str) -> State:
    if result.state is State.COMPLETE and result.best is not None:
        return search.tell_complete(proposal.number, result.best.metrics[metric])
    if result.state is State.PRUNED:
        return search.tell_pruned(proposal.number)
    return search.tell_failed(proposal.number, result.reason or "it ended without a result")


def _show_progress(study: _Study, search: StudySearch) -> None:
    ended, best = search.standing()
    detail = f"trial {ended}/{search.budget}"
    if best is not None:
        detail += f" · best {study.task.facts.metric} {best:.3f}"
    study.worker.progress(study.claim, ended, search.budget, detail)


def _study_record(study: _Study, trials: Sequence[TrialRecord], best: TrialRecord) -> StudyRecord:
    facts, job = study.task.facts, study.job
    states = [str(trial.state) for trial in trials]
    return StudyRecord(
        key=study.claim.key,
        task=facts.task,
        task_digest=str(facts.content_digest),
        backbone_digest=study.worker.context.backbone["digest"],
        combiner=job["combiner"]["name"],
        pool=pool_entries(job),
        metric=facts.metric,
        best_trial=best.number,
        best_value=best.value if best.value is not None else float("nan"),
        best_settings=dict(best.settings),
        trials={state: states.count(state) for state in sorted(set(states))},
        settings=job["combiner"]["settings"],
        study_name=job["search_key"],
        seconds=sum(trial.seconds or 0.0 for trial in trials),
        train_rows=sum(len(trial.intermediate) for trial in trials) * len(study.task.train.lengths),
        run_id=study.worker.catalog.run_id(study.run.node),
    )


# -- final runs -----------------------------------------------------------------------------------


def _train_finals(study: _Study, record: StudyRecord, finals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    worker = study.worker
    waiting = list(finals)
    training: dict[str, tuple[_Study, int, RunRecorder]] = {}
    claims: dict[str, Claim] = {}
    counts: dict[str, int] = {}
    settings = _settings(record)

    def next_lane() -> Lane | None:
        while waiting:
            step = waiting.pop(0)
            claim, seed = Claim.from_json(step["claim"]), step["job"]["seed"]
            if worker.catalog.find_transfer(claim.key) is None:
                own = study.of_final(step["job"])
                own.wait_for_sources()
                run = worker.tree.final(study.run, claim.key, own.job, seed, settings, own.task.facts)
                training[claim.key] = own, seed, run
                claims[claim.key] = claim
                trained = own.trained(record.best_trial, seed)
                if trained is None:
                    return own.mixers.of(settings).lane(settings, seed=seed, name=claim.key, sees_test=True)
                for epoch in trained.epochs:
                    run.epoch(epoch)
                return trained.as_final(claim.key)
        return None

    def on_epoch(lane: Lane, epoch: EpochResult) -> bool:
        worker.check_cancelled()
        claim, run = claims[lane.name], training[lane.name][2]
        run.epoch(epoch)
        total = lane.settings.max_epochs
        worker.progress(claim, epoch.epoch, total, f"epoch {epoch.epoch}/{total}")
        return True

    for result in train_lanes(worker.backbone, next_lane, capacity=worker.capacity, on_epoch=on_epoch):
        own, seed, run = training.pop(result.name)
        claim = claims.pop(result.name)
        counts[result.state] = counts.get(result.state, 0) + 1
        if result.state is State.COMPLETE:
            _publish(own, own.mixers.of(settings), claim, seed, settings, result, run)
        else:
            worker.catalog.fail(claim, result.reason or "no reason given")
        run.end(result.state, result.reason)
    study.run.end(State.COMPLETE)
    return counts


def _settings(record: StudyRecord) -> dict[str, Setting]:
    """Return the chosen setting; all but the combiner's name are numbers."""
    return {
        name: str(value) if name == COMBINER else float(str(value))
        for name, value in record.best_settings.items()
    }


def _publish(
    study: _Study,
    mixer: Mixer,
    claim: Claim,
    seed: int,
    settings: Mapping[str, Setting],
    result: LaneResult,
    run: RunRecorder,
) -> None:
    best, facts, job = result.best, study.task.facts, study.job
    assert best is not None
    assert result.test_metrics is not None
    learned = weights.without_head(result.tensors)
    count = sum(tensor.numel() for tensor in learned.values())
    kept = {**result.tensors, **mixer.fixed}
    if result.mean_coefficients is not None:
        kept[MEAN_COEFFICIENTS] = result.mean_coefficients
    values = mixer.layer.coefficients(mixer.settings, kept).float().numpy()
    record = TransferRecord(
        key=claim.key,
        study_key=study.claim.key,
        task=facts.task,
        task_digest=str(facts.content_digest),
        combiner=mixer.kind,
        backbone_digest=study.worker.context.backbone["digest"],
        seed=seed,
        settings=dict(settings),
        metric=facts.metric,
        validation=best.metrics,
        test=result.test_metrics,
        coefficient_shape=values.shape,
        epochs=len(result.epochs),
        best_epoch=result.best_epoch,
        n_parameters=count,
        head_parameters=sum(tensor.numel() for tensor in result.tensors.values()) - count,
        seconds=result.seconds,
        train_rows=result.train_rows,
        device=str(study.worker.backbone.device),
        provenance=provenance_of(str(study.worker.backbone.device)),
        run_id=study.worker.catalog.run_id(run.node),
    )
    data = weights.to_bytes(kept, weights.described(facts.task, claim.key, "transfer", facts.labels))
    study.worker.catalog.publish_transfer(record, data, _summaries(claim.key, job, values), claim)
    run.outcome(best, result.test_metrics, best_epoch=result.best_epoch)
    attends = result.mean_coefficients is not None
    start = 1.0 if attends else settings.get("init_scale")  # attention starts even: 1 / T each
    shown = job["label"] if mixer.kind == job["combiner"]["name"] else f"{job['label']} · {mixer.kind}"
    run.coefficients(values, job, None if start is None else float(start), shown, token_dependent=attends)
    run.test_outputs(result.test_outputs, study.task, f"{job['task_name']} · {job['combiner']['name']}")


def _summaries(key: str, job: Mapping[str, Any], values: np.ndarray[Any, Any]) -> list[CoefficientRecord]:
    """Return each source's coefficients, layer by layer, as mean, spread and extremes."""
    return [
        CoefficientRecord(
            transfer_key=key,
            layer=layer,
            position=position,
            adapter_key=entry["key"],
            source_task=entry["task"],
            mean=float(row.mean()),
            std=float(row.std()),
            minimum=float(row.min()),
            maximum=float(row.max()),
        )
        for layer, sources in enumerate(values)
        for position, (entry, row) in enumerate(zip(job["pool"], sources, strict=True))
    ]
