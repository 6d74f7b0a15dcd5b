"""What a step of many lanes dispatches and writes, beside one of one lane: counted, without a clock."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from operations import ALL, count
from world import World

LANES = 16


@pytest.mark.parametrize("dropout", [True, False], ids=["dropout", "no dropout"])
@pytest.mark.parametrize("kind", ALL)
def test_sixteen_lanes_take_at_most_twice_the_operations_of_one(kind, dropout):
    """And write at most 1.1 times the bytes a lane; adapters of four widths are padded to the widest."""
    world = World(shape="tiny", sources=3, batch=8, tokens=24, backbone_dropout=dropout)
    one = count(world, [world.lane(kind)])
    many = count(world, [world.lane(kind, seed) for seed in range(LANES)])
    assert many.operations <= 2 * one.operations
    assert many.launches <= 2 * one.launches
    if kind != "mixed_widths":  # its lanes are not equally large
        assert many.bytes_written <= 1.1 * LANES * one.bytes_written
