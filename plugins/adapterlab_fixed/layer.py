"""Fixed coefficients: the folded sum of ScaLearn, with nothing to learn in it.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` inner width, ``T`` sources.

Source: ScaLearn (arXiv 2310.01217), appendix A.2: ``LN(f + a + Σ_t ω_t u_t)`` with constants ω_t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.train.layers import FrozenPool, PoolContext, Tensors
from adapterlab.train.scaled_sum import at_point, scaled_sum


@dataclass(frozen=True)
class FixedCoefficients:
    """Torch side of the combiners with fixed coefficients."""

    weigh: Callable[[Any, Sequence[str], str], list[float] | str]
    """Gives coefficients by settings, pool and target, or says what is wrong."""

    def initial(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        size: tuple[int, int, int],  # noqa: ARG002
        hidden_size: int,  # noqa: ARG002
        init_scale: float,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002
    ) -> Tensors:
        """Return nothing: only the head is trained."""
        return {}

    def fixed(self, settings: Any, size: tuple[int, int, int], pool: PoolContext) -> Tensors:
        """Return the coefficients, (1, T, 1).

        Raises:
            UsageError: The pool lacks a source that is named.
        """
        found = self.weigh(settings, pool.sources, pool.target)
        if isinstance(found, str):
            raise UsageError(found)
        return {"omega": torch.tensor(found).reshape(size)}

    def forward(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,  # noqa: ARG002 - the protocol's; these coefficients do not depend on the token
        h: Tensor,
        *,
        dropout: float,  # noqa: ARG002 - the protocol's; there is nothing to drop
        generator: torch.Generator | None,  # noqa: ARG002
        observe: Callable[[Tensor], None] | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return ``Σ_t ω_t u_t`` for one lane, (N, T·r) -> (N, d)."""
        return scaled_sum(at_point(tensors["omega"], point), pool, h)

    def coefficients(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Return the coefficients, (1, T, 1)."""
        return tensors["omega"].detach()
