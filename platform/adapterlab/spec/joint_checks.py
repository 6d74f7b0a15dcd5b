"""Check what a spec says of joint training: methods, settings, tasks, and that rows can be told apart.

Works on the raw document like :mod:`adapterlab.spec.plugin_checks`, so that each fault is told where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from adapterlab.registry import entry_points
from adapterlab.spec.complaints import MAX_COMPLAINTS, Complaint, suggest
from adapterlab.spec.joint import SINGLE
from adapterlab.spec.look_up import look_up
from adapterlab.spec.positions import Path
from adapterlab.spec.range_checks import settings_complaints
from adapterlab.spec.ranges import is_space, settings_at_first
from adapterlab.spec.search_space import OF_JOINT_TRAINING

MT_A = "mt_a"
"""What papers call joint adapters, which here are the rows of a method."""


def joint_complaints(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Yield what is wrong with a document's joint runs."""
    joint = document.get("joint")
    yield from _pool(document)
    runs = joint.get("run") if isinstance(joint, Mapping) else None
    listed = [one for one in runs if isinstance(one, Mapping)] if isinstance(runs, list) else []
    if not listed:
        return
    assert isinstance(joint, Mapping)
    for number, run in enumerate(listed):
        path: Path = ("joint", "run", number)
        yield from _method(path, run)
        yield from islice(_tasks(path, run, document), MAX_COMPLAINTS)
    yield from _labels(listed, document)
    yield from _threshold(joint, listed, document)
    yield from _named(joint, listed, document)
    if isinstance(document.get("data"), Mapping) and "few_shot" in document["data"]:
        yield Complaint(
            ("data", "few_shot"),
            "key",
            "data.few_shot draws rows for one target and one seed, and a joint run has all its tasks at once",
            "take data.few_shot out, or the [[joint.run]]s; data.max_train_rows cuts every task alike",
        )


def is_joint(name: str) -> bool:
    """Return whether a name is a joint method's, or the papers' word for one."""
    return name == MT_A or name in entry_points.names(entry_points.JOINT_METHODS)


def _method(path: Path, run: Mapping[str, Any]) -> Iterator[Complaint]:
    name = run.get("method")
    if not isinstance(name, str):
        return
    here = (*path, "method")
    if name == MT_A:
        yield Complaint(
            here,
            "value",
            'MT-A is the method "adapter_m"',
            'write method = "adapter_m", name = "mt_a"; settings.per_task gives every task an adapter of its own',
        )
        return
    plugin = look_up(here, name, entry_points.joint_method)
    if isinstance(plugin, Complaint):
        if name in entry_points.names(entry_points.ADAPTER_METHODS):
            yield Complaint(
                here,
                "value",
                f'"{name}" trains every task by itself, and a joint run trains all at once',
                "write it as a [[baseline]], or take one of "
                + ", ".join(entry_points.names(entry_points.JOINT_METHODS)),
            )
            return
        yield plugin
        return
    settings = run.get("settings", {})
    if isinstance(settings, dict):
        yield from settings_complaints(plugin.settings, settings, (*path, "settings"))


def _tasks(path: Path, run: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that a run's tasks are the sweep's, and two at least."""
    targets, written = _listed(document, "targets"), run.get("tasks")
    if written is None:
        if len(targets) == 1:
            yield Complaint(
                (*path, "method"),
                "value",
                f"joint training takes two tasks or more, and {targets[0]} is the only target",
                "add targets, or name the run's tasks: tasks = [...] may have those of the pool as well",
            )
        return
    known = list(dict.fromkeys((*targets, *_listed(document, "pool"))))
    for place, task in enumerate(written if isinstance(written, list) else ()):
        if isinstance(task, str) and known and task not in known:
            near = suggest(task, known)
            yield Complaint(
                (*path, "tasks", place),
                "value",
                f'"{task}" is neither a target nor a task of the pool',
                f'did you mean "{near}"?' if near else "list it in targets.tasks or pool.tasks",
            )


def _label(table: Mapping[str, Any]) -> str | None:
    """Return what a row is called; ``None``: by something that is no text, which the model refuses."""
    label = table.get("name") or table.get("method")
    return label if isinstance(label, str) else None


def _labels(runs: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that no joint row is named as a baseline is, or as the pool's adapters are."""
    baselines = document.get("baseline")
    taken = {
        _label(one) for one in (baselines if isinstance(baselines, list) else ()) if isinstance(one, Mapping)
    }
    for number, run in enumerate(runs):
        label = _label(run)
        if label is not None and (label in taken or label == "source"):
            whose = "what the pool's adapters are called" if label == "source" else "the name of a baseline"
            key = "name" if run.get("name") else "method"
            yield Complaint(
                ("joint", "run", number, key), "value", f'"{label}" is {whose}', "give it another name"
            )


def _threshold(
    joint: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], document: Mapping[str, Any]
) -> Iterator[Complaint]:
    """Check that no search by loss is pruned by a least metric."""
    search = document.get("search")
    if not isinstance(search, Mapping) or search.get("pruner") != "threshold":
        return
    for run in runs:
        written = {**joint, **run}
        settings = run.get("settings", {})
        values = [written.get(name) for name in ("lr", *OF_JOINT_TRAINING)]
        values += list(settings.values()) if isinstance(settings, Mapping) else []
        if written.get("select_by", "loss") == "loss" and any(map(is_space, values)):
            yield Complaint(
                ("search", "pruner"),
                "value",
                f'search.pruner: "threshold" is a least value of a metric, and "{run.get("name") or run.get("method")}" '
                "is searched by the mean validation loss over its tasks",
                'take another pruner, or joint.select_by = "metric"',
            )
            return


def _named(
    joint: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], document: Mapping[str, Any]
) -> Iterator[Complaint]:
    """Check that caps and ``unselected`` name tasks that some run has, and leave one to select by."""
    targets = _listed(document, "targets")
    of_run = [run["tasks"] if isinstance(run.get("tasks"), list) else targets for run in runs]
    every = list(dict.fromkeys(task for tasks in of_run for task in tasks if isinstance(task, str)))
    places: list[tuple[Path, Mapping[str, Any], list[Any]]] = [(("joint",), joint, every)]
    places += [(("joint", "run", number), run, of_run[number]) for number, run in enumerate(runs)]
    for path, table, tasks in places:
        caps, unselected = table.get("caps"), table.get("unselected")
        names: list[tuple[Path, Any]] = [
            ((*path, "caps", task), task) for task in (caps if isinstance(caps, Mapping) else ())
        ]
        left_out = unselected if isinstance(unselected, list) else []
        names += [((*path, "unselected", place), task) for place, task in enumerate(left_out)]
        for here, task in names:
            if tasks and isinstance(task, str) and task not in tasks:
                near = suggest(task, [one for one in tasks if isinstance(one, str)])
                hint = f'did you mean "{near}"?' if near else f"they train on {', '.join(map(str, tasks))}"
                yield Complaint(
                    here,
                    "key" if here[-2] == "caps" else "value",
                    f'"{task}" is no task of these joint runs',
                    hint,
                )
    for number, run in enumerate(runs):
        own = run.get("unselected", joint.get("unselected"))
        if isinstance(own, list) and of_run[number] and set(map(str, of_run[number])) <= set(map(str, own)):
            place: Path = ("joint", "run", number) if "unselected" in run else ("joint",)
            yield Complaint(
                (*place, "unselected"),
                "value",
                "no task is left to choose the best evaluation by",
                "leave one of the run's tasks out of unselected",
            )


def _pool(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Check that the runs a pool takes its adapters from are there, have its tasks, and make adapters."""
    pool, joint = document.get("pool"), document.get("joint")
    written = pool.get("training", SINGLE) if isinstance(pool, Mapping) else SINGLE
    named = list(enumerate(written)) if isinstance(written, list) else [(None, written)]
    listed = joint.get("run") if isinstance(joint, Mapping) else None
    runs = {
        label: one
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping) and (label := _label(one)) is not None
    }
    for place, name in named:
        path: Path = ("pool", "training") if place is None else ("pool", "training", place)
        if not isinstance(name, str) or name == SINGLE:
            continue
        if name not in runs:
            near = suggest(name, [SINGLE, *map(str, runs)])
            hint = f'did you mean "{near}"?' if near else f'"{SINGLE}", or the name of a [[joint.run]]'
            yield Complaint(path, "value", f'pool.training: no joint run is called "{name}"', hint)
            continue
        yield from _pooled(path, name, runs[name], document)


def _pooled(
    path: Path, name: str, run: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[Complaint]:
    own = run["tasks"] if isinstance(run.get("tasks"), list) else _listed(document, "targets")
    missing = [task for task in _listed(document, "pool") if task not in own]
    if missing:
        yield Complaint(
            path,
            "value",
            f'pool.training: "{name}" does not train on {", ".join(missing)}, which the pool has',
            "write its tasks = [...] out, with all of pool.tasks",
        )
    method = run.get("method")
    if not isinstance(method, str) or method not in entry_points.names(entry_points.JOINT_METHODS):
        return  # complained of already
    plugin = look_up(path, method, entry_points.joint_method)
    try:
        made = plugin.adapters(plugin.settings.model_validate(settings_at_first(run.get("settings", {}))))
    except (AttributeError, ValueError):
        return  # complained of already
    if made is None:
        yield Complaint(
            path,
            "value",
            f'pool.training: what tasks have of "{name}" ({method}) is no adapter by itself, so no pool can take it',
            'name a run of "adapter_m" or "propetl_m"',
        )


def _listed(document: Mapping[str, Any], table: str) -> list[str]:
    found = document.get(table)
    tasks = found.get("tasks") if isinstance(found, Mapping) else None
    return [one for one in tasks if isinstance(one, str)] if isinstance(tasks, list) else []
