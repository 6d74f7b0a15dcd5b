"""The mathematics of one bottleneck, wherever it attaches and however its weights are made.

``u = W_up σ(W_down x + b_down) + b_up``. Pfeiffer and Houlsby adapters hold these four tensors;
Compacter and ProPETL compute them from fewer.

Shapes: ``N`` token rows, ``d`` hidden size, ``r`` bottleneck width, ``T`` adapters.

Source: Houlsby et al. (arXiv 1902.00751), section 2.1; AdapterFusion (arXiv 2005.00247), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterlab.plugin import ACTIVATIONS, FrozenPool, Site, Tensors, linear

_INIT_STD = 0.02  # Source: methods of both papers, init "bert": weights N(0, 0.02), biases 0


class Bottleneck(NamedTuple):
    """The weights of one bottleneck."""

    down: Tensor
    """(r, d)."""
    down_bias: Tensor
    """(r,)."""
    up: Tensor
    """(d, r)."""
    up_bias: Tensor
    """(d,)."""

    def named(self, prefix: str) -> Tensors:
        """Return the four by their names in an adapter's tensors."""
        return {
            f"{prefix}down.weight": self.down,
            f"{prefix}down.bias": self.down_bias,
            f"{prefix}up.weight": self.up,
            f"{prefix}up.bias": self.up_bias,
        }


def initial(site: Site, r: int, generator: torch.Generator) -> Bottleneck:
    """Return fresh weights N(0, 0.02) and biases 0, of width ``r`` between a site's input and output."""
    down = torch.empty(r, site.input).normal_(0.0, _INIT_STD, generator=generator)
    up = torch.empty(site.output, r).normal_(0.0, _INIT_STD, generator=generator)
    return Bottleneck(down, torch.zeros(r), up, torch.zeros(site.output))


def read(tensors: Mapping[str, Tensor], prefix: str) -> Bottleneck:
    """Return the bottleneck that an adapter's tensors hold under a prefix."""
    return Bottleneck(
        tensors[f"{prefix}down.weight"],
        tensors[f"{prefix}down.bias"],
        tensors[f"{prefix}up.weight"],
        tensors[f"{prefix}up.bias"],
    )


def forward(weights: Bottleneck, non_linearity: str, x: Tensor) -> Tensor:
    """Return ``u``, (N, d) -> (N, d); of lanes' weights (K, R, d) -> (K, R, d)."""
    h = ACTIVATIONS[non_linearity](linear(x, weights.down, weights.down_bias))
    return linear(h, weights.up, weights.up_bias)


def stack(pool: Sequence[Bottleneck]) -> FrozenPool:
    """Stack T bottlenecks: down-projections side by side, up-projections kept apart.

    They may differ in width: the narrower ones get inner units that nothing reads.
    """
    widest = max(one.up.shape[1] for one in pool)
    spare = [widest - one.up.shape[1] for one in pool]
    return FrozenPool(
        inner={
            # (T·r, d) and (T·r,)
            "weight": torch.cat(
                [F.pad(one.down, (0, 0, 0, more)) for one, more in zip(pool, spare, strict=True)]
            ),
            "bias": torch.cat(
                [F.pad(one.down_bias, (0, more)) for one, more in zip(pool, spare, strict=True)]
            ),
        },
        up=torch.stack(
            [F.pad(one.up, (0, more)) for one, more in zip(pool, spare, strict=True)]
        ),  # (T, d, r)
        bias=torch.stack([one.up_bias for one in pool]),  # (T, d)
    )


def inner(pool: FrozenPool, non_linearity: str, x: Tensor) -> Tensor:
    """Return all T bottleneck activations with one product, (N, d) -> (N, T·r)."""
    return ACTIVATIONS[non_linearity](F.linear(x, pool.inner["weight"], pool.inner["bias"]))


def fold(pool: Sequence[Bottleneck], omega: Tensor) -> Bottleneck:
    """Return the one bottleneck that ``Σ_t ω_t ⊙ u_t`` is, of width ``Σ_t r_t``.

    Args:
        pool: T bottlenecks, of any widths.
        omega: Their coefficients, (T, d or 1).
    """
    return Bottleneck(
        down=torch.cat([one.down for one in pool]),
        down_bias=torch.cat([one.down_bias for one in pool]),
        up=torch.cat([one.up * omega[t].unsqueeze(-1) for t, one in enumerate(pool)], dim=1),
        up_bias=(omega * torch.stack([one.up_bias for one in pool])).sum(0),
    )
