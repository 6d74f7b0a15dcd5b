"""The combiners of one study on a worker: their settings, fixed tensors and pools, ready to make lanes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

from pydantic import BaseModel

from adapterlab.catalog.records import AdapterRecord
from adapterlab.planning.steps import StudyJob
from adapterlab.records import PoolShape, TaskData
from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.spec.search_space import TrialSetting
from adapterlab.train import weights
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination, HeadStart, pool_for
from adapterlab.train.features import FewRows
from adapterlab.train.lane import Lane, transfer_lane
from adapterlab.train.layers import CombinerLayer, MethodLayer, ModelFolder, PoolContext, Tensors
from adapterlab.train.pooling import adopted
from adapterlab.worker.worker import Worker


class StudyCombiners:
    """The combiners of one study, each made when it is first needed."""

    def __init__(self, worker: Worker, job: StudyJob, task: TaskData) -> None:
        self._worker = worker
        self._job = job
        self._task = task
        self._made: dict[str, StudyCombiner] = {}

    def of(self, setting: TrialSetting) -> StudyCombiner:
        """Return the combiner that a setting names, or the only one."""
        kind = setting.combiner or self._job.combiners[0].kind
        if kind not in self._made:
            self._made[kind] = StudyCombiner(self, self._worker, self._job, self._task, kind)
        return self._made[kind]

    @cached_property
    def _records(self) -> list[AdapterRecord]:
        catalog = self._worker.catalog
        return [catalog.get_adapter(member.adapter_key) for member in self._job.pool]

    @cached_property
    def _own(self) -> list[BaseModel]:
        """Every adapter's settings, in coefficient order."""
        model = adapter_method(self._job.adapter.method).settings
        return [model.model_validate(record.settings.get("adapter", {})) for record in self._records]

    @cached_property
    def _common(self) -> BaseModel:
        """The settings under which the adapters share a pool; where searches chose theirs, only these tell."""
        plugin = adapter_method(self._job.adapter.method)
        if self._job.searched_pool:
            return plugin.pooled(self._own)
        return plugin.settings.model_validate(self._job.adapter.settings)

    @cached_property
    def adapters(self) -> list[Tensors]:
        """The source adapters' tensors in coefficient order, read from the catalog."""
        catalog = self._worker.catalog
        read = [weights.without_head(weights.from_bytes(catalog.read_weights(one))) for one in self._records]
        each = list(zip(self._own, read, strict=True))
        plugin = adapter_method(self._job.adapter.method)
        return adopted(plugin, self._common, each, self._worker.backbone.shape)

    @cached_property
    def pool(self) -> SourcePool:
        """The adapters stacked; shared by all combiners that take them as they are."""
        return SourcePool.build(self.method, self.adapters, self._worker.backbone)

    @cached_property
    def method(self) -> MethodLayer:
        """Torch side of the adapters' method, on the worker's backbone."""
        plugin = adapter_method(self._job.adapter.method)
        return plugin.layer(self._common, self._worker.backbone.shape)

    @property
    def shape(self) -> PoolShape:
        """Where the pool's adapters attach, how many they are, and which is the target's own."""
        return PoolShape(
            self.method.shape.layers, self.method.sites, len(self._job.pool), self._job.target_position
        )

    @cached_property
    def own_head(self) -> Tensors:
        """The head that the target's own adapter was trained with, on the worker's device; empty: there is none."""
        position, catalog = self._job.target_position, self._worker.catalog
        if position is None:
            return {}
        record = catalog.get_adapter(self._job.pool[position].adapter_key)
        read = weights.from_bytes(catalog.read_weights(record))
        return {
            name: tensor.to(self._worker.backbone.device)
            for name, tensor in read.items()
            if name.startswith(weights.HEAD_PREFIX)
        }


@dataclass
class StudyCombiner:
    """One combiner of a study."""

    study: StudyCombiners
    worker: Worker
    job: StudyJob
    task: TaskData
    kind: str

    def __post_init__(self) -> None:
        self.recipe = self.job.recipe(self.kind)
        self._fixed: Tensors | None = None
        self._merged: WeakValueDictionary[tuple[tuple[str, float], ...], SourcePool] = WeakValueDictionary()
        self.plugin = combiner(self.kind)
        self.settings = self.plugin.settings.model_validate(self.recipe.settings)

    def layer(self, setting: TrialSetting) -> CombinerLayer:
        """Return the combiner's torch side under one setting: each of its dimensions reaches it by name."""
        return self.plugin.layer(self.settings, self.study.shape, **setting.dimensions)

    def fixed_of(self, layer: CombinerLayer) -> Tensors:
        """Return its tensors that are decided before training; the same for every setting."""
        if not layer.needs_context:
            return {}
        if self._fixed is None:
            self._fixed = layer.fixed(self._context())
        return self._fixed

    def pool_of(self, layer: CombinerLayer, setting: TrialSetting) -> SourcePool:
        """Return what it works on: the study's pool, or the one adapter it makes of it under a setting."""
        if not layer.averages:
            return self.study.pool
        # Trials of equal dimensions share the adapter, and it is forgotten with the last lane that needs it.
        key = tuple(sorted(setting.dimensions.items()))
        pool = self._merged.get(key)
        if pool is None:
            pool = self._merged[key] = pool_for(
                layer, self.fixed_of(layer), self.study.method, self.study.adapters, self.worker.backbone
            )
        return pool

    def lane(self, setting: TrialSetting, *, seed: int, name: str, sees_test: bool = False) -> Lane:
        """Return a lane that trains one setting with one seed."""
        layer, backbone = self.layer(setting), self.worker.backbone
        placed = {
            name: tensor.to(device=backbone.device, dtype=backbone.dtype)
            for name, tensor in self.fixed_of(layer).items()
        }
        return transfer_lane(
            backbone,
            Combination(
                self.pool_of(layer, setting),
                layer,
                placed,
                token_dependent=self.plugin.token_dependent,
                head=HeadStart(self.study.own_head, setting.source_head) if setting.source_head else None,
                head_rate=1.0 if setting.head_lr is None else setting.head_lr / setting.lr,
            ),
            self.task,
            self.recipe.training.at(setting.lr, setting.training),
            seed=seed,
            name=name,
            sees_test=sees_test,
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
            method=self.study.method,
            adapters=self.study.adapters,
            few_rows=FewRows(self.worker.backbone, self.study.method, self.task),
        )
