"""Check what a spec says of plug-ins: their names exist, their settings fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from adapterlab.errors import NotFoundError
from adapterlab.registry import entry_points
from adapterlab.spec.combiner_checks import combiner_complaints
from adapterlab.spec.complaints import Complaint, complaints_of, suggest
from adapterlab.spec.model import AdapterSpec
from adapterlab.spec.plugin_lookup import broken, hint_of, look_up
from adapterlab.spec.positions import Path

JOINT = ("full_m", "adapter_m", "propetl_m", "hyperformer", "hyperformer_pp", "mt_a")
"""Methods of the papers' tables that train one model on all targets at once: there is no such step yet."""


def plugin_complaints(document: dict[str, Any]) -> list[Complaint]:
    """Return what is wrong with a document's tasks, adapter method and combiners.

    Works on the raw document, so that these faults are reported beside all others; parts of the
    wrong type are passed over, because the spec's model refuses them already.
    """
    found = [*_own_tasks(document), *_tasks(document, "pool"), *_tasks(document, "targets")]
    adapter = _table(document, "adapter")
    method = adapter.get("method", AdapterSpec.model_fields["method"].default)
    if isinstance(method, str):
        found += _plugin(("adapter", "method"), method, adapter, entry_points.adapter_method)
    found += _baselines(document)
    found += _per_task(document)
    found += combiner_complaints(document)
    return list(dict.fromkeys(found))


def _baselines(document: dict[str, Any]) -> Iterator[Complaint]:
    listed = document.get("baseline")
    for number, table in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(table, dict) and isinstance(table.get("method"), str):
            path: Path = ("baseline", number, "method")
            yield from _plugin(path, table["method"], table, entry_points.adapter_method)


def _plugin(path: Path, name: str, table: dict[str, Any], get: Callable[[str], Any]) -> list[Complaint]:
    """Check a plug-in's name and the settings beside it."""
    if (
        name in JOINT
        and path[-1] == "method"
        and name not in entry_points.names(entry_points.ADAPTER_METHODS)
    ):
        return [
            Complaint(
                path,
                "value",
                f'"{name}" trains one model on all targets jointly; joint multi-task training is not built yet',
                "take it out; the other rows of the table do not depend on it",
            )
        ]
    plugin = look_up(path, name, get)
    if isinstance(plugin, Complaint):
        return [plugin]
    model: type[BaseModel] = plugin.settings
    settings = table.get("settings", {})
    return complaints_of(model, settings, (*path[:-1], "settings")) if isinstance(settings, dict) else []


def _tasks(document: dict[str, Any], table: str) -> Iterator[Complaint]:
    tasks, declared = _table(document, table).get("tasks"), _declared(document)
    for number, task in enumerate(tasks if isinstance(tasks, list) else ()):
        yield from _task((table, "tasks", number), task, declared, "value")


def _per_task(document: dict[str, Any]) -> Iterator[Complaint]:
    for task in _table(document, "per_task"):
        yield from _task(("per_task", task), task, _declared(document), "key")


def _task(
    path: Path, task: Any, declared: Mapping[str, int], kind: Literal["key", "value"]
) -> Iterator[Complaint]:
    if not isinstance(task, str) or "/" not in task or task in declared:
        return
    try:
        entry_points.task_definition(task)
    except NotFoundError as error:
        near = suggest(task, declared)
        hint = f'did you mean "{near}"?' if near else _near_task(task) or hint_of(error)
        yield Complaint(path, kind, error.message, hint)
    except Exception as error:  # noqa: BLE001  a plug-in is somebody else's code
        yield broken(path, task, error)


def _declared(document: dict[str, Any]) -> dict[str, int]:
    """Return the document's own tasks by name, with their number."""
    tasks = document.get("task", [])
    tables = tasks if isinstance(tasks, list) else []
    named = [(number, task.get("name")) for number, task in enumerate(tables) if isinstance(task, dict)]
    return {name: number for number, name in named if isinstance(name, str)}


def _own_tasks(document: dict[str, Any]) -> Iterator[Complaint]:
    """Refuse tasks under the name of an installed benchmark: which of the two is meant would be a guess."""
    known = entry_points.names(entry_points.TASK_SUITES)
    for name, number in _declared(document).items():
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


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    return table if isinstance(table, dict) else {}
