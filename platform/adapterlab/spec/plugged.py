"""Check what a spec says of plug-ins: their names exist, their settings fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from adapterlab.errors import NotFoundError
from adapterlab.registry import entry_points
from adapterlab.spec.model import AdapterSpec, CombinerSpec
from adapterlab.spec.positions import Path
from adapterlab.spec.wording import Complaint, complaints_of, suggest


def plugin_complaints(document: dict[str, Any]) -> list[Complaint]:
    """Return what is wrong with a document's tasks, adapter method and combiners.

    Works on the raw document, so that these faults are reported beside all others; parts of the
    wrong type are passed over, because the spec's model refuses them already.
    """
    found = [*_tasks(document, "pool"), *_tasks(document, "targets")]
    adapter = _table(document, "adapter")
    method = adapter.get("method", AdapterSpec.model_fields["method"].default)
    if isinstance(method, str):
        found += _plugin(("adapter", "method"), method, adapter, entry_points.adapter_method)
    combiner = _table(document, "combiner")
    kinds = combiner.get("kind", CombinerSpec.model_fields["kind"].default)
    if isinstance(kinds, str):
        found += _plugin(("combiner", "kind"), kinds, combiner, entry_points.combiner)
    elif isinstance(kinds, list):
        for number, kind in enumerate(kinds):
            if isinstance(kind, str):
                found += _plugin(("combiner", "kind", number), kind, combiner, entry_points.combiner)
    return list(dict.fromkeys(found))


def _plugin(path: Path, name: str, table: dict[str, Any], get: Callable[[str], Any]) -> list[Complaint]:
    """Check a plug-in's name and the settings beside it."""
    try:
        plugin = get(name)
    except NotFoundError as error:
        return [Complaint(path, "value", error.message, _as_hint(error))]
    except Exception as error:  # noqa: BLE001  a plug-in is somebody else's code
        return [_broken(path, name, error)]
    model: type[BaseModel] = plugin.settings
    settings = table.get("settings", {})
    return complaints_of(model, settings, (path[0], "settings")) if isinstance(settings, dict) else []


def _tasks(document: dict[str, Any], table: str) -> Iterator[Complaint]:
    tasks = _table(document, table).get("tasks")
    for number, task in enumerate(tasks if isinstance(tasks, list) else ()):
        if not isinstance(task, str) or "/" not in task:
            continue
        path: Path = (table, "tasks", number)
        try:
            entry_points.task_definition(task)
        except NotFoundError as error:
            yield Complaint(path, "value", error.message, _near_task(task) or _as_hint(error))
        except Exception as error:  # noqa: BLE001  a plug-in is somebody else's code
            yield _broken(path, task, error)


def _near_task(task: str) -> str | None:
    """Look over all benchmarks, for a task that was put under the wrong one."""
    benchmark, _, short = task.partition("/")
    known = entry_points.names(entry_points.TASK_SUITES)
    if benchmark in known:
        return None
    near = suggest(benchmark, known)
    return f'did you mean "{near}/{short}"?' if near else None


def _as_hint(error: NotFoundError) -> str | None:
    return f"{error.remedy[:1].lower()}{error.remedy[1:]}" if error.remedy else None


def _broken(path: Path, name: str, error: Exception) -> Complaint:
    reason = f"{type(error).__name__}: {error}"
    return Complaint(
        path,
        "value",
        f"the plug-in behind {name!r} cannot be used: {reason}",
        "update or reinstall its package",
    )


def _table(document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name, {})
    return table if isinstance(table, dict) else {}
