"""The adapters of a spec's pool that exist already: found, checked against its backbone, named by their content.

A plan only looks. A submit puts those of folders and hubs into the catalog, where workers of any machine find them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from adapterlab.backbones.facts import backbone_facts
from adapterlab.catalog.presence import is_missing
from adapterlab.catalog.records import AdapterRecord
from adapterlab.errors import AdapterlabError, CorruptBlobError, NotFoundError, UnavailableError, UsageError
from adapterlab.planning.compile import pooled_recipe
from adapterlab.planning.steps import AdapterRecipe, ExistingAdapter
from adapterlab.records import BackboneFacts
from adapterlab.registry.entry_points import adapter_method
from adapterlab.spec.complaints import Complaint
from adapterlab.spec.load import LoadedSpec, refused
from adapterlab.spec.model import PoolAdapterSpec, PoolQuerySpec, Spec

if TYPE_CHECKING:
    from adapterlab.catalog.store import Catalog

_CATALOG = "catalog:"
_PAGE = 200


@dataclass
class ExistingPool:
    """What a spec's pool takes of what exists."""

    adapters: tuple[ExistingAdapter, ...] = ()
    imports: dict[str, object] = field(default_factory=dict)
    """What is to be imported, by key, before a sweep starts."""

    @property
    def unseen(self) -> tuple[str, ...]:
        """What could not be looked at, and why."""
        return tuple(one.pending_reason for one in self.adapters if one.pending_reason is not None)


def existing_pool(loaded: LoadedSpec, *, download: bool = False) -> ExistingPool:
    """Find the adapters that a spec's pool takes of what exists.

    Args:
        loaded: From :func:`adapterlab.spec.load.load_spec`.
        download: Whether to fetch what is on a hub and not in the local cache.

    Raises:
        SpecError: Some do not exist, or do not fit the backbone or each other; each is told where it stands.
        UnavailableError: The hub or the catalog cannot be reached.
    """
    spec, stores = loaded.spec, loaded.stores()
    if not spec.pool.has_existing:
        return ExistingPool()
    try:
        backbone = backbone_facts(spec.backbone, folder=loaded.folder, cache=stores.cache, download=download)
    except NotFoundError as error:
        backbone = BackboneFacts(spec.backbone.source, None, None, None, None, None, None, error.message)
    with ExitStack() as stack:
        catalog = None
        if not is_missing(stores.catalog):
            from adapterlab.catalog.store import open_existing

            catalog = open_existing(stores.catalog, stores.blobs, locks=stores.locks)
            if catalog is not None:
                stack.enter_context(catalog)
        search = _Search(loaded, backbone, catalog, download)
        return search.run()


def import_missing(loaded: LoadedSpec, pool: ExistingPool) -> ExistingPool:
    """Put what a pool takes from folders and hubs into the catalog, and check that all of it is intact.

    Raises:
        CorruptBlobError: The weights of an adapter that was not imported from its source here are damaged.
        UnavailableError: The catalog or the blob store cannot be reached.
    """
    from adapterlab.catalog.store import open_catalog
    from adapterlab.importing.adapters import Importable, store

    if not pool.adapters:
        return pool
    spec, stores = loaded.spec, loaded.stores()
    backbone = backbone_facts(spec.backbone, folder=loaded.folder, cache=stores.cache, download=True)
    with open_catalog(stores.catalog, stores.blobs, locks=stores.locks) as catalog:
        for one in pool.adapters:
            importable = pool.imports.get(str(one.key))
            if isinstance(importable, Importable):
                store(catalog, importable, backbone)
            try:
                catalog.read_weights(catalog.get_adapter(str(one.key)))
            except CorruptBlobError as error:
                if not isinstance(importable, Importable):
                    raise CorruptBlobError(
                        f"the weights of {one.source} are damaged: {error.message}",
                        remedy="Import it again, or take it out of the pool.",
                    ) from error
                store(catalog, importable, backbone)  # its row counts as not there any more
    return replace(pool, adapters=tuple(replace(one, there=True) for one in pool.adapters))


def with_keys(spec: Spec, existing: Sequence[ExistingAdapter]) -> Spec:
    """Return a spec that names what its pool takes by key, as a sweep is recorded: no path, and nothing to look up."""
    if not spec.pool.has_existing:
        return spec
    adapters = tuple(
        PoolAdapterSpec(source=f"{_CATALOG}{one.key}", task=one.task, name=one.name) for one in existing
    )
    pool = spec.pool.model_copy(update={"adapter": adapters, "query": None})
    return spec.model_copy(update={"pool": pool})


@dataclass
class _Search:
    loaded: LoadedSpec
    backbone: BackboneFacts
    catalog: Catalog | None
    download: bool

    def run(self) -> ExistingPool:
        spec = self.loaded.spec
        self.complaints: list[Complaint] = []
        self.imports: dict[str, object] = {}
        found: list[tuple[ExistingAdapter, int | None]] = []
        for number, wanted in enumerate(spec.pool.adapter):
            try:
                found.append((self._one(wanted), number))
            except UnavailableError:
                raise
            except AdapterlabError as error:
                self._complain(("pool", "adapter", number, "source"), error)
        if spec.pool.query is not None and not self.complaints:
            try:
                found += [(one, None) for one in self._asked(spec.pool.query, [one for one, _ in found])]
            except UsageError as error:
                self._complain(("pool", "query"), error)
        self._check_alike(found)
        if self.complaints:
            raise refused(self.loaded, self.complaints)
        return ExistingPool(tuple(one for one, _ in found), self.imports)

    def _complain(self, path: tuple[str | int, ...], error: AdapterlabError) -> None:
        dotted = "pool.query" if path[1] == "query" else f"pool.adapter[{path[2]}].source"
        remedy = error.remedy
        hint = f"{remedy[:1].lower()}{remedy[1:]}" if remedy else None
        kind = "key" if path[1] == "query" else "value"
        self.complaints.append(Complaint(path, kind, f"{dotted}: {error.message}", hint))  # type: ignore[arg-type]

    def _one(self, wanted: PoolAdapterSpec) -> ExistingAdapter:
        if wanted.source.startswith(_CATALOG):
            return self._kept(wanted)
        from adapterlab.importing.adapters import find_adapter, prepare
        from adapterlab.importing.sources import locate

        locks = self.loaded.stores().locks
        place = locate(
            wanted.source, relative_to=self.loaded.pool_folder, locks=locks, download=self.download
        )
        if place is None:
            name = wanted.source.removeprefix("hub:")
            reason = f"{name} is not in the local Hugging Face cache; `platform submit` fetches it"
            return self._unknown(wanted, wanted.task or "imported/adapter", reason)
        found = find_adapter(place)
        if self.backbone.folder is None or not self.backbone.resolved:
            reason = f"{wanted.source} cannot be checked: {self.backbone.pending_reason}"
            return self._unknown(wanted, wanted.task or found.task, reason)
        importable = prepare(found, self.backbone, task=wanted.task)
        there = None if self.catalog is None else self.catalog.find_adapter(importable.record.key)
        self.imports[importable.record.key] = importable
        record = there or importable.record
        task = wanted.task or record.task
        return _existing(wanted.source, record, task, wanted.name, there=there is not None)

    def _kept(self, wanted: PoolAdapterSpec) -> ExistingAdapter:
        key = wanted.source.removeprefix(_CATALOG)
        if self.catalog is None:
            raise NotFoundError(f"no record with key {key!r}: the catalog is empty")
        record = self.catalog.get_adapter(key)
        digest = self.backbone.weights_digest
        if digest is not None and record.backbone_digest != digest:
            raise NotFoundError(
                f"adapter {record.key[:12]} was trained on a backbone with sha256 {record.backbone_digest[:12]}, but "
                f"{self.backbone.source} has {digest[:12]}",
                remedy="an adapter fits the very backbone it was trained on, and no other",
            )
        return _existing(wanted.source, record, wanted.task or record.task, wanted.name, there=True)

    def _unknown(self, wanted: PoolAdapterSpec, task: str, reason: str) -> ExistingAdapter:
        return ExistingAdapter(wanted.source, task, wanted.name, None, None, pending_reason=reason)

    def _asked(self, query: PoolQuerySpec, listed: Sequence[ExistingAdapter]) -> Iterator[ExistingAdapter]:
        """Yield what a query finds, by task."""
        spec, digest = self.loaded.spec, self.backbone.weights_digest
        taken = {*spec.pool.tasks, *(one.task for one in listed)}
        chosen: dict[str, AdapterRecord] = {}
        for task in query.tasks or (None,):
            for record in self._records(query, task, digest):
                if record.task not in taken:
                    chosen.setdefault(record.task, record)
        if not chosen:
            raise UsageError(
                "the catalog has no such adapter on this backbone",
                remedy="`platform catalog list` shows what there is.",
            )
        for task in sorted(chosen):
            record = chosen[task]
            yield _existing(f"{_CATALOG}{record.key}", record, task, None, there=True)

    def _records(self, query: PoolQuerySpec, task: str | None, digest: str | None) -> Iterator[AdapterRecord]:
        if self.catalog is None or digest is None:
            return
        offset = 0
        while True:
            page = self.catalog.adapters(
                task=task,
                backbone=digest,
                method=query.method or self.loaded.spec.adapter.method,
                metric=query.metric,
                metric_min=query.min_value,
                reported=query.reported,
                tags=() if query.tag is None else (query.tag,),
                order=query.pick,
                limit=_PAGE,
                offset=offset,
            )
            yield from page
            if len(page) < _PAGE:
                return
            offset += _PAGE

    def _check_alike(self, found: Sequence[tuple[ExistingAdapter, int | None]]) -> None:
        """Complain of adapters that cannot share a pool with what is trained, or with the first that exists."""
        spec = self.loaded.spec
        keys: dict[str, str] = {}
        base, called = self._trained(spec), "what [adapter] trains"
        for one, number in found:
            path = ("pool", "query") if number is None else ("pool", "adapter", number, "source")
            if one.adapter is None or one.key is None:
                continue
            if one.key in keys:
                self._complain(path, UsageError(f"{one.source} is the same adapter as {keys[one.key]}"))
                continue
            keys[one.key] = one.source
            if base is None:
                base, called = one.adapter, one.source
                continue
            try:
                pooled_recipe([base, one.adapter])
            except UsageError as error:
                told = f"{one.source} ({one.task}) cannot share a pool with {called}: {error.message}"
                self._complain(path, UsageError(told, remedy=error.remedy or "Take adapters that are alike."))

    def _trained(self, spec: Spec) -> AdapterRecipe | None:
        if not spec.pool.tasks and "adapter" not in spec.model_fields_set:
            return None
        method = adapter_method(spec.adapter.method)
        return AdapterRecipe.of(method, method.settings.model_validate(spec.adapter.settings))


def _existing(
    source: str, record: AdapterRecord, task: str, name: str | None, *, there: bool
) -> ExistingAdapter:
    method = adapter_method(record.method)
    own = record.settings.get("adapter")
    settings = method.settings.model_validate(own if isinstance(own, Mapping) else {})
    return ExistingAdapter(
        source=source,
        task=task,
        name=name,
        key=record.key,
        adapter=AdapterRecipe.of(method, settings),
        there=there,
        task_digest=record.task_digest if record.origin is None else None,
    )
