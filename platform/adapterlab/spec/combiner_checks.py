"""Check what a spec says of its combiners: names, settings, dimensions, and that they fit each pool.

Works on the raw document, so that these faults are reported beside all others; parts of the wrong type
are passed over, because the spec's model refuses them already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from adapterlab.registry import entry_points
from adapterlab.registry.plugins import Combiner
from adapterlab.spec.complaints import Complaint, complaints_of, suggest
from adapterlab.spec.model import AUTO, CombinerSpec
from adapterlab.spec.plugin_lookup import look_up
from adapterlab.spec.positions import Path


def combiner_complaints(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Return what is wrong with a document's combiners."""
    combiner = _table(document, "combiner")
    for path, kind in _kinds(combiner):
        plugin = look_up(path, kind, entry_points.combiner)
        if isinstance(plugin, Complaint):
            yield plugin
            continue
        yield from _settings(plugin, kind, combiner)
        yield from _dimensions(plugin, kind, document)
        yield from _fit(plugin, kind, path, document)
    yield from _combinable(document)


def _kinds(combiner: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Return where each combiner is named, and its name."""
    kinds = combiner.get("kind", CombinerSpec.model_fields["kind"].default)
    named: list[tuple[Path, Any]] = [(("combiner", "kind"), kinds)]
    if isinstance(kinds, list):
        named = [(("combiner", "kind", number), kind) for number, kind in enumerate(kinds)]
    among = combiner.get("among")
    if isinstance(among, list):
        named += [(("combiner", "among", number), kind) for number, kind in enumerate(among)]
    yield from ((path, kind) for path, kind in named if isinstance(kind, str) and kind != AUTO)


def _settings(plugin: Combiner, kind: str, combiner: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check the settings all share with what a combiner has of its own put over them."""
    shared, own = _table(combiner, "settings"), _table(_own(combiner, kind), "settings")
    here: Path = ("combiner", "per_kind", kind, "settings")
    found = (complaints_of(plugin.settings, {**shared, **own}, root) for root in (here, here[:1] + here[3:]))
    for at_own, at_shared in zip(*found, strict=True):
        first = at_own.path[len(here)] if len(at_own.path) > len(here) else None
        yield at_own if first in own or (first is None and own) else at_shared


def _dimensions(plugin: Combiner, kind: str, document: Mapping[str, Any]) -> Iterator[Complaint]:
    own = _table(_own(_table(document, "combiner"), kind), "search")
    path: Path = ("combiner", "per_kind", kind, "search")
    known = tuple(plugin.dimensions)
    for name in own:
        if name not in known:
            near = suggest(name, known)
            hint = f'did you mean "{near}"?' if near else f"it has {', '.join(known)}"
            yield Complaint((*path, name), "key", f"{kind} has no dimension {name!r}", hint)
    search = _table(document, "search")
    if search.get("sampler") != "grid":
        return
    for name, default in plugin.dimensions.items():
        # What stands under [search] itself is the model's to check.
        space = own.get(name, default if name not in search else None)
        if isinstance(space, Mapping) and "low" in space:
            yield Complaint(
                ("search", "sampler"),
                "value",
                f'sampler = "grid" needs choices or fixed values, not ranges; {name} of {kind} is one',
                f"write {name} = {{ choices = [...] }} under [search]",
            )


def _fit(plugin: Combiner, kind: str, path: Path, document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check grids and pools, which needs settings that are valid."""
    combiner = _table(document, "combiner")
    written = {**_table(combiner, "settings"), **_table(_own(combiner, kind), "settings")}
    try:
        settings = plugin.settings.model_validate(written)
    except (ValidationError, ValueError, OverflowError):
        return  # complained of already
    points = plugin.points(settings)
    if path[1] == "among" and len(points) > 1:
        yield Complaint(
            path, "value", f"a grid of {kind} is {len(points)} studies, it cannot be among auto's"
        )
    for target, pool in _pools(document):
        faults = (plugin.complaint(point, pool, target) for _, point in points)
        fault = next((one for one in faults if one), None)
        if fault:
            hint = 'add it to pool.tasks, and keep pool.target = "include"'
            yield Complaint(path, "value", f"{kind}: {fault}", hint)


def _combinable(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that the pool's adapters can be combined at all."""
    method = _table(document, "adapter").get("method")
    if not isinstance(method, str):
        return
    plugin = look_up(("adapter", "method"), method, entry_points.adapter_method)
    if not isinstance(plugin, Complaint) and not plugin.combinable:
        yield Complaint(
            ("adapter", "method"),
            "value",
            f"adapters of {method} cannot be combined: their output has no linear last factor",
            "train it as a [[baseline]], and let the pool be of another method",
        )


def _pools(document: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return each target with its source tasks in coefficient order, as :meth:`Spec.pool_for` does."""
    pool, targets = _table(document, "pool"), _table(document, "targets").get("tasks")
    tasks = pool.get("tasks")
    if not isinstance(tasks, list) or not isinstance(targets, list):
        return
    for target in targets:
        others = tuple(task for task in tasks if task != target)
        included = pool.get("target", "include") == "include" and target in tasks
        yield target, (*others, target) if included else others


def _own(combiner: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return _table(_table(combiner, "per_kind"), kind)


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name, {})
    return table if isinstance(table, Mapping) else {}
