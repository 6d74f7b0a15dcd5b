"""Which jobs can run now: pure decisions over a plan, its states and the claims held."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from adapterlab.catalog.records import Claim
from adapterlab.planning.compile import Plan
from adapterlab.records import Step, StepKind

HeldClaim = Callable[[str], Claim | None]
Job = dict[str, Any]


def source_jobs(steps: Sequence[Step], held: HeldClaim, *, groups: int) -> list[Job]:
    """Return the source steps as jobs, dealt to at most ``groups`` workers by size, largest first.

    Those that cannot share a pass come last, so that they keep nobody waiting.
    """
    dealt: list[list[Step]] = [[] for _ in range(min(groups, len(steps)))]
    loads = [0] * len(dealt)
    for step in sorted(steps, key=lambda one: (bool(one.job["exclusive"]), -(one.train_rows or 0))):
        lightest = loads.index(min(loads))
        dealt[lightest].append(step)
        loads[lightest] += step.train_rows or 1
    return [
        {"kind": "sources", "name": f"sources-{number}", "steps": [_step(step, held) for step in group]}
        for number, group in enumerate(dealt)
    ]


def study_jobs(plan: Plan, studies: Sequence[Step], missing: Collection[str], held: HeldClaim) -> list[Job]:
    """Return one job a study: its trials if they are missing, and its missing final runs."""
    jobs = []
    for study in studies:
        finals = [
            _step(step, held)
            for step in plan.of_kind(StepKind.TRANSFER)
            if step.job["study"] == study.key and step.key in missing and held(str(step.key)) is not None
        ]
        jobs.append(
            {
                "kind": "study",
                "name": f"study-{str(study.key)[:12]}",
                "step": _step(study, held),
                "finals": finals,
            }
        )
    return jobs


def trial_jobs(studies: Sequence[Step], held: HeldClaim, *, workers: int) -> list[Job]:
    """Return jobs that share the trials of each study among ``workers`` workers."""
    return [
        {
            "kind": "trials",
            "name": f"trials-{str(study.key)[:12]}-{number}",
            "step": _step(study, held),
        }
        for study in studies
        for number in range(workers)
    ]


def runnable_sources(plan: Plan, missing: Collection[str], held: HeldClaim) -> list[Step]:
    """Return the source steps that are missing and ours."""
    return [step for step in plan.of_kind(StepKind.SOURCE) if step.key in missing and held(str(step.key))]


def runnable_studies(
    plan: Plan, missing: Collection[str], held: HeldClaim, *, coming: Collection[str] = ()
) -> list[Step]:
    """Return the studies with something to do that is ours, and whose sources are there or coming.

    Args:
        plan: The plan.
        missing: Keys of the steps that are not complete.
        held: Gives the claim on a step, if it is ours.
        coming: Keys of source steps that start before the studies do.
    """
    keys = {step.title: step.key for step in plan.steps}
    ready = []
    for study in plan.of_kind(StepKind.STUDY):
        if any(keys[need] in missing and keys[need] not in coming for need in study.needs):
            continue
        finals = [step.key for step in plan.of_kind(StepKind.TRANSFER) if step.job["study"] == study.key]
        if study.key in missing:
            ours = held(str(study.key)) is not None
        else:
            ours = any(key in missing and held(str(key)) is not None for key in finals)
        if ours:
            ready.append(study)
    return ready


def blocked(plan: Plan, failed: Mapping[str, str]) -> dict[str, str]:
    """Return the steps that cannot run because something they need failed, with the reason."""
    titles = {step.title: step for step in plan.steps}
    found: dict[str, str] = {}
    for step in plan.steps:  # sources before studies before transfers
        for need in step.needs:
            key = str(titles[need].key)
            if (key in failed or key in found) and step.key not in failed:
                found[str(step.key)] = f"needs {need}, which failed"
    return found


def _step(step: Step, held: HeldClaim) -> Job:
    claim = held(str(step.key))
    return {"key": step.key, "job": dict(step.job), "claim": None if claim is None else claim.to_json()}
