"""Searches as steps: the studies that choose how an adapter is trained.

Such a study trains a method on a task's rows as a combiner's study combines a pool: the same sampler, pruner, number
of trials and budget of ``[search]``, the validation metric as objective. What it chooses is trained once a seed, by
source steps that name it in their keys; only they see the test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapterlab.fingerprint import Json
from adapterlab.planning.baselines import Recipe, baseline_recipes, pool_recipes
from adapterlab.planning.search_keys import SearchKeys, trials_of_spaces
from adapterlab.planning.steps import MethodRecipe, RunRows, SearchSettings, Step, StepId, StudyJob
from adapterlab.planning.variants import variants_of
from adapterlab.spec.model import Spec


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
    return trials_of_spaces(spec, recipe.spaces)


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
