"""One adapter or transfer of the catalog with its weights, ready to run or to fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterlab.catalog.reading import ReadableCatalog
from adapterlab.catalog.records import (
    AdapterRecord,
    JointRecord,
    PoolEntry,
    SelectionRecord,
    StudyRecord,
    TransferRecord,
)
from adapterlab.catalog.store import Catalog
from adapterlab.errors import CorruptBlobError, DataError, NotFoundError, UsageError
from adapterlab.exporting.answers import Answers, answers_of
from adapterlab.records import BackboneShape, row_length
from adapterlab.registry.entry_points import adapter_method, combiner, joint_method, task_definition
from adapterlab.registry.joint_adapters import JointAdapter
from adapterlab.registry.plugins import AdapterMethod
from adapterlab.registry.task_definitions import TaskDefinition
from adapterlab.spec.tasks import TaskSpec, definition_from
from adapterlab.train import weights
from adapterlab.train.adaptation import Adaptation, OwnAdapter, Seat
from adapterlab.train.combination import Combination, combiner_layer, pool_for
from adapterlab.train.fold import Folded, expand, fold
from adapterlab.train.layers import Backbone, Coefficients, CombinerLayer, HeadLayer, MethodLayer, Tensors
from adapterlab.train.pooling import adopted
from adapterlab.train.weights import is_finite


@dataclass(frozen=True)
class Trained:
    """What one complete record of the catalog learned."""

    record: AdapterRecord | TransferRecord
    method: str
    """Adapter method of the sources; of what a task has of a joint run and is no method's own, the joint method."""
    plugin: AdapterMethod
    """That method."""
    method_settings: Any
    """The settings of the method that its sources share a pool under, validated."""
    own_settings: tuple[Any, ...]
    """Every source's own settings."""
    adapters: tuple[Tensors, ...]
    """The source adapters' tensors as they are stored; of an adapter, its own."""
    sources: tuple[PoolEntry, ...]
    combiner: str | None
    """``None`` for a source adapter."""
    combiner_settings: Any
    """The combiner's settings, validated; ``None`` for a source adapter."""
    learned: Tensors
    """The combiner's tensors; empty for a source adapter."""
    head: Tensors
    answers: Answers
    backbone_source: str | None
    """As the sweep that trained it wrote it, with ``@<revision>`` for a hub; ``None`` if not known."""
    max_length: int | None
    """Tokens of a row at most, as it was trained; ``None`` if not known."""

    @property
    def kind(self) -> str:
        """``"adapter"`` or ``"transfer"``."""
        return "adapter" if self.combiner is None else "transfer"

    @property
    def validation(self) -> Mapping[str, float]:
        """Its validation metrics."""
        record = self.record
        return record.metrics if isinstance(record, AdapterRecord) else record.validation

    def seat(self, backbone: Backbone) -> Seat:
        """Return how to run it unfolded, exactly as it was trained and evaluated."""
        head = self.answers.head_layer(backbone.shape.hidden_size, self.head)
        method = self.method_layer(backbone.shape)
        if self.combiner is None:
            return placed(OwnAdapter(method), {**self.adapters[0], **self.head}, backbone, head)
        layer = self.combiner_layer(backbone.shape)
        pool = pool_for(layer, self.learned, method, self.pooled(backbone.shape), backbone)
        mixed = Combination(pool, layer, token_dependent=self.is_token_dependent)
        return placed(mixed, {**self.learned, **self.head}, backbone, head)

    def pooled(self, shape: BackboneShape) -> list[Tensors]:
        """Return the source adapters as :meth:`method_layer` computes them."""
        each = list(zip(self.own_settings, self.adapters, strict=True))
        return adopted(self.plugin, self.method_settings, each, shape)

    def method_layer(self, shape: BackboneShape) -> MethodLayer:
        """Return the torch side of its adapter method, on a backbone."""
        return self.plugin.layer(self.method_settings, shape)

    def combiner_layer(self, shape: BackboneShape) -> CombinerLayer:
        """Return the torch side of its combiner, under the setting it was trained with."""
        assert self.combiner is not None
        plugin = combiner(self.combiner)
        pool = self.plugin.pool(self.method_settings, shape, len(self.adapters))
        trained_with = {
            name: float(str(value))
            for name, value in self.record.settings.items()
            if name in plugin.dimensions
        }
        return combiner_layer(plugin, self.combiner_settings, pool, trained_with)

    def coefficients(self, shape: BackboneShape) -> Coefficients | None:
        """Return the effective coefficients; ``None`` for a source adapter."""
        return None if self.combiner is None else self.combiner_layer(shape).coefficients(self.learned)

    @property
    def is_token_dependent(self) -> bool:
        """Whether its coefficients differ from token to token, so that it is no single adapter."""
        return self.combiner is not None and bool(combiner(self.combiner).token_dependent)

    @property
    def folds_into(self) -> tuple[str, Any] | None:
        """Return the method and settings of the one adapter it is; ``None``: it is none."""
        return self.plugin.folds_into(self.method_settings)

    def folded(self, shape: BackboneShape, tolerance: float = 0.0) -> Folded:
        """Return it as one adapter of :attr:`folds_into`, see :func:`adapterlab.train.fold.fold`.

        Raises:
            UsageError: Its method or combiner cannot be folded.
            DataError: Its coefficients do not fit the backbone.
        """
        method = self.method_layer(shape)
        if self.combiner is None:
            return expand(method, self.adapters[0])
        if self.is_token_dependent:
            raise UsageError(
                f"{self.combiner} weighs its sources for every token anew, so it is no single adapter",
                remedy="Fold a transfer of a ScaLearn variant, or run this one with its sources.",
            )
        layer = self.combiner_layer(shape)
        coefficients = layer.coefficients(self.learned)
        if layer.averages:
            whole = expand(method, layer.merge(self.learned, self.pooled(shape), method))
            used = tuple(int(t) for t in coefficients.largest.nonzero().flatten())
            return Folded(whole.tensors, (used,) * len(whole.kept), len(self.adapters), 0.0)
        return fold(method, self.pooled(shape), coefficients, tolerance=tolerance)


def placed(
    adaptation: Adaptation, tensors: Tensors, backbone: Backbone, head: HeadLayer | None = None
) -> Seat:
    """Return a seat whose tensors are where the backbone is, in its precision.

    Args:
        adaptation: What it adds to the backbone.
        tensors: Of the adaptation and the head.
        backbone: Where it runs.
        head: Reads the states; ``None``: they are not read.

    Raises:
        DataError: A value is not finite in that precision.
    """
    here = {name: one.to(device=backbone.device, dtype=backbone.dtype) for name, one in tensors.items()}
    for name, tensor in here.items():
        if not is_finite(tensor):
            raise DataError(f"{name}: values that are not finite in {backbone.dtype}")
    return Seat(adaptation, here, head)


def trained_record(catalog: ReadableCatalog, key: str) -> AdapterRecord | TransferRecord:
    """Return an adapter or a transfer that has weights; they are not read.

    Args:
        catalog: The open catalog.
        key: Its key, or a unique beginning of it.

    Raises:
        NotFoundError: There is none, or several.
        UsageError: The key is a study's, a selection's, or a joint run's.
        CorruptBlobError: Its weights were found damaged.
    """
    record = catalog.get(key)
    if isinstance(record, StudyRecord):
        raise UsageError(
            f"{record.key[:12]} is a study, which has no weights of its own",
            remedy=_instead_of(catalog, record),
        )
    if isinstance(record, SelectionRecord):
        raise UsageError(
            f"{record.key[:12]} is a selection of sources, which has no weights of its own",
            remedy=f"Name a transfer made with it: `platform catalog lineage {record.key[:12]}` shows them.",
        )
    if isinstance(record, JointRecord):
        parts = ", ".join(f"{one.key[:12]} ({one.task})" for one in record.shares)
        raise UsageError(
            f"{record.key[:12]} is a joint run, which has several tasks",
            remedy=f"Name one's part of it: {parts}.",
        )
    if record.state != "complete":
        raise CorruptBlobError(
            f"the weights of {record.key[:12]} were found damaged",
            remedy="Submit its spec again to train it anew.",
        )
    return record


def _instead_of(catalog: ReadableCatalog, study: StudyRecord) -> str:
    """Return what has the weights that a study chose for."""
    if study.tasks:
        found = f"`platform catalog list --kind joint --method {study.combiner}`"
        return f"Name what a task has of a joint run trained as it chose: {found} shows the runs."
    if not study.pool:
        found = f"`platform catalog list --kind adapter --task {study.task}`"
        return f"Name an adapter trained as it chose: {found}."
    finals = [one.key[:12] for one in catalog.transfers(study_key=study.key)]
    return f"Name one of its transfers: {', '.join(finals) or 'none is complete yet'}."


def open_trained(catalog: Catalog, key: str) -> Trained:
    """Read an adapter or a transfer.

    Args:
        catalog: The open catalog.
        key: Its key, or a unique beginning of it.

    Raises:
        NotFoundError: There is none, or several, or one of its sources is gone.
        UsageError: The key is a study's, a selection's, or a joint run's.
        CorruptBlobError: Stored weights are damaged.
    """
    record = trained_record(catalog, key)
    sources = [record] if isinstance(record, AdapterRecord) else _pool(catalog, record)
    read = [weights.from_bytes(catalog.read_weights(one)) for one in sources]
    stored = catalog.read_weights(record)
    tensors = weights.from_bytes(stored)
    plugin, settings, own = _one_method(sources)
    entries = None if isinstance(record, AdapterRecord) else catalog.get_study(record.study_key).pool
    spec = spec_of(catalog, record.key)
    head = {name: one for name, one in tensors.items() if name.startswith(weights.HEAD_PREFIX)}
    return Trained(
        record=record,
        method=plugin.name,
        plugin=plugin,
        method_settings=settings,
        own_settings=own,
        adapters=tuple(weights.without_head(one) for one in read),
        sources=tuple(
            PoolEntry(one.key, one.task)
            if entries is None
            else PoolEntry(one.key, entries[place].task, entries[place].name)
            for place, one in enumerate(sources)
        ),
        combiner=record.combiner if isinstance(record, TransferRecord) else None,
        combiner_settings=_combiner_settings(catalog, record) if isinstance(record, TransferRecord) else None,
        learned=weights.without_head(tensors) if isinstance(record, TransferRecord) else {},
        head=head,
        answers=answers_of(
            catalog,
            record,
            outputs=len(head.get("head.out.bias", ())),
            declared=_declared(spec, record.task),
            labels=weights.labels_of(stored),
        ),
        backbone_source=backbone_source(catalog, record, spec),
        max_length=None if spec is None else _length(spec["data"]["max_length"], record.task),
    )


def _pool(catalog: Catalog, record: TransferRecord) -> list[AdapterRecord]:
    """Return a transfer's sources in coefficient order.

    Where every seed has rows of its own, its target's adapter is not the study's but the seed's; which
    one it was is kept with the coefficients.
    """
    used = {one.position: one.adapter_key for one in catalog.coefficients(record.key)}
    pool = catalog.get_study(record.study_key).pool
    return [catalog.get_adapter(used.get(number, entry.key)) for number, entry in enumerate(pool)]


def _declared(spec: Mapping[str, Any] | None, task: str) -> TaskDefinition | None:
    """Return the definition of a task that its own spec declared."""
    own = (spec or {}).get("task") or ()
    found = next((one for one in own if one.get("name") == task), None)
    try:
        return None if found is None else definition_from(TaskSpec.model_validate(found))
    except ValueError:  # of another version
        return None


def _combiner_settings(catalog: Catalog, record: TransferRecord) -> Any:
    """Return the settings of a transfer's combiner, which its study keeps."""
    study = catalog.get_study(record.study_key)
    settings = study.settings
    if study.combiner != record.combiner:  # the study chose among several
        settings = dict(settings.get(record.combiner) or {})  # type: ignore[arg-type]
    return combiner(record.combiner).settings.model_validate(settings)


def _one_method(sources: Sequence[AdapterRecord]) -> tuple[AdapterMethod, Any, tuple[Any, ...]]:
    """Return the method of all sources, the settings they share a pool under, and every source's own."""
    method = _method_of(sources[0])
    if any(one.method != method.name for one in sources):
        raise DataError("its sources are of different adapter methods")
    own = tuple(method.settings.model_validate(one.settings.get("adapter", {})) for one in sources)
    try:
        return method, own[0] if all(one == own[0] for one in own) else method.pooled(own), own
    except UsageError as error:
        raise DataError(f"its sources are of different settings: {error.message}") from None


def _method_of(record: AdapterRecord) -> AdapterMethod:
    """Return the method of an adapter, or of what a task has of a joint run."""
    joint = record.settings.get("joint")
    if isinstance(joint, Mapping) and record.method == joint["method"]:
        tasks = [str(one) for one in joint["tasks"]]  # type: ignore[union-attr]
        return JointAdapter(joint_method(record.method), tasks)
    return adapter_method(record.method)


def spec_of(catalog: ReadableCatalog, key: str) -> Mapping[str, Any] | None:
    """Return the resolved spec of a sweep that has this step; the step's key makes them agree."""
    for sweep in catalog.sweeps_with(key):
        try:
            spec = json.loads(sweep.spec)
        except ValueError:
            continue
        if isinstance(spec, dict) and {"backbone", "data"} <= set(spec):
            return spec
    return None


def backbone_source(
    catalog: ReadableCatalog, record: AdapterRecord | TransferRecord, spec: Mapping[str, Any] | None
) -> str | None:
    """Return where a record's backbone was, as its spec wrote it, else as the catalog knows it; ``None``: not known."""
    if spec is not None:
        backbone = spec["backbone"]
        revision = backbone.get("revision")
        return f"{backbone['source']}@{revision}" if revision else str(backbone["source"])
    known = (one.source for one in catalog.backbones() if one.digest == record.backbone_digest)
    return next(filter(None, known), None)


def need_source(trained: Trained, given: str | None) -> str:
    """Return the backbone's source: the given one, else the one it was trained with.

    Raises:
        NotFoundError: Neither is known.
    """
    source = given or trained.backbone_source
    if source is None:
        raise NotFoundError(
            f"the catalog does not know where the backbone {trained.record.backbone_digest[:12]} is",
            remedy="Name it: --backbone FOLDER, --backbone package:NAME or --backbone hub:OWNER/NAME.",
        )
    return source


def _length(general: int, task: str) -> int:
    try:
        return row_length(general, task_definition(task).max_length)
    except NotFoundError:
        return general
