"""The plug-in object behind the entry point ``synthetic``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapterlab.plugin import TaskDefinition, TaskSuite
from adapterlab_synthetic.tasks import TASKS, rows


class SyntheticSuite(TaskSuite):
    """Ten generated tasks, eight of them in the shapes of GLUE; see ``docs/reference/synthetic.md``."""

    name = "synthetic"
    version = 1

    def definitions(self) -> Mapping[str, TaskDefinition]:
        """Return the tasks by their short names."""
        return {name: task.definition for name, task in TASKS.items()}

    def generates(self) -> bool:
        """Return ``True``."""
        return True

    def rows(self, task: str, split: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a task; ``split`` is ``"train"`` or ``"validation"``."""
        yield from rows(task, split)


SYNTHETIC = SyntheticSuite()
"""Four skills, each as a large task about a town and a small one about a farm; two further types."""
