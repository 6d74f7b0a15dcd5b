"""Attention of one lane, with its own dropout on the probabilities where the lane asks for it.

Shapes: ``B`` sequences, ``H`` heads, ``Q`` tokens that look, ``S`` tokens looked at, ``e = d / H``.

Source: Vaswani et al. (arXiv 1706.03762), equation 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.train.rng import keep_mask


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float, stream: torch.Generator | None
) -> Tensor:
    """Return what each query gathers, (B, H, Q, e).

    Args:
        q: Queries, (B, H, Q, e).
        k: Keys, (B, H, S, e).
        v: Values, (B, H, S, e).
        mask: True at tokens that may be looked at, (B, 1, 1, S); ``None``: all.
        p: Dropout probability on the attention probabilities, in [0, 1).
        stream: The lane's numbers; ``None``: no dropout.
    """
    if stream is None or p == 0:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    keep, share = keep_mask((*q.shape[:3], k.shape[2]), p, stream)
    gathered: Tensor = _DroppedAttention.apply(q, k, v, mask, keep, share)  # type: ignore[no-untyped-call]
    return gathered


class _DroppedAttention(torch.autograd.Function):
    """Attention with given dropout that keeps the probabilities and an 8-bit mask, and no copies.

    Written out, autograd would keep the probabilities twice, a mask of 32 bits and contiguous copies of
    queries, keys and values: three times the memory.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, keep: Tensor, share: float
    ) -> Tensor:
        scores = (q @ k.transpose(-1, -2)).mul_(1 / math.sqrt(q.shape[-1]))
        if mask is not None:
            scores.masked_fill_(~mask, -math.inf)
        probabilities = scores.softmax(-1)
        ctx.share = share
        ctx.save_for_backward(q, k, v, probabilities, keep)
        return ((probabilities * keep) @ v).mul_(1 / share)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, probabilities, keep = ctx.saved_tensors
        gradient = gradient / ctx.share
        to_v = (probabilities * keep).transpose(-1, -2) @ gradient
        to_probabilities = (gradient @ v.transpose(-1, -2)).mul_(keep)
        # The operator behind softmax's own gradient: P ⊙ (G − Σ G ⊙ P) in one pass over memory.
        to_scores = torch.ops.aten._softmax_backward_data(to_probabilities, probabilities, -1, q.dtype)
        to_scores.mul_(1 / math.sqrt(q.shape[-1]))
        return to_scores @ k, to_scores.transpose(-1, -2) @ q, to_v, None, None, None
