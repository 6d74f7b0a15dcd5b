"""Attention of sequences of any lanes, with a mask of dropped probabilities where the lanes ask for it.

Shapes: ``B`` sequences, ``H`` heads, ``Q`` tokens that look, ``S`` tokens looked at, ``e = d / H``.

Source: Vaswani et al. (arXiv 1706.03762), equation 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CACHED_BYTES = 2 << 20
"""Scores computed at a time on a CPU: about what a core's own cache holds. A batch of 32 × 128 tokens has
12 times as much, and every pass over it would go to memory."""


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, keep: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """Return what each query gathers, (B, H, Q, e).

    Args:
        q: Queries, (B, H, Q, e).
        k: Keys, (B, H, S, e).
        v: Values, (B, H, S, e).
        mask: True at tokens that may be looked at, (B, 1, 1, S); ``None``: all.
        keep: 0 at attention probabilities that are dropped, 1 elsewhere, (B, H, Q, S); ``None``: none is.
        share: The chance of a 1.
    """
    if keep is None and not _torch_is_slow(q):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    gathered: Tensor = _Attention.apply(q, k, v, mask, keep, share)  # type: ignore[no-untyped-call]
    return gathered


@dataclass(frozen=True)
class Bias:
    """What is added to the scores."""

    added: Tensor
    """(1 or B, H, Q, S)."""
    scale: float
    """What the products of contents are multiplied by before."""


def biased_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    bias: Bias,
    keep: Tensor | None = None,
    share: float = 1.0,
) -> Tensor:
    """Return what each query gathers where scores are more than products of contents, (B, H, Q, e).

    Written out, because gradients flow into the bias: through contents, and where the weights themselves train.

    Args:
        q: Queries, (B, H, Q, e).
        k: Keys, (B, H, S, e).
        v: Values, (B, H, S, e).
        mask: True at tokens that may be looked at, (B, 1, 1, S); ``None``: all.
        bias: Added to the scores.
        keep: 0 at attention probabilities that are dropped, 1 elsewhere, (B, H, Q, S); ``None``: none is.
        share: The chance of a 1.
    """
    scores = (q @ k.transpose(-1, -2)) * bias.scale + bias.added
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = torch.softmax(scores, -1)
    if keep is not None:
        weights = weights * keep / share
    return weights @ v


def _torch_is_slow(q: Tensor) -> bool:
    """Return whether torch's own attention is slower than plain products.

    In 16 bits on a CPU its backward pass takes three to six times as long as they do.
    """
    return q.device.type == "cpu" and q.dtype is torch.bfloat16


class _Attention(torch.autograd.Function):
    """Attention, with given dropout if any, that keeps the probabilities and an 8-bit mask, and no copies.

    Written out, autograd would keep the probabilities twice, a mask of 32 bits and contiguous copies of
    queries, keys and values: three times the memory.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, keep: Tensor | None, share: float
    ) -> Tensor:
        kept = any(ctx.needs_input_grad)
        gathered, probabilities = torch.ops.adapterlab_encoder.attend(q, k, v, mask, keep, share, kept)
        ctx.share = share
        ctx.save_for_backward(q, k, v, probabilities, keep)
        return gathered  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, probabilities, keep = ctx.saved_tensors
        gradients = torch.ops.adapterlab_encoder.attend_backward(
            gradient, q, k, v, probabilities, keep, ctx.share
        )
        return *gradients, None, None, None


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, keep: Tensor | None, share: float, kept: bool
) -> tuple[Tensor, Tensor]:
    """Return what is gathered and, if they are kept, the probabilities before dropout, (B, H, Q, S)."""
    probabilities = q.new_empty(*q.shape[:3], k.shape[2] if kept else 0)
    gathered = _empty_like(q)
    bias = None if mask is None else torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, -math.inf)
    for rows in _chunks(q, k):
        scores = (q[rows] @ k[rows].transpose(-1, -2)).mul_(1 / math.sqrt(q.shape[-1]))
        if bias is not None:
            scores += bias[rows]
        weights = torch.softmax(scores, -1, out=probabilities[rows] if kept else None)
        if keep is not None:
            weights = scores.copy_(keep[rows]).mul_(weights)  # into room there is, not a third
        gathered[rows] = weights @ v[rows]
    return (gathered if keep is None else gathered.mul_(1 / share)), probabilities


def _attend_backward(
    gradient: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    probabilities: Tensor,
    keep: Tensor | None,
    share: float,
) -> tuple[Tensor, Tensor, Tensor]:
    if keep is not None:
        gradient = gradient / share
    to_q, to_k, to_v = (_empty_like(one) for one in (q, k, v))
    for rows in _chunks(q, k):
        weights = probabilities[rows]
        to_weights = gradient[rows] @ v[rows].transpose(-1, -2)
        dropped = weights
        if keep is not None:
            mask = torch.empty_like(weights).copy_(keep[rows])
            to_weights.mul_(mask)
            dropped = mask.mul_(weights)
        to_v[rows] = dropped.transpose(-1, -2) @ gradient[rows]
        # The operator behind softmax's own gradient: P ⊙ (G − Σ G ⊙ P) in one pass over memory.
        to_scores = torch.ops.aten._softmax_backward_data(to_weights, weights, -1, q.dtype)
        to_scores.mul_(1 / math.sqrt(q.shape[-1]))
        to_q[rows] = to_scores @ k[rows]
        to_k[rows] = to_scores.transpose(-1, -2) @ q[rows]
    return to_q, to_k, to_v


# To torch's dispatcher each is one operation on any device, as a kernel would be: how many sequences a
# core's cache holds is nobody else's concern.
_LIBRARY: Any = torch.library.Library("adapterlab_encoder", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(
    "attend(Tensor q, Tensor k, Tensor v, Tensor? mask, Tensor? keep, float share, bool kept) -> (Tensor, Tensor)"
)
_LIBRARY.define(
    "attend_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor probabilities, Tensor? keep, "
    "float share) -> (Tensor, Tensor, Tensor)"
)
_LIBRARY.impl("attend", _attend, "CompositeExplicitAutograd")
_LIBRARY.impl("attend_backward", _attend_backward, "CompositeExplicitAutograd")


def _chunks(q: Tensor, k: Tensor) -> Iterator[slice]:
    """Yield the sequences to compute together: all on a GPU, on a CPU what its cache holds."""
    rows, heads, looking, _ = q.shape
    size = rows
    if q.device.type == "cpu":
        size = max(1, _CACHED_BYTES // max(1, heads * looking * k.shape[2] * q.element_size()))
    for first in range(0, rows, size):
        yield slice(first, first + size)


def _empty_like(x: Tensor) -> Tensor:
    """Return room for a tensor like ``x``, (B, H, Q, e), that lies in memory as (B, Q, H, e)."""
    return torch.empty_like(x.transpose(1, 2), memory_format=torch.contiguous_format).transpose(1, 2)
