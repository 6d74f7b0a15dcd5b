"""Show in a sweep's tree what it reused: results other sweeps paid for."""

from __future__ import annotations

from typing import Any

from adapterlab.catalog.records import AdapterRecord, StudyRecord, TransferRecord
from adapterlab.catalog.store import Catalog
from adapterlab.driver.stored_results import stored_result
from adapterlab.planning.compile import Plan
from adapterlab.records import State, Step, StepKind
from adapterlab.worker.run_tree import RunRecorder, SweepTree


def show_reused(tree: SweepTree, catalog: Catalog, plan: Plan) -> None:
    """Give every complete step without a run in this tree one, with its numbers and where it came from."""
    for step in plan.steps:
        key = str(step.key)
        if catalog.run_id(tree.node(key)) is not None:
            continue
        record = stored_result(catalog, step)
        if record is None:
            continue
        run = _open(tree, plan, step)
        run.reused(record.run_id, _numbers(record))
        run.end(State.COMPLETE)


def _open(tree: SweepTree, plan: Plan, step: Step) -> RunRecorder:
    key, facts = str(step.key), plan.facts.tasks
    if step.kind is StepKind.SOURCE:
        return tree.source(key, step.job, facts[str(step.job["task"])])
    if step.kind is StepKind.STUDY:
        return tree.study(key, step.job, facts[str(step.job["task"])])
    study = next(one for one in plan.of_kind(StepKind.STUDY) if one.key == step.job["study"])
    return tree.final(
        tree.at(str(study.key)), key, study.job, int(str(step.job["seed"])), {}, facts[str(study.job["task"])]
    )


def _numbers(record: AdapterRecord | StudyRecord | TransferRecord) -> dict[str, float]:
    if isinstance(record, StudyRecord):
        return {f"best/{record.metric}": record.best_value}
    best: dict[str, Any] = dict(record.metrics if isinstance(record, AdapterRecord) else record.validation)
    return {f"best/{name}": value for name, value in best.items()} | {
        f"test/{name}": value for name, value in record.test.items()
    }
