"""The folded form of a scaled sum: one product with the up-projections side by side.

The papers write ``s = Σ_t ω_t ⊙ u_t`` over T adapter outputs. As the last factor of an adapter is
linear, ``u_t = U_t h_t + c_t``, the sum is one product ``s = [diag(ω_1)U_1 | … | diag(ω_T)U_T] h +
Σ_t ω_t ⊙ c_t``: the coefficients go into the small matrix, and no (N, T, d) tensor ever exists.

Source: reformulation of ScaLearn (arXiv 2310.01217), equations 3 to 6.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from adapterlab.train.layers import FrozenPool


def scaled_sum(omega: Tensor, pool: FrozenPool, h: Tensor) -> Tensor:
    """Return ``Σ_t ω_t ⊙ u_t``.

    Args:
        omega: Coefficients of one point, (T, d or 1).
        pool: The point's frozen adapters.
        h: Inner activations, (N, T·r).

    Returns:
        (N, d).
    """
    count, d, r = pool.up.shape
    up = (omega.unsqueeze(-1) * pool.up).permute(1, 0, 2).reshape(d, count * r)  # (d, T·r)
    return F.linear(h, up, (omega * pool.bias).sum(0))


def at_point(omega: Tensor, point: int) -> Tensor:
    """Return one point's coefficients, (T, d or 1), of (L or 1, T, d or 1)."""
    return omega[point] if omega.shape[0] > 1 else omega[0]
