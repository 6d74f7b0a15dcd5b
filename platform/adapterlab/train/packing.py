"""Rows of real tokens and the padded grids they come from, each the other's gradient.

Shapes: ``N`` real tokens, ``M`` cells of the grid.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
