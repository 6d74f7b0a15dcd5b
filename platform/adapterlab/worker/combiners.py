"""The combiners of one study on a worker: their settings, fixed tensors and pools, ready to make lanes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from adapterlab.planning.steps import StudyJob
from adapterlab.records import TaskData
from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.registry.protocols import AdapterMethod
from adapterlab.spec.search_space import COMBINER
from adapterlab.train import weights
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import pool_for
from adapterlab.train.lane import Lane
from adapterlab.train.layers import (
    AveragingLayer,
    CombinerLayer,
    FixedLayer,
    ModelFolder,
    PoolContext,
    Tensors,
)
from adapterlab.train.transfer_lane import transfer_lane
from adapterlab.worker.worker import Worker


class Mixers:
    """The combiners of one study, each made when it is first needed."""

    def __init__(self, worker: Worker, job: StudyJob, task: TaskData) -> None:
        self._worker = worker
        self._job = job
        self._task = task
        self._made: dict[str, Mixer] = {}

    def of(self, settings: Mapping[str, Any]) -> Mixer:
        """Return the combiner that settings name, or the only one."""
        kind = str(settings.get(COMBINER) or self._job.combiners[0].kind)
        if kind not in self._made:
            self._made[kind] = Mixer(self, self._worker, self._job, self._task, kind)
        return self._made[kind]

    @cached_property
    def adapters(self) -> list[Tensors]:
        """The source adapters' tensors in coefficient order, read from the catalog."""
        catalog = self._worker.catalog
        records = [catalog.get_adapter(member.adapter_key) for member in self._job.pool]
        return [weights.without_head(weights.from_bytes(catalog.read_weights(one))) for one in records]

    @cached_property
    def pool(self) -> SourcePool:
        """The adapters stacked; shared by all combiners that take them as they are."""
        method, settings = self.method
        return SourcePool.build(method, settings, self.adapters, self._worker.backbone)

    @cached_property
    def method(self) -> tuple[Any, Any]:
        """Torch side and settings of the adapters' method."""
        return self._plugin.layer(), self._plugin.settings.model_validate(self._job.adapter.settings)

    @property
    def sites(self) -> int:
        """Sites of the adapters' method in each layer."""
        return len(self._plugin.sites(self.method[1]))

    @property
    def _plugin(self) -> AdapterMethod:
        return adapter_method(self._job.adapter.method)


@dataclass
class Mixer:
    """One combiner of a study."""

    mixers: Mixers
    worker: Worker
    job: StudyJob
    task: TaskData
    kind: str

    def __post_init__(self) -> None:
        self.recipe = self.job.recipe(self.kind)
        self.plugin = combiner(self.kind)
        self.layer = self.plugin.layer()
        self.settings = self.plugin.settings.model_validate(self.recipe.settings)

    @cached_property
    def fixed(self) -> Tensors:
        """Its tensors that are not trained."""
        if not isinstance(self.layer, FixedLayer):
            return {}
        return self.layer.fixed(self.settings, self._size, self._context())

    @cached_property
    def pool(self) -> SourcePool:
        """What it works on: the study's pool, or the one adapter it makes of it."""
        layer: CombinerLayer = self.layer
        if not isinstance(layer, AveragingLayer):
            return self.mixers.pool
        method, settings = self.mixers.method
        return pool_for(
            layer,
            self.settings,
            self.fixed,
            method,
            settings,
            self.mixers.adapters,
            self.worker.backbone,
        )

    def lane(self, settings: Mapping[str, Any], *, seed: int, name: str, sees_test: bool = False) -> Lane:
        """Return a lane that trains one setting with one seed."""
        dimensions = {name: float(value) for name, value in settings.items() if name != COMBINER}
        return transfer_lane(
            self.worker.backbone,
            self.pool,
            self.layer,
            self._size,
            self.task,
            self.recipe.training.at(dimensions["lr"]),
            init_scale=dimensions.get("init_scale", 0.0),
            dropout=dimensions.get("dropout", 0.0),
            seed=seed,
            name=name,
            combiner_settings=self.settings,
            fixed=self.fixed,
            token_dependent=self.plugin.token_dependent,
            sees_test=sees_test,
        )

    @property
    def _size(self) -> tuple[int, int, int]:
        shape = self.worker.backbone.shape
        return self.plugin.coefficient_shape(
            replace(shape, layers=shape.layers * self.mixers.sites), len(self.job.pool)
        )

    def _context(self) -> PoolContext:
        sources = tuple(member.task for member in self.job.pool)
        tasks = dict.fromkeys((*sources, self.job.task))
        return PoolContext(
            sources=sources,
            target=self.job.task,
            digests={task: self.worker.texts_digest(task) for task in tasks},
            texts=self.worker.train_texts,
            models={
                setting: ModelFolder(Path(model.folder), model.digest)
                for setting, model in self.recipe.models.items()
            },
            cache=self.worker.context.stores.cache,
            device=self.worker.backbone.device,
        )
