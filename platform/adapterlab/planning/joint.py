"""Joint runs as steps: the run, and beside it a share for each task; pure, from the spec and the tasks' facts.

What a run's key holds is written here and nowhere else:

    joint     backbone; of every task, in order, its name, content and preprocessing; joint method + settings; training; seed;
              where some of it is searched: the study that chooses it, seed
    study     all of that but the seed, the dimensions in place of what is searched, and how it searches
    share     the joint run's key, the task

A share is what one task has of the run. Tables show it in the row of its run, as they show a baseline; where it is an
adapter by itself, a pool can take it. It is published with its run, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from adapterlab.fingerprint import Json
from adapterlab.planning.facts import Facts
from adapterlab.planning.keys import (
    STEP_VERSIONS,
    backbone_inputs,
    head_parameters,
    is_known,
    step_key,
    task_inputs,
    told_rows,
)
from adapterlab.planning.rows import run_rows
from adapterlab.planning.search_keys import SearchKeys, search_settings, trained_epochs, trials_of_spaces
from adapterlab.planning.starts import starts_of_method
from adapterlab.planning.steps import (
    AdapterRecipe,
    Job,
    JointJob,
    JointStudyJob,
    JointTask,
    ShareJob,
    Step,
    StepId,
    dump,
    is_share,
)
from adapterlab.records import JointSettings, StepKind
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import JointMethod
from adapterlab.spec.joint import JointRunSpec
from adapterlab.spec.model import Spec
from adapterlab.spec.ranges import settings_at_first, split_settings, split_training
from adapterlab.spec.search_space import Dimension, bounds_of, space_json

_LR = 3e-4
"""Peak learning rate of a method that has none of its own, as its papers'."""


@dataclass(frozen=True)
class JointRecipe:
    """How the runs of one ``[[joint.run]]`` train, but for their seed."""

    label: str
    method: JointMethod
    settings: BaseModel
    """What is searched has the first of its values, here and in ``training``."""
    training: JointSettings
    tasks: tuple[str, ...]
    """Full names, in the order of the run."""
    seeds: tuple[int, ...]
    spaces: Mapping[str, Dimension] = field(default_factory=dict)
    """Where something is searched: that, and ``lr``, by name; keys of the method's settings as well."""

    @property
    def adapter(self) -> AdapterRecipe | None:
        """What a task's adapter is by itself; ``None``: none."""
        made = self.method.adapters(self.settings)
        return None if made is None else AdapterRecipe.of(entry_points.adapter_method(made[0]), made[1])

    @property
    def searches_settings(self) -> bool:
        """Whether settings of the method are searched, so that its parameters are not known before."""
        return any(name in type(self.settings).model_fields for name in self.spaces)

    @property
    def most_rows(self) -> int:
        """Most rows one run can draw."""
        steps, batch = (
            bounds_of(self.spaces.get(name, getattr(self.training, name)))[1]
            for name in ("steps", "batch_size")
        )
        return int(steps * batch)

    def trained(self) -> dict[str, Json]:
        """Return what a key holds of method and training; what is searched is in there as its dimension alone."""
        method: dict[str, Json] = {"name": self.method.name, "version": self.method.version}
        settings, training = dump(self.settings), self.training.identity()
        if not self.spaces:
            return {"method": {**method, "settings": settings}, "training": training}
        left = {name: value for name, value in settings.items() if name not in self.spaces}
        return {
            "method": {**method, "settings": left},
            "training": {name: value for name, value in training.items() if name not in self.spaces},
            "spaces": {name: space_json(space) for name, space in self.spaces.items()},
        }

    @property
    def study_id(self) -> StepId:
        """The identity of the study that chooses what is searched."""
        return StepId(StepKind.STUDY, "", self.label)

    def run_id(self, seed: int) -> StepId:
        """Return the identity of a run."""
        return StepId(StepKind.JOINT, "", self.label, seed=seed)

    def share_id(self, task: str, seed: int) -> StepId:
        """Return the identity of what a task has of a run."""
        return StepId(StepKind.SOURCE, task, self.label, seed=seed)


def joint_recipe(spec: Spec, run: JointRunSpec) -> JointRecipe:
    """Return how a ``[[joint.run]]`` trains.

    Raises:
        NotFoundError: Its method is not installed.
    """
    method = entry_points.joint_method(run.method)
    tasks = run.tasks or spec.targets.tasks
    training = spec.joint.training_of(run)
    training["caps"] = {task: rows for task, rows in training["caps"].items() if task in tasks}
    training["unselected"] = tuple(task for task in training["unselected"] if task in tasks)
    lr = method.training.get("lr", _LR) if run.lr is None else run.lr
    at_first, spaces = split_training({**training, "lr": lr})
    spaces |= split_settings(run.settings)[1]
    return JointRecipe(
        label=run.label,
        method=method,
        settings=method.settings.model_validate(settings_at_first(run.settings)),
        training=JointSettings(**at_first),
        tasks=tasks,
        seeds=run.seeds or spec.joint.seeds or spec.final.seeds,
        spaces={"lr": lr, **spaces} if spaces else {},
    )


def joint_recipes(spec: Spec) -> tuple[JointRecipe, ...]:
    """Return how every ``[[joint.run]]`` of a spec trains, in order.

    Raises:
        NotFoundError: A method is not installed.
    """
    return tuple(joint_recipe(spec, run) for run in spec.joint.run)


def joint_steps(
    spec: Spec, facts: Facts, names: Mapping[str, str]
) -> Iterator[Step[JointStudyJob] | Step[JointJob] | Step[ShareJob]]:
    """Yield every joint run of a spec, each followed by its shares; before those of a row the study that they need.

    Args:
        spec: The spec.
        facts: What is known of its inputs.
        names: What people call tasks.

    Raises:
        NotFoundError: A method is not installed.
        UsageError: A head cannot answer its task, or the backbone has not a method's site.
    """
    for recipe in joint_recipes(spec):
        study = _study(spec, facts, recipe, names) if recipe.spaces else None
        if study is not None:
            yield study
        for seed in recipe.seeds:
            yield from _steps(spec, facts, recipe, seed, names, study)


def pooled_shares(spec: Spec, steps: Iterable[Step[Job]], run: str) -> dict[str, Step[ShareJob]]:
    """Return by task what a pool takes of a joint run: the shares of its first seed.

    Args:
        spec: The spec.
        steps: The plan's.
        run: The run's name.
    """
    recipe = next(one for one in joint_recipes(spec) if one.label == run)
    wanted = recipe.run_id(recipe.seeds[0])
    return {step.job.task: step for step in steps if is_share(step) and step.job.joint == wanted}


def _tasks(spec: Spec, facts: Facts, recipe: JointRecipe, names: Mapping[str, str]) -> tuple[JointTask, ...]:
    """Return a run's tasks as a worker is told of them."""
    rows = {task: run_rows(spec, facts.tasks[task], few=False) for task in recipe.tasks}
    return tuple(JointTask(task, names[task], told_rows(one, few=False)) for task, one in rows.items())


def _of_training(recipe: JointRecipe, tasks: tuple[JointTask, ...]) -> dict[str, Any]:
    """Return what the jobs of a run and of its study have in common, see :class:`JointTraining`."""
    return {
        "label": recipe.label,
        "method": recipe.method.name,
        "version": recipe.method.version,
        "settings": dump(recipe.settings),
        "exclusive": recipe.method.exclusive,
        "training": recipe.training,
        "tasks": tasks,
    }


def _inputs(spec: Spec, facts: Facts, recipe: JointRecipe) -> dict[str, Json] | None:
    """Return what keys hold of all that a recipe trains, and on what; ``None`` while some of that is not known."""
    if not is_known(facts, *recipe.tasks):
        return None
    rows = {task: run_rows(spec, facts.tasks[task], few=False) for task in recipe.tasks}
    return {
        "backbone": backbone_inputs(spec, facts),
        # A task's name is in what its head starts from.
        "tasks": [{"name": task, **task_inputs(spec, facts, task, rows[task])} for task in recipe.tasks],
        **recipe.trained(),
    }


def _study(spec: Spec, facts: Facts, recipe: JointRecipe, names: Mapping[str, str]) -> Step[JointStudyJob]:
    """Return the study that chooses what of a recipe is searched, for the runs of all seeds."""
    start = starts_of_method(spec, "", recipe.method.name, recipe.spaces, facts.earlier)
    search = search_settings(spec, trials_of_spaces(spec, recipe.spaces), start)
    inputs = _inputs(spec, facts, recipe)
    keys = None if inputs is None else SearchKeys.of(STEP_VERSIONS[StepKind.STUDY], inputs, search)
    return Step(
        id=recipe.study_id,
        key=None if keys is None else keys.study,
        title=f"{recipe.label} · {len(recipe.tasks)} tasks · search",
        job=JointStudyJob(
            **_of_training(recipe, _tasks(spec, facts, recipe, names)),
            spaces=recipe.spaces,
            search=search,
            search_key=None if keys is None else keys.search,
        ),
        train_rows=_rows(spec, facts, recipe, runs=trained_epochs(1, search)),
    )


def _steps(
    spec: Spec,
    facts: Facts,
    recipe: JointRecipe,
    seed: int,
    names: Mapping[str, str],
    study: Step[JointStudyJob] | None,
) -> Iterator[Step[JointJob] | Step[ShareJob]]:
    shape = facts.backbone.shape
    tasks = _tasks(spec, facts, recipe, names)
    heads = {task: head_parameters(shape, facts.tasks[task]) for task in recipe.tasks}
    every = [count for count in heads.values() if count is not None]
    trained = (
        None
        if shape is None or recipe.searches_settings
        else recipe.method.trainable_parameters(recipe.settings, shape, len(recipe.tasks))
    )
    inputs: dict[str, Json] | None
    if study is None:
        inputs = _inputs(spec, facts, recipe)
    else:
        inputs = None if study.key is None else {"study": study.key}
    key = None if inputs is None else step_key(StepKind.JOINT, {**inputs, "seed": seed})
    run = recipe.run_id(seed)
    yield Step(
        id=run,
        key=key,
        title=f"{recipe.label} · {len(recipe.tasks)} tasks · seed {seed}",
        job=JointJob(
            **_of_training(recipe, tasks),
            seed=seed,
            searched=study is not None,
            study=None if study is None else study.key,
        ),
        needs=() if study is None else (study.id,),
        trainable_parameters=trained,
        head_parameters=sum(every) if len(every) == len(heads) else None,
        train_rows=_rows(spec, facts, recipe),
    )
    for one in tasks:
        task = one.task
        yield Step(
            id=recipe.share_id(task, seed),
            key=None if key is None else step_key(StepKind.JOINT, {"run": key, "task": task}),
            title=f"{recipe.label} · {names[task]} · seed {seed}",
            job=ShareJob(
                joint=run,
                task=task,
                task_name=names[task],
                label=recipe.label,
                seed=seed,
                adapter=recipe.adapter,
                rows=one.rows,
                searched=recipe.searches_settings,
            ),
            needs=(run,),
            trainable_parameters=trained,
            head_parameters=heads[task],
            train_rows=0,
        )


def _rows(spec: Spec, facts: Facts, recipe: JointRecipe, runs: int = 1) -> int | None:
    """Return the rows runs train on at most, each choice a row, their batches spread over the tasks as they draw them."""
    training = recipe.training
    sizes: dict[str, float] = {}
    for task in recipe.tasks:
        one = facts.tasks[task]
        rows = run_rows(spec, one, few=False).train or one.n_train or one.published_train
        if rows is None:
            return None
        sizes[task] = min(rows, training.caps.get(task, rows)) ** (1.0 / training.temperature)
    choices = sum(facts.tasks[task].choices * weight for task, weight in sizes.items()) / sum(sizes.values())
    return round(recipe.most_rows * choices * runs)
