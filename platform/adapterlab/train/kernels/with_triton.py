"""The fused operations as Triton kernels: dropout and attention that keep no mask and no probabilities.

Each kernel draws the numbers of :mod:`adapterlab.train.counters` where it needs them, forward and backward alike. What
they compute is what :mod:`adapterlab.train.kernels.plain` says. Attention goes over the keys a block at a time and
keeps one number a row (Dao et al., FlashAttention, arXiv 2205.14135, algorithms 1 and 4), over rows of any
lengths that lie one after another, without padding.

Needs Triton, which torch's CUDA builds bring on Linux; under its interpreter (``TRITON_INTERPRET=1``) the kernels
run on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from adapterlab.train import counters
from adapterlab.train.counters import SiteWords
from adapterlab.train.kernels.arguments import FLAT_COLUMNS, Attended, Drawn, Moments, Stepped
from adapterlab.train.transfer import on_device

_COLUMN_STEP = tl.constexpr(counters.COLUMN_STEP)
_FIRST_MIX = tl.constexpr(counters.FIRST_MIX)
_SECOND_MIX = tl.constexpr(counters.SECOND_MIX)
_WARPS = 4
BLOCKS = {2: (64, 32), 4: (32, 32), 8: (32, 32)}
"""Rows that look and rows looked at in a block, by bytes a number: the largest whose kernels spill nothing of
a Hopper card's registers into memory."""
_LAID = 1024
"""Most entries of a row that a program lays."""
_STEPPED = 1024
"""Entries of a tensor that a program of AdamW takes at a time."""
_MOST_BLOCKS = 1024
"""Programs for a tensor: large ones take several turns, so that small ones beside them do not start many for nothing."""
_SUMS = {torch.float64: tl.float64}
"""Precision of sums, where it is not 32 bits."""


def drop(x: Tensor, residual: Tensor | None, drawn: Drawn) -> Tensor:
    """Return ``x``, of which entries are zeroed and the rest scaled, with what is added to it, (N, d)."""
    rows, width = x.shape
    out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    if rows == 0:
        return out
    x = _in_rows(x)
    added = x if residual is None else _in_rows(residual)
    _drop[(rows,)](
        x, added, out, x.stride(0), added.stride(0), drawn.keys, drawn.lanes, drawn.places,
        *drawn.site, drawn.dropped, 1 / drawn.share, width,
        ADDS=residual is not None, BLOCK=triton.next_power_of_2(width), SUMS=_sums(x), num_warps=_WARPS,
    )  # fmt: skip
    return out


def keep(keys: Tensor, sizes: list[int], dropped: Tensor, site: SiteWords) -> Tensor:
    """Return lanes' masks one after another, 1 where an entry is kept, (Σ sizes,), uint8."""
    mask = torch.empty(sum(sizes), dtype=torch.uint8, device=keys.device)
    if len(mask) == 0:
        return mask
    ends = on_device(list(accumulate(sizes, initial=0)), torch.int64, keys.device)
    rows = -(-max(sizes) // FLAT_COLUMNS)
    _keep[(rows, len(sizes))](mask, ends, keys, dropped, *site, BLOCK=FLAT_COLUMNS, num_warps=_WARPS)
    return mask


def lay(x: Tensor, rows: Tensor) -> Tensor:
    """Return the given rows of ``x``, zeros where a row is -1, (N, …) -> (M, …)."""
    x = x.contiguous()
    out = torch.empty(len(rows), *x.shape[1:], dtype=x.dtype, device=x.device)
    if out.numel():
        width = out.numel() // len(rows)
        block = min(_LAID, triton.next_power_of_2(width))
        _lay[(len(rows), -(-width // block))](x, rows, out, width, BLOCK=block, num_warps=_WARPS)
    return out


def attend(q: Tensor, k: Tensor, v: Tensor, at: Attended) -> tuple[Tensor, Tensor]:
    """Return what rows gather, (Q, H·e), and the logarithm of each one's sum of exponentials, (H, Q)."""
    q, k, v = _in_rows(q), _in_rows(k), _in_rows(v)
    shape = _Shape(q, k, at)
    gathered = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    sums = torch.empty(
        at.heads, len(q), dtype=torch.float64 if shape.wide else torch.float32, device=q.device
    )
    _attend[shape.grid(shape.looking, shape.block_q)](
        q, k, v, gathered, sums, q.stride(0), k.stride(0), v.stride(0), *shape.told, **shape.settings
    )
    return gathered, sums


def attend_backward(
    gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, gathered: Tensor, sums: Tensor, at: Attended
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values, of which only the sums were kept."""
    q, k, v, gradient = _in_rows(q), _in_rows(k), _in_rows(v), gradient.contiguous()
    shape = _Shape(q, k, at)
    to_q, to_k, to_v = (torch.empty(one.shape, dtype=one.dtype, device=one.device) for one in (q, k, v))
    given = (q, k, v, gathered, gradient, sums)
    strides = (q.stride(0), k.stride(0), v.stride(0))
    _to_queries[shape.grid(shape.looking, shape.block_q)](
        *given, to_q, *strides, *shape.told, **shape.settings
    )
    _to_keys[shape.grid(at.longest, shape.block_k)](
        *given, to_k, to_v, *strides, *shape.told, **shape.settings
    )
    return to_q, to_k, to_v


def adamw(
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: Moments,
    scales: Tensor,
    diverged: Tensor,
    stepped: Stepped,
) -> None:
    """Take a step for tensors of runs, in place, in one launch; all of them are contiguous, in 32 bits."""
    if not tensors:
        return
    device = scales.device
    dense = [one.contiguous() for one in gradients]  # held until the kernel was launched
    addresses = zip(tensors, dense, *moments[:2], stepped.runs, strict=True)
    places = [(*(one.data_ptr() for one in given), given[0].numel(), run) for *given, run in addresses]
    numbers = list(
        zip(stepped.shrinks, stepped.rates, stepped.corrections, stepped.before, stepped.after, strict=True)
    )
    blocks = -(-max(one.numel() for one in tensors) // _STEPPED)
    _adamw[(max(1, min(blocks, _MOST_BLOCKS)), len(tensors))](
        on_device(places, torch.int64, device), on_device(numbers, torch.float32, device), scales, diverged,
        1 - moments.beta1, moments.beta2, 1 - moments.beta2, BLOCK=_STEPPED, num_warps=_WARPS,
    )  # fmt: skip


class _Shape:
    """How a call of attention is cut into blocks, and what its kernels are told beside tensors of rows."""

    def __init__(self, q: Tensor, k: Tensor, at: Attended) -> None:
        width = q.shape[1] // at.heads
        self.wide = q.dtype is torch.float64
        self.looking = at.longest if len(q) == len(k) else 1
        self.block_q, self.block_k = BLOCKS[q.element_size()]
        self._programs = len(at.starts) * at.heads
        drawn = at.drawn
        self.told = (
            at.starts, at.lengths, drawn.keys, drawn.lanes, drawn.places, *drawn.site, drawn.dropped,
            1 / drawn.share, 1 / math.sqrt(width), at.heads, width, len(q), int(len(q) != len(k)),
        )  # fmt: skip
        self.settings: dict[str, Any] = {
            "DROPS": drawn.dropped > 0,
            "BLOCK_Q": self.block_q,
            "BLOCK_K": self.block_k,
            "BLOCK_E": max(16, triton.next_power_of_2(width)),
            "SUMS": _sums(q),
            "num_warps": _WARPS,
        }

    def grid(self, rows: int, block: int) -> tuple[int, int]:
        """Return the programs over blocks of a sequence's rows; only the first axis has no low limit."""
        return self._programs, -(-rows // block)


def _in_rows(x: Tensor) -> Tensor:
    """Return ``x`` with the numbers of a row one after another; the rows themselves may lie anywhere."""
    return x if x.stride(1) == 1 else x.contiguous()


def _sums(x: Tensor) -> Any:
    return _SUMS.get(x.dtype, tl.float32)


@triton.jit
def _words(key, first, second, site0, site1):
    """Return the two words of rows; ``first`` is a block, all others are scalars."""
    zero = first * 0
    word, other, _, _ = tl.philox(key, first, second + zero, site0 + zero, site1 + zero)
    return word, other


@triton.jit
def _is_kept(word, other, column, dropped):
    x = word + column.to(tl.uint32) * _COLUMN_STEP
    x = (x ^ (x >> 16)) * _FIRST_MIX
    x = (x ^ (x >> 15) ^ other) * _SECOND_MIX
    return ((x ^ (x >> 16)) >> 16).to(tl.int32) >= dropped


@triton.jit(do_not_specialize=["site0", "site1", "dropped"])
def _drop(
    x, added, out, x_stride, added_stride, keys, lanes, places, site0, site1, dropped, factor, width,
    ADDS: tl.constexpr, BLOCK: tl.constexpr, SUMS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    key = tl.load(keys + tl.load(lanes + row))
    first = tl.zeros([1], dtype=tl.int32) + tl.load(places + row).to(tl.int32)
    word, other = _words(key, first, 0, site0, site1)
    columns = tl.arange(0, BLOCK)
    inside = columns < width
    values = tl.load(x + row * x_stride + columns, mask=inside, other=0.0).to(SUMS)
    values = tl.where(_is_kept(word, other, columns, dropped), values * factor, 0.0)
    if ADDS:
        values += tl.load(added + row * added_stride + columns, mask=inside, other=0.0).to(SUMS)
    tl.store(out + row * width + columns, values.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["site0", "site1"])
def _keep(mask, ends, keys, dropped, site0, site1, BLOCK: tl.constexpr):
    row, lane = tl.program_id(0), tl.program_id(1)
    start, end = tl.load(ends + lane), tl.load(ends + lane + 1)
    word, other = _words(tl.load(keys + lane), tl.zeros([1], dtype=tl.int32) + row, 0, site0, site1)
    columns = tl.arange(0, BLOCK)
    places = start + row.to(tl.int64) * BLOCK + columns
    stays = _is_kept(word, other, columns, tl.load(dropped + lane))
    tl.store(mask + places, stays.to(tl.uint8), mask=places < end)


@triton.jit
def _lay(x, rows, out, width, BLOCK: tl.constexpr):
    cell = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + cell)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < width
    values = tl.load(x + row * width + columns, mask=inside & (row >= 0), other=0.0)
    tl.store(out + cell * width + columns, values, mask=inside)


@triton.jit
def _adamw(places, numbers, scales, diverged, one_minus_beta1, beta2, one_minus_beta2, BLOCK: tl.constexpr):
    tensor = tl.program_id(1)
    at, told = places + tensor * 6, numbers + tensor * 5
    size, run = tl.load(at + 4), tl.load(at + 5)
    if tl.load(diverged + run) == 0:
        kind = tl.pointer_type(tl.float32)
        theta, gradient = tl.load(at).to(kind), tl.load(at + 1).to(kind)
        means, squares = tl.load(at + 2).to(kind), tl.load(at + 3).to(kind)
        scale, shrink, rate = tl.load(scales + run).to(tl.float32), tl.load(told), tl.load(told + 1)
        correction, before, after = tl.load(told + 2), tl.load(told + 3), tl.load(told + 4)
        for begin in range(tl.program_id(0).to(tl.int64) * BLOCK, size, tl.num_programs(0) * BLOCK):
            own = begin + tl.arange(0, BLOCK)
            inside = own < size
            scaled = tl.load(gradient + own, mask=inside, other=0.0) * scale
            mean = tl.load(means + own, mask=inside, other=0.0)
            mean += (scaled - mean) * one_minus_beta1
            square = tl.load(squares + own, mask=inside, other=0.0) * beta2
            square += scaled * scaled * one_minus_beta2
            root = (tl.sqrt(square) + before) / correction + after
            moved = tl.load(theta + own, mask=inside, other=0.0) * shrink - rate * (mean / root)
            tl.store(theta + own, moved, mask=inside)
            tl.store(means + own, mean, mask=inside)
            tl.store(squares + own, square, mask=inside)


@triton.jit
def _block(x, rows, stride, head, width, within, E: tl.constexpr):
    """Load a head's part of rows, (rows, E), zeros outside."""
    columns = tl.arange(0, E)
    inside = within[:, None] & (columns < width)[None, :]
    return tl.load(x + rows[:, None] * stride + head * width + columns[None, :], mask=inside, other=0.0)


@triton.jit
def _store(x, values, rows, stride, head, width, within, E: tl.constexpr):
    columns = tl.arange(0, E)
    inside = within[:, None] & (columns < width)[None, :]
    tl.store(
        x + rows[:, None] * stride + head * width + columns[None, :],
        values.to(x.dtype.element_ty),
        mask=inside,
    )


@triton.jit
def _row_words(keys, lanes, places, sequence, head, heads, rows, site0, site1):
    """Return the words of rows of a sequence under a head."""
    number = tl.load(places + sequence).to(tl.int32) * heads + head
    return _words(tl.load(keys + tl.load(lanes + sequence)), rows, number, site0, site1)


@triton.jit(do_not_specialize=["site0", "site1", "dropped", "looking", "one_row"])
def _attend(
    q, k, v, gathered, sums, q_stride, k_stride, v_stride,
    starts, lengths, keys, lanes, places, site0, site1, dropped, factor, scale, heads, width, looking, one_row,
    DROPS: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_E: tl.constexpr,
    SUMS: tl.constexpr,
):  # fmt: skip
    sequence, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    start, length = tl.load(starts + sequence), tl.load(lengths + sequence).to(tl.int32)
    first = tl.where(one_row != 0, sequence.to(tl.int64), start)
    count = tl.where(one_row != 0, 1, length)
    if tl.program_id(1) * BLOCK_Q < count:
        own = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
        within = own < count
        queries = _block(q, first + own, q_stride, head, width, within, BLOCK_E)
        if DROPS:
            word, other = _row_words(keys, lanes, places, sequence, head, heads, own, site0, site1)
        most = tl.full([BLOCK_Q], float("-inf"), dtype=SUMS)
        total = tl.zeros([BLOCK_Q], dtype=SUMS)
        found = tl.zeros([BLOCK_Q, BLOCK_E], dtype=SUMS)
        for begin in range(0, length, BLOCK_K):
            seen = begin + tl.arange(0, BLOCK_K)
            there = seen < length
            at_keys = _block(k, start + seen, k_stride, head, width, there, BLOCK_E)
            scores = tl.dot(queries, tl.trans(at_keys), input_precision="ieee", out_dtype=SUMS) * scale
            scores = tl.where(there[None, :], scores, float("-inf"))
            higher = tl.maximum(most, tl.max(scores, 1))
            weights = tl.exp(scores - higher[:, None])
            shrink = tl.exp(most - higher)
            total = total * shrink + tl.sum(weights, 1)
            if DROPS:
                stays = _is_kept(word[:, None], other[:, None], seen[None, :], dropped)
                weights = tl.where(stays, weights, 0.0)
            values = _block(v, start + seen, v_stride, head, width, there, BLOCK_E)
            found = found * shrink[:, None] + tl.dot(
                weights.to(values.dtype), values, input_precision="ieee", out_dtype=SUMS
            )
            most = higher
        if DROPS:
            found = found * factor
        _store(gathered, found / total[:, None], first + own, heads * width, head, width, within, BLOCK_E)
        tl.store(sums + head.to(tl.int64) * looking + first + own, most + tl.log(total), mask=within)


@triton.jit(do_not_specialize=["site0", "site1", "dropped", "looking", "one_row"])
def _to_queries(
    q, k, v, gathered, gradient, sums, to_q, q_stride, k_stride, v_stride,
    starts, lengths, keys, lanes, places, site0, site1, dropped, factor, scale, heads, width, looking, one_row,
    DROPS: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_E: tl.constexpr,
    SUMS: tl.constexpr,
):  # fmt: skip
    sequence, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    start, length = tl.load(starts + sequence), tl.load(lengths + sequence).to(tl.int32)
    first = tl.where(one_row != 0, sequence.to(tl.int64), start)
    count = tl.where(one_row != 0, 1, length)
    if tl.program_id(1) * BLOCK_Q < count:
        own = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)
        within = own < count
        queries = _block(q, first + own, q_stride, head, width, within, BLOCK_E)
        above = _block(gradient, first + own, heads * width, head, width, within, BLOCK_E)
        out = _block(gathered, first + own, heads * width, head, width, within, BLOCK_E)
        product = tl.sum(above.to(SUMS) * out.to(SUMS), 1)
        low = tl.load(sums + head.to(tl.int64) * looking + first + own, mask=within, other=0.0)
        if DROPS:
            word, other = _row_words(keys, lanes, places, sequence, head, heads, own, site0, site1)
        found = tl.zeros([BLOCK_Q, BLOCK_E], dtype=SUMS)
        for begin in range(0, length, BLOCK_K):
            seen = begin + tl.arange(0, BLOCK_K)
            there = seen < length
            at_keys = _block(k, start + seen, k_stride, head, width, there, BLOCK_E)
            values = _block(v, start + seen, v_stride, head, width, there, BLOCK_E)
            scores = tl.dot(queries, tl.trans(at_keys), input_precision="ieee", out_dtype=SUMS) * scale
            weights = tl.where(there[None, :], tl.exp(scores - low[:, None]), 0.0)
            to_weights = tl.dot(above, tl.trans(values), input_precision="ieee", out_dtype=SUMS)
            if DROPS:
                stays = _is_kept(word[:, None], other[:, None], seen[None, :], dropped)
                to_weights = tl.where(stays, to_weights * factor, 0.0)
            to_scores = weights * (to_weights - product[:, None]) * scale
            found += tl.dot(to_scores.to(at_keys.dtype), at_keys, input_precision="ieee", out_dtype=SUMS)
        _store(to_q, found, first + own, heads * width, head, width, within, BLOCK_E)


@triton.jit(do_not_specialize=["site0", "site1", "dropped", "looking", "one_row"])
def _to_keys(
    q, k, v, gathered, gradient, sums, to_k, to_v, q_stride, k_stride, v_stride,
    starts, lengths, keys, lanes, places, site0, site1, dropped, factor, scale, heads, width, looking, one_row,
    DROPS: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_E: tl.constexpr,
    SUMS: tl.constexpr,
):  # fmt: skip
    sequence, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    start, length = tl.load(starts + sequence), tl.load(lengths + sequence).to(tl.int32)
    first = tl.where(one_row != 0, sequence.to(tl.int64), start)
    count = tl.where(one_row != 0, 1, length)
    if tl.program_id(1) * BLOCK_K < length:
        seen = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
        there = seen < length
        at_keys = _block(k, start + seen, k_stride, head, width, there, BLOCK_E)
        values = _block(v, start + seen, v_stride, head, width, there, BLOCK_E)
        found_k = tl.zeros([BLOCK_K, BLOCK_E], dtype=SUMS)
        found_v = tl.zeros([BLOCK_K, BLOCK_E], dtype=SUMS)
        for begin in range(0, count, BLOCK_Q):
            own = begin + tl.arange(0, BLOCK_Q)
            within = own < count
            queries = _block(q, first + own, q_stride, head, width, within, BLOCK_E)
            above = _block(gradient, first + own, heads * width, head, width, within, BLOCK_E)
            out = _block(gathered, first + own, heads * width, head, width, within, BLOCK_E)
            product = tl.sum(above.to(SUMS) * out.to(SUMS), 1)
            low = tl.load(sums + head.to(tl.int64) * looking + first + own, mask=within, other=0.0)
            scores = tl.dot(queries, tl.trans(at_keys), input_precision="ieee", out_dtype=SUMS) * scale
            weights = tl.where(within[:, None] & there[None, :], tl.exp(scores - low[:, None]), 0.0)
            to_weights = tl.dot(above, tl.trans(values), input_precision="ieee", out_dtype=SUMS)
            kept_weights = weights
            if DROPS:
                word, other = _row_words(keys, lanes, places, sequence, head, heads, own, site0, site1)
                stays = _is_kept(word[:, None], other[:, None], seen[None, :], dropped)
                to_weights = tl.where(stays, to_weights * factor, 0.0)
                kept_weights = tl.where(stays, weights * factor, 0.0)
            to_scores = weights * (to_weights - product[:, None]) * scale
            found_v += tl.dot(
                tl.trans(kept_weights.to(above.dtype)), above, input_precision="ieee", out_dtype=SUMS
            )
            found_k += tl.dot(
                tl.trans(to_scores.to(queries.dtype)), queries, input_precision="ieee", out_dtype=SUMS
            )
        _store(to_k, found_k, start + seen, heads * width, head, width, there, BLOCK_E)
        _store(to_v, found_v, start + seen, heads * width, head, width, there, BLOCK_E)
