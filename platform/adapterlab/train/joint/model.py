"""One model over several tasks: the tensors of a joint method, and a head for each task.

A run's tensors are the joint method's, by its own names, and the heads', ``head.<task>.…``. Of these every task has
what a lane of its own would have: an adapter of an ordinary method, and a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.records import TaskFacts
from adapterlab.train.adaptation import OwnAdapter, Seat
from adapterlab.train.heads import head_of
from adapterlab.train.lane import leaves_of
from adapterlab.train.layers import Backbone, HeadLayer, JointLayer, Tensors
from adapterlab.train.rng import stream
from adapterlab.train.weights import HEAD_PREFIX, without_head


@dataclass(frozen=True)
class JointModel:
    """A joint method on a backbone, and its tasks' heads; it holds no tensors of its own."""

    backbone: Backbone
    layer: JointLayer
    heads: Mapping[str, HeadLayer]
    """By full task name, in the order of the run."""

    @classmethod
    def of(cls, backbone: Backbone, layer: JointLayer, tasks: Sequence[TaskFacts]) -> JointModel:
        """Return the model for some tasks, with the heads they ask for.

        Raises:
            NotFoundError: A task's head is not installed.
            UsageError: A head cannot answer its task, or the layer was made for other tasks.
        """
        names = tuple(one.task for one in tasks)
        if names != layer.tasks:
            raise UsageError(
                f"the joint method was made for {', '.join(layer.tasks)}, not for {', '.join(names)}"
            )
        heads = {one.task: head_of(one, backbone.shape.hidden_size) for one in tasks}
        return cls(backbone, layer, heads)

    def initial(self, seed: int) -> Tensors:
        """Return fresh tensors as leaves, on the backbone's device.

        A method that trains the backbone's own weights starts from a copy of them.
        """
        fresh = self.layer.initial(stream(seed, "adapter init"))
        if self.layer.method.trains_backbone:
            fresh = self.backbone.weights() | fresh
        for task, head in self.heads.items():
            own = head.initial(stream(seed, "head init", task))
            fresh |= {_of_task(name, task): tensor for name, tensor in own.items()}
        return leaves_of(self.backbone, fresh)

    def of_task(self, tensors: Mapping[str, Tensor], task: str) -> Tensors:
        """Return what a task has of a run's tensors: its adapter's, as the method names them, and its head's."""
        own = f"{HEAD_PREFIX}{task}."
        head = {
            HEAD_PREFIX + name.removeprefix(own): one for name, one in tensors.items() if name.startswith(own)
        }
        return self.layer.adapter(without_head(tensors), task) | head

    def seat(
        self,
        tensors: Mapping[str, Tensor],
        task: str,
        *,
        key: int | None = None,
        backbone_dropout: bool = False,
        head_dropout: float = 0.0,
    ) -> Seat:
        """Return a task's place in a pass.

        Args:
            tensors: The run's.
            task: Full name.
            key: Of the numbers that dropout draws; ``None`` in evaluation.
            backbone_dropout: Whether the backbone drops as well.
            head_dropout: Of the head.
        """
        own = self.of_task(tensors, task)
        return Seat(OwnAdapter(self.layer.method), own, self.heads[task], key, backbone_dropout, head_dropout)


def _of_task(name: str, task: str) -> str:
    """Return what a run calls a tensor of a task's head."""
    return f"{HEAD_PREFIX}{task}.{name.removeprefix(HEAD_PREFIX)}"
