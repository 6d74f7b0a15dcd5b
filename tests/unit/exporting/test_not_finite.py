"""Weights that are not finite, or overflow together, never answer: the tensor or the row is named."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import adapterlab
from adapterlab.cli.main import main
from adapterlab.errors import AdapterlabError, BackboneError, DataError, TrainingError
from adapterlab.train import weights
from adapterlab.train.tensor_files import check_model_files
from adapterlab.train.weights import is_finite
from catalogs import key
from tiny_trained import adapter_tensors, open_at

ROWS = [{"text": "a cat sees", "text_pair": "the dog hears"}]


def _spoil(folder, file, change, pick=""):
    tensors = load_file(folder / file)
    name = next(one for one in sorted(tensors) if pick in one)
    tensors[name] = change(tensors[name])
    save_file(tensors, folder / file)
    return name


@pytest.fixture
def exported(world, tmp_path):
    adapterlab.export(world.transfers["scalearn"], tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("file", ["model.safetensors", "model_head.safetensors"])
def test_a_value_that_is_not_finite_is_refused_with_its_tensor(world, exported, file, value):
    path = next(exported.glob("*adapter*.safetensors" if file.startswith("model.") else "*head*.safetensors"))
    name = _spoil(exported, path.name, lambda one: one.index_fill(0, torch.tensor([0]), value))
    with pytest.raises(DataError, match=f"not finite in .*{name.split('.')[-1]}"):
        adapterlab.predict(exported, ROWS, backbone=str(world.backbone))


def test_finite_weights_that_overflow_together_name_the_row(world, exported, capsys):
    (exported / "self_test.json").unlink()
    for path in exported.glob("*.safetensors"):
        if path.name != "coefficients.safetensors":
            _spoil(exported, path.name, lambda one: torch.full_like(one, 3e38), pick="weight")
    arguments = ["predict", str(exported), "--text", "a cat", "--text-pair", "the dog", "--backbone"]
    code = main([*arguments, str(world.backbone)])
    out, err = capsys.readouterr()
    assert (code, out) == (3, "")
    assert "the outputs of row 1 are not finite" in err


EIGHT_BITS = [torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz]


@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
def test_weights_of_eight_bits_are_read_as_the_numbers_they_hold(world, exported, dtype):
    (exported / "self_test.json").unlink()
    path = next(exported.glob("*adapter*.safetensors"))
    narrow = {name: one.to(dtype) for name, one in load_file(path).items()}
    save_file({name: one.float() for name, one in narrow.items()}, path)
    wide = adapterlab.predict(exported, ROWS, backbone=str(world.backbone))
    save_file(narrow, path)
    assert adapterlab.predict(exported, ROWS, backbone=str(world.backbone)) == wide


@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
def test_a_value_of_eight_bits_that_is_not_finite_is_refused_with_its_tensor(world, exported, dtype):
    path = next(exported.glob("*adapter*.safetensors"))
    tensors = {name: one.to(dtype) for name, one in load_file(path).items()}
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name].float(), float("nan")).to(dtype)
    save_file(tensors, path)
    with pytest.raises(DataError, match=f"not finite in .*{name.split('.')[-1]}"):
        adapterlab.predict(exported, ROWS, backbone=str(world.backbone))


def test_values_that_only_a_wider_precision_holds_are_refused_by_name(world, exported):
    path = next(exported.glob("*adapter*.safetensors"))
    tensors = {name: one.double() for name, one in load_file(path).items()}
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] * 1e300
    save_file(tensors, path)
    with pytest.raises(DataError, match="not finite"):
        adapterlab.predict(exported, ROWS, backbone=str(world.backbone))


@pytest.mark.parametrize("do", ["predict", "export", "contributions"])
def test_what_the_catalog_holds_is_refused_as_well(own_world, tmp_path, do):
    adapter = _overflowing(own_world)
    attempt = {
        "predict": lambda: adapterlab.predict(adapter, ROWS),
        "export": lambda: adapterlab.export(adapter, tmp_path / "out2"),
        "contributions": lambda: _contributions(own_world, adapter),
    }[do]
    with pytest.raises((DataError, TrainingError), match=r"row 1 .*not finite"):
        attempt()
    assert not (tmp_path / "out2").exists()


def _overflowing(world):
    """Publish an adapter whose finite weights overflow, and return its key."""
    from adapterlab.catalog.records import AdapterRecord
    from adapterlab.catalog.store import current_owner

    name = key("overflowing")
    with open_at(world.home) as catalog:
        like = catalog.get_adapter(world.sources[0])
        record = AdapterRecord(
            key=name, task=like.task, task_digest=like.task_digest, method=like.method, settings=like.settings,
            metric="accuracy", metric_value=0.5, metrics={}, test={}, backbone_digest=like.backbone_digest, seed=0,
        )  # fmt: skip
        stored = weights.from_bytes(catalog.read_weights(like))
        huge = {part: torch.full_like(one, 3e38) for part, one in stored.items()}
        claim = catalog.claim_many([name], owner=current_owner(), lease_s=60)[name]
        catalog.publish_adapter(record, weights.to_bytes(huge), claim)
    return name


def _contributions(world, adapter):
    from adapterlab.exporting import ablation
    from adapterlab.exporting.stored_models import open_trained
    from adapterlab_encoder.loading import load
    from tiny_models import random_task

    with world.open() as catalog:
        trained = open_trained(catalog, adapter)
    backbone = load(world.backbone)
    task = random_task(vocab=20)
    ablation._evaluated(backbone, [trained.seat(backbone)], task.validation, task)


@pytest.fixture
def spoiled_backbone(world, tmp_path):
    folder = tmp_path / "spoiled"
    shutil.copytree(world.backbone, folder)
    name = _spoil(folder, "model.safetensors", lambda one: one.index_fill(0, torch.tensor([1]), float("nan")))
    return folder, name


def test_a_backbone_that_is_not_finite_is_refused_with_its_tensor(world, spoiled_backbone, tmp_path):
    folder, name = spoiled_backbone
    adapterlab.export(world.sources[0], tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "adapterlab.json").read_text())
    from adapterlab.exporting.backbone_references import load, locate

    located = locate(folder, cache=world.home / "cache")
    facts["backbone"]["digest"] = located.weights_digest
    (tmp_path / "out" / "adapterlab.json").write_text(json.dumps(facts))
    for attempt in (
        lambda: load(located),
        lambda: adapterlab.predict(tmp_path / "out", ROWS, backbone=str(folder)),
        lambda: adapterlab.compose(str(folder), [adapter_tensors(0)]),
    ):
        with pytest.raises(BackboneError, match=f"not finite in {name}"):
            attempt()


def test_a_worker_refuses_it_too(world, spoiled_backbone):
    from adapterlab.exporting.backbone_references import locate
    from adapterlab.worker import entry
    from adapterlab.worker.orders import BackboneFiles

    folder, name = spoiled_backbone
    facts = locate(folder, cache=world.home / "cache")
    files = BackboneFiles(
        folder=str(folder), digest=facts.weights_digest, architecture="bert", precision="float32"
    )
    with pytest.raises(BackboneError, match=f"not finite in {name}"):
        entry._load_backbone(files, "cpu", world.home / "cache")


def test_a_loaded_model_that_is_not_finite_is_refused(world):
    import transformers

    model = transformers.BertModel.from_pretrained(world.backbone, add_pooling_layer=False)
    model.encoder.layer[1].output.dense.weight.data[0, 0] = float("inf")
    with pytest.raises(BackboneError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        adapterlab.compose(model, [adapter_tensors(0)])


def test_what_is_no_tensor_of_the_backbone_may_hold_anything(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"mask": torch.full((3,), -float("inf")), "own": torch.ones(3)}, path)
    check_model_files((path,), lambda name: name == "own")
    with pytest.raises(BackboneError, match="mask"):
        check_model_files((path,), lambda _name: True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_large_values_whose_sum_overflows_are_finite(dtype):
    assert is_finite(torch.full((100,), min(torch.finfo(dtype).max, 3e38), dtype=dtype))
    assert not is_finite(torch.tensor([1.0, float("nan")], dtype=dtype))


ODD = {
    "sparse": lambda one: one.to_sparse(),
    "quantised": lambda one: torch.quantize_per_tensor(one, 0.1, 0, torch.qint8),
    "meta": lambda one: one.to("meta"),
    "expanded": lambda one: one[:1].expand_as(one) if one.dim() else one,
    "whole numbers": lambda one: one.long(),
    "complex": lambda one: one.to(torch.complex64),
    "nested": lambda one: torch.nested.nested_tensor([one, one]),
    "text": lambda one: "one",
    "object array": lambda one: one.numpy().astype(object),
    "reversed array": lambda one: one.numpy()[::-1],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_tensors_of_odd_kinds_are_refused_by_name_everywhere(world, exported, kind):
    tensors = adapter_tensors(0)
    name = "layer.0.down.weight"
    tensors[name] = ODD[kind](tensors[name])
    if kind == "reversed array":  # a view like any other
        adapterlab.compose(str(world.backbone), [tensors])
        return
    with pytest.raises(DataError, match=r"layer\.0\.down\.weight"):
        adapterlab.compose(str(world.backbone), [tensors])
    if kind in ("nested", "text", "object array"):
        return
    path = next(exported.glob("*adapter*.safetensors"))
    held = load_file(path)
    spoiled = sorted(held)[0]
    held[spoiled] = ODD[kind](held[spoiled])
    path.unlink()
    torch.save(held, exported / "pytorch_adapter.bin")
    with pytest.raises(DataError):
        adapterlab.predict(exported, ROWS, backbone=str(world.backbone))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["sparse", "meta", "whole numbers", "complex"])
def test_coefficients_of_odd_kinds_are_refused(world, kind):
    coefficients = ODD[kind](torch.full((2, 1, 32), 1.5))
    with pytest.raises(AdapterlabError):
        adapterlab.compose(str(world.backbone), [adapter_tensors(0)], "scalearn", coefficients)
