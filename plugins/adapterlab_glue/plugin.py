"""The plug-in objects behind the entry points ``glue``, ``superglue`` and ``adapterfusion``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapterlab.registry.protocols import TaskDefinition
from adapterlab_glue import tasks


@dataclass(frozen=True)
class FolderSuite:
    """A benchmark whose rows lie in a folder, ``<data.root>/<name>/<task>/*.jsonl``."""

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
        """Refuse: there are no rows but those in the folder.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"{self.name}/{task} {split}: read from data.root, not generated")


GLUE = FolderSuite("glue", 1, tasks.GLUE)
SUPERGLUE = FolderSuite("superglue", 1, tasks.SUPERGLUE)
ADAPTERFUSION = FolderSuite("adapterfusion", 1, tasks.ADAPTERFUSION)
