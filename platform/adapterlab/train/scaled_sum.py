"""The folded form of a scaled sum: one product with the up-projections side by side.

The papers write ``s = Σ_t ω_t ⊙ u_t`` over T adapter outputs. As the last factor of an adapter is
linear, ``u_t = U_t h_t + c_t``, the sum is one product ``s = [diag(ω_1)U_1 | … | diag(ω_T)U_T] h +
Σ_t ω_t ⊙ c_t``: the coefficients go into the small matrix, and no (N, T, e) tensor ever exists.

Points of equal width share one tensor of coefficients, ``omega``; where a pool's sites differ in width,
each width has its own, ``omega.<width>``.

All of it also takes a leading axis of lanes, where the engine computes lanes together.

Shapes: ``K`` lanes, ``N`` token rows, ``T`` sources, ``r`` inner width, ``e`` a point's output width, ``P`` points.

Source: reformulation of ScaLearn (arXiv 2310.01217), equations 3 to 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from adapterlab.records import PoolShape
from adapterlab.train.layers import FrozenPool, Tensors
from adapterlab.train.packing import linear

_OMEGA = "omega"


def scaled_sum(omega: Tensor, pool: FrozenPool, h: Tensor) -> Tensor:
    """Return ``Σ_t ω_t ⊙ u_t``.

    Args:
        omega: Coefficients of one point, (T, e or 1) or (K, T, e or 1).
        pool: The point's frozen adapters.
        h: Inner activations, (N, T·r) or (K, R, T·r).

    Returns:
        (N, e) or (K, R, e).
    """
    scaled = omega.unsqueeze(-1) * pool.up  # (…, T, e, r)
    return linear(h, scaled.transpose(-3, -2).flatten(-2), (omega * pool.bias).sum(-2))  # (…, e, T·r), (…, e)


def omega_shapes(
    pool: PoolShape, *, per_point: bool, per_dimension: bool
) -> Mapping[str, tuple[int, int, int]]:
    """Return the shape of each tensor of coefficients by its name, (P or 1, T, e or 1).

    Args:
        pool: Its points and sources.
        per_point: Coefficients of their own for each point, or one set that points of equal width share.
        per_dimension: One coefficient for each output dimension of a source, or one for the whole source.
    """
    if not per_dimension:
        return {_OMEGA: (len(pool.points) if per_point else 1, pool.sources, 1)}
    widths = pool.points_by_width
    return {
        _omega_name(pool, width): (len(points) if per_point else 1, pool.sources, width)
        for width, points in widths.items()
    }


def fresh_omega(
    pool: PoolShape, draw: Callable[[tuple[int, int, int]], Tensor], *, per_point: bool, per_dimension: bool
) -> Tensors:
    """Return fresh coefficients, each tensor as ``draw`` makes it for its shape; see :func:`omega_shapes`."""
    shapes = omega_shapes(pool, per_point=per_point, per_dimension=per_dimension)
    return {name: draw(shape) for name, shape in shapes.items()}


def at_point(tensors: Mapping[str, Tensor], pool: PoolShape, point: int) -> Tensor:
    """Return one point's coefficients, (T, e or 1), of tensors that :func:`fresh_omega` made; of lanes (K, T, …)."""
    if _OMEGA in tensors:
        return _chosen(tensors[_OMEGA], point)
    width = pool.points[point].output
    return _chosen(tensors[f"{_OMEGA}.{width}"], pool.points_by_width[width].index(point))


def _chosen(omega: Tensor, place: int) -> Tensor:
    """Return one of the rows, (…, P, T, e or 1) -> (…, T, e or 1), or the one that all points share."""
    return omega.select(-3, place if omega.shape[-3] > 1 else 0)


def omega_rows(tensors: Mapping[str, Tensor], pool: PoolShape) -> tuple[Tensor, ...]:
    """Return the coefficients of each point, (T, e or 1), or one row that all points share."""
    if _OMEGA in tensors:
        return tuple(tensors[_OMEGA])
    return tuple(at_point(tensors, pool, point) for point in range(len(pool.points)))


def _omega_name(pool: PoolShape, width: int) -> str:
    return _OMEGA if len(pool.points_by_width) == 1 else f"{_OMEGA}.{width}"
