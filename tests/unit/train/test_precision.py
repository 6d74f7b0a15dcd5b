"""A backbone in 16 bits: what is trained keeps 32, and its training is the same but for rounding."""

from __future__ import annotations

import pytest
import torch

from adapterlab.records import State, TrainSettings
from adapterlab.registry.entry_points import adapter_method, combiner
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination, combiner_layer
from adapterlab.train.device import precision_of
from adapterlab.train.lane import source_lane, transfer_lane
from adapterlab.train.loop import train_lanes
from adapterlab.train.rng import stream
from tiny_models import random_encoder, random_task

SETTINGS = TrainSettings(lr=2e-3, max_epochs=3, patience=3, batch_size=8, head_dropout=0.0)
TASK = random_task(rows=48)


def trained(name, dtype):
    """Return the one result of a lane on a backbone of a precision, without dropout anywhere."""
    backbone = random_encoder(dropout=0.0, dtype=dtype)
    pfeiffer = adapter_method("pfeiffer")
    if name in {"pfeiffer", "full"}:
        method = adapter_method(name)
        layer = method.layer(method.settings(), backbone.shape)
        lane = source_lane(backbone, layer, TASK, SETTINGS, seed=0, name=name)
    else:
        plugin, layer = combiner(name), pfeiffer.layer(pfeiffer.settings(), backbone.shape)
        pool = SourcePool.build(layer, [layer.initial(stream(n, "pool")) for n in range(3)], backbone)
        mixer = combiner_layer(plugin, plugin.settings(), pool.shape, {"dropout": 0.0})
        lane = transfer_lane(backbone, Combination(pool, mixer), TASK, SETTINGS, seed=0, name=name)
    lanes = [lane]
    (result,) = train_lanes(
        backbone, lambda: lanes.pop() if lanes else None, capacity=1, on_epoch=lambda *_: True
    )
    return result


@pytest.mark.parametrize("name", ["pfeiffer", "full", "scalearn", "scalearn_uniform_pp", "adapterfusion"])
def test_sixteen_bits_learn_what_thirty_two_do(name):
    half, whole = (trained(name, precision_of(one)) for one in ("bfloat16", "float32"))
    assert half.state is whole.state is State.COMPLETE
    assert {tensor.dtype for tensor in half.tensors.values()} == {torch.float32}
    for mine, theirs in zip(half.epochs, whole.epochs, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, abs=0.02)
        assert mine.train_loss != theirs.train_loss  # 16 bits were really used
