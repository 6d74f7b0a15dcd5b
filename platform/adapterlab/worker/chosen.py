"""What a study or a selection chose, put into what is trained by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapterlab.catalog.records import SelectionRecord, StudyRecord
from adapterlab.errors import TrainingError
from adapterlab.planning.steps import (
    AdapterRecipe,
    JointJob,
    JointTraining,
    PoolMember,
    Settings,
    SourceJob,
    StudyJob,
    dump,
)
from adapterlab.records import JointSettings, TrainSettings
from adapterlab.registry.entry_points import adapter_method, joint_method
from adapterlab.spec.ranges import settings_at
from adapterlab.spec.search_space import COMBINER, OF_JOINT_TRAINING, Setting, TrialSetting, training_values


def at_setting(
    adapter: AdapterRecipe, training: TrainSettings, setting: TrialSetting
) -> tuple[AdapterRecipe, TrainSettings]:
    """Return an adapter and its training with a setting's values in place of the first ones.

    Raises:
        pydantic.ValidationError: The method's settings do not fit each other.
    """
    method = adapter_method(adapter.method)
    settings = method.settings.model_validate(settings_at(adapter.settings, setting.dimensions))
    return AdapterRecipe.of(method, settings), training.at(setting.lr, setting.training)


def as_chosen(job: SourceJob, study: StudyRecord | None) -> SourceJob:
    """Return a job with what its study chose; one of which nothing is searched as it is.

    Raises:
        TrainingError: The study is not there.
    """
    if not job.searched:
        return job
    chosen = TrialSetting.of(_chosen_for(f"{job.task} · {job.label}", study))
    adapter, training = at_setting(job.adapter, job.training, chosen)
    return replace(job, adapter=adapter, training=training)


def joint_at_setting(job: JointTraining, values: Mapping[str, Setting]) -> tuple[Settings, JointSettings]:
    """Return a joint run's settings and training with a trial's values in place of the first ones.

    Raises:
        UsageError: A value makes no sense in training.
        pydantic.ValidationError: The method's settings do not fit each other.
    """
    training: dict[str, Any] = training_values(values, ("lr", *OF_JOINT_TRAINING))
    own = {name: float(value) for name, value in values.items() if name not in training}
    settings = joint_method(job.method).settings.model_validate(settings_at(job.settings, own))
    return dump(settings), replace(job.training, **training)


def joint_as_chosen(job: JointJob, study: StudyRecord | None) -> JointJob:
    """Return a joint run's job with what its study chose; one of which nothing is searched as it is.

    Raises:
        TrainingError: The study is not there.
    """
    if not job.searched:
        return job
    settings, training = joint_at_setting(job, _chosen_for(job.label, study))
    return replace(job, settings=settings, training=training)


def _chosen_for(what: str, study: StudyRecord | None) -> dict[str, Setting]:
    if study is None:
        raise TrainingError(
            f"{what}: the study that chooses its setting is not in the catalog",
            remedy="Submit the spec again: it is searched anew.",
        )
    return settings_of(study)


def settings_of(record: StudyRecord) -> dict[str, Setting]:
    """Return a study's chosen setting; all but the combiner's name are numbers."""
    found: Mapping[str, object] = record.best_settings
    return {name: str(value) if name == COMBINER else float(str(value)) for name, value in found.items()}


def as_selected(job: StudyJob, selection: SelectionRecord | None) -> StudyJob:
    """Return a study's job with the sources its selection took as its pool; one that takes all of them as it is.

    They stand in the selection's order, best first, and the target's own last.

    Raises:
        TrainingError: The selection is not there, or has not ranked so many of them.
    """
    wanted = job.selection
    if wanted is None:
        return job
    if selection is None:
        raise TrainingError(
            f"{job.task} · {job.label}: the selection of its sources is not in the catalog",
            remedy="Submit the spec again: they are selected anew.",
        )
    places = {one.key or one.task: place for place, one in enumerate(selection.sources)}

    def place(member: PoolMember) -> tuple[int, str] | None:
        found = places.get(member.adapter_key, places.get(member.task))
        return None if found is None else (found, member.adapter_key)

    ranked = [(at, one) for one in job.pool if one.task != job.task and (at := place(one)) is not None]
    if len(ranked) < wanted.count:
        raise TrainingError(
            f"{job.task} · {job.label}: it combines {wanted.count} sources, and its selection has ranked {len(ranked)}",
            remedy="Remove that selection and submit again: platform catalog remove " + selection.key[:12],
        )
    taken = [one for _, one in sorted(ranked, key=lambda pair: pair[0])[: wanted.count]]
    return replace(job, pool=(*taken, *(one for one in job.pool if one.task == job.task)))
