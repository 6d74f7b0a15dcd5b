"""Joint methods whose tasks share weights as such: the whole backbone, one adapter, or one masked prototype.

Shapes: ``d`` hidden size, ``r`` bottleneck width, ``L`` layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adapterlab.plugin import BackboneShape, JointLayer, Tensors
from adapterlab_bottleneck import bottleneck
from adapterlab_bottleneck.layer import PfeifferLayer
from adapterlab_full.layer import NoAdapterLayer
from adapterlab_joint.plugin import AdapterMSettings, ProPetlMSettings, as_pfeiffer
from adapterlab_propetl.layer import mask_of

_SITES = ("ffn",)
_SCORES = "score."


class FullMLayer(JointLayer):
    """The backbone's own weights, which all tasks train."""

    def __init__(self, shape: BackboneShape, tasks: Sequence[str]) -> None:
        super().__init__(NoAdapterLayer(shape, trains_backbone=True), tasks)

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return nothing beside the backbone's weights."""
        del generator
        return {}

    def adapter(self, tensors: Mapping[str, Tensor], task: str) -> Tensors:
        """Return the weights, the same for every task."""
        del task
        return dict(tensors)


class AdapterMLayer(JointLayer):
    """One Pfeiffer adapter for all tasks, or one for each."""

    method: PfeifferLayer

    def __init__(self, settings: AdapterMSettings, shape: BackboneShape, tasks: Sequence[str]) -> None:
        super().__init__(PfeifferLayer(as_pfeiffer(settings), shape, _SITES), tasks)
        self.settings = settings

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return weights N(0, 0.02) and biases 0."""
        if not self.settings.per_task:
            return self.method.initial(generator)
        return {
            f"{_of(task)}{name}": tensor
            for task in self.tasks
            for name, tensor in self.method.initial(generator).items()
        }

    def adapter(self, tensors: Mapping[str, Tensor], task: str) -> Tensors:
        """Return the one adapter, or the task's."""
        if not self.settings.per_task:
            return dict(tensors)
        own = _of(task)
        return {name.removeprefix(own): one for name, one in tensors.items() if name.startswith(own)}


class ProPetlMLayer(JointLayer):
    """One prototype bottleneck for all tasks and layers, under two binary masks."""

    method: PfeifferLayer

    def __init__(self, settings: ProPetlMSettings, shape: BackboneShape, tasks: Sequence[str]) -> None:
        super().__init__(PfeifferLayer(as_pfeiffer(settings), shape, _SITES), tasks)
        self.settings = settings

    def lr_factor(self, name: str) -> float:
        """Return how much faster the masks' scores learn."""
        return self.settings.mask_lr_factor if name.startswith(_SCORES) else 1.0

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return weights N(0, ``init_std``), biases 0, and scores Kaiming-uniform with a = √5, U(±1/√fan_in)."""
        (site,) = self.method.sites
        r, std = self.settings.width(site.output), self.settings.init_std
        down, up = (r, site.input), (site.output, r)
        tensors = {
            "adapter.down.weight": torch.empty(down).normal_(0.0, std, generator=generator),
            "adapter.down.bias": torch.zeros(r),
            "adapter.up.weight": torch.empty(up).normal_(0.0, std, generator=generator),
            "adapter.up.bias": torch.zeros(site.output),
        }
        own = self.settings.first_layer_scores == "own"
        layers = range(0 if own else 1, self.method.shape.layers)
        for owner in (*(_of(task) for task in self.tasks), *(f"layer.{layer}." for layer in layers)):
            for name, size in (("down", down), ("up", up)):
                bound = size[1] ** -0.5
                fresh = torch.empty(size).uniform_(-bound, bound, generator=generator)
                tensors[f"{_SCORES}{owner}{name}"] = fresh
        return tensors

    def adapter(self, tensors: Mapping[str, Tensor], task: str) -> Tensors:
        """Return the prototype as a task has it in every layer, ``W ⊙ M`` with ``M = 1 − (1 − m_task)(1 − m_layer)``.

        Masks pass their gradient straight through, so that a score has one where the other mask is 0.
        """
        shared = bottleneck.read(tensors, "adapter.")
        of_task = self._of(tensors, _of(task))
        made: Tensors = {}
        for layer in range(self.method.shape.layers):
            masks = self._joined(tensors, of_task, layer)
            masked = shared._replace(down=shared.down * masks["down"], up=shared.up * masks["up"])
            made |= masked.named(f"layer.{layer}.")
        return made

    def masks(self, tensors: Mapping[str, Tensor], task: str, layer: int) -> Tensors:
        """Return what a task has of the prototype in a layer, 0 or 1: ``"down"`` (r, d) and ``"up"`` (d, r)."""
        return self._joined(tensors, self._of(tensors, _of(task)), layer)

    def _joined(self, tensors: Mapping[str, Tensor], of_task: Mapping[str, Tensor], layer: int) -> Tensors:
        """Return the OR of a task's masks and a layer's."""
        shipped = layer == 0 and self.settings.first_layer_scores == "last_task"
        of_layer = self._of(tensors, _of(self.tasks[-1]) if shipped else f"layer.{layer}.")
        return {name: 1 - (1 - own) * (1 - of_layer[name]) for name, own in of_task.items()}

    def _of(self, tensors: Mapping[str, Tensor], owner: str) -> Tensors:
        """Return the masks of a task or of a layer."""
        keep = self.settings.keep
        return {name: mask_of(tensors[f"{_SCORES}{owner}{name}"], keep) for name in ("down", "up")}


def _of(task: str) -> str:
    """Return what a task's own tensors have in their names."""
    return f"task.{task}."
