"""Source adapters: each trained as a lane beside others, and published as it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial

from adapterlab.catalog.records import AdapterRecord, Claim
from adapterlab.data import run_predictions
from adapterlab.planning.steps import SourceJob
from adapterlab.provenance import provenance_of
from adapterlab.records import EpochResult, LaneResult, State, TaskData
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train import weights
from adapterlab.train.lane import Lane, source_lane
from adapterlab.worker.chosen import as_chosen
from adapterlab.worker.orders import Assignment, SourcesOrder
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.training import train_runs
from adapterlab.worker.worker import Worker


def train_sources(worker: Worker, order: SourcesOrder) -> dict[str, int]:
    """Train source adapters, several at a time.

    Returns:
        Number of adapters by state.
    """
    return train_adapters(worker, order.sources)


def train_adapters(
    worker: Worker,
    sources: Sequence[Assignment[SourceJob]],
    trained: Callable[[SourceJob], Lane | None] = lambda _: None,
) -> dict[str, int]:
    """Train adapters, several at a time.

    Args:
        worker: Where it happens.
        sources: What to train; settings that studies chose are read from the catalog.
        trained: Gives the lane that has trained the same already, if it is at hand.

    Returns:
        Number of adapters by state.

    Raises:
        TrainingError: A study that chooses a setting is not in the catalog.
    """
    waiting = deque(sources)

    def next_run() -> _SourceRun | None:
        while waiting:
            source = waiting.popleft()
            if (
                worker.catalog.find_adapter(source.claim.key) is None
            ):  # an earlier try of this worker may have
                return _begin(worker, source, trained)
        return None

    return train_runs(worker, next_run)


@dataclass
class _SourceRun:
    """One source adapter in training."""

    worker: Worker
    job: SourceJob
    claim: Claim
    task: TaskData
    run: RunRecorder
    trained: Lane | None = None
    """What has trained the same already."""

    @cached_property
    def lane(self) -> Lane:
        if self.trained is not None:
            return self.trained.as_final(self.claim.key)
        method = adapter_method(self.job.adapter.method)
        settings = method.settings.model_validate(self.job.adapter.settings)
        return source_lane(
            self.worker.backbone,
            method.layer(settings, self.worker.backbone.shape),
            self.task,
            self.job.training,
            seed=self.job.seed,
            name=self.claim.key,
            sees_test=True,
        )

    def epoch(self, result: EpochResult) -> bool:
        self.run.epoch(result)
        total, metric = self.job.training.max_epochs, self.task.facts.metric
        detail = f"epoch {result.epoch}/{total} · {metric} {result.metrics[metric]:.3f}"
        self.worker.progress(self.claim, result.epoch, total, detail)
        return True

    def end(self, result: LaneResult) -> None:
        if result.state is State.COMPLETE:
            self._publish(result)
        else:
            self.worker.catalog.fail(self.claim, result.reason or "no reason given")
        self.run.end(result.state, result.reason)

    def _publish(self, result: LaneResult) -> None:
        best, facts, job = result.best, self.task.facts, self.job
        assert best is not None
        assert result.test_metrics is not None
        count = weights.size(weights.without_head(result.tensors))
        record = AdapterRecord(
            key=self.claim.key,
            backbone_digest=self.worker.context.backbone.digest,
            task=facts.task,
            task_digest=str(facts.content_digest),
            method=job.adapter.method,
            settings={
                "adapter": job.adapter.settings,
                "training": job.training.identity(),
                **({} if job.rows is None else {"rows": asdict(job.rows)}),
                **({} if job.study is None else {"study": job.study}),
            },
            seed=job.seed,
            metric=facts.metric,
            metric_value=best.metrics[facts.metric],
            metrics=best.metrics,
            test=result.test_metrics,
            epochs=len(result.epochs),
            best_epoch=result.best_epoch,
            n_parameters=count,
            head_parameters=weights.size(result.tensors) - count,
            seconds=result.seconds,
            train_rows=result.train_rows,
            device=str(self.worker.backbone.device),
            provenance=provenance_of(str(self.worker.backbone.device)),
            run_id=self.worker.catalog.run_id(self.run.node),
        )
        about = weights.described(facts.task, self.claim.key, "adapter", facts.labels)
        answered = run_predictions.kept(result.test_outputs, self.task.test, facts.problem_type)
        stored = weights.to_bytes(result.tensors, about, answered)
        self.worker.catalog.publish_adapter(record, stored, self.claim)
        self.run.outcome(result, facts.metric, count)
        self.run.test_outputs(result.test_outputs, self.task, f"{job.task_name} · {record.method}")


def _begin(
    worker: Worker, source: Assignment[SourceJob], trained: Callable[[SourceJob], Lane | None]
) -> _SourceRun:
    claim = source.claim
    study = None if source.job.study is None else worker.catalog.find_study(source.job.study)
    job = as_chosen(source.job, study)
    total = job.training.max_epochs
    worker.begin(claim.key, claim.key, f"source {job.task_name}")
    worker.progress(claim, 0, total, "loading data")
    task = worker.load_task(job.task, job.rows, tell=partial(worker.progress, claim, 0, total))
    run, lane = worker.tree.source(claim.key, job, task.facts), trained(job)
    if lane is not None:
        for epoch in lane.epochs:
            run.epoch(epoch)
        worker.progress(claim, len(lane.epochs), total, "trained by its search")
    return _SourceRun(worker, job, claim, task, run, lane)
