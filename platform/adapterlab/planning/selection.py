"""Selections as steps: which of a pool's sources a target combines, where that is measured.

A key holds the rule and all that it looks at: of text similarity the rows of every task, of adapter similarity the
adapters, of forward selection these and what each set of them is trained with. Candidates are in it by their content,
whatever their order in the spec. So studies of several sizes, and of several combiners where the rule looks at none,
have one selection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from adapterlab.errors import UsageError
from adapterlab.fingerprint import Json
from adapterlab.planning.combiners import identity_of, recipes_of
from adapterlab.planning.facts import Facts
from adapterlab.planning.keys import (
    backbone_inputs,
    common_inputs,
    is_known,
    step_key,
    task_inputs,
    told_rows,
)
from adapterlab.planning.rows import draw_of, few_rows_of, run_rows
from adapterlab.planning.starts import starts_of
from adapterlab.planning.steps import (
    AdapterRecipe,
    ForwardTrial,
    PoolMember,
    PoolSelection,
    RunRows,
    SelectionJob,
    Step,
    StepId,
)
from adapterlab.planning.variants import of_source
from adapterlab.records import StepKind, TaskFacts
from adapterlab.spec.model import Spec
from adapterlab.spec.search_space import Setting, middle_of, training_values
from adapterlab.spec.selection import (
    ADAPTER_SIMILARITY,
    FORWARD_SELECTION,
    MEASURED,
    TEXT_SIMILARITY,
    possible_choices,
    selection_words,
)
from adapterlab.spec.studies import StudyPlan


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a study of one target can combine."""

    target: str
    """Full name."""
    target_name: str
    """What a person calls it."""
    pool: tuple[PoolMember, ...]
    """In the order of the spec, the target's own last."""
    adapter: AdapterRecipe
    """Of all of them together."""
    searched: bool
    """Whether searches choose settings of some."""
    mixed: bool
    """Whether their settings differ."""
    needs: tuple[StepId, ...]
    """The steps that make them."""
    source_seed: int | None
    """Where there are pools of several seeds: that of this one."""

    @property
    def own(self) -> tuple[PoolMember, ...]:
        """The target's own, in coefficient order."""
        return tuple(one for one in self.pool if one.task == self.target)

    @property
    def others(self) -> tuple[PoolMember, ...]:
        """Those of other tasks, in an order that does not depend on the spec's."""
        others = (one for one in self.pool if one.task != self.target)
        return tuple(sorted(others, key=lambda one: (one.task, one.key or "", one.name)))

    def pools_of(self, count: int) -> list[tuple[PoolMember, ...]]:
        """Return pools that a selection may make of them: what holds of these holds of each."""
        return [(*some, *self.own) for some in possible_choices(self.others, count)]

    def identity(self, selected: Selected | None) -> dict[str, Json] | None:
        """Return what a study's key holds of its pool; ``None`` while some of that is not known."""
        if not all(one.key for one in self.pool):
            return None
        if selected is None:
            return {"pool": [one.key for one in self.pool]}
        if selected.step.key is None:
            return None
        # Texts select tasks, so the adapters are in the key beside what selects them.
        others: list[Json] = [one.key for one in self.others]
        own: list[Json] = [one.key for one in self.own]
        selection: dict[str, Json] = {"key": selected.step.key, "count": selected.count}
        return {"selection": selection, "candidates": others, "own": own}


@dataclass(frozen=True)
class Selected:
    """A study's selection."""

    step: Step[SelectionJob]
    """The step that measures; the same for studies of every size."""
    count: int
    """How many sources the study takes of it, with the target's own."""

    @property
    def of_pool(self) -> PoolSelection:
        """What the study's job says of it."""
        return PoolSelection(self.step.key, self.step.job.rule, self.count)


def selection_of(spec: Spec, facts: Facts, study: StudyPlan, found: Candidates) -> Selected | None:
    """Return how a study's sources are selected; ``None``: it combines all of the pool.

    Args:
        spec: The spec.
        facts: What is known of its inputs.
        study: The study.
        found: What its target can combine.

    Raises:
        UsageError: The rule cannot compare such sources.
    """
    own = len(found.own)
    if study.rule not in MEASURED or study.sources is None or study.sources <= own:
        return None
    _check(facts, study.rule, found)
    return Selected(_step(spec, facts, study, found), study.sources - own)


def _step(spec: Spec, facts: Facts, study: StudyPlan, found: Candidates) -> Step[SelectionJob]:
    target, others = found.target, found.others
    texts = study.rule == TEXT_SIMILARITY
    seed = None if texts else found.source_seed
    count = max(size for size in spec.pool.sizes if size is not None) - len(found.own)
    rows = run_rows(spec, facts.tasks[target], few=True, draw=draw_of(spec, spec.search.seed))
    read = [_source_rows(spec, facts, one.task) for one in others] if texts else []
    trial = _trial(spec, facts, target, study) if study.rule == FORWARD_SELECTION else None
    words = selection_words(study.selection, study.rule)
    return Step(
        id=StepId(StepKind.SELECTION, target, study.selection, source_seed=seed),
        key=_key(spec, facts, study, found, (rows, count, trial)),
        title=f"{found.target_name} · sources by {words}"
        + ("" if seed is None else f" · source seed {seed}"),
        job=SelectionJob(
            task=target,
            task_name=found.target_name,
            label=study.selection,
            rule=study.rule,
            candidates=others,
            own=found.own,
            count=count,
            adapter=found.adapter,
            searched_pool=found.searched or found.mixed,
            rows=told_rows(rows, few=few_rows_of(spec) is not None),
            candidate_rows=tuple(
                told_rows(one, few=member.task in spec.per_source)
                for one, member in zip(read, others, strict=False)
            ),
            max_rows=spec.pool.selection.max_rows if texts else None,
            trial=trial,
            source_seed=seed,
        ),
        needs=() if texts else found.needs,
        train_rows=_train_rows(facts.tasks[target], len(others), count, rows, trial),
    )


def _check(facts: Facts, rule: str, found: Candidates) -> None:
    """Check that a rule can compare what there is; what a spec alone tells was checked with it.

    Raises:
        UsageError: It cannot.
    """
    if rule == ADAPTER_SIMILARITY and not found.own:
        raise UsageError(
            f"pool.rule: {rule} compares with the target's own adapter, and the pool of {found.target} has none",
            remedy='Add it to the pool, with pool.target = "include", or select by text_similarity.',
        )
    if rule == ADAPTER_SIMILARITY and (found.searched or found.mixed):
        raise UsageError(
            f"pool.rule: {rule} compares weights one by one, and those of the pool of {found.target} may differ in size",
            remedy="Leave the others out, or select by text_similarity or forward_selection.",
        )
    digests = {one.key: one.task_digest for one in facts.existing}
    for member in found.others if rule == TEXT_SIMILARITY else ():
        known = facts.tasks.get(member.task)
        if known is None or digests.get(member.key, known.content_digest) != known.content_digest:
            raise UsageError(
                f"pool.rule: {rule} compares the training texts of tasks, and those of {member.name} ({member.task}) "
                "are not known here",
                remedy="Select by another rule, or train that source: list it in pool.tasks.",
            )


def _source_rows(spec: Spec, facts: Facts, task: str) -> RunRows:
    return run_rows(of_source(spec, task), facts.tasks[task], few=False)


def _trial(spec: Spec, facts: Facts, target: str, study: StudyPlan) -> ForwardTrial:
    """Return what forward selection trains with: the study's first combiner under one setting.

    That is the one its search starts from, and the middle of each dimension that this leaves out.
    """
    choice = study.choices[0]
    alone = replace(study, choices=(choice,), chooses=False)
    setting: dict[str, Setting] = {name: middle_of(space) for name, space in choice.spaces.items()}
    setting |= next(iter(starts_of(spec, target, alone, facts.earlier)), {})
    (recipe,) = recipes_of(alone, facts.models)
    of_training = training_values(setting)
    training = replace(recipe.training, **of_training)  # type: ignore[arg-type]
    setting = {name: value for name, value in setting.items() if name not in of_training}
    most = spec.pool.selection.max_epochs
    if most is not None:
        training = replace(training, max_epochs=min(most, training.max_epochs))
    spaces = {name: float(value) for name, value in setting.items()}
    return ForwardTrial(replace(recipe, spaces=spaces, training=training), setting, spec.search.seed)


def _key(
    spec: Spec,
    facts: Facts,
    study: StudyPlan,
    found: Candidates,
    measured: tuple[RunRows, int, ForwardTrial | None],
) -> str | None:
    (rows, count, trial), target = measured, found.target
    rule: dict[str, Json] = {"rule": study.rule}
    if study.rule == TEXT_SIMILARITY:
        tasks = list(dict.fromkeys(one.task for one in found.others))
        if not is_known(facts, target, *tasks):
            return None
        texts: list[Json] = [
            {"name": task, **task_inputs(spec, facts, task, _source_rows(spec, facts, task))}
            for task in tasks
        ]
        inputs: dict[str, Json] = {
            **rule,
            "backbone": backbone_inputs(spec, facts),
            "target": task_inputs(spec, facts, target, rows),
            "candidates": texts,
            "max_rows": spec.pool.selection.max_rows,
        }
        return step_key(StepKind.SELECTION, inputs)
    if not all(one.key for one in found.pool) or not is_known(facts, target):
        return None
    candidates: list[Json] = [one.key for one in found.others]
    own: list[Json] = [one.key for one in found.own]
    if study.rule == ADAPTER_SIMILARITY:
        return step_key(StepKind.SELECTION, {**rule, "candidates": candidates, "own": own[-1]})
    assert trial is not None
    combiner = identity_of(replace(study, choices=study.choices[:1], chooses=False), facts.models)
    if combiner is None:
        return None
    return step_key(
        StepKind.SELECTION,
        {
            **rule,
            **common_inputs(spec, facts, target, rows),
            "candidates": candidates,
            "own": own,
            "count": count,
            "combiner": combiner["combiner"],
            "training": trial.combiner.training.identity(),
            "setting": {**trial.setting},
            "seed": trial.seed,
        },
    )


def _train_rows(
    task: TaskFacts, candidates: int, count: int, rows: RunRows, trial: ForwardTrial | None
) -> int | None:
    """Return the rows that all sets of sources are trained on at most; 0 where nothing is trained."""
    if trial is None:
        return 0
    known = rows.train or (task.published_train if task.n_train is None else task.n_train)
    if known is None:
        return None
    sets = sum(candidates - chosen for chosen in range(count))
    return sets * trial.combiner.training.max_epochs * known * task.choices
