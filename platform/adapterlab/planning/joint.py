"""Joint runs as steps: the run, and beside it a share for each task; pure, from the spec and the tasks' facts.

What a run's key holds is written here and nowhere else:

    joint     backbone; of every task, in order, its name, content and preprocessing; joint method + settings; training; seed
    share     the joint run's key, the task

A share is what one task has of the run. Tables show it in the row of its run, as they show a baseline; where it is an
adapter by itself, a pool can take it. It is published with its run, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from adapterlab.fingerprint import Json
from adapterlab.planning.keys import (
    backbone_inputs,
    head_parameters,
    is_known,
    step_key,
    task_inputs,
    told_rows,
)
from adapterlab.planning.rows import run_rows
from adapterlab.planning.steps import (
    AdapterRecipe,
    Job,
    JointJob,
    JointTask,
    ShareJob,
    Step,
    StepId,
    dump,
    is_share,
)
from adapterlab.records import JointRegime, JointSettings, StepKind
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import JointMethod
from adapterlab.spec.joint import JointRunSpec
from adapterlab.spec.model import Spec

if TYPE_CHECKING:
    from adapterlab.planning.compile import Facts

_LR = 3e-4
"""Peak learning rate of a method that has none of its own, as its papers'."""


@dataclass(frozen=True)
class JointRecipe:
    """How the runs of one ``[[joint.run]]`` train, but for their seed."""

    label: str
    method: JointMethod
    settings: BaseModel
    training: JointSettings
    tasks: tuple[str, ...]
    """Full names, in the order of the run."""
    seeds: tuple[int, ...]

    @property
    def adapter(self) -> AdapterRecipe | None:
        """What a task's adapter is by itself; ``None``: none."""
        made = self.method.adapters(self.settings)
        return None if made is None else AdapterRecipe.of(entry_points.adapter_method(made[0]), made[1])

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
    return JointRecipe(
        label=run.label,
        method=method,
        settings=method.settings.model_validate(run.settings),
        training=JointRegime(**training).at(run.lr or method.training.get("lr", _LR)),
        tasks=tasks,
        seeds=run.seeds or spec.joint.seeds or spec.final.seeds,
    )


def joint_recipes(spec: Spec) -> tuple[JointRecipe, ...]:
    """Return how every ``[[joint.run]]`` of a spec trains, in order.

    Raises:
        NotFoundError: A method is not installed.
    """
    return tuple(joint_recipe(spec, run) for run in spec.joint.run)


def joint_steps(
    spec: Spec, facts: Facts, names: Mapping[str, str]
) -> Iterator[Step[JointJob] | Step[ShareJob]]:
    """Yield every joint run of a spec, each followed by its shares.

    Args:
        spec: The spec.
        facts: What is known of its inputs.
        names: What people call tasks.

    Raises:
        NotFoundError: A method is not installed.
        UsageError: A head cannot answer its task, or the backbone has not a method's site.
    """
    for recipe in joint_recipes(spec):
        for seed in recipe.seeds:
            yield from _steps(spec, facts, recipe, seed, names)


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


def _steps(
    spec: Spec, facts: Facts, recipe: JointRecipe, seed: int, names: Mapping[str, str]
) -> Iterator[Step[JointJob] | Step[ShareJob]]:
    shape = facts.backbone.shape
    known = [facts.tasks[task] for task in recipe.tasks]
    rows = {one.task: run_rows(spec, one, few=False) for one in known}
    told = {task: told_rows(one, few=False) for task, one in rows.items()}
    heads = {one.task: head_parameters(shape, one) for one in known}
    every = [count for count in heads.values() if count is not None]
    trained = (
        None
        if shape is None
        else recipe.method.trainable_parameters(recipe.settings, shape, len(recipe.tasks))
    )
    method: dict[str, Json] = {
        "name": recipe.method.name,
        "version": recipe.method.version,
        "settings": dump(recipe.settings),
    }
    key = None
    if is_known(facts, *recipe.tasks):
        inputs: dict[str, Json] = {
            "backbone": backbone_inputs(spec, facts),
            # A task's name is in what its head starts from.
            "tasks": [{"name": task, **task_inputs(spec, facts, task, rows[task])} for task in recipe.tasks],
            "method": method,
            "training": recipe.training.identity(),
            "seed": seed,
        }
        key = step_key(StepKind.JOINT, inputs)
    run = recipe.run_id(seed)
    yield Step(
        id=run,
        key=key,
        title=f"{recipe.label} · {len(recipe.tasks)} tasks · seed {seed}",
        job=JointJob(
            label=recipe.label,
            method=recipe.method.name,
            version=recipe.method.version,
            settings=dump(recipe.settings),
            exclusive=recipe.method.exclusive,
            training=recipe.training,
            seed=seed,
            tasks=tuple(JointTask(task, names[task], told[task]) for task in recipe.tasks),
        ),
        trainable_parameters=trained,
        head_parameters=sum(every) if len(every) == len(heads) else None,
        train_rows=_rows(spec, facts, recipe),
    )
    for task in recipe.tasks:
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
                rows=told[task],
            ),
            needs=(run,),
            trainable_parameters=trained,
            head_parameters=heads[task],
            train_rows=0,
        )


def _rows(spec: Spec, facts: Facts, recipe: JointRecipe) -> int | None:
    """Return the rows a run trains on at most, each choice a row, its batches spread over the tasks as it draws them."""
    training = recipe.training
    sizes: dict[str, float] = {}
    for task in recipe.tasks:
        one = facts.tasks[task]
        rows = run_rows(spec, one, few=False).train or one.n_train or one.published_train
        if rows is None:
            return None
        sizes[task] = min(rows, training.caps.get(task, rows)) ** (1.0 / training.temperature)
    choices = sum(facts.tasks[task].choices * weight for task, weight in sizes.items()) / sum(sizes.values())
    return round(training.steps * training.batch_size * choices)
