"""Every task there is, with where its rows come from; no row is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapterlab.data.row_sources import DataPlaces, definition_of, task_source
from adapterlab.data.split_files import MissingDataError
from adapterlab.errors import AdapterlabError
from adapterlab.records import DEFAULT_MAX_LENGTH, row_length
from adapterlab.registry import entry_points
from adapterlab.registry.protocols import TaskDefinition


@dataclass(frozen=True)
class ListedTask:
    """One line of a list of tasks."""

    task: str
    """Full name."""
    problem_type: str
    labels: int | None
    """Classes, labels or choices; ``None``: as many as train shows, or none (regression)."""
    metric: str
    """The one that leads."""
    max_length: int
    """Most tokens of a sequence."""
    rows_from: str
    """``"generated"``, a file, a data set on the hub, or why there is nothing."""
    at_hand: bool
    """Whether its rows can be read now, without a network."""
    description: str
    licence: str


def task_names(places: DataPlaces | None = None) -> tuple[str, ...]:
    """Return the full names of all tasks: the spec's own, then those of the installed suites."""
    own = () if places is None else tuple(places.tasks)
    suites = (entry_points.task_suite(name) for name in entry_points.names(entry_points.TASK_SUITES))
    return (*own, *(f"{suite.name}/{name}" for suite in suites for name in suite.definitions()))


def listed_tasks(
    *,
    root: Path | None,
    cache: Path,
    places: DataPlaces | None = None,
    general: int = DEFAULT_MAX_LENGTH,
) -> Iterator[ListedTask]:
    """Yield all tasks.

    Args:
        root: Folder of real tasks; ``None``: none is known.
        cache: Folder of this machine's caches.
        places: Where else rows are: the hub, and the spec's own tasks.
        general: ``data.max_length``.
    """
    for task in task_names(places):
        definition = definition_of(task, places)
        rows_from, at_hand = _rows_from(task, definition, root, cache, places)
        yield ListedTask(
            task=task,
            problem_type=str(definition.problem_type),
            labels=len(definition.labels) or None,
            metric=definition.metrics[0],
            max_length=row_length(general, definition.max_length),
            rows_from=rows_from,
            at_hand=at_hand,
            description=definition.description,
            licence=definition.licence,
        )


def _rows_from(
    task: str, definition: TaskDefinition, root: Path | None, cache: Path, places: DataPlaces | None
) -> tuple[str, bool]:
    try:
        source = task_source(task, root=root, cache=cache, places=places)
    except MissingDataError as missing:
        if places is not None and (places.hub or task in places.tasks):
            return missing.message.removeprefix(f"{task}: "), False
        there = "" if root is None else "not in data.root; "
        return f"{there}{f'hub: {definition.hub.repo}' if definition.hub else 'not on the hub'}", False
    except AdapterlabError as error:
        return error.message, False
    return ("generated" if source.split_files is None else str(source.split_files.train[0])), True
