"""What the catalog has of a plan's steps: is it there, intact, and shown in the sweep's tree of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from adapterlab.catalog.integrity import check_not_empty
from adapterlab.catalog.queries import StepRecord
from adapterlab.catalog.records import (
    AdapterRecord,
    JointRecord,
    SelectionRecord,
    StudyRecord,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog
from adapterlab.errors import AdapterlabError, CorruptBlobError
from adapterlab.planning.plan import Plan
from adapterlab.planning.steps import (
    FinalJob,
    Job,
    JointJob,
    JointStudyJob,
    PoolMember,
    ShareJob,
    Step,
    StepId,
    StudyJob,
    is_final,
    is_joint,
    is_joint_study,
    is_search,
    is_selection,
    is_share,
    is_source,
    is_study,
)
from adapterlab.records import State
from adapterlab.tracking import vocabulary
from adapterlab.worker.chosen import as_chosen, as_selected, joint_as_chosen, settings_of
from adapterlab.worker.run_recorder import RunRecorder, by_source, scores
from adapterlab.worker.run_tree import SweepTree
from adapterlab.worker.selections import scores_by_name

_MOST_ASKED = 5
"""Other sweeps with a reused result whose runs are asked what its sources contribute."""


def set_damaged_aside(catalog: Catalog, steps: Iterable[Step[Job]]) -> tuple[StepId, ...]:
    """Check the stored weights of steps; damaged ones count as missing from now on.

    Args:
        catalog: Where the records are.
        steps: The steps to look at; those without a stored result are passed over.

    Returns:
        The steps that must be done again.

    Raises:
        ConflictError: The catalog has results, but the blob store is empty: it is another one.
    """
    results = {
        step.id: catalog.find_result(step.kind, str(step.key))
        for step in steps
        if not (is_search(step) or is_selection(step))
    }
    stored = {
        one: result
        for one, result in results.items()
        if isinstance(result, AdapterRecord | JointRecord | TransferRecord)
    }
    if stored:
        check_not_empty(catalog.blobs)
    return tuple(one for one, record in stored.items() if _is_damaged(catalog, record))


def _is_damaged(catalog: Catalog, record: AdapterRecord | JointRecord | TransferRecord) -> bool:
    try:
        catalog.read_weights(record)
    except CorruptBlobError:
        return True
    return False


def show_reused(tree: SweepTree, catalog: Catalog, plan: Plan) -> None:
    """Make a sweep's tree say what the catalog has.

    Every complete step without a run in this tree is given one, with its numbers and where it came from. One
    whose run says otherwise, since MLflow or its disk was away when it ended, is brought to its end.
    """
    shown = tree.step_states()
    plan = with_selected_sources(catalog, plan)
    for step in plan.steps:
        key = str(step.key)
        node = tree.node(key)
        known = catalog.run_id(node)
        if known is not None and (shown is None or shown.get(node) is State.COMPLETE):
            continue
        record = catalog.find_result(step.kind, str(step.key))
        if record is None:
            continue
        run = _open(tree, catalog, plan, step)
        numbers = _numbers(catalog, plan, step, record)
        if known is None:
            run.reused(record.run_id, {**_measured_before(tree, catalog, record), **numbers})
        else:
            run.mended(numbers)
        _tell_choice(run, step, record)
        run.end(State.COMPLETE)


def show_failed(tree: SweepTree, catalog: Catalog, plan: Plan, failed: Mapping[str, str]) -> None:
    """Make a sweep's tree say which steps failed, and why.

    A worker tells of a step that fails in its training. One that was killed while the step hung, or that never
    came as far as opening the step's run, tells nothing. Steps that only needed one that failed get no run.

    Args:
        tree: Of the sweep.
        catalog: Where the records are.
        plan: The plan.
        failed: Keys of the steps that did not complete, with the reason.
    """
    shown = tree.step_states() if failed else None
    if shown is None:  # nothing failed, or MLflow does not answer
        return
    lost = {step.id for step in plan.steps if step.key in failed}
    plan = with_selected_sources(catalog, plan)
    for step in plan.steps:
        key = str(step.key)
        if key not in failed or not lost.isdisjoint(step.needs):
            continue
        if shown.get(tree.node(key)) is not State.FAILED:
            _open(tree, catalog, plan, step).end(State.FAILED, failed[key])


def _open(tree: SweepTree, catalog: Catalog, plan: Plan, step: Step[Job]) -> RunRecorder:
    if is_joint(step) or is_share(step) or is_joint_study(step):
        return _open_joint(tree, catalog, plan, step)
    key, facts = str(step.key), plan.facts.tasks
    if is_source(step):
        job = step.job
        if job.study is not None and (chooser := catalog.find_study(job.study)) is not None:
            job = as_chosen(job, chooser)
        return tree.source(key, job, facts[job.task])
    if is_selection(step):
        return tree.selection(key, step.job, facts[step.job.task])
    if is_study(step):
        return tree.study(key, step.job, facts[step.job.task])
    assert is_final(step)
    study = _study_of(plan, step)
    chooser = catalog.find_study(str(study.key))
    settings = {} if chooser is None else settings_of(chooser)
    return tree.final(tree.at(str(study.key)), key, study.job, step.job.seed, settings, facts[study.job.task])


def _open_joint(
    tree: SweepTree,
    catalog: Catalog,
    plan: Plan,
    step: Step[JointJob] | Step[JointStudyJob] | Step[ShareJob],
) -> RunRecorder:
    key = str(step.key)
    if is_joint_study(step):
        return tree.joint_study(key, step.job)
    if is_share(step):
        joint = next(one for one in plan.joints if one.id == step.job.joint)
        return tree.share(tree.at(str(joint.key)), key, step.job, plan.facts.tasks[step.job.task])
    assert is_joint(step)
    run = step.job
    if run.study is not None and (chooser := catalog.find_study(run.study)) is not None:
        run = joint_as_chosen(run, chooser)
    return tree.joint(key, run)


def with_selected_sources(catalog: Catalog, plan: Plan) -> Plan:
    """Return a plan whose studies have the sources that were selected for them as their pool, as far as that was done."""
    wanted = {step.job.selection.key for step in plan.studies if step.job.selection is not None} - {None}
    selections = {key: catalog.find_selection(str(key)) for key in wanted}

    def of_study(step: Step[StudyJob]) -> Step[StudyJob]:
        found = None if step.job.selection is None else selections.get(step.job.selection.key)
        return step if found is None else replace(step, job=as_selected(step.job, found))

    return replace(plan, steps=tuple(of_study(step) if is_study(step) else step for step in plan.steps))


def _study_of(plan: Plan, step: Step[FinalJob]) -> Step[StudyJob]:
    return next(one for one in plan.studies if one.id in step.needs)


def _tell_choice(run: RunRecorder, step: Step[Job], record: StepRecord) -> None:
    """Show what a study or a selection decided for, beside its numbers."""
    if isinstance(record, StudyRecord) and record.best_trial is not None:
        metric = "selected_by" if record.tasks else record.metric
        run.chosen(record.best_trial, settings_of(record), record.best_value, metric)
    elif isinstance(record, SelectionRecord) and is_selection(step):
        scores = scores_by_name(step.job, record.sources)
        run.selected(scores, {"rule": record.rule, "metric": record.metric, "scores": scores})


def _numbers(catalog: Catalog, plan: Plan, step: Step[Job], record: StepRecord) -> dict[str, float]:
    """Return what the catalog knows of a result under the names that its own run would carry."""
    if isinstance(record, StudyRecord | SelectionRecord):
        return {}  # see _tell_choice
    if isinstance(record, JointRecord):
        found = {
            "best/selected_by": record.value,
            "best/step": record.best_step,
            vocabulary.PARAMETERS: record.n_parameters,
            vocabulary.SECONDS: record.seconds,
        }
        return {name: float(value) for name, value in found.items() if value is not None}
    best = record.metrics if isinstance(record, AdapterRecord) else record.validation
    known = {
        vocabulary.PARAMETERS: record.n_parameters,
        vocabulary.SECONDS: record.seconds,
        "best/epoch": record.best_epoch,
    }
    numbers = scores(record.metric, best, record.test)
    numbers |= {name: float(value) for name, value in known.items() if value is not None}
    if isinstance(record, TransferRecord) and is_final(step):
        numbers |= _coefficients(catalog, _study_of(plan, step).job.pool, record)
    return numbers


def _coefficients(catalog: Catalog, pool: Sequence[PoolMember], record: TransferRecord) -> dict[str, float]:
    """Return each source's mean coefficient over the layers; a seed's own few-shot adapter has the name of the study's."""
    values: dict[int, list[float]] = {}
    for one in catalog.coefficients(record.key):
        values.setdefault(one.position, []).append(one.mean)
    known = [position for position in range(len(pool)) if position in values]
    names = [pool[position].name for position in known]
    return by_source(vocabulary.coefficient, names, [fmean(values[position]) for position in known])


def _measured_before(tree: SweepTree, catalog: Catalog, record: StepRecord) -> dict[str, float]:
    """Return the sources' shares of the output, which only a run that measured them, or a copy of it, knows."""
    if not isinstance(record, TransferRecord):
        return {}
    nodes = [f"{sweep.key}/{record.key}" for sweep in catalog.sweeps_with(record.key)[:_MOST_ASKED]]
    # A short run is published before MLflow has given it an id, so its record may not name it.
    runs = dict.fromkeys([record.run_id, *map(catalog.run_id, nodes)])
    try:
        for run_id in filter(None, runs):
            found = tree.tracker.metrics_of_run(run_id)
            if shares := {
                name: value for name, value in found.items() if name.startswith(vocabulary.CONTRIBUTION)
            }:
                return shares
    except AdapterlabError:  # nothing of a sweep depends on MLflow
        return {}
    return {}
