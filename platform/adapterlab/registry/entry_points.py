"""Look plug-ins up by group and name; load lazily; suggest near names."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from adapterlab.errors import NotFoundError
from adapterlab.registry.protocols import (
    AdapterMethod,
    BackboneFamily,
    Combiner,
    TaskDefinition,
    TaskSuite,
)

ADAPTER_METHODS = "adapterlab.adapter_methods"
COMBINERS = "adapterlab.combiners"
TASK_SUITES = "adapterlab.task_suites"
BACKBONES = "adapterlab.backbones"


@cache
def _installed() -> Any:
    # One walk over all installed packages for all groups; each walk costs a cold start 10 ms.
    return entry_points()


@cache
def _group(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in _installed().select(group=group)}


def names(group: str) -> tuple[str, ...]:
    """Return the installed plug-ins of a group, sorted."""
    return tuple(sorted(_group(group)))


def near(name: str, known: tuple[str, ...]) -> str:
    """Return a sentence that names the nearest known name, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(known)}." if known else "None is installed."


@cache
def _load(group: str, name: str) -> Any:
    point = _group(group).get(name)
    if point is None:
        what = group.removeprefix("adapterlab.").replace("_", " ").removesuffix("s")
        raise NotFoundError(f"no {what} named {name!r}", remedy=near(name, names(group)))
    return point.load()


def adapter_method(name: str) -> AdapterMethod:
    """Return an adapter method.

    Raises:
        NotFoundError: None of that name is installed.
    """
    return cast("AdapterMethod", _load(ADAPTER_METHODS, name))


def combiner(name: str) -> Combiner:
    """Return a combiner.

    Raises:
        NotFoundError: None of that name is installed.
    """
    return cast("Combiner", _load(COMBINERS, name))


def task_suite(name: str) -> TaskSuite:
    """Return a task suite.

    Raises:
        NotFoundError: None of that name is installed.
    """
    return cast("TaskSuite", _load(TASK_SUITES, name))


def task_definition(task: str) -> TaskDefinition:
    """Return the definition behind a full task name, ``<benchmark>/<task>``.

    Raises:
        NotFoundError: The benchmark or the task in it is unknown.
    """
    benchmark, _, short = task.partition("/")
    definitions = task_suite(benchmark).definitions()
    if short not in definitions:
        known = tuple(f"{benchmark}/{name}" for name in definitions)
        raise NotFoundError(f"no task named {task!r}", remedy=near(task, known))
    return definitions[short]


def backbone_family(architecture: str) -> BackboneFamily:
    """Return the family that runs an architecture (``model_type`` of a config).

    Raises:
        NotFoundError: No installed family runs it.
    """
    families = [cast("BackboneFamily", _load(BACKBONES, name)) for name in names(BACKBONES)]
    for family in families:
        if architecture in family.architectures:
            return family
    known = tuple(sorted(name for family in families for name in family.architectures))
    raise NotFoundError(f"no backbone family runs {architecture!r} models", remedy=near(architecture, known))
