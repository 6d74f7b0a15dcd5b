"""Clipping and AdamW for all lanes of a pass in one call, each with its own rate, decay and norm.

Source: AdamW (arXiv 1711.05101), algorithm 2; the arithmetic is that of ``torch.optim.AdamW(foreach=True)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BETA1, _BETA2, _EPS = 0.9, 0.999, 1e-8
_CLIP_EPS = 1e-6  # as torch.nn.utils.clip_grad_norm_ has it


@dataclass(frozen=True)
class Update:
    """One tensor's share of a step."""

    tensor: Tensor
    gradient: Tensor
    mean: Tensor
    """Running mean of gradients."""
    square: Tensor
    """Running mean of their squares."""
    step: int
    """How many steps the tensor has had, this one included."""
    lr: float
    weight_decay: float
    scale: float
    """What clipping leaves of the gradient, in [0, 1]."""
    eps_first: bool = False
    """Whether the least denominator is added before the correction for the running means' start, as transformers' own
    AdamW did: ``lr · √(1−β₂ᵏ)/(1−β₁ᵏ) · m/(√v + ε)``. A tensor whose gradients are far below ε then moves less at first."""


def gradient_norms(gradients: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of each gradient, (n,)."""
    return torch.stack(torch._foreach_norm(list(gradients)))


def clipping(norms: Sequence[float], most: float) -> tuple[float, float]:
    """Return the norm of a lane's gradients together, and what clipping it to ``most`` leaves of each."""
    norm = math.sqrt(sum(one * one for one in norms))
    return norm, min(1.0, most / (norm + _CLIP_EPS))


def linear_rate(step: int, total: int, warmup_ratio: float) -> float:
    """Return the share of the peak rate for a step: linear warm-up from 0, then linear decay to 0.

    Args:
        step: Steps taken before, from 0.
        total: All steps.
        warmup_ratio: Share of them that warm up, in [0, 1).
    """
    warmup = int(warmup_ratio * total)
    if step < warmup:
        return step / warmup
    return (total - step) / (total - warmup)


@torch.no_grad()
def advance(updates: Sequence[Update]) -> None:
    """Take one step for every tensor, in place.

    Args:
        updates: Of all runs; those of a run share rate and scale, not necessarily decay.
    """
    for eps_first in (False, True):
        alike = [one for one in updates if one.eps_first is eps_first]
        if alike:
            _advance(alike, eps_first=eps_first)


def _advance(updates: Sequence[Update], *, eps_first: bool) -> None:
    tensors, gradients = [one.tensor for one in updates], [one.gradient for one in updates]
    means, squares = [one.mean for one in updates], [one.square for one in updates]
    if any(one.scale < 1 for one in updates):
        # Not in place: two tensors may have one gradient.
        gradients = list(torch._foreach_mul(gradients, [one.scale for one in updates]))
    torch._foreach_mul_(tensors, [1 - one.lr * one.weight_decay for one in updates])
    torch._foreach_lerp_(means, gradients, 1 - _BETA1)
    torch._foreach_mul_(squares, _BETA2)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - _BETA2)
    roots = torch._foreach_sqrt(squares)
    if eps_first:
        torch._foreach_add_(roots, _EPS)
    torch._foreach_div_(roots, [math.sqrt(1 - _BETA2**one.step) for one in updates])
    if not eps_first:
        torch._foreach_add_(roots, _EPS)
    rates = [-one.lr / (1 - _BETA1**one.step) for one in updates]
    torch._foreach_addcdiv_(tensors, means, roots, rates)
