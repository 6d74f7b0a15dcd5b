"""A task suite that is nothing but definitions: its rows are read, from a folder or a hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.registry.protocols import TaskDefinition


@dataclass(frozen=True)
class FolderSuite:
    """A benchmark whose rows lie in a folder, ``<data.root>/<name>/<task>/*``, or on a hub."""

    name: str
    version: int
    tasks: tuple[TaskDefinition, ...]

    def definitions(self) -> Mapping[str, TaskDefinition]:
        """Return the tasks by their short names."""
        return {task.name: task for task in self.tasks}

    def generates(self) -> bool:
        """Return ``False``: the rows are read."""
        return False

    def rows(self, task: str, split: str) -> Iterator[Mapping[str, Any]]:
        """Refuse: there are no rows but those that are read.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"{self.name}/{task} {split}: read from data.root, not generated")
