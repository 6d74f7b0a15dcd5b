"""ScaLearn's mathematics, in the folded form of ``adapterlab.train.scaled_sum``.

Shapes: ``N`` token rows, ``r`` inner width, ``T`` sources, ``e`` a point's output width, ``P`` points.

Source: ScaLearn (arXiv 2310.01217), equations 3 to 6; dropout acts on the coefficients (appendix A.1);
the constraints are those of its ablation (table 8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from adapterlab.plugin import (
    Coefficients,
    CombinerLayer,
    FrozenPool,
    PoolShape,
    Tensors,
    at_point,
    fresh_omega,
    omega_rows,
    scaled_sum,
)
from adapterlab_scalearn.plugin import ScaLearn, ScaLearnSettings

_INIT_STD = 1e-3  # Source: official code, init N(init_scale / T, 0.001)


class ScaLearnLayer(CombinerLayer):
    """Torch side of all members of the family.

    Args:
        member: Which coefficients it has, and their constraint.
        settings: The regulariser's.
        pool: What is combined.
        init_scale: Sum of the T coefficients at the start; 2 in the paper.
        dropout: Probability that a coefficient counts as 0 in a step, in [0, 1).
    """

    def __init__(
        self,
        member: ScaLearn,
        settings: ScaLearnSettings,
        pool: PoolShape,
        *,
        init_scale: float,
        dropout: float,
    ) -> None:
        super().__init__(pool)
        self.member, self.settings = member, settings
        self.init_scale, self.dropout = init_scale, dropout

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return fresh coefficients, each drawn from N(init_scale / T, 0.001)."""
        mean = self.init_scale / self.pool.sources

        def draw(shape: tuple[int, int, int]) -> Tensor:
            return torch.empty(shape).normal_(mean, _INIT_STD, generator=generator)

        member = self.member
        return fresh_omega(self.pool, draw, per_point=member.per_layer, per_dimension=member.per_dimension)

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,
        h: Tensor,
        *,
        generator: torch.Generator | None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Return ``Σ_t ω_t ⊙ u_t`` for one lane, (N, T·r) -> (N, e); dropout comes before the constraint."""
        del x, observe  # these coefficients do not depend on the token
        omega = at_point(tensors, self.pool, point)  # (T, e or 1)
        if generator is not None and self.dropout > 0:
            keep = torch.empty_like(omega).bernoulli_(1 - self.dropout, generator=generator)
            omega = omega * (keep / (1 - self.dropout))
        return scaled_sum(self._constrained(omega), pool, h)

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return ``λ/T · Σ_l Σ_t (1 − mean_i ω_lti)²``, or the official code's term.

        The official code takes ``λ · Σ_t (1 − Σ_i ω_ti)²`` for the variants that share coefficients
        between layers: a sum where the others have a mean, and no division by T.
        """
        if not self.settings.regulariser:
            return None
        weight = float(self.settings.regulariser)
        terms = []
        for name, omega in tensors.items():  # (P or 1, T, e or 1) each
            if not name.startswith("omega"):
                continue
            if self.settings.regulariser_of == "official" and omega.shape[0] == 1:
                terms.append(weight * (1 - omega.sum(-1)).square().sum())
            else:
                terms.append(weight / omega.shape[1] * (1 - omega.mean(-1)).square().sum())
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum()

    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the coefficients that are in effect."""
        return Coefficients(tuple(self._constrained(row.detach()) for row in omega_rows(tensors, self.pool)))

    def _constrained(self, omega: Tensor) -> Tensor:
        """Apply the constraint over the sources, (T, e or 1)."""
        if self.member.constraint == "mean":
            return omega / omega.sum(0, keepdim=True)
        return omega.softmax(0) if self.member.constraint == "softmax" else omega
