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
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    probabilities = scores.softmax(-1)
    keep, share = keep_mask(probabilities, p, stream)
    dropped: Tensor = _DropAndGather.apply(probabilities, keep, v / share)  # type: ignore[no-untyped-call]
    return dropped


class _DropAndGather(torch.autograd.Function):
    """``(P ⊙ keep) V`` that keeps P and the 8-bit mask for its backward pass, not their product.

    P is kept by the softmax anyway, so a layer's attention holds one (B, H, Q, S) tensor and a quarter
    instead of two and a mask.
    """

    @staticmethod
    def forward(ctx: Any, probabilities: Tensor, keep: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(probabilities, keep, values)
        return (probabilities * keep) @ values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        probabilities, keep, values = ctx.saved_tensors
        to_probabilities = to_values = None
        if ctx.needs_input_grad[0]:
            to_probabilities = (gradient @ values.transpose(-1, -2)).mul_(keep)
        if ctx.needs_input_grad[2]:
            to_values = (probabilities * keep).transpose(-1, -2) @ gradient
        return to_probabilities, None, to_values
