"""What attention adds for the distance between two tokens: MPNet's bias, and DeBERTa's products with positions.

Distances go into buckets: each small one has its own, larger ones share one by their logarithm. The logarithms are
taken in 32 bits whatever the model's precision, as transformers takes them: a bucket's edge is decided by rounding.

Shapes: ``B`` sequences, ``H`` heads, ``Q`` tokens that look, ``S`` tokens looked at, ``e = d / H``, ``P`` rows of
DeBERTa's table of distances, ``2 · span``.

Source: T5 (arXiv 1910.10683), MPNet (arXiv 2004.09297), DeBERTa (arXiv 2006.03654), equation 4, and DeBERTaV3 (arXiv
2111.09543); transformers 5.23, ``modeling_mpnet.py`` and ``modeling_deberta_v2.py``.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from adapterlab_encoder.config import MPNET_BUCKETS, Disentangled

_MPNET_FARTHEST = 128
"""Distance from which all share the last bucket."""


def query_rows(table: Tensor, columns: Tensor | None) -> Tensor:
    """Return the rows of tokens that look, (S, S) -> (1, S, S), or (B, 1, S) where one token a sequence does.

    Args:
        table: A number for each pair of columns, the one that looks first.
        columns: Of each sequence the column of the token that looks, (B,); ``None``: all look.
    """
    return table.unsqueeze(0) if columns is None else table.index_select(0, columns).unsqueeze(1)


def shared_bias(weights: Tensor, size: int, columns: Tensor | None) -> Tensor:
    """Return MPNet's bias of the scores, (1, H, S, S) or (B, H, 1, S).

    Args:
        weights: (buckets, H).
        size: Columns, S.
        columns: See :func:`query_rows`.
    """
    buckets = query_rows(mpnet_buckets(size, weights.device), columns)
    return torch.nn.functional.embedding(buckets, weights).permute(0, 3, 1, 2)


def disentangled_scores(
    q: Tensor,
    k: Tensor,
    position_keys: Tensor | None,
    position_queries: Tensor | None,
    rows: Tensor,
) -> Tensor:
    """Return the unscaled products of contents and distances, (B, H, Q, S).

    Args:
        q: Queries, (B, H, Q, e).
        k: Keys, (B, H, S, e).
        position_keys: Keys of the distances, (H, P, e); ``None``: queries do not look at them.
        position_queries: Queries of the distances, (H, P, e); ``None``: keys are not looked at by them.
        rows: The distances' rows in the table, (1 or B, Q, S).
    """
    index = rows.unsqueeze(1).expand(*q.shape[:3], k.shape[2])
    scores = q.new_zeros(index.shape)
    if position_keys is not None:  # "c2p"
        scores = scores + (q @ position_keys.transpose(-1, -2)).gather(-1, index)
    if position_queries is not None:  # "p2c"
        found = (k @ position_queries.transpose(-1, -2)).gather(-1, index.transpose(-1, -2))  # (B, H, S, Q)
        scores = scores + found.transpose(-1, -2)
    return scores


def disentangled_scale(width: int, terms: int) -> float:
    """Return what every term of the scores is multiplied by.

    Args:
        width: Of a head, e.
        terms: Products added up, the one of contents included.
    """
    return 1 / float(np.sqrt(np.float32(width) * np.float32(terms)))  # in 32 bits, as transformers has it


@lru_cache(maxsize=16)
def mpnet_buckets(size: int, device: torch.device) -> Tensor:
    """Return the bucket of each pair of columns, (S, S), int64."""
    with torch.inference_mode(mode=False):  # evaluation may make them, training reads them
        distances = _distances(size, device)  # how far the token that looks is behind
        half = MPNET_BUCKETS // 2
        exact = half // 2
        far = distances.abs()
        logarithms = torch.log(far.float() / exact) / math.log(_MPNET_FARTHEST / exact) * (half - exact)
        large = (exact + logarithms.clamp(min=0).long()).clamp(max=half - 1)
        return torch.where(far < exact, far, large) + (distances < 0) * half


@lru_cache(maxsize=16)
def disentangled_rows(size: int, device: torch.device, kind: Disentangled) -> Tensor:
    """Return the row of DeBERTa's table for each pair of columns, (S, S), int64."""
    with torch.inference_mode(mode=False):
        distances = _distances(size, device)
        if kind.buckets > 0:
            middle = kind.buckets // 2
            far = distances.abs().float()
            widest = torch.tensor((kind.farthest - 1) / middle, dtype=torch.float32, device=device)
            logarithms = torch.log(far.clamp(min=middle) / middle) / torch.log(widest)
            large = torch.ceil(logarithms * (middle - 1)) + middle
            distances = torch.where(far <= middle, distances, (large * torch.sign(distances)).long())
        return (distances + kind.span).clamp(0, 2 * kind.span - 1)


def _distances(size: int, device: torch.device) -> Tensor:
    columns = torch.arange(size, device=device)
    return columns[:, None] - columns[None, :]
