"""Arrow's mathematics: a source's prototype, and how tokens are routed by it.

The prototype of a LoRA at a point is the first right singular vector of ``B A``: the direction of inputs that it
changes most. A token goes to the sources along whose prototypes it points furthest, whichever way.

PEFT finds the vector by 15 steps of power iteration from a random one, which is close to it where the first singular
value stands out; here it is the exact one.

Shapes: ``N`` token rows, ``T`` sources, ``r`` inner width, ``i`` and ``e`` a point's input and output width.

Source: Arrow, arXiv 2405.11157, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from adapterlab.plugin import (
    MEAN_COEFFICIENTS,
    Coefficients,
    CombinerLayer,
    Draws,
    FrozenPool,
    PoolContext,
    PoolShape,
    Tensors,
    UsageError,
    linear,
)
from adapterlab_arrow.plugin import ArrowSettings


class ArrowLayer(CombinerLayer):
    """Torch side of Arrow.

    Args:
        settings: How tokens are routed.
        pool: What is combined.
    """

    needs_context = True

    def __init__(self, settings: ArrowSettings, pool: PoolShape) -> None:
        super().__init__(pool)
        self.settings = settings

    def fixed(self, context: PoolContext) -> Tensors:
        """Return the sources' prototypes, (T, i) for each point.

        Raises:
            UsageError: The adapters are not at hand, or are no products of two factors at every point.
        """
        if context.method is None:
            raise UsageError("arrow routes by the adapters themselves, which are not known here")
        pairs = context.method.products()
        if len(pairs) != len(self.pool.points):
            raise UsageError(
                "arrow routes by the products of two factors, which these adapters do not have",
                remedy="Take LoRAs, or another combiner.",
            )
        return {
            _name(point): torch.stack([prototype(one[up], one[down]) for one in context.adapters])
            for point, (up, down) in enumerate(pairs)
        }

    def without(self, tensors: Mapping[str, Tensor], source: int) -> Mapping[str, Tensor]:
        """Return the prototypes of the other sources."""
        others = [t for t in range(self.pool.sources) if t != source]
        return {name: one[others] if name.startswith(_PROTOTYPE) else one for name, one in tensors.items()}

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
        """Return ``Σ_t p_t u_t`` with each token's own ``p``, (N, i) and (N, T·r) -> (N, e)."""
        del generator  # nothing is dropped
        shares = routed(linear(x, tensors[_name(point)]), self.settings)  # (N, T)
        if observe is not None:
            observe(shares)
        count, _, r = pool.up.shape
        weighed = (h.view(len(h), count, r) * shares.unsqueeze(-1)).flatten(1)  # (N, T·r)
        return linear(weighed, pool.up.transpose(0, 1).flatten(1)) + shares @ pool.bias

    def coefficients(self, tensors: Mapping[str, Tensor]) -> Coefficients:
        """Return the shares averaged over the test split's tokens, (T, 1) at each point."""
        return Coefficients.of(tensors[MEAN_COEFFICIENTS].detach())


def prototype(up: Tensor, down: Tensor) -> Tensor:
    """Return the first right singular vector of ``B A``, (i,), float32; zeros for a LoRA that adds nothing.

    Args:
        up: ``B``, (e, r).
        down: ``A``, (r, i).
    """
    basis, rest = torch.linalg.qr(down.detach().double().T)  # (i, r), (r, r)
    _, values, vectors = torch.linalg.svd(up.detach().double() @ rest.T, full_matrices=False)
    found = basis @ vectors[0]
    return (found if bool(values[0] > 0) else torch.zeros_like(found)).float()


def routed(products: Tensor, settings: ArrowSettings) -> Tensor:
    """Return each token's shares, which sum to 1 and are 0 but for the ``top_k`` sources of greatest magnitude.

    Args:
        products: Of tokens and prototypes, (N, T).
        settings: How tokens are routed.
    """
    scores = products.abs()
    best = scores.topk(min(settings.top_k, scores.shape[1]), dim=1).indices
    kept = torch.full_like(scores, -torch.inf).scatter(1, best, scores.gather(1, best))
    return torch.softmax(kept / settings.temperature, dim=1)


_PROTOTYPE = "prototype."


def _name(point: int) -> str:
    return f"{_PROTOTYPE}{point}"
