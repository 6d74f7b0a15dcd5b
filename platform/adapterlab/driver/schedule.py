"""Which steps can run now, and the orders that do them: pure decisions over a plan and the claims held."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from adapterlab.catalog.records import Claim
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import (
    AnyStudy,
    FinalJob,
    JointJob,
    SelectionJob,
    SourceJob,
    Step,
    StepId,
    StudyJob,
    each_once,
)
from adapterlab.worker.orders import (
    Assignment,
    Context,
    JointAssignment,
    JointOrder,
    SelectionOrder,
    Share,
    SourcesOrder,
    StudyOrder,
    TrialsOrder,
)

JobT = TypeVar("JobT", SourceJob, FinalJob)
ReadyT = TypeVar("ReadyT", SourceJob, JointJob, SelectionJob)
AssignedT = TypeVar("AssignedT", Assignment[SourceJob], JointAssignment)
FindClaim = Callable[[str], Claim | None]
"""Gives the claim on a step, if it is ours."""


def source_orders(
    sources: Sequence[Step[SourceJob]], held: FindClaim, context: Context, *, groups: int
) -> list[SourcesOrder]:
    """Return orders for sources that are ours, dealt to at most ``groups`` workers by size, largest first.

    Those that cannot share a pass come last, so that they keep nobody waiting.
    """
    ours = [
        (step, Assignment(step.job, claim)) for step in sources if (claim := held(str(step.key))) is not None
    ]
    return [
        SourcesOrder(context, f"sources-{number}", group) for number, group in enumerate(_dealt(ours, groups))
    ]


def joint_orders(
    plan: Plan,
    runs: Sequence[Step[JointJob]],
    missing: Collection[str],
    held: FindClaim,
    context: Context,
    *,
    groups: int,
) -> list[JointOrder]:
    """Return orders for joint runs whose claim and those of their missing shares are ours, dealt as sources are."""
    ours = []
    for step in runs:
        shares = tuple(
            Share(one.job, str(one.key), held(str(one.key)) if one.key in missing else None)
            for one in plan.shares_of(step.id)
        )
        claim = held(str(step.key))
        if claim is not None and all(one.claim or one.key not in missing for one in shares):
            ours.append((step, JointAssignment(Assignment(step.job, claim), shares)))
    return [
        JointOrder(context, f"joint-{number}", group) for number, group in enumerate(_dealt(ours, groups))
    ]


def _dealt(
    ours: Sequence[tuple[Step[SourceJob] | Step[JointJob], AssignedT]], groups: int
) -> list[tuple[AssignedT, ...]]:
    """Return what is ours in at most ``groups`` parts of like size, in each the largest first, the exclusive last."""
    parts: list[list[AssignedT]] = [[] for _ in range(min(groups, len(ours)))]
    loads = [0] * len(parts)
    for step, assigned in sorted(ours, key=lambda one: (one[0].job.exclusive, -(one[0].train_rows or 0))):
        lightest = loads.index(min(loads))
        parts[lightest].append(assigned)
        loads[lightest] += step.train_rows or 1
    return [tuple(part) for part in parts]


def selection_orders(
    selections: Sequence[Step[SelectionJob]], held: FindClaim, context: Context
) -> list[SelectionOrder]:
    """Return one order per selection of sources that is ours, those that train most first."""
    return [
        SelectionOrder(context, f"selection-{claim.key[:12]}", Assignment(step.job, claim))
        for step in sorted(selections, key=lambda one: -(one.train_rows or 0))
        if (claim := held(str(step.key))) is not None
    ]


def study_orders(
    plan: Plan,
    studies: Sequence[Step[AnyStudy]],
    missing: Collection[str],
    held: FindClaim,
    context: Context,
) -> list[StudyOrder]:
    """Return one order per study: its trials if they are missing, and its missing final runs or adapters."""
    return [
        StudyOrder(
            context,
            f"study-{str(study.key)[:12]}",
            str(study.key),
            study.job,
            held(str(study.key)),
            tuple(
                Assignment(final.job, claim)
                for final, claim in _ours(plan.finals_of(study.id), missing, held)
            ),
            tuple(
                Assignment(adapter.job, claim)
                for adapter, claim in _ours(plan.adapters_of(study.id), missing, held)
            ),
        )
        for study in studies
    ]


def trial_orders(
    studies: Sequence[Step[AnyStudy]], held: FindClaim, context: Context, *, workers: int
) -> list[TrialsOrder]:
    """Return orders that share the trials of each study that is ours among ``workers`` workers."""
    return [
        TrialsOrder(context, f"trials-{claim.key[:12]}-{number}", Assignment(study.job, claim))
        for study in studies
        if (claim := held(str(study.key))) is not None
        for number in range(workers)
    ]


def runnable_sources(plan: Plan, missing: Collection[str], held: FindClaim) -> list[Step[SourceJob]]:
    """Return the source steps that are missing and ours, and whose setting is known: chosen, or not searched.

    Each key once: few rows that are all a task has make one adapter under two names.
    """
    return _ready(plan.sources, _open_searches(plan, missing), missing, held)


def runnable_joints(plan: Plan, missing: Collection[str], held: FindClaim) -> list[Step[JointJob]]:
    """Return the joint runs that are missing and ours, and whose setting is known; each key once, whatever its rows."""
    return _ready(plan.joints, _open_searches(plan, missing), missing, held)


def _ready(
    steps: Iterable[Step[ReadyT]], waited_for: set[StepId], missing: Collection[str], held: FindClaim
) -> list[Step[ReadyT]]:
    """Return the steps that are missing and ours and need none that is waited for, each key once."""
    ready = (
        step
        for step in steps
        if step.key in missing and waited_for.isdisjoint(step.needs) and held(str(step.key))
    )
    return list(each_once(ready))


def _open_searches(plan: Plan, missing: Collection[str]) -> set[StepId]:
    return {step.id for step in plan.searches if step.key in missing}


def runnable_selections(plan: Plan, missing: Collection[str], held: FindClaim) -> list[Step[SelectionJob]]:
    """Return the selections of sources that are missing and ours, and whose sources are there; each key once."""
    return _ready(plan.selections, {step.id for step in plan.steps if step.key in missing}, missing, held)


def runnable_studies(
    plan: Plan, missing: Collection[str], held: FindClaim, *, coming: Collection[str] = ()
) -> list[Step[AnyStudy]]:
    """Return the studies with something to do that is ours, and whose sources are there or coming.

    Args:
        plan: The plan.
        missing: Keys of the steps that are not complete.
        held: Gives the claim on a step, if it is ours.
        coming: Keys of source steps that start before the studies do.
    """
    waited_for = {step.id for step in plan.steps if step.key in missing and step.key not in coming}
    ready: dict[str, Step[AnyStudy]] = {}
    for study in plan.searches:
        # Two rules that select the same sources make one study under two names.
        if str(study.key) in ready or not waited_for.isdisjoint(study.needs):
            continue
        # Adapters and joint runs after it have orders of their own.
        of_training = not isinstance(study.job, StudyJob) or study.job.method is not None
        if study.key in missing or of_training:
            ours = study.key in missing and held(str(study.key)) is not None
        else:
            ours = bool(_ours(plan.finals_of(study.id), missing, held))
        if ours:
            ready[str(study.key)] = study
    return list(ready.values())


def idle_searches(plan: Plan, held: FindClaim) -> set[str]:
    """Return the keys of searches that are ours without a study of them: it has ended, or another process has it.

    A process that kept one would wait for the study, and whoever has the study for the search.
    """
    studies = [(str(study.job.search_key), held(str(study.key))) for study in plan.searches]
    in_use = {search for search, ours in studies if ours}
    return {search for search, _ in studies if search not in in_use and held(search)}


def parted_joints(plan: Plan, missing: Collection[str], held: FindClaim) -> set[str]:
    """Return the keys of joint runs and shares that are ours while another process has the rest of the same run.

    A run is done by whoever has all of it: with a part each, two processes would wait for each other.
    """
    found: set[str] = set()
    for run in plan.joints:
        keys = {str(run.key), *(str(share.key) for share in plan.shares_of(run.id))} & set(missing)
        ours = {key for key in keys if held(key)}
        if ours != keys:
            found |= ours
    return found


def blocked(plan: Plan, failed: Mapping[str, str]) -> dict[str, str]:
    """Return the steps that cannot run because something they need failed, with the reason.

    Args:
        plan: The plan.
        failed: Keys of the steps that failed, with the reason.
    """
    steps = {step.id: step for step in plan.steps}
    lost: set[StepId] = {step.id for step in plan.steps if step.key in failed}
    found: dict[str, str] = {}
    for step in plan.steps:  # each before those that need it
        for need in step.needs:
            if need in lost and step.key not in failed:
                lost.add(step.id)
                found[str(step.key)] = f"needs {steps[need].title}, which failed"
    return found


def _ours(
    steps: Sequence[Step[JobT]], missing: Collection[str], held: FindClaim
) -> list[tuple[Step[JobT], Claim]]:
    return [
        (step, claim) for step in steps if step.key in missing and (claim := held(str(step.key))) is not None
    ]
