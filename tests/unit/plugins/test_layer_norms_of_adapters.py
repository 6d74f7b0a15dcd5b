"""Bottlenecks with LayerNorms of their own: before the first projection, after the second, or both."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from adapterlab.errors import UsageError
from adapterlab.records import TrainSettings
from adapterlab.train.gpu_path import as_on_a_gpu
from adapterlab.train.lane import source_lane
from adapterlab.train.loop import train_lanes
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_encoder.config import encoder_shape
from adapterlab_houlsby.plugin import HOULSBY, HoulsbySettings
from tiny_models import random_encoder, random_task

BASE = encoder_shape(12, 768, 3072)
ENCODER = random_encoder(layers=2, d=16)
POSITIONS = ["before", "after", "both"]


def settings_at(position, **more):
    return PfeifferSettings(layer_norm=position, reduction_factor=4, non_linearity="gelu", **more)


def random_adapter(layer):
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(one.shape, generator=generator, dtype=torch.float64)
        for name, one in layer.initial(generator).items()
    }


class Reference(nn.Module):
    """One bottleneck as torch has its parts."""

    def __init__(self, tensors, d, r):
        super().__init__()
        self.norm_before, self.norm_after = nn.LayerNorm(d), nn.LayerNorm(d)
        self.down, self.up = nn.Linear(d, r), nn.Linear(r, d)
        self.double()
        prefix = "layer.1."
        self.has = {name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)}
        own = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        self.load_state_dict(self.state_dict() | own)

    def forward(self, x):
        x = self.norm_before(x) if "norm_before" in self.has else x
        u = self.up(nn.functional.gelu(self.down(x)))
        return self.norm_after(u) if "norm_after" in self.has else u


@pytest.mark.parametrize("position", POSITIONS)
def test_it_computes_what_torch_does(position):
    layer = PFEIFFER.layer(settings_at(position), ENCODER.shape)
    tensors = random_adapter(layer)
    x = torch.randn(5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    reference = Reference(tensors, 16, 4)
    assert reference.has - {"down", "up"} == {
        "before": {"norm_before"}, "after": {"norm_after"}, "both": {"norm_before", "norm_after"}
    }[position]  # fmt: skip
    torch.testing.assert_close(layer.forward(tensors, "ffn", 1, x, x), reference(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("position", POSITIONS)
def test_it_begins_as_plain_rows_and_counts_its_norms(position):
    layer = PFEIFFER.layer(settings_at(position), ENCODER.shape)
    fresh = layer.initial(torch.Generator().manual_seed(0))
    norms = {name: one for name, one in fresh.items() if "norm" in name}
    assert all(one.eq(1.0 if name.endswith("weight") else 0.0).all() for name, one in norms.items())
    counted = sum(one.numel() for one in fresh.values())
    assert counted == PFEIFFER.trainable_parameters(settings_at(position), ENCODER.shape)


def test_at_the_shape_of_bert_base():
    def count(method, settings):
        return method.trainable_parameters(settings, BASE)

    assert count(PFEIFFER, PfeifferSettings(layer_norm="both")) == 894_528 + 12 * 2 * 2 * 768
    assert count(HOULSBY, HoulsbySettings(layer_norm="after")) == 1_789_056 + 2 * 12 * 2 * 768


def test_lanes_of_several_widths_train_together_as_alone():
    def lanes():
        training = TrainSettings(lr=1e-2, max_epochs=2, patience=2, batch_size=6, head_dropout=0.0)
        methods = [
            PFEIFFER.layer(PfeifferSettings(layer_norm="both", reduction_factor=factor), ENCODER.shape)
            for factor in (2, 4)
        ] + [PFEIFFER.layer(PfeifferSettings(reduction_factor=4), ENCODER.shape)]
        return [
            source_lane(
                ENCODER, one, random_task(rows=18), training, seed=seed, name=str(seed), sees_test=True
            )
            for seed, one in enumerate(methods)
        ]

    def results(some):
        waiting = list(some)
        found = train_lanes(
            ENCODER,
            lambda: waiting.pop() if waiting else None,
            capacity=len(waiting),
            on_epoch=lambda *_: True,
        )
        return {one.name: one for one in found}

    with as_on_a_gpu():
        together = results(lanes())
        each = [results([lane])[lane.name] for lane in lanes()]
    for alone in each:
        for name, tensor in alone.tensors.items():
            torch.testing.assert_close(together[alone.name].tensors[name], tensor, rtol=0, atol=1e-9)


def test_without_one_nothing_is_in_the_key():
    assert "layer_norm" not in PfeifferSettings().model_dump(mode="json")
    assert "layer_norm" not in HoulsbySettings(layer_norm="none").model_dump(mode="json")
    assert PfeifferSettings(layer_norm="after").model_dump(mode="json")["layer_norm"] == "after"


@pytest.mark.parametrize(("method", "kind"), [(PFEIFFER, PfeifferSettings), (HOULSBY, HoulsbySettings)])
def test_they_are_not_combined_and_fold_into_nothing(method, kind):
    with pytest.raises(UsageError, match="layer_norm = 'before'"):
        method.pooled([kind(), kind(layer_norm="before")])
    assert method.folds_into(kind(layer_norm="before")) is None
    assert method.folds_into(kind()) is not None
