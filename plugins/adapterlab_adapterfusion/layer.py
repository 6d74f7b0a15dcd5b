"""AdapterFusion's mathematics, folded: no source's output, key or value is ever made.

With outputs ``u_t = U_t h_t + c_t`` the paper computes, for every token,

    q = Q x + b_Q      k_t = K u_t + b_K      v_t = V u_t      p = softmax_t(q · k_t)      Σ_t p_t v_t

As everything behind ``h_t`` is linear, with ``g = Kᵀ q`` the scores are ``z_t = (U_tᵀ g) · h_t + g · c_t
+ q · b_K``, and the result is ``V (Σ_t p_t U_t h_t + Σ_t p_t c_t)``: three products d × d and two of
width T·r a token instead of 2T + 1 products d × d. The last term of ``z_t`` is the same for every t and
cancels in the softmax, but not in what score dropout leaves, so it is kept.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` inner width, ``T`` sources, ``L`` points.

Source: AdapterFusion (arXiv 2005.00247), section 3.2; initialisation, dropout on the scores and value
regulariser as in AdapterHub's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.train.layers import MEAN_COEFFICIENTS, FrozenPool, Tensors
from adapterlab.train.rng import dropout as drop

_INIT_STD = 0.02
_OFF_DIAGONAL = 1e-6


@dataclass(frozen=True)
class AdapterFusionLayer:
    """Torch side of AdapterFusion."""

    def initial(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        size: tuple[int, int, int],
        hidden_size: int,
        init_scale: float,  # noqa: ARG002 - the protocol's; attention starts from its own values
        generator: torch.Generator,
    ) -> Tensors:
        """Return Q and K from N(0, 0.02) with zero biases, and V = I with 1e-6 off the diagonal."""
        tensors: Tensors = {}
        for point in range(size[0]):
            for part in ("query", "key"):
                weight = torch.empty(hidden_size, hidden_size)
                tensors[f"layer.{point}.{part}.weight"] = weight.normal_(0, _INIT_STD, generator=generator)
                tensors[f"layer.{point}.{part}.bias"] = torch.zeros(hidden_size)
            value = torch.full((hidden_size, hidden_size), _OFF_DIAGONAL)
            tensors[f"layer.{point}.value.weight"] = value.fill_diagonal_(1.0)
        return tensors

    def forward(
        self,
        settings: Any,  # noqa: ARG002 - the protocol's
        tensors: Mapping[str, Tensor],
        point: int,
        pool: FrozenPool,
        x: Tensor,
        h: Tensor,
        *,
        dropout: float,
        generator: torch.Generator | None,
        observe: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Return ``Σ_t p_t V u_t`` for one lane's tokens, (N, d)."""
        count, d, r = pool.up.shape
        up = pool.up.permute(1, 0, 2).reshape(d, count * r)  # (d, T·r)
        base = f"layer.{point}."
        key = tensors[f"{base}key.weight"]
        q = F.linear(x, tensors[f"{base}query.weight"], tensors[f"{base}query.bias"])
        g = q @ key  # (N, d): row by row Kᵀ q
        scores = ((g @ up) * h).reshape(-1, count, r).sum(2) + g @ pool.bias.T  # (N, T)
        scores = scores + (q @ tensors[f"{base}key.bias"]).unsqueeze(1)
        weights = drop(scores, dropout, generator).softmax(1)
        if observe is not None:
            observe(weights.detach())
        scaled = (weights.unsqueeze(2) * h.reshape(-1, count, r)).flatten(1)  # (N, T·r)
        return F.linear(F.linear(scaled, up) + weights @ pool.bias, tensors[f"{base}value.weight"])

    def penalty(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return ``value_regulariser · Σ_l ‖I − V_l‖²`` (Frobenius)."""
        if not settings.value_regulariser:
            return None
        values = torch.stack([one for name, one in tensors.items() if name.endswith(".value.weight")])
        identity = torch.eye(values.shape[1], dtype=values.dtype, device=values.device)
        return float(settings.value_regulariser) * (identity - values).square().sum()

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor: values are held near the identity, not near 0."""
        return not name.endswith(".value.weight")

    def coefficients(self, settings: Any, tensors: Mapping[str, Tensor]) -> Tensor:  # noqa: ARG002
        """Return the attention weights' means over the tokens of an evaluation, (L, T, 1)."""
        return tensors[MEAN_COEFFICIENTS].detach()
