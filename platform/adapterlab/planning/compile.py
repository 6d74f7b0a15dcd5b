"""A spec and what is known of its inputs become a plan of keyed steps.

Pure: no disk, no network, no torch. What a key holds is written here:

    source    backbone, task content, preprocessing, adapter method + settings, training, seed; where some of it is
              searched: the study that chooses it, seed, and the rows where every seed has other ones
    selection see :mod:`adapterlab.planning.selection`
    study     backbone, task content, preprocessing, pool (source keys in order; where they are selected: the
              selection's key, the target's own and how many), combiner with its
              settings and the content of models it reads, training, search space, sampler, pruner,
              the settings it starts from, trials, minutes if those are limited, seed; of "auto" all of that for every combiner it chooses among;
              of a method's search method and settings in place of pool and combiner
    transfer  study key, seed; its draw and its own source adapter where every seed has other rows

and of joint runs in :mod:`adapterlab.planning.joint`.

Where it ran, on how many lanes, under which name, is in no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from adapterlab.errors import UsageError
from adapterlab.fingerprint import Json, digest_of
from adapterlab.planning.baselines import (
    Recipe,
    baseline_recipes,
    baseline_rows,
    display_names,
    few_shot_recipes,
    pool_recipes,
)
from adapterlab.planning.combiners import identity_of, model_sources, models_of, recipes_of, trials_of
from adapterlab.planning.facts import Facts
from adapterlab.planning.joint import joint_steps, pooled_shares
from adapterlab.planning.keys import (
    STEP_VERSIONS,
    common_inputs,
    head_parameters,
    is_known,
    step_key,
    told_rows,
)
from adapterlab.planning.plan import Plan
from adapterlab.planning.rows import draw_of, few_rows_of, few_shot_spec, run_rows
from adapterlab.planning.search_keys import SearchKeys, search_settings, trained_epochs
from adapterlab.planning.searches import TrialRows, method_study, trials_of_method
from adapterlab.planning.selection import Candidates, selection_of
from adapterlab.planning.starts import starts_of, starts_of_method
from adapterlab.planning.steps import (
    AdapterRecipe,
    ExistingAdapter,
    FinalJob,
    Job,
    PoolMember,
    RunRows,
    SelectionJob,
    SourceJob,
    Step,
    StepId,
    StudyJob,
    Trained,
)
from adapterlab.planning.variants import Variant, of_source, of_source_seed, variants_of
from adapterlab.records import BackboneShape, StepKind, TaskFacts
from adapterlab.registry import entry_points
from adapterlab.spec.joint import SINGLE
from adapterlab.spec.model import Spec
from adapterlab.spec.search_space import SOURCE_HEAD, bounds_of
from adapterlab.spec.studies import StudyPlan, study_plans


def compile_plan(spec: Spec, facts: Facts) -> Plan:
    """Return the plan of a spec.

    Args:
        spec: A validated spec.
        facts: What is known of its backbone and tasks; steps whose inputs are unknown get no key.

    Raises:
        NotFoundError: A plug-in the spec names is not installed.
        UsageError: A head cannot answer its task.
        pydantic.ValidationError: A plug-in's settings are invalid; a loaded spec never raises this.
    """
    steps: dict[StepId, Step[Job]] = {}
    for variant in variants_of(spec):
        for step in _variant_steps(variant, facts):
            steps.setdefault(step.id, step)  # what variants share is the same in each
    keys = [step.key for step in steps.values()]
    reasons = (
        facts.backbone.pending_reason,
        *(one.pending_reason for one in facts.existing),
        *(facts.tasks[task].pending_reason for task in display_names(spec)),
        *_unknown_models(facts, model_sources(study_plans(spec))),
    )
    return Plan(
        name=spec.name,
        key=None if None in keys else digest_of({"name": spec.name, "steps": keys}),
        steps=tuple(steps.values()),
        facts=facts,
        pending=tuple(dict.fromkeys(reason for reason in reasons if reason)),
    )


def _variant_steps(variant: Variant, facts: Facts) -> Iterator[Step[Job]]:
    """Yield the steps of a spec for one number of rows, each source before the studies that read it."""
    spec, names, seeds = variant.spec, display_names(variant.spec), variant.spec.source.seeds
    searches: dict[StepId, Step[StudyJob]] = {}  # of methods; the same for pools of all seeds
    pools = [_Pools.of(of_source_seed(spec, seed), facts, names, searches) for seed in seeds]
    steps: list[Step[Job]] = [*searches.values(), *(step for pool in pools for step in pool.steps)]
    planned = {step.id for step in steps}
    for baseline in [*_baseline_steps(spec, facts, names, steps, searches)]:
        steps += [searches[one] for one in baseline.needs if one not in planned]
        planned.update(baseline.needs)
        steps.append(baseline)
    steps += joint_steps(spec, facts, names)
    yield from steps
    of_runs = {run: _Pools.of_run(spec, steps, run) for run in spec.pool.trainings if run != SINGLE}
    for target in spec.targets.tasks:
        for wanted in study_plans(few_shot_spec(spec.of_task(target))):
            for pool in pools if wanted.joint is None else [of_runs[wanted.joint]]:
                of_several = wanted.joint is None and len(pools) > 1
                seed = pool.seed if of_several else None
                study, selection = _study_step(pool, facts, target, variant.named(wanted), names, seed)
                if selection is not None:
                    yield selection
                if of_several:
                    study = _over_pool(study, pool.seed)
                yield study
                rows = _rows(spec, facts.tasks[target], wanted.max_epochs, few=True)
                for seed in spec.of_task(target).final.seeds:
                    yield _transfer_step(pool.spec, facts, study, seed, rows, pool.own.get(target, {}))


@dataclass(frozen=True)
class _Pools:
    """The pools of all targets, of source adapters of one seed."""

    spec: Spec
    """With that seed alone."""
    shared: Mapping[str, Step[Trained]]
    """The adapters trained on all rows of a task, by task."""
    own: Mapping[str, Mapping[int, Step[SourceJob]]]
    """Those trained on few rows of a target, by target and seed."""

    @classmethod
    def of(
        cls, spec: Spec, facts: Facts, names: Mapping[str, str], searches: dict[StepId, Step[StudyJob]]
    ) -> _Pools:
        """Return the pools of a spec with one source seed; studies they need that are not in ``searches`` are put there."""
        shared = _pool_steps(spec, facts, names, searches)
        return cls(spec, shared, _few_shot_steps(spec, facts, names, searches))

    @classmethod
    def of_run(cls, spec: Spec, steps: Iterable[Step[Job]], run: str) -> _Pools:
        """Return the pools that take what tasks have of a joint run; its seeds are its own, not those of sources."""
        one_seed = of_source_seed(spec, spec.source.seeds[0])
        return cls(one_seed, pooled_shares(spec, steps, run), {})

    @property
    def seed(self) -> int:
        (seed,) = self.spec.source.seeds
        return seed

    @property
    def steps(self) -> tuple[Step[Trained], ...]:
        few = (step for of_seed in self.own.values() for step in of_seed.values())
        return (*self.shared.values(), *few)


def _over_pool(study: Step[StudyJob], seed: int) -> Step[StudyJob]:
    """Return a study told from those of the same combiner over pools of other seeds; its key tells them already."""
    return replace(
        study,
        id=replace(study.id, source_seed=seed),
        title=f"{study.title} · source seed {seed}",
        job=replace(study.job, source_seed=seed),
    )


def _unknown_models(facts: Facts, sources: tuple[str, ...]) -> Iterator[str | None]:
    for source in sources:
        known = facts.models.get(source)
        yield f"{source} is not at hand" if known is None else known.pending_reason


def _pool_steps(
    spec: Spec, facts: Facts, names: Mapping[str, str], searches: dict[StepId, Step[StudyJob]]
) -> dict[str, Step[SourceJob]]:
    """Return the steps of source tasks some target reads with all their rows, in the order listed."""
    if SINGLE not in spec.pool.trainings:
        return {}
    few = few_rows_of(spec) is not None
    needed = {
        task
        for target in spec.targets.tasks
        for size, rule in product(spec.pool.sizes, spec.pool.rules)
        for task in _chosen_of(spec, facts, target, size, rule)[0]
        if not (few and task == target)
    }
    return {
        task: _source_step(
            of_source(spec, task),
            facts,
            recipe,
            recipe.step_id(task, pooled=True),
            recipe.title(names[task]),
            few=False,
            study=_study_of(
                of_source(spec, task), facts, recipe, recipe.study_id(task, pooled=True), searches, few=False
            ),
        )
        for task in spec.pool.tasks
        if task in needed
        for recipe in pool_recipes(spec, task)
    }


def _few_shot_steps(
    spec: Spec, facts: Facts, names: Mapping[str, str], searches: dict[StepId, Step[StudyJob]]
) -> dict[str, dict[int, Step[SourceJob]]]:
    """Return, by target and seed, the adapters trained on few rows that stand in the targets' pools."""
    few = few_rows_of(spec)
    if few is None:
        return {}
    return {
        target: {
            recipe.seed: _source_step(
                spec,
                facts,
                recipe,
                recipe.step_id(target, pooled=True, rows=few),
                recipe.title(names[target], rows=few),
                few=True,
                study=_study_of(
                    spec, facts, recipe, recipe.study_id(target, pooled=True, rows=few), searches, few=True
                ),
            )
            for recipe in few_shot_recipes(spec, target)
        }
        for target in spec.targets.tasks
        if target in spec.pool_for(target)
    }


def _source_step(
    spec: Spec,
    facts: Facts,
    recipe: Recipe,
    step_id: StepId,
    title: str,
    *,
    few: bool,
    study: Step[StudyJob] | None,
) -> Step[SourceJob]:
    task, shape = facts.tasks[step_id.task], facts.backbone.shape
    rows = run_rows(spec, task, few=few, draw=draw_of(spec, recipe.seed) if few else None)
    parameters = None
    if shape is not None and not recipe.searches_settings:
        parameters = recipe.method.trainable_parameters(recipe.settings, shape)
    return Step(
        id=step_id,
        key=_source_key(spec, facts, recipe, task.task, rows, study) if is_known(facts, task.task) else None,
        title=title,
        job=SourceJob(
            task=task.task,
            task_name=display_names(spec)[task.task],
            label=recipe.label,
            exclusive=recipe.method.exclusive,
            adapter=recipe.adapter,
            training=recipe.training,
            seed=recipe.seed,
            rows=told_rows(rows, few=few or step_id.task in spec.per_source),
            searched=study is not None,
            study=None if study is None else study.key,
        ),
        needs=() if study is None else (study.id,),
        trainable_parameters=parameters,
        head_parameters=head_parameters(shape, task),
        train_rows=_rows(spec, task, recipe.most_epochs, few=few),
    )


def _source_key(
    spec: Spec, facts: Facts, recipe: Recipe, task: str, rows: RunRows, study: Step[StudyJob] | None
) -> str | None:
    if study is None:
        inputs = {**common_inputs(spec, facts, task, rows), **recipe.trained()}
        return step_key(StepKind.SOURCE, {**inputs, "seed": recipe.seed})
    if study.key is None:
        return None
    chosen: dict[str, Json] = {"study": study.key, "seed": recipe.seed}
    return step_key(StepKind.SOURCE, chosen if rows.draw is None else {**chosen, "rows": rows.identity()})


def _study_of(
    spec: Spec,
    facts: Facts,
    recipe: Recipe,
    step_id: StepId,
    searches: dict[StepId, Step[StudyJob]],
    *,
    few: bool,
) -> Step[StudyJob] | None:
    """Return the study that chooses what of a recipe is searched, made once; ``None``: nothing is."""
    if not recipe.spaces:
        return None
    if step_id not in searches:
        task = facts.tasks[step_id.task]
        rows = run_rows(spec, task, few=few, draw=draw_of(spec, spec.search.seed) if few else None)
        start = starts_of_method(spec, step_id.task, recipe.method.name, recipe.spaces, facts.earlier)
        search = search_settings(spec, trials_of_method(spec, recipe), start)
        searches[step_id] = method_study(
            recipe,
            step_id,
            task_name=display_names(spec)[step_id.task],
            rows=TrialRows(
                told=told_rows(rows, few=few or step_id.task in spec.per_source),
                inputs=common_inputs(spec, facts, task.task, rows) if is_known(facts, task.task) else None,
                train_rows=_rows(spec, task, trained_epochs(recipe.most_epochs, search), few=few),
            ),
            search=search,
            version=STEP_VERSIONS[StepKind.STUDY],
        )
    return searches[step_id]


def _baseline_steps(
    spec: Spec,
    facts: Facts,
    names: Mapping[str, str],
    planned: Iterable[Step[Job]],
    searches: dict[StepId, Step[StudyJob]],
) -> Iterator[Step[SourceJob]]:
    """Yield the steps of baselines that are not planned yet."""
    known = {step.id for step in planned}
    rows = iter(baseline_rows(spec))
    for baseline in spec.baseline:
        for row in islice(rows, len(spec.targets.tasks)):
            for recipe in baseline_recipes(spec, baseline, row.target):
                step_id = row.steps[recipe.seed]
                if step_id not in known:
                    known.add(step_id)
                    study = (
                        None
                        if row.study is None
                        else _study_of(spec, facts, recipe, row.study, searches, few=True)
                    )
                    title = recipe.title(names[row.target])
                    yield _source_step(spec, facts, recipe, step_id, title, few=True, study=study)


def _study_step(
    pools: _Pools,
    facts: Facts,
    target: str,
    study: StudyPlan,
    names: Mapping[str, str],
    source_seed: int | None,
) -> tuple[Step[StudyJob], Step[SelectionJob] | None]:
    """Return a study, and the step that selects its sources where that is measured."""
    spec, sources, own = pools.spec, pools.shared, pools.own.get(target, {})
    mine = next(iter(own.values()), None)  # the study's own, of its seed
    tasks, existing = _chosen_of(spec, facts, target, study.sources, study.rule)
    trained: dict[str, Step[Trained]] = {
        task: mine if mine and task == target else sources[task] for task in tasks
    }
    pool, adapter = _pool_of(spec, facts, target, trained, existing)
    candidates = Candidates(
        target=target,
        target_name=names[target],
        pool=pool,
        adapter=adapter,
        searched=any(step.job.searched for step in trained.values() if isinstance(step.job, SourceJob)),
        mixed=any(one != adapter for one in (*_recipes(trained), *_existing_recipes(existing))),
        # the other seeds' adapters too, which the final runs read
        needs=tuple(dict.fromkeys(step.id for step in (*trained.values(), *own.values()))),
        source_seed=source_seed,
    )
    selected = selection_of(spec, facts, study, candidates)
    for one in [pool] if selected is None else candidates.pools_of(selected.count):
        _check_combiners(study, target, one, facts, _recipes(trained))
    rows = run_rows(spec, facts.tasks[target], few=True, draw=draw_of(spec, spec.search.seed))
    start = starts_of(spec, target, study, facts.earlier)
    search = search_settings(spec, trials_of(spec, study), start)
    keys = None
    identity = identity_of(study, facts.models)
    of_pool = candidates.identity(selected)
    if is_known(facts, target) and of_pool is not None and identity is not None:
        inputs: dict[str, Json] = {**common_inputs(spec, facts, target, rows), **of_pool, **identity}
        keys = SearchKeys.of(STEP_VERSIONS[StepKind.STUDY], inputs, search)
    planned = Step(
        id=StepId(StepKind.STUDY, target, study.label),
        key=None if keys is None else keys.study,
        title=f"{names[target]} · {study.label}",
        job=StudyJob(
            task=target,
            task_name=names[target],
            label=study.label,
            chooses=study.chooses,
            combiners=recipes_of(study, facts.models),
            pool=pool,
            adapter=adapter,
            search=search,
            search_key=None if keys is None else keys.search,
            rows=told_rows(rows, few=few_rows_of(spec) is not None),
            searched_pool=candidates.searched or (selected is not None and candidates.mixed),
            selection=None if selected is None else selected.of_pool,
        ),
        needs=candidates.needs if selected is None else (*candidates.needs, selected.step.id),
        trainable_parameters=_combiner_parameters(
            adapter,
            facts.backbone.shape,
            study,
            len(pool) if selected is None else len(candidates.own) + selected.count,
        ),
        head_parameters=head_parameters(facts.backbone.shape, facts.tasks[target]),
        train_rows=_rows(spec, facts.tasks[target], trained_epochs(study.max_epochs, search), few=True),
    )
    return planned, None if selected is None else selected.step


def _chosen_of(
    spec: Spec, facts: Facts, target: str, size: int | None, rule: str
) -> tuple[tuple[str, ...], tuple[ExistingAdapter, ...]]:
    """Return the tasks whose trained adapters a target's pool of a size takes, and what it takes of what exists.

    Raises:
        UsageError: There are not so many.
    """
    tasks = spec.pool_for(target)
    existing = [one for one in facts.existing if one.task != target or spec.pool.target == "include"]
    others: list[str | ExistingAdapter] = [task for task in tasks if task != target]
    others += [one for one in existing if one.task != target]
    own: list[str | ExistingAdapter] = [one for one in existing if one.task == target]
    own += [task for task in tasks if task == target]
    try:
        taken = [*spec.pool.chosen(target, others, len(own), size, rule), *own]
    except ValueError as error:
        raise UsageError(f"pool.size: {error}") from None
    return (
        tuple(one for one in taken if isinstance(one, str)),
        tuple(one for one in taken if isinstance(one, ExistingAdapter)),
    )


def _pool_of(
    spec: Spec,
    facts: Facts,
    target: str,
    trained: Mapping[str, Step[Trained]],
    existing: Sequence[ExistingAdapter],
) -> tuple[tuple[PoolMember, ...], AdapterRecipe]:
    """Return a target's pool in coefficient order, and what its adapters are.

    First what is trained, then what exists already, each as listed; last what is of the target's own task, of that
    what is trained for it.

    Raises:
        UsageError: The pool is empty, or its adapters cannot share one.
    """
    names = display_names(spec)
    others = [
        *(PoolMember(step.key, task, names[task]) for task, step in trained.items() if task != target),
        *(_member(one, facts, names) for one in existing if one.task != target),
    ]
    own = [
        *(_member(one, facts, names) for one in existing if one.task == target),
        *(PoolMember(step.key, task, names[task]) for task, step in trained.items() if task == target),
    ]
    if not others and not own:
        raise UsageError(
            f"the pool of {target} is empty",
            remedy='Add adapters of other tasks, or set pool.target = "include".',
        )
    recipes = [*_recipes(trained), *_existing_recipes(existing)]
    return (*others, *own), pooled_recipe(recipes) if recipes else _usual_recipe(spec)


def _existing_recipes(existing: Sequence[ExistingAdapter]) -> list[AdapterRecipe]:
    return [one.adapter for one in existing if one.adapter is not None]


def _recipes(trained: Mapping[str, Step[Trained]]) -> list[AdapterRecipe]:
    """Return what the adapters are that a pool takes from steps; a joint run whose tasks have none is no pool's."""
    return [step.job.adapter for step in trained.values() if step.job.adapter is not None]


def _member(one: ExistingAdapter, facts: Facts, names: Mapping[str, str]) -> PoolMember:
    """Return an adapter that exists as a member of a pool, under a name no other has."""
    if one.name is not None:
        return PoolMember(one.key, one.task, one.name)
    short = one.task.rsplit("/", 1)[-1]
    alike = [other for other in facts.existing if other.task == one.task]
    if names.get(one.task) is None and len(alike) == 1 and short not in names.values():
        return PoolMember(one.key, one.task, short)
    return PoolMember(one.key, one.task, f"{one.task}@{(one.key or 'unknown')[:8]}")


def pooled_recipe(recipes: Sequence[AdapterRecipe]) -> AdapterRecipe:
    """Return the method and settings under which adapters share a pool.

    Raises:
        UsageError: They cannot.
    """
    first = recipes[0]
    strangers = [one.method for one in recipes if one.method != first.method]
    if strangers:
        raise UsageError(f"adapters of {first.method} and of {strangers[0]} cannot share a pool")
    if all(one == first for one in recipes):
        return first
    method = entry_points.adapter_method(first.method)
    settings = method.pooled([method.settings.model_validate(one.settings) for one in recipes])
    return AdapterRecipe.of(method, settings)


def _usual_recipe(spec: Spec) -> AdapterRecipe:
    method = entry_points.adapter_method(spec.adapter.method)
    return AdapterRecipe.of(method, method.settings.model_validate(spec.adapter.settings))


def _check_combiners(
    study: StudyPlan,
    target: str,
    pool: Sequence[PoolMember],
    facts: Facts,
    trained: Sequence[AdapterRecipe],
) -> None:
    """Check that a study's combiners can work on a pool with adapters that exist; others are checked with the spec.

    Args:
        study: The study.
        target: Its target.
        pool: Its pool.
        facts: What is known.
        trained: What those of the pool are that the sweep trains.

    Raises:
        UsageError: One cannot.
    """
    if not facts.existing:
        return
    tasks = tuple(member.task for member in pool)
    by_key = {one.key: one for one in facts.existing}
    members = [by_key[one.key].adapter for one in pool if one.key in by_key]
    recipes = [*trained, *(one for one in members if one is not None)]
    method = entry_points.adapter_method(recipes[0].method) if recipes else None
    each = [] if method is None else [method.settings.model_validate(one.settings) for one in recipes]
    for choice in study.choices:
        fault = choice.plugin.complaint(choice.settings, tasks, target)
        if not fault and method is not None:
            fault = choice.plugin.misfit(choice.settings, method, each, facts.backbone.shape)
        if fault:
            raise UsageError(f"{choice.kind} on {target}: {fault}")
        for name in (SOURCE_HEAD, *choice.plugin.of_target):
            if target not in tasks and name in choice.spaces and bounds_of(choice.spaces[name])[1] > 0:
                raise UsageError(
                    f"{choice.kind} on {target}: {name} starts at the target's own adapter, which its pool has not"
                )
        for member in pool if models_of(choice) else ():
            one, known = by_key.get(member.key), facts.tasks.get(member.task)
            if one is not None and (known is None or one.task_digest != known.content_digest):
                raise UsageError(
                    f"{choice.kind} compares the training texts of tasks, and those of {one.source} ({one.task}) are "
                    "not known here",
                    remedy="Take another combiner for this pool, or train that source: list it in pool.tasks.",
                )


def _combiner_parameters(
    adapter: AdapterRecipe, shape: BackboneShape | None, study: StudyPlan, sources: int
) -> int | None:
    """Return the parameters of one transfer; ``None`` if not known, or if the study chooses the combiner."""
    if study.chooses or shape is None:
        return None
    method = entry_points.adapter_method(adapter.method)
    pool = method.pool(method.settings.model_validate(adapter.settings), shape, sources)
    (only,) = study.choices
    return only.plugin.trainable_parameters(only.settings, pool)


def _transfer_step(
    spec: Spec,
    facts: Facts,
    study: Step[StudyJob],
    seed: int,
    train_rows: int | None,
    own: Mapping[int, Step[SourceJob]],
) -> Step[FinalJob]:
    target = study.job.task
    identity: dict[str, Json] = {"study": study.key, "seed": seed}
    job = FinalJob(study.id, seed)
    draw = draw_of(spec, seed)
    if draw is not None:
        rows = run_rows(spec, facts.tasks[target], few=True, draw=draw)
        source = own.get(seed)
        identity |= {"rows": rows.identity(), "source": None if source is None else source.key}
        pool = study.job.pool
        if source is not None:  # the target is last in its pool
            pool = (*pool[:-1], replace(pool[-1], key=source.key))
        job = FinalJob(study.id, seed, rows, pool)
    return Step(
        id=replace(study.id, kind=StepKind.TRANSFER, seed=seed),
        key=None if study.key is None else step_key(StepKind.TRANSFER, identity),
        title=f"{study.title} · final · seed {seed}",
        job=job,
        needs=(study.id,),
        trainable_parameters=study.trainable_parameters,
        head_parameters=study.head_parameters,
        train_rows=train_rows,
    )


def _rows(spec: Spec, facts: TaskFacts, epochs: int, *, few: bool = False) -> int | None:
    known = facts.published_train if facts.n_train is None else facts.n_train
    if known is None:
        return None
    rows = run_rows(spec, replace(facts, n_train=known), few=few).train
    return epochs * (rows or known) * facts.choices
