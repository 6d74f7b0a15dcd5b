"""What a lane adds to the frozen backbone: its own adapter, or a combination of frozen ones.

Lanes whose adaptations share work (the same frozen pool) form a group: the shared part runs once
over the group's rows, the rest lane by lane.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.records import PoolShape, Reads
from adapterlab.train.layers import Backbone, FrozenPool, HeadLayer, MethodLayer
from adapterlab.train.packing import spread
from adapterlab.train.passes import Pass, Rectangle

if TYPE_CHECKING:
    from adapterlab.train.combination import TokenMeans


class Adaptation(ABC):
    """How a lane's tensors change the backbone's computation."""

    means: TokenMeans | None = None
    """Where coefficients of every token are noted; ``None``: nowhere."""

    @property
    def exclusive(self) -> bool:
        """Whether the lane trains the backbone's own weights, so that its passes are its own."""
        return False

    @property
    @abstractmethod
    def group(self) -> int:
        """Lanes of equal group may share :meth:`shared`."""

    @property
    @abstractmethod
    def sites(self) -> tuple[str, ...]:
        """Where something is added, as the backbone names them; in the order of the points."""

    def shared(self, site: str, layer: int, x: Tensor) -> Tensor | None:
        """Return what lanes of a group have in common, for their rows together; ``None``: nothing."""
        del site, layer, x
        return None

    @abstractmethod
    def forward(
        self,
        tensors: Mapping[str, Tensor],
        at: tuple[str, int],
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return what is added at a site of a layer for one lane's rows: x (N_k, ·), y (N_k, e) -> (N_k, e)."""

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return a term of the lane's loss that does not depend on its rows; ``None``: there is none."""
        del tensors
        return None

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""
        del name
        return True

    def lr_factor(self, name: str) -> float:
        """Return a tensor's learning rate over the lane's; 1 but for few."""
        del name
        return 1.0


@dataclass(frozen=True)
class OwnAdapter(Adaptation):
    """Stage 1: the lane trains an adapter of its own."""

    method: MethodLayer

    @property
    def group(self) -> int:
        """Own adapters share nothing, so all of them are one group, whatever their methods."""
        return 0

    @property
    def sites(self) -> tuple[str, ...]:
        """The method's sites."""
        return tuple(site.name for site in self.method.sites)

    @property
    def exclusive(self) -> bool:
        """Whether the method trains the backbone's own weights."""
        return self.method.trains_backbone

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        at: tuple[str, int],
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return the adapter's output."""
        del shared, generator  # the adapter has no dropout of its own
        return self.method.forward(tensors, *at, x, y)

    def lr_factor(self, name: str) -> float:
        """Return what the method says of a tensor."""
        return self.method.lr_factor(name)


@dataclass(frozen=True)
class SourcePool:
    """T frozen adapters, stacked point by point; shared by every lane that combines them."""

    method: MethodLayer
    points: tuple[FrozenPool, ...]
    """By number of the point, see :class:`~adapterlab.records.PoolShape`."""

    @classmethod
    def build(
        cls, method: MethodLayer, adapters: Sequence[Mapping[str, Tensor]], backbone: Backbone
    ) -> SourcePool:
        """Stack adapters in coefficient order, in the backbone's precision and on its device.

        Raises:
            UsageError: The method's adapters cannot be combined.
        """
        if not method.sites:
            raise UsageError(f"adapters of {type(method).__name__} cannot be combined: they attach nowhere")
        placed = [
            {name: tensor.to(device=backbone.device, dtype=backbone.dtype) for name, tensor in one.items()}
            for one in adapters
        ]
        return cls(method, tuple(method.stack(placed, site, layer) for site, layer in method.points))

    @cached_property
    def shape(self) -> PoolShape:
        """Its points and the number of its adapters."""
        return PoolShape(self.method.shape.layers, self.method.sites, self.sources)

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the method's sites."""
        return tuple(site.name for site in self.method.sites)

    @property
    def sources(self) -> int:
        """Number of adapters, T."""
        return self.points[0].up.shape[0]


@dataclass(frozen=True)
class Seat:
    """One lane's place in a pass: what it adds and what reads it, with which tensors and random numbers."""

    adaptation: Adaptation
    tensors: Mapping[str, Tensor]
    head: HeadLayer | None = None
    """Reads the last hidden states; ``None`` where these themselves are wanted."""
    generator: torch.Generator | None = None
    """Stream of the coefficients' dropout; ``None`` in evaluation."""
    backbone_generator: torch.Generator | None = field(default=None)
    """Stream of the frozen backbone's own dropout; ``None``: off."""

    def computing_in(self, dtype: torch.dtype) -> Seat:
        """Return the seat with its tensors in the precision of the pass; gradients flow to its own."""
        if all(tensor.dtype is dtype for tensor in self.tensors.values()):
            return self
        return replace(self, tensors={name: tensor.to(dtype) for name, tensor in self.tensors.items()})

    @property
    def reads(self) -> Reads:
        """Which states its head reads."""
        return Reads.FIRST if self.head is None else self.head.reads

    def outputs(
        self,
        states: Tensor,
        rectangle: Rectangle,
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the head's outputs for what it read of a rectangle, (B·K, C)."""
        assert self.head is not None
        return self.head.forward(
            self.tensors, states, rectangle.lengths, dropout=dropout, generator=generator
        )


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
                    seat.adaptation.forward(
                        seat.tensors, (site, layer), x[rows], y[rows], part, seat.generator
                    )
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
    states = _packed_states(backbone, seats, rectangles, one_row=False)
    grids = [
        one if each.cells is None else spread(one, each.cells, each.token_ids.numel())
        for one, each in zip(states, rectangles, strict=True)
    ]
    return [one.view(*each.token_ids.shape, -1) for one, each in zip(grids, rectangles, strict=True)]


def read_states(backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle]) -> list[Tensor]:
    """Return the last hidden states that each lane's head reads: one row per sequence, or one per token.

    Where every head reads one token per sequence, the last layer is computed for these alone; the numbers
    are those of :func:`hidden_states`.

    Args:
        backbone: The shared frozen backbone.
        seats: The lanes, those of equal group side by side.
        rectangles: Their rows.

    Returns:
        For each lane (B_k, d), or (tokens_k, d) for a head that reads every token.
    """
    one_row = all(
        seat.reads in (Reads.FIRST, Reads.LAST) and seat.adaptation.means is None  # means are over all tokens
        for seat in seats
    )
    states = _packed_states(backbone, seats, rectangles, one_row=one_row)
    if one_row:
        return states
    return [
        rectangle.read(one, seat.reads)
        for one, seat, rectangle in zip(states, seats, rectangles, strict=True)
    ]


def _packed_states(
    backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle], *, one_row: bool
) -> list[Tensor]:
    """Return each lane's last hidden states, (tokens_k, d), or (B_k, d) of the tokens that heads read."""
    alone = [[i] for i, seat in enumerate(seats) if seat.adaptation.exclusive]
    together = [i for i, seat in enumerate(seats) if not seat.adaptation.exclusive]
    found: dict[int, Tensor] = {}
    for members in [together, *alone] if together else alone:
        batch = Pass(tuple(rectangles[i] for i in members))
        sharing = [seats[i].computing_in(backbone.dtype) for i in members]
        base = backbone.with_weights(sharing[0].tensors) if sharing[0].adaptation.exclusive else backbone
        packed = base.forward(
            batch,
            PassHook(sharing, batch),
            [seat.backbone_generator for seat in sharing],
            rows=batch.rows_read([seat.reads for seat in sharing]) if one_row else None,
        )
        packed = packed.to(trained_in(backbone.dtype))
        for i, rows in zip(members, batch.slices_of(packed), strict=True):
            found[i] = packed[rows]
    return [found[i] for i in range(len(seats))]
