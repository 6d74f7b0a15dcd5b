"""One product with the up-projections side by side is the sum of all outputs; widths keep apart."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.records import PoolShape, Site
from adapterlab.train.layers import FrozenPool
from adapterlab.train.scaled_sum import at_point, fresh_omega, omega_rows, omega_shapes, scaled_sum

WIDTHS = st.lists(st.sampled_from([3, 4, 8]), min_size=1, max_size=4)


def shape_of(widths, layers, sources):
    return PoolShape(layers, tuple(Site(f"site {n}", 5, width) for n, width in enumerate(widths)), sources)


def numbered(shape):
    """Fresh coefficients that are all different, so that each is known by its value."""
    numbered.last = getattr(numbered, "last", 0)
    count = int(torch.tensor(shape).prod())
    values = torch.arange(numbered.last, numbered.last + count, dtype=torch.float64).view(shape)
    numbered.last += count
    return values


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.integers(0, 9))
def test_it_is_the_weighed_sum_of_all_outputs(sources, e, r, per_dimension, seed):
    def normal(*shape):
        generator = torch.Generator().manual_seed(seed + sum(shape))
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    pool = FrozenPool({}, normal(sources, e, r), normal(sources, e))
    omega, h = normal(sources, e if per_dimension else 1), normal(7, sources * r)
    outputs = torch.einsum("ntr,ter->nte", h.view(7, sources, r), pool.up) + pool.bias
    torch.testing.assert_close(scaled_sum(omega, pool, h), (omega * outputs).sum(1), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(WIDTHS, st.integers(1, 3), st.integers(1, 4), st.booleans(), st.booleans())
def test_every_point_has_the_coefficients_it_should_and_no_other(
    widths, layers, sources, per_point, per_dimension
):
    """Its own where each has some; else those that points of its width share."""
    pool = shape_of(widths, layers, sources)
    tensors = fresh_omega(pool, numbered, per_point=per_point, per_dimension=per_dimension)
    shapes = omega_shapes(pool, per_point=per_point, per_dimension=per_dimension)
    assert {name: tuple(one.shape) for name, one in tensors.items()} == dict(shapes)
    rows = omega_rows(tensors, pool)
    assert len(rows) in (1, len(pool.points))
    seen = []
    for point, site in enumerate(pool.points):
        row = at_point(tensors, pool, point)
        assert row.shape == (sources, site.output if per_dimension else 1)
        assert torch.equal(row, rows[point] if len(rows) > 1 else rows[0])
        seen.append(tuple(row.flatten().tolist()))
    if per_point:
        assert len(set(seen)) == len(pool.points)
        assert sum(map(len, seen)) == sum(one.numel() for one in tensors.values())
    else:
        kinds = {site.output for site in pool.points} if per_dimension else {1}
        assert len(set(seen)) == len(kinds)


@pytest.mark.parametrize("per_point", [True, False])
def test_where_all_points_are_equally_wide_there_is_one_tensor_as_there_always_was(per_point):
    pool = shape_of([8, 8], 3, 2)
    assert omega_shapes(pool, per_point=per_point, per_dimension=True) == {
        "omega": (6 if per_point else 1, 2, 8)
    }
    uneven = shape_of([8, 4], 3, 2)
    assert omega_shapes(uneven, per_point=per_point, per_dimension=True) == {
        "omega.8": (3 if per_point else 1, 2, 8),
        "omega.4": (3 if per_point else 1, 2, 4),
    }
    assert omega_shapes(uneven, per_point=False, per_dimension=False) == {"omega": (1, 2, 1)}
