"""Check what a spec says against the installed plug-ins: names, settings, search dimensions, and that they fit.

Works on the raw document, so that these faults are reported beside all others; parts of the wrong type are passed
over, because the spec's model refuses them already. A plug-in that raises never crashes the check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, product
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from adapterlab.errors import NotFoundError, UsageError
from adapterlab.records import ProblemType
from adapterlab.registry import entry_points
from adapterlab.registry.plugins import AdapterMethod, Combiner
from adapterlab.spec.complaints import MAX_COMPLAINTS, Complaint, complaints_of, show, suggest
from adapterlab.spec.joint_checks import MT_A, is_joint, joint_complaints
from adapterlab.spec.look_up import broken, hint_of, look_up
from adapterlab.spec.model import AUTO, AdapterSpec, CombinerSpec, PoolSpec, Spec
from adapterlab.spec.positions import Path
from adapterlab.spec.range_checks import grid_complaints, pool_complaints, settings_complaints
from adapterlab.spec.ranges import is_space, settings_at_first
from adapterlab.spec.search_space import (
    COMBINER,
    OF_EVERY_COMBINER,
    SOURCE_HEAD,
    bounds_of,
    parse_dimension,
    parse_space,
    space_words,
    takes,
)
from adapterlab.spec.selection import MEASURED, possible_choices
from adapterlab.spec.selection_checks import selection_complaints


def plugin_complaints(document: Mapping[str, Any]) -> list[Complaint]:
    """Return what is wrong with a document's tasks, adapter method and combiners."""
    found: list[Complaint] = []
    for some in (_own_tasks(document), _tasks(document, "pool"), _tasks(document, "targets")):
        found += islice(some, MAX_COMPLAINTS)  # each looks for the nearest name, which takes milliseconds
    adapter = _table(document, "adapter")
    method = adapter.get("method", AdapterSpec.model_fields["method"].default)
    if isinstance(method, str):
        found += _plugin(("adapter", "method"), method, adapter, entry_points.adapter_method)
    found += _baselines(document)
    found += grid_complaints(document)
    found += joint_complaints(document)
    found += _per_task(document)
    found += _per_source(document)
    found += _sizes(document)
    found += selection_complaints(document)
    found += _combiners(document)
    found += _start_from(document)
    found += _heads(document)
    found += _pooled(document)
    return list(dict.fromkeys(found))


def overlap_warnings(spec: Spec) -> tuple[str, ...]:
    """Return one sentence for each target whose pool holds tasks that share rows or texts with it.

    A target's own source is no overlap: it is trained on the target's train split alone.
    """
    warnings = []
    for target in spec.targets.tasks:
        shared = [source for source in spec.pool_for(target) if source != target and _overlap(source, target)]
        if shared:
            warnings.append(
                f"{target} shares rows or texts with {_and(shared)} in its pool: "
                "what it gains may be what they have seen of it"
            )
    return tuple(warnings)


def _heads(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check the heads that a document's own tasks name."""
    listed = document.get("task")
    for number, table in enumerate(listed if isinstance(listed, list) else ()):
        name = table.get("head") if isinstance(table, dict) else None
        kind = table.get("type", "classification") if isinstance(table, dict) else None
        if not isinstance(name, str):
            continue
        path: Path = ("task", number, "head")
        if kind not in set(ProblemType):  # complained of already; the name still counts
            plugin = look_up(path, name, entry_points.head)
            if isinstance(plugin, Complaint):
                yield plugin
            continue
        labels = table.get("labels")
        outputs = len(labels) if isinstance(labels, list) and labels else None
        yield from _head(path, name, ProblemType(kind), outputs, str(table.get("name")))


def _head(path: Path, name: str, kind: ProblemType, outputs: int | None, task: str) -> Iterator[Complaint]:
    """Check that a head can answer a task; a regression and a choice ask for one number whatever is listed."""
    if kind in (ProblemType.REGRESSION, ProblemType.MULTIPLE_CHOICE):
        outputs = 1

    def get(named: str) -> Any:
        return entry_points.head_for(named, kind, outputs, task=task)

    found = look_up(path, name, get)
    if isinstance(found, Complaint):
        yield found


# -- methods ----------------------------------------------------------------------------------------


def _baselines(document: Mapping[str, Any]) -> Iterator[Complaint]:
    listed = document.get("baseline")
    kinds = {kind for _, kind in _kinds(_table(document, "combiner"))}
    for number, table in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(table, dict) and isinstance(table.get("method"), str):
            path: Path = ("baseline", number, "method")
            yield from _plugin(path, table["method"], table, entry_points.adapter_method)
            label = table.get("name", table["method"])
            of_it = (table, _table(table, "settings"))
            searched = isinstance(label, str) and label in kinds
            if searched and any(is_space(value) for one in of_it for value in one.values()):
                yield Complaint(
                    ("baseline", number, "name" if "name" in table else "method"),
                    "value",
                    f'a baseline that is searched cannot be called "{label}", as a combiner is: each is a study',
                    "give it another name",
                )


def _plugin(path: Path, name: str, table: Mapping[str, Any], get: Callable[[str], Any]) -> list[Complaint]:
    """Check a plug-in's name and the settings beside it."""
    if (
        path[-1] == "method"
        and is_joint(name)
        and name not in entry_points.names(entry_points.ADAPTER_METHODS)
    ):
        called = 'method = "adapter_m", name = "mt_a"' if name == MT_A else f'method = "{name}"'
        return [
            Complaint(
                path,
                "value",
                f'"{name}" trains one model on several tasks at once, which is a joint run',
                f"write it as [[joint.run]] with {called}",
            )
        ]
    plugin = look_up(path, name, get)
    if isinstance(plugin, Complaint):
        return [plugin]
    model: type[BaseModel] = plugin.settings
    settings = table.get("settings", {})
    return (
        settings_complaints(model, settings, (*path[:-1], "settings")) if isinstance(settings, dict) else []
    )


# -- combiners --------------------------------------------------------------------------------------


def _combiners(document: Mapping[str, Any]) -> Iterator[Complaint]:
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
    known = (*plugin.dimensions, *plugin.optional, *OF_EVERY_COMBINER)
    for name in own:
        if name not in known:
            near = suggest(name, known)
            hint = f'did you mean "{near}"?' if near else f"it has {', '.join(known)}"
            yield Complaint((*path, name), "key", f"{kind} has no dimension {name!r}", hint)
    yield from _limits(plugin, kind, own, path)
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


def _start_from(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check the settings a search starts from; the sweeps and studies are looked for by the plan."""
    search = _table(document, "search")
    written = search.get("start_from", [])
    listed = isinstance(written, list)
    starts: list[tuple[Path, Any]] = [(("search", "start_from"), written)]
    if listed:
        starts = [(("search", "start_from", number), one) for number, one in enumerate(written)]
    trials, tables = search.get("trials"), sum(isinstance(one, dict) for _, one in starts)
    if isinstance(trials, int) and tables > trials:
        yield Complaint(
            ("search", "start_from"),
            "value",
            f"search.start_from: {tables} settings, but {trials} trials to try them",
        )
    for path, one in starts:
        if isinstance(one, dict):
            yield from _start(path, one, document)
        elif one == document.get("name"):
            hint = "name an earlier sweep, this one's earlier self by its key (`platform status` shows keys)"
            yield Complaint(
                path, "value", f"search.start_from: a sweep cannot start from itself, got {one!r}", hint
            )


def _start(path: Path, setting: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check one setting against every combiner it is for."""
    combiner = _table(document, "combiner")
    kinds = list(dict.fromkeys(kind for _, kind in _kinds(combiner)))
    chosen = setting.get(COMBINER)
    if chosen is None and "among" in combiner:
        yield Complaint(
            path,
            "value",
            'search.start_from: kind = "auto" chooses the combiner, so a setting has to name one',
            f'write combiner = "{kinds[0]}" into it' if kinds else None,
        )
        return
    if chosen is not None and chosen not in kinds:
        near = suggest(chosen, kinds) if isinstance(chosen, str) else None
        hint = f'did you mean "{near}"?' if near else f"it has {', '.join(kinds)}"
        yield Complaint((*path, COMBINER), "value", f"{chosen!r} is none of this spec's combiners", hint)
        return
    spaces = {}
    for kind in kinds if chosen is None else [chosen]:
        plugin = look_up(path, kind, entry_points.combiner)
        if isinstance(plugin, Complaint):
            return  # complained of already
        spaces[kind] = _spaces(plugin, kind, document)
    known = sorted({name for one in spaces.values() for name in one})
    for name, value in setting.items():
        if name == COMBINER:
            continue
        if name not in known:
            near = suggest(name, known)
            hint = f'did you mean "{near}"?' if near else f"known here: {', '.join(known)}"
            yield Complaint((*path, name), "key", f"no combiner here has a dimension {name!r}", hint)
            continue
        for kind, dimensions in spaces.items():
            fault = _outside(dimensions.get(name), value)
            if fault is not None:
                whose = (
                    None
                    if len(spaces) == 1
                    else f'say whose it is with combiner = "..." if it is not {kind}\'s'
                )
                yield Complaint((*path, name), "value", f"{name} of {kind} {fault}", whose)
                break


def _spaces(plugin: Combiner, kind: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a combiner's dimensions as they are written, see :func:`adapterlab.spec.studies.study_plans`."""
    own = _table(_own(_table(document, "combiner"), kind), "transfer")
    training = {**_table(document, "transfer"), **own}
    written = {**_table(document, "search"), **_table(_own(_table(document, "combiner"), kind), "search")}
    optional = [name for name in (*OF_EVERY_COMBINER, *plugin.optional) if name in written]
    dimensions = {**plugin.dimensions, **dict.fromkeys(optional)}
    found = {name: written.get(name, default) for name, default in dimensions.items()}
    return found | {name: value for name, value in training.items() if is_space(value)}


def _outside(written: Any, value: Any) -> str | None:
    """Return why a dimension cannot take a value; ``None``: it can, or what is written is no dimension."""
    if written is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"is a number, got {show(value)}"
    try:
        space = parse_dimension(written)
    except ValidationError:
        return None  # the model refuses it
    return None if takes(space, float(value)) else f"is searched in {space_words(space)}, got {show(value)}"


def _limits(plugin: Combiner, kind: str, own: Mapping[str, Any], path: Path) -> Iterator[Complaint]:
    """Check that what a spec searches makes sense to the combiner."""
    for name, (least, greatest) in plugin.limits.items():
        try:
            low, high = bounds_of(parse_space(own[name]))
        except (KeyError, ValueError):
            continue  # not written, or complained of already
        if low < least or high > greatest:
            wrong = low if low < least else high
            yield Complaint(
                (*path, name),
                "value",
                f"{name} of {kind} lies between {least:g} and {greatest:g}, got {wrong:g}",
                None,
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
    yield from _starts(plugin, kind, document)
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
    yield from _misfit(plugin, kind, path, document, [point for _, point in points])


def _misfit(
    plugin: Combiner, kind: str, path: Path, document: Mapping[str, Any], settings: Sequence[BaseModel]
) -> Iterator[Complaint]:
    """Check that a combiner takes adapters of the pool's method; those that exist are the plan's to check."""
    adapter = _table(document, "adapter")
    name = adapter.get("method", AdapterSpec.model_fields["method"].default)
    if not isinstance(name, str) or not _table(document, "pool").get("tasks"):
        return
    method = look_up(("adapter", "method"), name, entry_points.adapter_method)
    if isinstance(method, Complaint):
        return
    try:
        each = [method.settings.model_validate(settings_at_first(_table(adapter, "settings")))]
    except (ValidationError, ValueError, OverflowError):
        return  # complained of already
    for point in settings:
        fault = plugin.misfit(point, method, each, None)
        if fault:
            yield Complaint(path, "value", f"{kind}: {fault}", "take another combiner, or another method")
            return


def _starts(plugin: Combiner, kind: str, document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that what starts at the target's own adapter has one, target by target."""
    own = _table(_own(_table(document, "combiner"), kind), "search")
    without = [target for target, pool in _pools(document) if target not in pool]
    for name in sorted({SOURCE_HEAD, *plugin.of_target} if without else ()):
        here: Path = ("combiner", "per_kind", kind, "search", name) if name in own else ("search", name)
        try:
            space = parse_space(own.get(name, _table(document, "search").get(name, 0.0)))
        except ValidationError:
            continue  # complained of already
        if bounds_of(space)[1] > 0:
            yield Complaint(
                here,
                "value",
                f"{name} starts {kind} at the target's own adapter, and the pool of {without[0]} has none",
                'add it to pool.tasks, and keep pool.target = "include"',
            )


def _combinable(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that the pool's adapters can be combined at all."""
    method = _table(document, "adapter").get("method", AdapterSpec.model_fields["method"].default)
    plugin = (
        look_up(("adapter", "method"), method, entry_points.adapter_method)
        if isinstance(method, str)
        else None
    )
    if plugin is None or isinstance(plugin, Complaint):
        return
    remedy = "train it as a [[baseline]], and let the pool be of another method"
    if not plugin.combinable:
        said = f"adapters of {method} cannot be combined: their output has no linear last factor"
        yield Complaint(("adapter", "method"), "value", said, remedy)
        return
    with suppress(ValidationError):  # of settings that are wrong themselves others complain
        try:
            plugin.pooled(
                [
                    plugin.settings.model_validate(
                        settings_at_first(_table(_table(document, "adapter"), "settings"))
                    )
                ]
            )
        except UsageError as error:
            yield Complaint(("adapter", "settings"), "value", error.message, remedy)


def _pooled(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that adapters whose settings are searched can share a pool."""
    adapter = _table(document, "adapter")
    name = adapter.get("method", AdapterSpec.model_fields["method"].default)
    method = (
        look_up(("adapter", "method"), name, entry_points.adapter_method) if isinstance(name, str) else None
    )
    if isinstance(method, AdapterMethod) and next(_kinds(_table(document, "combiner")), None):
        yield from pool_complaints(method, _table(adapter, "settings"))


def _pools(document: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return each target with its source tasks in coefficient order, as :meth:`Spec.pool_for` does."""
    pool, targets = _table(document, "pool"), _table(document, "targets").get("tasks")
    tasks = pool.get("tasks")
    if "adapter" in pool or "query" in pool:
        return  # what they are is known once they are read; the plan checks it
    if not isinstance(tasks, list) or not isinstance(targets, list):
        return
    for target in targets:
        others = tuple(task for task in tasks if task != target)
        own = (target,) if pool.get("target", "include") == "include" and target in tasks else ()
        for chosen in _of_sizes(pool, target, others, own):
            yield target, (*chosen, *own)


def _of_sizes(
    pool: Mapping[str, Any], target: str, others: tuple[str, ...], own: tuple[str, ...]
) -> Iterator[Sequence[str]]:
    """Return what pools of every size may take; all there are where that is not known, or complained of already."""
    try:
        read = PoolSpec.model_validate(dict(pool))
        for size, rule in product(read.sizes, read.rules):
            taken = read.chosen(target, others, len(own), size, rule)
            if size is not None and rule in MEASURED:
                yield from possible_choices(taken, size - len(own))
            else:
                yield taken
    except ValueError:
        yield others


def _sizes(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that every target has as many sources as its pool is to have."""
    pool = _table(document, "pool")
    for target, whole in _pools({**document, "pool": {**pool, "size": None}}):
        own = int(target in whole)
        try:
            read = PoolSpec.model_validate(dict(pool))
            for size in read.sizes:
                read.chosen(target, [task for task in whole if task != target], own, size)
        except ValidationError:
            return  # complained of already
        except ValueError as error:
            hint = "a size counts the target's own, where pool.target includes it"
            yield Complaint(("pool", "size"), "value", f"pool.size: {error}", hint)
            return


# -- tasks ------------------------------------------------------------------------------------------


def _tasks(document: Mapping[str, Any], table: str) -> Iterator[Complaint]:
    tasks, declared = _table(document, table).get("tasks"), _own_task_numbers(document)
    for number, task in enumerate(tasks if isinstance(tasks, list) else ()):
        yield from _task((table, "tasks", number), task, declared, "value")


def _per_task(document: Mapping[str, Any]) -> Iterator[Complaint]:
    for task in _table(document, "per_task"):
        yield from _task(("per_task", task), task, _own_task_numbers(document), "key")


def _per_source(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that what is said of single sources is said of tasks whose adapters are trained for the pool."""
    trained = _table(document, "pool").get("tasks")
    if not isinstance(trained, list):
        return
    names = [task for task in trained if isinstance(task, str)]
    for task in _table(document, "per_source"):
        if task not in names:
            near = suggest(task, names)
            said = (
                f"per_source: {task} is none of pool.tasks, so that no adapter of it is trained for the pool"
            )
            yield Complaint(
                ("per_source", task),
                "key",
                said,
                f'did you mean "{near}"?' if near else "add it to pool.tasks",
            )


def _task(
    path: Path, task: Any, declared: Mapping[str, int], kind: Literal["key", "value"]
) -> Iterator[Complaint]:
    if not isinstance(task, str) or "/" not in task or task in declared:
        return
    try:
        definition = entry_points.task_definition(task)
    except NotFoundError as error:
        near = suggest(task, declared)
        hint = f'did you mean "{near}"?' if near else _near_task(task) or hint_of(error)
        yield Complaint(path, kind, error.message, hint)
    except Exception as error:  # noqa: BLE001  a plug-in is somebody else's code
        yield broken(path, task, error)
    else:
        if kind == "value":
            outputs = len(definition.labels) or None
            yield from _head(path, definition.head, definition.problem_type, outputs, task)


def _own_task_numbers(document: Mapping[str, Any]) -> dict[str, int]:
    """Return the document's own tasks by name, with their number."""
    tasks = document.get("task", [])
    tables = tasks if isinstance(tasks, list) else []
    named = [(number, task.get("name")) for number, task in enumerate(tables) if isinstance(task, dict)]
    return {name: number for number, name in named if isinstance(name, str)}


def _own_tasks(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Refuse tasks under the name of an installed benchmark: which of the two is meant would be a guess."""
    known = entry_points.names(entry_points.TASK_SUITES)
    for name, number in _own_task_numbers(document).items():
        benchmark = name.partition("/")[0]
        if benchmark in known:
            yield Complaint(
                ("task", number, "name"),
                "value",
                f'task[{number}].name: "{benchmark}" is an installed benchmark, got "{name}"',
                f'name it for yourself: "mine/{name.partition("/")[2]}"',
            )


def _near_task(task: str) -> str | None:
    """Look over all benchmarks, for a task that was put under the wrong one."""
    benchmark, _, short = task.partition("/")
    known = entry_points.names(entry_points.TASK_SUITES)
    if benchmark in known:
        return None
    near = suggest(benchmark, known)
    return f'did you mean "{near}/{short}"?' if near else None


def _overlap(one: str, other: str) -> bool:
    return other in _overlaps_of(one) or one in _overlaps_of(other)


def _overlaps_of(task: str) -> tuple[str, ...]:
    try:
        return entry_points.task_definition(task).overlaps
    except NotFoundError:
        return ()  # declared in the spec itself


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _own(combiner: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return _table(_table(combiner, "per_kind"), kind)


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name, {})
    return table if isinstance(table, Mapping) else {}
