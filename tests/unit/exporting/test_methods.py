"""Pools of other methods leave as what they fold into; what folds into nothing is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import adapterlab
from adapterlab import api
from adapterlab.errors import DataError, UsageError
from adapterlab.exporting import peft
from adapterlab.exporting.runnable_folder import open_folder
from adapterlab.exporting.stored_models import open_trained
from adapterlab.registry.entry_points import adapter_method
from adapterlab.train.predict import outputs
from adapterlab_encoder.config import encoder_shape
from adapterlab_encoder.loading import load
from tiny_models import random_examples
from tiny_trained import HIDDEN, LAYERS, write_trained

ROWS = random_examples(6, 2, seed=4, vocab=25)
BOTTLENECKS = {
    "compacter_pp": {"reduction_factor": 4, "non_linearity": "gelu"},
    "propetl": {"reduction_factor": 8},
}
LORA = {"r": 4, "alpha": 6.0}


@pytest.fixture(scope="session")
def worlds(tmp_path_factory):
    """One world a method and architecture, made when first asked for."""
    made = {}

    def world(method, settings, architecture="bert", called=None):
        name = f"{called or method}-{architecture}"
        if name not in made:
            made[name] = write_trained(
                tmp_path_factory.mktemp(name), architecture, method=method, settings=settings
            )
        return made[name]

    return world


def exported_logits(folder, backbone):
    return outputs(backbone, open_folder(folder).seat(backbone, folder), ROWS)


def trained_logits(world, key, backbone):
    with world.open() as catalog:
        return outputs(backbone, open_trained(catalog, key).seat(backbone), ROWS)


@pytest.mark.parametrize("method", BOTTLENECKS)
@pytest.mark.parametrize("what", ["scalearn", "scalearn_uniform_pp", "source"])
def test_what_folds_into_a_bottleneck_leaves_as_one(worlds, tmp_path, monkeypatch, method, what):
    world = worlds(method, BOTTLENECKS[method])
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    key = world.sources[0] if what == "source" else world.transfers[what]
    exported = adapterlab.export(key, tmp_path / "out")
    assert exported.format == "adapterhub"
    width = HIDDEN // BOTTLENECKS[method]["reduction_factor"]
    assert exported.widths == (width * (1 if what == "source" else 3),) * LAYERS
    backbone = load(world.backbone)
    got = exported_logits(tmp_path / "out", backbone)
    np.testing.assert_allclose(got, trained_logits(world, key, backbone), rtol=0, atol=2e-6)


@pytest.mark.parametrize("architecture", ["electra", "deberta-v2"])
@pytest.mark.parametrize("what", ["scalearn", "adapterfusion"])
def test_bottlenecks_of_later_architectures_leave_for_adapterhub(
    worlds, tmp_path, monkeypatch, architecture, what
):
    world = worlds("pfeiffer", {"reduction_factor": 8}, architecture)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    adapterlab.export(world.transfers[what], tmp_path / "out")
    backbone = load(world.backbone)
    got = exported_logits(tmp_path / "out", backbone)
    np.testing.assert_allclose(got, trained_logits(world, world.transfers[what], backbone), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("architecture", "method", "says"),
    [
        ("camembert", "pfeiffer", "AdapterHub's adapters has no camembert models"),
        ("electra", "lora", "that of electra models computes something else than ours"),
        ("deberta-v2", "lora", "LoRA and (IA)³ on deberta-v2 models are not written"),
        ("deberta-v2", "ia3", "LoRA and (IA)³ on deberta-v2 models are not written"),
        (
            "distilbert",
            "lora",
            "distilbert models have no adapters in AdapterHub or PEFT that are known here",
        ),
        ("albert", "pfeiffer", "albert models have no adapters in AdapterHub or PEFT that are known here"),
    ],
)
def test_what_no_other_library_would_load_is_refused(
    worlds, tmp_path, monkeypatch, architecture, method, says
):
    settings = {"pfeiffer": {"reduction_factor": 8}, "lora": LORA, "ia3": {}}[method]
    world = worlds(method, settings, architecture)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    with pytest.raises(UsageError) as caught:
        adapterlab.export(world.sources[0], tmp_path / "out")
    assert says in caught.value.message
    assert "platform predict" in caught.value.remedy
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("architecture", ["bert", "roberta", "camembert"])
@pytest.mark.parametrize("what", ["scalearn", "scalearn_uniform", "source"])
def test_loras_leave_as_one_lora_in_pefts_format(worlds, tmp_path, monkeypatch, architecture, what):
    world = worlds("lora", LORA, architecture)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    key = world.sources[0] if what == "source" else world.transfers[what]
    exported = adapterlab.export(key, tmp_path / "out")
    rank = 4 if what == "source" else 12
    assert (exported.format, set(exported.widths)) == ("peft", {rank})
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"] / config["r"]) == (rank, 1.5)
    names = set(load_file(tmp_path / "out" / "adapter_model.safetensors"))
    prefix = f"base_model.model.{'bert' if architecture == 'bert' else 'roberta'}."
    assert f"{prefix}encoder.layer.0.attention.self.query.lora_A.weight" in names
    assert ("base_model.model.classifier.weight" in names) == (architecture == "bert")
    backbone = load(world.backbone)
    got = exported_logits(tmp_path / "out", backbone)
    np.testing.assert_allclose(got, trained_logits(world, key, backbone), rtol=0, atol=2e-6)


def test_points_of_other_ranks_are_named_one_by_one(worlds, tmp_path, monkeypatch):
    """Where sources were left out at some points only; each keeps its scale."""
    world = worlds("lora", LORA)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    key = world.transfers["scalearn_uniform"]
    exported = adapterlab.export(key, tmp_path / "out", tolerance=0.5)
    assert len(set(exported.widths)) > 1, "else this shows nothing"
    assert exported.largest_dropped <= 0.5
    back = peft.read_lora(tmp_path / "out")
    assert peft.ranks(back.tensors) == exported.widths
    assert back.settings.alpha / back.settings.r == pytest.approx(1.5)


def test_predictions_are_those_of_the_catalog(worlds, tmp_path, monkeypatch):
    world = worlds("lora", LORA)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    rows = [{"text": "a cat sees", "text_pair": "the dog hears"}]
    (one,) = adapterlab.predict(world.transfers["scalearn"], rows)
    (two,) = adapterlab.predict(tmp_path / "out", rows, backbone=str(world.backbone))
    assert one.label == two.label
    assert list(one.probabilities.values()) == pytest.approx(list(two.probabilities.values()), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"r": 5}, "has rank 12"),
        ({"lora_alpha": "x"}, "'x'"),
    ],
)
def test_another_lora_than_it_says_is_refused(worlds, tmp_path, monkeypatch, change, complaint):
    world = worlds("lora", LORA)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    path = tmp_path / "out" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=complaint):
        peft.read_lora(tmp_path / "out")


@pytest.mark.parametrize("how", ["missing", "extra", "misshapen", "half a head", "not a number"])
def test_odd_tensors_are_refused(worlds, tmp_path, monkeypatch, how):
    world = worlds("lora", LORA)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    path = tmp_path / "out" / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(one for one in tensors if one.endswith("layer.0.attention.self.value.lora_B.weight"))
    if how == "missing":
        del tensors[name]
    elif how == "extra":
        tensors[name.replace("value", "dense")] = tensors[name].clone()
    elif how == "misshapen":
        tensors[name] = tensors[name][:, :-1].clone()
    elif how == "half a head":
        del tensors["base_model.model.classifier.bias"]
    else:
        tensors[name][0, 0] = torch.nan
    save_file(tensors, path)
    with pytest.raises(DataError):
        peft.read_lora(tmp_path / "out")


def test_a_fusion_of_loras_is_refused_by_name(worlds, tmp_path, monkeypatch):
    world = worlds("lora", LORA)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    with pytest.raises(UsageError, match="lora"):
        adapterlab.export(world.transfers["adapterfusion"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


PLACED = {
    "houlsby": ("houlsby", {"reduction_factor": 8}, "adapterhub"),
    "houlsby_attention": ("houlsby", {"reduction_factor": 8, "placement": "attention"}, "adapterhub"),
    "houlsby_feed_forward": ("houlsby", {"reduction_factor": 8, "placement": "feed_forward"}, "adapterhub"),
    "lora_everywhere": (
        "lora",
        {"r": 4, "targets": ("query", "key", "value", "attention_output", "intermediate", "output")},
        "peft",
    ),
    "lora_output": ("lora", {"r": 4, "targets": ("output",)}, "peft"),
    "ia3": ("ia3", {}, "adapterhub-ia3"),
    "ia3_as_peft": (
        "ia3",
        {"targets": ("key", "value", "attention_output_input", "output_input")},
        "peft-ia3",
    ),
}


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("name", PLACED)
def test_every_placement_leaves_and_comes_back(worlds, tmp_path, monkeypatch, name, architecture):
    method, settings, kind = PLACED[name]
    world = worlds(method, settings, architecture, name)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    backbone = load(world.backbone)
    rows = (
        ROWS
        if architecture == "bert"
        else type(ROWS)(ROWS.token_ids, 0 * ROWS.type_ids, ROWS.offsets, ROWS.labels)
    )
    for number, key in enumerate([world.sources[0], *list(world.transfers.values())[:1]]):
        folder = tmp_path / str(number)
        exported = adapterlab.export(key, folder)
        assert exported.format == kind
        with world.open() as catalog:
            wanted = outputs(backbone, open_trained(catalog, key).seat(backbone), rows)
        got = outputs(backbone, open_folder(folder).seat(backbone, folder), rows)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        (imported,) = api.import_adapters(folder, backbone=str(world.backbone), task="mine/again")
        assert imported.fault is None
        assert imported.record.method == method


def test_bottlenecks_of_unequal_widths_in_a_layer_get_one_width(worlds, tmp_path, monkeypatch):
    """One factor says the width of all bottlenecks of a layer; what is left out differs from point to point."""
    world = worlds("houlsby", {"reduction_factor": 8}, "bert", "houlsby")
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    key = world.transfers["scalearn_uniform"]
    with world.open() as catalog:
        folded = open_trained(catalog, key).folded(load(world.backbone).shape, 0.5)
    assert len({len(one) for one in folded.kept}) > 1, "something differs"
    exported = adapterlab.export(key, tmp_path / "out", tolerance=0.5)
    assert len(exported.widths) == LAYERS
    assert max(exported.widths) == 4 * max(len(one) for one in folded.kept)


def test_what_ia3_scales_is_counted_and_named():
    method = adapter_method("ia3")
    base = encoder_shape(12, 768, 3072)
    peft_default = ("key", "value", "attention_output_input", "output_input")
    counts = {
        targets: method.trainable_parameters(method.settings.model_validate({"targets": targets}), base)
        for targets in (("key", "value", "intermediate"), ("key", "value", "output_input"), peft_default)
    }
    assert list(counts.values()) == [55_296, 55_296, 64_512]


def test_peft_scales_an_input_or_an_output_but_not_both(worlds, tmp_path, monkeypatch):
    world = worlds("ia3", {"targets": ("output_input", "output")}, "bert", "ia3_both")
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    with pytest.raises(DataError, match="not both"):
        adapterlab.export(world.sources[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_factors_are_no_pool(worlds, tmp_path, monkeypatch):
    world = worlds("ia3", {}, "bert", "ia3")
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    adapterlab.export(world.sources[0], tmp_path / "out")
    with pytest.raises(UsageError, match=r"ia3, which cannot be combined"):
        adapterlab.compose(world.backbone, [tmp_path / "out"])


# -- composed ---------------------------------------------------------------------------------------


def composed_states(world, adapters, *how):
    ids = torch.randint(4, 25, (3, 8), generator=torch.Generator().manual_seed(0))
    return adapterlab.compose(world.backbone, adapters, *how)(ids).last_hidden_state


@pytest.mark.parametrize(("method", "settings"), [*BOTTLENECKS.items(), ("lora", LORA)])
def test_what_folds_is_composed_by_its_key(worlds, monkeypatch, method, settings):
    """The combination of the sources, and the one adapter that a transfer of them folds into."""
    world = worlds(method, settings)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    key = world.transfers["scalearn"]
    with world.open() as catalog:
        trained = open_trained(catalog, key)
    rows = trained.coefficients(load(world.backbone).shape).rows
    one = ("scalearn_uniform_pp", torch.ones(1, 1, 1))
    folded = composed_states(world, [key], *one)
    if len({row.shape for row in rows}) == 1:
        apart = composed_states(world, list(world.sources), "scalearn", torch.stack(rows))
        torch.testing.assert_close(folded, apart, rtol=0, atol=1e-5)
    assert not torch.allclose(folded, composed_states(world, [world.sources[0]], *one), atol=1e-3)


def test_a_folder_of_peft_is_composed_beside_a_key_of_another_rank_and_another_scale(
    worlds, tmp_path, monkeypatch
):
    world = worlds("lora", LORA)
    monkeypatch.setenv("ADAPTERLAB_HOME", str(world.home))
    key, source = world.transfers["scalearn_pp"], world.sources[0]
    adapterlab.export(key, tmp_path / "out")
    path = tmp_path / "out" / "adapter_model.safetensors"
    tensors = load_file(path)
    save_file({name: one * 2 if ".lora_B." in name else one for name, one in tensors.items()}, path)
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    halved = {**config, "lora_alpha": config["lora_alpha"] / 2}
    (tmp_path / "out" / "adapter_config.json").write_text(json.dumps(halved))
    how = ("scalearn_uniform_pp", torch.tensor([[[0.7], [-0.3]]]))
    mixed = composed_states(world, [tmp_path / "out", source], *how)
    keys = composed_states(world, [key, source], *how)
    torch.testing.assert_close(mixed, keys, rtol=0, atol=1e-5)


def test_adapters_of_two_methods_are_no_pool(worlds, tmp_path, monkeypatch):
    lora, propetl = worlds("lora", LORA), worlds("propetl", BOTTLENECKS["propetl"])
    monkeypatch.setenv("ADAPTERLAB_HOME", str(lora.home))
    adapterlab.export(lora.sources[0], tmp_path / "lora")
    monkeypatch.setenv("ADAPTERLAB_HOME", str(propetl.home))
    with pytest.raises(DataError, match=r"one method: adapter .* is pfeiffer, .*lora is lora"):
        adapterlab.compose(propetl.backbone, [propetl.sources[0], tmp_path / "lora"])
