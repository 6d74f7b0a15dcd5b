"""The fused operations in plain torch: what a kernel has to compute, and what serves where there is none.

Shapes: ``N`` token rows, ``B`` sequences, ``Q`` rows that look (``N``, or ``B`` where one a sequence does), ``H``
heads of width ``e``, ``S`` tokens of the longest sequence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from adapterlab.train.counters import SiteWords, kept
from adapterlab.train.kernels.arguments import FLAT_COLUMNS, Attended, Drawn, Moments, Stepped


def drop(x: Tensor, residual: Tensor | None, drawn: Drawn) -> Tensor:
    """Return ``x``, of which entries are zeroed and the rest scaled, with what is added to it, (N, d)."""
    columns = torch.arange(x.shape[1], device=x.device)
    keep = kept(
        drawn.keys[drawn.lanes][:, None], (drawn.places[:, None], 0), drawn.site, columns, drawn.dropped
    )
    y = torch.where(keep, _wide(x), 0) / drawn.share
    return (y if residual is None else y + residual).to(x.dtype)


def keep(keys: Tensor, sizes: list[int], dropped: Tensor, site: SiteWords) -> Tensor:
    """Return lanes' masks one after another, 1 where an entry is kept, (Σ sizes,), uint8."""
    masks = []
    for lane, size in enumerate(sizes):
        flat = torch.arange(size, device=keys.device)
        masks.append(kept(keys[lane], (flat // FLAT_COLUMNS, 0), site, flat % FLAT_COLUMNS, dropped[lane]))
    return torch.cat(masks).to(torch.uint8)


def lay(x: Tensor, rows: Tensor) -> Tensor:
    """Return the given rows of ``x``, zeros where a row is -1, (N, …) -> (M, …)."""
    missing = (rows < 0).view(-1, *(1,) * (x.dim() - 1))
    return x.index_select(0, rows.clamp(min=0)).masked_fill_(missing, 0)


def attend(q: Tensor, k: Tensor, v: Tensor, at: Attended) -> tuple[Tensor, Tensor]:
    """Return what rows gather, (Q, H·e), and the logarithm of each one's sum of exponentials, (H, Q)."""
    grid = _Grid(q, k, at)
    scores = grid.scores(grid.queries(q), grid.keys(k))
    found = scores.logsumexp(-1)  # (B, H, L)
    weights = grid.dropped((scores - found.unsqueeze(-1)).exp())
    gathered = (weights.to(v.dtype) @ grid.keys(v)).to(q.dtype)
    return grid.packed(gathered), grid.packed(found.unsqueeze(-1)).view(len(q), at.heads).t().contiguous()


def attend_backward(
    gradient: Tensor, q: Tensor, k: Tensor, v: Tensor, gathered: Tensor, sums: Tensor, at: Attended
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of queries, keys and values, of which only the sums were kept."""
    grid = _Grid(q, k, at)
    queries, keys, values, above = grid.queries(q), grid.keys(k), grid.keys(v), grid.queries(gradient)
    lows = grid.queries(sums.t().contiguous()).squeeze(-1)  # (B, H, L)
    weights = (grid.scores(queries, keys) - lows.unsqueeze(-1)).exp()
    if not grid.one_row:
        weights = weights * grid.inside[:, None, :, None]
    products = (_wide(above) * _wide(grid.queries(gathered))).sum(-1, keepdim=True)
    to_weights = grid.dropped(_wide(above @ values.mT))
    to_scores = (weights * (to_weights - products) / math.sqrt(values.shape[-1])).to(q.dtype)
    to_values = grid.dropped(weights).to(q.dtype).mT @ above
    return (
        grid.packed(to_scores @ keys),
        grid.packed_keys(to_scores.mT @ queries),
        grid.packed_keys(to_values),
    )


def adamw(
    tensors: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: Moments,
    scales: Tensor,
    diverged: Tensor,
    stepped: Stepped,
) -> None:
    """Take a step for tensors of runs, in place; those of runs that have diverged stay as they are, moments included.

    Args:
        tensors: Any shapes.
        gradients: Of each.
        moments: Of each, changed as well.
        scales: What clipping leaves of a run's gradients, (K,).
        diverged: Not 0 for runs that have, (K,).
        stepped: The numbers of the step.
    """
    wells, shares = (diverged == 0).unbind(), scales.unbind()
    for place, (tensor, gradient) in enumerate(zip(tensors, gradients, strict=True)):
        run, (mean, square) = stepped.runs[place], (one[place] for one in moments[:2])
        scaled = gradient * shares[run].to(gradient.dtype)
        new_mean = torch.lerp(mean, scaled, 1 - moments.beta1)
        new_square = (square * moments.beta2).addcmul_(scaled, scaled, value=1 - moments.beta2)
        root = (new_square.sqrt() + stepped.before[place]) / stepped.corrections[place] + stepped.after[place]
        moved = (tensor * stepped.shrinks[place]).addcdiv_(new_mean, root, value=-stepped.rates[place])
        for old, new in ((tensor, moved), (mean, new_mean), (square, new_square)):
            old.copy_(torch.where(wells[run], new, old))


def _wide(x: Tensor) -> Tensor:
    """Return numbers in the precision of sums: 32 bits at least."""
    return x if x.dtype is torch.float64 else x.float()


class _Grid:
    """Packed rows on a grid of sequences by tokens, and back."""

    def __init__(self, q: Tensor, k: Tensor, at: Attended) -> None:
        self.at, self.one_row = at, len(q) != len(k)
        columns = torch.arange(at.longest, device=q.device)
        self.inside = columns < at.lengths[:, None]  # (B, S)
        self.rows = torch.where(self.inside, at.starts[:, None] + columns, 0)
        counts = torch.arange(len(at.starts), device=q.device)
        sequence = counts.repeat_interleave(at.lengths, output_size=len(k))
        self.cells = sequence * at.longest + torch.arange(len(k), device=q.device) - at.starts[sequence]

    def keys(self, x: Tensor) -> Tensor:
        """(N, H·e) -> (B, H, S, e), zeros beyond a sequence's end."""
        found = x[self.rows] * self.inside[:, :, None]
        return found.view(*self.rows.shape, self.at.heads, -1).transpose(1, 2)

    def queries(self, x: Tensor) -> Tensor:
        """(Q, H·e) -> (B, H, S or 1, e)."""
        return x.view(len(x), 1, self.at.heads, -1).transpose(1, 2) if self.one_row else self.keys(x)

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, H, S or 1, S), the lowest number beyond a sequence's end."""
        found = _wide(queries @ keys.mT) / math.sqrt(keys.shape[-1])
        return found.masked_fill(~self.inside[:, None, None, :], -math.inf)

    def dropped(self, weights: Tensor) -> Tensor:
        """Return weights, (B, H, S or 1, S), of which some are zeroed and the rest scaled."""
        drawn = self.at.drawn
        if drawn.dropped == 0:
            return weights
        _, heads, looking, size = weights.shape
        places = torch.arange(looking, device=weights.device)[:, None]
        head = torch.arange(heads, device=weights.device)[:, None, None]
        numbers = drawn.places[:, None, None, None] * heads + head  # (B, H, 1, 1)
        keys = drawn.keys[drawn.lanes][:, None, None, None]
        columns = torch.arange(size, device=weights.device)
        keep = kept(keys, (places, numbers), drawn.site, columns, drawn.dropped)
        return torch.where(keep, weights, 0) / drawn.share

    def packed(self, x: Tensor) -> Tensor:
        """(B, H, S or 1, e) -> (Q, H·e)."""
        return x.transpose(1, 2).flatten(2).squeeze(1) if self.one_row else self.packed_keys(x)

    def packed_keys(self, x: Tensor) -> Tensor:
        """(B, H, S, e) -> (N, H·e)."""
        return x.transpose(1, 2).flatten(2).flatten(0, 1)[self.cells]
