"""Which source steps a spec's baselines are; pure, and from the spec alone.

A baseline trains a method on every target once a seed. That is what a source step does, so where the
pool trains the very same (method, settings, training and seed) there is one step for both. Where some of it is
searched, one study on each target chooses it for all seeds; the pool's is one study a source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from adapterlab.fingerprint import Json, digest_of
from adapterlab.planning.combiners import train_settings
from adapterlab.planning.joint import joint_recipes
from adapterlab.planning.rows import few_rows_of, few_shot_spec, own_seeds
from adapterlab.planning.steps import AdapterRecipe, StepId
from adapterlab.planning.variants import of_source, variants_of
from adapterlab.records import StepKind, TrainSettings
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import AdapterMethod
from adapterlab.spec.joint import SINGLE
from adapterlab.spec.model import BaselineSpec, Spec
from adapterlab.spec.ranges import at_first, searched, settings_at_first, split_settings
from adapterlab.spec.search_space import Dimension, bounds_of, space_json
from adapterlab.spec.training import SourceSpec

POOL = "source"
"""The label of the pool's adapters."""


@dataclass(frozen=True)
class Recipe:
    """How one adapter is trained, whatever the task."""

    label: str
    """The baseline's name; ``"source"`` for the pool."""
    method: AdapterMethod
    settings: BaseModel
    """What is searched has the first of its values, here and in ``training``."""
    training: TrainSettings
    seed: int
    spaces: Mapping[str, Dimension] = field(default_factory=dict)
    """Where something is searched: that, and ``lr``, by name; keys of the method's settings as well."""

    @property
    def adapter(self) -> AdapterRecipe:
        """The method with its settings."""
        return AdapterRecipe.of(self.method, self.settings)

    @property
    def identity(self) -> str:
        """Equal for recipes that give the same adapter."""
        return digest_of({**self.trained(), "seed": self.seed})

    @property
    def search_identity(self) -> str:
        """Equal for recipes that one study chooses for."""
        return digest_of(self.trained())

    def trained(self) -> dict[str, Json]:
        """Return what a key holds of adapter and training; what is searched is in there as its dimension alone."""
        adapter, training = self.adapter.identity(), self.training.identity()
        if not self.spaces:
            return {"adapter": adapter, "training": training}
        settings = self.adapter.settings.items()
        return {
            "adapter": {
                **adapter,
                "settings": {one: kept for one, kept in settings if one not in self.spaces},
            },
            "training": {one: kept for one, kept in training.items() if one not in self.spaces},
            "spaces": {one: space_json(space) for one, space in self.spaces.items()},
        }

    @property
    def most_epochs(self) -> int:
        """Most epochs one run can take."""
        return int(bounds_of(self.spaces.get("max_epochs", self.training.max_epochs))[1])

    @property
    def searches_settings(self) -> bool:
        """Whether settings of the method are searched, so that its parameters are not known before."""
        return any(name in type(self.settings).model_fields for name in self.spaces)

    def study_id(self, task: str, *, pooled: bool, rows: int | None = None) -> StepId:
        """Return the identity of the study that chooses what is searched; arguments as of :meth:`step_id`."""
        return StepId(StepKind.STUDY, task, POOL if pooled else self.label, rows)

    def step_id(self, task: str, *, pooled: bool, rows: int | None = None) -> StepId:
        """Return the identity of its step.

        Args:
            task: Full name.
            pooled: Whether the pool trains it; else a baseline does.
            rows: Of the pool's adapters trained on few rows: how many.
        """
        return StepId(StepKind.SOURCE, task, None if pooled else self.label, rows, self.seed)

    def title(self, name: str, *, rows: int | None = None) -> str:
        """Return what a person reads: ``source · rte · seed 0``, or ``source · rte · 16 rows · seed 0``."""
        few = "" if rows is None else f" · {rows} rows"
        return f"{self.label} · {name}{few} · seed {self.seed}"


@dataclass(frozen=True)
class BaselineRow:
    """One baseline, or one joint run, on one target."""

    label: str
    """Its name."""
    method: str
    target: str
    """Full name."""
    steps: Mapping[int, StepId]
    """The step of each seed."""
    study: StepId | None = None
    """The study that chooses what is searched; ``None``: nothing is."""


def pool_recipes(spec: Spec, task: str) -> tuple[Recipe, ...]:
    """Return how a task's adapters of the pools are trained, one a seed of ``[source]``."""
    source = of_source(spec, task).source
    return tuple(
        _recipe(POOL, spec.adapter.method, spec.adapter.settings, source, seed) for seed in source.seeds
    )


def few_shot_recipes(spec: Spec, target: str) -> tuple[Recipe, ...]:
    """Return how a target's own adapters of its pool are trained on few rows, the study's first."""
    mine = spec.of_task(target)
    source = few_shot_spec(mine).source
    return tuple(
        _recipe(POOL, spec.adapter.method, spec.adapter.settings, source, seed) for seed in own_seeds(mine)
    )


def baseline_recipes(spec: Spec, baseline: BaselineSpec, target: str) -> tuple[Recipe, ...]:
    """Return a baseline's recipes on a target, one a seed."""
    few = few_shot_spec(spec.of_task(target))
    return tuple(_of_seed(few, baseline, seed) for seed in _seeds(few, baseline))


def baseline_rows(spec: Spec) -> tuple[BaselineRow, ...]:
    """Return each baseline on each target, with its steps, of every number of rows; and what targets have of joint runs.

    A step that another trains as well, a pool or an earlier baseline, is the one it is there; so is a study.
    """
    return tuple(row for variant in variants_of(spec) for row in _rows_of(variant.spec))


def _rows_of(spec: Spec) -> Iterator[BaselineRow]:
    pooled = {task for target in spec.targets.tasks for task in spec.pool_for(target)}
    few = few_rows_of(spec)
    of_pool = [
        (task, one)
        for task in spec.targets.tasks
        if SINGLE in spec.pool.trainings and (task in spec.pool_for(task) or (few is None and task in pooled))
        for one in _whole_recipes(spec, task, few)
    ]
    ids = {(task, one.identity): one.step_id(task, pooled=True, rows=few) for task, one in of_pool}
    studies = {
        (task, one.search_identity): one.study_id(task, pooled=True, rows=few) for task, one in of_pool
    }
    for baseline in spec.baseline:
        for target in spec.targets.tasks:
            recipes = baseline_recipes(spec, baseline, target)
            steps = {
                one.seed: ids.setdefault((target, one.identity), one.step_id(target, pooled=False))
                for one in recipes
            }
            first, study = recipes[0], None
            if first.spaces:  # the same for every seed
                place = (target, first.search_identity)
                study = studies.setdefault(place, first.study_id(target, pooled=False))
            yield BaselineRow(first.label, first.method.name, target, steps, study)
    for joint in joint_recipes(spec):
        for target in (one for one in spec.targets.tasks if one in joint.tasks):
            steps = {seed: joint.share_id(target, seed) for seed in joint.seeds}
            yield BaselineRow(
                joint.label, joint.method.name, target, steps, joint.study_id if joint.spaces else None
            )


def _whole_recipes(spec: Spec, target: str, few: int | None) -> tuple[Recipe, ...]:
    """Return how those adapters of a target's pools are trained that see the rows its baselines see."""
    if few is not None:
        return few_shot_recipes(spec, target)
    fewer = of_source(spec, target).data.max_train_rows != spec.data.max_train_rows
    return () if fewer else pool_recipes(spec, target)


def display_names(spec: Spec) -> dict[str, str]:
    """Return short task names where they are unique, full names where not."""
    tasks = list(dict.fromkeys((*spec.pool.tasks, *spec.targets.tasks)))
    short = [task.rsplit("/", 1)[-1] for task in tasks]
    return {task: name if short.count(name) == 1 else task for task, name in zip(tasks, short, strict=True)}


def _of_seed(spec: Spec, baseline: BaselineSpec, seed: int) -> Recipe:
    own = dict(entry_points.adapter_method(baseline.method).training)
    written = {**baseline.written, **({} if baseline.lr is None else {"lr": baseline.lr})}
    source = spec.source.model_copy(update={**own, **written})
    return _recipe(baseline.label, baseline.method, baseline.settings, source, seed)


def _recipe(label: str, method: str, settings: Mapping[str, object], source: SourceSpec, seed: int) -> Recipe:
    plugin = entry_points.adapter_method(method)
    spaces = {**searched(source), **split_settings(settings)[1]}
    return Recipe(
        label=label,
        method=plugin,
        settings=plugin.settings.model_validate(settings_at_first(settings)),
        training=train_settings(at_first(source)),
        seed=seed,
        spaces={"lr": source.lr, **spaces} if spaces else {},
    )


def _seeds(spec: Spec, baseline: BaselineSpec) -> tuple[int, ...]:
    return spec.final.seeds if baseline.seeds is None else baseline.seeds
