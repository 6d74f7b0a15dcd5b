"""Clipping and AdamW for all lanes of a pass, each with its own rate, decay and norm.

On a CPU the norms are read and all tensors of all lanes take their step in one call. On a GPU reading them would make the
host wait, so norms become scales there, and a lane that has no finite gradient is passed over without the host knowing.

Source: AdamW (arXiv 1711.05101), algorithm 2; the arithmetic is that of ``torch.optim.AdamW``, with ``foreach=True`` on a
CPU and ``fused=True`` on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from adapterlab.train.kernels import library
from adapterlab.train.packing import LaneRows
from adapterlab.train.transfer import on_device

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
def advance(updates: Sequence[Update], scales: Sequence[float]) -> None:
    """Take one step for every tensor, in place.

    Args:
        updates: Of all runs; those of a run share rate and scale, not necessarily decay.
        scales: What clipping leaves of each gradient, in [0, 1].
    """
    for eps_first in (False, True):
        alike = [
            (one, scale) for one, scale in zip(updates, scales, strict=True) if one.eps_first is eps_first
        ]
        if alike:
            _advance([one for one, _ in alike], [scale for _, scale in alike], eps_first=eps_first)


def _advance(updates: Sequence[Update], scales: Sequence[float], *, eps_first: bool) -> None:
    tensors, gradients = [one.tensor for one in updates], [one.gradient for one in updates]
    means, squares = [one.mean for one in updates], [one.square for one in updates]
    if any(one < 1 for one in scales):
        # Not in place: two tensors may have one gradient.
        gradients = list(torch._foreach_mul(gradients, list(scales)))
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


# -- where norms stay on the device ---------------------------------------------------------------


@dataclass(frozen=True)
class Clipped:
    """What the norms of runs' gradients lead to, computed where they are.

    Shapes: ``K`` runs.
    """

    norms: Tensor
    """Of each run's gradients together, (K,), float64."""
    scales: Tensor
    """What clipping leaves of them, in [0, 1], (K,), float64; of no meaning where a norm is not finite."""
    diverged: Tensor
    """1 where a loss or norm is not finite now, or was not in an earlier step, else 0, (K,), float32."""


@torch.no_grad()
def clipped(
    losses: Tensor, norms: Tensor, counts: Sequence[int], most: Sequence[float], diverged: Tensor | None
) -> Clipped:
    """Return how runs' gradients are clipped, as :func:`clipping` does on the host.

    Args:
        losses: Of the runs, (K,).
        norms: Of all their gradients, one run after another, (Σ counts,).
        counts: Gradients of each run.
        most: Norm that each run's gradients are clipped to.
        diverged: What this returned for the same runs in the step before; ``None``: nothing was wrong.
    """
    rows = _rows_of(tuple(counts), norms.device)
    # In 64 bits, as on the host: the square of a norm beyond 1e19 is no number of 32.
    whole = rows.sums(norms.double().square()).sqrt()
    bad = (losses * 0 + whole * 0 != 0).to(torch.float32)  # 0 · inf and 0 · nan are nan, which equals nothing
    return Clipped(
        whole,
        (_limits(tuple(most), norms.device) / (whole + _CLIP_EPS)).clamp(max=1.0),
        bad if diverged is None else torch.maximum(bad, diverged),
    )


@torch.no_grad()
def advance_unread(runs: Sequence[Sequence[Update]], scales: Tensor, diverged: Tensor) -> None:
    """Take one step for every tensor of runs that have not diverged, in place; nothing is read from the device.

    Args:
        runs: Updates of each of the K runs.
        scales: What clipping leaves of a run's gradients, (K,).
        diverged: 1 for a run whose tensors and moments stay as they are, else 0, (K,), float32.
    """
    members = [(place, one) for place, run in enumerate(runs) for one in run]
    if not members:
        return
    own = [one for _, one in members]
    library.OPERATIONS.adamw(
        [one.tensor for one in own],
        [one.gradient for one in own],
        [one.mean for one in own],
        [one.square for one in own],
        [_BETA1, _BETA2],
        scales,
        diverged,
        [place for place, _ in members],
        [1 - one.lr * one.weight_decay for one in own],
        [one.lr / (1 - _BETA1**one.step) for one in own],
        [math.sqrt(1 - _BETA2**one.step) for one in own],
        [_EPS if one.eps_first else 0.0 for one in own],
        [0.0 if one.eps_first else _EPS for one in own],
    )


@lru_cache(maxsize=256)
def _rows_of(counts: tuple[int, ...], device: torch.device) -> LaneRows:
    """Return rows of so many gradients a run; kept, since sweeps have few such."""
    return LaneRows(counts, device)


@lru_cache(maxsize=256)
def _limits(most: tuple[float, ...], device: torch.device) -> Tensor:
    return on_device(most, torch.float64, device)
