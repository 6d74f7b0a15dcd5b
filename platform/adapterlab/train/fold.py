"""A combination is an adapter: a frozen pool and its coefficients become one adapter of the method.

With a linear last factor, ``u_t = U_t h_t + c_t``, coefficients that do not depend on the token go
into the weights: ``Σ_t ω_t ⊙ u_t = [diag(ω_1)U_1 | … | diag(ω_T)U_T] h + Σ_t ω_t ⊙ c_t``. The result
is exact, needs no source adapter any more, and may serve as a source adapter itself.

Shapes: ``L`` layers, ``T`` sources, ``d`` hidden size, ``r_t`` inner widths.

Source: reformulation of ScaLearn (arXiv 2310.01217), equations 3 to 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from adapterlab.errors import DataError, UsageError
from adapterlab.records import BackboneShape
from adapterlab.train.layers import Tensors


@runtime_checkable
class FoldingLayer(Protocol):
    """Torch side of an adapter method whose combinations are adapters, of the same method or a plainer one."""

    def sites(self, settings: Any) -> tuple[str, ...]:
        """Return the sites where outputs are added."""

    def fold(
        self, settings: Any, pool: Sequence[Mapping[str, Tensor]], site: str, layer: int, omega: Tensor
    ) -> Tensors:
        """Return one point of the adapter that ``Σ_t ω_t ⊙ u_t`` is; ``omega`` is (T, d or 1)."""


@dataclass(frozen=True)
class Folded:
    """One adapter that stands for a whole combination."""

    tensors: Tensors
    """As the method names them; in the precision of the sources."""
    kept: tuple[tuple[int, ...], ...]
    """For each attachment point, the places of the sources that are in it; empty where none is."""
    sources: int
    """Adapters in the pool, T."""
    largest_dropped: float
    """Greatest absolute coefficient left out; 0 where only zeros were."""

    @property
    def dropped(self) -> tuple[int, ...]:
        """Places of the sources that are at no point at all."""
        used = {place for places in self.kept for place in places}
        return tuple(place for place in range(self.sources) if place not in used)


def fold(
    method: Any,
    settings: Any,
    adapters: Sequence[Mapping[str, Tensor]],
    coefficients: Tensor,
    shape: BackboneShape,
    *,
    tolerance: float = 0.0,
) -> Folded:
    """Fold a pool under coefficients into one adapter.

    Args:
        method: Torch side of the adapter method.
        settings: Its settings.
        adapters: The T source adapters in coefficient order; their inner widths may differ.
        coefficients: (L·S or 1, T, d or 1), the same for every token; S: the method's sites.
        shape: Shape of the backbone.
        tolerance: A source none of whose coefficients at a point is greater (absolute value) is left
            out there. 0 leaves out only what contributes nothing, and stays exact.

    Raises:
        UsageError: The method cannot be folded, or the tolerance is negative.
        DataError: The coefficients have another shape, or are not finite.
    """
    if not isinstance(method, FoldingLayer):
        name = getattr(method, "__name__", type(method).__name__)
        raise UsageError(f"combinations of {name} adapters cannot be folded into one: it has no fold()")
    if not tolerance >= 0:
        raise UsageError(f"the tolerance must be 0 or more, got {tolerance}")
    sites = method.sites(settings)
    points = [(site, layer) for layer in range(shape.layers) for site in sites]
    check_coefficients(coefficients, replace(shape, layers=len(points)), len(adapters))
    omega = coefficients.detach().double().cpu()
    tensors: Tensors = {}
    kept: list[tuple[int, ...]] = []
    largest = 0.0
    for point, (site, layer) in enumerate(points):
        row = omega[point if omega.shape[0] > 1 else 0]  # (T, d or 1)
        size = row.abs().amax(1)
        places = tuple(int(place) for place in (size > tolerance).nonzero().flatten())
        largest = max([largest, *(float(size[t]) for t in range(len(size)) if t not in places)])
        kept.append(places)
        # A point that no source is left at keeps the first one, multiplied by zero: adapters have
        # the same tensors at every point.
        pool, weights = (
            ([adapters[t] for t in places], row[list(places)]) if places else ([adapters[0]], row[:1] * 0)
        )
        part = method.fold(settings, [_in_double(one) for one in pool], site, layer, weights)
        tensors |= {name: tensor.to(_precision(adapters)) for name, tensor in part.items()}
    return Folded(tensors, tuple(kept), len(adapters), largest)


def expand(method: Any, settings: Any, adapter: Mapping[str, Tensor], shape: BackboneShape) -> Folded:
    """Return one adapter as the plain one it is: what a combination of it alone, with coefficient 1, folds into.

    Args:
        method: Torch side of its method.
        settings: Its settings.
        adapter: Its tensors.
        shape: Shape of the backbone.

    Raises:
        UsageError: The method cannot be folded.
    """
    return fold(method, settings, [adapter], torch.ones(1, 1, 1, dtype=torch.float64), shape)


def check_coefficients(coefficients: Tensor, shape: BackboneShape, sources: int) -> None:
    """Check that coefficients are finite and of shape (L or 1, T, d or 1).

    Raises:
        DataError: They are not; the message says the expected shape.
    """
    got = tuple(coefficients.shape)
    layers, width = (1, shape.layers), (1, shape.hidden_size)
    if len(got) != 3 or got[0] not in layers or got[1] != sources or got[2] not in width:
        raise DataError(
            f"coefficients: expected shape ({shape.layers} or 1, {sources}, {shape.hidden_size} or 1) = "
            f"(layers, sources, hidden size), got {got}"
        )
    if not bool(torch.isfinite(coefficients).all()):
        raise DataError("coefficients: some are not finite")


def _in_double(adapter: Mapping[str, Tensor]) -> Tensors:
    """Products and sums are rounded once, when the result is."""
    return {name: tensor.detach().double().cpu() for name, tensor in adapter.items()}


def _precision(adapters: Sequence[Mapping[str, Tensor]]) -> torch.dtype:
    kinds = [tensor.dtype for one in adapters for tensor in one.values()]
    widest = kinds[0]
    for kind in kinds[1:]:
        widest = torch.promote_types(widest, kind)
    return widest
