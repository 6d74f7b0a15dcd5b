"""Lanes train the same whether Triton's kernels or plain torch serve; the kernels run on a GPU or in their interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4] / "benchmarks"))

from adapterlab.train.gpu_path import as_on_a_gpu
from adapterlab.train.kernels import library, plain
from adapterlab.train.loop import train_step
from world import World

CODES = "code_for_masks", "code_for_rows", "code_for_attention", "code_for_step"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scalearn", "adapterfusion", "lora"])
def test_steps_of_two_lanes_are_the_same(kind, with_triton, monkeypatch):
    def trained(code):
        for name in CODES:
            monkeypatch.setattr(library, name, lambda *_: code)
        world = World(shape="tiny", sources=2, batch=2, tokens=9, ragged=True, backbone_dropout=True)
        lanes = [world.lane(kind, seed) for seed in range(2)]
        with as_on_a_gpu():
            for _ in range(2):  # the second begins from what the first one's optimizer left
                train_step(world.backbone, lanes)
        return [dict(lane.tensors) for lane in lanes]

    for got, wanted in zip(trained(with_triton), trained(plain), strict=True):
        assert got.keys() == wanted.keys()
        for name, tensor in wanted.items():
            # AdamW's first steps are as long for a gradient of 1e-9 as for one of 1: of such entries signs may differ.
            far = (got[name] - tensor).abs() > 1e-5
            assert far.double().mean().item() < 0.01, name
