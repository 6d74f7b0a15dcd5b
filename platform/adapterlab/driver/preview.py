"""A spec's plan beside what the catalog has of it: what is done, in flight, to train, and how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.backbones.facts import backbone_facts, model_facts
from adapterlab.catalog.presence import is_missing
from adapterlab.cluster.gpus import WorkerDevice, worker_device
from adapterlab.data.task_data import fitting_row_length
from adapterlab.data.task_facts import task_facts
from adapterlab.data.task_library import TaskLibrary
from adapterlab.driver.device_speed import seconds_per_row as device_seconds_per_row
from adapterlab.driver.earlier_studies import earlier_studies
from adapterlab.errors import DataError, NotFoundError
from adapterlab.planning.baselines import BaselineRow, baseline_rows
from adapterlab.planning.combiners import model_sources
from adapterlab.planning.compile import compile_plan
from adapterlab.planning.estimate import Estimate, estimate
from adapterlab.planning.facts import Facts
from adapterlab.planning.matrix import MatrixRow, plan_matrix
from adapterlab.planning.parameter_counts import MethodCost, method_costs
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import (
    ExistingAdapter,
    Job,
    Step,
    each_once,
    is_joint_study,
    is_search,
    is_study,
)
from adapterlab.planning.variants import few_rows_complaint
from adapterlab.records import State, StepKind, TaskFacts
from adapterlab.spec.load import LoadedSpec, refused
from adapterlab.spec.studies import study_plans

if TYPE_CHECKING:
    from adapterlab.catalog.records import StepStatus
    from adapterlab.catalog.store import Catalog
    from adapterlab.home import Stores


@dataclass(frozen=True)
class PlannedSweep:
    """A plan, with what the catalog says of each step."""

    plan: Plan
    statuses: dict[str, StepStatus]
    """By step key; steps whose key is unknown are absent."""
    estimate: Estimate
    device: WorkerDevice
    """What workers train on."""
    warnings: tuple[str, ...] = ()
    """What is allowed, but may not be meant; see ``LoadedSpec.warnings``."""
    targets: tuple[str, ...] = ()
    """Full names of the target tasks, in the order of the spec."""
    baselines: tuple[BaselineRow, ...] = ()
    """The spec's baselines on each target."""

    @property
    def matrix(self) -> tuple[MatrixRow, ...]:
        """Targets × methods: runs, those that are there already, and what is left."""
        return plan_matrix(
            self.plan, self.targets, self.baselines, state=self.state, seconds=self.estimate.by_step
        )

    @property
    def methods(self) -> tuple[MethodCost, ...]:
        """What each method trains, for one target and for all, beside the backbone's size."""
        from adapterlab.backbones.parameters import backbone_parameters

        folder = self.plan.facts.backbone.folder
        return method_costs(self.plan, None if folder is None else backbone_parameters(Path(folder)))

    def state(self, step: Step[Job]) -> State:
        """Return a step's state; pending while its key is unknown."""
        return self.statuses[step.key].state if step.key in self.statuses else State.PENDING

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of steps by kind and state, each key once."""
        counted: dict[str, dict[str, int]] = {}
        for step in each_once(self.plan.steps):
            of_kind = counted.setdefault(str(step.kind), {})
            state = str(self.state(step))
            of_kind[state] = of_kind.get(state, 0) + 1
        return counted

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON-able mapping."""
        return {
            "name": self.plan.name,
            "key": self.plan.key,
            "counts": self.counts,
            "estimate_s": self.estimate.seconds,
            "estimate_basis": self.estimate.basis,
            "device": self.device.words,
            "pending": list(self.plan.pending),
            "warnings": list(self.warnings),
            "existing": [one.to_json() for one in self.plan.facts.existing],
            "methods": [one.to_json() for one in self.methods],
            "device_seconds": self.estimate.device_seconds,
            "on_gpu": bool(self.device.gpus),
            "matrix": [one.to_json() for one in self.matrix],
            "steps": [
                {
                    "id": str(step.id),
                    "kind": str(step.kind),
                    "title": step.title,
                    "key": step.key,
                    "state": str(self.state(step)),
                    "trainable_parameters": step.trainable_parameters,
                    "head_parameters": step.head_parameters,
                    "needs": [str(need) for need in step.needs],
                    **({"start": [dict(one) for one in step.job.search.start]} if is_search(step) else {}),
                }
                for step in self.plan.steps
            ],
        }


def compile_spec(
    loaded: LoadedSpec, *, download: bool = False, existing: tuple[ExistingAdapter, ...] = ()
) -> Plan:
    """Return a spec's plan, looking at its data and backbone but not at the catalog.

    Args:
        loaded: From :func:`load_spec`.
        download: Whether to fetch a backbone and tasks from the hub that are not on this machine.
        existing: The adapters of its pool that exist already.

    Raises:
        DataError: A data file is malformed.
        BackboneError: The backbone is not what the spec says, or cannot take rows so long.
        SpecError: A sweep or study that a search starts from does not exist or does not fit, or a target has fewer
            rows than it is to train on.
        UsageError: A combiner cannot work on such a pool.
    """
    spec, stores = loaded.spec, loaded.stores()
    tasks = dict.fromkeys((*spec.pool.tasks, *spec.targets.tasks))
    library = TaskLibrary.of_loaded(loaded)
    facts = Facts(
        backbone=backbone_facts(spec.backbone, folder=loaded.folder, cache=stores.cache, download=download),
        models={
            source: model_facts(source, folder=loaded.folder, cache=stores.cache, download=download)
            for source in model_sources(study_plans(spec))
        },
        tasks=_facts_of_tasks(library, tasks, download=download),
        existing=existing,
        earlier=earlier_studies(loaded),
    )
    if (short := few_rows_complaint(spec, facts.tasks)) is not None:
        raise refused(loaded, [short])
    if facts.backbone.folder is not None:
        for task in facts.tasks.values():
            fitting_row_length(task, spec.data.max_length, Path(facts.backbone.folder))
    return compile_plan(spec, facts)


def _facts_of_tasks(library: TaskLibrary, tasks: Iterable[str], *, download: bool) -> dict[str, TaskFacts]:
    """Return what is known of tasks; every faulty one is told, not only the first.

    Raises:
        DataError: Data of some tasks is malformed.
        NotFoundError: A task is unknown, or its files are not there.
    """
    found: dict[str, TaskFacts] = {}
    faults: list[DataError | NotFoundError] = []
    for task in tasks:
        try:
            found[task] = task_facts(library, task, download=download)
        except (DataError, NotFoundError) as fault:
            faults.append(fault)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        first = next((one for one in faults if isinstance(one, DataError)), faults[0])
        said = (f"{one.message}\n  {one.remedy}" if one.remedy else one.message for one in faults)
        raise type(first)(
            f"{len(faults)} tasks cannot be read:\n" + "\n".join(said),
            remedy="`platform validate SPEC --data` tells every fault of every file, and what to mend in the spec.",
            faults=[one.to_json() for one in faults],
        )
    return found


def plan_spec(
    loaded: LoadedSpec,
    existing: tuple[ExistingAdapter, ...] = (),
    *,
    measure: bool | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> PlannedSweep:
    """Return a spec's plan with what the catalog says of each step, and an estimate of time.

    Args:
        loaded: From ``load_spec``.
        existing: The adapters of its pool that exist already.
        measure: Whether to time a few training steps, once for a device and a backbone, where no past step says how
            long they take; ``None``: on a GPU, of which arithmetic knows too little.
        tell: Told, in words, what takes long.
    """
    compiled = compile_spec(loaded, existing=existing)
    keys = [step.key for step in compiled.steps if step.key is not None]
    device = worker_device(loaded.spec.cluster, loaded.spec.backbone.precision)
    told = tell if measure or (measure is None and device.gpus) else None
    targets, baselines = tuple(loaded.spec.targets.tasks), tuple(baseline_rows(loaded.spec))
    catalog = _existing_catalog(loaded.stores())
    if catalog is None:
        estimated = _estimate(compiled, loaded, compiled.steps, None, device, told)
        return PlannedSweep(compiled, {}, estimated, device, loaded.warnings, targets, baselines)
    with catalog:
        statuses = catalog.status(keys)
        missing = [
            step
            for step in compiled.steps
            if step.key is None or statuses[step.key].state is not State.COMPLETE
        ]
        estimated = _estimate(compiled, loaded, missing, catalog, device, told)
        return PlannedSweep(compiled, statuses, estimated, device, loaded.warnings, targets, baselines)


def _existing_catalog(stores: Stores) -> Catalog | None:
    if is_missing(stores.catalog):
        return None
    from adapterlab.catalog.store import open_existing

    return open_existing(stores.catalog, stores.blobs, locks=stores.locks)


def _estimate(
    compiled: Plan,
    loaded: LoadedSpec,
    missing: Sequence[Step[Job]],
    catalog: Catalog | None,
    device: WorkerDevice,
    tell: Callable[[str], None] | None,
) -> Estimate:
    import os

    cluster = loaded.spec.cluster
    digest = compiled.facts.backbone.weights_digest
    cores = os.cpu_count() or 1
    workers = cluster.workers or max(1, int(cores / cluster.cpus_per_worker))
    if device.cards and cluster.workers is None:
        workers = min(workers, device.cards)

    @cache
    def measured(kind: StepKind) -> float | None:
        if catalog is None or digest is None:
            return None
        past = catalog.durations(digest, kind, gpu=bool(device.gpus))
        return sum(past) / len(past) if past else None

    def seconds_per_row(step: Step[Job]) -> float | None:
        if is_joint_study(step):
            return measured(StepKind.JOINT)
        if is_study(step):  # its trials are measured as what they train
            return measured(StepKind.TRANSFER if step.job.method is None else StepKind.SOURCE)
        if step.kind is StepKind.SELECTION:
            return measured(StepKind.TRANSFER)
        return measured(step.kind)

    @cache
    def device_speed(tokens: int) -> float | None:
        facts, folder = compiled.facts.backbone, loaded.stores().cache
        return device_seconds_per_row(loaded.spec, facts, device, tokens=tokens, cache=folder, tell=tell)

    return estimate(
        missing,
        compiled.facts.backbone.shape,
        max_length=loaded.spec.data.max_length,
        workers=workers,
        gpu=bool(device.gpus),
        seconds_per_row=seconds_per_row,
        device_speed=device_speed,
    )
