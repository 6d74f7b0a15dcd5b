"""What a step of many lanes dispatches and writes, beside one of one lane, and what in it waits: without a clock."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from operations import ALL, count, waiting
from waits import waits
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


@pytest.mark.parametrize("ragged", [True, False], ids=["ragged", "even"])
@pytest.mark.parametrize("kind", ALL)
def test_nothing_in_a_step_makes_the_host_wait_for_a_gpu(kind, ragged):
    """Of one lane or of several, whose rows are of one length or of many; with all dropout on."""
    world = World(shape="tiny", sources=3, batch=4, tokens=9, ragged=ragged)
    for lanes in (1, 3):
        assert not waiting(world, [world.lane(kind, seed) for seed in range(lanes)])


ASKING = {
    "item": lambda x: x.sum().item(),
    "a condition": lambda x: bool(x.any()),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "nonzero": lambda x: x.nonzero(),
    "a mask as index": lambda x: x[x > 1],
    "repeat": lambda x: x.repeat_interleave(x),
    "a list": lambda x: x.new_tensor([1, 2]),
    "an array": lambda x: x + torch.from_numpy(np.ones(3)),
    "its backward pass": lambda x: Asking.apply(x.double().requires_grad_()).sum().backward(),
}


class Asking(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        del ctx
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        del ctx
        return gradient * gradient.max().item()


@pytest.mark.parametrize("what", ASKING)
def test_whatever_asks_a_tensor_for_its_numbers_is_seen(what):
    x = torch.tensor([1, 2, 3])
    with waits() as found:
        ASKING[what](x)
    assert found.total() == 1


def test_what_asks_for_nothing_is_not_counted():
    x, at = torch.tensor([1, 2, 3]), torch.tensor([0, 2])
    with waits() as found:
        x[at], x[0:2], x.to(torch.float64), x.to("cpu", non_blocking=True)
        x.repeat_interleave(x, output_size=6)
        torch._foreach_mul([x.double()], x[0].double())
    assert not found
