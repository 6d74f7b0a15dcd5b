"""What a lane adds to the frozen backbone: its own adapter, or a combination of frozen ones.

Lanes whose adaptations share work (the same frozen pool) form a group: the shared part runs once
over the group's rows, the rest lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from adapterlab.train.protocols import Backbone, CombinerLayer, FrozenPool, MethodLayer


class Adaptation(Protocol):
    """How a lane's tensors change the backbone's computation."""

    @property
    def group(self) -> int:
        """Lanes of equal group may share :meth:`shared`."""

    def shared(self, layer: int, x: Tensor) -> Tensor | None:
        """Return what lanes of a group have in common, for their rows together; ``None``: nothing."""

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        layer: int,
        x: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return what is added at the site for one lane's rows, (N_k, d) -> (N_k, d)."""


@dataclass(frozen=True)
class OwnAdapter:
    """Stage 1: the lane trains an adapter of its own."""

    method: MethodLayer
    settings: Any

    @property
    def group(self) -> int:
        """Own adapters share nothing, so all of them are one group."""
        return 0

    def shared(self, layer: int, x: Tensor) -> None:
        """Return nothing: every weight is the lane's own."""
        del layer, x

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        layer: int,
        x: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return the adapter's output."""
        del shared, generator  # the adapter has no dropout of its own
        return self.method.forward(self.settings, dict(tensors), layer, x)


@dataclass(frozen=True)
class SourcePool:
    """T frozen adapters, stacked layer by layer; shared by every lane that combines them."""

    method: MethodLayer
    settings: Any
    layers: tuple[FrozenPool, ...]

    @classmethod
    def build(
        cls,
        method: MethodLayer,
        settings: Any,
        adapters: Sequence[Mapping[str, Tensor]],
        backbone: Backbone,
    ) -> SourcePool:
        """Stack adapters in coefficient order, in the backbone's precision and on its device."""
        placed = [
            {name: tensor.to(device=backbone.device, dtype=backbone.dtype) for name, tensor in one.items()}
            for one in adapters
        ]
        stacked = (method.stack(settings, placed, layer) for layer in range(backbone.shape.layers))
        return cls(method, settings, tuple(stacked))

    @property
    def sources(self) -> int:
        """Number of adapters, T."""
        return self.layers[0].up.shape[0]


@dataclass(frozen=True)
class Combination:
    """Stage 2: the lane learns how to combine a frozen pool."""

    pool: SourcePool
    combiner: CombinerLayer
    dropout: float
    """Probability on the coefficients, in [0, 1)."""

    @property
    def group(self) -> int:
        """Lanes on the very same pool share its inner products."""
        return id(self.pool)

    def shared(self, layer: int, x: Tensor) -> Tensor:
        """Return the pool's inner activations, (N, d) -> (N, T·r)."""
        return self.pool.method.inner(self.pool.settings, self.pool.layers[layer], x)

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        layer: int,
        x: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return the combined output of the pool."""
        assert shared is not None
        return self.combiner.forward(
            dict(tensors),
            layer,
            self.pool.layers[layer],
            x,
            shared,
            dropout=self.dropout,
            generator=generator,
        )


@dataclass(frozen=True)
class Seat:
    """One lane's place in a pass: what it adds, with which tensors and random numbers."""

    adaptation: Adaptation
    tensors: Mapping[str, Tensor]
    generator: torch.Generator | None = None
    """Stream of the coefficients' dropout; ``None`` in evaluation."""
    backbone_generator: torch.Generator | None = field(default=None)
    """Stream of the frozen backbone's own dropout; ``None``: off."""


def residual_of(seats: Sequence[Seat], slices: Sequence[slice]) -> Callable[[int, Tensor], Tensor]:
    """Return the function a backbone calls at its sites for a pass of these seats.

    Args:
        seats: The lanes, those of equal group side by side.
        slices: Their rows in the packed tensor.
    """
    groups: list[list[int]] = []
    for index, seat in enumerate(seats):
        if groups and seats[groups[-1][0]].adaptation.group == seat.adaptation.group:
            groups[-1].append(index)
        else:
            groups.append([index])

    def residual(layer: int, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for group in groups:
            start, end = slices[group[0]].start, slices[group[-1]].stop
            shared = seats[group[0]].adaptation.shared(layer, x[start:end])
            for index in group:
                seat, rows = seats[index], slices[index]
                part = None if shared is None else shared[rows.start - start : rows.stop - start]
                outputs.append(seat.adaptation.forward(seat.tensors, layer, x[rows], part, seat.generator))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    return residual
