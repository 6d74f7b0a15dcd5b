"""Which source steps a spec's baselines are, by their titles; pure, and from the spec alone.

A baseline trains a method on every target once a seed. That is what a source step does, so where the
pool trains the very same (method, settings, training and seed) there is one step for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from adapterlab.fingerprint import Json, digest_of
from adapterlab.planning.combiners import dump, train_settings
from adapterlab.planning.rows import few_shot_spec, own_seeds
from adapterlab.records import TrainSettings
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import AdapterMethod
from adapterlab.spec.model import BaselineSpec, Spec
from adapterlab.spec.training import SourceSpec

POOL = "source"
"""What the title of an adapter of the pool begins with."""


@dataclass(frozen=True)
class Recipe:
    """How one adapter is trained, whatever the task."""

    label: str
    """The baseline's name; ``"source"`` for the pool."""
    method: AdapterMethod
    settings: BaseModel
    training: TrainSettings
    seed: int

    @property
    def adapter(self) -> dict[str, Json]:
        """The method as keys hold it."""
        return {"method": self.method.name, "version": self.method.version, "settings": dump(self.settings)}

    @property
    def identity(self) -> str:
        """Equal for recipes that give the same adapter."""
        return digest_of({"adapter": self.adapter, "training": self.training.identity(), "seed": self.seed})

    def title(self, task: str, *, rows: int | None = None) -> str:
        """Return the title of its step: ``source · rte · seed 0``, or ``source · rte · 16 rows · seed 0``."""
        few = "" if rows is None else f" · {rows} rows"
        return f"{self.label} · {task}{few} · seed {self.seed}"


@dataclass(frozen=True)
class BaselineRow:
    """One baseline on one target."""

    label: str
    """The baseline's name."""
    method: str
    target: str
    """Full name."""
    steps: Mapping[int, str]
    """Title of the step of each seed."""


def pool_recipe(spec: Spec, task: str) -> Recipe:
    """Return how a task's adapter of the pool is trained."""
    return _recipe(POOL, spec.adapter.method, spec.adapter.settings, spec.of_task(task).source)


def few_shot_recipes(spec: Spec, target: str) -> tuple[Recipe, ...]:
    """Return how a target's own adapters of its pool are trained on few rows, the study's first."""
    mine = spec.of_task(target)
    source = few_shot_spec(mine).source
    return tuple(
        _recipe(POOL, spec.adapter.method, spec.adapter.settings, source.model_copy(update={"seed": seed}))
        for seed in own_seeds(mine)
    )


def baseline_recipes(spec: Spec, baseline: BaselineSpec, target: str) -> tuple[Recipe, ...]:
    """Return a baseline's recipes on a target, one a seed."""
    few = few_shot_spec(spec.of_task(target))
    return tuple(_of_seed(few, baseline, seed) for seed in _seeds(few, baseline))


def baseline_rows(spec: Spec) -> tuple[BaselineRow, ...]:
    """Return each baseline on each target, with the titles of its steps.

    A step that another trains as well, the pool or an earlier baseline, has the title it has there.
    """
    names, rows = display_names(spec), []
    pooled = {task for target in spec.targets.tasks for task in spec.pool_for(target)}
    rows_of_few = spec.data.few_shot
    titles = {
        (task, one.identity): one.title(names[task], rows=rows_of_few)
        for task in spec.targets.tasks
        if task in spec.pool_for(task) or (rows_of_few is None and task in pooled)
        for one in ((pool_recipe(spec, task),) if rows_of_few is None else few_shot_recipes(spec, task))
    }
    for baseline in spec.baseline:
        for target in spec.targets.tasks:
            recipes = baseline_recipes(spec, baseline, target)
            steps = {
                one.seed: titles.setdefault((target, one.identity), one.title(names[target]))
                for one in recipes
            }
            rows.append(BaselineRow(recipes[0].label, recipes[0].method.name, target, steps))
    return tuple(rows)


def display_names(spec: Spec) -> dict[str, str]:
    """Return short task names where they are unique, full names where not."""
    tasks = list(dict.fromkeys((*spec.pool.tasks, *spec.targets.tasks)))
    short = [task.rsplit("/", 1)[-1] for task in tasks]
    return {task: name if short.count(name) == 1 else task for task, name in zip(tasks, short, strict=True)}


def _of_seed(spec: Spec, baseline: BaselineSpec, seed: int) -> Recipe:
    own = dict(entry_points.adapter_method(baseline.method).training)
    written = baseline.model_dump(exclude={"method", "settings", "name", "seeds"}, exclude_none=True)
    source = spec.source.model_copy(update={**own, **written, "seed": seed})
    return _recipe(baseline.label, baseline.method, baseline.settings, source)


def _recipe(label: str, method: str, settings: Mapping[str, object], source: SourceSpec) -> Recipe:
    plugin = entry_points.adapter_method(method)
    return Recipe(
        label=label,
        method=plugin,
        settings=plugin.settings.model_validate(settings),
        training=train_settings(source, lr=source.lr),
        seed=source.seed,
    )


def _seeds(spec: Spec, baseline: BaselineSpec) -> tuple[int, ...]:
    return spec.final.seeds if baseline.seeds is None else baseline.seeds
