"""What the trials of a method's search train."""

from __future__ import annotations

from adapterlab.planning.steps import StudyJob
from adapterlab.records import TaskData
from adapterlab.registry.entry_points import adapter_method
from adapterlab.spec.search_space import TrialSetting
from adapterlab.train.lane import Lane, source_lane
from adapterlab.worker.chosen import at_setting
from adapterlab.worker.worker import Worker


class StudyMethod:
    """Makes lanes of one adapter and its head on the study's task."""

    def __init__(self, worker: Worker, job: StudyJob, task: TaskData) -> None:
        self._worker = worker
        self._job = job
        self._task = task

    def lane(self, setting: TrialSetting, *, seed: int, name: str) -> Lane:
        """Return a lane that trains one setting with one seed.

        Raises:
            UsageError: The method's settings do not fit the backbone.
            pydantic.ValidationError: They do not fit each other.
        """
        assert self._job.method is not None
        adapter, training = at_setting(self._job.adapter, self._job.method.training, setting)
        method, backbone = adapter_method(adapter.method), self._worker.backbone
        layer = method.layer(method.settings.model_validate(adapter.settings), backbone.shape)
        return source_lane(backbone, layer, self._task, training, seed=seed, name=name)
