"""Train a group of source adapters as lanes of one engine, and publish each as it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapterlab.catalog.records import AdapterRecord, Claim
from adapterlab.records import EpochResult, LaneResult, State, TaskData, TrainSettings
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train import weights
from adapterlab.train.lane import Lane, source_lane
from adapterlab.train.loop import train_lanes
from adapterlab.worker.run_tree import RunRecorder
from adapterlab.worker.worker import Worker


@dataclass
class _Source:
    """One source step in training."""

    job: Mapping[str, Any]
    claim: Claim
    task: TaskData
    run: RunRecorder


def train_sources(worker: Worker, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Train the given source steps, several at a time.

    Args:
        worker: Where it runs.
        steps: ``{"job": …, "claim": …}`` of each step.

    Returns:
        Number of adapters by state.
    """
    waiting = list(steps)
    training: dict[str, _Source] = {}
    counts: dict[str, int] = {}

    def next_lane() -> Lane | None:
        while waiting:
            step = waiting.pop(0)
            claim = Claim.from_json(step["claim"])
            if worker.catalog.find_adapter(claim.key) is None:  # an earlier try of this worker may have
                training[claim.key] = source = _begin(worker, step["job"], claim)
                return _lane(worker, source)
        return None

    def on_epoch(lane: Lane, epoch: EpochResult) -> bool:
        worker.check_cancelled()
        source = training[lane.name]
        source.run.epoch(epoch)
        total = lane.settings.max_epochs
        value = epoch.metrics[lane.task.facts.metric]
        worker.progress(
            source.claim,
            epoch.epoch,
            total,
            f"epoch {epoch.epoch}/{total} · {lane.task.facts.metric} {value:.3f}",
        )
        return True

    for result in train_lanes(worker.backbone, next_lane, capacity=worker.capacity, on_epoch=on_epoch):
        source = training.pop(result.name)
        counts[result.state] = counts.get(result.state, 0) + 1
        if result.state is State.COMPLETE:
            _publish(worker, source, result)
        else:
            worker.catalog.fail(source.claim, result.reason or "no reason given")
        source.run.end(result.state, result.reason)
    return counts


def _begin(worker: Worker, job: Mapping[str, Any], claim: Claim) -> _Source:
    total = job["training"]["max_epochs"]
    worker.progress(claim, 0, total, "loading data")
    tell = partial(worker.progress, claim, 0, total)
    task = worker.load_task(job["task"], job.get("rows"), tell=tell)
    return _Source(job, claim, task, worker.tree.source(claim.key, job, task.facts))


def _lane(worker: Worker, source: _Source) -> Lane:
    method = adapter_method(source.job["adapter"]["method"])
    settings = method.settings.model_validate(source.job["adapter"]["settings"])
    return source_lane(
        worker.backbone,
        method.layer(settings, worker.backbone.shape),
        source.task,
        TrainSettings(**source.job["training"]),
        seed=source.job["seed"],
        name=source.claim.key,
        sees_test=True,
    )


def _publish(worker: Worker, source: _Source, result: LaneResult) -> None:
    best, facts, job = result.best, source.task.facts, source.job
    assert best is not None
    assert result.test_metrics is not None
    adapter = weights.without_head(result.tensors)
    count = sum(tensor.numel() for tensor in adapter.values())
    record = AdapterRecord(
        key=source.claim.key,
        backbone_digest=worker.context.backbone["digest"],
        task=facts.task,
        task_digest=str(facts.content_digest),
        method=job["adapter"]["method"],
        settings={
            "adapter": job["adapter"]["settings"],
            "training": job["training"],
            **({"rows": job["rows"]} if "rows" in job else {}),
        },
        seed=job["seed"],
        metric=facts.metric,
        metric_value=best.metrics[facts.metric],
        metrics=best.metrics,
        test=result.test_metrics,
        epochs=len(result.epochs),
        best_epoch=result.best_epoch,
        n_parameters=count,
        head_parameters=sum(tensor.numel() for tensor in result.tensors.values()) - count,
        seconds=result.seconds,
        train_rows=result.train_rows,
        device=str(worker.backbone.device),
        run_id=worker.catalog.run_id(source.run.node),
    )
    about = weights.described(facts.task, source.claim.key, "adapter", facts.labels)
    data = weights.to_bytes(result.tensors, about)
    worker.catalog.publish_adapter(record, data, source.claim)
    source.run.outcome(best, result.test_metrics, best_epoch=result.best_epoch)
    source.run.test_outputs(result.test_outputs, source.task, f"{job['task_name']} · {record.method}")
