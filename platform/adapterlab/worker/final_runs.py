"""The final runs of a combiner's study: its chosen setting, trained once a seed and tested once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapterlab.catalog.records import Claim, CoefficientRecord, StudyRecord, TransferRecord
from adapterlab.data import run_predictions
from adapterlab.planning.steps import FinalJob, StudyJob
from adapterlab.provenance import provenance_of
from adapterlab.records import EpochResult, LaneResult, State
from adapterlab.spec.search_space import Setting, TrialSetting
from adapterlab.train import weights
from adapterlab.train.capacity import is_out_of_memory
from adapterlab.train.combination import Combination
from adapterlab.train.lane import Lane
from adapterlab.train.layers import MEAN_COEFFICIENTS, Coefficients
from adapterlab.train.shares import output_shares
from adapterlab.worker.chosen import settings_of
from adapterlab.worker.open_study import Study
from adapterlab.worker.orders import Assignment
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.training import train_runs

_log = logging.getLogger(__name__)


def train_finals(study: Study, record: StudyRecord, finals: Sequence[Assignment[FinalJob]]) -> dict[str, int]:
    """Train a study's final runs, several at a time, and end its run in MLflow.

    Args:
        study: The study, complete.
        record: What it chose.
        finals: The runs that are left.

    Returns:
        Number of runs by state.
    """
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


@dataclass
class _FinalRun:
    """One final run in training."""

    study: Study
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
        count = weights.size(learned)
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
            head_parameters=weights.size(result.tensors) - count,
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
    study: Study,
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
