"""Merges of tensors: what is kept of each, which sign is the majority's, and their weighted sum.

Shapes: ``T`` tensors of any one shape (…) stacked, (T, …).

Sources: TIES (arXiv 2306.01708), algorithm 1; DARE (arXiv 2311.03099), section 3.2; both as PEFT 0.21's
``merge_utils`` has them, where a share of the entries is one of each tensor and not of the whole adapter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def greatest(tensor: Tensor, density: float) -> Tensor:
    """Return a tensor with zeros but for its ``⌊density · n⌋`` entries of greatest magnitude."""
    count = int(density * tensor.numel())
    if count >= tensor.numel():
        return tensor
    flat = tensor.flatten()
    kept = torch.zeros_like(flat)
    places = flat.abs().topk(count).indices
    kept[places] = flat[places]
    return kept.view_as(tensor)


def dropped(tensor: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """Return a tensor each of whose entries is kept with probability ``density``, and then divided by it.

    Args:
        tensor: Of which the expected value stays as it is.
        density: In (0, 1].
        generator: On the CPU, so that all machines keep the same entries.
    """
    kept = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) < density
    return tensor * kept.to(tensor.device) / density


def majority(stacked: Tensor, by: str) -> Tensor:
    """Return where entries have the majority's sign, (T, …) -> (T, …); zeros never do.

    Args:
        stacked: The tensors.
        by: ``"total"``, the sign of the sum, or ``"frequency"``, that of most entries; positive where it is a draw.
    """
    votes = (stacked.sign() if by == "frequency" else stacked).sum(0)
    return stacked.sign() == torch.where(votes >= 0, 1, -1)


def weighted_sum(stacked: Tensor, weights: Sequence[float]) -> Tensor:
    """Return ``Σ_t w_t θ_t``, (T, …) -> (…)."""
    row = torch.tensor(weights, dtype=stacked.dtype, device=stacked.device)
    total: Tensor = torch.tensordot(row, stacked, dims=1)
    return total


def disjoint_mean(stacked: Tensor, weights: Sequence[float], by: str) -> Tensor:
    """Return the mean of ``w_t θ_t`` over the entries of the majority's sign, (T, …) -> (…); 0 where there is none.

    Signs are of the tensors before they are weighed, so that a negative weight subtracts what was agreed on.
    """
    mask = majority(stacked, by)
    return weighted_sum(stacked * mask, weights) / mask.sum(0).clamp_min(1)


def factors(product: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the two factors, (e, r) and (r, i), whose product is nearest to a matrix, (e, i).

    Args:
        product: The matrix.
        rank: At most; a product of smaller sides has a smaller one.
    """
    u, s, v = torch.linalg.svd(product, full_matrices=False)
    return u[:, :rank] * s[:rank], v[:rank]


def factors_of_sum(
    ups: Sequence[Tensor], downs: Sequence[Tensor], weights: Sequence[float], rank: int
) -> tuple[Tensor, Tensor]:
    """Return :func:`factors` of ``Σ_t w_t B_t A_t`` without that matrix, whose rank is at most ``Σ_t r_t``.

    Args:
        ups: ``B_t``, (e, r_t).
        downs: ``A_t``, (r_t, i).
        weights: One a source.
        rank: At most.
    """
    up, up_rest = torch.linalg.qr(torch.cat([one * w for one, w in zip(ups, weights, strict=True)], dim=1))
    down, down_rest = torch.linalg.qr(torch.cat(list(downs)).T)
    inner_up, inner_down = factors(up_rest @ down_rest.T, rank)
    return up @ inner_up, inner_down @ down.T
