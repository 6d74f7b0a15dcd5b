"""What a task has of a joint run, seen as an adapter where only the run's method knows what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from adapterlab.records import BackboneShape
from adapterlab.registry.plugins import AdapterMethod, JointMethod

if TYPE_CHECKING:
    from adapterlab.train.layers import MethodLayer


class JointAdapter(AdapterMethod):
    """The adapters that a joint method makes of what its tasks share; they can be run, and nothing else."""

    def __init__(self, joint: JointMethod, tasks: Sequence[str]) -> None:
        """Bind it to a method.

        Args:
            joint: The method.
            tasks: Full names of the run's tasks, in its order.
        """
        self.name, self.version, self.settings = joint.name, joint.version, joint.settings
        self._joint, self._tasks = joint, tuple(tasks)

    def sites(self, settings: BaseModel) -> tuple[str, ...]:
        """Return none: nobody else is to attach there."""
        del settings
        return ()

    def trainable_parameters(self, settings: BaseModel, shape: BackboneShape) -> int | None:
        """Return what all tasks of the run train together."""
        return self._joint.trainable_parameters(settings, shape, len(self._tasks))

    def layer(self, settings: BaseModel, shape: BackboneShape) -> MethodLayer:
        """Return what computes a task's adapter."""
        return self._joint.layer(settings, shape, self._tasks).method
