"""What a lane adds to the frozen backbone: its own adapter, or a combination of frozen ones.

Lanes whose adaptations share work (the same frozen pool) form a group: the shared part runs once
over the group's rows, the rest lane by lane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.train.layers import Backbone, FrozenPool, MethodLayer, SeveralRates
from adapterlab.train.packing import spread
from adapterlab.train.passes import Pass, Rectangle
from adapterlab.train.token_means import TokenMeans


class Adaptation(Protocol):
    """How a lane's tensors change the backbone's computation."""

    @property
    def group(self) -> int:
        """Lanes of equal group may share :meth:`shared`."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Where something is added, as the backbone names them; in the order of the points."""

    @property
    def exclusive(self) -> bool:
        """Whether the lane trains the backbone's own weights, so that its passes are its own."""

    @property
    def means(self) -> TokenMeans | None:
        """Where coefficients of every token are noted; ``None``: nowhere."""

    def shared(self, site: str, layer: int, x: Tensor) -> Tensor | None:
        """Return what lanes of a group have in common, for their rows together; ``None``: nothing."""

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        site: str,
        layer: int,
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return what is added at a site for one lane's rows: x (N_k, d), y (N_k, e) -> (N_k, e)."""

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return a term of the lane's loss that does not depend on its rows; ``None``: there is none."""

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""

    def lr_factor(self, name: str) -> float:
        """Return a tensor's learning rate over the lane's; 1 but for few."""


@dataclass(frozen=True)
class OwnAdapter:
    """Stage 1: the lane trains an adapter of its own."""

    method: MethodLayer
    settings: Any

    @property
    def group(self) -> int:
        """Own adapters share nothing, so all of them are one group, whatever their methods."""
        return 0

    @property
    def sites(self) -> tuple[str, ...]:
        """The method's sites."""
        return self.method.sites(self.settings)

    @property
    def exclusive(self) -> bool:
        """Whether the method trains the backbone's own weights."""
        return trains_backbone(self.method)

    @property
    def means(self) -> None:
        """Nothing is noted."""
        return

    def shared(self, site: str, layer: int, x: Tensor) -> None:
        """Return nothing: every weight is the lane's own."""
        del site, layer, x

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        site: str,
        layer: int,
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return the adapter's output."""
        del shared, generator  # the adapter has no dropout of its own
        return self.method.forward(self.settings, dict(tensors), site, layer, x, y)

    def penalty(self, tensors: Mapping[str, Tensor]) -> None:
        """Return nothing: the loss is the task's alone."""
        del tensors

    def decays(self, name: str) -> bool:
        """Return true: weight decay acts on every tensor."""
        del name
        return True

    def lr_factor(self, name: str) -> float:
        """Return what the method says of a tensor, 1 where it says nothing."""
        if not isinstance(self.method, SeveralRates):
            return 1.0
        factors = self.method.lr_factors(self.settings)
        return next((factor for prefix, factor in factors.items() if name.startswith(prefix)), 1.0)


def trains_backbone(method: MethodLayer) -> bool:
    """Return whether a method's tensors are the backbone's own weights, as in full fine-tuning."""
    return bool(getattr(method, "exclusive", False))


@dataclass(frozen=True)
class SourcePool:
    """T frozen adapters, stacked point by point; shared by every lane that combines them."""

    method: MethodLayer
    settings: Any
    points: tuple[FrozenPool, ...]
    """By attachment point, ``layer · S + index of the site``."""

    @classmethod
    def build(
        cls,
        method: MethodLayer,
        settings: Any,
        adapters: Sequence[Mapping[str, Tensor]],
        backbone: Backbone,
    ) -> SourcePool:
        """Stack adapters in coefficient order, in the backbone's precision and on its device.

        Raises:
            UsageError: The method's adapters cannot be combined.
        """
        if not hasattr(method, "stack"):
            name = getattr(method, "__name__", type(method).__name__)
            raise UsageError(f"adapters of {name} cannot be combined: their output has no linear last factor")
        placed = [
            {name: tensor.to(device=backbone.device, dtype=backbone.dtype) for name, tensor in one.items()}
            for one in adapters
        ]
        stacked = (
            method.stack(settings, placed, site, layer)
            for layer in range(backbone.shape.layers)
            for site in method.sites(settings)
        )
        return cls(method, settings, tuple(stacked))

    @property
    def sites(self) -> tuple[str, ...]:
        """The method's sites."""
        return self.method.sites(self.settings)

    def point(self, site: str, layer: int) -> int:
        """Return the index of an attachment point."""
        return layer * len(self.sites) + self.sites.index(site)

    @property
    def sources(self) -> int:
        """Number of adapters, T."""
        return self.points[0].up.shape[0]


@dataclass(frozen=True)
class Seat:
    """One lane's place in a pass: what it adds, with which tensors and random numbers."""

    adaptation: Adaptation
    tensors: Mapping[str, Tensor]
    generator: torch.Generator | None = None
    """Stream of the coefficients' dropout; ``None`` in evaluation."""
    backbone_generator: torch.Generator | None = field(default=None)
    """Stream of the frozen backbone's own dropout; ``None``: off."""

    def computing_in(self, dtype: torch.dtype) -> Seat:
        """Return the seat with its tensors in the precision of the pass; gradients flow to its own."""
        if all(tensor.dtype is dtype for tensor in self.tensors.values()):
            return self
        return replace(self, tensors={name: tensor.to(dtype) for name, tensor in self.tensors.items()})


def trained_in(dtype: torch.dtype) -> torch.dtype:
    """Return the precision trained tensors, heads and losses have where the backbone computes in ``dtype``.

    Steps of an optimizer are smaller than 16 bits can tell apart, so what is trained has 32.
    """
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


@dataclass(frozen=True)
class PassHook:
    """What the lanes of one pass add to the backbone; see :class:`~adapterlab.train.layers.Hook`."""

    seats: Sequence[Seat]
    """The lanes, those of equal group side by side."""
    batch: Pass
    """Their rows."""

    @cached_property
    def sites(self) -> frozenset[str]:
        """Where some lane adds something."""
        return frozenset(site for seat in self.seats for site in seat.adaptation.sites)

    @cached_property
    def _groups(self) -> list[list[int]]:
        groups: list[list[int]] = []
        for index, seat in enumerate(self.seats):
            if groups and self.seats[groups[-1][0]].adaptation.group == seat.adaptation.group:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def __call__(self, site: str, layer: int, x: Tensor, y: Tensor) -> Tensor | None:
        """Return what is added at a site, zeros for lanes that do not attach there."""
        outputs: list[Tensor] = []
        slices = self.batch.slices_of(x)
        for group in self._groups:
            start, end = slices[group[0]].start, slices[group[-1]].stop
            first = self.seats[group[0]].adaptation
            shared = first.shared(site, layer, x[start:end]) if site in first.sites else None
            for index in group:
                seat, rows = self.seats[index], slices[index]
                if site not in seat.adaptation.sites:
                    outputs.append(y.new_zeros(rows.stop - rows.start, y.shape[1]))
                    continue
                part = None if shared is None else shared[rows.start - start : rows.stop - start]
                outputs.append(
                    seat.adaptation.forward(seat.tensors, site, layer, x[rows], y[rows], part, seat.generator)
                )
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def hidden_states(backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle]) -> list[Tensor]:
    """Return the last hidden states of each lane, (B_k, S_k, d), zeros at padding.

    Lanes share one pass; a lane that trains the backbone's own weights has one of its own.

    Args:
        backbone: The shared frozen backbone.
        seats: The lanes, those of equal group side by side.
        rectangles: Their rows.
    """
    states = _states(backbone, seats, rectangles, first_only=False)
    grids = [
        one if each.places is None else spread(one, each.places, each.token_ids.numel())
        for one, each in zip(states, rectangles, strict=True)
    ]
    return [one.view(*each.token_ids.shape, -1) for one, each in zip(grids, rectangles, strict=True)]


def first_states(backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle]) -> list[Tensor]:
    """Return the last hidden states of each sequence's first token, (B_k, d) a lane: what heads read.

    The same numbers as :func:`hidden_states` gives there, without computing the others' last layer.

    Args:
        backbone: The shared frozen backbone.
        seats: The lanes, those of equal group side by side.
        rectangles: Their rows.
    """
    if any(seat.adaptation.means is not None for seat in seats):  # every token counts there
        return [states[:, 0] for states in hidden_states(backbone, seats, rectangles)]
    return _states(backbone, seats, rectangles, first_only=True)


def _states(
    backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle], *, first_only: bool
) -> list[Tensor]:
    alone = [[i] for i, seat in enumerate(seats) if seat.adaptation.exclusive]
    together = [i for i, seat in enumerate(seats) if not seat.adaptation.exclusive]
    found: dict[int, Tensor] = {}
    for places in [together, *alone] if together else alone:
        batch = Pass(tuple(rectangles[i] for i in places))
        sharing = [seats[i].computing_in(backbone.dtype) for i in places]
        base = backbone.with_weights(sharing[0].tensors) if sharing[0].adaptation.exclusive else backbone
        packed = base.forward(
            batch,
            PassHook(sharing, batch),
            [seat.backbone_generator for seat in sharing],
            first_only=first_only,
        )
        packed = packed.to(trained_in(backbone.dtype))
        for i, rows in zip(places, batch.slices_of(packed), strict=True):
            found[i] = packed[rows]
    return [found[i] for i in range(len(seats))]
