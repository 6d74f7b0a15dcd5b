"""Tensors of lanes that are computed together: by name, stacked and in another precision where they are read.

A lane keeps its tensors to itself. Those of a cohort lie one after another in one piece of memory, so that
stacking them is no copy; they are laid so anew when lanes join or leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from adapterlab.train.packing import is_consecutive, stacked

_HEAD = "head."
"""What the names of a head's tensors begin with."""


class Together(Mapping[str, Tensor]):
    """The tensors of K lanes, (K, …) each, stacked when first read.

    Args:
        lanes: Each lane's tensors; those that are read have equal shapes.
    """

    def __init__(self, lanes: Sequence[Mapping[str, Tensor]]) -> None:
        self._lanes, self._known = lanes, dict[str, Tensor]()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            self._known[name] = stacked([one[name] for one in self._lanes])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lanes[0])

    def __len__(self) -> int:
        return len(self._lanes[0])


class InPrecision(Mapping[str, Tensor]):
    """Tensors in the precision of a pass, converted when first read; gradients flow to what is converted.

    Args:
        tensors: By name.
        dtype: The precision.
    """

    def __init__(self, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self._tensors, self._dtype, self._known = tensors, dtype, dict[str, Tensor]()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            self._known[name] = self._tensors[name].to(self._dtype)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def head_shapes(tensors: Mapping[str, Tensor]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return names and shapes of a head's tensors."""
    return tuple((name, tuple(one.shape)) for name, one in tensors.items() if name.startswith(_HEAD))


class Holder(Protocol):
    """Whoever owns tensors that may move to another place in memory."""

    tensors: dict[str, Tensor]


def lay_together(lanes: Sequence[Holder], *, head: bool) -> None:
    """Lay lanes' tensors one after another in memory; no value changes.

    Args:
        lanes: Lanes that are computed together; tensors that differ in shape stay where they are.
        head: Which tensors, those of the heads or all others.
    """
    for name in lanes[0].tensors:
        own = [lane.tensors[name] for lane in lanes if name.startswith(_HEAD) is head]
        if len(own) < 2 or len({one.shape for one in own}) > 1 or is_consecutive(own):
            continue
        with torch.no_grad():
            whole = torch.stack(own)  # (K, …)
        for lane, before, part in zip(lanes, own, whole.unbind(), strict=True):
            lane.tensors[name] = part.detach().requires_grad_(before.requires_grad)
