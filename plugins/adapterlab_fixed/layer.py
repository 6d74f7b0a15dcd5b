"""Fixed coefficients: the folded sum of ScaLearn, with nothing to learn in it.

Shapes: ``N`` token rows, ``r`` inner width, ``e`` a point's output width, ``T`` sources.

Source: ScaLearn (arXiv 2310.01217), appendix A.2: ``LN(f + a + Σ_t ω_t u_t)`` with constants ω_t.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor

from adapterlab.plugin import (
    Coefficients,
    CombinerLayer,
    Draws,
    FrozenPool,
    PoolContext,
    PoolShape,
    Tensors,
    UsageError,
    at_point,
    omega_rows,
    scaled_sum,
)
from adapterlab_fixed.plugin import FixedSettings, Weigh


class FixedCoefficients(CombinerLayer):
    """Torch side of the combiners with fixed coefficients: one number per source, the same at every point.

    Args:
        settings: The combiner's.
        pool: What is combined.
        weigh: Gives coefficients by settings, pool and target, or says what is wrong.
    """

    needs_context = True
    reads = frozenset[str]()

    def __init__(self, settings: FixedSettings, pool: PoolShape, weigh: Weigh) -> None:
        super().__init__(pool)
        self.settings, self.weigh = settings, weigh

    @property
    def alike(self) -> Hashable:
        """All of one pool: their coefficients are among the tensors."""
        return self.pool

    def fixed(self, context: PoolContext) -> Tensors:
        """Return the coefficients, (1, T, 1).

        Raises:
            UsageError: The pool lacks a source that is named.
        """
        found = self.weigh(self.settings, context.sources, context.target)
        if isinstance(found, str):
            raise UsageError(found)
        return {"omega": torch.tensor(found).reshape(1, -1, 1)}

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,
        h: Tensor,
        *,
        generator: torch.Generator | Draws | None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Return ``Σ_t ω_t u_t`` for one lane, (N, T·r) -> (N, e)."""
        del x, generator, observe  # nothing depends on the token, and there is nothing to drop
        return scaled_sum(at_point(tensors, self.pool, point), pool, h)

    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the coefficients, one row for all points."""
        return Coefficients(tuple(row.detach() for row in omega_rows(tensors, self.pool)))
