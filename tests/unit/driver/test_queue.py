"""What runs when: sources first, studies when their sources are there, failures block what needs them."""

from __future__ import annotations

from adapterlab.catalog.records import Claim
from adapterlab.driver import queue as jobs
from adapterlab.planning.compile import compile_plan
from adapterlab.records import StepKind
from specs import facts, spec

SPEC = spec()
PLAN = compile_plan(SPEC, facts(SPEC))
ALL = {step.key for step in PLAN.steps}
SOURCES, STUDIES, FINALS = (PLAN.of_kind(kind) for kind in StepKind)


def held_by(keys):
    return lambda key: Claim(key, 1, "me") if key in keys else None


def test_sources_are_dealt_by_size_to_the_workers_there_are():
    dealt = jobs.source_jobs(SOURCES, held_by(ALL), groups=2)
    assert [len(job["steps"]) for job in dealt] == [2, 1]
    assert len(jobs.source_jobs(SOURCES[:1], held_by(ALL), groups=8)) == 1
    names = [step["job"]["task"] for job in dealt for step in job["steps"]]
    assert sorted(names) == sorted(SPEC.pool.tasks)


def test_what_cannot_share_a_pass_is_dealt_last():
    wanted = spec(
        baseline=[{"method": "full", "seeds": [0]}, {"method": "lora", "seeds": [0]}],
        **{"targets.tasks": ["glue/rte"]},
    )
    steps = compile_plan(wanted, facts(wanted)).of_kind(StepKind.SOURCE)
    (job,) = jobs.source_jobs(steps, held_by(set()), groups=1)
    methods = [step["job"]["adapter"]["method"] for step in job["steps"]]
    assert methods[-1] == "full"
    assert "lora" in methods[:-1]


def test_a_study_waits_for_every_source_it_reads():
    missing = ALL - {SOURCES[0].key, SOURCES[1].key}
    assert jobs.runnable_studies(PLAN, missing, held_by(ALL)) == []
    assert jobs.runnable_studies(PLAN, missing, held_by(ALL), coming={SOURCES[2].key}) == list(STUDIES)
    missing -= {SOURCES[2].key}
    assert jobs.runnable_studies(PLAN, missing, held_by(ALL)) == list(STUDIES)


def test_only_what_is_held_runs():
    missing = ALL - {step.key for step in SOURCES}
    assert jobs.runnable_studies(PLAN, missing, held_by({STUDIES[1].key})) == [STUDIES[1]]
    assert jobs.runnable_sources(PLAN, ALL, held_by({SOURCES[2].key})) == [SOURCES[2]]


def test_a_complete_study_with_a_missing_final_run_is_taken_up_again():
    final = FINALS[1]
    missing = {final.key}
    (study,) = jobs.runnable_studies(PLAN, missing, held_by(missing))
    (job,) = jobs.study_jobs(PLAN, [study], missing, held_by(missing))
    assert job["step"]["claim"] is None
    assert [step["key"] for step in job["finals"]] == [final.key]


def test_what_needs_a_failed_step_is_blocked_with_the_reason():
    blocked = jobs.blocked(PLAN, {SOURCES[2].key: "it diverged"})
    assert blocked.keys() == {step.key for step in (*STUDIES, *FINALS)}
    assert blocked[STUDIES[0].key] == "needs source · cb · seed 0, which failed"
    blocked = jobs.blocked(PLAN, {STUDIES[0].key: "no trial completed"})
    assert blocked.keys() == {FINALS[0].key, FINALS[1].key}
