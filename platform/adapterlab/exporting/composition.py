"""From references to a module: adapters by key, folder or tensors, on a backbone by any name.

What is combined must fit: the same backbone where both say which, else its architecture, depth and
width; one adapter method for all, under settings that can share a pool.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterlab.catalog.store import Catalog
from adapterlab.errors import BackboneError, DataError, NotFoundError, UsageError
from adapterlab.exporting import adapterfusion_format as fusion
from adapterlab.exporting import adapterhub as hub
from adapterlab.exporting import adapterhub_reading as reading
from adapterlab.exporting import backbone_references as backbones
from adapterlab.exporting.adapter_folder import FolderAdapter, bottleneck_settings, digest_in
from adapterlab.exporting.foreign_adapter import read_foreign, weights_in
from adapterlab.exporting.stored_models import open_trained
from adapterlab.given_files import is_folder, shortened
from adapterlab.records import BackboneShape
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import AdapterMethod
from adapterlab.train import compose as engine
from adapterlab.train.combination import combiner_layer
from adapterlab.train.layers import Backbone, Tensors
from adapterlab.train.pooling import adopted, check_adapter
from adapterlab.train.tensor_files import check_model, checked_tensors

if TYPE_CHECKING:
    from adapterlab.train.compose import Composition

_KEY = re.compile(r"[0-9a-f]{4,64}")

_COMBINER = "scalearn"
"""Combines where neither the caller nor a folder says what does."""

AdapterReference = str | Path | Mapping[str, Any]
"""A key of the catalog, a folder, or tensors by name."""


@dataclass(frozen=True)
class _Source:
    """One resolved adapter."""

    name: str
    """Named in errors."""
    method: str
    settings: Any
    """Of its method, validated."""
    tensors: Tensors
    architectures: tuple[str, ...] = ()
    """Values of ``model_type`` it was made for; empty: not known."""
    backbone_digest: str | None = None


@dataclass(frozen=True)
class _Base:
    """The backbone, with what is known of its origin."""

    backbone: Backbone
    architecture: str
    digest: str | None
    name: str

    @property
    def shape(self) -> BackboneShape:
        return self.backbone.shape


def compose(
    backbone: Any,
    adapters: AdapterReference | Sequence[AdapterReference] | Mapping[str, AdapterReference],
    combiner: str | None,
    coefficients: Any,
    dtype: Any,
    *,
    open_catalog: Callable[[], Catalog],
    cache: Path,
) -> Composition:
    """Return a backbone with combined adapters as a module; see :func:`adapterlab.api.compose`."""
    fused = _fusion(adapters)
    if fused is None:
        references = _listed(adapters)
        base = _base(backbone, dtype, cache)
        sources = [_resolve(name, reference, base, open_catalog) for name, reference in references]
        names = [name for name, _ in references]
    else:
        if combiner not in (None, fusion.COMBINER) or coefficients is not None:
            raise UsageError(
                f"{fused.folder} is a fusion, which has its combiner and its tensors",
                remedy="Leave out combiner and coefficients, or name the folders of its adapters.",
            )
        combiner, coefficients = fusion.COMBINER, fused.fusion.tensors
        base = _base(backbone, dtype, cache)
        sources = [_of_read(one, fused.facts) for one in fused.sources]
        names = list(fused.fusion.names)
    plugin = entry_points.combiner(combiner or _COMBINER)
    for source in sources:
        _check_fits(source, base)
    method, settings = _shared(sources)
    each = [(source.settings, source.tensors) for source in sources]
    return engine.compose(
        base.backbone,
        method.layer(settings, base.shape),
        adopted(method, settings, each, base.shape),
        combiner_layer(plugin, plugin.settings(), method.pool(settings, base.shape, len(sources))),
        coefficients,
        names=names,
    )


def _fusion(adapters: Any) -> fusion.FolderSetup | None:
    """Return the fusion that a single folder is, with its adapters; ``None``: it is none."""
    alone = adapters[0] if isinstance(adapters, list | tuple) and len(adapters) == 1 else adapters
    if not isinstance(alone, str | Path) or not alone:
        return None
    folder = Path(os.path.expanduser(alone))  # noqa: PTH111
    return fusion.read_setup(folder) if is_folder(folder) and fusion.is_setup(folder) else None


def _listed(
    adapters: AdapterReference | Sequence[AdapterReference] | Mapping[str, AdapterReference],
) -> list[tuple[str, AdapterReference]]:
    if isinstance(adapters, Mapping):
        found = [(str(name), one) for name, one in adapters.items()]
        if found and all(hasattr(one, "shape") for _, one in found):
            raise UsageError("adapters: got the tensors of one adapter", remedy="Write adapters=[tensors].")
    elif isinstance(adapters, str | Path):
        raise UsageError("adapters: expected a list", remedy=f"Write adapters=[{str(adapters)!r}].")
    else:
        found = [(f"adapter {number}", one) for number, one in enumerate(adapters)]
    if not found:
        raise UsageError("adapters: the pool is empty, expected at least one")
    return found


# -- the backbone -----------------------------------------------------------------------------------


def _base(backbone: Any, dtype: Any, cache: Path) -> _Base:
    if isinstance(backbone, str | Path):
        facts = backbones.locate(backbone, cache=cache, texts=False)
        loaded = backbones.load(facts, dtype=dtype)
        return _Base(loaded, str(facts.architecture), facts.weights_digest, facts.source)
    config = getattr(backbone, "config", None)
    architecture = getattr(config, "model_type", None)
    if not isinstance(architecture, str) or not hasattr(backbone, "state_dict"):
        raise UsageError(
            f"backbone: got {type(backbone).__name__}, expected a folder, a source or a loaded PreTrainedModel"
        )
    family = entry_points.backbone_family(architecture)
    own = {name: tensor for name, tensor in backbone.state_dict().items() if family.holds(name)}
    check_model(own or backbone.state_dict(), type(backbone).__name__)
    return _Base(family.from_model(backbone, dtype=dtype), architecture, None, type(backbone).__name__)


# -- one adapter ------------------------------------------------------------------------------------


def _resolve(
    name: str, reference: AdapterReference, base: _Base, open_catalog: Callable[[], Catalog]
) -> _Source:
    if isinstance(reference, Mapping):
        return _from_tensors(name, reference, base)
    folder = Path(os.path.expanduser(reference))  # noqa: PTH111
    if reference and is_folder(folder):
        return _from_folder(folder, base)
    if isinstance(reference, str) and _KEY.fullmatch(reference):
        return _from_catalog(reference, base, open_catalog)
    raise NotFoundError(
        f"{name}: no folder {shortened(str(reference))!r}, and no key of the catalog",
        remedy="`platform catalog list` shows the keys.",
    )


def _from_folder(folder: Path, base: _Base) -> _Source:
    if fusion.is_setup(folder):
        raise UsageError(
            f"{folder} is a fusion of several adapters, not one of a pool",
            remedy="Compose it alone, or name the folders of its adapters.",
        )
    read = read_foreign(folder)
    if not entry_points.adapter_method(read.method).combinable:
        raise UsageError(
            f"{folder} is an adapter of {read.method}, which cannot be combined with others",
            remedy="`platform predict` and `adapterlab.predict` run it.",
        )
    own = _Source(str(folder), read.method, read.settings, {}, read.architectures, read.backbone_digest)
    _check_origin(own, base)  # before its tensors are asked for, which takes the backbone's shape
    if read.hidden_size not in (None, base.shape.hidden_size):
        raise BackboneError(
            f"{folder} was made for a hidden size of {read.hidden_size}, {base.name} has {base.shape.hidden_size}"
        )
    return replace(own, tensors=read.adapter(base.shape, weights_in(base.backbone)))


def _of_read(read: FolderAdapter, facts: Mapping[str, Any] | None = None) -> _Source:
    """Return an adapter of a setup; ``facts`` are the setup's."""
    return _Source(
        name=str(read.folder),
        method=read.described.method,
        settings=bottleneck_settings([read]),
        tensors=read.tensors,
        architectures=(read.described.architecture,),
        backbone_digest=read.backbone_digest or digest_in(facts),
    )


def _from_catalog(key: str, base: _Base, open_catalog: Callable[[], Catalog]) -> _Source:
    with open_catalog() as catalog:
        trained = open_trained(catalog, key)
    name = f"{trained.kind} {trained.record.key[:12]}"
    if trained.folds_into is None:
        raise UsageError(
            f"{name} is made of {trained.method} adapters, which fold into no single adapter",
            remedy="Only what is, or folds into, a bottleneck or a LoRA can be composed.",
        )
    digest = trained.record.backbone_digest
    own = _Source(name, trained.method, trained.method_settings, trained.adapters[0], (), digest)
    _check_fits(own, base)  # before folding, which takes the backbone's shape
    method, settings = trained.folds_into
    return _Source(name, method, settings, trained.folded(base.shape).tensors, (), digest)


def _from_tensors(name: str, tensors: Mapping[str, Any], base: _Base) -> _Source:
    """Take an adapter's tensors under our names, or a state dict under AdapterHub's."""
    default = entry_points.adapter_method(hub.METHOD).settings()
    checked = checked_tensors(name, tensors)
    theirs = reading.adapter_name(checked)
    if theirs is None:
        return _Source(name, hub.METHOD, default, checked)
    described = reading.of_state_dict(checked, theirs, base.architecture, base.shape.hidden_size)
    ours = reading.our_tensors(checked, described, name)
    return _Source(name, hub.METHOD, default, ours, (base.architecture,))


def _check_origin(source: _Source, base: _Base) -> None:
    """Check what is known of where it comes from; its tensors are not looked at."""
    digests = source.backbone_digest, base.digest
    if None not in digests and digests[0] != digests[1]:
        raise BackboneError(
            f"{source.name} was trained on a backbone with sha256 {digests[0]}, but {base.name} has {digests[1]}",
            remedy="An adapter fits the very backbone it was trained on, and no other.",
        )
    if source.architectures and base.architecture not in source.architectures:
        raise BackboneError(
            f"{source.name} was made for a {' or '.join(source.architectures)} model, but {base.name} is "
            f"{base.architecture}"
        )


def _check_fits(source: _Source, base: _Base) -> None:
    _check_origin(source, base)
    if source.method in hub.PLACEMENTS:
        reading.check_tensors(
            source.tensors, base.shape.layers, base.shape.hidden_size, source.name, source.method
        )
    else:
        method = entry_points.adapter_method(source.method)
        check_adapter(method, source.settings, source.tensors, base.shape, source.name)


def _shared(sources: Sequence[_Source]) -> tuple[AdapterMethod, Any]:
    """Return the method of all sources, and the settings they share a pool under.

    Raises:
        DataError: They are of different methods, or of settings that cannot share a pool.
    """
    first = sources[0]
    for one in sources:
        if one.method != first.method:
            raise DataError(
                f"adapters of one pool are of one method: {first.name} is {first.method}, {one.name} is {one.method}"
            )
    method = entry_points.adapter_method(first.method)
    for one in sources:
        try:
            method.pooled([first.settings, one.settings])
        except UsageError as error:
            raise DataError(f"{first.name} and {one.name}: {error.message}") from None
    return method, method.pooled([one.settings for one in sources])
