"""Where a transfer starts: at the average of the pool, or at the target's own adapter and its head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adapterlab.errors import UsageError
from adapterlab.records import TrainSettings
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination, HeadStart
from adapterlab.train.lane import source_lane, transfer_lane
from adapterlab.train.loop import train_lanes
from adapterlab.train.rng import stream
from adapterlab.train.weights import HEAD_PREFIX, without_head
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_scalearn.plugin import SCALEARN, SCALEARN_UNIFORM, ScaLearnSettings
from tiny_models import random_encoder, random_task

ENCODER = random_encoder(layers=2, d=16, dropout=0.0)
METHOD = PFEIFFER.layer(PfeifferSettings(reduction_factor=4), ENCODER.shape)
TASK = random_task(rows=24, n_labels=2, seed=1)
TRAINING = TrainSettings(lr=2e-2, max_epochs=3, patience=3, batch_size=6, head_dropout=0.0)


def trained(lane):
    """Return what training a lane gives."""
    waiting = [lane]
    (result,) = train_lanes(
        ENCODER, lambda: waiting.pop() if waiting else None, capacity=1, on_epoch=lambda *_: True
    )
    return result


@pytest.fixture(scope="module")
def own():
    """The target's own adapter, with its head."""
    return trained(source_lane(ENCODER, METHOD, TASK, TRAINING, seed=0, name="own"))


@pytest.fixture(scope="module")
def pool(own):
    others = [{name: 10 * one for name, one in METHOD.initial(stream(i, "pool")).items()} for i in range(2)]
    return SourcePool.build(METHOD, [*others, without_head(own.tensors)], ENCODER)


def layer_of(pool, member=SCALEARN, *, target=2, **dimensions):
    given = {"init_scale": 2.0, "dropout": 0.0, **dimensions}
    return member.layer(ScaLearnSettings(), replace(pool.shape, target=target), **given)


def head_of(own):
    return {name: one for name, one in own.tensors.items() if name.startswith(HEAD_PREFIX)}


def lane_of(pool, layer, *, lr=1e-9, **more):
    training = replace(TRAINING, lr=lr, max_epochs=1)
    return transfer_lane(ENCODER, Combination(pool, layer, **more), TASK, training, seed=5, name="transfer")


def test_transfer_that_starts_at_its_own_adapter_and_head_is_as_good_as_it(pool, own):
    start = HeadStart(head_of(own), 1.0)
    there = trained(lane_of(pool, layer_of(pool, target_share=1.0), head=start))
    assert there.epochs[0].validation_loss == pytest.approx(own.best.validation_loss, abs=5e-3)
    average = trained(lane_of(pool, layer_of(pool)))
    assert abs(average.epochs[0].validation_loss - own.best.validation_loss) > 0.02


@pytest.mark.parametrize("member", [SCALEARN, SCALEARN_UNIFORM], ids=lambda one: one.name)
def test_coefficients_start_between_the_average_and_the_targets_own(pool, member):
    for share in (0.0, 0.25, 1.0):
        omega = layer_of(pool, member, target_share=share).initial(stream(0, "start"))["omega"]
        wanted = torch.full((3, 1), (1 - share) * 2 / 3)
        wanted[2] += share
        torch.testing.assert_close(omega, wanted.expand_as(omega), rtol=0, atol=6e-3)


def test_no_share_draws_the_very_numbers_of_the_paper(pool):
    """Earlier results keep their keys, so their numbers too."""
    plain = layer_of(pool).initial(stream(0, "start"))["omega"]
    drawn = torch.empty(plain.shape).normal_(2 / 3, 1e-3, generator=stream(0, "start"))
    assert torch.equal(plain, drawn)
    assert torch.equal(layer_of(pool, target_share=0.0).initial(stream(0, "start"))["omega"], drawn)


def test_start_at_an_adapter_that_is_not_there_is_refused(pool):
    with pytest.raises(UsageError, match="not in the pool"):
        layer_of(pool, target=None, target_share=0.5).initial(stream(0, "start"))


def test_head_starts_between_a_fresh_and_the_trained_one(pool, own):
    def head(share):
        start = HeadStart(head_of(own), share) if share is not None else None
        return lane_of(pool, layer_of(pool), head=start).tensors

    fresh, half, whole = head(None), head(0.5), head(1.0)
    for name, trained_one in head_of(own).items():
        assert torch.equal(whole[name], trained_one)
        torch.testing.assert_close(half[name], 0.5 * (fresh[name] + trained_one))
        assert whole[name].requires_grad
        assert whole[name].is_leaf


@pytest.mark.parametrize("head", [{}, {"head.out.bias": torch.zeros(7)}], ids=["none", "another"])
def test_head_that_does_not_fit_is_refused(pool, head):
    with pytest.raises(UsageError, match="own adapter"):
        lane_of(pool, layer_of(pool), head=HeadStart(head, 1.0))


def test_head_has_a_rate_of_its_own(pool):
    still = lane_of(pool, layer_of(pool), lr=1e-2, head_rate=1e-9)
    before = {name: one.detach().clone() for name, one in still.tensors.items()}
    after = trained(still).tensors
    for name, one in before.items():
        moved = float((after[name] - one).abs().max())
        assert (moved < 1e-6) == name.startswith(HEAD_PREFIX), name


def test_l1_is_the_mean_over_points_of_the_sum_of_magnitudes(pool):
    """By hand, in float64; a weight of each lane's own where lanes are together."""
    layer = layer_of(pool, l1=0.3)
    omega = torch.randn(2, 3, 16, dtype=torch.float64, generator=stream(0, "omega"))
    wanted = 0.3 * omega.abs().sum(1).mean()
    torch.testing.assert_close(layer.penalty({"omega": omega}), wanted, rtol=0, atol=1e-12)
    joined = layer.together([layer, layer_of(pool, l1=0.0)])
    both = joined.penalty({"omega": torch.stack([omega, omega])})
    torch.testing.assert_close(both, torch.stack([wanted, 0 * wanted]), rtol=0, atol=1e-12)
    assert layer_of(pool).penalty({"omega": omega}) is None


def test_l1_presses_coefficients_down(pool):
    def learned(l1):
        lane = lane_of(pool, layer_of(pool, SCALEARN_UNIFORM, l1=l1), lr=1e-2)
        return float(trained(lane).tensors["omega"].abs().sum())

    assert learned(3.0) < learned(0.0)
