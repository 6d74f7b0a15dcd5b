"""ScaLearn's mathematics, in the folded form.

The papers write ``s = Σ_t ω_t ⊙ u_t`` over T adapter outputs. As the last factor of an adapter is
linear, ``u_t = U_t h_t + c_t``, the sum is one product ``s = [diag(ω_1)U_1 | … | diag(ω_T)U_T] h +
Σ_t ω_t ⊙ c_t``: the coefficients go into the small matrix, and no (N, T, d) tensor ever exists.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` inner width, ``T`` sources, ``L`` layers.

Source: ScaLearn (arXiv 2310.01217), equations 3 to 6; dropout acts on the coefficients (appendix A.1).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.train.protocols import FrozenPool, Tensors

_INIT_STD = 1e-3  # Source: official code, init N(init_scale / T, 0.001)


def initial(size: tuple[int, int, int], init_scale: float, generator: torch.Generator) -> Tensors:
    """Return fresh coefficients, each drawn from N(init_scale / T, 0.001).

    Args:
        size: (L or 1, T, d or 1).
        init_scale: Sum of the T coefficients at the start; 2 in the paper.
        generator: The lane's random numbers.
    """
    mean = init_scale / size[1]
    return {"omega": torch.empty(size).normal_(mean, _INIT_STD, generator=generator)}


def forward(
    tensors: Mapping[str, Tensor],
    layer: int,
    pool: FrozenPool,
    x: Tensor,  # noqa: ARG001 - the protocol's; these coefficients do not depend on the token
    h: Tensor,
    *,
    dropout: float,
    generator: torch.Generator | None,
) -> Tensor:
    """Return ``Σ_t ω_t ⊙ u_t`` for one lane, (N, T·r) -> (N, d)."""
    omega = _layer_coefficients(tensors["omega"], layer)  # (T, d or 1)
    if generator is not None and dropout > 0:
        keep = torch.empty_like(omega).bernoulli_(1 - dropout, generator=generator)
        omega = omega * (keep / (1 - dropout))
    count, d, r = pool.up.shape
    up = (omega.unsqueeze(-1) * pool.up).permute(1, 0, 2).reshape(d, count * r)  # (d, T·r)
    return F.linear(h, up, (omega * pool.bias).sum(0))


def coefficients(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the learned coefficients, (L or 1, T, d or 1)."""
    return tensors["omega"].detach()


def _layer_coefficients(omega: Tensor, layer: int) -> Tensor:
    return omega[layer] if omega.shape[0] > 1 else omega[0]
