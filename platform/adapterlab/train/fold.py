"""A combination is an adapter: a frozen pool and its coefficients become one adapter of the method.

With a linear last factor, ``u_t = U_t h_t + c_t``, coefficients that do not depend on the token go
into the weights: ``Σ_t ω_t ⊙ u_t = [diag(ω_1)U_1 | … | diag(ω_T)U_T] h + Σ_t ω_t ⊙ c_t``. The result
is exact, needs no source adapter any more, and may serve as a source adapter itself.

Shapes: ``L`` layers, ``T`` sources, ``d`` hidden size, ``r_t`` inner widths.

Source: reformulation of ScaLearn (arXiv 2310.01217), equations 3 to 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adapterlab.errors import DataError, UsageError
from adapterlab.train.layers import Coefficients, MethodLayer, Tensors


@dataclass(frozen=True)
class Folded:
    """One adapter that stands for a whole combination."""

    tensors: Tensors
    """As the method names them; in the precision of the sources."""
    kept: tuple[tuple[int, ...], ...]
    """For each point, the numbers of the sources that are in it; empty where none is."""
    sources: int
    """Adapters in the pool, T."""
    largest_dropped: float
    """Greatest absolute coefficient left out; 0 where only zeros were."""

    @property
    def dropped(self) -> tuple[int, ...]:
        """Numbers of the sources that are at no point at all."""
        used = {source for members in self.kept for source in members}
        return tuple(source for source in range(self.sources) if source not in used)


def fold(
    method: MethodLayer,
    adapters: Sequence[Mapping[str, Tensor]],
    coefficients: Coefficients,
    *,
    tolerance: float = 0.0,
) -> Folded:
    """Fold a pool under coefficients into one adapter.

    Args:
        method: Torch side of the adapter method, on the backbone.
        adapters: The T source adapters in coefficient order; their inner widths may differ.
        coefficients: The same for every token.
        tolerance: A source none of whose coefficients at a point is greater (absolute value) is left
            out there. 0 leaves out only what contributes nothing, and stays exact.

    Raises:
        UsageError: The method cannot be folded, or the tolerance is negative.
        DataError: The coefficients do not fit the points, or are not finite.
    """
    if not tolerance >= 0:
        raise UsageError(f"the tolerance must be 0 or more, got {tolerance}")
    check_coefficients(coefficients, method, len(adapters))
    tensors: Tensors = {}
    kept: list[tuple[int, ...]] = []
    largest = 0.0
    for point, (site, layer) in enumerate(method.points):
        row = coefficients.at(point).detach().double().cpu()  # (T, e or 1)
        size = row.abs().amax(1)
        members = tuple(int(t) for t in (size > tolerance).nonzero().flatten())
        largest = max([largest, *(float(size[t]) for t in range(len(size)) if t not in members)])
        kept.append(members)
        # A point that no source is left at keeps the first one, multiplied by zero: adapters have
        # the same tensors at every point.
        pool, weights = (
            ([adapters[t] for t in members], row[list(members)]) if members else ([adapters[0]], row[:1] * 0)
        )
        part = method.fold([_in_double(one) for one in pool], site, layer, weights)
        tensors |= {name: tensor.to(_precision(adapters)) for name, tensor in part.items()}
    return Folded(tensors, tuple(kept), len(adapters), largest)


def expand(method: MethodLayer, adapter: Mapping[str, Tensor]) -> Folded:
    """Return one adapter as the plain one it is: what a combination of it alone, with coefficient 1, folds into.

    Args:
        method: Torch side of its method, on the backbone.
        adapter: Its tensors.

    Raises:
        UsageError: The method cannot be folded.
    """
    return fold(method, [adapter], Coefficients.of(torch.ones(1, 1, 1, dtype=torch.float64)))


def check_coefficients(coefficients: Coefficients, method: MethodLayer, sources: int) -> None:
    """Check that coefficients are finite and fit each point, (T, e or 1).

    Raises:
        DataError: They are not; the message says the expected shape.
    """
    points = method.points
    widths = [method.sites[number % len(method.sites)].output for number in range(len(points))]
    shapes = [tuple(row.shape) for row in coefficients.rows]
    fits = len(shapes) in (1, len(points)) and all(
        shape in ((sources, 1), (sources, width))
        for shape, width in zip(shapes if len(shapes) > 1 else shapes * len(points), widths, strict=False)
    )
    if not fits:
        widest = " or ".join(map(str, dict.fromkeys(widths)))
        found = (len(shapes), *shapes[0]) if len(set(shapes)) == 1 else shapes
        raise DataError(
            f"coefficients: expected shape ({len(points)} or 1, {sources}, {widest} or 1) = "
            f"(layers, sources, hidden size), got {found}"
        )
    if not all(bool(torch.isfinite(row).all()) for row in coefficients.rows):
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
