"""Searches as steps: what a key holds of a search, and the studies that choose how an adapter is trained.

Such a study trains a method on a task's rows as a combiner's study combines a pool: the same sampler, pruner, number
of trials and budget of ``[search]``, the validation metric as objective. What it chooses is trained once a seed, by
source steps that name it in their keys; only they see the test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapterlab.fingerprint import Json, key_of
from adapterlab.planning.baselines import Recipe, baseline_recipes, pool_recipes
from adapterlab.planning.steps import MethodRecipe, RunRows, SearchSettings, Step, StepId, StudyJob
from adapterlab.planning.variants import variants_of
from adapterlab.records import StepKind
from adapterlab.spec.model import Spec
from adapterlab.spec.pruning import pruning_identity, pruning_settings
from adapterlab.spec.search_space import Setting, is_fixed


@dataclass(frozen=True)
class SearchKeys:
    """The keys of one study."""

    search: str
    """Of its search, whatever the budget."""
    study: str

    @classmethod
    def of(cls, version: int, inputs: Mapping[str, Json], search: SearchSettings) -> SearchKeys:
        """Return the keys of a study.

        Args:
            version: Of the study step.
            inputs: What the trials train and on what; the dimensions under ``spaces`` where they stand apart.
            search: How it searches.
        """
        known = {**inputs}
        spaces = known.pop("spaces", None)
        how: dict[str, Json] = {"sampler": search.sampler, "pruner": search.pruner, "seed": search.seed}
        if (pruning := pruning_identity(search.pruner, search.pruning)) is not None:
            how["pruning"] = {**pruning}
        how |= {
            name: count for name, count in (("seeds", search.seeds), ("folds", search.folds)) if count > 1
        }
        if search.start:
            how["start"] = [{**one} for one in search.start]
        known["search"] = how if spaces is None else {"spaces": spaces, **how}
        budget: dict[str, Json] = {"trials": search.trials}
        if search.budget_minutes is not None:
            budget["minutes"] = search.budget_minutes
        return cls(
            key_of("search", version, known), key_of(str(StepKind.STUDY), version, {**known, **budget})
        )


def search_settings(spec: Spec, trials: int, start: tuple[Mapping[str, Setting], ...] = ()) -> SearchSettings:
    """Return how a study of a spec searches.

    Args:
        spec: The spec.
        trials: The study's budget.
        start: Settings of its first trials.
    """
    search = spec.search
    return SearchSettings(
        sampler=search.sampler,
        pruner=search.pruner,
        seed=search.seed,
        trials=trials,
        pruning=pruning_settings(search.pruner, search.pruning),
        start=start,
        # The first trial always begins, so that of one trial no time can take anything away.
        budget_minutes=search.budget_minutes if trials > 1 else None,
        # Of one trial there is nothing to choose, so that it need not be judged well.
        seeds=search.seeds_per_trial if trials > 1 else 1,
        folds=search.folds if trials > 1 else 1,
    )


def trained_epochs(max_epochs: int, search: SearchSettings) -> int:
    """Return most epochs on all training rows that a study's trials have together, parts of them added up."""
    whole = search.seeds if search.folds == 1 else search.seeds * (search.folds - 1)
    return max_epochs * search.trials * whole


def searched_recipes(spec: Spec) -> list[tuple[str, Recipe]]:
    """Return what is searched beside combiners: each task with a recipe, sources of the pool before baselines."""
    found = [(task, pool_recipes(spec, task)[0]) for task in spec.pool.tasks]
    found += [
        (target, baseline_recipes(variant.spec, baseline, target)[0])
        for variant in variants_of(spec)
        for baseline in variant.spec.baseline
        for target in spec.targets.tasks
    ]
    return [(task, recipe) for task, recipe in found if recipe.spaces]


def trials_of_method(spec: Spec, recipe: Recipe) -> int:
    """Return the budget of a method's search: one trial where each dimension has one value."""
    return 1 if all(is_fixed(space) for space in recipe.spaces.values()) else spec.search.trials


@dataclass(frozen=True)
class TrialRows:
    """What the trials of a study train on."""

    told: RunRows | None
    """Which rows of the task, as a worker is told."""
    inputs: Mapping[str, Json] | None
    """What its key holds of backbone, task and rows; ``None`` while some of that is not known."""
    train_rows: int | None
    """Most rows that all trials train on together."""


def method_study(
    recipe: Recipe, step_id: StepId, *, task_name: str, rows: TrialRows, search: SearchSettings, version: int
) -> Step[StudyJob]:
    """Return the study that chooses what of a recipe is searched, on one task.

    Args:
        recipe: One of the recipes it chooses for.
        step_id: The study's.
        task_name: What a person calls the task.
        rows: What the trials train on.
        search: How it searches.
        version: Of the study step.
    """
    keys = (
        None
        if rows.inputs is None
        else SearchKeys.of(version, {**rows.inputs, "method": recipe.trained()}, search)
    )
    return Step(
        id=step_id,
        key=None if keys is None else keys.study,
        title=" · ".join(
            (
                task_name,
                str(step_id.label),
                *(() if step_id.rows is None else (f"{step_id.rows} rows",)),
                "search",
            )
        ),
        job=StudyJob(
            task=step_id.task,
            task_name=task_name,
            label=str(step_id.label),
            chooses=False,
            combiners=(),
            pool=(),
            adapter=recipe.adapter,
            search=search,
            search_key=None if keys is None else keys.search,
            rows=rows.told,
            method=MethodRecipe(recipe.spaces, recipe.training, recipe.method.exclusive),
        ),
        train_rows=rows.train_rows,
    )
