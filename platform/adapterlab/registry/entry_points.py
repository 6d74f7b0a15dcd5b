"""Look plug-ins up by group and name; load lazily; suggest near names."""

from __future__ import annotations

import difflib
import inspect
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from adapterlab.errors import NotFoundError, PluginError, UsageError
from adapterlab.records import ProblemType
from adapterlab.registry.plugins import AdapterMethod, BackboneFamily, Combiner, Head, JointMethod, TaskSuite
from adapterlab.registry.task_definitions import TaskDefinition

ADAPTER_METHODS = "adapterlab.adapter_methods"
JOINT_METHODS = "adapterlab.joint_methods"
COMBINERS = "adapterlab.combiners"
HEADS = "adapterlab.heads"
TASK_SUITES = "adapterlab.task_suites"
BACKBONES = "adapterlab.backbones"

_Plugin = TypeVar("_Plugin", AdapterMethod, JointMethod, Combiner, Head, TaskSuite, BackboneFamily)
_NEEDS: dict[type, tuple[str, ...]] = {
    AdapterMethod: ("name",),
    JointMethod: ("name",),
    Combiner: ("name", "layer"),
    Head: ("name",),
    TaskSuite: ("name",),
    BackboneFamily: ("name", "architectures"),
}
"""What a plug-in must set itself, besides the methods its base class marks as abstract."""


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
def _load(group: str, name: str, kind: type[_Plugin]) -> _Plugin:
    point = _group(group).get(name)
    if point is None:
        what = group.removeprefix("adapterlab.").replace("_", " ").removesuffix("s")
        raise NotFoundError(f"no {what} named {name!r}", remedy=near(name, names(group)))
    try:
        found = point.load()
    except TypeError as error:
        if isinstance(error, PluginError) or "abstract" not in str(error):
            raise
        raise PluginError(f"{name!r} ({point.value}): {error}", remedy=f"See {kind.page}.") from None
    check_plugin(found, kind, f"{name!r} ({point.value})")
    assert isinstance(found, kind)
    return found


def check_plugin(found: Any, kind: type, what: str) -> None:
    """Check that an object keeps what its kind of plug-in promises, as far as that shows without torch.

    Args:
        found: What an entry point names.
        kind: The base class it must have.
        what: Named in the message.

    Raises:
        PluginError: It does not; the message says which part, the remedy which page to read.
    """
    page = f"See {kind.page}."  # type: ignore[attr-defined]
    if not isinstance(found, kind):
        raise PluginError(
            f"{what} is a {type(found).__name__}, expected an instance of adapterlab.plugin.{kind.__name__}",
            remedy=page,
        )
    missing = [name for name in _NEEDS[kind] if not hasattr(found, name)]
    if missing:
        raise PluginError(f"{what} does not set {', '.join(missing)}", remedy=page)
    if isinstance(found, Combiner):
        _check_dimensions(found, what, page)


def _check_dimensions(combiner: Combiner, what: str, page: str) -> None:
    """Compare the dimensions a combiner declares with those its layer is called with."""
    taken = [
        one for one in inspect.signature(combiner.layer).parameters.values() if one.kind is one.KEYWORD_ONLY
    ]
    declared, read = {*combiner.dimensions, *combiner.optional} - {"lr"}, {one.name for one in taken}
    if "lr" not in combiner.dimensions:
        raise PluginError(f'{what} has no dimension "lr", which every study needs', remedy=page)
    for name in sorted(declared - read):
        raise PluginError(
            f"{what} declares the dimension {name!r}, which its layer() does not take: it would be searched "
            "and change nothing",
            remedy=f"Take it as a keyword-only parameter, layer(self, settings, pool, *, {name}). {page}",
        )
    defaults = {one.name: one.default for one in taken}
    for name, absent in combiner.optional.items():
        if defaults[name] != absent:
            raise PluginError(
                f"{what}: layer() must take the optional dimension {name!r} with the default {absent:g}",
                remedy=page,
            )
    for name in sorted(one.name for one in taken if one.name not in declared and one.default is one.empty):
        raise PluginError(
            f"{what}: layer() takes {name!r}, which is no dimension of it",
            remedy=f"Declare it under dimensions, or give it a default. {page}",
        )


def adapter_method(name: str) -> AdapterMethod:
    """Return an adapter method.

    Raises:
        NotFoundError: None of that name is installed.
        PluginError: It does not keep what a method promises.
    """
    found: AdapterMethod = _load(ADAPTER_METHODS, name, AdapterMethod)
    return found


def joint_method(name: str) -> JointMethod:
    """Return a method of joint training.

    Raises:
        NotFoundError: None of that name is installed.
        PluginError: It does not keep what a joint method promises.
    """
    found: JointMethod = _load(JOINT_METHODS, name, JointMethod)
    return found


def combiner(name: str) -> Combiner:
    """Return a combiner.

    Raises:
        NotFoundError: None of that name is installed.
        PluginError: It does not keep what a combiner promises.
    """
    found: Combiner = _load(COMBINERS, name, Combiner)
    return found


def head(name: str) -> Head:
    """Return a head.

    Raises:
        NotFoundError: None of that name is installed.
        PluginError: It does not keep what a head promises.
    """
    found: Head = _load(HEADS, name, Head)
    return found


def head_for(name: str, problem_type: ProblemType, outputs: int | None, *, task: str) -> Head:
    """Return a head that can answer a task.

    Args:
        name: Of the plug-in.
        problem_type: What the task's labels are.
        outputs: Classes, labels or numbers; ``None``: not known yet.
        task: Named in errors.

    Raises:
        NotFoundError: None of that name is installed.
        PluginError: It does not keep what a head promises.
        UsageError: It cannot answer the task.
    """
    found = head(name)
    if problem_type not in found.problem_types:
        known = ", ".join(sorted(found.problem_types))
        raise UsageError(
            f"{task}: the head {name!r} cannot answer a task of type {problem_type}",
            remedy=f"It answers {known}; name another head in the task's definition.",
        )
    complaint = None if outputs is None else found.complaint(problem_type, outputs)
    if complaint:
        raise UsageError(
            f"{task}: the head {name!r} cannot answer it: {complaint}",
            remedy="Name another head in the task's definition.",
        )
    return found


def task_suite(name: str) -> TaskSuite:
    """Return a task suite.

    Raises:
        NotFoundError: None of that name is installed.
        PluginError: It does not keep what a suite promises.
    """
    found: TaskSuite = _load(TASK_SUITES, name, TaskSuite)
    return found


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


def backbone_families() -> tuple[BackboneFamily, ...]:
    """Return the installed families, by name.

    Raises:
        PluginError: One does not keep what a family promises.
    """
    return tuple(_load(BACKBONES, name, BackboneFamily) for name in names(BACKBONES))


def backbone_family(architecture: str) -> BackboneFamily:
    """Return the family that runs an architecture (``model_type`` of a config).

    Raises:
        NotFoundError: No installed family runs it.
        PluginError: A family does not keep what it promises.
    """
    families = backbone_families()
    for family in families:
        if architecture in family.architectures:
            return family
    known = tuple(sorted(name for family in families for name in family.architectures))
    # No "did you mean": the type is a model's own, and one that is edited would have its weights read as another's.
    raise NotFoundError(
        f"no backbone family runs {architecture!r} models",
        remedy=f"Use a model of one of these types: {', '.join(known)}; another one needs a backbone family of its own "
        "(docs/extending/backbone_families.md).",
    )
