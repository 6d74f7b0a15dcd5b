"""Rows of real tokens and the padded grids they come from, each the other's gradient; and lanes side by side.

Shapes: ``N`` real tokens, ``M`` cells of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.train.kernels import library
from adapterlab.train.transfer import on_device


def spread(x: Tensor, places: Tensor, cells: int) -> Tensor:
    """Return a grid with the rows of ``x`` at their places and zeros elsewhere, (N, …) -> (M, …).

    Args:
        x: One row a real token.
        places: Cell of each row, (N,), int64, none of them twice.
        cells: Cells of the grid, M.
    """
    grid: Tensor = _Spread.apply(x, places, cells)  # type: ignore[no-untyped-call]
    return grid


def pick(grid: Tensor, places: Tensor) -> Tensor:
    """Return the rows of a grid at the given places, (M, …) -> (N, …).

    Args:
        grid: One row a cell.
        places: Cells to take, (N,), int64, none of them twice.
    """
    rows: Tensor = _Pick.apply(grid, places)  # type: ignore[no-untyped-call]
    return rows


# Torch's own indexing adds gradients up, for places may repeat; these do not, so copying is enough.


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor, cells: int) -> Tensor:
        ctx.save_for_backward(places)
        return x.new_zeros(cells, *x.shape[1:]).index_copy_(0, places, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Pick(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grid: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.cells = len(grid)
        return grid.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.cells, *gradient.shape[1:]).index_copy_(0, places, gradient), None


class _Apart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cells: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return library.OPERATIONS.lay(x, cells)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Together(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grid: Tensor, cells: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(cells)
        return grid.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (cells,) = ctx.saved_tensors
        return library.OPERATIONS.lay(gradient, cells), None, None


@dataclass(frozen=True)
class LaneRows:
    """Rows of several lanes one after another, and the same rows lane by lane.

    Shapes: ``N`` rows of all lanes, ``K`` lanes, ``R`` rows of the lane that has most.
    """

    sizes: tuple[int, ...]
    """Rows of each lane."""
    device: torch.device

    def apart(self, x: Tensor) -> Tensor:
        """Return the rows lane by lane, zeros below a lane's own, (N, …) -> (K, R, …)."""
        if self._ragged is not None:
            x = _Apart.apply(x, *self._ragged)  # type: ignore[no-untyped-call]
        return x.reshape(len(self.sizes), -1, *x.shape[1:])

    def together(self, x: Tensor) -> Tensor:
        """Return the lanes' own rows one after another, (K, R, …) -> (N, …)."""
        flat = x.flatten(0, 1)
        if self._ragged is None:
            return flat
        rows: Tensor = _Together.apply(flat, *self._ragged)  # type: ignore[no-untyped-call]
        return rows

    def sums(self, x: Tensor) -> Tensor:
        """Return the sum of each lane's rows, (N,) -> (K,)."""
        return self.apart(x).sum(1)

    @cached_property
    def _ragged(self) -> tuple[Tensor, Tensor] | None:
        """The row in each cell or -1, (K·R,), and the cell of each row, (N,), int64.

        ``None``: lanes have equally many rows, so that nothing is moved.
        """
        if len(set(self.sizes)) == 1:
            return None
        widest = max(self.sizes)
        places = np.concatenate([lane * widest + np.arange(size) for lane, size in enumerate(self.sizes)])
        cells = np.full(len(self.sizes) * widest, -1)
        cells[places] = np.arange(len(places))
        return on_device(cells, torch.int64, self.device), on_device(places, torch.int64, self.device)


def is_consecutive(tensors: Sequence[Tensor]) -> bool:
    """Return whether tensors of one shape lie one after another in one piece of memory."""
    first = tensors[0]
    start, size = first.storage_offset(), first.numel()
    return all(
        one.is_contiguous()
        and one.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and one.storage_offset() == start + place * size
        for place, one in enumerate(tensors)
    )


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Return lanes' tensors as one, (…) each -> (K, …); without a copy if they are consecutive.

    They may differ in one dimension, which zeros fill up to the widest. The gradient of each is its part of
    the whole's.
    """
    if len(tensors) == 1:
        return tensors[0].unsqueeze(0)
    differing = {
        place
        for one in tensors
        for place, (own, first) in enumerate(zip(one.shape, tensors[0].shape, strict=True))
        if own != first
    }
    if not differing:
        whole: Tensor = _Stacked.apply(*tensors)  # type: ignore[no-untyped-call]
        return whole
    (place,) = differing
    joined: Tensor = _Joined.apply(place, *tensors)  # type: ignore[no-untyped-call]
    rows = LaneRows(tuple(one.shape[place] for one in tensors), joined.device)
    return rows.apart(joined.movedim(place, 0)).movedim(1, 1 + place)  # (Σ w, …) -> (K, w, …) -> (K, …, w, …)


class _Stacked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        del ctx
        if not is_consecutive(tensors):
            return torch.stack(tensors)
        first = tensors[0]
        shape, strides = (len(tensors), *first.shape), (first.numel(), *first.stride())
        # Not as_strided, which would be a view of the first lane's tensor to autograd.
        return first.new_empty(0).set_(first.untyped_storage(), first.storage_offset(), shape, strides)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        del ctx
        # A product's gradient is often the transpose of what lies in memory; here it takes one copy, not one a lane.
        return gradient.contiguous().unbind()


class _Joined(torch.autograd.Function):
    """``torch.cat``, whose gradients are one split."""

    @staticmethod
    def forward(ctx: Any, place: int, *tensors: Tensor) -> Tensor:
        ctx.place, ctx.sizes = place, [one.shape[place] for one in tensors]
        return torch.cat(tensors, place)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *torch.split(gradient, ctx.sizes, ctx.place)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x Wᵀ + b`` of one lane or, with a leading axis everywhere, of K lanes.

    Args:
        x: (N, i) or (K, R, i).
        weight: (e, i) or (K, e, i).
        bias: (e,) or (K, e).

    Returns:
        (N, e) or (K, R, e).
    """
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    if len(weight) == 1:  # one plain product is faster than a batch of one
        return F.linear(x[0], weight[0], None if bias is None else bias[0]).unsqueeze(0)
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)
