"""Dropout and attention over the rows of a pass as they lie, with their gradients.

Shapes: ``N`` token rows, ``B`` sequences, ``Q`` rows that look (``N``, or ``B`` where one a sequence does), ``H``
heads of width ``e``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adapterlab.train.counters import levels
from adapterlab.train.kernels import library
from adapterlab.train.packed import PackedRows
from adapterlab.train.rng import Numbers


def packed_dropout(
    x: Tensor,
    residual: Tensor | None,
    rows: PackedRows,
    numbers: Numbers,
    site: Sequence[int],
    probability: float,
) -> Tensor:
    """Return ``x`` with entries zeroed and the rest scaled by ``1 / (1 - probability)``, plus a residual, (N, d).

    Args:
        x: A row a token or a row a sequence.
        residual: In the shape of ``x``; ``None``: nothing is added.
        rows: Which lane's the rows are.
        numbers: The lanes'.
        site: Where they are drawn.
        probability: In [0, 1), to the nearest multiple of 2⁻¹⁶.
    """
    own = rows.rows_of(x)
    found: Tensor = _Drop.apply(  # type: ignore[no-untyped-call]
        x,
        residual,
        numbers.on_device,
        own.lanes,
        own.places,
        *numbers.at(*site).next_words(),
        levels(probability),
    )
    return found


def packed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: int,
    rows: PackedRows,
    dropping: tuple[Numbers, Sequence[int], float] | None = None,
) -> Tensor:
    """Return what each row gathers from its sequence, (Q, H·e).

    Args:
        q: Queries of all rows, (N, H·e), or of one a sequence, (B, H·e).
        k: Keys of all rows, (N, H·e).
        v: Values of all rows, (N, H·e).
        heads: Their number, H.
        rows: Which sequence's the rows are.
        dropping: The lanes' numbers, where they are drawn, and the probability that a probability of attention is
            dropped, in [0, 1) to the nearest multiple of 2⁻¹⁶; ``None``: none is.
    """
    if dropping is None:
        none = rows.starts[:0]
        drawn: tuple[Tensor, ...] = (none, none, none)
        where: tuple[int, ...] = (0, 0, 0)
    else:
        numbers, site, probability = dropping
        drawn = (numbers.on_device, rows.sequences.lanes, rows.sequences.places)
        where = (*numbers.at(*site).next_words(), levels(probability))
    gathered: Tensor = _Attend.apply(  # type: ignore[no-untyped-call]
        q, k, v, (rows.starts, rows.lengths, *drawn), (rows.longest, heads, *where)
    )
    return gathered


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, *drawn: Any) -> Tensor:
        ctx.save_for_backward(*drawn[:3])
        ctx.where, ctx.adds = drawn[3:], residual is not None
        return library.OPERATIONS.drop(x, residual, *drawn)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        to_x = library.OPERATIONS.drop(gradient, None, *ctx.saved_tensors, *ctx.where)
        return to_x, gradient if ctx.adds else None, *(None,) * 6


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, rows: tuple[Tensor, ...], numbers: tuple[int, ...]
    ) -> Tensor:
        gathered, sums = library.OPERATIONS.attend(q, k, v, *rows, *numbers)
        ctx.save_for_backward(q, k, v, gathered, sums, *rows)
        ctx.numbers = numbers
        return gathered  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = library.OPERATIONS.attend_backward(gradient, *ctx.saved_tensors, *ctx.numbers)
        return *gradients, None, None
