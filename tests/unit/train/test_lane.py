"""A lane's run does not depend on which lanes it shared a pass with."""

from __future__ import annotations

import gc
import sys
import weakref
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterlab.errors import DataError
from adapterlab.records import State, TrainSettings
from adapterlab.registry import entry_points
from adapterlab.registry.entry_points import combiner
from adapterlab.train import freed_memory as spare
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination, combiner_layer, pool_for
from adapterlab.train.gpu_path import as_on_a_gpu
from adapterlab.train.lane import source_lane, transfer_lane
from adapterlab.train.loop import train_lanes
from adapterlab.train.rng import stream
from adapterlab_bottleneck.plugin import PFEIFFER, PfeifferSettings
from adapterlab_scalearn.plugin import ScaLearn, ScaLearnSettings
from plugin_packages import POOLING, importable, write_package
from tiny_decoder import TinyDecoder
from tiny_models import random_encoder, random_task

ENCODER = random_encoder(layers=2, d=16, dropout=0.1)
METHOD = PFEIFFER.layer(PfeifferSettings(reduction_factor=4), ENCODER.shape)
METHODS = {
    "houlsby": {"reduction_factor": 4},
    "compacter_pp": {"reduction_factor": 4},
    "propetl": {"reduction_factor": 4},
    "lora": {"r": 3},
    "ia3": {},
    "head_only": {},
    "full": {},
}
TRAIN = TrainSettings(lr=5e-3, max_epochs=2, patience=2, batch_size=6)


def adapters_of(count: int):
    adapters = [METHOD.initial(stream(i, "pool")) for i in range(count)]
    return [{name: 10 * tensor for name, tensor in one.items()} for one in adapters]


def pool_of(count: int) -> SourcePool:
    return SourcePool.build(METHOD, adapters_of(count), ENCODER)


POOLS = {count: pool_of(count) for count in (1, 2, 3)}


COMBINERS = ("adapterfusion", "scalearn_softmax", "adaptersoup")


def mixer_of(kind, count, dropout=0.0):
    plugin = combiner(kind)
    return combiner_layer(plugin, plugin.settings(), POOLS[count].shape, {"dropout": dropout})


def even_shares(count):
    return {"omega": torch.full((1, count, 1), 1 / count)}


SOUPS = {
    count: pool_for(mixer_of("adaptersoup", count), even_shares(count), METHOD, adapters_of(count), ENCODER)
    for count in POOLS
}


def make_lane(recipe):
    """Return a fresh lane of a recipe (kind, seed, task size, labels, dropout, epochs)."""
    kind, seed, rows, n_labels, dropout, epochs = recipe
    task = random_task(rows=rows, n_labels=n_labels, seed=seed % 3, longest=4 + seed % 9)
    training = TrainSettings(lr=5e-3, max_epochs=epochs, patience=epochs, batch_size=6)
    name = repr(recipe)
    if kind in METHODS:
        plugin = entry_points.adapter_method(kind)
        settings = plugin.settings.model_validate(METHODS[kind])
        method = plugin.layer(settings, ENCODER.shape)
        return source_lane(ENCODER, method, task, training, seed=seed, name=name)
    if kind == "source":
        return source_lane(ENCODER, METHOD, task, training, seed=seed, name=name)
    if kind in COMBINERS:
        return mixed_lane(kind, task, training, seed=seed, dropout=dropout, name=name)
    pool = POOLS[1 + seed % 3]
    member = ScaLearn(kind, per_dimension=n_labels > 1, per_layer=kind == "per layer")
    mixer = member.layer(ScaLearnSettings(), pool.shape, init_scale=2.0, dropout=dropout)
    return transfer_lane(
        ENCODER, Combination(pool, mixer), task, training, seed=seed, name=name, sees_test=True
    )


def mixed_lane(kind, task, training, *, seed, dropout, name):
    """Return a lane of another combiner, on a pool that lanes of all combiners share."""
    count = 1 + seed % 3
    soup = kind == "adaptersoup"
    combination = Combination(
        SOUPS[count] if soup else POOLS[count],
        mixer_of(kind, count, dropout),
        {name: one.to(ENCODER.dtype) for name, one in even_shares(count).items()} if soup else {},
        token_dependent=combiner(kind).token_dependent,
    )
    return transfer_lane(ENCODER, combination, task, training, seed=seed, name=name, sees_test=True)


def run(recipes, capacity):
    """Train lanes of the recipes; return results by name."""
    waiting = [make_lane(recipe) for recipe in recipes]
    results = train_lanes(
        ENCODER, lambda: waiting.pop(0) if waiting else None, capacity=capacity, on_epoch=lambda *_: True
    )
    return {result.name: result for result in results}


RECIPES = st.tuples(
    st.sampled_from(["source", "per layer", "shared", *METHODS, *COMBINERS]),
    st.integers(0, 50),
    st.integers(3, 14),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0.0, 0.3]),
    st.integers(1, 3),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(RECIPES, min_size=2, max_size=6, unique=True), st.integers(2, 5), st.booleans())
def test_a_lane_equals_the_same_run_alone(recipes, capacity, stacked):
    """Random kinds, methods, pools, shapes, joins and leaves; all dropout on; as on a CPU and as on a GPU."""
    with as_on_a_gpu() if stacked else nullcontext():
        together = run(recipes, capacity)
        each = [run([recipe], 1)[repr(recipe)] for recipe in recipes]
    for alone in each:
        shared = together[alone.name]
        assert shared.state == alone.state
        assert shared.best_epoch == alone.best_epoch
        if alone.mean_coefficients is not None:
            torch.testing.assert_close(shared.mean_coefficients, alone.mean_coefficients, rtol=0, atol=1e-6)
        for name, tensor in alone.tensors.items():
            torch.testing.assert_close(shared.tensors[name], tensor, rtol=0, atol=1e-9)
        for left, right in zip(shared.epochs, alone.epochs, strict=True):
            assert left.validation_loss == pytest.approx(right.validation_loss, abs=1e-9)


@settings(max_examples=8, deadline=None)
@given(RECIPES.filter(lambda recipe: recipe[0] in {"per layer", "shared", *COMBINERS}), st.booleans())
def test_a_trained_lane_is_the_final_run_of_its_setting_and_seed(recipe, in_company):
    """Its test metrics are those of the run that is trained anew; it is not trained again."""
    anew = run([recipe], 1)[repr(recipe)]
    lane = make_lane(recipe)
    lane.sees_test = False
    waiting = [lane]
    (searched,) = train_lanes(
        ENCODER, lambda: waiting.pop() if waiting else None, capacity=1, on_epoch=lambda *_: True
    )
    assert searched.test_metrics is None

    company = [make_lane(("per layer", 9, 8, 2, 0.0, 1))] if in_company else []
    waiting, told = [*company, lane.as_final("final")], []
    results = {
        result.name: result
        for result in train_lanes(
            ENCODER,
            lambda: waiting.pop() if waiting else None,
            capacity=2,
            on_epoch=lambda one, _: told.append(one.name) or True,
        )
    }
    assert results["final"].test_metrics == anew.test_metrics
    assert results["final"].epochs[-1].metrics == anew.epochs[-1].metrics
    assert "final" not in told
    assert len(results) == 1 + len(company)
    for name, tensor in anew.tensors.items():
        torch.testing.assert_close(results["final"].tensors[name], tensor, rtol=0, atol=0)


def test_a_diverging_lane_fails_with_a_reason_and_harms_no_other():
    good, bad = ("source", 1, 12, 2, 0.0, 3), ("source", 2, 12, 2, 0.0, 3)
    alone = run([good], 1)[repr(good)]
    lanes = [make_lane(good), make_lane(bad)]
    with torch.no_grad():
        lanes[1].tensors["layer.0.up.weight"].fill_(float("nan"))
    results = {one.name: one for one in train_lanes(
        ENCODER, lambda: lanes.pop(0) if lanes else None, capacity=2, on_epoch=lambda *_: True
    )}  # fmt: skip
    assert results[repr(bad)].state is State.FAILED
    assert "diverged in step 1 of epoch 1" in results[repr(bad)].reason
    for name, tensor in alone.tensors.items():
        torch.testing.assert_close(results[repr(good)].tensors[name], tensor, rtol=0, atol=1e-9)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_outputs_that_are_not_finite_fail_a_final_run_and_harm_no_other(monkeypatch, split):
    """A run that has no answer has no metrics: its neighbour's are what they would be without it."""
    from adapterlab.train import loop

    good, bad = ("per layer", 4, 12, 2, 0.0, 3), ("per layer", 5, 12, 2, 0.0, 3)
    alone = run([good], 1)[repr(good)]
    lanes = [make_lane(good), make_lane(bad)]
    sick = lanes[1].head

    def spoiled(backbone, seats, examples, facts, **options):
        found = loop_evaluate(backbone, seats, examples, facts, **options)
        for number, (seat, rows) in enumerate(zip(seats, examples, strict=True)):
            if seat.head is sick and len(rows) == {"validation": 9, "test": 11}[split]:
                outputs = found[number].outputs.copy()
                outputs[[2, 4]] = float("inf")  # a loss of one's own may be finite all the same
                scores = dict.fromkeys(found[number].metrics, float("nan"))
                found[number] = replace(found[number], outputs=outputs, metrics=scores)
        return found

    loop_evaluate = loop.evaluate
    monkeypatch.setattr(loop, "evaluate", spoiled)
    results = {one.name: one for one in train_lanes(
        ENCODER, lambda: lanes.pop(0) if lanes else None, capacity=2, on_epoch=lambda *_: True
    )}  # fmt: skip
    assert results[repr(bad)].state is State.FAILED
    assert results[repr(bad)].test_metrics is None
    said = {"validation": "accuracy of epoch 1 is nan", "test": "row 3 are not finite, nor those of 1 others"}
    assert said[split] in results[repr(bad)].reason
    assert results[repr(good)].test_metrics == alone.test_metrics


def test_it_can_be_stopped_after_any_pass_not_only_at_the_end_of_an_epoch():
    class StopError(Exception):
        pass

    lane = make_lane(("source", 1, 12, 2, 0.0, 3))
    steps_an_epoch, waiting, passes, epochs = lane._steps_an_epoch, [lane], [], []

    def stop():
        passes.append(len(epochs))
        if len(passes) == steps_an_epoch + 2:  # the epoch's steps, its evaluation, and a step
            raise StopError

    assert steps_an_epoch > 1
    with pytest.raises(StopError):
        list(
            train_lanes(
                ENCODER,
                lambda: waiting.pop() if waiting else None,
                capacity=1,
                on_epoch=lambda *_: epochs.append(1) or True,
                on_pass=stop,
            )
        )
    assert passes == [0] * (steps_an_epoch + 1) + [1]


def test_a_lane_that_has_left_is_gone_from_memory():
    """At once, and not when Python next looks for cycles: a lane of AdapterFusion holds 50 MB and more."""
    lanes = [make_lane((kind, 0, 12, 2, 0.3, 2)) for kind in ("adapterfusion", "per layer", "source")]
    known = [weakref.ref(lane) for lane in lanes]
    gc.disable()
    try:
        for _ in train_lanes(
            ENCODER, lambda: lanes.pop() if lanes else None, capacity=2, on_epoch=lambda *_: True
        ):
            pass
        assert [one() for one in known] == [None, None, None]
    finally:
        gc.enable()


def test_short_trainings_one_after_another_give_memory_back_in_time(monkeypatch):
    """Memory is the process's: no single training has to last for the whole while between two times."""
    now, calls = [0.0], []
    monkeypatch.setattr(spare, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(spare.SPARE, "_last", 0.0)
    monkeypatch.setattr(spare, "_trim", lambda: calls.append)
    for _ in range(4):
        now[0] += 20
        run([("source", 0, 8, 2, 0.0, 1)], 1)
    assert len(calls) == 2


def test_a_pruned_lane_leaves_and_its_place_is_filled():
    recipes = [("source", seed, 12, 2, 0.0, 3) for seed in range(3)]
    waiting = [make_lane(recipe) for recipe in recipes]
    results = list(
        train_lanes(
            ENCODER,
            lambda: waiting.pop(0) if waiting else None,
            capacity=1,
            on_epoch=lambda lane, epoch: lane.seed != 0,
        )
    )
    assert [one.state for one in results] == [State.PRUNED, State.COMPLETE, State.COMPLETE]
    assert len(results[0].epochs) == 1
    assert results[0].test_metrics is None


def test_training_learns_a_learnable_task():
    lane = source_lane(
        ENCODER, METHOD, random_task(rows=60),
        TrainSettings(lr=1e-2, max_epochs=12, patience=12, batch_size=10, backbone_dropout=False),
        seed=0, name="learner",
    )  # fmt: skip
    lanes = [lane]
    (result,) = train_lanes(
        ENCODER, lambda: lanes.pop() if lanes else None, capacity=1, on_epoch=lambda *_: True
    )
    assert result.epochs[-1].train_loss < 0.7 * result.epochs[0].train_loss


def test_early_stopping_keeps_the_best_epoch():
    training = TrainSettings(lr=0.5, max_epochs=30, patience=2, batch_size=6)
    lane = source_lane(ENCODER, METHOD, random_task(), training, seed=0, name="wild")
    lanes = [lane]
    (result,) = train_lanes(
        ENCODER, lambda: lanes.pop() if lanes else None, capacity=1, on_epoch=lambda *_: True
    )
    losses = [epoch.validation_loss for epoch in result.epochs]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert len(losses) == result.best_epoch + 2


def test_only_what_is_trainable_moves_and_only_final_runs_see_test():
    recipe = ("per layer", 4, 12, 2, 0.3, 2)
    before = ENCODER.weights()
    result = run([recipe], 1)[repr(recipe)]
    assert all(torch.equal(one, before[name]) for name, one in ENCODER.weights().items())
    assert set(result.tensors) == {
        "omega", "head.dense.weight", "head.dense.bias", "head.out.weight", "head.out.bias"
    }  # fmt: skip
    assert result.test_metrics is not None
    assert result.test_outputs.shape == (11, 2)


def test_the_schedule_decays_linearly_to_zero():
    lane = make_lane(("source", 1, 12, 2, 0.0, 2))
    assert [lane._rate(step) for step in range(4)] == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_rows_longer_than_the_backbone_are_refused():
    with pytest.raises(DataError, match=r"has \d+ tokens, the backbone takes 64"):
        source_lane(ENCODER, METHOD, random_task(longest=200), TRAIN, seed=0, name="long")


# -- sites of different width, and heads of every kind ------------------------------------------------

DECODER = TinyDecoder()
LORA = entry_points.adapter_method("lora")
NARROW = {"r": 2, "targets": ("query", "value")}
HEADS = ("classification", "last_token", "mean_token", "pooling")


@pytest.fixture(scope="module", autouse=True)
def _pooling(tmp_path_factory):
    """The head ``pooling``, installed: it reads every token."""
    site = tmp_path_factory.mktemp("site")
    write_package(site, "pooling_two", POOLING, {"adapterlab.heads": {"pooling": "POOLING"}})
    with importable(site):
        yield
    sys.modules.pop("pooling_two", None)


def loras(count: int) -> SourcePool:
    """A pool of LoRAs whose values are half as wide as their queries."""
    layer = LORA.layer(LORA.settings(**NARROW), DECODER.shape)
    adapters = [
        {
            name: torch.randn(one.shape, generator=stream(seed, name)) / 3
            for name, one in layer.initial(stream(seed, "pool")).items()
        }
        for seed in range(count)
    ]
    return SourcePool.build(layer, adapters, DECODER)


UNEVEN = {count: loras(count) for count in (1, 2, 3)}


def decoder_lane(recipe):
    """Return a fresh lane of a recipe (kind, head, seed, task size, labels, dropout) on the decoder."""
    kind, head, seed, rows, n_labels, dropout = recipe
    task = random_task(rows=rows, n_labels=n_labels, seed=seed % 3, longest=4 + seed % 9)
    task = replace(task, facts=replace(task.facts, head=head))
    training = TrainSettings(lr=5e-3, max_epochs=2, patience=2, batch_size=6)
    name = repr(recipe)
    if kind in ("lora", "houlsby"):
        plugin = entry_points.adapter_method(kind)
        settings = plugin.settings.model_validate(NARROW if kind == "lora" else {"reduction_factor": 4})
        layer = plugin.layer(settings, DECODER.shape)
        return source_lane(DECODER, layer, task, training, seed=seed, name=name, sees_test=True)
    plugin, pool = combiner(kind), UNEVEN[1 + seed % 3]
    layer = combiner_layer(plugin, plugin.settings(), pool.shape, {"dropout": dropout})
    fixed = even_shares(pool.sources) if kind == "uniform_average" else {}
    combination = Combination(
        pool,
        layer,
        {name: one.to(DECODER.dtype) for name, one in fixed.items()},
        token_dependent=plugin.token_dependent,
    )
    return transfer_lane(DECODER, combination, task, training, seed=seed, name=name, sees_test=True)


DECODER_RECIPES = st.tuples(
    st.sampled_from(
        ["lora", "houlsby", "scalearn", "scalearn_pp", "scalearn_uniform", "uniform_average", "adapterfusion"]
    ),
    st.sampled_from(HEADS),
    st.integers(0, 50),
    st.integers(3, 14),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0.0, 0.3]),
)


def run_decoder(recipes, capacity):
    waiting = [decoder_lane(recipe) for recipe in recipes]
    results = train_lanes(
        DECODER, lambda: waiting.pop(0) if waiting else None, capacity=capacity, on_epoch=lambda *_: True
    )
    return {result.name: result for result in results}


@settings(max_examples=15, deadline=None)
@given(st.lists(DECODER_RECIPES, min_size=2, max_size=6, unique=True), st.integers(2, 5), st.booleans())
def test_lanes_of_any_head_on_sites_of_any_width_equal_the_same_runs_alone(recipes, capacity, stacked):
    """Pools whose sites differ in width, and heads that read first, last, all or every token, in one pass."""
    with as_on_a_gpu() if stacked else nullcontext():
        together = run_decoder(recipes, capacity)
        each = [run_decoder([recipe], 1)[repr(recipe)] for recipe in recipes]
    for alone in each:
        shared = together[alone.name]
        assert shared.state is alone.state is State.COMPLETE
        assert shared.best_epoch == alone.best_epoch
        if alone.mean_coefficients is not None:
            torch.testing.assert_close(shared.mean_coefficients, alone.mean_coefficients, rtol=0, atol=1e-6)
        for name, tensor in alone.tensors.items():
            torch.testing.assert_close(shared.tensors[name], tensor, rtol=0, atol=1e-9)
        np.testing.assert_allclose(shared.test_outputs, alone.test_outputs, rtol=0, atol=1e-9)


def test_lanes_that_differ_in_their_head_alone_learn_different_things():
    recipes = [("scalearn", head, 4, 12, 2, 0.0) for head in HEADS]
    results = run_decoder(recipes, 4)
    losses = {results[repr(one)].epochs[0].train_loss for one in recipes}
    assert len(losses) == len(HEADS)
    assert "head.query" in results[repr(recipes[-1])].tensors
