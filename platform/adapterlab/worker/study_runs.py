"""Search one combiner on one target, or a method's training on one task; then train the chosen setting over seeds.

The objective is the validation metric. Trials and seeds are lanes of the same engine on the same
frozen pool; the test split is seen by final runs only, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from adapterlab.catalog.records import PoolEntry, StudyRecord
from adapterlab.errors import AdapterlabError, TrainingError
from adapterlab.planning.steps import SearchSettings, SourceJob, StudyJob
from adapterlab.records import State
from adapterlab.search.pictures import PicturedStudy, study_pictures
from adapterlab.search.study import TrialRecord
from adapterlab.search.trials import TRAINED_ROWS
from adapterlab.train.lane import Lane
from adapterlab.worker.chosen import as_selected
from adapterlab.worker.final_runs import train_finals
from adapterlab.worker.open_study import Study
from adapterlab.worker.orders import Assignment, StudyOrder, TrialsOrder
from adapterlab.worker.run_recorder import RunRecorder
from adapterlab.worker.source_runs import train_adapters
from adapterlab.worker.trial_runs import train_trials
from adapterlab.worker.worker import Worker


def run_trials(worker: Worker, order: TrialsOrder) -> dict[str, int]:
    """Train trials of a study beside other workers until its budget is spent.

    Returns:
        Number of trials by state.
    """
    claim, job = order.study.claim, order.study.job
    assert isinstance(job, StudyJob)
    study = Study(worker, claim.key, _selected(worker, job), claim)
    with study.search() as search:
        return train_trials(study, search, claim)


def run_study(worker: Worker, order: StudyOrder) -> dict[str, int]:
    """Finish a study that this worker owns: the trials that are left, its record, and its final runs or adapters.

    Returns:
        Number of final runs by state.

    Raises:
        TrainingError: No trial of the study completed.
    """
    assert isinstance(order.job, StudyJob)
    study = Study(worker, order.key, _selected(worker, order.job), order.claim)
    study.wait_for_sources()
    record = worker.catalog.find_study(study.key)
    if record is None:
        record = _search(study)
    if study.job.method is None:
        return train_finals(study, record, order.finals)
    return _train_adapters(study, record, order.adapters)


def _selected(worker: Worker, job: StudyJob) -> StudyJob:
    """Return a study's job with the sources that were selected for it."""
    wanted = job.selection
    return as_selected(job, None if wanted is None else worker.catalog.find_selection(str(wanted.key)))


def _search(study: Study) -> StudyRecord:
    claim = study.claim
    assert claim is not None, "a study that is not complete is done under a claim"
    with study.search() as search:
        search.take_over()  # the claim on the study makes every trial of a lost worker this one's
        train_trials(study, search, claim)
        trials, best, name = search.trials(), search.best(), search.name
    if best is None:
        raise none_completed(f"{study.job.task} · {study.job.label}", study.job.search, trials, study.run)
    record = _study_record(study, trials, best, study_name=name)
    if len(trials) > 1:  # before it is published: then nobody would do it again
        title = f"{study.job.task_name} · {study.job.shown}"
        show_search(study.worker, study.run, record, title, budget=len(trials))
    study.worker.catalog.publish_study(record, claim)
    study.run.chosen(best.number, best.settings, record.best_value, study.task.facts.metric)
    return record


def none_completed(
    title: str, search: SearchSettings, trials: Sequence[TrialRecord], run: RunRecorder
) -> TrainingError:
    """End a study's run none of whose trials completed, and return the error that says why."""
    reasons = sorted({trial.reason for trial in trials if trial.reason})
    message = f"{title}: no trial completed"
    run.end(State.FAILED, message)
    return TrainingError(
        f"{message}: {'; '.join(reasons) or 'all were pruned'}",
        remedy='Lower the learning rates that are searched, or set search.pruner = "none".'
        if search.budget_minutes is None
        else "Raise search.budget_minutes, or lower the learning rates that are searched.",
    )


def show_search(worker: Worker, run: RunRecorder, record: StudyRecord, title: str, *, budget: int) -> None:
    """Store the pictures of a study's search; a study whose pictures cannot be drawn is as good without."""
    stores = worker.context.stores
    pictured = PicturedStudy(
        key=record.key, name=str(record.study_name), title=title, metric=record.metric, trials=budget
    )
    with suppress(AdapterlabError, OSError, ValueError, RuntimeError):
        for name, png in study_pictures(stores.studies, pictured, cache=stores.cache).items():
            run.search_picture(name, png)


def _study_record(
    study: Study, trials: Sequence[TrialRecord], best: TrialRecord, *, study_name: str
) -> StudyRecord:
    facts, job = study.task.facts, study.job
    return StudyRecord(
        key=study.key,
        task=facts.task,
        task_digest=str(facts.content_digest),
        backbone_digest=study.worker.context.backbone.digest,
        combiner=job.combiner,
        pool=tuple(PoolEntry(one.adapter_key, one.task, one.own_name) for one in job.pool),
        metric=facts.metric,
        best_trial=best.number,
        best_value=best.value if best.value is not None else float("nan"),
        best_settings=dict(best.settings),
        trials=by_state(trials),
        settings=job.settings,
        study_name=study_name,
        selection=None if job.selection is None else job.selection.key,
        seconds=total_seconds(trials),
        train_rows=sum(_trained_rows(trial, len(study.task.train.lengths)) for trial in trials),
        run_id=study.worker.catalog.run_id(study.run.node),
    )


def _trained_rows(trial: TrialRecord, rows: int) -> int:
    """Return the rows a trial trained on; of one with several runs as they were noted."""
    return int(trial.attributes.get(TRAINED_ROWS, len(trial.intermediate) * rows))


def by_state(trials: Sequence[TrialRecord]) -> dict[str, int]:
    """Return how many trials have come to each state."""
    states = [str(trial.state) for trial in trials]
    return {state: states.count(state) for state in sorted(set(states))}


def total_seconds(trials: Sequence[TrialRecord]) -> float | None:
    """Return the computing of all trials; ``None`` where some were trained by a version that did not note it."""
    known = [one.seconds for one in trials if one.seconds is not None]
    return sum(known) if len(known) == len(trials) else None


def _train_adapters(
    study: Study, record: StudyRecord, adapters: Sequence[Assignment[SourceJob]]
) -> dict[str, int]:
    def trained(job: SourceJob) -> Lane | None:
        return study.trained(record.best_trial, job.seed) if job.rows == study.job.rows else None

    counts = train_adapters(study.worker, adapters, trained)
    study.run.end(State.COMPLETE)
    return counts
