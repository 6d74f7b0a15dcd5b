"""ScaLearn's mathematics, in the folded form of ``adapterlab.train.scaled_sum``.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` inner width, ``T`` sources, ``L`` layers.

Source: ScaLearn (arXiv 2310.01217), equations 3 to 6; dropout acts on the coefficients (appendix A.1);
the constraints are those of its ablation (table 8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from adapterlab.train.layers import FrozenPool, Tensors
from adapterlab.train.scaled_sum import at_point, scaled_sum

_INIT_STD = 1e-3  # Source: official code, init N(init_scale / T, 0.001)


@dataclass(frozen=True)
class ScaLearnLayer:
    """Torch side of all members of the family."""

    constraint: Literal["none", "mean", "softmax"] = "none"

    def initial(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        size: tuple[int, int, int],
        hidden_size: int,  # noqa: ARG002 - the protocol's; it is in the size
        init_scale: float,
        generator: torch.Generator,
    ) -> Tensors:
        """Return fresh coefficients, each drawn from N(init_scale / T, 0.001).

        Args:
            settings: The combiner's.
            size: (L or 1, T, d or 1).
            hidden_size: ``d``.
            init_scale: Sum of the T coefficients at the start; 2 in the paper.
            generator: The lane's random numbers.
        """
        mean = init_scale / size[1]
        return {"omega": torch.empty(size).normal_(mean, _INIT_STD, generator=generator)}

    def forward(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,  # noqa: ARG002 - the protocol's; these coefficients do not depend on the token
        h: Tensor,
        *,
        dropout: float,
        generator: torch.Generator | None,
        observe: Callable[[Tensor], None] | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return ``Σ_t ω_t ⊙ u_t`` for one lane, (N, T·r) -> (N, d); dropout comes before the constraint."""
        omega = at_point(tensors["omega"], point)  # (T, d or 1)
        if generator is not None and dropout > 0:
            keep = torch.empty_like(omega).bernoulli_(1 - dropout, generator=generator)
            omega = omega * (keep / (1 - dropout))
        return scaled_sum(self._constrained(omega, 0), pool, h)

    def penalty(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return ``λ/T · Σ_l Σ_t (1 − mean_i ω_lti)²``, or the official code's term.

        The official code takes ``λ · Σ_t (1 − Σ_i ω_ti)²`` for the variants that share coefficients
        between layers: a sum where the others have a mean, and no division by T.
        """
        if not settings.regulariser:
            return None
        omega, weight = tensors["omega"], float(settings.regulariser)
        if settings.regulariser_of == "official" and omega.shape[0] == 1:
            return weight * (1 - omega.sum(-1)).square().sum()
        return weight / omega.shape[1] * (1 - omega.mean(-1)).square().sum()

    def coefficients(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Return the coefficients that are in effect, (L or 1, T, d or 1)."""
        return self._constrained(tensors["omega"].detach(), 1)

    def _constrained(self, omega: Tensor, sources: int) -> Tensor:
        """Apply the constraint over the axis of the sources."""
        if self.constraint == "mean":
            return omega / omega.sum(sources, keepdim=True)
        return omega.softmax(sources) if self.constraint == "softmax" else omega
