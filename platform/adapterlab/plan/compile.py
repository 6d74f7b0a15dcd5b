"""A spec and what is known of its inputs become a plan of keyed steps.

Pure: no disk, no network, no torch. What a key holds is written here and nowhere else:

    source    backbone, task content, preprocessing, adapter method + settings, training, seed
    study     backbone, task content, preprocessing, pool (source keys in order), combiner, training,
              search space, sampler, pruner, trials, seed
    transfer  study key, seed

Where it ran, on how many lanes, under which name, is in no key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import BaseModel

from adapterlab.fingerprint import Json, digest_of, key_of
from adapterlab.records import (
    BackboneFacts,
    BackboneShape,
    Step,
    StepKind,
    TaskFacts,
    TrainSettings,
    row_length,
)
from adapterlab.registry import entry_points
from adapterlab.spec.model import SourceSpec, Spec, TrainingSpec
from adapterlab.spec.space import Choices, FloatRange, is_fixed

STEP_VERSIONS: Mapping[StepKind, int] = {StepKind.SOURCE: 2, StepKind.STUDY: 2, StepKind.TRANSFER: 1}
"""Raise a kind's version when the code that does it gives other results; old results stay usable
under their own keys."""
PREPROCESSING_VERSION = 1


@dataclass(frozen=True)
class Facts:
    """What is known of a spec's inputs."""

    backbone: BackboneFacts
    tasks: Mapping[str, TaskFacts]
    """By full name; every source and target task is here."""


@dataclass(frozen=True)
class Plan:
    """All steps of a sweep, each source before the studies that read it."""

    name: str
    """Name of the sweep."""
    key: str | None
    """Identity of the sweep: its name and its steps' keys; ``None`` while a step has no key."""
    steps: tuple[Step, ...]
    facts: Facts
    pending: tuple[str, ...]
    """Why keys are missing, one sentence each; empty when the plan can run."""

    def of_kind(self, kind: StepKind) -> tuple[Step, ...]:
        """Return the steps of one kind, in order."""
        return tuple(step for step in self.steps if step.kind is kind)


def compile_plan(spec: Spec, facts: Facts) -> Plan:
    """Return the plan of a spec.

    Args:
        spec: A validated spec.
        facts: What is known of its backbone and tasks; steps whose inputs are unknown get no key.

    Raises:
        NotFoundError: A plug-in the spec names is not installed.
        pydantic.ValidationError: A plug-in's settings are invalid; a loaded spec never raises this.
    """
    names = _display_names(spec)
    sources = {task: _source_step(spec, facts, task, names[task]) for task in _needed_sources(spec)}
    steps = list(sources.values())
    for target in spec.targets.tasks:
        for kind in spec.combiner.kinds:
            study = _study_step(spec, facts, target, kind, names, sources)
            steps.append(study)
            rows = _rows(spec, facts.tasks[target], spec.transfer.max_epochs)
            steps += [_transfer_step(study, seed, rows) for seed in spec.final.seeds]
    keys = [step.key for step in steps]
    reasons = (facts.backbone.pending_reason, *(facts.tasks[task].pending_reason for task in names))
    return Plan(
        name=spec.name,
        key=None if None in keys else digest_of({"name": spec.name, "steps": keys}),
        steps=tuple(steps),
        facts=facts,
        pending=tuple(dict.fromkeys(reason for reason in reasons if reason)),
    )


def _needed_sources(spec: Spec) -> list[str]:
    """Return source tasks some target reads, in the order they are listed."""
    needed = {task for target in spec.targets.tasks for task in spec.pool_for(target)}
    return [task for task in spec.pool.tasks if task in needed]


def _display_names(spec: Spec) -> dict[str, str]:
    """Return short task names where they are unique, full names where not."""
    tasks = list(dict.fromkeys((*spec.pool.tasks, *spec.targets.tasks)))
    short = [task.rsplit("/", 1)[-1] for task in tasks]
    return {task: name if short.count(name) == 1 else task for task, name in zip(tasks, short, strict=True)}


def _source_step(spec: Spec, facts: Facts, task: str, name: str) -> Step:
    method = entry_points.adapter_method(spec.adapter.method)
    settings = method.settings.model_validate(spec.adapter.settings)
    training = train_settings(spec.source, lr=spec.source.lr)
    task_facts = facts.tasks[task]
    adapter: dict[str, Json] = {
        "method": method.name,
        "version": method.version,
        "settings": _dump(settings),
    }
    key = None
    if _known(facts, task):
        key = _key(
            StepKind.SOURCE,
            {
                **_common(spec, facts, task),
                "adapter": adapter,
                "training": training.identity(),
                "seed": spec.source.seed,
            },
        )
    shape = facts.backbone.shape
    return Step(
        kind=StepKind.SOURCE,
        key=key,
        title=f"source · {name} · seed {spec.source.seed}",
        job={
            "task": task,
            "task_name": name,
            "adapter": adapter,
            "training": training.identity(),
            "seed": spec.source.seed,
        },
        trainable_parameters=method.trainable_parameters(settings, shape) if shape else None,
        head_parameters=_head_parameters(shape, task_facts),
        train_rows=_rows(spec, task_facts, training.max_epochs),
    )


def _study_step(
    spec: Spec, facts: Facts, target: str, kind: str, names: Mapping[str, str], sources: Mapping[str, Step]
) -> Step:
    combiner = entry_points.combiner(kind)
    settings = combiner.settings.model_validate(spec.combiner.settings)
    training = train_settings(spec.transfer, lr=1.0).identity()
    del training["lr"]  # searched
    pool = [sources[task] for task in spec.pool_for(target)]
    search: dict[str, Json] = {
        "spaces": {name: _space(space) for name, space in spec.search.spaces().items()},
        "sampler": spec.search.sampler,
        "pruner": spec.search.pruner,
        "seed": spec.search.seed,
    }
    described: dict[str, Json] = {
        "name": combiner.name,
        "version": combiner.version,
        "settings": _dump(settings),
    }
    trials = 1 if all(is_fixed(space) for space in spec.search.spaces().values()) else spec.search.trials
    search_key = key = None
    if _known(facts, target) and all(step.key for step in pool):
        inputs: dict[str, Json] = {
            **_common(spec, facts, target),
            "pool": [step.key for step in pool],
            "combiner": described,
            "training": training,
            "search": search,
        }
        search_key = key_of("search", STEP_VERSIONS[StepKind.STUDY], inputs)
        key = _key(StepKind.STUDY, {**inputs, "trials": trials})
    shape = _points_of(spec, facts.backbone.shape)
    task_facts = facts.tasks[target]
    coefficients = list(combiner.coefficient_shape(shape, len(pool))) if shape else None
    return Step(
        kind=StepKind.STUDY,
        key=key,
        title=f"{names[target]} · {kind}",
        job={
            "task": target,
            "task_name": names[target],
            "combiner": described,
            "coefficient_shape": coefficients,
            "pool": [
                {"key": step.key, "task": task, "name": names[task]}
                for task, step in zip(spec.pool_for(target), pool, strict=True)
            ],
            "adapter": pool[0].job["adapter"],
            "training": training,
            "search": {**search, "trials": trials},
            "search_key": search_key,
        },
        needs=tuple(step.title for step in pool),
        trainable_parameters=(combiner.trainable_parameters(settings, shape, len(pool)) if shape else None),
        head_parameters=_head_parameters(shape, task_facts),
        train_rows=_rows(spec, task_facts, spec.transfer.max_epochs * trials),
    )


def _points_of(spec: Spec, shape: BackboneShape | None) -> BackboneShape | None:
    """Return a shape whose layers are the attachment points of the pool's adapters, as combiners count."""
    method = entry_points.adapter_method(spec.adapter.method)
    sites = len(method.sites(method.settings.model_validate(spec.adapter.settings)))
    return None if shape is None else replace(shape, layers=shape.layers * sites)


def _transfer_step(study: Step, seed: int, train_rows: int | None) -> Step:
    key = None
    if study.key is not None:
        key = _key(StepKind.TRANSFER, {"study": study.key, "seed": seed})
    return Step(
        kind=StepKind.TRANSFER,
        key=key,
        title=f"{study.title} · final · seed {seed}",
        job={"study": study.key, "seed": seed},
        needs=(study.title,),
        trainable_parameters=study.trainable_parameters,
        head_parameters=study.head_parameters,
        train_rows=train_rows,
    )


def _head_parameters(shape: BackboneShape | None, task: TaskFacts) -> int | None:
    return shape.head_parameters(task.n_labels) if shape and task.n_labels else None


def train_settings(training: TrainingSpec | SourceSpec, *, lr: float) -> TrainSettings:
    """Return the settings of one run from a spec's section."""
    fields = training.model_dump(exclude={"lr", "seed"})
    return TrainSettings(lr=lr, **fields)


def _common(spec: Spec, facts: Facts, task: str) -> dict[str, Json]:
    return {
        "backbone": facts.backbone.identity(),
        "task": facts.tasks[task].identity(),
        "preprocessing": {
            "version": PREPROCESSING_VERSION,
            "max_length": row_length(spec.data.max_length, facts.tasks[task].max_length),
            "max_train_rows": _train_rows_limit(spec, facts.tasks[task]),
        },
    }


def _known(facts: Facts, task: str) -> bool:
    return facts.backbone.resolved and facts.tasks[task].content_digest is not None


def _key(kind: StepKind, inputs: Mapping[str, Json]) -> str:
    return key_of(str(kind), STEP_VERSIONS[kind], inputs)


def _train_rows_limit(spec: Spec, facts: TaskFacts) -> int | None:
    """Return how many train rows are used; ``None`` for all, however that was written."""
    limit = spec.data.max_train_rows
    return None if limit is None or facts.n_train is None or limit >= facts.n_train else limit


def _rows(spec: Spec, facts: TaskFacts, epochs: int) -> int | None:
    if facts.n_train is None:
        return None
    return epochs * (_train_rows_limit(spec, facts) or facts.n_train)


def _dump(settings: BaseModel) -> dict[str, Json]:
    dumped: dict[str, Json] = settings.model_dump(mode="json")
    return dumped


def _space(space: float | FloatRange | Choices) -> Json:
    # The order of choices decides what a sampler draws, so it stays as written.
    return _dump(space) if isinstance(space, BaseModel) else float(space)
