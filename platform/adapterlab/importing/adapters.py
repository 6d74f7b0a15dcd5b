"""One adapter of a folder as the catalog keeps it: read, checked against a backbone, and named by its content.

The key of an imported adapter is a digest of its tensors, its method with settings and the backbone's weights.
So one adapter has one key wherever it comes from, and importing it twice is importing it once.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterlab.backbones.weight_files import weight_files
from adapterlab.catalog.records import AdapterRecord, Origin
from adapterlab.catalog.store import Catalog
from adapterlab.errors import (
    AdapterlabError,
    BackboneError,
    ConflictError,
    DataError,
    NotFoundError,
    UsageError,
)
from adapterlab.exporting import adapterfusion_format as fusion
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting.adapter_folder import digest_in
from adapterlab.exporting.answers import Answers
from adapterlab.exporting.foreign_adapter import read_foreign
from adapterlab.fingerprint import digest_of, key_of
from adapterlab.importing.card import Card, read_card
from adapterlab.importing.sources import Place
from adapterlab.owners import current_owner
from adapterlab.records import BackboneFacts, BackboneShape, ProblemType, StepKind, TaskFacts
from adapterlab.registry.entry_points import adapter_method, task_definition
from adapterlab.registry.task_definitions import TaskDefinition
from adapterlab.train import weights
from adapterlab.train.layers import Tensors
from adapterlab.train.pooling import check_adapter

IMPORT_VERSION = 1
"""Raise it when the same folder gives other tensors; part of every imported adapter's key."""
_LEASE_S = 60.0
_TASK = re.compile(r"[a-z0-9_]+/[a-z0-9_]+")


@dataclass(frozen=True)
class FoundAdapter:
    """An adapter of a folder, before it is known which backbone it is for."""

    place: Place
    format: str
    """``"adapterhub"`` or ``"peft"``."""
    method: str
    settings: Any
    """The method's, validated; of a bottleneck without its width, which its tensors say."""
    architectures: tuple[str, ...]
    """Values of ``model_type`` it fits."""
    tensors: Callable[[BackboneShape, Path], Tensors]
    """Gives all tensors for a backbone and its folder, the head's among them."""
    labels: tuple[str, ...]
    problem_type: ProblemType | None
    """What its head answers, where it says more than classes or a number."""
    name: str | None
    """In its config."""
    base_model: str | None
    """In its config."""
    made_with: str | None
    facts: Mapping[str, Any] | None
    """Contents of ``adapterlab.json``."""
    card: Card

    @property
    def backbone_digest(self) -> str | None:
        """sha256 of its backbone's weights, if the folder says so."""
        return digest_in(self.facts)

    @property
    def task(self) -> str:
        """The task it says it is for; else its folder's name."""
        told = self.answers.task if self.answers is not None else None
        for one in (told, self.card.task, self.name):
            if one is not None and _TASK.fullmatch(one):
                return one
        word = re.sub(r"[^a-z0-9_]+", "_", self.place.name.lower()).strip("_")
        return f"imported/{word or 'adapter'}"

    @property
    def answers(self) -> Answers | None:
        """What an export of ours says of its outputs."""
        answers = None if self.facts is None else self.facts.get("answers")
        if not isinstance(answers, Mapping):
            return None
        where, labels = str(self.place.folder), answers.get("labels")
        outputs = len(labels) if isinstance(labels, list) and labels else 1
        choice = answers.get("problem_type") == ProblemType.MULTIPLE_CHOICE
        return Answers.from_json(answers, where=where, outputs=1 if choice else outputs)


@dataclass(frozen=True)
class Importable:
    """An adapter that fits its backbone, ready for the catalog."""

    record: AdapterRecord
    weights: bytes
    task: TaskFacts | None
    """What is known of its task besides its name; ``None``: nothing."""


def find_adapter(place: Place) -> FoundAdapter:
    """Read the adapter of a folder, AdapterHub's or PEFT's.

    Raises:
        NotFoundError: There is none.
        DataError: It is damaged, would compute something else, would run code, or is of a kind that is not read.
    """
    folder = place.folder
    if fusion.is_setup(folder):
        raise DataError(
            f"{folder}: a fusion of several adapters, not one",
            remedy="Import its adapters: each has a folder of its own in it.",
        )
    read = read_foreign(folder)
    return FoundAdapter(
        place=place,
        format=read.format,
        method=read.method,
        settings=read.settings,
        architectures=read.architectures,
        tensors=lambda shape, backbone: read.whole(shape, weight_files(backbone)),
        labels=() if read.head is None else read.head.labels,
        problem_type=None if read.head is None else read.head.problem_type,
        name=read.name,
        base_model=read.base_model,
        made_with=read.made_with,
        facts=read.facts,
        card=read_card(folder),
    )


def prepare(found: FoundAdapter, backbone: BackboneFacts, *, task: str | None = None) -> Importable:
    """Check an adapter against a backbone, and return it as the catalog keeps it.

    Args:
        found: The adapter.
        backbone: Located: its files are on this machine.
        task: Full name of its task; ``None``: what it says itself, else its folder's name.

    Raises:
        BackboneError: It was made for another backbone.
        UsageError: The task's name is no name of a task.
    """
    assert backbone.shape is not None
    assert backbone.folder is not None
    check_backbone(found, backbone)
    tensors = found.tensors(backbone.shape, Path(backbone.folder))
    settings = _settings(found, backbone.shape, tensors)
    check_adapter(adapter_method(found.method), settings, tensors, backbone.shape, found.place.source)
    named = task or found.task
    if not _TASK.fullmatch(named):
        raise UsageError(
            f"{named!r} is no name of a task",
            remedy="Write <benchmark>/<task> in small letters, digits and _, as --task glue/rte.",
        )
    digest, known = str(backbone.weights_digest), _definition(named)
    key = content_key(found.method, settings, tensors, digest)
    validation, test = _measured(found)
    metric = _leading(found, known, validation)
    adapter = weights.without_head(tensors)
    count = sum(one.numel() for one in adapter.values())
    head = sum(one.numel() for one in tensors.values()) - count
    labels = found.answers.labels if found.answers is not None else found.labels
    outputs = len(tensors["head.out.bias"]) if "head.out.bias" in tensors else 0
    facts = _task_facts(found, named, known, labels, metric, outputs)
    record = AdapterRecord(
        key=key,
        backbone_digest=digest,
        task=named,
        task_digest=str(facts.content_digest),
        method=found.method,
        settings={"adapter": settings.model_dump(mode="json")},
        seed=0,
        metric=metric,
        metric_value=validation.get(metric, math.nan),
        metrics=validation,
        test=test,
        n_parameters=count,
        head_parameters=head or None,
        origin=Origin(
            source=found.place.source,
            format=found.format,
            commit=found.place.commit,
            name=found.name,
            licence=found.card.licence,
            base_model=found.card.base_model or found.base_model,
            made_with=_made_with(found),
            key=None if found.facts is None else _text(found.facts.get("key")),
            metrics=found.card.metrics,
        ),
    )
    about = weights.described(named, key, "adapter", labels)
    return Importable(record, weights.to_bytes(tensors, about), facts if head else None)


def check_backbone(found: FoundAdapter, backbone: BackboneFacts) -> None:
    """Check what a folder says of its backbone; its tensors are looked at by :func:`prepare`.

    Raises:
        BackboneError: It was made for another one.
    """
    if found.backbone_digest is not None and found.backbone_digest != backbone.weights_digest:
        raise BackboneError(
            f"{found.place.source} was trained on a backbone with sha256 {found.backbone_digest}, but "
            f"{backbone.source} has {backbone.weights_digest}",
            remedy="An adapter fits the very backbone it was trained on, and no other.",
        )
    if backbone.architecture not in found.architectures:
        raise BackboneError(
            f"{found.place.source} was made for a {' or '.join(found.architectures)} model, but {backbone.source} is "
            f"{backbone.architecture}",
            remedy=f"It names {found.base_model} as its base model." if found.base_model else None,
        )


def content_key(method: str, settings: Any, tensors: Tensors, backbone_digest: str) -> str:
    """Return the key of an imported adapter."""
    plugin = adapter_method(method)
    return key_of(
        str(StepKind.SOURCE),
        IMPORT_VERSION,
        {
            "imported": {
                "tensors": tensors_digest(tensors),
                "adapter": {
                    "method": plugin.name,
                    "version": plugin.version,
                    "settings": settings.model_dump(mode="json"),
                },
                "backbone": backbone_digest,
            }
        },
    )


def tensors_digest(tensors: Tensors) -> str:
    """Return a digest of tensors by name, precision, shape and values; the order of names decides nothing."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        one = tensors[name].detach().cpu().contiguous()
        found.update(f"{name}\n{one.dtype}\n{tuple(one.shape)}\n".encode())
        found.update(weights.to_bytes({"": one}))
    return found.hexdigest()


def original(catalog: Catalog, importable: Importable) -> AdapterRecord | None:
    """Return the adapter that a folder was exported from, where it is in this catalog and still the same."""
    origin = importable.record.origin
    there = None if origin is None or origin.key is None else catalog.find_adapter(origin.key)
    if there is None or there.backbone_digest != importable.record.backbone_digest:
        return None
    try:
        kept = weights.from_bytes(catalog.read_weights(there))
    except AdapterlabError:
        return None
    same = tensors_digest(kept) == tensors_digest(weights.from_bytes(importable.weights))
    return there if same else None


def store(catalog: Catalog, importable: Importable, backbone: BackboneFacts) -> tuple[AdapterRecord, bool]:
    """Put an adapter into the catalog unless it is there.

    Args:
        catalog: The open catalog.
        importable: From :func:`prepare`.
        backbone: The same backbone.

    Returns:
        The record in the catalog, and whether it is new there.

    Raises:
        ConflictError: Another process imports it at this moment.
    """
    key = importable.record.key
    there = catalog.find_adapter(key)
    if there is not None:
        return there, False
    claim = catalog.claim_many([key], owner=current_owner(), lease_s=_LEASE_S).get(key)
    if claim is None:
        there = catalog.find_adapter(key)
        if there is None:
            raise ConflictError(
                f"{importable.record.task} ({key[:12]}) is being imported by another process",
                remedy="Import it again in a minute.",
            )
        return there, False
    if not any(one.digest == backbone.weights_digest and one.source for one in catalog.backbones()):
        catalog.record_backbone(backbone)
    if importable.task is not None:
        catalog.record_task(importable.task)
    return catalog.publish_adapter(importable.record, importable.weights, claim), True


def _settings(found: FoundAdapter, shape: BackboneShape, tensors: Tensors) -> Any:
    """Return the method's settings, with the width that the tensors of a bottleneck have."""
    if found.method not in hub.PLACEMENTS:
        return found.settings
    width = max(len(one) for name, one in tensors.items() if name.endswith(".down.bias"))
    factor = hub.reduction_factor(shape.hidden_size, int(width))
    return type(found.settings).model_validate({**found.settings.model_dump(), "reduction_factor": factor})


def _measured(found: FoundAdapter) -> tuple[dict[str, float], dict[str, float]]:
    """Return what an export of ours was scored with, on validation and on test."""
    metrics = None if found.facts is None else found.facts.get("metrics")
    if not isinstance(metrics, Mapping):
        return {}, {}

    def plain(split: str) -> dict[str, float]:
        values = metrics.get(split)
        return {
            str(name): float(value)
            for name, value in (values.items() if isinstance(values, Mapping) else ())
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        }

    return plain("validation"), plain("test")


def _leading(found: FoundAdapter, known: TaskDefinition | None, validation: Mapping[str, float]) -> str:
    if found.answers is not None and found.answers.metric:
        return found.answers.metric
    return known.metrics[0] if known is not None else next(iter(validation), "")


def _task_facts(
    found: FoundAdapter,
    task: str,
    known: TaskDefinition | None,
    labels: tuple[str, ...],
    metric: str,
    outputs: int,
) -> TaskFacts:
    """Return what is known of the task; its content is not, so its digest is of what it is called and answers."""
    if found.answers is not None:
        kind = found.answers.problem_type
    elif known is not None:
        kind = known.problem_type
    elif found.problem_type is not None:
        kind = found.problem_type
    else:
        kind = ProblemType.REGRESSION if outputs == 1 else ProblemType.CLASSIFICATION
    content = digest_of({"imported": task, "labels": list(labels), "type": str(kind), "outputs": outputs})
    return TaskFacts(task, kind, outputs, labels, (metric,), content)


def _definition(task: str) -> TaskDefinition | None:
    try:
        return task_definition(task)
    except NotFoundError:
        return None


def _made_with(found: FoundAdapter) -> str | None:
    made_with = None if found.facts is None else found.facts.get("made_with")
    if isinstance(made_with, Mapping) and _text(made_with.get("adapterlab_version")):
        return f"adapterlab {made_with['adapterlab_version']}"
    return found.made_with


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 200 else None
