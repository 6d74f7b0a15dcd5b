"""AdapterFusion's mathematics, folded: no source's output, key or value is ever made.

With outputs ``u_t = U_t h_t + c_t`` the paper computes, for every token,

    q = Q x + b_Q      k_t = K u_t + b_K      v_t = V u_t      p = softmax_t(q · k_t)      Σ_t p_t v_t

As everything behind ``h_t`` is linear, with ``g = Kᵀ q`` the scores are ``z_t = (U_tᵀ g) · h_t + g · c_t
+ q · b_K``, and the result is ``V (Σ_t p_t U_t h_t + Σ_t p_t c_t)``: three products d × d and two of
width T·r a token instead of 2T + 1 products d × d. The last term of ``z_t`` is the same for every t and
cancels in the softmax, but not in what score dropout leaves, so it is kept.

Shapes: ``N`` token rows, ``d`` a site's input and ``e`` its output width, equal in the paper, ``r`` inner width,
``T`` sources.

Source: AdapterFusion (arXiv 2005.00247), section 3.2; initialisation, dropout on the scores and value
regulariser as in AdapterHub's code.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import (
    MEAN_COEFFICIENTS,
    Coefficients,
    CombinerLayer,
    Draws,
    FrozenPool,
    PoolShape,
    Tensors,
    linear,
)
from adapterlab.plugin import dropout as drop
from adapterlab_adapterfusion.plugin import AdapterFusionSettings

_INIT_STD = 0.02
_OFF_DIAGONAL = 1e-6


class AdapterFusionLayer(CombinerLayer):
    """Torch side of AdapterFusion.

    Args:
        settings: The value regulariser.
        pool: What is attended over.
        dropout: Probability that a score is dropped in a step, in [0, 1).
    """

    def __init__(self, settings: AdapterFusionSettings, pool: PoolShape, *, dropout: float) -> None:
        super().__init__(pool)
        self.settings = settings
        self.dropout: float | Sequence[float] = dropout

    @property
    def alike(self) -> Hashable:
        """Fusions under one regulariser; what dropout each has is kept apart."""
        return self.settings, self.pool

    def together(self, layers: Sequence[AdapterFusionLayer]) -> AdapterFusionLayer:
        """Return a layer that drops each lane's scores by the lane's own probability."""
        joined = copy(self)
        joined.dropout = [float(one.dropout) for one in layers]  # type: ignore[arg-type]
        return joined

    def initial(self, generator: torch.Generator) -> Tensors:
        """Return Q and K from N(0, 0.02) with zero biases, and V = I with 1e-6 off the diagonal."""
        tensors: Tensors = {}
        for point, site in enumerate(self.pool.points):
            for part, width in (("query", site.input), ("key", site.output)):
                weight = torch.empty(site.input, width)  # (d, d) and (d, e)
                tensors[f"layer.{point}.{part}.weight"] = weight.normal_(0, _INIT_STD, generator=generator)
                tensors[f"layer.{point}.{part}.bias"] = torch.zeros(site.input)
            value = torch.full((site.output, site.output), _OFF_DIAGONAL)  # (e, e)
            tensors[f"layer.{point}.value.weight"] = value.fill_diagonal_(1.0)
        return tensors

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
        """Return ``Σ_t p_t V u_t`` for one lane's tokens, (N, e), or for those of lanes, (K, R, e)."""
        count, e, r = pool.up.shape
        up = pool.up.permute(1, 0, 2).reshape(e, count * r)  # (e, T·r)
        base = f"layer.{point}."
        q = linear(x, tensors[f"{base}query.weight"], tensors[f"{base}query.bias"])  # (…, N, d)
        g = q @ tensors[f"{base}key.weight"]  # (…, N, e): row by row Kᵀ q
        scores = ((g @ up) * h).view(*h.shape[:-1], count, r).sum(-1) + g @ pool.bias.T  # (…, N, T)
        scores = scores + q @ tensors[f"{base}key.bias"].unsqueeze(-1)  # q · b_K, (…, N, 1)
        weights = drop(scores, self.dropout, generator).softmax(-1)
        if observe is not None:
            observe(weights.detach())
        scaled = (weights.unsqueeze(-1) * h.view(*h.shape[:-1], count, r)).flatten(-2)  # (…, N, T·r)
        return linear(F.linear(scaled, up) + weights @ pool.bias, tensors[f"{base}value.weight"])

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return ``value_regulariser · Σ_l ‖I − V_l‖²`` (Frobenius)."""
        if not self.settings.value_regulariser:
            return None
        by_width: dict[int, list[Tensor]] = {}
        for name in tensors:
            if name.endswith(".value.weight"):
                by_width.setdefault(tensors[name].shape[-1], []).append(tensors[name])
        terms = []
        for width, values in by_width.items():
            identity = torch.eye(width, dtype=values[0].dtype, device=values[0].device)
            terms.append(
                (identity - torch.stack(values, -3)).square().sum((-3, -2, -1))
            )  # (…, L, e, e) -> (…)
        total = terms[0] if len(terms) == 1 else torch.stack(terms).sum(0)
        return float(self.settings.value_regulariser) * total

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor: values are held near the identity, not near 0."""
        return not name.endswith(".value.weight")

    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the attention weights' means over the tokens of an evaluation, (T, 1) at each point."""
        return Coefficients.of(tensors[MEAN_COEFFICIENTS].detach())
