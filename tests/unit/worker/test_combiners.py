"""The combiners of a study as a worker makes them: every dimension of a trial reaches the layer."""

from __future__ import annotations

import sys

import pytest
import torch

from adapterlab.planning.steps import (
    AdapterRecipe,
    CombinerRecipe,
    PoolMember,
    SearchSettings,
    StudyJob,
)
from adapterlab.records import State, TrainRegime
from adapterlab.registry.entry_points import adapter_method
from adapterlab.spec.search_space import TrialSetting
from adapterlab.train import weights
from adapterlab.train.capacity import Capacity
from adapterlab.train.layers import PoolContext
from adapterlab.train.loop import train_lanes
from adapterlab.worker.combiners import StudyCombiners
from adapterlab.worker.worker import Worker
from plugin_packages import TEMPERED, importable, write_package
from tiny_models import random_task
from tiny_trained import HIDDEN, write_trained

TRAINING = {"max_epochs": 2, "patience": 2, "batch_size": 6, "backbone_dropout": False, "head_dropout": 0.0}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def tempered(tmp_path):
    """The combiner ``tempered``, installed."""
    write_package(tmp_path, "tempered_two", TEMPERED, {"adapterlab.combiners": {"tempered": "TEMPERED"}})
    with importable(tmp_path):
        yield
    sys.modules.pop("tempered_two", None)


def combiners_of(world, catalog, *kinds, own=False):
    """The combiners of a study on a worker, which needs no sweep to make lanes; ``own``: the last adapter is its."""
    from adapterlab_encoder.loading import load

    backbone = load(world.backbone, dtype=torch.float64)
    worker = Worker(None, "worker", backbone, catalog, None, Capacity(1))
    settings = adapter_method("pfeiffer").settings(reduction_factor=HIDDEN // 4)
    job = StudyJob(
        task="glue/rte",
        task_name="rte",
        label="study",
        chooses=len(kinds) > 1,
        combiners=tuple(CombinerRecipe(kind, 1, {}, {}, TrainRegime(**TRAINING), {}) for kind in kinds),
        pool=tuple(
            PoolMember(key, "glue/rte" if own and key == world.sources[-1] else f"suite/{key[:4]}", key[:4])
            for key in world.sources
        ),
        adapter=AdapterRecipe("pfeiffer", 1, settings.model_dump(mode="json")),
        search=SearchSettings("random", "none", 0, 1),
        search_key=None,
        rows=None,
    )
    return StudyCombiners(worker, job, random_task(rows=18, longest=8, vocab=25)), backbone


def trained(combiners, backbone, settings):
    """Return what a trial of one setting learned, and its coefficients in effect."""
    setting = TrialSetting.of(settings)
    combiner = combiners.of(setting)
    lanes = [combiner.lane(setting, seed=0, name="trial")]
    (result,) = train_lanes(
        backbone, lambda: lanes.pop() if lanes else None, capacity=1, on_epoch=lambda *_: True
    )
    assert result.state is State.COMPLETE
    return result, combiner.layer(setting).coefficients(result.tensors)


@pytest.mark.usefixtures("tempered")
def test_a_dimension_of_ones_own_changes_what_is_trained(world):
    with world.open() as catalog:
        combiners, backbone = combiners_of(world, catalog, "tempered")
        found = {
            temperature: trained(combiners, backbone, {"lr": 1e-2, "temperature": temperature})
            for temperature in (0.1, 10.0)
        }
        again, _ = trained(combiners, backbone, {"lr": 1e-2, "temperature": 0.1})
    (cold, sharp), (hot, flat) = found[0.1], found[10.0]
    assert torch.equal(cold.tensors["omega"], again.tensors["omega"])
    assert not torch.allclose(cold.tensors["omega"], hot.tensors["omega"], atol=1e-3)
    assert cold.epochs[0].train_loss != hot.epochs[0].train_loss
    assert float(sharp.means.std()) > 5 * float(flat.means.std()), "a low temperature tells sources apart"


@pytest.mark.parametrize("changed", [{"init_scale": 0.5}, {"dropout": 0.6}, {"lr": 5e-2}], ids=str)
def test_the_shipped_dimensions_reach_the_layer_as_well(world, changed):
    plain = {"lr": 1e-2, "init_scale": 2.0, "dropout": 0.0}
    with world.open() as catalog:
        combiners, backbone = combiners_of(world, catalog, "scalearn_uniform")
        one, other = (trained(combiners, backbone, plain | more)[0] for more in ({}, changed))
    assert not torch.equal(one.tensors["omega"], other.tensors["omega"])


def test_the_engines_optional_dimensions_reach_the_lane(world):
    """The head starts at that of the target's own adapter, read from the catalog, and has a rate of its own."""
    plain = {"lr": 1e-2, "init_scale": 2.0, "dropout": 0.0}
    with world.open() as catalog:
        combiners, _ = combiners_of(world, catalog, "scalearn_uniform", own=True)
        key = world.sources[-1]
        stored = weights.from_bytes(catalog.read_weights(catalog.get_adapter(key)))
        setting = TrialSetting.of({**plain, "source_head": 1.0, "head_lr": 5e-3, "target_share": 1.0})
        lane = combiners.of(setting).lane(setting, seed=0, name="trial")
    heads = {name: one for name, one in stored.items() if name.startswith("head.")}
    assert heads
    assert all(torch.equal(lane.tensors[name].float(), one) for name, one in heads.items())
    assert lane.adaptation.lr_factor("head.out.weight") == 0.5
    assert lane.adaptation.lr_factor("omega") == 1.0
    assert float(lane.tensors["omega"][0, -1]) == pytest.approx(1, abs=0.01)


@pytest.mark.usefixtures("tempered")
def test_a_trial_chooses_its_combiner_and_brings_that_ones_dimensions(world):
    """In a study of ``auto`` each combiner is made once and lanes of both share the pool."""
    with world.open() as catalog:
        combiners, _ = combiners_of(world, catalog, "scalearn", "tempered")
        first = combiners.of(TrialSetting.of({"combiner": "tempered", "lr": 1e-2, "temperature": 1.0}))
        second = combiners.of(
            TrialSetting.of({"combiner": "scalearn", "lr": 1e-2, "init_scale": 2.0, "dropout": 0.0})
        )
        assert combiners.of(TrialSetting.of({"combiner": "tempered", "lr": 1e-2})) is first
        low = TrialSetting.of({"combiner": "tempered", "lr": 1e-2, "temperature": 0.1})
        small = TrialSetting.of({"combiner": "scalearn", "lr": 1e-2, "init_scale": 1.0, "dropout": 0.2})
        cold, plain = first.layer(low), second.layer(small)
        assert cold.temperature == 0.1
        assert (plain.start.scale, plain.dropout) == (1.0, 0.2)
        assert first.pool_of(cold, low) is second.pool_of(plain, small)


@pytest.mark.usefixtures("tempered")
def test_a_dimension_that_is_not_there_is_an_error_and_not_passed_over(world):
    with world.open() as catalog:
        combiners, _ = combiners_of(world, catalog, "tempered")
        combiner = combiners.of(TrialSetting.of({"lr": 1e-2}))
        for settings in ({"lr": 1e-2}, {"lr": 1e-2, "temperature": 1.0, "dropout": 0.1}):
            with pytest.raises(TypeError, match=r"temperature|dropout"):
                combiner.layer(TrialSetting.of(settings))


def test_trials_of_a_merge_share_its_adapter_where_their_dimensions_are_equal(world, monkeypatch):
    """The learning rate changes no adapter; how much is kept of the sources does."""
    with world.open() as catalog:
        combiners, _ = combiners_of(world, catalog, "ties")
        ties = combiners.of(TrialSetting.of({"lr": 1e-2}))
        sources = tuple(f"a/{number}" for number in range(combiners.shape.sources))
        monkeypatch.setattr(ties, "_context", lambda: PoolContext(sources, sources[-1]))
        settings = [
            TrialSetting.of({"lr": lr, "density": density, "scale": 1.0})
            for lr, density in ((1e-2, 0.2), (1e-3, 0.2), (1e-2, 0.9))
        ]
        first, again, other = (ties.pool_of(ties.layer(one), one) for one in settings)
        assert first is again
        assert first.sources == other.sources == 1
        assert not torch.equal(first.points[0].up, other.points[0].up)
