"""Check ranges and choices that stand among a method's settings, and what a search of them asks of the spec.

Works on the raw document, like :mod:`adapterlab.spec.plugin_checks`; what stands in training sections is the model's
to check but for the sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from adapterlab.errors import UsageError
from adapterlab.registry.plugins import AdapterMethod
from adapterlab.spec.complaints import Complaint, complaints_of, dotted
from adapterlab.spec.positions import Path
from adapterlab.spec.ranges import is_space, settings_at, split_settings
from adapterlab.spec.search_space import (
    COMBINER,
    OF_EVERY_COMBINER,
    OF_JOINT_TRAINING,
    OF_TRAINING,
    Choices,
    Dimension,
    FloatRange,
    ends_of,
    first_of,
    parse_dimension,
)

_TAKEN = frozenset({"lr", COMBINER, *OF_EVERY_COMBINER, *OF_TRAINING, *OF_JOINT_TRAINING})
"""Names of dimensions that are no method's."""


def settings_complaints(model: type[BaseModel], settings: Mapping[str, Any], root: Path) -> list[Complaint]:
    """Return what is wrong with a method's settings, each of which may be a range or choices.

    Every choice, and both ends of every range, must be a value that could stand alone beside the others.

    Args:
        model: The method's settings.
        settings: As written.
        root: Where they stand.
    """
    written = {name: value for name, value in settings.items() if is_space(value)}
    if not written:
        return complaints_of(model, settings, root)
    found: list[Complaint] = []
    spaces: dict[str, Dimension] = {}
    for name, value in written.items():
        path = (*root, name)
        try:
            spaces[name] = parse_dimension(value)
        except ValidationError:
            kind = Choices if "choices" in value else FloatRange
            found += complaints_of(kind, value, path) or [
                Complaint(path, "value", f"{dotted(path)}is no range and no choices")
            ]
        if name in _TAKEN:
            found.append(
                Complaint(
                    path, "key", f"{name} cannot be searched: a search has another dimension of that name"
                )
            )
    fixed = {name: value for name, value in settings.items() if name not in written}
    first = {name: first_of(space) for name, space in spaces.items()}
    for values in (
        first,
        *({**first, name: end} for name, space in spaces.items() for end in ends_of(space)),
    ):
        told = {one.path for one in found}
        found += [
            one for one in complaints_of(model, settings_at(fixed, values), root) if one.path not in told
        ]
    return found


def pool_complaints(method: AdapterMethod, settings: Mapping[str, Any]) -> Iterator[Complaint]:
    """Yield the settings of the pool's method that a search would make differ, and adapters of a pool share.

    Args:
        method: Of the pool.
        settings: ``[adapter.settings]`` as written.
    """
    try:
        fixed, spaces = split_settings(settings)
        first = {name: first_of(space) for name, space in spaces.items()}
        for name, space in spaces.items():
            each = [
                method.settings.model_validate(settings_at(fixed, {**first, name: end}))
                for end in ends_of(space)
            ]
            try:
                method.pooled(each)
            except UsageError as error:
                path: Path = ("adapter", "settings", name)
                yield Complaint(
                    path,
                    "value",
                    f"{dotted(path)}every source would have its own, but {error.message}",
                    "search it in a [[baseline]], or give the pool one value",
                )
    except (ValidationError, ValueError, OverflowError):
        return  # complained of already


def grid_complaints(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Yield the ranges that a grid cannot go through."""
    search = document.get("search")
    if not isinstance(search, Mapping) or search.get("sampler") != "grid":
        return
    for path, value in _places(document):
        if is_space(value) and "choices" not in value:
            yield Complaint(
                path,
                "value",
                f'{dotted(path)}sampler = "grid" needs choices or fixed values, not ranges',
                f"write {path[-1]} = {{ choices = [...] }}",
            )


def _places(document: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield every key that may be searched outside of ``[search]``, with its value."""
    baselines = document.get("baseline")
    tables: list[Path] = [("source",), ("transfer",), ("few_shot",), ("adapter", "settings")]
    for number, _ in enumerate(baselines if isinstance(baselines, list) else ()):
        tables += [("baseline", number), ("baseline", number, "settings")]
    tables += [
        ("combiner", "per_kind", kind, "transfer") for kind in _table(document, "combiner", "per_kind")
    ]
    tables += [("per_task", task) for task in _table(document, "per_task")]
    runs = _table(document, "joint").get("run")
    tables.append(("joint",))
    for number, _ in enumerate(runs if isinstance(runs, list) else ()):
        tables += [("joint", "run", number), ("joint", "run", number, "settings")]
    for place in tables:
        for name, value in _table(document, *place).items():
            yield (*place, name), value


def _table(document: Mapping[str, Any], *path: str | int) -> Mapping[str, Any]:
    here: Any = document
    for part in path:
        inside = isinstance(here, Mapping) if isinstance(part, str) else isinstance(here, list)
        here = here[part] if inside and (isinstance(part, int) or part in here) else {}
    return here if isinstance(here, Mapping) else {}
