"""Which share of a combination's output each source makes, on given rows; nothing is trained or changed.

A combination gives ``s = Σ_t ω_t ⊙ u_t`` at a point. Source t's share there is the mean length of its term over
the tokens, relative to all sources':

    share_t = E‖ω_t ⊙ u_t‖ / Σ_s E‖ω_s ⊙ u_s‖

and its share altogether the mean over the points. A coefficient alone says little: sources differ in how long their
outputs are. Where coefficients differ from token to token (AdapterFusion), each token's own are taken, before what
a combiner does to the sum as a whole.

Shapes: ``N`` token rows, ``P`` points, ``T`` sources, ``r`` inner width, ``e`` a point's output width.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.records import Examples
from adapterlab.train.adaptation import Seat, read_states
from adapterlab.train.combination import Combination, Variation
from adapterlab.train.evaluate import MAX_TOKENS
from adapterlab.train.layers import Backbone, Coefficients, HeadLayer
from adapterlab.train.passes import evaluation_rectangles
from adapterlab.train.rng import Draws
from adapterlab.train.row_checks import check_examples

MOST_EXAMPLES = 256
"""Examples that shares are measured on: a few passes, whatever the task's size."""


@torch.inference_mode()
def output_shares(
    backbone: Backbone,
    combination: Combination,
    tensors: Mapping[str, Tensor],
    coefficients: Coefficients,
    head: HeadLayer,
    examples: Examples,
) -> list[float]:
    """Return each source's share of the combined output, T numbers that sum to 1, or are all 0 where it is 0.

    A combiner that averages parameters has one adapter and no terms: there a source's share is that of its weight.

    Args:
        backbone: The frozen backbone.
        combination: The pool under its combiner.
        tensors: What was learned, head included.
        coefficients: The effective ones; of a token-dependent combiner not read.
        head: The lane's.
        examples: Rows to measure on; the first :data:`MOST_EXAMPLES` are.
    """
    if combination.combiner.averages:
        weights = coefficients.means.double().abs().mean(0)  # (T,)
        return _normalised(weights.unsqueeze(0)).tolist()
    check_examples(backbone, examples, "rows")
    placed = Coefficients(tuple(row.to(backbone.device) for row in coefficients.rows))
    measured = _Measured(combination, placed)
    seat = Seat(measured, tensors, head)
    for rectangle in evaluation_rectangles(examples.first(MOST_EXAMPLES), MAX_TOKENS):
        read_states(backbone, [seat], [rectangle.to(backbone.device)])
    return _normalised(torch.stack(list(measured.lengths.values()))).tolist()


def _normalised(lengths: Tensor) -> Tensor:
    """Return shares of lengths, (P, T) -> (T,): each point's sum to 1, then their mean over the points."""
    totals = lengths.sum(1)
    heard = totals > 0
    if not bool(heard.any()):
        return torch.zeros(lengths.shape[1], dtype=torch.float64)
    return (lengths[heard] / totals[heard].unsqueeze(1)).mean(0)


@dataclass(frozen=True)
class _Measured(Variation):
    """A combination whose terms are measured on the way."""

    coefficients: Coefficients
    lengths: dict[int, Tensor] = field(default_factory=dict)
    """By point: the terms' lengths summed over tokens, (T,), float64, on the CPU."""

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        at: tuple[str, int],
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | Draws | None,
    ) -> Tensor:
        """Return the combined output of the pool, (N, e), having measured its terms."""
        del y, generator  # as in the whole combination; nothing is random in evaluation
        assert shared is not None
        whole = self.whole
        point = whole.pool.shape.point(*at)
        pool = whole.pool.points[point]
        seen: list[Tensor] = []
        output = whole.combiner.forward(
            ChainMap(tensors, whole.fixed),  # type: ignore[arg-type]
            point,
            pool,
            x,
            shared,
            generator=None,
            observe=seen.append if whole.token_dependent else None,
        )
        count, _, r = pool.up.shape
        h = shared.view(-1, count, r)  # (N, T, r)
        lengths = []
        for t in range(count):  # one at a time: no (N, T, e) tensor
            term = F.linear(h[:, t], pool.up[t], pool.bias[t]).float()  # (N, e)
            omega = seen[0][:, t : t + 1] if seen else self.coefficients.at(point)[t]  # (N, 1), or (e or 1,)
            lengths.append((omega.float() * term).norm(dim=-1).double().sum())
        total = torch.stack(lengths).cpu()  # (T,)
        before = self.lengths.get(point)
        self.lengths[point] = total if before is None else before + total
        return output
