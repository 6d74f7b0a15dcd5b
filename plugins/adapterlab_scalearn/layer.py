"""ScaLearn's mathematics, in the folded form of ``adapterlab.train.scaled_sum``.

Shapes: ``N`` token rows, ``r`` inner width, ``T`` sources, ``e`` a point's output width, ``P`` points.

Source: ScaLearn (arXiv 2310.01217), equations 3 to 6; dropout acts on the coefficients (appendix A.1);
the constraints are those of its ablation (table 8).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from adapterlab.plugin import (
    Coefficients,
    CombinerLayer,
    Draws,
    FrozenPool,
    PoolShape,
    Tensors,
    UsageError,
    at_point,
    fresh_omega,
    omega_rows,
    scaled_sum,
)
from adapterlab.plugin import dropout as drop
from adapterlab_scalearn.plugin import ScaLearn, ScaLearnSettings

_INIT_STD = 1e-3  # Source: official code, init N(init_scale / T, 0.001)


@dataclass(frozen=True)
class Start:
    """Where coefficients start: ``ω_t = (1 − share) · scale / T + share · [t is the target's own source]``."""

    scale: float
    """Sum of the T coefficients; 2 in the paper."""
    share: float = 0.0
    """0: all alike, as in the paper; 1: as good as the target's own adapter alone."""

    def means(self, pool: PoolShape) -> float | Tensor:
        """Return the mean of what is drawn: one number for all, or (T, 1).

        Raises:
            UsageError: It starts at the target's own source, which is not in the pool.
        """
        alike = self.scale / pool.sources
        if not self.share:
            return alike
        if pool.target is None:
            raise UsageError(
                f"target_share {self.share:g} starts at the target's own adapter, which is not in the pool",
                remedy="Add the target to pool.tasks, or leave target_share out.",
            )
        means = torch.full((pool.sources, 1), (1 - self.share) * alike)
        means[pool.target] += self.share
        return means


class ScaLearnLayer(CombinerLayer):
    """Torch side of all members of the family.

    Args:
        member: Which coefficients it has, and their constraint.
        settings: The regulariser's.
        pool: What is combined.
        start: Where coefficients start.
        dropout: Probability that a coefficient counts as 0 in a step, in [0, 1).
        l1: Weight of the mean over points and dimensions of ``Σ_t |ω_t|`` in the loss, >= 0.
    """

    reads = frozenset[str]()

    def __init__(
        self,
        member: ScaLearn,
        settings: ScaLearnSettings,
        pool: PoolShape,
        *,
        start: Start,
        dropout: float,
        l1: float = 0.0,
    ) -> None:
        super().__init__(pool)
        self.member, self.settings = member, settings
        self.start = start
        self.dropout: float | Sequence[float] = dropout
        self.l1: float | Sequence[float] = l1

    @property
    def alike(self) -> Hashable:
        """Members of one kind under one regulariser; what dropout each has is kept apart."""
        member = self.member
        return member.per_dimension, member.per_layer, member.constraint, self.settings, self.pool

    def together(self, layers: Sequence[ScaLearnLayer]) -> ScaLearnLayer:
        """Return a layer that has each lane's own probability of dropout, and weight of L1."""
        joined = copy(self)
        joined.dropout = [float(one.dropout) for one in layers]  # type: ignore[arg-type]
        joined.l1 = [float(one.l1) for one in layers]  # type: ignore[arg-type]
        return joined

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return fresh coefficients, each drawn from N(init_scale / T, 0.001), or around another :class:`Start`."""
        means = self.start.means(self.pool)

        def draw(shape: tuple[int, int, int]) -> Tensor:
            if isinstance(means, float):
                return torch.empty(shape).normal_(means, _INIT_STD, generator=generator)
            return torch.empty(shape).normal_(0, _INIT_STD, generator=generator) + means

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
        generator: torch.Generator | Draws | None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Return ``Σ_t ω_t ⊙ u_t`` for one lane, (N, T·r) -> (N, e); dropout comes before the constraint."""
        del x, observe  # these coefficients do not depend on the token
        omega = at_point(tensors, self.pool, point)  # (T, e or 1)
        return scaled_sum(self._constrained(drop(omega, self.dropout, generator)), pool, h)

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return ``λ/T · Σ_l Σ_t (1 − mean_i ω_lti)²``, or the official code's term, and that of L1.

        The official code takes ``λ · Σ_t (1 − Σ_i ω_ti)²`` for the variants that share coefficients
        between layers: a sum where the others have a mean, and no division by T.
        """
        terms = [
            one for one in (self._pressed_to_one(tensors), self._pressed_to_zero(tensors)) if one is not None
        ]
        return sum(terms[1:], terms[0]) if terms else None

    def _pressed_to_one(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        if not self.settings.regulariser:
            return None
        weight = float(self.settings.regulariser)
        terms = []
        for name in tensors:
            if not name.startswith("omega"):
                continue
            omega = tensors[name]  # (…, P or 1, T, e or 1)
            if self.settings.regulariser_of == "official" and omega.shape[-3] == 1:
                terms.append(weight * (1 - omega.sum(-1)).square().sum((-2, -1)))
            else:
                terms.append(weight / omega.shape[-2] * (1 - omega.mean(-1)).square().sum((-2, -1)))
        return terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)

    def _pressed_to_zero(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        if not (any(self.l1) if isinstance(self.l1, Sequence) else self.l1):
            return None
        omegas = [
            tensors[name] for name in tensors if name.startswith("omega")
        ]  # (…, P or 1, T, e or 1) each
        sums = [omega.abs().sum(-2).mean(-1).sum(-1) for omega in omegas]
        mean = sum(sums[1:], sums[0]) / sum(omega.shape[-3] for omega in omegas)  # (…)
        return mean * torch.as_tensor(self.l1, dtype=mean.dtype, device=mean.device)

    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the coefficients that are in effect."""
        return Coefficients(tuple(self._constrained(row.detach()) for row in omega_rows(tensors, self.pool)))

    def _constrained(self, omega: Tensor) -> Tensor:
        """Apply the constraint over the sources, (…, T, e or 1)."""
        if self.member.constraint == "mean":
            return omega / omega.sum(-2, keepdim=True)
        return omega.softmax(-2) if self.member.constraint == "softmax" else omega
