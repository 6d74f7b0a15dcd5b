"""Joint methods' counts, and how their tensors begin."""

from __future__ import annotations

import pytest
import torch

from adapterlab_encoder.config import encoder_shape
from adapterlab_joint.plugin import (
    ADAPTER_M,
    FULL_M,
    HYPERFORMER,
    HYPERFORMER_PP,
    PROPETL_M,
    AdapterMSettings,
    HyperFormerPPSettings,
    ProPetlMSettings,
)

ROBERTA = encoder_shape(12, 768, 3072, 50265 + 514 + 1)
SMALL = encoder_shape(3, 64, 128, 90)
TASKS = ("suite/first", "suite/second")


@pytest.mark.parametrize(
    ("plugin", "settings", "wanted"),
    [
        (FULL_M, None, 124_055_040),
        (ADAPTER_M, None, 894_528),
        (ADAPTER_M, AdapterMSettings(per_task=True), 8 * 894_528),
        (PROPETL_M, None, 1_549_104),
        (PROPETL_M, ProPetlMSettings(first_layer_scores="last_task"), 1_475_376),
        (HYPERFORMER, None, 59_420_544),
        (HYPERFORMER_PP, None, 5_095_024),
    ],
)
def test_counts_at_roberta_base_shape_for_the_eight_tasks_of_glue(plugin, settings, wanted):
    """Source: ScaLearn, arXiv 2310.01217, table 1, and the official models themselves."""
    assert plugin.trainable_parameters(settings or plugin.settings(), ROBERTA, 8) == wanted


@pytest.mark.parametrize(
    ("plugin", "settings"),
    [
        (ADAPTER_M, AdapterMSettings(per_task=True)),
        (PROPETL_M, ProPetlMSettings(first_layer_scores="last_task")),
    ],
)
def test_tensors_are_as_many_as_counted_with_other_settings(plugin, settings):
    tensors = plugin.layer(settings, SMALL, TASKS).initial(torch.Generator().manual_seed(0))
    wanted = plugin.trainable_parameters(settings, SMALL, len(TASKS))
    assert sum(one.numel() for one in tensors.values()) == wanted


def test_hyper_networks_begin_as_their_settings_say():
    for settings, weights, layers in (
        (HyperFormerPPSettings(), 0.01, 1.0),
        (HyperFormerPPSettings(init_std=0.02, layer_std=0.02), 0.02, 0.02),
    ):
        tensors = HYPERFORMER_PP.layer(settings, SMALL, TASKS).initial(torch.Generator().manual_seed(0))
        assert float(tensors["hyper.down.weight_gen.weight"].std()) == pytest.approx(weights, rel=0.05)
        assert float(tensors["project.in.weight"].std()) == pytest.approx(weights, rel=0.05)
        assert float(tensors["layer_embedding"].std()) == pytest.approx(layers, rel=0.1)
        assert float(tensors["task_embedding.suite/first"].std()) == pytest.approx(1.0, rel=0.1)
        assert not any(one.any() for name, one in tensors.items() if name.endswith("_gen.bias"))


def test_scores_begin_within_their_bounds_and_prototypes_as_their_settings_say():
    for std in (0.01, 0.02):
        settings = ProPetlMSettings(init_std=std, reduction_factor=4)
        tensors = PROPETL_M.layer(settings, SMALL, TASKS).initial(torch.Generator().manual_seed(0))
        assert float(tensors["adapter.up.weight"].std()) == pytest.approx(std, rel=0.1)
        for name, one in tensors.items():
            if name.startswith("score."):
                bound = 64**-0.5 if name.endswith("down") else 16**-0.5
                assert 0.95 * bound < float(one.abs().max()) <= bound
